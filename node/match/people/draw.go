package people

import "sort"

// dice is a stream of numbers from a seed. It is written out here because an invented population
// must be the same with every version of Go: thresholds rest on it.
type dice struct{ state uint64 }

// next is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
func (d *dice) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// share returns a number from 0 up to 1.
func (d *dice) share() float64 { return float64(d.next()>>11) / (1 << 53) }

// below returns a number from 0 up to n.
func (d *dice) below(n int) int { return int(d.share() * float64(n)) }

// urn holds words, some more often than others.
type urn struct {
	words []string
	upTo  []float64 // the share of this word and of all before it
}

// newURN returns an urn of words by weight. Without weights it is empty, and draws nothing.
func newURN(words []string, weights []float64) urn {
	u := urn{words: words, upTo: make([]float64, len(words))}
	sum := 0.0
	for i, w := range weights {
		sum += w
		u.upTo[i] = sum
	}
	for i := range u.upTo {
		u.upTo[i] /= sum
	}
	return u
}

// newRanked returns an urn of words that stand in order: the first the most frequent.
func newRanked(words []string) urn {
	weights := make([]float64, len(words))
	for i := range weights {
		weights[i] = 1 / float64(i+3)
	}
	return newURN(words, weights)
}

func (u *urn) draw(d *dice) string { return u.words[u.at(d)] }

// at draws a word's place.
func (u *urn) at(d *dice) int {
	x := d.share()
	return min(sort.Search(len(u.upTo), func(i int) bool { return u.upTo[i] > x }), len(u.upTo)-1)
}

// share returns the share of the word at i.
func (u *urn) share(i int) float64 {
	if i == 0 {
		return u.upTo[0]
	}
	return u.upTo[i] - u.upTo[i-1]
}

package match

import (
	"math"

	"github.com/entente-mesh/entente/node/match/names"
	"github.com/entente-mesh/entente/node/match/people"
)

// innocents are what invented travellers scored of whom nobody is on the list, by the region of their
// names, where those seem to be at home, and what is known: from them the thresholds of every
// operating point follow. It is counted and not kept, so that it takes as much memory for a million.
type innocents struct {
	held, each int // names of the list; names of each region that were looked for
	regions    []regionTally
}

// regionTally counts the innocents of one region.
type regionTally struct {
	names []int // by home, as homes orders them
	homes [allKnown][]*tally
}

// tally counts scores: how many exceed a score, once it is summed up.
type tally [tallySteps]uint32

const (
	// leastThreshold is the log-odds under which nobody is told of, however few alerts there are.
	leastThreshold = 2
	// stepsANat is how finely scores are counted, up to tallySteps.
	stepsANat  = 16
	tallySteps = 48 * stepsANat
)

// homes are where a name may be at home: a region, or nowhere that is known.
func homes() []string { return append(people.Regions(), "") }

func newInnocents(held, each int) *innocents {
	i := &innocents{held: held, each: each, regions: make([]regionTally, len(people.Regions()))}
	for r := range i.regions {
		i.regions[r].names = make([]int, len(homes()))
		for k := range i.regions[r].homes {
			i.regions[r].homes[k] = make([]*tally, len(homes()))
		}
	}
	return i
}

// add counts a traveller by all that may be known of them, with all those birth dates. Such a share
// bears the name: if it is too large, nobody is told of.
func (r *regionTally) add(home int, near names.Nearest, q *names.Query, borne float64, born *[datesEach]names.Span) {
	r.names[home]++
	if len(near) == 0 {
		return
	}
	ask := names.Query{Nationality: q.Nationality, Sex: q.Sex}
	if borne <= mostBorneWith(&ask) {
		r.count(0, home, datesEach, near.Best(&ask)) // each of them would
	}
	ask.BirthKnown = true
	for _, day := range born {
		ask.Birth = day
		r.count(birthDay, home, 1, near.Best(&ask))
		ask.Birth = yearOf(day)
		if borne <= mostBorneWith(&ask) {
			r.count(birthPart, home, 1, near.Best(&ask))
		}
	}
}

func (r *regionTally) count(of known, home int, times uint32, best [names.Besides]float32) {
	for beside, score := range best {
		if score < leastThreshold {
			continue
		}
		k := of | known(beside)
		t := r.homes[k][home]
		if t == nil {
			t = new(tally)
			r.homes[k][home] = t
		}
		t[min(tallySteps-1, int((score-leastThreshold)*stepsANat))] += times
	}
}

// sum makes of the counts how many exceed each score.
func (i *innocents) sum() {
	for r := range i.regions {
		for _, tallies := range i.regions[r].homes {
			for _, t := range tallies {
				if t == nil {
					continue
				}
				for at := tallySteps - 2; at >= 0; at-- {
					t[at] += t[at+1]
				}
			}
		}
	}
}

// over is how many exceed a score.
func (t *tally) over(score float64) float64 {
	at := max(0, (score-leastThreshold)*stepsANat)
	i := int(at)
	if i >= tallySteps-1 {
		return 0
	}
	return float64(t[i]) + (at-float64(i))*(float64(t[i+1])-float64(t[i]))
}

// at is the score that so many exceed.
func (t *tally) at(count float64) float64 {
	lo, hi := 0, tallySteps-1
	for lo < hi { // the first step that no more exceed
		if mid := (lo + hi) / 2; float64(t[mid]) <= count {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	if lo == 0 {
		return leastThreshold
	}
	above, below := float64(t[lo-1]), float64(t[lo])
	return leastThreshold + (float64(lo-1)+(above-count)/max(1, above-below))/stepsANat
}

// step is the end of the step in which a score lies that is exceeded by nearer to so many. All who
// bear one common name score the same: no threshold stops a part of them, and between the ends of their
// step nobody is told apart.
func (t *tally) step(score, count float64) float64 {
	at := (score - leastThreshold) * stepsANat
	low, high := max(0, math.Floor(at)), min(tallySteps-1, math.Ceil(at))
	more, fewer := float64(t[int(low)]), float64(t[int(high)])
	if fewer > 0 && more*fewer > count*count { // the middle, as rates are compared
		low = high
	}
	return leastThreshold + low/stepsANat
}

// fall is over how many nats those who exceed a score become fewer by the factor e, as the best of
// them do; NaN where they are too few to tell.
func (t *tally) fall(score float64) float64 {
	n := t.over(score)
	if t[0] < leastFalling || n < leastFalling/2 {
		return math.NaN()
	}
	sum := 0.0
	for s := score; s < leastThreshold+tallySteps/stepsANat; s += 1.0 / stepsANat {
		sum += t.over(s) / stepsANat
	}
	return sum / n
}

// leastFalling is how many scores tell how they fall off.
const leastFalling = 10 * datesEach

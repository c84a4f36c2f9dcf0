package names

import (
	"math/rand/v2"
	"testing"

	"github.com/entente-mesh/entente/node/match/people"
)

// plainCost is the least cost of writing one name as both words, by the whole table and without a
// bound.
func plainCost(a, b *word) float32 {
	best := float32(costUnrelated)
	for _, fa := range a.forms {
		for _, fb := range b.forms {
			best = min(best, fa.cost+fb.cost+plainSounds(&fa, &fb))
		}
	}
	return best
}

func plainSounds(fa, fb *form) float32 {
	a, b := fa.sound[:min(len(fa.sound), maxSounds)], fb.sound[:min(len(fb.sound), maxSounds)]
	gap := func(c byte, otherBare bool) float32 {
		if otherBare && isPlainVowel(c) {
			return min(costs.gap[c], bareVowel)
		}
		return costs.gap[c]
	}
	rows := make([][]float32, len(a)+1)
	for i := range rows {
		rows[i] = make([]float32, len(b)+1)
		for j := range rows[i] {
			least := float32(costUnrelated)
			if i == 0 && j == 0 {
				least = 0
			}
			if i > 0 {
				least = min(least, rows[i-1][j]+gap(a[i-1], fb.bare))
			}
			if j > 0 {
				least = min(least, rows[i][j-1]+gap(b[j-1], fa.bare))
			}
			if i > 0 && j > 0 {
				least = min(least, rows[i-1][j-1]+costs.change[a[i-1]][b[j-1]])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				least = min(least, rows[i-2][j-2]+tuned.transpose)
			}
			rows[i][j] = least
		}
	}
	return rows[len(a)][len(b)]
}

// What is left out for speed changes no cost: two words cost what the whole table says, or more than
// the most that was asked for.
func TestNearCostIsThatOfTheWholeTable(t *testing.T) {
	var words []*word
	p, s := people.NewPopulation(3), newSegment()
	texts := []string{"محمد", "التكريتي", "хрущёв", "παπαδοπουλοσ", "王", "김", "ივანე", "משה", "नरेंद्र", "bakr", "jarka", "petr", "bert"}
	for range 150 {
		texts = append(texts, wordsOf(p.Next().Name())...)
	}
	for _, text := range texts {
		if _, ok := s.byText[text]; !ok {
			words = append(words, newWord(text))
			s.number(words[len(words)-1])
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	var probe probe
	for _, w := range words {
		probe.reset(w)
		for n, other := range words {
			want, most := plainCost(w, other), float32(r.IntN(70))/10
			got := probe.cost(&s.near, uint32(n), most)
			if off := got - want; want <= most-roundings && (off > roundings || off < -roundings) || want > most+roundings && got <= most {
				t.Fatalf("%s and %s: %v, want %v, at most %v", w.text, other.text, got, want, most)
			}
		}
	}
}

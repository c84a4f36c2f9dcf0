package eval

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"github.com/entente-mesh/entente/node/match"
)

// Innocents of the invented population are told of as often as the default point says. With -v the
// scores that so many in a thousand exceed are printed: what the constants of point.go are fitted to.
func TestOperatingPoint(t *testing.T) {
	const listed, travellers = 10_000, 8_000
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	m, _, err := NewMatcher(NameOnly, func(yield func(*Person, error) bool) {
		for person := range Listed(71, listed) {
			if !yield(&person, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	world := World(73, travellers)
	for _, c := range []struct {
		evidence Evidence
		name     string
		expected float64 // alerts in a thousand
	}{{NameOnly, "name", match.DefaultPoint.NamePerThousand}, {NameAndBirth, "name and birth", match.DefaultPoint.BirthPerThousand}, {All, "all", match.DefaultPoint.BirthPerThousand}} {
		var scores []float64
		alerts, asked := 0.0, m.With(c.evidence)
		for i := range world {
			best := math.Inf(-1)
			if r := asked.Search(world[i], 1); len(r) > 0 {
				best = r[0].Score
			}
			scores = append(scores, best)
			if best >= asked.Threshold(&world[i]) {
				alerts++
			}
		}
		slices.SortFunc(scores, func(a, b float64) int { return cmp.Compare(b, a) })
		for _, perThousand := range []float64{10, 5, 2, 1, 0.5, 0.25} {
			t.Logf("%s: %g in a thousand exceed %.2f", c.name, perThousand, scores[int(perThousand*travellers/1000)])
		}
		// Half as many and twice as many are within what is measured, and three deviations are chance.
		expected := c.expected * travellers / 1000
		if alerts > 2*expected+3*math.Sqrt(2*expected) || alerts < expected/2-3*math.Sqrt(expected/2) {
			t.Errorf("%s: %v alerts of %d innocents, want about %.1f", c.name, alerts, travellers, expected)
		}
	}
}

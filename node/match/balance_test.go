package match

import (
	"math"
	"slices"
	"testing"

	"github.com/entente-mesh/entente/node/match/people"
)

// Regions whose names seem to be at home elsewhere are stopped as often as all others: here those of the
// first region bear names of the second in one of two cases, and score higher.
func TestRegionsAreEvenedOut(t *testing.T) {
	const each = 20_000
	i := newInnocents(10_000, each)
	for r := range i.regions {
		for n := range each {
			home, score := r, 6-2*math.Log((float64(n)+0.5)/each)
			if r == 0 {
				home, score = n%2, score+1
			}
			i.regions[r].names[home]++
			i.regions[r].count(0, home, datesEach, [4]float32{float32(score)})
		}
	}
	i.sum()
	for _, share := range []float64{0.05, 0.02} {
		least := i.thresholds(0, share)
		for r, region := range people.Regions() {
			stopped := 0.0
			for home, name := range homes() {
				if tl := i.regions[r].homes[0][home]; tl != nil {
					stopped += tl.over(float64(least[name]))
				}
			}
			if rate := stopped / (each * datesEach); math.Abs(math.Log(rate/share)) > 0.05 {
				t.Errorf("%s: %.4f are stopped, want %.4f", region, rate, share)
			}
		}
	}
	// Fewer than can be counted: as the scores fall off, by e in two nats.
	few, fewer := i.thresholds(0, 1e-4), i.thresholds(0, 1e-5)
	for home, least := range few {
		if rise := float64(fewer[home] - least); math.Abs(rise-2*math.Log(10)) > 0.5 {
			t.Errorf("%s: a tenth of the alerts is %.2f nats more, want %.2f", home, rise, 2*math.Log(10))
		}
	}
}

func TestTallyIsReadBothWays(t *testing.T) {
	i := newInnocents(1, 1)
	for n := range 1000 {
		i.regions[0].count(0, 0, 1, [4]float32{float32(n) / 25})
	}
	i.sum()
	tl := i.regions[0].homes[0][0]
	for _, score := range []float64{3, 10.5, 17.3, 30} {
		n := tl.over(score)
		if want := 25 * (40 - score); math.Abs(n-want) > 3 {
			t.Errorf("over %v: %v, want %v", score, n, want)
		}
		if back := tl.at(n); math.Abs(back-score) > 0.1 {
			t.Errorf("%v is exceeded by %v, who exceed %v", score, n, back)
		}
	}
	if tl.over(100) != 0 || tl.at(1e9) != leastThreshold || !math.IsNaN(new(tally).fall(3)) {
		t.Error("the ends")
	}
}

// One person alone is not measured by the few who are like them, but among others.
func TestShortListsAreMeasuredAmongOthers(t *testing.T) {
	one := index(person("Karim Zerouali", day("1989-04-17")))
	if err := one.Calibrate(t.Context(), Measure{Seed: 1, Each: 1500, Workers: 2}); err != nil {
		t.Fatal(err)
	}
	if one.Names() != 1 || one.Len() != 1 {
		t.Errorf("measuring left %d names", one.Names())
	}
	for _, class := range Classes() {
		at := one.ThresholdsAt(class, DefaultPoint.PerThousand(class))
		for home, least := range at.Regions {
			if usually := float64(usual()[class.known()][home]); math.Abs(least-usually) > 10 { // few are like somebody
				t.Errorf("class %d, %s: %.1f, usually %.1f", class, home, least, usually)
			}
		}
		if distinct := slices.Compact(slices.Sorted(func(yield func(float64) bool) {
			for _, least := range at.Regions {
				if !yield(least) {
					return
				}
			}
		})); len(distinct) < 4 {
			t.Errorf("class %d: thresholds %v", class, distinct)
		}
	}
}

// The same innocents, whoever looks for them.
func TestMeasuringDoesNotDependOnTheWorkers(t *testing.T) {
	p := manyInvented(3, 300)
	var all []*Calibration
	for _, workers := range []int{1, 3} {
		if err := p.Calibrate(t.Context(), Measure{Seed: 1, Each: 100, Workers: workers}); err != nil {
			t.Fatal(err)
		}
		all = append(all, p.Calibration())
	}
	for k := range all[0].least {
		for home, least := range all[0].least[k] {
			if all[1].least[k][home] != least {
				t.Errorf("%d, %s: %v and %v", k, home, least, all[1].least[k][home])
			}
		}
	}
}

// Alerts counts what Search would tell.
func TestAlertsAreThoseOfSearch(t *testing.T) {
	p := manyInvented(3, 1000)
	p.SetPoint(OperatingPoint{NamePerThousand: 100, BirthPerThousand: 100, Together: 1000})
	world, told := people.NewPopulation(9), 0
	for range 150 {
		h := world.Next()
		births := []string{"", h.Born, "1970", world.Next().Born}
		want := 0
		for _, b := range births {
			if len(p.Search(ask(h.Name(), b), 1)) > 0 {
				want++
			}
		}
		if got := p.Alerts(ask(h.Name(), ""), births); got != want {
			t.Errorf("%s: %d alerts, by Search %d", h.Name(), got, want)
		}
		told += want
	}
	if told < 10 {
		t.Errorf("%d alerts: too few to tell", told)
	}
}

package match

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/entente-mesh/entente/node/match/people"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// manyInvented is an index of so many invented persons.
func manyInvented(seed uint64, n int) *Persons {
	world := people.NewPopulation(seed)
	return BuildPersons(Options{}, func(yield func(*recordv1.Record) bool) {
		for i := range n {
			t := world.Next()
			rec := person(t.Name(), day(t.Born))
			rec.RecordId = fmt.Sprintf("esp:%d", i+1)
			if !yield(rec) {
				return
			}
		}
	})
}

func TestRecallFallsWithTheAlerts(t *testing.T) {
	p := manyInvented(3, 500)
	if _, ok := p.RecallAt(ByName, 1); ok {
		t.Error("a recall that nobody measured")
	}
	names := p.Names()
	if err := p.MeasureRecall(t.Context(), 5, 30); err != nil {
		t.Fatal(err)
	}
	if p.Names() != names || p.Len() != 500 {
		t.Errorf("measuring left %d names of %d", p.Names(), names)
	}
	if persons, among := p.LookedFor(); persons != 30*len(people.Regions()) || among != names {
		t.Errorf("looked for %d among %d", persons, among)
	}
	for _, class := range Classes() {
		last := 0.0
		for _, perThousand := range []float64{0.01, 0.1, 1, 10, 100} {
			got, ok := p.RecallAt(class, perThousand)
			if !ok || got < last || got > 1 {
				t.Errorf("class %d at %v: %v after %v", class, perThousand, got, last)
			}
			last = got
		}
	}
	name, _ := p.RecallAt(ByName, 1)
	if birth, _ := p.RecallAt(ByBirthDate, 1); birth <= name || birth < 0.5 {
		t.Errorf("by name %.3f, with a birth date %.3f", name, birth)
	}
}

func TestMeasuringEndsWithItsContext(t *testing.T) {
	p := manyInvented(3, 50)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.MeasureRecall(ctx, 5, 1000); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := p.Calibrate(ctx, Measure{Seed: 1, Each: 1 << 30}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, ok := p.RecallAt(ByName, 1); ok || p.Calibrated() || p.Calibration() != nil {
		t.Error("what was not measured to the end is used")
	}
}

func TestThresholdsFollowThePointAtOnce(t *testing.T) {
	p := manyInvented(3, 1000)
	karim := ask("KARIM ZEROUALI", "")
	formula := p.Threshold(karim)
	if got := p.ThresholdsAt(ByName, DefaultPoint.NamePerThousand); got.Of("Arabic") != formula {
		t.Errorf("before it is measured: %+v, want %v", got, formula)
	}
	if err := p.Calibrate(t.Context(), Measure{Seed: 1, Each: 300}); err != nil {
		t.Fatal(err)
	}
	at := p.Threshold(karim)
	for _, c := range []struct {
		o    OperatingPoint
		more bool // the threshold rises
	}{
		{OperatingPoint{NamePerThousand: 0.2, BirthPerThousand: 0.25, Together: 10_000}, true},
		{OperatingPoint{NamePerThousand: 2, BirthPerThousand: 0.25, Together: 2_000_000}, true},
		{OperatingPoint{NamePerThousand: 20, BirthPerThousand: 0.25, Together: 10_000}, false},
		{OperatingPoint{NamePerThousand: 1000, BirthPerThousand: 1000, Together: 1}, false},
	} {
		p.SetPoint(c.o)
		if got := p.Threshold(karim); got > at != c.more || got < leastThreshold {
			t.Errorf("%+v: %.2f, was %.2f", c.o, got, at)
		}
		if p.Point() != c.o {
			t.Errorf("set to %+v, is %+v", c.o, p.Point())
		}
	}
	p.SetPoint(DefaultPoint)
	if got := p.Threshold(karim); got != at {
		t.Errorf("set back: %v, was %v", got, at)
	}
	// The table says what holds.
	table := p.ThresholdsAt(ByName, DefaultPoint.NamePerThousand)
	found := false
	for _, least := range table.Regions {
		found = found || least == at
	}
	if !found {
		t.Errorf("%v is not among %v", at, table)
	}
}

func TestWhatWasRecalledHoldsForItsPointAlone(t *testing.T) {
	measured, p := manyInvented(3, 1000), manyInvented(3, 1000)
	if err := measured.Calibrate(t.Context(), Measure{Seed: 1, Each: 300}); err != nil {
		t.Fatal(err)
	}
	p.Recall(measured.Calibration())
	if !measured.Calibrated() || p.Calibrated() {
		t.Error("what was recalled passes for measured")
	}
	own := DefaultPoint.NamePerThousand
	here, fewer := p.ThresholdsAt(ByName, own), p.ThresholdsAt(ByName, own/10)
	for home, least := range measured.ThresholdsAt(ByName, own).Regions {
		if here.Of(home) != least || fewer.Of(home) <= least {
			t.Errorf("%q: measured %.2f, recalled %.2f, of a tenth of the alerts %.2f", home, least, here.Of(home), fewer.Of(home))
		}
	}
	strict := DefaultPoint.With(ByName, own/10)
	p.SetPoint(strict)
	if got := p.ThresholdsAt(ByName, own/10); p.Calibration() != nil || got.Of("Arabic") != p.Threshold(ask("KARIM ZEROUALI", "")) {
		t.Errorf("of another point: %v", got)
	}
}

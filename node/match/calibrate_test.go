package match

import (
	"context"
	"errors"
	"testing"
)

func TestCalibratedThresholdsFollowThePoint(t *testing.T) {
	p := index(person("Karim Zerouali", day("1989-04-17")), person("Mohamed Ahmed"), person("Park Min Jun"), person("Ivan Petrov"))
	before := p.Threshold(ask("KARIM ZEROUALI", ""))
	if err := p.Calibrate(t.Context(), Measure{Seed: 1, Each: 400}); err != nil {
		t.Fatal(err)
	}
	after := p.Threshold(ask("KARIM ZEROUALI", ""))
	if before == after || after < leastThreshold {
		t.Errorf("the threshold was %.2f, and is %.2f", before, after)
	}
	if got := p.Search(ask("KARIM ZEROUALI", "1989-04-17"), 1); len(got) != 1 {
		t.Error("the man himself is not found any more")
	}
}

func TestCalibrateEndsWithItsContext(t *testing.T) {
	p := index(person("Karim Zerouali", day("1989-04-17")))
	before := p.Threshold(ask("KARIM ZEROUALI", ""))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Calibrate(ctx, Measure{Seed: 1, Each: 1 << 30}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if after := p.Threshold(ask("KARIM ZEROUALI", "")); after != before {
		t.Errorf("half a measurement set the threshold from %.2f to %.2f", before, after)
	}
}

func TestPointIsSetWhileItRuns(t *testing.T) {
	p := index(person("Karim Zerouali", day("1989-04-17")))
	if err := p.Calibrate(t.Context(), Measure{Seed: 1, Each: 300}); err != nil {
		t.Fatal(err)
	}
	strict := p.Point()
	strict.NamePerThousand /= 100
	before := p.Threshold(ask("KARIM ZEROUALI", ""))
	p.SetPoint(strict)
	if after := p.Threshold(ask("KARIM ZEROUALI", "")); p.Point() != strict || after <= before {
		t.Errorf("a hundredth of the alerts: the threshold was %.2f, and is %.2f", before, after)
	}
}

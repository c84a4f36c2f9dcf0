package node_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// stormers are 64 bureaus.
var stormers = []identity.Bureau{
	"AFG", "ALB", "DZA", "AND", "AGO", "ARG", "ARM", "AUS", "AUT", "AZE", "BHS", "BHR", "BGD", "BRB", "BLR", "BLZ",
	"BEN", "BTN", "BOL", "BIH", "BWA", "BRA", "BGR", "BFA", "BDI", "KHM", "CMR", "CAN", "TCD", "CHL", "CHN", "COL",
	"CRI", "HRV", "CUB", "CYP", "CZE", "DNK", "DJI", "DOM", "ECU", "EGY", "EST", "ETH", "FJI", "FIN", "FRA", "GAB",
	"GMB", "GEO", "GHA", "GRC", "GTM", "GIN", "HTI", "HND", "HUN", "ISL", "IND", "IDN", "IRN", "IRQ", "IRL", "ITA",
}

// TestAStorm has 64 bureaus ask BEL as fast as it answers, four calls each at a time, while BEL's own
// border post checks travellers. The storm is made in this very process and takes processors itself:
// so what the post is compared with is the same storm, at the same pace, against an echo. Windows of
// the two follow each other in turn.
func TestAStorm(t *testing.T) {
	bureaus, windows, window, warm := stormers, 5, 1200*time.Millisecond, time.Second
	if testing.Short() {
		bureaus, windows, window, warm = stormers[:12], 1, 500*time.Millisecond, 100*time.Millisecond
	}
	m := nodetest.FoundWith(t, nodetest.Setup{Papers: bureaus, Asleep: true}, "BEL")
	bel := m.Bureau("BEL")
	for _, b := range bureaus {
		bel.Permit(nodetest.PermitOptions{
			Bureau: string(b), Collection: nodetest.Persons, Purposes: []nodetest.Purpose{nodetest.Border}, Directions: policy.Inbound,
		})
	}
	bel.MustStart()
	var held []*recordv1.Record
	for _, b := range bureaus {
		held = append(held, nodetest.Person("bel:"+string(b), "Wanted In "+string(b), "Somebody", "1980-05-06"))
	}
	bel.Create(held...)
	storm := m.NewStorm(bel, 4)

	// during has the post check while something else goes on, and returns how long each check took.
	during := func(length time.Duration, other func(context.Context)) []time.Duration {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		var done sync.WaitGroup
		done.Go(func() { other(ctx) })
		took, err := bel.Post(ctx, 5*time.Millisecond)
		done.Wait()
		if err != nil {
			t.Fatalf("a check of the own border failed: %v", err)
		}
		return took
	}
	var gust nodetest.Gust
	during(warm, func(ctx context.Context) { gust = storm.Blow(ctx) })
	pace := float64(gust.Calls()) / gust.Took.Seconds()
	during(warm, func(ctx context.Context) { storm.Calm(ctx, pace) })

	p99 := func(of []time.Duration) time.Duration { return nodetest.Percentile(of, 0.99) }
	all := nodetest.Gust{By: map[string]int64{}}
	measure := func() (ratio float64) {
		var quiet, calm, stormy []time.Duration
		for range windows {
			quiet = append(quiet, during(window/2, func(ctx context.Context) { <-ctx.Done() })...)
			stormy = append(stormy, during(window, func(ctx context.Context) { gust = storm.Blow(ctx) })...)
			pace = float64(gust.Calls()) / gust.Took.Seconds()
			calm = append(calm, during(window, func(ctx context.Context) { storm.Calm(ctx, pace) })...)
			all = all.Plus(gust)
		}
		ratio = float64(p99(stormy)) / float64(max(p99(calm), 1))
		for _, w := range []struct {
			name string
			took []time.Duration
		}{{"nothing else runs", quiet}, {"the same storm blows at an echo", calm}, {"the storm blows at BEL", stormy}} {
			t.Logf("own checks while %s: %d, p50 %s, p99 %s, slowest %s", w.name, len(w.took),
				nodetest.Percentile(w.took, 0.5).Round(time.Microsecond), p99(w.took).Round(time.Microsecond), nodetest.Percentile(w.took, 1).Round(time.Microsecond))
		}
		t.Logf("p99 of the own checks %.2f times its value beside an echo, p50 %.2f times", ratio,
			float64(nodetest.Percentile(stormy, 0.5))/float64(max(nodetest.Percentile(calm, 0.5), 1)))
		return ratio
	}
	// A machine that does other things too is not a measurement: a disk that stalls for a second is the
	// p99 of its window. So this asserts four times, and measures again where that is not met; whoever
	// has a machine alone holds it to twice.
	const most = 4
	ratio := measure()
	for tries := 1; ratio > most && tries < 3 && !testing.Short(); tries++ {
		ratio = measure()
	}
	if ratio > most && !testing.Short() {
		t.Errorf("the own border's p99 is %.2f times what it is beside an echo, want at most twice", ratio)
	}
	if all.Failed > 0 {
		t.Errorf("%d asks failed otherwise than by being turned away: %v", all.Failed, all.Why)
	}
	var counts []int64
	for _, n := range all.By {
		counts = append(counts, n)
	}
	slices.Sort(counts)
	t.Logf("the storm: %d asks a second answered, %d turned away; of one bureau of %d from %d to %d were answered",
		int(float64(all.Answered)/all.Took.Seconds()), all.TurnAway, len(bureaus), counts[0], counts[len(counts)-1])
	// Of fewer answers each, on a machine that does other things too, chance says who has how many.
	const enough = 20
	fair := counts[0] > 0 && counts[len(counts)-1] <= 3*counts[0]
	if all.Answered == 0 || !testing.Short() && counts[len(counts)/2] >= enough && !fair {
		t.Errorf("a storm of equals is not served in turn: %v", counts)
	}
}

package screening

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/match/people"
	"github.com/entente-mesh/entente/node/store"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// rows are a store in memory, and its small things.
type rows struct {
	Records
	mu    sync.Mutex
	list  []store.Change
	state map[string][]byte
	puts  int
}

func (r *rows) Changes(_ context.Context, after int64, limit int, _ ...string) ([]store.Change, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list[min(int(after), len(r.list)):min(int(after)+limit, len(r.list))], nil
}

func (r *rows) GetState(_ context.Context, room, key string) ([]byte, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.state[room+key]
	return v, ok, nil
}

func (r *rows) PutState(_ context.Context, room, key string, value []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == nil {
		r.state = map[string][]byte{}
	}
	r.puts++
	r.state[room+key] = value
	return nil
}

func (r *rows) add(n int) {
	world, regions := people.NewPopulation(uint64(31+len(r.list))), people.Regions()
	for range n {
		t := world.From(regions[len(r.list)%len(regions)])
		id := fmt.Sprintf("p%d", len(r.list))
		r.list = append(r.list, store.Change{Seq: int64(len(r.list) + 1), RecordID: id, Record: &recordv1.Record{
			RecordId: id, Body: &recordv1.Record_Person{Person: &recordv1.Person{
				Names:  []*recordv1.Name{{Parts: []*recordv1.NamePart{{Kind: recordv1.NamePartKind_NAME_PART_KIND_FULL, Text: t.Given + " " + t.Surname}}}},
				Births: []*recordv1.Birth{{From: t.Born, To: t.Born}},
			}},
		}})
	}
}

func (r *rows) holdings(t *testing.T) *Holdings {
	t.Helper()
	h := NewHoldings("BGR", r, nil, nil)
	h.SaveIn(nil, r)
	h.each = 20
	if err := h.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

// TestThresholdsAreMeasuredWhenTheListHasMoved and at another operating point, and not else; a start
// takes up what was measured before.
func TestThresholdsAreMeasuredWhenTheListHasMoved(t *testing.T) {
	r := &rows{}
	h := r.holdings(t)
	measures := func(h *Holdings, when string, want bool) {
		t.Helper()
		before := r.puts
		if err := h.measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.puts > before; got != want {
			t.Errorf("%s: measured %t, want %t", when, got, want)
		}
		if has := h.held().Calibration() != nil; has != (h.held().Names() >= match.LeastMeasured) {
			t.Errorf("%s: thresholds of the list: %t", when, has)
		}
	}
	grow := func(n int) {
		t.Helper()
		r.add(n)
		if err := h.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	measures(h, "an empty list", false)
	grow(match.LeastMeasured - 1)
	measures(h, "a list of some persons", false)
	grow(1)
	measures(h, "a short list", true)
	grow(leastGrown)
	measures(h, "some more", false)
	grow(1000)
	measures(h, "a list that is long enough", true)
	measures(h, "the same list", false)
	grow(h.held().Names() / 10)
	measures(h, "a tenth more", false)
	grow(h.held().Names() / 5)
	measures(h, "a third more", true)
	strict, old := h.Point(), h.held().Calibration()
	strict.BirthPerThousand /= 2
	h.SetPoint(strict)
	if h.held().Calibration() == old {
		t.Error("thresholds of another operating point are in force")
	}
	measures(h, "another operating point", true)
	was := h.held().Calibration()

	h = NewHoldings("BGR", r, nil, nil)
	h.SaveIn(nil, r)
	h.each = 20
	h.SetPoint(strict)
	if err := h.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.held().Calibration() == nil {
		t.Error("a start begins from nothing")
	}
	measures(h, "after a start", false)
	if a, b := fmt.Sprint(*was), fmt.Sprint(*h.held().Calibration()); a != b {
		t.Errorf("measured %s, taken up %s", a, b)
	}
	measures(r.holdings(t), "after a start at the old point", true)
}

// TestUpkeepEndsWithItsContext, also in the midst of a measurement that would take hours.
func TestUpkeepEndsWithItsContext(t *testing.T) {
	r := &rows{}
	r.add(match.LeastMeasured)
	h := r.holdings(t)
	h.each = 1 << 40
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			h.Upkeep(ctx)
			close(done)
		}()
		time.Sleep(upkeepInterval)
		cancel()
		<-done
		if h.held().Calibration() != nil {
			t.Error("half a measurement is in force")
		}
		if err := h.measure(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// TestMeasuringIsPaced: it rests longer than it works, unless somebody waits for it, and no longer than
// the node runs.
func TestMeasuringIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHoldings("BGR", &rows{}, nil, nil)
		rested := func(ctx context.Context) (time.Duration, error) {
			pace := h.pace()
			time.Sleep(10 * time.Millisecond)
			began := time.Now()
			err := pace(ctx)
			return time.Since(began), err
		}
		if took, err := rested(t.Context()); took != 30*time.Millisecond || err != nil {
			t.Errorf("rested %s, %v", took, err)
		}
		h.hurry.Store(true)
		if took, err := rested(t.Context()); took != 0 || err != nil {
			t.Errorf("in a hurry %s, %v", took, err)
		}
		h.hurry.Store(false)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if took, err := rested(ctx); took != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("at the end %s, %v", took, err)
		}
	})
}

// TestUpkeepMeasuresInTime: within a minute of what is due.
func TestUpkeepMeasuresInTime(t *testing.T) {
	r := &rows{}
	h := r.holdings(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go h.Upkeep(ctx)
		synctest.Wait()
		r.mu.Lock()
		r.add(1000)
		r.mu.Unlock()
		if err := h.Load(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(upkeepInterval)
		synctest.Wait()
		if h.held().Calibration() == nil {
			t.Error("nothing was measured")
		}
		cancel()
		synctest.Wait()
	})
}

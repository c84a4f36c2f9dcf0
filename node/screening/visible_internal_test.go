package screening

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entente-mesh/entente/node/store"
)

// ailing is a store that cannot be read at times.
type ailing struct {
	*rows
	ill atomic.Bool
}

func (a *ailing) Changes(ctx context.Context, after int64, limit int, collections ...string) ([]store.Change, error) {
	if a.ill.Load() {
		return nil, errors.New("the disk is ill")
	}
	return a.rows.Changes(ctx, after, limit, collections...)
}

// TestAChangeIsVisibleBeforeItIsAcknowledged, at once and not by the next tick; and where the store
// cannot be followed nobody waits for ever.
func TestAChangeIsVisibleBeforeItIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &ailing{rows: &rows{}}
		h := NewHoldings("BGR", r, nil, nil)
		ctx, cancel := context.WithCancel(t.Context())
		go h.Follow(ctx)
		add := func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.add(1)
		}
		for n := range 20 {
			add()
			began := time.Now()
			if h.Visible(t.Context()); h.Persons() != n+1 || !time.Now().Equal(began) {
				t.Fatalf("%d persons after %s, want %d at once", h.Persons(), time.Since(began), n+1)
			}
		}
		r.ill.Store(true)
		add()
		began := time.Now()
		if h.Visible(t.Context()); h.Persons() != 20 || time.Since(began) != visiblePatience {
			t.Errorf("%d persons, waited %s", h.Persons(), time.Since(began))
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		began = time.Now()
		if h.Visible(gone); !time.Now().Equal(began) {
			t.Error("the index is waited for where nobody is left who asks")
		}
		r.ill.Store(false)
		if h.Visible(t.Context()); h.Persons() != 21 || len(h.waiting.take()) > 0 {
			t.Errorf("%d persons once the disk is well again, want 21", h.Persons())
		}
		cancel()
		synctest.Wait()
	})
}

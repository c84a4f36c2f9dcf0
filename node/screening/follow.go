package screening

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/store"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// followInterval is how often the index looks for changes when nobody pokes it: a bound on how
// long a withdrawal on another replica goes unseen.
const followInterval = 500 * time.Millisecond

// lagPatience is how long the index answers while the store cannot be followed: a hiccup costs
// nobody a check, but a check must not be answered from yesterday's records as if from today's.
const lagPatience = 3 * time.Second

// followBatch is how many changes are taken over at once.
const followBatch = 2000

// Load brings the index up to the store's newest change. The first one reads it: from where it was
// saved, if that is whole and of this store, or from all records.
func (h *Holdings) Load(ctx context.Context) error {
	h.loading.Lock()
	defer h.loading.Unlock()
	return h.load(ctx)
}

// load is Load for who holds loading.
func (h *Holdings) load(ctx context.Context) error {
	waiting := h.waiting.take() // for what is in the store by now
	err := h.loadNow(ctx)
	if err != nil {
		h.waiting.add(waiting...)
		return err
	}
	for _, done := range waiting {
		close(done)
	}
	return nil
}

func (h *Holdings) loadNow(ctx context.Context) error {
	err := h.begin(ctx)
	if err == nil {
		err = h.catchUp(ctx)
	}
	if errors.Is(err, errNameless) {
		h.logger.InfoContext(ctx, "records were erased that the index of persons may hold: it is read anew")
		err = h.again(ctx)
	}
	if err != nil {
		if ctx.Err() == nil {
			h.failing.CompareAndSwap(0, h.now().UnixNano())
		}
		return fmt.Errorf("index of persons: %w", err)
	}
	h.failing.Store(0)
	return nil
}

// begin reads the index for the first time.
func (h *Holdings) begin(ctx context.Context) error {
	if h.begun {
		return nil
	}
	if !h.fromSaved(ctx) {
		if err := h.fromRecords(ctx); err != nil {
			return err
		}
	}
	h.begun = true
	h.recall(ctx)
	return nil
}

// fromRecords builds the index of all records.
func (h *Holdings) fromRecords(ctx context.Context) error {
	var seq int64
	var failed error
	persons := match.BuildPersons(match.Options{Point: h.held().Point()}, func(yield func(*recordv1.Record) bool) {
		failed = h.changes(ctx, 0, func(c store.Change) bool {
			seq = c.Seq
			switch {
			case c.Record != nil:
				return yield(c.Record)
			case c.RecordID == "": // erased before anybody held it
				return true
			}
			return yield(&recordv1.Record{RecordId: c.RecordID})
		})
	})
	if failed != nil {
		return failed
	}
	h.hold(persons, seq)
	return nil
}

// changes calls do with every change after one, and ends where do returns false.
func (h *Holdings) changes(ctx context.Context, after int64, do func(store.Change) bool) error {
	for {
		list, err := h.records.Changes(ctx, after, followBatch, gate.Persons)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return nil
		}
		for _, c := range list {
			if !do(c) {
				return nil
			}
			after = c.Seq
		}
	}
}

// errNameless says that a record was erased of which nobody knows any more which one it was.
var errNameless = errors.New("a record was erased that cannot be named any more")

// catchUp takes over what has changed since the index was read.
func (h *Holdings) catchUp(ctx context.Context) error {
	nameless := false
	err := h.changes(ctx, h.seq, func(c store.Change) bool {
		if nameless = c.Record == nil && c.RecordID == ""; nameless {
			return false
		}
		h.take(ctx, c)
		h.seq = c.Seq
		return true
	})
	if nameless {
		return errNameless
	}
	return err
}

// take takes over one change. What a record said before it was changed must not stay in the saved
// index; one that has ended was forgotten there before.
func (h *Holdings) take(ctx context.Context, c store.Change) {
	if h.saved != nil && h.held().Has(c.RecordID) {
		if err := h.saved.Forget(); err != nil {
			h.logger.ErrorContext(ctx, "the saved index of persons still holds what a record said before it was changed", slog.Any("error", err))
		}
	}
	h.changed.Add(1)
	if c.Record == nil {
		h.held().Remove(c.RecordID)
		return
	}
	h.held().Put(c.RecordID, c.Record)
}

// again reads all records into the index that is there, and takes out who is in none of them.
func (h *Holdings) again(ctx context.Context) error {
	var seq int64
	held := make(map[string]struct{})
	err := h.changes(ctx, 0, func(c store.Change) bool {
		if seq = c.Seq; c.Record == nil && c.RecordID == "" {
			return true
		}
		h.take(ctx, c)
		if delete(held, c.RecordID); c.Record != nil {
			held[c.RecordID] = struct{}{}
		}
		return true
	})
	if err != nil {
		return err
	}
	h.held().Keep(func(id string) bool {
		_, ok := held[id]
		return ok
	})
	h.seq = seq
	return nil
}

// lags tells that the index has not followed the store for too long to be answered from.
func (h *Holdings) lags() bool {
	since := h.failing.Load()
	return since != 0 && h.now().Sub(time.Unix(0, since)) > lagPatience
}

// Follow keeps the index up to date until ctx ends.
func (h *Holdings) Follow(ctx context.Context) {
	tick := time.NewTicker(followInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.poke:
		case <-tick.C:
		}
		if err := h.Load(ctx); err != nil && ctx.Err() == nil {
			h.logger.ErrorContext(ctx, "the index of persons lags behind the store", slog.Any("error", err))
		}
	}
}

// visiblePatience bounds how long Visible waits: in the midst of a large import the index has more to
// take over than one record.
const visiblePatience = 2 * time.Second

// Visible returns when whoever searches finds what the store holds as it is called, so that a change is
// acknowledged when it is seen. Follow must run. It does not wait longer than visiblePatience, nor than
// ctx: the change stands, and is followed later.
func (h *Holdings) Visible(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, visiblePatience)
	defer cancel()
	done := make(chan struct{})
	h.waiting.add(done)
	h.Poke()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// queue are those who wait for the index.
type queue struct {
	mu  sync.Mutex
	all []chan struct{}
}

func (q *queue) add(done ...chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = append(q.all, done...)
}

func (q *queue) take() []chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.all
	q.all = nil
	return all
}

// Poke says that the store has changed.
func (h *Holdings) Poke() {
	select {
	case h.poke <- struct{}{}:
	default:
	}
}

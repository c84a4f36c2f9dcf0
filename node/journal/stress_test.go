package journal_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/journal"
)

// TestEverythingAtOnce records, reads, checks, erases and retains at the same time. Nobody sees
// anything that is not whole, and leaves come in order.
func TestEverythingAtOnce(t *testing.T) {
	w := real(t)
	w.segment = 32 << 10
	j := w.open(t)
	ctx, stop := context.WithCancel(t.Context())
	var writers, readers sync.WaitGroup
	var next atomic.Int64
	for range 8 {
		writers.Go(func() {
			for range 30 {
				n := int(next.Add(1))
				m, p := answered(n)
				m.ForgetAfter = noon.Add(-time.Second)
				if err := j.RecordAnswered(context.Background(), m, append(p, check(n))...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	reader := func(do func() error) {
		readers.Go(func() {
			for ctx.Err() == nil {
				if err := do(); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	read := uint64(0)
	reader(func() error { // the tree
		select {
		case <-j.Grown():
		case <-ctx.Done():
		}
		for read < j.Leaves() {
			leaves, err := j.ReadLeaves(read, 16)
			if err != nil {
				return err
			}
			read += uint64(len(leaves))
		}
		return nil
	})
	reader(func() error {
		_, err := j.Find(ctx, id(int(next.Load()/2)))
		return err
	})
	reader(func() error {
		return j.Scan(ctx, time.Time{}, time.Time{}, func(l journal.Located) error { return nil })
	})
	reader(func() error {
		r, err := j.Check(ctx, nil)
		for _, f := range r.Flaws {
			t.Errorf("flaw: %v", &f)
		}
		return err
	})
	reader(func() error {
		found, err := j.FindQuotes(ctx, "BEL", "record-1")
		if err != nil {
			return err
		}
		_, err = j.EraseEvidence(ctx, found[:min(len(found), 3)])
		return err
	})
	reader(func() error {
		_, err := j.Retain(ctx, noon.Add(time.Duration(next.Load()/3)*time.Second))
		return err
	})
	writers.Wait()
	stop()
	readers.Wait()
	record(t, j, check(0)) // behind what was handed over by those who did not wait for it
	if r := whole(t, j); r.Leaves < 480 {
		t.Errorf("%d leaves", r.Leaves)
	}
	j.Close()
	whole(t, w.open(t))
}

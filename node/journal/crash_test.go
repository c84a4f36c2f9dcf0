package journal_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/entente-mesh/entente/node/journal"
)

var errPulled = errors.New("the plug was pulled")

// TestLostFsync crashes a disk that drops what was not synced, under load, again and again, with
// some blocks of the last write on it or none. What was acknowledged is there each time, whole; of
// what was not, a call's passages are there all or not at all.
func TestLostFsync(t *testing.T) {
	rounds := 40
	if testing.Short() || raceEnabled {
		rounds = 15
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := lossy()
	w.segment = 64 << 10
	var mu sync.Mutex
	acknowledged := map[int]bool{}
	next := 0
	for round := range rounds {
		first := next
		left := 1 + random.IntN(40)
		point := random.IntN(3)
		w.lossy.FailWith(func(op, name string) error {
			// The power goes at some write or sync of the load.
			if (point == 0 && op == "write" || point == 1 && op == "sync" || point == 2 && op == "rename") && strings.Contains(name, "journal/") {
				if left--; left < 0 {
					return errPulled
				}
			}
			return nil
		})
		j, err := w.tryOpen(t.Context())
		if err != nil && !errors.Is(err, errPulled) {
			t.Fatalf("round %d: %v", round, err)
		}
		if err == nil {
			var callers sync.WaitGroup
			for range 4 {
				callers.Go(func() {
					for range 10 {
						mu.Lock()
						n := next
						next++
						mu.Unlock()
						m, p := answered(n)
						if err := j.RecordAnswered(context.Background(), m, p...); err != nil {
							return
						}
						mu.Lock()
						acknowledged[n] = true
						mu.Unlock()
					}
				})
			}
			callers.Wait()
		}
		w.lossy.FailWith(nil)
		if random.IntN(2) == 0 {
			w.lossy.CrashTorn(random)
		} else {
			w.lossy.Crash()
		}
		if err == nil {
			j.Close()
		}
		j, err = w.tryOpen(t.Context())
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		whole(t, j)
		for n := range next {
			if n < first && random.IntN(16) > 0 {
				continue // it was looked at before
			}
			found, err := j.Find(t.Context(), id(n))
			if err != nil {
				t.Fatal(err)
			}
			_, _, remembered, err := j.RecallAsk(t.Context(), "FRA", id(n))
			if err != nil {
				t.Fatal(err)
			}
			if acknowledged[n] && len(found) != 2 || len(found) != 0 && len(found) != 2 || remembered != (len(found) == 2) {
				t.Fatalf("round %d: passage %d, acknowledged %v: %d are there, remembered %v", round, n, acknowledged[n], len(found), remembered)
			}
		}
		j.Close()
	}
	t.Logf("%d of %d acknowledged", len(acknowledged), next)
}

// TestBroken: after a failed sync nothing passes any more, until the journal is opened again.
func TestBroken(t *testing.T) {
	w := lossy()
	j := w.open(t)
	answer(t, j, 1)
	w.lossy.FailWith(func(op, name string) error {
		if op == "sync" && strings.Contains(name, ".seg") {
			return errPulled
		}
		return nil
	})
	m, p := answered(2)
	if err := j.RecordAnswered(t.Context(), m, p...); !errors.Is(err, journal.ErrBroken) || !errors.Is(err, errPulled) {
		t.Fatalf("got %v", err)
	}
	w.lossy.FailWith(nil)
	if err := j.RecordAnswered(t.Context(), m, p...); !errors.Is(err, journal.ErrBroken) {
		t.Errorf("again: %v", err)
	}
	if _, _, _, err := j.RecallAsk(t.Context(), "FRA", id(1)); !errors.Is(err, journal.ErrBroken) {
		t.Errorf("recall: %v", err)
	}
	if _, err := j.Find(t.Context(), id(1)); !errors.Is(err, journal.ErrBroken) {
		t.Errorf("find: %v", err)
	}
	if _, err := j.ReadLeaves(0, 1); !errors.Is(err, journal.ErrBroken) {
		t.Errorf("leaves: %v", err)
	}
	j.Close()
	j = w.open(t)
	if j.Leaves() != 2 {
		t.Errorf("%d leaves", j.Leaves())
	}
	answer(t, j, 2)
	whole(t, j)
}

// TestEveryPoint fails at each of the points in turn, with a crash there or a kill, while a journal
// records, ends segments, erases and retains.
func TestEveryPoint(t *testing.T) {
	for _, point := range journal.Points() {
		for _, crash := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, crash %v", point, crash), func(t *testing.T) {
				w := lossy()
				w.segment = 8 << 10
				reached, armed := 0, false
				w.fail = func(at string) error {
					if at == point && armed {
						if reached++; reached == 2 || strings.Contains(point, "destroy") || strings.Contains(point, "leaves") {
							return errPulled
						}
					}
					return nil
				}
				j := w.open(t)
				armed = true
				var acknowledged []int
				erased, retained := false, false
				play := func() error {
					for n := range 12 {
						m, p := answered(n)
						m.ForgetAfter = noon
						if err := j.RecordAnswered(t.Context(), m, p...); err != nil {
							return err
						}
						acknowledged = append(acknowledged, n)
						if n%4 == 3 {
							found, err := j.Find(t.Context(), id(n))
							if err != nil {
								return err
							}
							if _, err := j.EraseEvidence(t.Context(), found); err != nil {
								return err
							}
							erased = true
						}
					}
					w.now = noon.Add(1)
					n, err := j.Retain(t.Context(), noon.Add(3e9))
					retained = n > 0
					return err
				}
				err := play()
				if !errors.Is(err, errPulled) {
					t.Fatalf("the point was not reached: %v", err)
				}
				if crash {
					w.lossy.Crash()
				}
				w.fail, armed = nil, false
				j.Close()
				j = w.open(t)
				whole(t, j)
				for _, n := range acknowledged {
					if found, err := j.Find(t.Context(), id(n)); err != nil || len(found) != 2 {
						t.Errorf("passage %d: %d, %v", n, len(found), err)
					}
				}
				// What is booked as erased is.
				err = j.Scan(t.Context(), noon.Add(-1), noon.Add(1e12), func(l journal.Located) error { return nil })
				if err != nil {
					t.Error(err)
				}
				if erased && slices.Contains(acknowledged, 11) && !retained {
					found, _ := j.Find(t.Context(), id(3))
					if len(found) > 0 && found[0].Evidence {
						t.Error("what was erased is there")
					}
				}
				answer(t, j, 99)
				w.now = noon.Add(1)
				if _, err := j.Retain(t.Context(), noon.Add(3e9)); err != nil {
					t.Error(err)
				}
				whole(t, j)
			})
		}
	}
}

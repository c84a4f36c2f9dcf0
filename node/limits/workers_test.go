package limits_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/limits"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// TestOwnBorderFirst holds that the mesh has fewer workers while the own border is at work, and
// that the own border never waits for the mesh.
func TestOwnBorderFirst(t *testing.T) {
	scene(t, func(c *limits.Config) { c.MeshWorkers = 8 }, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithCancel(t.Context())
		var working, most atomic.Int64
		var storm sync.WaitGroup
		for i := range 64 {
			storm.Go(func() {
				for ctx.Err() == nil {
					leave, err := s.Enter(ctx, node(bureau(i)), askMethod)
					if err != nil {
						continue
					}
					now := working.Add(1)
					for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
					}
					time.Sleep(10 * time.Millisecond)
					working.Add(-1)
					leave()
				}
			})
		}
		time.Sleep(time.Second)
		if got := most.Load(); got != 8 {
			t.Errorf("%d asks at once while the border is quiet, want 8", got)
		}
		begin := func() {
			began := time.Now()
			leave, err := s.Enter(t.Context(), client("border-police"), check)
			if err != nil || time.Since(began) != 0 {
				t.Fatalf("a check after %v: %v", time.Since(began), err)
			}
			leave()
		}
		begin()
		time.Sleep(50 * time.Millisecond) // what had begun ends
		most.Store(0)
		for range 20 {
			begin()
			time.Sleep(100 * time.Millisecond)
		}
		if got := most.Load(); got >= 8 || got < 1 {
			t.Errorf("%d asks at once while the border is at work", got)
		}
		time.Sleep(3 * time.Second)
		most.Store(0)
		time.Sleep(time.Second)
		if got := most.Load(); got != 8 {
			t.Errorf("%d asks at once when the border is quiet again, want 8", got)
		}
		cancel()
		storm.Wait()
	})
}

// TestWorkersRest holds that a worker of the mesh rests as long as its question took while the own
// border is at work, five milliseconds at the most, and not at all while it is not.
func TestWorkersRest(t *testing.T) {
	scene(t, func(c *limits.Config) { c.MeshWorkers = 1 }, func(t *testing.T, s *stage) {
		question := func(length time.Duration) (waited time.Duration) {
			t.Helper()
			began := time.Now()
			leave, err := s.Enter(t.Context(), node("ESP"), askMethod)
			if err != nil {
				t.Fatal(err)
			}
			waited = time.Since(began)
			time.Sleep(length)
			leave()
			return waited
		}
		question(3 * time.Millisecond)
		if waited := question(3 * time.Millisecond); waited != 0 {
			t.Errorf("while the border is quiet a question waits %v for a worker that is free", waited)
		}
		leave, err := s.Enter(t.Context(), client("border-police"), check)
		if err != nil {
			t.Fatal(err)
		}
		leave()
		question(3 * time.Millisecond)
		if waited := question(20 * time.Millisecond); waited != 3*time.Millisecond {
			t.Errorf("after a question of 3 ms the worker rested for %v", waited)
		}
		if waited := question(0); waited != 5*time.Millisecond {
			t.Errorf("after a question of 20 ms the worker rested for %v", waited)
		}
	})
}

func TestAside(t *testing.T) {
	scene(t, func(c *limits.Config) { c.LocalWorkers = 1 }, func(t *testing.T, s *stage) {
		within, leave, err := s.Admit(t.Context(), client("border-police"), check)
		if err != nil {
			t.Fatal(err)
		}
		back := limits.Aside(within) // it asks abroad
		second, err := s.Enter(t.Context(), client("border-police"), check)
		if err != nil {
			t.Fatalf("the worker was not given back: %v", err)
		}
		// A third one waits; the first, who has begun, comes before him.
		var order []string
		var all sync.WaitGroup
		all.Go(func() {
			third, err := s.Enter(t.Context(), client("customs"), check)
			if err != nil {
				t.Error(err)
				return
			}
			order = append(order, "third")
			third()
		})
		synctest.Wait()
		all.Go(func() {
			back()
			order = append(order, "first")
			leave()
		})
		synctest.Wait()
		second()
		all.Wait()
		if !slices.Equal(order, []string{"first", "third"}) {
			t.Errorf("order %v", order)
		}
		limits.Aside(t.Context())() // outside of a call it does nothing

		// Whose time ends while he is aside has no worker to give back.
		ctx, cancel := context.WithCancel(t.Context())
		within, leave, err = s.Admit(ctx, client("border-police"), check)
		if err != nil {
			t.Fatal(err)
		}
		back = limits.Aside(within)
		second, err = s.Enter(t.Context(), client("customs"), check)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		back()
		leave()
		_, err = s.Enter(t.Context(), client("x"), check)
		wantReason(t, err, fault.QueueFull) // the second holds the only worker still
		second()
	})
}

// TestAsideForBooks holds that others work while the books of a call are written, but for those of the
// mesh while the own border is at work.
func TestAsideForBooks(t *testing.T) {
	scene(t, func(c *limits.Config) { c.MeshWorkers, c.LocalWorkers = 1, 1 }, func(t *testing.T, s *stage) {
		enters := func(who identity.Identity, method string) bool {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			leave, err := s.Enter(ctx, who, method)
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			if err == nil {
				leave()
			}
			return err == nil
		}
		within, leave, err := s.Admit(t.Context(), node("ESP"), askMethod)
		if err != nil {
			t.Fatal(err)
		}
		if enters(node("FRA"), askMethod) {
			t.Error("two have the only worker")
		}
		back := limits.AsideForBooks(within)
		if !enters(node("FRA"), askMethod) {
			t.Error("the worker was not given back")
		}
		back()
		leave()
		if got := s.Loads(); got[0].Busy != 0 {
			t.Errorf("a worker was given back twice, or not at all: %+v", got)
		}

		within, leave, err = s.Admit(t.Context(), client("border-police"), check)
		if err != nil {
			t.Fatal(err)
		}
		back = limits.AsideForBooks(within)
		if !enters(client("customs"), check) {
			t.Error("the border's worker was not given back")
		}
		back()
		leave()
		// The own border is at work now.
		within, leave, err = s.Admit(t.Context(), node("ESP"), askMethod)
		if err != nil {
			t.Fatal(err)
		}
		back = limits.AsideForBooks(within)
		if enters(node("FRA"), askMethod) {
			t.Error("the mesh has more workers than the border leaves it")
		}
		back()
		leave()

		// A call that needs no worker has none to give.
		within, leave, err = s.Admit(t.Context(), client("border-police"), adminv1.AdminService_GetStatus_FullMethodName)
		if err != nil {
			t.Fatal(err)
		}
		limits.AsideForBooks(within)()
		leave()
	})
}

func TestWaitingEnds(t *testing.T) {
	scene(t, func(c *limits.Config) { c.MeshWorkers = 1 }, func(t *testing.T, s *stage) {
		busy, err := s.Enter(t.Context(), node("ESP"), askMethod)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = s.Enter(t.Context(), node("FRA"), askMethod)
		wantReason(t, err, fault.QueueFull)
		if took := time.Since(began); took < 1050*time.Millisecond || took > 1150*time.Millisecond {
			t.Errorf("waited %v, want a second and the refusal's delay", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := s.Enter(ctx, node("FRA"), askMethod); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without time: %v", err)
		}
		busy()
		// Those who went away are not in the way.
		leave, err := s.Enter(t.Context(), node("ITA"), askMethod)
		if err != nil {
			t.Fatal(err)
		}
		leave()
		if _, err := s.Enter(t.Context(), identity.Identity{}, askMethod); err == nil {
			t.Error("nobody came in")
		}
	})
}

// TestStalledDisk holds that a disk that stalls gathers no more calls than the pool lets be aside.
func TestStalledDisk(t *testing.T) {
	scene(t, func(c *limits.Config) {
		c.MeshWorkers = 2
		c.Bureau = &adminv1.Quota{PerSecond: 1e6, Burst: 1e6}
	}, func(t *testing.T, s *stage) {
		var inside atomic.Int64
		repaired := make(chan struct{})
		var storm sync.WaitGroup
		for i := range 200 {
			storm.Go(func() {
				within, leave, err := s.Admit(t.Context(), node(bureau(i%64)), askMethod)
				if err != nil {
					wantReason(t, err, fault.QueueFull)
					return
				}
				inside.Add(1)
				back := limits.AsideForBooks(within)
				<-repaired
				back()
				leave()
			})
		}
		pass(10 * time.Second) // who waits for a worker is turned away
		if got := inside.Load(); got != 2+2*8 {
			t.Errorf("%d asks wait for a disk that stalls, want those of 2 workers and 16 aside", got)
		}
		close(repaired)
		storm.Wait()
		if got := s.Loads(); got[0].Busy != 0 || got[0].Waiting != 0 {
			t.Errorf("afterwards: %+v", got)
		}
	})
}

package limits_test

import (
	"context"
	"errors"
	"fmt"
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
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

func bureau(i int) identity.Bureau {
	return identity.Bureau([]byte{byte('A' + i/26), byte('A' + i%26), 'X'})
}

func TestBucket(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		for i := range 500 {
			if err := s.asks("ESP", 0); err != nil {
				t.Fatalf("the %dth of the burst: %v", i, err)
			}
		}
		began := time.Now()
		err := s.asks("ESP", 0)
		wantReason(t, err, fault.TooSoon)
		if after, _ := fault.RetryAfter(err); after > 10*time.Millisecond {
			t.Errorf("again after %v at 100 a second", after)
		}
		held := time.Since(began)
		if held < 50*time.Millisecond || held > 150*time.Millisecond {
			t.Errorf("a refusal was held for %v, want 100 ms, half of it more or less", held)
		}
		// Meanwhile there were tokens: ten in 100 ms.
		for i := range int(held / (10 * time.Millisecond)) {
			if err := s.asks("ESP", 0); err != nil {
				t.Fatalf("the %dth after it: %v", i, err)
			}
		}
		wantReason(t, s.asks("ESP", 0), fault.TooSoon)
		// Nobody else notices, and what is no question has a bucket of its own.
		if err := s.asks("FRA", 0); err != nil {
			t.Error(err)
		}
		for _, method := range []string{queryv1.QueryService_Describe_FullMethodName, gossipv1.GossipService_Gossip_FullMethodName, auditv1.WitnessService_ProveMessage_FullMethodName} {
			leave, err := s.Enter(t.Context(), node("ESP"), method)
			if err != nil {
				t.Fatalf("%s: %v", method, err)
			}
			leave()
		}
	})
}

// TestFloods has 64 bureaus flood while one asks as it should.
func TestFloods(t *testing.T) {
	// Eight workers and a call of 10 ms: 800 calls a second, for 64 bureaus that want 100 each.
	scene(t, func(c *limits.Config) { c.MeshWorkers = 8 }, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithCancel(t.Context())
		served := make([]atomic.Int64, 64)
		var floods sync.WaitGroup
		for i := range served {
			for range 20 {
				floods.Go(func() {
					for ctx.Err() == nil {
						leave, err := s.Enter(ctx, node(bureau(i)), askMethod)
						if err != nil {
							if reason, _ := fault.ReasonOf(err); reason != fault.QueueFull && reason != fault.TooSoon && !errors.Is(err, context.Canceled) {
								t.Errorf("a flood met %v", err)
							}
							continue
						}
						time.Sleep(10 * time.Millisecond)
						leave()
						served[i].Add(1)
					}
				})
			}
		}
		var waits []time.Duration
		for range 200 {
			began := time.Now()
			leave, err := s.Enter(t.Context(), node("ESP"), askMethod)
			if err != nil {
				t.Fatalf("the one that asks as it should: %v", err)
			}
			waits = append(waits, time.Since(began))
			time.Sleep(10 * time.Millisecond)
			leave()
			time.Sleep(50 * time.Millisecond)
		}
		cancel()
		floods.Wait()
		slices.Sort(waits)
		// One turn of 65 bureaus, eight at a time, 10 ms each: 80 ms, and what is being worked on.
		if worst := waits[len(waits)-1]; worst > 110*time.Millisecond {
			t.Errorf("it waited up to %v", worst)
		}
		var counts []int64
		for i := range served {
			counts = append(counts, served[i].Load())
		}
		least, most := slices.Min(counts), slices.Max(counts)
		if least*10 < most*9 {
			t.Errorf("one flood was served %d times, another %d times", least, most)
		}
		t.Logf("median wait %v, worst %v; floods served %d to %d times", waits[100], waits[199], least, most)
	})
}

// TestOneFloods has one bureau flood with all it has.
func TestOneFloods(t *testing.T) {
	scene(t, func(c *limits.Config) {
		c.MeshWorkers = 4
		c.Bureau = &adminv1.Quota{PerSecond: 1e6, Burst: 1e6}
	}, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithCancel(t.Context())
		var flood sync.WaitGroup
		var full atomic.Int64
		for range 300 {
			flood.Go(func() {
				for ctx.Err() == nil {
					leave, err := s.Enter(ctx, node("ESP"), askMethod)
					if err != nil {
						if reason, _ := fault.ReasonOf(err); reason == fault.QueueFull {
							full.Add(1)
						}
						continue
					}
					time.Sleep(10 * time.Millisecond)
					leave()
				}
			})
		}
		for range 100 {
			began := time.Now()
			leave, err := s.Enter(t.Context(), node("FRA"), askMethod)
			if wait := time.Since(began); err != nil || wait > 10*time.Millisecond {
				t.Fatalf("after %v: %v", wait, err)
			}
			leave()
			time.Sleep(20 * time.Millisecond)
		}
		cancel()
		flood.Wait()
		if full.Load() == 0 {
			t.Error("300 callers waited at once: the queue has no bound")
		}
	})
}

// TestStreams holds that an open stream holds no worker, and that there are only so many.
func TestStreams(t *testing.T) {
	scene(t, func(c *limits.Config) { c.MeshWorkers, c.LocalWorkers = 1, 1 }, func(t *testing.T, s *stage) {
		var leaves []func()
		for range 16 {
			leave, err := s.Enter(t.Context(), node("ESP"), gossipv1.GossipService_Gossip_FullMethodName)
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		_, err := s.Enter(t.Context(), node("ESP"), queryv1.QueryService_Describe_FullMethodName)
		wantReason(t, err, fault.QueueFull)
		if err := s.asks("ESP", 0); err != nil {
			t.Errorf("an ask beside open streams: %v", err)
		}
		leaves[0]()
		leaves[0]() // a second call does nothing
		leave, err := s.Enter(t.Context(), node("ESP"), queryv1.QueryService_Describe_FullMethodName)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Enter(t.Context(), node("ESP"), queryv1.QueryService_Describe_FullMethodName)
		wantReason(t, err, fault.QueueFull)
		leave()

		// The counters are all busy; an operator gets through.
		busy, err := s.Enter(t.Context(), client("border-police"), check)
		if err != nil {
			t.Fatal(err)
		}
		leave, err = s.Enter(t.Context(), client("operations"), adminv1.AdminService_SetQuota_FullMethodName)
		if err != nil {
			t.Fatal(err)
		}
		leave()
		_, err = s.Enter(t.Context(), client("customs"), check)
		wantReason(t, err, fault.QueueFull)
		busy()
	})
}

// TestRows holds that a batch is paced and not turned away, and does not hold up the counters of
// its own agency.
func TestRows(t *testing.T) {
	scene(t, func(c *limits.Config) {
		c.LocalWorkers = 2
		c.Agency = &adminv1.Quota{PerSecond: 100, Burst: 50}
	}, func(t *testing.T, s *stage) {
		var batch sync.WaitGroup
		began := time.Now()
		rows := make(chan int)
		for range 8 {
			batch.Go(func() {
				for range rows {
					_, leave, err := s.Row(t.Context(), client("airline-desk"))
					if err != nil {
						t.Errorf("a row: %v", err)
						return
					}
					time.Sleep(10 * time.Millisecond)
					leave()
				}
			})
		}
		for i := range 550 {
			rows <- i
		}
		close(rows)
		batch.Wait()
		if took := time.Since(began).Round(100 * time.Millisecond); took != 5*time.Second {
			t.Errorf("550 rows took %v, want 5s: a burst of 50 and 100 a second", took)
		}

		// A full local pool: counter and batch of one agency take turns.
		busy := make([]func(), 2)
		for i := range busy {
			busy[i], _ = s.Enter(t.Context(), client("x"), check)
		}
		order := make(chan string, 9)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				_, leave, err := s.Row(t.Context(), client("y"))
				if err != nil {
					t.Error(err)
					return
				}
				order <- "row"
				time.Sleep(time.Millisecond)
				leave()
			})
		}
		synctest.Wait()
		all.Go(func() {
			leave, err := s.Enter(t.Context(), client("y"), check)
			if err != nil {
				t.Error(err)
				return
			}
			order <- "counter"
			leave()
		})
		synctest.Wait()
		for _, leave := range busy {
			leave()
		}
		all.Wait()
		if first, second := <-order, <-order; first != "counter" && second != "counter" {
			t.Error("the counter waited behind its agency's batch")
		}

		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		for range 100 {
			if _, leave, err := s.Row(ctx, client("z")); err == nil {
				leave()
			} else if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a row without time: %v", err)
			}
		}
	})
}

// TestBooksOfAStorm holds that the first call turned away is booked at once, and then one entry a
// minute with a count.
func TestBooksOfAStorm(t *testing.T) {
	var broken atomic.Bool
	scene(t, func(c *limits.Config) {
		c.Bureau = &adminv1.Quota{PerSecond: 0.001, Burst: 1}
		book := c.Book
		c.Book = func(ctx context.Context, e *auditv1.Entry) error {
			if broken.Load() {
				return errors.New("no space left")
			}
			return book(ctx, e)
		}
	}, func(t *testing.T, s *stage) {
		refused := uint64(0)
		ask := func() {
			if s.asks("ESP", 0) != nil {
				refused++
			}
		}
		ask()
		ask()
		synctest.Wait()
		if got := s.all("ESP"); got != 1 {
			t.Errorf("%d booked after the first", got)
		}
		for range 3000 { // five minutes
			ask()
		}
		s.mu.Lock()
		entries := len(s.booked)
		s.mu.Unlock()
		if entries < 5 || entries > 6 {
			t.Errorf("%d entries in five minutes", entries)
		}
		// The books cannot be written for a while: nothing is lost.
		broken.Store(true)
		for range 1200 {
			ask()
		}
		broken.Store(false)
		s.close()
		if got := s.inBooks("ESP"); got["TOO_SOON"] != refused || len(got) != 1 {
			t.Errorf("%d refused, booked %v", refused, got)
		}
		if s.raised("THROTTLED ESP") == 0 || s.raised("ENUMERATION ESP") != 0 {
			t.Errorf("alarms %v", s.alarms)
		}
		last := s.booked[len(s.booked)-1]
		if last.GetRequester().GetBureau() != "ESP" || last.GetDirection() != auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL || last.GetOperation() != "ask" || last.GetElapsed().AsDuration() < time.Minute {
			t.Errorf("entry %v", last)
		}
	})
	scene(t, func(c *limits.Config) { c.Agency = &adminv1.Quota{PerSecond: 0.001, Burst: 1} }, func(t *testing.T, s *stage) {
		for range 2 {
			if leave, err := s.Enter(t.Context(), client("customs"), check); err == nil {
				leave()
			}
		}
		s.close()
		if e := s.booked[0]; e.GetBureau() != "BEL" || e.GetDirection() != auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL || e.GetRequester().GetAgency() != "customs" || e.GetOperation() != "check" {
			t.Errorf("entry %v", e)
		}
	})
}

func TestCountsAndLoads(t *testing.T) {
	counts := map[string]int{}
	scene(t, func(c *limits.Config) {
		c.MeshWorkers = 1
		c.Count = func(scope adminv1.QuotaScope, name string, reason fault.Reason) {
			counts[fmt.Sprint(scope.Number(), name, reason)]++
		}
	}, func(t *testing.T, s *stage) {
		leave, err := s.Enter(t.Context(), node("ESP"), askMethod)
		if err != nil {
			t.Fatal(err)
		}
		waits := make(chan error)
		go func() {
			_, err := s.Enter(t.Context(), node("FRA"), askMethod)
			waits <- err
		}()
		synctest.Wait()
		if got := s.Loads()[0]; got != (limits.Load{Pool: "mesh", Capacity: 1, Busy: 1, Waiting: 1}) {
			t.Errorf("load %+v", got)
		}
		wantReason(t, <-waits, fault.QueueFull)
		leave()
		if got := s.Loads()[0]; got.Busy != 0 || got.Waiting != 0 || counts["1FRAQUEUE_FULL"] != 1 {
			t.Errorf("load %+v, counts %v", got, counts)
		}
	})
}

func TestManyAccounts(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		for i := range 12_000 {
			leave, err := s.Enter(t.Context(), client(fmt.Sprintf("agency-%d", i)), screeningv1.ScreeningService_CheckBatch_FullMethodName)
			if err != nil {
				break // those who share an account share its streams
			}
			leave()
		}
		if got := len(s.List(0, "")); got > 10_000 {
			t.Errorf("%d quotas: more than a response holds", got)
		}
	})
}

// TestQuestionsOfADay: the same question again and again tells nothing new, but fills the books.
func TestQuestionsOfADay(t *testing.T) {
	quota := &adminv1.Quota{PerSecond: 1000, Burst: 1000, SubjectsPerDay: 20}
	scene(t, func(c *limits.Config) { c.Bureau = quota }, func(t *testing.T, s *stage) {
		same := s.document(number(1))
		for i := range 200 {
			if err := s.asks("ESP", 0, same...); err != nil {
				t.Fatalf("question %d: %v", i, err)
			}
		}
		wantReason(t, s.asks("ESP", 0, same...), fault.QuotaExceeded)
		if err := s.asks("FRA", 0, same...); err != nil {
			t.Errorf("another bureau: %v", err)
		}
		pass(time.Minute)
		if s.raised("ENUMERATION ESP") == 0 || s.inBooks("ESP")[string(fault.QuotaExceeded)] != 1 {
			t.Errorf("alarms %v, in the books %v", s.alarms, s.inBooks("ESP"))
		}
		pass(26 * time.Hour)
		if err := s.asks("ESP", 0, same...); err != nil {
			t.Errorf("a day later: %v", err)
		}
	})
}

// TestNoRoom: when the disk is almost full the mesh is turned away and the own border is not.
func TestNoRoom(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		s.NoRoom(true)
		err := s.asks("ESP", 0)
		wantReason(t, err, fault.QueueFull)
		if after, _ := fault.RetryAfter(err); after != time.Minute {
			t.Errorf("again after %s", after)
		}
		for what, call := range map[string]struct {
			from   identity.Identity
			method string
		}{"a check": {client("customs"), check}, "gossip": {node("ESP"), gossipv1.GossipService_Gossip_FullMethodName}} {
			leave, err := s.Enter(t.Context(), call.from, call.method)
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			leave()
		}
		s.NoRoom(false)
		if err := s.asks("ESP", 0); err != nil {
			t.Errorf("with room: %v", err)
		}
	})
}

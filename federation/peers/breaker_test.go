package peers_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/peers"
	"github.com/entente-mesh/entente/federation/server/meshtest"
)

func TestPeerThatAnswersTheProbeAndNoCallIsSpared(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		stuck := func(ctx context.Context, _ grpc.ClientConnInterface) error { <-ctx.Done(); return ctx.Err() }
		s.bel.Sync([]peers.Member{member("ESP")})
		if _, err := s.bel.Ready(t.Context(), "ESP"); err != nil {
			t.Fatal(err)
		}
		// A minute of calls, ten a second, each ready to wait a second: all but a few are spared it.
		waited := 0
		for end := time.Now().Add(time.Minute); time.Now().Before(end); {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := s.bel.Do(ctx, "ESP", stuck); !errors.Is(err, peers.ErrUnreachable) {
				waited++
			}
			cancel()
			time.Sleep(100 * time.Millisecond)
		}
		if waited == 0 || waited > 10 {
			t.Errorf("%d calls waited for a peer whose calls are stuck, want a few", waited)
		}
		time.Sleep(15 * time.Second)
		if err := s.bel.Do(t.Context(), "ESP", get); err != nil {
			t.Errorf("when it works again: %v", err)
		}
	})
}

func TestHurryOfOneCallerCutsNobodyOff(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.bel.Sync([]peers.Member{member("ESP")})
		if _, err := s.bel.Ready(t.Context(), "ESP"); err != nil {
			t.Fatal(err)
		}
		stuck := func(ctx context.Context, _ grpc.ClientConnInterface) error { <-ctx.Done(); return ctx.Err() }
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		_ = s.bel.Do(ctx, "ESP", stuck)
		gone, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		_ = s.bel.Do(gone, "ESP", stuck)
		wantState(t, s.bel, "ESP", connected)
	})
}

func TestSlowCallDoesNotCostTheOthersTheirAnswers(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.bel.Sync([]peers.Member{member("ESP")})
		if _, err := s.bel.Ready(t.Context(), "ESP"); err != nil {
			t.Fatal(err)
		}
		other := make(chan error)
		go func() {
			other <- s.bel.Do(t.Context(), "ESP", func(ctx context.Context, conn grpc.ClientConnInterface) error {
				time.Sleep(3 * time.Second) // it is under way when the breaker opens
				return get(ctx, conn)
			})
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = s.bel.Do(ctx, "ESP", func(ctx context.Context, _ grpc.ClientConnInterface) error { <-ctx.Done(); return ctx.Err() })
		wantState(t, s.bel, "ESP", unreachable)
		if err := <-other; err != nil {
			t.Errorf("the call that was under way: %v", err)
		}
	})
}

func TestBrokenConnectionIsRetriedOnce(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.bel.Sync([]peers.Member{member("ESP")})
		if _, err := s.bel.Ready(t.Context(), "ESP"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		calls := 0
		err := s.bel.Do(t.Context(), "ESP", func(ctx context.Context, conn grpc.ClientConnInterface) error {
			if calls++; calls == 1 {
				s.mesh.Net.Break(meshtest.Address("ESP"))
				synctest.Wait()
			}
			return get(ctx, conn)
		})
		if err != nil || calls < 1 {
			t.Fatalf("after %d calls: %v", calls, err)
		}
		calls = 0
		err = s.bel.Do(t.Context(), "ESP", func(context.Context, grpc.ClientConnInterface) error {
			calls++
			s.mesh.Net.Break(meshtest.Address("ESP"))
			return status.Error(codes.Unavailable, "the connection broke")
		})
		if status.Code(err) != codes.Unavailable || calls > 2 {
			t.Errorf("a call that breaks every connection was made %d times: %v", calls, err)
		}
	})
}

func TestUnavailableSaidByTheProgramIsAnAnswer(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.bel.Sync([]peers.Member{member("ESP")})
		calls := 0
		err := s.bel.Do(t.Context(), "ESP", func(context.Context, grpc.ClientConnInterface) error {
			calls++
			return fault.New(codes.Unavailable, fault.BooksUnavailable, "", "try again")
		})
		if reason, _ := fault.ReasonOf(err); reason != fault.BooksUnavailable || calls != 1 {
			t.Errorf("%d calls: %v", calls, err)
		}
		wantState(t, s.bel, "ESP", connected)
	})
}

// TestOneHardQuestionCutsNobodyOff holds that a peer that gives a question up as too long is asked
// on, until it gives up nothing but that.
func TestOneHardQuestionCutsNobodyOff(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.bel.Sync([]peers.Member{member("ESP")})
		hard := func(context.Context, grpc.ClientConnInterface) error {
			time.Sleep(500 * time.Millisecond)
			return fault.New(codes.DeadlineExceeded, fault.DeadlineExceeded, "", "ask for less")
		}
		for range 10 {
			for range 2 {
				_ = s.bel.Do(t.Context(), "ESP", hard)
			}
			wantState(t, s.bel, "ESP", connected)
			if err := s.bel.Do(t.Context(), "ESP", get); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			_ = s.bel.Do(t.Context(), "ESP", hard)
		}
		wantState(t, s.bel, "ESP", unreachable)
		time.Sleep(15 * time.Second)
		if err := s.bel.Do(t.Context(), "ESP", get); err != nil {
			t.Errorf("when it works again: %v", err)
		}
	})
}

// TestLateOverdueAnswersAreOfTheSessionBefore holds that what was asked before the peer was cut off,
// and is given up after it is back, does not cut it off again.
func TestLateOverdueAnswersAreOfTheSessionBefore(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.bel.Sync([]peers.Member{member("ESP")})
		overdue := fault.New(codes.DeadlineExceeded, fault.DeadlineExceeded, "", "ask for less")
		late := make(chan struct{})
		for range 5 {
			go func() {
				_ = s.bel.Do(t.Context(), "ESP", func(context.Context, grpc.ClientConnInterface) error {
					<-late
					return overdue
				})
			}()
		}
		synctest.Wait()
		for range 3 {
			_ = s.bel.Do(t.Context(), "ESP", func(context.Context, grpc.ClientConnInterface) error { return overdue })
		}
		wantState(t, s.bel, "ESP", unreachable)
		time.Sleep(15 * time.Second)
		wantState(t, s.bel, "ESP", connected)
		close(late)
		synctest.Wait()
		wantState(t, s.bel, "ESP", connected)
		for range 2 {
			_ = s.bel.Do(t.Context(), "ESP", func(context.Context, grpc.ClientConnInterface) error { return overdue })
		}
		wantState(t, s.bel, "ESP", connected)
	})
}

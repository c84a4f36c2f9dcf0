package peers_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/peers"
	"github.com/entente-mesh/entente/federation/server/meshtest"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	connecting  = adminv1.PeerState_PEER_STATE_CONNECTING
	connected   = adminv1.PeerState_PEER_STATE_CONNECTED
	unreachable = adminv1.PeerState_PEER_STATE_UNREACHABLE
	distrusted  = adminv1.PeerState_PEER_STATE_DISTRUSTED
)

// scene runs a test in a bubble of time, in which BEL has a pool and ESP a node.
func scene(t *testing.T, play func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{mesh: meshtest.New()}
		s.esp = s.mesh.Join(t, "ESP")
		s.bel = s.pool(t, nil)
		// Also after a failure: a bubble must not be left with goroutines in it.
		defer func() {
			s.bel.Close()
			if s.esp != nil {
				s.esp.Stop(t)
			}
		}()
		play(t, s)
	})
}

type stage struct {
	mesh *meshtest.Mesh
	esp  *meshtest.Bureau
	bel  *peers.Pool
}

func (s *stage) pool(t *testing.T, change func(*peers.Config)) *peers.Pool {
	t.Helper()
	cfg := peers.Config{
		Self: "BEL", DialOptions: s.mesh.DialOptions("BEL"), Offers: s.mesh.Verifier(),
		Dial: s.mesh.Net.Dial,
	}
	if change != nil {
		change(&cfg)
	}
	p, err := peers.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func member(b identity.Bureau) peers.Member {
	return peers.Member{Bureau: b, Address: meshtest.Address(b)}
}

func state(p *peers.Pool, b identity.Bureau) adminv1.PeerState {
	for _, seen := range p.Peers() {
		if seen.GetBureau() == string(b) {
			return seen.GetState()
		}
	}
	return adminv1.PeerState_PEER_STATE_UNSPECIFIED
}

func wantState(t *testing.T, p *peers.Pool, b identity.Bureau, want adminv1.PeerState) {
	t.Helper()
	if got := state(p, b); got != want {
		t.Fatalf("%s is %v, want %v (%v)", b, got, want, p.Peers())
	}
}

// get is a small call that the peer answers: the newest roster.
func get(ctx context.Context, conn grpc.ClientConnInterface) error {
	_, err := rosterv1.NewRosterServiceClient(conn).Get(ctx, &rosterv1.GetRequest{})
	return err
}

func TestConnectsAndLearnsTheOffer(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.bel.Close()
		dialled := make(chan struct{})
		s.bel = s.pool(t, func(c *peers.Config) {
			dial := c.Dial
			c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				<-dialled
				return dial(ctx, address)
			}
		})
		s.bel.Sync([]peers.Member{member("BEL"), member("ESP")})
		synctest.Wait()
		_, known := s.bel.Offer("ESP")
		close(dialled)
		if known {
			t.Fatal("ESP's offer is known before it said anything")
		}
		if _, err := s.bel.Ready(t.Context(), "ESP"); err != nil {
			t.Fatalf("ESP does not get ready: %v", err)
		}
		offer, known := s.bel.Offer("ESP")
		if !known || len(offer.GetCollections()) != 1 {
			t.Fatalf("ESP offers %v (known: %t)", offer, known)
		}
		if err := s.bel.Do(t.Context(), "ESP", get); err != nil {
			t.Fatalf("call: %v", err)
		}
		seen := s.bel.Peers()
		if len(seen) != 1 {
			t.Fatalf("peers are %v: the own bureau is none", seen)
		}
		if p := seen[0]; p.GetState() != connected || p.GetRosterVersion() != 1 || len(p.GetOffers()) != 1 || p.GetAddress() != meshtest.Address("ESP") {
			t.Errorf("ESP is seen as %v", p)
		}
	})
}

func TestOfferOfNothingIsKnownAndAnExpiredOneIsNot(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.bel.Sync([]peers.Member{member("ESP")})
		synctest.Wait()
		s.esp.Offers.Set(&queryv1.Offer{RosterVersion: 2})
		synctest.Wait()
		offer, known := s.bel.Offer("ESP")
		if !known || len(offer.GetCollections()) != 0 || offer.GetRosterVersion() != 2 {
			t.Fatalf("ESP offers %v (known: %t), want nothing, and to know it", offer, known)
		}
		// An offer is renewed before it expires, for as long as the peer is there.
		time.Sleep(time.Hour)
		if _, known := s.bel.Offer("ESP"); !known {
			t.Fatal("the offer was not renewed")
		}
		s.esp.Kill(t)
		time.Sleep(time.Minute)
		if _, known := s.bel.Offer("ESP"); !known {
			t.Fatal("a cut line makes what a bureau offers unknown")
		}
		time.Sleep(15 * time.Minute)
		if _, known := s.bel.Offer("ESP"); known {
			t.Fatal("an expired offer is still known")
		}
		s.esp = nil
	})
}

func TestDeadPeerCostsNothingAndIsUsedAgain(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.bel.Sync([]peers.Member{member("ESP")})
		if err := s.bel.Do(t.Context(), "ESP", get); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s.esp.Kill(t)
		died := time.Now()
		if err := s.bel.Do(t.Context(), "ESP", get); err == nil {
			t.Fatal("a dead peer answered")
		}
		began := time.Now()
		err := s.bel.Do(t.Context(), "ESP", get)
		var down *peers.UnreachableError
		if !errors.As(err, &down) || !errors.Is(err, peers.ErrUnreachable) {
			t.Fatalf("second call: %v, want an UnreachableError", err)
		}
		if waited := time.Since(began); waited > time.Millisecond {
			t.Errorf("the second call waited %v", waited)
		}
		time.Sleep(10 * time.Minute)
		err = s.bel.Do(t.Context(), "ESP", get)
		if !errors.As(err, &down) || down.Since.Sub(died).Abs() > time.Second {
			t.Errorf("down since %v, died at %v: the time of the first failure counts, not of the last attempt", down.Since, died)
		}
		s.esp.Start(t)
		back := time.Now()
		for state(s.bel, "ESP") != connected {
			time.Sleep(100 * time.Millisecond)
			if time.Since(back) > 15*time.Second {
				t.Fatal("a peer that came back is not used again within 15 s")
			}
		}
		if err := s.bel.Do(t.Context(), "ESP", get); err != nil {
			t.Fatal(err)
		}
	})
}

func TestHungPeerIsFoundByACallAndUsedAgain(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.bel.Sync([]peers.Member{member("ESP")})
		if err := s.bel.Do(t.Context(), "ESP", get); err != nil {
			t.Fatal(err)
		}
		s.mesh.Net.Hang(meshtest.Address("ESP"))
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if err := s.bel.Do(ctx, "ESP", get); status.Code(err) != codes.DeadlineExceeded {
			t.Fatalf("call to a hung peer: %v", err)
		}
		for range 100 { // for as long as it hangs, nobody waits again
			began := time.Now()
			if err := s.bel.Do(t.Context(), "ESP", get); !errors.Is(err, peers.ErrUnreachable) {
				t.Fatalf("later call: %v", err)
			}
			if waited := time.Since(began); waited > time.Millisecond {
				t.Fatalf("a later call waited %v", waited)
			}
			time.Sleep(time.Second)
		}
		s.mesh.Net.Resume(meshtest.Address("ESP"))
		back := time.Now()
		for state(s.bel, "ESP") != connected {
			time.Sleep(100 * time.Millisecond)
			if time.Since(back) > 15*time.Second {
				t.Fatal("a peer that hung is not used again within 15 s")
			}
		}
	})
}

func TestSilentPeerIsFoundWithoutACall(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.bel.Sync([]peers.Member{member("ESP")})
		synctest.Wait()
		wantState(t, s.bel, "ESP", connected)
		s.mesh.Net.Hang(meshtest.Address("ESP"))
		time.Sleep(30 * time.Second)
		wantState(t, s.bel, "ESP", unreachable)
		s.mesh.Net.Resume(meshtest.Address("ESP"))
		time.Sleep(15 * time.Second)
		wantState(t, s.bel, "ESP", connected)
	})
}

func TestFirstAttemptIsWaitedFor(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.mesh.Net.Hang(meshtest.Address("ESP"))
		s.bel.Sync([]peers.Member{member("ESP")})
		wantState(t, s.bel, "ESP", connecting)
		time.AfterFunc(time.Second, func() { s.mesh.Net.Resume(meshtest.Address("ESP")) })
		if err := s.bel.Do(t.Context(), "ESP", get); err != nil {
			t.Fatalf("the first call was not kept until the connection stood: %v", err)
		}
	})
}

func TestPeerThatNeverAnsweredIsWaitedForOnce(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.mesh.Net.Hang(meshtest.Address("ESP"))
		s.bel.Sync([]peers.Member{member("ESP")})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.bel.Do(ctx, "ESP", get); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("first: %v", err)
		}
		began := time.Now()
		if err := s.bel.Do(t.Context(), "ESP", get); !errors.Is(err, peers.ErrUnreachable) || time.Since(began) > time.Millisecond {
			t.Fatalf("second, after %v: %v", time.Since(began), err)
		}
		s.mesh.Net.Resume(meshtest.Address("ESP"))
	})
}

func TestKickTriesAtOnceAndNotInAFlood(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.bel.Sync([]peers.Member{member("ESP")})
		synctest.Wait()
		s.esp.Kill(t)
		time.Sleep(time.Minute)
		s.esp.Start(t)
		back := time.Now()
		s.bel.Kick("ESP")
		for state(s.bel, "ESP") != connected && time.Since(back) < 10*time.Second {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(back); took > 500*time.Millisecond {
			t.Errorf("after a hint it took %v", took)
		}
		s.esp.Kill(t)
		time.Sleep(time.Minute)
		before := s.mesh.Net.Dials(meshtest.Address("ESP"))
		for range 10_000 {
			s.bel.Kick("ESP")
			time.Sleep(time.Millisecond)
		}
		if dials := s.mesh.Net.Dials(meshtest.Address("ESP")) - before; dials > 60 {
			t.Errorf("10,000 hints in 10 s made %d connections", dials)
		}
		s.bel.Kick("XXX") // a hint about nobody is nothing
		s.esp = nil
	})
}

func TestSyncFollowsTheRoster(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.bel.Sync([]peers.Member{member("ESP")})
		synctest.Wait()
		wantState(t, s.bel, "ESP", connected)

		s.bel.Sync([]peers.Member{{Bureau: "ESP", Address: meshtest.Address("ESP"), Distrusted: true}})
		synctest.Wait()
		wantState(t, s.bel, "ESP", distrusted)
		err := s.bel.Do(t.Context(), "ESP", get)
		if !errors.Is(err, peers.ErrDistrusted) {
			t.Errorf("call to a distrusted bureau: %v", err)
		}
		if _, known := s.bel.Offer("ESP"); known {
			t.Error("the offer of a distrusted bureau stands")
		}
		dials := s.mesh.Net.Dials(meshtest.Address("ESP"))
		time.Sleep(time.Hour)
		if more := s.mesh.Net.Dials(meshtest.Address("ESP")); more != dials {
			t.Errorf("a distrusted bureau was dialled %d times", more-dials)
		}

		s.bel.Sync([]peers.Member{member("ESP")})
		synctest.Wait()
		wantState(t, s.bel, "ESP", connected)

		// A move: to an address where nobody listens. What it offers is still known.
		s.bel.Sync([]peers.Member{{Bureau: "ESP", Address: "elsewhere.test:1"}})
		synctest.Wait()
		wantState(t, s.bel, "ESP", unreachable)
		if _, known := s.bel.Offer("ESP"); !known {
			t.Error("a move makes the offer unknown")
		}

		s.bel.Sync(nil)
		synctest.Wait()
		if err := s.bel.Do(t.Context(), "ESP", get); !errors.Is(err, peers.ErrNotAPeer) {
			t.Errorf("call to a bureau that left: %v", err)
		}
		if _, err := s.bel.Conn("ESP"); !errors.Is(err, peers.ErrNotAPeer) {
			t.Errorf("connection of a bureau that left: %v", err)
		}
	})
}

func TestCallUnderWayEndsWithTheMembership(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.bel.Sync([]peers.Member{member("ESP")})
		if _, err := s.bel.Ready(t.Context(), "ESP"); err != nil {
			t.Fatal(err)
		}
		s.mesh.Net.Hang(meshtest.Address("ESP"))
		ended := make(chan error)
		go func() { ended <- s.bel.Do(t.Context(), "ESP", get) }()
		synctest.Wait()
		s.bel.Sync([]peers.Member{{Bureau: "ESP", Address: meshtest.Address("ESP"), Distrusted: true}})
		began := time.Now()
		if err := <-ended; err == nil || time.Since(began) > time.Millisecond {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		s.mesh.Net.Resume(meshtest.Address("ESP"))
	})
}

func TestMeasuresThePeersClock(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.esp.SetClock(time.Hour)
		s.bel.Sync([]peers.Member{member("ESP")})
		skew, err := s.bel.Ready(t.Context(), "ESP")
		if err != nil || (skew-time.Hour).Abs() > time.Second {
			t.Fatalf("skew %v, %v; want an hour", skew, err)
		}
		if _, known := s.bel.Offer("ESP"); !known {
			t.Error("the offer of a peer whose clock is an hour ahead is not believed")
		}
		s.esp.SetClock(-time.Hour)
		if err := s.bel.Remeasure(t.Context(), "ESP"); err != nil {
			t.Fatal(err)
		}
		if skew, _ := s.bel.Ready(t.Context(), "ESP"); (skew + time.Hour).Abs() > time.Second {
			t.Errorf("skew %v after its clock was set back", skew)
		}
		wantState(t, s.bel, "ESP", connected)
		if dials := s.mesh.Net.Dials(meshtest.Address("ESP")); dials != 1 {
			t.Errorf("%d connections: to measure again needs no new one", dials)
		}
	})
}

// liar passes off an offer as verified that is not what ESP says.
type liar struct{ change func(*queryv1.Offer) }

func (l liar) Offer(s *signedv1.Signed, from identity.Bureau) (*queryv1.Offer, error) {
	offer, err := meshtest.New().Verifier().Offer(s, from)
	if err == nil {
		l.change(offer)
	}
	return offer, err
}

type refuser struct{}

func (refuser) Offer(*signedv1.Signed, identity.Bureau) (*queryv1.Offer, error) {
	return nil, errors.New("no signature by a message key of ESP")
}

func TestOfferThatIsNotBelievedIsNoConnection(t *testing.T) {
	cases := map[string]struct {
		offers peers.OfferVerifier
		error  string
	}{
		"bad signature": {refuser{}, "could not be verified"},
		"another's":     {liar{func(o *queryv1.Offer) { o.Bureau = "FRA" }}, "one of FRA"},
		"for another":   {liar{func(o *queryv1.Offer) { o.Audience = "FRA" }}, "meant for FRA"},
		"expired":       {liar{func(o *queryv1.Offer) { o.NotAfter = o.IssuedAt }}, "expired"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			scene(t, func(t *testing.T, s *stage) {
				bel := s.pool(t, func(cfg *peers.Config) { cfg.Offers = c.offers })
				defer bel.Close()
				bel.Sync([]peers.Member{member("ESP")})
				synctest.Wait()
				wantState(t, bel, "ESP", unreachable)
				if got := bel.Peers()[0].GetLastError(); !strings.Contains(got, c.error) {
					t.Errorf("last error %q, want %q in it", got, c.error)
				}
				if _, known := bel.Offer("ESP"); known {
					t.Error("it is known what was not believed")
				}
				before := s.mesh.Net.Dials(meshtest.Address("ESP"))
				time.Sleep(time.Minute)
				if dials := s.mesh.Net.Dials(meshtest.Address("ESP")) - before; dials > 20 {
					t.Errorf("%d attempts in a minute: no pause between them", dials)
				}
			})
		})
	}
}

func TestEndlessOfferIsBelievedForAnHour(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		bel := s.pool(t, func(cfg *peers.Config) {
			cfg.Offers = liar{func(o *queryv1.Offer) { o.NotAfter.Seconds += 1 << 32 }}
		})
		defer bel.Close()
		bel.Sync([]peers.Member{member("ESP")})
		synctest.Wait()
		s.esp.Kill(t)
		s.esp = nil
		time.Sleep(61 * time.Minute)
		if _, known := bel.Offer("ESP"); known {
			t.Error("an offer for ever stands for ever")
		}
	})
}

func TestNewRosterVersionIsTold(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		told := make(chan uint64, 8)
		bel := s.pool(t, func(cfg *peers.Config) {
			cfg.Described = func(_ identity.Bureau, offer *queryv1.Offer) { told <- offer.GetRosterVersion() }
		})
		defer bel.Close()
		bel.Sync([]peers.Member{member("ESP")})
		if got := <-told; got != 1 {
			t.Errorf("told version %d", got)
		}
		s.esp.Offers.Set(&queryv1.Offer{RosterVersion: 7})
		if got := <-told; got != 7 {
			t.Errorf("told version %d after a change", got)
		}
	})
}

func TestWrongBureauAtTheAddressIsNobody(t *testing.T) {
	scene(t, func(t *testing.T, s *stage) {
		s.bel.Sync([]peers.Member{{Bureau: "BGR", Address: meshtest.Address("ESP")}})
		synctest.Wait()
		wantState(t, s.bel, "BGR", unreachable)
	})
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	_, err := peers.New(peers.Config{})
	if err == nil || !strings.Contains(err.Error(), "Self") || !strings.Contains(err.Error(), "Offers") {
		t.Errorf("error %v", err)
	}
}

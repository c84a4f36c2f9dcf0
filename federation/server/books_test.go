package server_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/federation/server/meshtest"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

func TestEverySignedAskStandsInTheBooks(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		ask := question(nil)
		signed := s.sign(t, ask)
		for range 2 {
			if _, err := send(t.Context(), s.bel, signed); err != nil {
				t.Fatal(err)
			}
		}
		stale := question(func(a *queryv1.Ask) {
			a.IssuedAt, a.NotAfter = timestamppb.New(time.Now().Add(-time.Hour)), timestamppb.New(time.Now().Add(-59*time.Minute))
		})
		_, err := send(t.Context(), s.bel, s.sign(t, stale))
		wantFault(t, err, codes.Unauthenticated, fault.AskExpired)
		reused := question(func(a *queryv1.Ask) { a.AskId, a.MaxCandidates = ask.GetAskId(), 1 })
		_, err = send(t.Context(), s.bel, s.sign(t, reused))
		wantFault(t, err, codes.Aborted, fault.AskIDReused)
		s.esp.Answers(func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error) {
			return nil, fault.New(codes.Unavailable, fault.SearchFailed, "", "ask again later")
		})
		_, err = send(t.Context(), s.bel, s.sign(t, question(nil)))
		wantFault(t, err, codes.Unavailable, fault.SearchFailed)
		s.esp.Answers(func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error) { panic("at a record") })
		_, err = send(t.Context(), s.bel, s.sign(t, question(nil)))
		wantFault(t, err, codes.Internal, fault.Internal)
		want := []string{
			"again " + ask.GetAskId(), "Unauthenticated ASK_EXPIRED", "Aborted ASK_ID_REUSED", "Unavailable SEARCH_FAILED", "Internal INTERNAL",
		}
		if diff := cmp.Diff(want, s.esp.Memory.Noted()); diff != "" {
			t.Errorf("books (-want +got):\n%s", diff)
		}
		if s.esp.Memory.Commit != 1 {
			t.Errorf("%d answers committed", s.esp.Memory.Commit)
		}
		// What nobody can be shown to have asked is in the log alone: a stranger must not fill the books.
		forged := s.sign(t, question(nil))
		forged.Signatures[0].Value[0] ^= 1
		_, err = send(t.Context(), s.bel, forged)
		wantFault(t, err, codes.Unauthenticated, fault.SignatureInvalid)
		if n := len(s.esp.Memory.Noted()); n != len(want) {
			t.Errorf("%d entries, want %d", n, len(want))
		}
	})
}

func TestRefusalIsNotToldUnbooked(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		s.esp.Memory.Fail(errors.New("disk full"))
		_, err := send(t.Context(), s.bel, s.sign(t, question(func(a *queryv1.Ask) { a.Audience = "LBN" })))
		wantFault(t, err, codes.Unavailable, fault.BooksUnavailable)
	})
}

func TestAnswerIsBookedAlsoIfItsCallerHasGone(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithCancel(t.Context())
		s.esp.Answers(func(served context.Context, from identity.Identity, ask *queryv1.Ask) (*queryv1.Answer, error) {
			cancel()
			<-served.Done()
			return meshtest.NoHit(served, from, ask)
		})
		if _, err := send(ctx, s.bel, s.sign(t, question(nil))); err == nil {
			t.Error("answered to nobody")
		}
		synctest.Wait()
		if s.esp.Memory.Commit != 1 {
			t.Errorf("%d answers committed, noted %v", s.esp.Memory.Commit, s.esp.Memory.Noted())
		}
	})
}

func TestCheckpointsAreShownAndSeen(t *testing.T) {
	witness := &meshtest.Witness{}
	scene(t, func(c *server.Config) { c.Witness = witness }, func(t *testing.T, s *stage) {
		first, err := send(t.Context(), s.bel, s.sign(t, question(nil)))
		if err != nil {
			t.Fatal(err)
		}
		witness.Publish("size 7")
		ask := question(func(a *queryv1.Ask) { a.LogCheckpoint = []byte("BEL's size 9") })
		signed := s.sign(t, ask)
		second, err := send(t.Context(), s.bel, signed)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"", "size 7"} {
			answer, err := s.mesh.Verifier().Answer([]*signedv1.Signed{first, second}[i], "ESP")
			if err != nil {
				t.Fatal(err)
			}
			if got := string(answer.GetLogCheckpoint()); got != want {
				t.Errorf("answer %d shows %q, want %q", i, got, want)
			}
		}
		seen := witness.Seen()
		// That BEL showed none at first is seen too.
		if len(seen) != 2 || seen[0].Checkpoint != "" || seen[1].From != "BEL" || seen[1].Checkpoint != "BEL's size 9" ||
			!seen[1].At.Equal(ask.GetIssuedAt().AsTime()) || string(seen[1].Carrier.GetPayload()) != string(signed.GetPayload()) {
			t.Errorf("seen %+v", seen)
		}
		// What BEL did not sign is not BEL's checkpoint.
		forged := s.sign(t, question(func(a *queryv1.Ask) { a.LogCheckpoint = []byte("a fork") }))
		forged.Payload[len(forged.Payload)-1] ^= 1
		if _, err := send(t.Context(), s.bel, forged); err == nil {
			t.Error("a forgery was answered")
		}
		if n := len(witness.Seen()); n != 2 {
			t.Errorf("%d checkpoints seen", n)
		}
	})
}

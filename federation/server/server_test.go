package server_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/federation/server/meshtest"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is a scene between BEL, which asks by hand, and ESP, whose node serves.
type stage struct {
	mesh *meshtest.Mesh
	esp  *meshtest.Bureau
	bel  *grpc.ClientConn
}

// scene runs a test in a bubble of time.
func scene(t *testing.T, change func(*server.Config), play func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		mesh := meshtest.New()
		s := &stage{mesh: mesh, esp: mesh.Join(t, "ESP")}
		if change != nil {
			s.esp.Stop(t)
			change(&s.esp.Config)
			s.esp.Start(t)
		}
		s.bel = s.dial(t, "BEL")
		// Also after a failure: a bubble must not be left with goroutines in it.
		defer func() {
			_ = s.bel.Close()
			s.esp.Stop(t)
		}()
		play(t, s)
	})
}

func (s *stage) dial(t *testing.T, as identity.Bureau) *grpc.ClientConn {
	t.Helper()
	options := append(s.mesh.DialOptions(as)("ESP"),
		grpc.WithContextDialer(s.dialer()), grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(64<<20)))
	conn, err := grpc.NewClient("passthrough:///"+meshtest.Address("ESP"), options...)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (s *stage) dialer() func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, _ string) (net.Conn, error) {
		return s.mesh.Net.Dial(ctx, meshtest.Address("ESP"))
	}
}

// question is an ask of BEL for ESP.
func question(change func(*queryv1.Ask)) *queryv1.Ask {
	now := time.Now()
	ask := &queryv1.Ask{
		AskId: uuid.NewString(), Nonce: make([]byte, 16), Audience: "ESP",
		IssuedAt: timestamppb.New(now), NotAfter: timestamppb.New(now.Add(30 * time.Second)),
		Requester:     &queryv1.Requester{Bureau: "BEL", Agency: "border-police"},
		Justification: &queryv1.Justification{Purpose: recordv1.Purpose_PURPOSE_BORDER_CONTROL},
		MaxCandidates: 5,
		Document:      &queryv1.DocumentQuery{Number: "XK1234567", Issuer: "ESP"},
	}
	if change != nil {
		change(ask)
	}
	return ask
}

func (s *stage) sign(t *testing.T, ask *queryv1.Ask) *signedv1.Signed {
	t.Helper()
	signed, err := s.mesh.Signer("BEL").Ask(ask)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func send(ctx context.Context, conn grpc.ClientConnInterface, signed *signedv1.Signed) (*signedv1.Signed, error) {
	response, err := queryv1.NewQueryServiceClient(conn).Ask(ctx, &queryv1.AskRequest{Ask: signed})
	return response.GetAnswer(), err
}

func wantFault(t *testing.T, err error, code codes.Code, reason fault.Reason) {
	t.Helper()
	got, ok := fault.ReasonOf(err)
	if !ok || got != reason || status.Code(err) != code {
		t.Errorf("error %v (reason %q), want %v %s", err, got, code, reason)
	}
}

func TestAnswerIsSignedCompleteAndCommitted(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		s.esp.Answers(meshtest.Every(queryv1.Status_STATUS_HIT, meshtest.Stolen("ESP", "ESP")))
		ask := question(nil)
		signed := s.sign(t, ask)
		received, err := send(t.Context(), s.bel, signed)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := s.mesh.Verifier().Answer(received, "ESP")
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256(signed.GetPayload())
		want := &queryv1.Answer{
			InReplyTo: digest[:], AskId: ask.GetAskId(), Bureau: "ESP", Audience: "BEL",
			KeyId: s.mesh.Signer("ESP").KeyID(),
			Results: []*queryv1.CollectionAnswer{{
				Collection: "documents", Status: queryv1.Status_STATUS_HIT, Hits: answer.GetResults()[0].GetHits(),
			}},
		}
		if diff := cmp.Diff(want, answer, protocmp.Transform(), protocmp.IgnoreFields(&queryv1.Answer{}, "answered_at", "padding")); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
		if s.esp.Memory.Commit != 1 {
			t.Errorf("%d answers committed", s.esp.Memory.Commit)
		}
	})
}

func TestHitAndNoHitHaveOneSize(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		size := func() int {
			received, err := send(t.Context(), s.bel, s.sign(t, question(nil)))
			if err != nil {
				t.Fatal(err)
			}
			return proto.Size(received)
		}
		none := size()
		s.esp.Answers(meshtest.Every(queryv1.Status_STATUS_REFUSED))
		refused := size()
		s.esp.Answers(meshtest.Every(queryv1.Status_STATUS_HIT, meshtest.Stolen("ESP", "ESP")))
		if hit := size(); hit != none || refused != none {
			t.Errorf("an answer without a hit has %d bytes, a refusal %d, one with a hit %d", none, refused, hit)
		}
	})
}

func TestForgedAsksAreRefused(t *testing.T) {
	cases := map[string]struct {
		change func(*queryv1.Ask)
		tamper func(*signedv1.Signed)
		code   codes.Code
		reason fault.Reason
	}{
		"for another bureau": {
			change: func(a *queryv1.Ask) { a.Audience = "LBN" },
			code:   codes.Unauthenticated, reason: fault.WrongAudience,
		},
		"one byte changed": {
			tamper: func(s *signedv1.Signed) { s.Payload[len(s.Payload)/2] ^= 1 },
			code:   codes.Unauthenticated, reason: fault.SignatureInvalid,
		},
		"one byte of the signature changed": {
			tamper: func(s *signedv1.Signed) { s.Signatures[0].Value[7] ^= 1 },
			code:   codes.Unauthenticated, reason: fault.SignatureInvalid,
		},
		"said in another federation": {
			tamper: func(s *signedv1.Signed) { s.PayloadType = strings.Replace(s.PayloadType, "test", "other", 1) },
			code:   codes.Unauthenticated, reason: fault.SignatureInvalid,
		},
		"expired": {
			change: func(a *queryv1.Ask) {
				a.IssuedAt = timestamppb.New(time.Now().Add(-5 * time.Minute))
				a.NotAfter = timestamppb.New(time.Now().Add(-4 * time.Minute))
			},
			code: codes.Unauthenticated, reason: fault.AskExpired,
		},
		"from the future": {
			change: func(a *queryv1.Ask) {
				a.IssuedAt = timestamppb.New(time.Now().Add(time.Minute))
				a.NotAfter = timestamppb.New(time.Now().Add(2 * time.Minute))
			},
			code: codes.Unauthenticated, reason: fault.AskFromFuture,
		},
		"living too long": {
			change: func(a *queryv1.Ask) { a.NotAfter = timestamppb.New(time.Now().Add(time.Hour)) },
			code:   codes.Unauthenticated, reason: fault.AskLifetime,
		},
		"ending before it begins": {
			change: func(a *queryv1.Ask) { a.NotAfter = timestamppb.New(a.IssuedAt.AsTime().Add(-time.Second)) },
			code:   codes.Unauthenticated, reason: fault.AskLifetime,
		},
		"about nothing": {
			change: func(a *queryv1.Ask) { a.Document = nil },
			code:   codes.InvalidArgument, reason: fault.NothingAsked,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			scene(t, nil, func(t *testing.T, s *stage) {
				answered := false
				s.esp.Answers(func(ctx context.Context, from identity.Identity, ask *queryv1.Ask) (*queryv1.Answer, error) {
					answered = true
					return meshtest.NoHit(ctx, from, ask)
				})
				signed := s.sign(t, question(c.change))
				if c.tamper != nil {
					c.tamper(signed)
				}
				_, err := send(t.Context(), s.bel, signed)
				wantFault(t, err, c.code, c.reason)
				if answered {
					t.Error("the question went on to the records")
				}
			})
		})
	}
}

// signedBy returns an ask that another bureau signed.
func (s *stage) signedBy(t *testing.T, as identity.Bureau, change func(*queryv1.Ask)) *signedv1.Signed {
	t.Helper()
	signed, err := s.mesh.Signer(as).Ask(question(change))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestNobodyAsksForAnother(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		// LBN holds a good ask of LBN's own, and BEL sends it.
		stolen := s.signedBy(t, "LBN", func(a *queryv1.Ask) { a.Requester.Bureau = "LBN" })
		_, err := send(t.Context(), s.bel, stolen)
		wantFault(t, err, codes.Unauthenticated, fault.SignatureInvalid)
	})
	// A verifier that does not look at the requester: the server does.
	scene(t, func(c *server.Config) { c.Verifier = careless{} }, func(t *testing.T, s *stage) {
		_, err := send(t.Context(), s.bel, s.signedBy(t, "LBN", func(a *queryv1.Ask) { a.Requester.Bureau = "LBN" }))
		wantFault(t, err, codes.Unauthenticated, fault.RequesterMismatch)
	})
}

type careless struct{}

func (careless) Ask(s *signedv1.Signed, _ identity.Bureau) (*queryv1.Ask, error) {
	ask := &queryv1.Ask{}
	return ask, proto.Unmarshal(s.GetPayload(), ask)
}

func TestSameBytesGetTheSameAnswer(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		var times atomic.Int32
		s.esp.Answers(func(ctx context.Context, from identity.Identity, ask *queryv1.Ask) (*queryv1.Answer, error) {
			times.Add(1)
			return meshtest.NoHit(ctx, from, ask)
		})
		signed := s.sign(t, question(nil))
		first, err := send(t.Context(), s.bel, signed)
		if err != nil {
			t.Fatal(err)
		}
		// What is answered has changed meanwhile, and the node was started again.
		s.esp.Answers(meshtest.Every(queryv1.Status_STATUS_HIT, meshtest.Stolen("ESP", "ESP")))
		s.esp.Stop(t)
		s.esp.Start(t)
		again, err := send(t.Context(), s.bel, signed)
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(first, again) || times.Load() != 1 {
			t.Errorf("the same bytes were answered %d times, and the answers differ: %t", times.Load(), !proto.Equal(first, again))
		}
	})
}

func TestUsedIDIsAborted(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		ask := question(nil)
		if _, err := send(t.Context(), s.bel, s.sign(t, ask)); err != nil {
			t.Fatal(err)
		}
		other := question(func(a *queryv1.Ask) { a.AskId = ask.GetAskId(); a.Document.Number = "XK7654321" })
		_, err := send(t.Context(), s.bel, s.sign(t, other))
		wantFault(t, err, codes.Aborted, fault.AskIDReused)
		// Under the same id, another bureau asks something else: ids are each asker's own.
		lbn := s.dial(t, "LBN")
		defer lbn.Close()
		_, err = send(t.Context(), lbn, s.signedBy(t, "LBN", func(a *queryv1.Ask) { a.AskId = ask.GetAskId(); a.Requester.Bureau = "LBN" }))
		if err != nil {
			t.Errorf("LBN's ask under the id of one of BEL's: %v", err)
		}
	})
}

func TestConcurrentDuplicatesAreAnsweredOnce(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		var times atomic.Int32
		s.esp.Answers(func(ctx context.Context, from identity.Identity, ask *queryv1.Ask) (*queryv1.Answer, error) {
			times.Add(1)
			time.Sleep(time.Second)
			return meshtest.NoHit(ctx, from, ask)
		})
		signed := s.sign(t, question(nil))
		answers := make([]*signedv1.Signed, 8)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i], _ = send(t.Context(), s.bel, signed) })
		}
		wg.Wait()
		for _, a := range answers {
			if a == nil || !proto.Equal(a, answers[0]) {
				t.Error("duplicates got different answers")
			}
		}
		if times.Load() != 1 {
			t.Errorf("answered %d times", times.Load())
		}
	})
}

func TestNothingLeavesUncommitted(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		s.esp.Memory.Fail(errors.New("disk I/O error"))
		_, err := send(t.Context(), s.bel, s.sign(t, question(nil)))
		wantFault(t, err, codes.Unavailable, fault.BooksUnavailable)
		if strings.Contains(err.Error(), "disk") {
			t.Errorf("inner text left: %v", err)
		}
		s.esp.Memory.Fail(nil)
		if _, err := send(t.Context(), s.bel, s.sign(t, question(nil))); err != nil {
			t.Error(err)
		}
	})
}

func TestOwnSlipStopsAtTheOwnDoor(t *testing.T) {
	foreign := meshtest.Stolen("LBN", "LBN")
	confirmed := meshtest.Stolen("ESP", "ESP")
	confirmed.Confirmed = true
	cases := map[string]func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error){
		"another's hit":   meshtest.Every(queryv1.Status_STATUS_HIT, foreign),
		"confirmed hit":   meshtest.Every(queryv1.Status_STATUS_HIT, confirmed),
		"hit with no-hit": meshtest.Every(queryv1.Status_STATUS_NO_HIT, meshtest.Stolen("ESP", "ESP")),
		"no collection": func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error) {
			return &queryv1.Answer{}, nil
		},
		"nothing": func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error) { return nil, nil },
		"too many": func(ctx context.Context, from identity.Identity, ask *queryv1.Ask) (*queryv1.Answer, error) {
			h := meshtest.Stolen("ESP", "ESP")
			return meshtest.Every(queryv1.Status_STATUS_HIT, h, h, h, h, h, h)(ctx, from, ask)
		},
		"an inner error": func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error) {
			return nil, errors.New("no such table: persons")
		},
		"a malformed hit": func(ctx context.Context, from identity.Identity, ask *queryv1.Ask) (*queryv1.Answer, error) {
			h := meshtest.Stolen("ESP", "ESP")
			h.RecordId = ""
			return meshtest.Every(queryv1.Status_STATUS_HIT, h)(ctx, from, ask)
		},
		"a panic": func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error) { panic("at persons") },
	}
	for name, answer := range cases {
		t.Run(name, func(t *testing.T) {
			scene(t, nil, func(t *testing.T, s *stage) {
				s.esp.Answers(answer)
				_, err := send(t.Context(), s.bel, s.sign(t, question(nil)))
				wantFault(t, err, codes.Internal, fault.Internal)
				if strings.Contains(err.Error(), "persons") {
					t.Errorf("inner text left: %v", err)
				}
			})
		})
	}
}

func TestRefusalOfTheGateIsTold(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		s.esp.Answers(func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error) {
			return nil, fmt.Errorf("gate: %w", fault.New(codes.ResourceExhausted, fault.QuotaExceeded, "", "wait a minute"))
		})
		_, err := send(t.Context(), s.bel, s.sign(t, question(nil)))
		wantFault(t, err, codes.ResourceExhausted, fault.QuotaExceeded)
	})
}

package ask_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/server/meshtest"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// TestEveryAskThatLeftHasOneEnd: what the books need to write down of an ask without an answer
// that is believed, and whether there is evidence of what came.
func TestEveryAskThatLeftHasOneEnd(t *testing.T) {
	fails := func(err error) func(t *testing.T, s *stage) {
		return func(_ *testing.T, s *stage) {
			s.nodes["ESP"].Answers(func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error) { return nil, err })
		}
	}
	forges := func(f forger) func(t *testing.T, s *stage) {
		return func(t *testing.T, s *stage) { s.forge(t, f) }
	}
	for name, c := range map[string]struct {
		prepare  func(t *testing.T, s *stage)
		fault    string
		evidence bool
	}{
		"an answer":        {func(*testing.T, *stage) {}, "", true},
		"a forged answer":  {forges(forger{onTheWay: func(s *signedv1.Signed) { s.Payload[0] ^= 1 }}), string(fault.SignatureInvalid), false},
		"a wrong answer":   {forges(forger{said: func(a *queryv1.Answer) { a.InReplyTo[0] ^= 1 }}), ask.NotBelieved, true},
		"an empty promise": {forges(forger{said: func(a *queryv1.Answer) { a.Results[0].Status = statusHit }}), ask.NotBelieved, true},
		"a fault":          {fails(fault.New(codes.ResourceExhausted, fault.Throttled, "", "wait")), string(fault.Throttled), false},
		"a failure":        {fails(errors.New("no such table")), string(fault.Internal), false},
		"an invented word": {fails(fault.New(codes.Unavailable, "PAY_1000_EUR", "", "pay")), ask.Unreachable, false},
		"silence":          {func(_ *testing.T, s *stage) { s.mesh.Net.Hang(meshtest.Address("ESP")) }, string(fault.DeadlineExceeded), false},
	} {
		t.Run(name, func(t *testing.T) {
			scene(t, nil, func(t *testing.T, s *stage) {
				c.prepare(t, s)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				r := s.bel.Ask(ctx, s.question(target("ESP")))[0]
				if len(r.Sent) != 1 || len(s.books.asks) != 1 {
					t.Fatalf("%d asks sent, %d in the books", len(r.Sent), len(s.books.asks))
				}
				sent := r.Sent[0]
				if sent.Fault != c.fault || (sent.Answer != nil) != c.evidence || sent.AskID != s.books.asks[0].GetAskId() {
					t.Errorf("fault %q, evidence %t; want %q, %t", sent.Fault, sent.Answer != nil, c.fault, c.evidence)
				}
				if name == "silence" {
					s.mesh.Net.Resume(meshtest.Address("ESP"))
				}
			})
		})
	}
}

func TestSecondAskAfterTheClockIsOneOfItsOwn(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		s.nodes["ESP"].SetClock(time.Hour)
		r := s.one(t, "ESP", statusNoHit)
		if len(r.Sent) != 2 || r.Sent[0].Fault != string(fault.AskExpired) || r.Sent[1].Fault != "" || r.AskID != r.Sent[1].AskID || r.Sent[0].AskID == r.AskID {
			t.Errorf("sent %+v", r.Sent)
		}
	})
}

func TestPanicOnAnAnswerIsAnEndToo(t *testing.T) {
	scene(t, func(c *ask.Config) { c.Verifier = brittle{} }, func(t *testing.T, s *stage) {
		if r := s.one(t, "ESP", statusUnavailable); len(r.Sent) != 1 || r.Sent[0].Fault != string(fault.Internal) {
			t.Errorf("sent %+v", r.Sent)
		}
	})
}

// slowBooks take until their caller has gone.
type slowBooks struct {
	*books
	cancel context.CancelFunc
}

func (b slowBooks) AskLeaves(ctx context.Context, t ask.Target, a *queryv1.Ask, signed *signedv1.Signed) error {
	b.cancel()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return b.books.AskLeaves(ctx, t, a, signed)
}

func TestWhatIsInTheBooksHasAnEndAlsoIfTheCallerGoes(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithCancel(t.Context())
		q := s.question(target("ESP"))
		q.Books = slowBooks{s.books, cancel}
		r := s.bel.Ask(ctx, q)[0]
		if len(s.books.asks) != 1 || len(r.Sent) != 1 || r.Sent[0].Fault != string(fault.Canceled) {
			t.Errorf("%d in the books, sent %+v", len(s.books.asks), r.Sent)
		}
	})
}

func TestCheckpointsAreShownAndSeen(t *testing.T) {
	own, others := &meshtest.Witness{}, &meshtest.Witness{}
	scene(t, func(c *ask.Config) { c.Witness = own }, func(t *testing.T, s *stage) {
		esp := s.nodes["ESP"]
		esp.Stop(t)
		esp.Config.Witness = others
		esp.Start(t)
		pass(15 * time.Second)
		s.one(t, "ESP", statusNoHit)
		// That the other side shows none is seen too: it matters once it had one.
		for _, w := range []*meshtest.Witness{own, others} {
			if seen := w.Seen(); len(seen) != 1 || seen[0].Checkpoint != "" {
				t.Errorf("before the first checkpoint seen %+v", seen)
			}
		}
		own.Publish("BEL at 3")
		others.Publish("ESP at 5")
		r := s.one(t, "ESP", statusNoHit)
		if seen := others.Seen(); len(seen) != 2 || seen[1].From != "BEL" || seen[1].Checkpoint != "BEL at 3" {
			t.Errorf("ESP saw %+v", seen)
		}
		seen := own.Seen()
		if len(seen) != 2 || seen[1].From != "ESP" || seen[1].Checkpoint != "ESP at 5" || seen[1].Carrier != r.Sent[0].Answer || seen[1].At.IsZero() {
			t.Errorf("BEL saw %+v", seen)
		}
	})
	// What nobody signed is nobody's checkpoint.
	own = &meshtest.Witness{}
	scene(t, func(c *ask.Config) { c.Witness = own }, func(t *testing.T, s *stage) {
		s.forge(t, forger{
			said:     func(a *queryv1.Answer) { a.LogCheckpoint = []byte("a fork") },
			onTheWay: func(s *signedv1.Signed) { s.Signatures[0].Value[0] ^= 1 },
		})
		s.one(t, "ESP", statusUnavailable)
		if len(own.Seen()) != 0 {
			t.Errorf("saw %+v", own.Seen())
		}
	})
}

// TestAnAnswerThatIsTooLargeIsNotTaken: it would be kept, and a stranger would say how much.
func TestAnAnswerThatIsTooLargeIsNotTaken(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		s.forge(t, forger{onTheWay: func(signed *signedv1.Signed) {
			for range 200 {
				signed.Signatures = append(signed.Signatures, &signedv1.Signature{KeyId: strings.Repeat("0", 64), Algorithm: "later", Value: make([]byte, 8<<10)})
			}
		}})
		r := s.one(t, "ESP", statusUnavailable)
		if len(r.Sent) != 1 || r.Sent[0].Answer != nil || r.Sent[0].Fault == "" || !strings.Contains(r.Reason, "larger") {
			t.Errorf("%s: sent %+v", r.Reason, r.Sent)
		}
	})
}

package ask_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/peers"
	"github.com/entente-mesh/entente/federation/server/meshtest"
	"github.com/entente-mesh/entente/pki/identity"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	statusHit         = queryv1.Status_STATUS_HIT
	statusNoHit       = queryv1.Status_STATUS_NO_HIT
	statusRefused     = queryv1.Status_STATUS_REFUSED
	statusTimeout     = queryv1.Status_STATUS_TIMEOUT
	statusUnavailable = queryv1.Status_STATUS_UNAVAILABLE
)

// stage is a scene in which BEL asks ESP, BGR and LBN.
type stage struct {
	mesh  *meshtest.Mesh
	nodes map[identity.Bureau]*meshtest.Bureau
	pool  *peers.Pool
	books *books
	bel   *ask.Asker
}

// scene runs a test in a bubble of time.
func scene(t *testing.T, change func(*ask.Config), play func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{mesh: meshtest.New(), nodes: make(map[identity.Bureau]*meshtest.Bureau), books: &books{}}
		var members []peers.Member
		for _, b := range []identity.Bureau{"ESP", "BGR", "LBN"} {
			s.nodes[b] = s.mesh.Join(t, b)
			members = append(members, peers.Member{Bureau: b, Address: meshtest.Address(b)})
		}
		pool, err := peers.New(peers.Config{
			Self: "BEL", DialOptions: s.mesh.DialOptions("BEL"), Offers: s.mesh.Verifier(), Dial: s.mesh.Net.Dial,
		})
		if err != nil {
			t.Fatal(err)
		}
		pool.Sync(members)
		synctest.Wait()
		s.pool = pool
		cfg := ask.Config{Self: "BEL", Peers: pool, Signer: s.mesh.Signer("BEL"), Verifier: s.mesh.Verifier()}
		if change != nil {
			change(&cfg)
		}
		if s.bel, err = ask.New(cfg); err != nil {
			t.Fatal(err)
		}
		// Also after a failure: a bubble must not be left with goroutines in it.
		defer func() {
			pool.Close()
			for _, node := range s.nodes {
				node.Stop(t)
			}
		}()
		play(t, s)
	})
}

// books notes which asks leave.
type books struct {
	mu   sync.Mutex
	asks []*queryv1.Ask
	fail error
}

func (b *books) AskLeaves(_ context.Context, _ ask.Target, a *queryv1.Ask, _ *signedv1.Signed) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	b.asks = append(b.asks, a)
	return nil
}

func target(b identity.Bureau) ask.Target {
	return ask.Target{Bureau: b, Documents: true, Rules: []string{"permit-" + strings.ToLower(string(b))}}
}

func (s *stage) question(targets ...ask.Target) ask.Question {
	return ask.Question{
		Books:         s.books,
		Requester:     &queryv1.Requester{Bureau: "XXX", Officer: "in clear", Agency: "border-police", Role: "officer"},
		Justification: &queryv1.Justification{Purpose: recordv1.Purpose_PURPOSE_BORDER_CONTROL},
		Document:      &queryv1.DocumentQuery{Number: "XK1234567"},
		Person:        &queryv1.PersonQuery{Primary: "MUSTERMANN", Secondary: "ERIKA"},
		MaxCandidates: 3, RosterVersion: 1,
		Targets: targets,
	}
}

// one asks one bureau about a document and wants a status.
func (s *stage) one(t *testing.T, b identity.Bureau, want queryv1.Status) ask.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	r := s.bel.Ask(ctx, s.question(target(b)))[0]
	if r.Status != want {
		t.Fatalf("%s: %v (%s), want %v", b, r.Status, r.Reason, want)
	}
	if want != statusHit && len(r.Hits) > 0 {
		t.Errorf("%s: %v with %d hits", b, r.Status, len(r.Hits))
	}
	return r
}

func TestEveryTargetIsAskedAndNobodyElse(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		s.nodes["ESP"].Answers(meshtest.Every(statusHit, meshtest.Stolen("ESP", "ESP")))
		s.nodes["BGR"].Answers(meshtest.Every(statusRefused))
		both := target("ESP")
		both.Persons, both.Officer = true, "pseudonym-for-esp"
		optional := target("BGR")
		optional.Optional = true
		results := s.bel.Ask(t.Context(), s.question(both, optional))
		if len(results) != 2 || results[0].Bureau != "ESP" || results[1].Bureau != "BGR" {
			t.Fatalf("results %+v", results)
		}
		esp, bgr := results[0], results[1]
		if esp.Status != statusHit || len(esp.Hits) != 1 || !slices.Equal(esp.Collections, []string{"documents", "persons"}) {
			t.Errorf("ESP: %+v", esp)
		}
		if bgr.Status != statusRefused || bgr.Reason == "" || !bgr.Optional || bgr.Rules[0] != "permit-bgr" {
			t.Errorf("BGR: %+v", bgr)
		}
		if esp.AskID == "" || esp.AskID == bgr.AskID {
			t.Error("two asks have one id")
		}
		for _, r := range results {
			if len(r.Sent) != 1 || r.Sent[0].AskID != r.AskID || r.Sent[0].Ask == nil || r.Sent[0].Answer == nil || r.Sent[0].Fault != "" {
				t.Errorf("%s: the evidence is not complete: %+v", r.Bureau, r.Sent)
			}
		}
		if !slices.Equal(esp.Sent[0].Told, []string{"doc-1"}) || bgr.Sent[0].Told != nil {
			t.Errorf("told: %v and %v", esp.Sent[0].Told, bgr.Sent[0].Told)
		}
		if n := s.nodes["LBN"].Memory.Commit; n != 0 {
			t.Errorf("LBN was asked %d times", n)
		}
		if len(s.books.asks) != 2 {
			t.Fatalf("%d asks in the books", len(s.books.asks))
		}
		for _, a := range s.books.asks {
			if a.GetRequester().GetBureau() != "BEL" {
				t.Errorf("asked in the name of %q", a.GetRequester().GetBureau())
			}
			if want := map[string]string{"ESP": "pseudonym-for-esp"}[a.GetAudience()]; a.GetRequester().GetOfficer() != want {
				t.Errorf("%s is told of the officer %q, want %q", a.GetAudience(), a.GetRequester().GetOfficer(), want)
			}
			if a.GetAudience() == "BGR" && a.GetPerson() != nil {
				t.Error("BGR was told of the person although it was not to be asked about persons")
			}
			if life := a.GetNotAfter().AsTime().Sub(a.GetIssuedAt().AsTime()); life <= 0 || life > 2*time.Minute {
				t.Errorf("an ask lives %v", life)
			}
		}
		if string(s.books.asks[0].GetNonce()) == string(s.books.asks[1].GetNonce()) {
			t.Error("two asks have one nonce")
		}
	})
}

func TestNoHitIsNoHit(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		if r := s.one(t, "ESP", statusNoHit); r.Reason != "" || !r.Since.IsZero() {
			t.Errorf("%+v", r)
		}
	})
}

func TestRefusalOfOneCollectionIsToldBesideAHit(t *testing.T) {
	answer := func(documents, persons queryv1.Status) func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error) {
		return func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error) {
			c := []*queryv1.CollectionAnswer{{Collection: "persons", Status: persons}, {Collection: "documents", Status: documents}}
			if documents == statusHit {
				c[1].Hits = []*hitv1.Hit{meshtest.Stolen("ESP", "ESP")}
			}
			return &queryv1.Answer{Results: c}, nil
		}
	}
	cases := []struct{ documents, persons, want queryv1.Status }{
		{statusHit, statusRefused, statusHit},
		{statusNoHit, statusRefused, statusRefused}, // half a refusal is no "no hit"
		{statusNoHit, statusNoHit, statusNoHit},
	}
	for _, c := range cases {
		scene(t, nil, func(t *testing.T, s *stage) {
			s.nodes["ESP"].Answers(answer(c.documents, c.persons))
			both := target("ESP")
			both.Persons = true
			r := s.bel.Ask(t.Context(), s.question(both))[0]
			if r.Status != c.want || (c.persons == statusRefused) != strings.Contains(r.Reason, "persons") {
				t.Errorf("%v and %v make %v (%s), want %v", c.documents, c.persons, r.Status, r.Reason, c.want)
			}
		})
	}
}

func TestDeadPeerCostsItsOwnAnswerOnce(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		time.Sleep(time.Minute)
		s.nodes["LBN"].Kill(t)
		died := time.Now()
		r := s.one(t, "LBN", statusUnavailable)
		if r.Since.Before(died) {
			t.Errorf("since %v, died at %v", r.Since, died)
		}
		began := time.Now()
		results := s.bel.Ask(t.Context(), s.question(target("ESP"), target("LBN")))
		if results[0].Status != statusNoHit || results[1].Status != statusUnavailable {
			t.Errorf("results %+v", results)
		}
		if waited := time.Since(began); waited > time.Millisecond {
			t.Errorf("the second ask waited %v", waited)
		}
		if results[1].Since.IsZero() || results[1].AskID != "" || results[1].Reason == "" {
			t.Errorf("LBN: %+v: no ask is made for a peer that is known to be down", results[1])
		}
		s.nodes["LBN"].Start(t)
		time.Sleep(15 * time.Second)
		s.one(t, "LBN", statusNoHit)
	})
}

func TestSlowPeerTimesOutInTimeForTheReport(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		s.nodes["BGR"].Answers(func(ctx context.Context, _ identity.Identity, _ *queryv1.Ask) (*queryv1.Answer, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		results := s.bel.Ask(ctx, s.question(target("ESP"), target("BGR")))
		if ctx.Err() != nil {
			t.Error("no time was left for the own report")
		}
		if results[0].Status != statusNoHit || results[1].Status != statusTimeout || results[1].Since.IsZero() {
			t.Errorf("results %+v", results)
		}
		if results[1].Elapsed < 400*time.Millisecond || results[0].Elapsed > 100*time.Millisecond {
			t.Errorf("elapsed %v and %v", results[0].Elapsed, results[1].Elapsed)
		}
		began := time.Now()
		s.one(t, "BGR", statusUnavailable)
		if waited := time.Since(began); waited > time.Millisecond {
			t.Errorf("the second ask waited %v", waited)
		}
	})
}

func TestHungPeerTimesOutOnce(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		s.mesh.Net.Hang(meshtest.Address("LBN"))
		s.one(t, "LBN", statusTimeout)
		began := time.Now()
		s.one(t, "LBN", statusUnavailable)
		if waited := time.Since(began); waited > time.Millisecond {
			t.Errorf("the second ask waited %v", waited)
		}
		s.mesh.Net.Resume(meshtest.Address("LBN"))
		time.Sleep(15 * time.Second)
		s.one(t, "LBN", statusNoHit)
	})
}

func TestPerPeerCapHoldsWithoutADeadline(t *testing.T) {
	scene(t, func(c *ask.Config) { c.PerPeer = 2 * time.Second }, func(t *testing.T, s *stage) {
		s.mesh.Net.Hang(meshtest.Address("LBN"))
		began := time.Now()
		r := s.bel.Ask(t.Context(), s.question(target("LBN")))[0]
		if r.Status != statusTimeout || time.Since(began) != 2*time.Second {
			t.Errorf("%v after %v", r.Status, time.Since(began))
		}
		s.mesh.Net.Resume(meshtest.Address("LBN"))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if r := s.bel.Ask(ctx, s.question(target("ESP")))[0]; r.Status != statusTimeout || r.AskID != "" {
			t.Errorf("without time: %+v", r)
		}
	})
}

func TestBrokenConnectionIsRetriedWithTheSameBytes(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		time.Sleep(time.Minute)
		var ids []string
		s.nodes["ESP"].Answers(func(ctx context.Context, from identity.Identity, a *queryv1.Ask) (*queryv1.Answer, error) {
			if ids = append(ids, a.GetAskId()); len(ids) == 1 {
				s.mesh.Net.Break(meshtest.Address("ESP"))
			}
			return meshtest.NoHit(ctx, from, a)
		})
		r := s.one(t, "ESP", statusNoHit)
		for _, id := range ids {
			if id != r.AskID {
				t.Errorf("asked under %v", ids)
			}
		}
		if len(s.books.asks) != 1 {
			t.Errorf("%d asks in the books", len(s.books.asks))
		}
	})
}

func TestClockThatWasSetIsMeasuredAgain(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		for _, offset := range []time.Duration{time.Hour, -time.Hour} {
			s.nodes["ESP"].SetClock(offset)
			s.one(t, "ESP", statusNoHit)
		}
	})
}

// forger changes what a node answers, on its way or before it signs.
type forger struct {
	*meshtest.Mesh
	onTheWay func(*signedv1.Signed)
	said     func(*queryv1.Answer)
}

// KeyID and the other methods make a forger the signer of a node.
func (f forger) KeyID() string { return f.Signer("ESP").KeyID() }
func (f forger) Offer(o *queryv1.Offer) (*signedv1.Signed, error) {
	return f.Signer("ESP").Offer(o)
}
func (f forger) Answer(a *queryv1.Answer) (*signedv1.Signed, error) {
	if f.said != nil {
		f.said(a)
	}
	by := identity.Bureau(a.GetBureau())
	a.KeyId = ""
	signed, err := f.Signer(by).Answer(a)
	if err == nil && f.onTheWay != nil {
		f.onTheWay(signed)
	}
	return signed, err
}

func (s *stage) forge(t *testing.T, f forger) {
	t.Helper()
	f.Mesh = s.mesh
	esp := s.nodes["ESP"]
	esp.Stop(t)
	esp.Config.Signer = f
	esp.Start(t)
	time.Sleep(15 * time.Second)
}

func somebody() *recordv1.Person {
	return &recordv1.Person{Role: recordv1.PersonRole_PERSON_ROLE_WANTED, Names: []*recordv1.Name{{Type: recordv1.NameType_NAME_TYPE_PRIMARY, Parts: []*recordv1.NamePart{{Text: "MUSTERMANN"}}}}}
}

func TestForgedAnswersAreNotBelieved(t *testing.T) {
	cases := map[string]forger{
		"one byte changed":          {onTheWay: func(s *signedv1.Signed) { s.Payload[len(s.Payload)-1] ^= 1 }},
		"one byte of the signature": {onTheWay: func(s *signedv1.Signed) { s.Signatures[0].Value[0] ^= 1 }},
		"replies to other bytes":    {said: func(a *queryv1.Answer) { a.InReplyTo[0] ^= 1 }},
		"replies to another id":     {said: func(a *queryv1.Answer) { a.AskId = "4d3f0e6c-1a52-4a5e-9a59-3f6f0e8b9c11" }},
		"meant for another":         {said: func(a *queryv1.Answer) { a.Audience = "BGR" }},
		"said by another":           {said: func(a *queryv1.Answer) { a.Bureau = "LBN" }},
		"another collection": {said: func(a *queryv1.Answer) {
			a.Results[0].Collection = "persons"
			a.Results[0].Hits = nil
			a.Results[0].Status = statusNoHit
		}},
		"a collection twice":      {said: func(a *queryv1.Answer) { a.Results = append(a.Results, proto.CloneOf(a.Results[0])) }},
		"a hit of another bureau": {said: func(a *queryv1.Answer) { a.Results[0].Hits[0].Bureau = "LBN" }},
		"a hit of another kind":   {said: func(a *queryv1.Answer) { a.Results[0].Hits[0].Kind = hitv1.HitKind_HIT_KIND_PERSON }},
		"a person as a document":  {said: func(a *queryv1.Answer) { a.Results[0].Hits[0].Subject = &hitv1.Hit_Person{Person: somebody()} }},
		"a hit without a band":    {said: func(a *queryv1.Answer) { a.Results[0].Hits[0].Band = 0 }},
		"a hit and no hit":        {said: func(a *queryv1.Answer) { a.Results[0].Status = statusNoHit }},
		"a hit without a hit":     {said: func(a *queryv1.Answer) { a.Results[0].Hits = nil }},
		"an id of nothing":        {said: func(a *queryv1.Answer) { a.Results[0].Hits[0].RecordId = "\u202e" }},
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) {
			scene(t, nil, func(t *testing.T, s *stage) {
				s.nodes["ESP"].Answers(meshtest.Every(statusHit, meshtest.Stolen("ESP", "ESP")))
				s.forge(t, f)
				results := s.bel.Ask(t.Context(), s.question(target("ESP"), target("BGR")))
				esp := results[0]
				if esp.Status != statusUnavailable || len(esp.Hits) != 0 || esp.Reason != "its answer could not be verified" {
					t.Errorf("ESP: %v %q with %d hits", esp.Status, esp.Reason, len(esp.Hits))
				}
				if results[1].Status != statusNoHit {
					t.Errorf("BGR: %v: a forgery costs only its own answer", results[1].Status)
				}
			})
		})
	}
}

func TestClaimOnAForeignPassportIsNotBelieved(t *testing.T) {
	foreign := meshtest.Stolen("ESP", "LBN")
	unnamed := meshtest.Stolen("ESP", "")
	inside := meshtest.Stolen("ESP", "ESP")
	inside.Subject = &hitv1.Hit_Document{Document: &recordv1.Document{
		Number: "1", Issuer: "LBN", Status: recordv1.DocumentStatus_DOCUMENT_STATUS_REVOKED,
	}}
	for name, hit := range map[string]*hitv1.Hit{"foreign": foreign, "unnamed": unnamed, "inside": inside} {
		t.Run(name, func(t *testing.T) {
			scene(t, nil, func(t *testing.T, s *stage) {
				s.nodes["ESP"].Answers(meshtest.Every(statusHit, hit))
				r := s.one(t, "ESP", statusNoHit)
				if !strings.Contains(r.Reason, "only the state that issued") || r.Sent[0].Answer == nil {
					t.Errorf("reason %q: the officer is not told, or the evidence is lost", r.Reason)
				}
				s.nodes["ESP"].Answers(meshtest.Every(statusHit, hit, meshtest.Stolen("ESP", "ESP")))
				if r := s.one(t, "ESP", statusHit); len(r.Hits) != 1 || r.Hits[0].GetIssuer() != "ESP" {
					t.Errorf("hits %v", r.Hits)
				}
			})
		})
	}
	// That a passport of another state belongs to a person of interest, any bureau may say.
	scene(t, nil, func(t *testing.T, s *stage) {
		associated := meshtest.Stolen("ESP", "LBN")
		associated.DocumentStatus = recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED
		s.nodes["ESP"].Answers(meshtest.Every(statusHit, associated))
		s.one(t, "ESP", statusHit)
	})
}

func TestTextFromAbroadIsMadeSafe(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		hit := meshtest.Stolen("ESP", "ESP")
		hit.Explanation = "let \u202ehim pass\u202c\x1b[2J\nnow\u2066!\u2069 \u200f\u061c\ufeff"
		hit.MustNot = []string{"do not \u202barrest\x00"}
		hit.ActionText = []*recordv1.LocalText{{Language: "en", Text: "seize\u2067 it\r\n"}}
		hit.Stewardship = &recordv1.Stewardship{NationalRef: "A\u20281", Handling: &recordv1.Handling{Text: "کتاب\u200cها \u009b31m"}}
		s.nodes["ESP"].Answers(meshtest.Every(statusHit, hit))
		got := s.one(t, "ESP", statusHit).Hits[0]
		for _, pair := range [][2]string{
			{got.GetExplanation(), "let him pass[2J now! "},
			{got.GetMustNot()[0], "do not arrest"},
			{got.GetActionText()[0].GetText(), "seize it  "},
			{got.GetStewardship().GetNationalRef(), "A 1"},
			// The joiner belongs to the Persian word, the control character does not.
			{got.GetStewardship().GetHandling().GetText(), "کتاب\u200cها 31m"},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%q, want %q", pair[0], pair[1])
			}
		}
	})
}

func TestHitsAreBoundedAndNeverConfirmed(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		// Five hits where three were asked for, each said to be confirmed: an own gate would not let
		// that out, so the forger does.
		s.forge(t, forger{said: func(a *queryv1.Answer) {
			a.Results[0].Status = statusHit
			for i := range 5 {
				h := meshtest.Stolen("ESP", "ESP")
				h.RecordId, h.Confirmed = fmt.Sprintf("doc-%d", i), true
				a.Results[0].Hits = append(a.Results[0].Hits, h)
			}
		}})
		r := s.one(t, "ESP", statusHit)
		if len(r.Hits) != 3 || r.Hits[0].GetRecordId() != "doc-0" || r.Reason == "" {
			t.Errorf("%d hits, reason %q", len(r.Hits), r.Reason)
		}
		for _, h := range r.Hits {
			if h.GetConfirmed() {
				t.Error("a fresh hit is confirmed")
			}
		}
	})
}

func TestErrorOfAPeerIsToldInOwnWords(t *testing.T) {
	cases := map[string]struct {
		err    error
		status queryv1.Status
		reason string
	}{
		"quota":    {fault.New(codes.ResourceExhausted, fault.QuotaExceeded, "", "wait \u202e"), statusUnavailable, "QUOTA_EXCEEDED"},
		"denied":   {fault.New(codes.PermissionDenied, fault.NotAMember, "", "no"), statusRefused, "NOT_A_MEMBER"},
		"invented": {fault.New(codes.Unavailable, "PAY_1000_EUR", "", "pay"), statusUnavailable, "the connection to it failed"},
		"inner":    {errors.New("secret of ESP"), statusUnavailable, "INTERNAL"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			scene(t, nil, func(t *testing.T, s *stage) {
				s.nodes["ESP"].Answers(func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error) { return nil, c.err })
				r := s.one(t, "ESP", c.status)
				if !strings.Contains(r.Reason, c.reason) || strings.Contains(r.Reason, "secret") || strings.Contains(r.Reason, "PAY") {
					t.Errorf("reason %q, want %q in it", r.Reason, c.reason)
				}
			})
		})
	}
}

func TestNothingLeavesUnrecorded(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		s.books.fail = errors.New("disk full")
		r := s.one(t, "ESP", statusUnavailable)
		if n := s.nodes["ESP"].Memory.Commit; n != 0 || r.AskID != "" || !strings.Contains(r.Reason, "own books") {
			t.Errorf("%d asks arrived; %+v", n, r)
		}
	})
}

func TestTargetsThatCannotBeAsked(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		nothing := ask.Target{Bureau: "ESP"}
		results := s.bel.Ask(t.Context(), s.question(target("BEL"), target("FRA"), nothing))
		for i, reason := range []string{"own bureau", "not in the roster", "nothing to ask"} {
			if results[i].Status != statusUnavailable || !strings.Contains(results[i].Reason, reason) {
				t.Errorf("%s: %v %q, want %q", results[i].Bureau, results[i].Status, results[i].Reason, reason)
			}
		}
		if len(s.books.asks) != 0 {
			t.Errorf("%d asks left", len(s.books.asks))
		}
		s.pool.Sync([]peers.Member{{Bureau: "ESP", Address: meshtest.Address("ESP"), Distrusted: true}})
		if r := s.one(t, "ESP", statusUnavailable); !strings.Contains(r.Reason, "cut it off") {
			t.Errorf("distrusted: %q", r.Reason)
		}
	})
}

// brittle panics on what it verifies.
type brittle struct{}

func (brittle) Answer(*signedv1.Signed, identity.Bureau) (*queryv1.Answer, error) { panic("odd bytes") }

func TestPanicOnOneAnswerCostsThatAnswer(t *testing.T) {
	scene(t, func(c *ask.Config) { c.Verifier = brittle{} }, func(t *testing.T, s *stage) {
		if r := s.one(t, "ESP", statusUnavailable); r.Reason == "" {
			t.Error("no reason")
		}
	})
}

func TestCallerThatGoesAway(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		s.mesh.Net.Hang(meshtest.Address("LBN"))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		r := s.bel.Ask(ctx, s.question(target("LBN")))[0]
		if r.Status != statusUnavailable || !strings.Contains(r.Reason, "given up") {
			t.Errorf("%v %q", r.Status, r.Reason)
		}
		s.mesh.Net.Resume(meshtest.Address("LBN"))
	})
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	_, err := ask.New(ask.Config{PerPeer: time.Hour})
	if err == nil || !strings.Contains(err.Error(), "Peers") || !strings.Contains(err.Error(), "PerPeer") {
		t.Errorf("error %v", err)
	}
}

// pass lets time pass, in the bubble that scene plays in.
func pass(d time.Duration) { time.Sleep(d) }

package evidence_test

import (
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/evidence/evidencetest"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

const (
	fed = identity.Federation("demo.entente")
	bel = identity.Bureau("BEL")
	esp = identity.Bureau("ESP")
	bgr = identity.Bureau("BGR")

	id1 = "0b9f7a52-2b7e-4f0e-9a43-0c5d1f6e8a01"
	id2 = "0b9f7a52-2b7e-4f0e-9a43-0c5d1f6e8a02"
)

var (
	founded = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	asked   = founded.AddDate(0, 0, 10)
)

// scene is BEL that asked ESP, both with their books.
type scene struct {
	f           *evidencetest.Federation
	bel, esp    *evidencetest.Book
	ask, answer *signedv1.Signed
	bundle      *auditv1.Bundle
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{f: evidencetest.Found(t, fed, founded, bel, esp, bgr)}
	s.bel, s.esp = evidencetest.NewBook(s.f.Countries[bel]), evidencetest.NewBook(s.f.Countries[esp])
	// Others were asked before.
	for range 5 {
		s.bel.Add(evidencetest.Ask, evidencetest.Out, bgr, id2, asked.Add(-time.Hour), nil)
	}
	s.ask = s.f.Countries[bel].Ask(t, esp, id1, asked, nil)
	s.answer = s.f.Countries[esp].Answer(t, s.ask, bel, id1, asked.Add(time.Second), nil)
	s.bel.Add(evidencetest.Ask, evidencetest.Out, esp, id1, asked, s.ask)
	s.esp.Add(evidencetest.Ask, evidencetest.In, bel, id1, asked.Add(time.Second), s.ask)
	s.esp.Add(evidencetest.Answer, evidencetest.Out, bel, id1, asked.Add(time.Second), s.answer)
	s.bel.Add(evidencetest.Answer, evidencetest.In, esp, id1, asked.Add(2*time.Second), s.answer)
	s.bel.Add(evidencetest.Ask, evidencetest.Out, bgr, id2, asked.Add(time.Hour), nil)
	s.bundle = s.gather(t)
	return s
}

func (s *scene) gather(t testing.TB) *auditv1.Bundle {
	t.Helper()
	return &auditv1.Bundle{
		Federation: string(fed), MessageId: id1, Ask: s.ask, Answer: s.answer,
		Proofs:  []*auditv1.LogProof{s.bel.Proof(t, 5), s.bel.Proof(t, 6), s.esp.Proof(t, 0), s.esp.Proof(t, 1)},
		Rosters: s.f.Rosters, MadeAt: timestamppb.New(asked.Add(time.Hour)), MadeBy: string(bel),
	}
}

func failures(r *evidence.Report) string {
	var out []string
	for _, s := range r.Steps {
		if s.Verdict == evidence.Fails {
			out = append(out, s.Name+": "+s.What)
		}
	}
	return strings.Join(out, "\n")
}

func TestABundleProvesAnExchange(t *testing.T) {
	s := newScene(t)
	text, err := evidence.EncodeBundle(s.bundle)
	if err != nil {
		t.Fatal(err)
	}
	b, err := evidence.DecodeBundle(append([]byte("Dear court,\n\n"), text...))
	if err != nil {
		t.Fatal(err)
	}
	shown := evidence.VerifyBundle(b, evidence.Trust{})
	if !shown.OK() || shown.Fingerprint != s.f.Fingerprint() || shown.Asker != bel || shown.Answerer != esp || !shown.AskedAt.Equal(asked) {
		t.Fatalf("report %+v\n%s", shown, failures(&shown.Report))
	}
	trusted := evidence.VerifyBundle(b, evidence.Trust{Fingerprint: s.f.Fingerprint()})
	for _, step := range trusted.Steps {
		// What a later roster will say, or one that was left out, no bundle shows.
		if (step.Verdict == evidence.Open) != (step.Name == "later rosters") || step.Verdict == evidence.Fails {
			t.Errorf("%s: %s: %s", step.Name, step.Verdict, step.What)
		}
	}
	if last := trusted.Steps; !slices.ContainsFunc(last, func(s evidence.Step) bool {
		return s.Name == "later rosters" && strings.Contains(s.What, "version 1 of 2026-03-01")
	}) {
		t.Error("the report does not say which roster is the last that it knows")
	}
	if r := evidence.VerifyBundle(b, evidence.Trust{Fingerprint: strings.Repeat("0000 ", 16)}); r.OK() {
		t.Error("a bundle of another federation than the trusted one holds")
	}
}

func TestABundleHoldsYearsLater(t *testing.T) {
	s := newScene(t)
	// The keys of that day were replaced, then expired, then revoked; BEL's log key too. Years
	// later the bundle is made again, with proofs of today's checkpoints.
	later := asked.AddDate(1, 0, 0)
	log := evidencetest.Key(t)
	s.f.Next(t, later, func(r *rosterv1.Roster) {
		for _, b := range r.GetBureaus() {
			for _, k := range b.GetKeys() {
				if k.GetUsage() != rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE {
					k.RevokedAt = timestamppb.New(asked.AddDate(0, 6, 0))
				}
			}
			b.Keys = append(b.Keys, &rosterv1.Key{Usage: rosterv1.KeyUsage_KEY_USAGE_MESSAGE, Algorithm: "ed25519", Key: evidencetest.Public(evidencetest.Key(t)), NotBefore: timestamppb.New(later)})
			if b.GetBureau() == string(bel) {
				b.Keys = append(b.Keys, &rosterv1.Key{Usage: rosterv1.KeyUsage_KEY_USAGE_LOG, Algorithm: "ed25519", Key: evidencetest.Public(log), NotBefore: timestamppb.New(later)})
			}
		}
	})
	s.f.Countries[bel].Log = log
	if r := evidence.VerifyBundle(s.gather(t), evidence.Trust{}); !r.OK() {
		t.Fatalf("years later:\n%s", failures(&r.Report))
	}
}

func TestAKeyThatWasRevokedAsOfBeforeProvesNothing(t *testing.T) {
	s := newScene(t)
	// The theft was found later, and dated before the ask.
	s.f.Next(t, asked.AddDate(0, 1, 0), func(r *rosterv1.Roster) {
		r.GetBureaus()[0].GetKeys()[0].RevokedAt = timestamppb.New(asked.Add(-time.Hour)) // BEL
	})
	r := evidence.VerifyBundle(s.gather(t), evidence.Trust{})
	if b := s.f.Countries[bel]; r.OK() || b == nil {
		t.Fatal("an ask holds whose key was revoked as of before it")
	}
}

func TestABundleThatWasTamperedWithFails(t *testing.T) {
	good := newScene(t)
	stranger := newScene(t) // the same countries with other keys
	for name, spoil := range map[string]struct {
		do   func(t *testing.T, s *scene, b *auditv1.Bundle)
		want string
	}{
		"the ask's bytes": {func(_ *testing.T, _ *scene, b *auditv1.Bundle) {
			b.GetAsk().Payload[len(b.GetAsk().GetPayload())-1] ^= 1
		}, "ask's signature"},
		"no ask":        {func(_ *testing.T, _ *scene, b *auditv1.Bundle) { b.Ask = nil }, "holds no ask"},
		"another's ask": {func(_ *testing.T, _ *scene, b *auditv1.Bundle) { b.Ask = stranger.ask }, "ask's signature"},
		"the answer to another ask": {func(t *testing.T, s *scene, b *auditv1.Bundle) {
			again := s.f.Countries[bel].Ask(t, esp, id1, asked, nil)
			b.Answer = s.f.Countries[esp].Answer(t, again, bel, id1, asked, nil)
		}, "in_reply_to"},
		"the answer of another bureau": {func(t *testing.T, s *scene, b *auditv1.Bundle) {
			b.Answer = s.f.Countries[bgr].Answer(t, s.ask, bel, id1, asked, nil)
		}, "BGR answered"},
		"another message's id": {func(_ *testing.T, _ *scene, b *auditv1.Bundle) { b.MessageId = id2 }, "ask's id"},
		"an opening's salt":    {func(_ *testing.T, _ *scene, b *auditv1.Bundle) { b.GetProofs()[0].GetOpening().Salt[3] ^= 1 }, "does not open"},
		"an opening missing":   {func(_ *testing.T, _ *scene, b *auditv1.Bundle) { b.GetProofs()[0].Opening = nil }, "opening is missing"},
		"an opening of other bytes": {func(t *testing.T, s *scene, b *auditv1.Bundle) {
			i := s.bel.Add(evidencetest.Ask, evidencetest.Out, esp, id1, asked, s.answer)
			b.Proofs = []*auditv1.LogProof{s.bel.Proof(t, i)}
		}, "commits to other bytes"},
		"a leaf of another time": {func(t *testing.T, s *scene, b *auditv1.Bundle) {
			i := s.bel.Add(evidencetest.Ask, evidencetest.Out, esp, id1, asked.AddDate(0, 0, 1), s.ask)
			b.Proofs = []*auditv1.LogProof{s.bel.Proof(t, i)}
		}, "dated"},
		"a leaf the wrong way": {func(t *testing.T, s *scene, b *auditv1.Bundle) {
			i := s.bel.Add(evidencetest.Ask, evidencetest.In, esp, id1, asked, s.ask)
			b.Proofs = []*auditv1.LogProof{s.bel.Proof(t, i)}
		}, "no passage of an ask"},
		"a leaf of another message": {func(t *testing.T, s *scene, b *auditv1.Bundle) { b.Proofs = []*auditv1.LogProof{s.bel.Proof(t, 0)} }, "another message"},
		"another index":             {func(_ *testing.T, _ *scene, b *auditv1.Bundle) { b.GetProofs()[0].Index++ }, "does not hold"},
		"a path":                    {func(_ *testing.T, _ *scene, b *auditv1.Bundle) { b.GetProofs()[0].GetInclusion()[0][0] ^= 1 }, "does not hold"},
		"a checkpoint's size": {func(_ *testing.T, _ *scene, b *auditv1.Bundle) {
			b.GetProofs()[0].Checkpoint = []byte(strings.Replace(string(b.GetProofs()[0].GetCheckpoint()), "\n8\n", "\n9\n", 1))
		}, "not signed"},
		"another bureau's checkpoint": {func(t *testing.T, s *scene, b *auditv1.Bundle) {
			b.GetProofs()[0].Checkpoint = s.esp.Checkpoint(t, 2)
		}, "expected one of BEL"},
		"a checkpoint of a stranger's key": {func(t *testing.T, s *scene, b *auditv1.Bundle) {
			c, _ := evidence.ParseCheckpoint(b.GetProofs()[0].GetCheckpoint())
			b.GetProofs()[0].Checkpoint = evidencetest.Note(c.Text(), c.Origin, stranger.f.Countries[bel].Log)
		}, "not signed"},
		"a checkpoint of the message key": {func(t *testing.T, s *scene, b *auditv1.Bundle) {
			c, _ := evidence.ParseCheckpoint(b.GetProofs()[0].GetCheckpoint())
			b.GetProofs()[0].Checkpoint = evidencetest.Note(c.Text(), c.Origin, s.f.Countries[bel].Message)
		}, "not signed"},
		"no proofs":            {func(_ *testing.T, _ *scene, b *auditv1.Bundle) { b.Proofs = nil }, "in no log"},
		"no rosters":           {func(_ *testing.T, _ *scene, b *auditv1.Bundle) { b.Rosters = nil }, "rosters"},
		"a stranger's rosters": {func(_ *testing.T, _ *scene, b *auditv1.Bundle) { b.Rosters = stranger.f.Rosters }, "ask's signature"},
		"a roster too few signed": {func(_ *testing.T, _ *scene, b *auditv1.Bundle) {
			b.GetRosters()[0].Signatures = b.GetRosters()[0].GetSignatures()[:2]
		}, "too few bureaus"},
		"another federation": {func(_ *testing.T, _ *scene, b *auditv1.Bundle) { b.Federation = "other.entente" }, "rosters"},
		"no answer, and the asker says none came": {func(t *testing.T, s *scene, b *auditv1.Bundle) {
			i := s.bel.Add(evidencetest.NoAnswer, evidencetest.In, esp, id1, asked, nil)
			b.Proofs = append(b.GetProofs(), s.bel.Proof(t, i))
		}, "the bundle holds one"},
	} {
		t.Run(name, func(t *testing.T) {
			s := *good
			s.bel, s.esp = again(good.bel), again(good.esp)
			b := proto.CloneOf(good.bundle)
			spoil.do(t, &s, b)
			r := evidence.VerifyBundle(b, evidence.Trust{})
			if r.OK() {
				t.Fatal("the bundle holds")
			}
			if got := failures(&r.Report); !strings.Contains(got, spoil.want) {
				t.Errorf("found:\n%s\nexpected: %s", got, spoil.want)
			}
		})
	}
}

// again is a copy of books that a test may add to.
func again(b *evidencetest.Book) *evidencetest.Book {
	out := evidencetest.NewBook(b.Country)
	out.Restore(b)
	return out
}

func TestAnAskWithoutAnswerIsProven(t *testing.T) {
	s := newScene(t)
	b := evidencetest.NewBook(s.f.Countries[bel])
	b.Add(evidencetest.Ask, evidencetest.Out, esp, id1, asked, s.ask)
	b.Add(evidencetest.NoAnswer, evidencetest.In, esp, id1, asked.Add(time.Second), nil)
	s.bundle.Answer, s.bundle.Proofs = nil, []*auditv1.LogProof{b.Proof(t, 0), b.Proof(t, 1)}
	if r := evidence.VerifyBundle(s.bundle, evidence.Trust{}); !r.OK() || !r.AnsweredAt.IsZero() {
		t.Fatal(failures(&r.Report))
	}
}

// TestTheOtherSidesProofsSpoilNoBundle has ESP give all sorts of proofs beside those of the exchange.
func TestTheOtherSidesProofsSpoilNoBundle(t *testing.T) {
	s := newScene(t)
	another := s.f.Countries[esp].Ask(t, bel, id1, asked, nil)
	reused := s.esp.Add(evidencetest.Ask, evidencetest.Out, bel, id1, asked, another) // its own ask under BEL's id
	denied := s.esp.Add(evidencetest.Ask, evidencetest.In, bel, id1, asked, s.f.Countries[bel].Ask(t, esp, id1, asked, nil))
	retried := s.esp.Add(evidencetest.Ask, evidencetest.In, bel, id1, asked.Add(time.Second), s.ask)
	forged := s.esp.Proof(t, 0)
	forged.GetInclusion()[0][0] ^= 1
	odd := s.esp.Proof(t, 0)
	odd.Leaf = odd.GetLeaf()[:10]
	noise := []*auditv1.LogProof{s.esp.Proof(t, reused), s.esp.Proof(t, denied), forged, odd, nil}

	b := proto.CloneOf(s.bundle)
	b.Proofs = b.GetProofs()[:2]
	if n, err := evidence.AddProofs(b, noise); err != nil || n != 0 || len(b.GetProofs()) != 2 {
		t.Errorf("%d added, %v", n, err)
	}
	all := append(noise, s.esp.Proof(t, 0), s.esp.Proof(t, 1), s.esp.Proof(t, retried), s.bel.Proof(t, 5))
	if n, err := evidence.AddProofs(b, all); err != nil || n != 2 {
		t.Errorf("%d added, %v", n, err)
	}
	if r := evidence.VerifyBundle(b, evidence.Trust{}); !r.OK() || len(b.GetProofs()) != 4 {
		t.Error(failures(&r.Report))
	}
	for name, b := range map[string]*auditv1.Bundle{
		"an answer to another ask": {Federation: string(fed), MessageId: id1, Ask: s.ask, Answer: s.f.Countries[esp].Answer(t, another, bel, id1, asked, nil), Rosters: s.f.Rosters},
		"no ask":                   {Federation: string(fed), MessageId: id1, Rosters: s.f.Rosters},
		"no rosters":               {Federation: string(fed), MessageId: id1, Ask: s.ask},
	} {
		if n, err := evidence.AddProofs(b, all); err == nil || n != 0 || len(b.GetProofs()) != 0 {
			t.Errorf("%s: %d added to a bundle that does not hold", name, n)
		}
	}
}

func FuzzBundle(f *testing.F) {
	s := newScene(f)
	raw, err := proto.Marshal(s.bundle)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, 0)
	f.Add(raw, 40)
	f.Fuzz(func(t *testing.T, raw []byte, at int) {
		b, err := evidence.DecodeBundle(armoured(evidence.BlockBundle, raw, at))
		if err != nil {
			return
		}
		// Whatever was changed, what holds must be what was said.
		if r := evidence.VerifyBundle(b, evidence.Trust{Fingerprint: s.f.Fingerprint()}); r.OK() && string(b.GetAsk().GetPayload()) != string(s.ask.GetPayload()) {
			t.Fatalf("a bundle with another ask holds")
		}
	})
}

// armoured is a file with these bytes in it, spoiled at one place if that is in it.
func armoured(block string, raw []byte, at int) []byte {
	text := pem.EncodeToMemory(&pem.Block{Type: block, Bytes: raw})
	if at > 0 && at < len(text) {
		text[at] ^= 0x20
	}
	return text
}

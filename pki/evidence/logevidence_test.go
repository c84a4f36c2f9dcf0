package evidence_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/evidence/evidencetest"
	"github.com/entente-mesh/entente/pki/roster"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// rewriter is ESP, which keeps two logs: honest, and one from which a leaf was dropped.
func rewriter(t testing.TB) (f *evidencetest.Federation, honest, rewritten *evidencetest.Book) {
	t.Helper()
	f = evidencetest.Found(t, fed, founded, bel, esp, bgr)
	honest = evidencetest.NewBook(f.Countries[esp])
	for i := range 20 {
		honest.Add(evidencetest.Ask, evidencetest.In, bel, messageID(i), asked.Add(time.Duration(i)*time.Minute), nil)
	}
	rewritten = evidencetest.NewBook(f.Countries[esp])
	rewritten.Restore(&evidencetest.Book{Leaves: honest.Leaves[1:], Openings: honest.Openings[1:]})
	rewritten.Add(evidencetest.Ask, evidencetest.In, bel, messageID(99), asked, nil)
	return f, honest, rewritten
}

func TestWhatEvidenceAboutALogProves(t *testing.T) {
	f, honest, rewritten := rewriter(t)
	c := f.Countries[esp]
	file := func(known, presented []byte) *auditv1.LogEvidence {
		return &auditv1.LogEvidence{
			Federation: string(fed), Bureau: string(esp), Known: known, Presented: presented, Rosters: f.Rosters,
			FoundAt: timestamppb.New(asked.AddDate(0, 0, 1)), FoundBy: string(bel),
		}
	}
	carry := func(e *auditv1.LogEvidence, apart time.Duration) *auditv1.LogEvidence {
		e.Carriers = []*signedv1.Signed{
			c.Ask(t, bel, id1, asked, e.GetKnown()),
			c.Answer(t, f.Countries[bel].Ask(t, esp, id2, asked, nil), bel, id2, asked.Add(apart), e.GetPresented()),
		}
		return e
	}
	given := func(e *auditv1.LogEvidence, given *auditv1.Consistency) *auditv1.LogEvidence {
		e.Given = given
		return e
	}
	replica := evidencetest.Note(evidence.Checkpoint{Origin: "esp.demo.entente/log/2", Size: 20}.Text(), "esp.demo.entente/log/2", c.Log)
	stranger := evidencetest.Note(evidence.Checkpoint{Origin: honest.Origin(), Size: 20}.Text(), honest.Origin(), f.Countries[bel].Log)
	for name, tt := range map[string]struct {
		e      *auditv1.LogEvidence
		proven string
		ok     bool
		says   string
	}{
		"one size, two roots":     {file(honest.Checkpoint(t, 20), rewritten.Checkpoint(t, 20)), evidence.Fork, true, ""},
		"carried by its messages": {carry(file(honest.Checkpoint(t, 20), rewritten.Checkpoint(t, 20)), time.Minute), evidence.Fork, true, ""},
		"two sizes, and a proof from another beginning": {
			given(file(honest.Checkpoint(t, 11), rewritten.Checkpoint(t, 20)), rewritten.Consistency(t, 11, 20)), evidence.Fork, true, ""},
		"two sizes, and no proof":      {file(honest.Checkpoint(t, 11), rewritten.Checkpoint(t, 20)), "", true, "does not decide"},
		"two sizes, and a false proof": {given(file(honest.Checkpoint(t, 11), honest.Checkpoint(t, 20)), honest.Consistency(t, 10, 20)), "", true, "does not decide"},
		"an honest log accused":        {given(file(honest.Checkpoint(t, 11), honest.Checkpoint(t, 20)), honest.Consistency(t, 11, 20)), "", false, "no two histories"},
		"an honest log accused with made-up hashes": {
			given(file(honest.Checkpoint(t, 11), honest.Checkpoint(t, 20)), rewritten.Consistency(t, 11, 20)), "", true, "does not decide"},
		"the same twice":                 {file(honest.Checkpoint(t, 20), honest.Checkpoint(t, 20)), "", false, "say the same"},
		"shrunk between two messages":    {carry(file(honest.Checkpoint(t, 20), honest.Checkpoint(t, 10)), time.Hour), evidence.Shrink, true, ""},
		"messages that crossed":          {carry(file(honest.Checkpoint(t, 20), honest.Checkpoint(t, 10)), time.Second), "", true, "order on the way"},
		"an old checkpoint, no messages": {file(honest.Checkpoint(t, 20), honest.Checkpoint(t, 10)), "", true, "does not say which came last"},
		"messages the other way round":   {carry(file(honest.Checkpoint(t, 20), honest.Checkpoint(t, 10)), -time.Hour), "", true, "order on the way"},
		"logs of two replicas":           {file(honest.Checkpoint(t, 20), replica), "", false, "two logs"},
		"signed by a stranger":           {file(honest.Checkpoint(t, 20), stranger), "", false, "not signed"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := evidence.EncodeLogEvidence(tt.e)
			if err != nil {
				t.Fatal(err)
			}
			e, err := evidence.DecodeLogEvidence(text)
			if err != nil {
				t.Fatal(err)
			}
			r := evidence.VerifyLogEvidence(e, evidence.Trust{Fingerprint: f.Fingerprint()})
			all := ""
			for _, s := range r.Steps {
				all += s.What + "\n"
			}
			if r.Proven != tt.proven || r.OK() != tt.ok || !strings.Contains(all, tt.says) {
				t.Errorf("proven %q, holds %v:\n%s", r.Proven, r.OK(), all)
			}
		})
	}
}

// TestAStolenLogKeyThatIsListedNoMoreProvesNoFork has a later roster drop the key that was revoked:
// only an older one says so.
func TestAStolenLogKeyThatIsListedNoMoreProvesNoFork(t *testing.T) {
	f, honest, rewritten := rewriter(t)
	f.Next(t, asked.AddDate(0, 0, 2), func(r *rosterv1.Roster) {
		for _, b := range r.GetBureaus() {
			if b.GetBureau() != string(esp) {
				continue
			}
			for _, k := range b.GetKeys() {
				if k.GetUsage() == rosterv1.KeyUsage_KEY_USAGE_LOG {
					k.RevokedAt = timestamppb.New(asked.AddDate(0, 0, 1))
				}
			}
			b.Keys = append(b.Keys, roster.NewKey(rosterv1.KeyUsage_KEY_USAGE_LOG, evidencetest.Public(evidencetest.Key(t)), asked.AddDate(0, 0, 1)))
		}
	})
	f.Next(t, asked.AddDate(1, 0, 0), func(r *rosterv1.Roster) {
		for _, b := range r.GetBureaus() {
			b.Keys = slices.DeleteFunc(b.Keys, func(k *rosterv1.Key) bool { return k.GetRevokedAt() != nil })
		}
	})
	e := &auditv1.LogEvidence{
		Federation: string(fed), Bureau: string(esp), FoundBy: string(bel), Rosters: f.Rosters,
		Known: honest.Checkpoint(t, 20), Presented: rewritten.Checkpoint(t, 20),
	}
	if r := evidence.VerifyLogEvidence(e, evidence.Trust{Fingerprint: f.Fingerprint()}); r.Proven != "" || r.OK() {
		t.Errorf("an undated checkpoint of a key that was revoked, then dropped, proves %q", r.Proven)
	}
	// A file whose rosters end before the revocation cannot be known from one: it says where they end.
	e.Rosters = f.Rosters[:1]
	r := evidence.VerifyLogEvidence(e, evidence.Trust{})
	if !slices.ContainsFunc(r.Steps, func(s evidence.Step) bool { return s.Name == "later rosters" && s.Verdict == evidence.Open }) {
		t.Errorf("nothing is said of later rosters: %+v", r.Steps)
	}
}

func TestAStolenLogKeyProvesNoFork(t *testing.T) {
	f, honest, rewritten := rewriter(t)
	known := honest.Checkpoint(t, 20)
	f.Next(t, asked.AddDate(0, 0, 2), func(r *rosterv1.Roster) {
		for _, b := range r.GetBureaus() {
			for _, k := range b.GetKeys() {
				if b.GetBureau() == string(esp) && k.GetUsage() == rosterv1.KeyUsage_KEY_USAGE_LOG {
					k.RevokedAt = timestamppb.New(asked.AddDate(0, 0, 1))
				}
			}
		}
	})
	e := &auditv1.LogEvidence{
		Federation: string(fed), Bureau: string(esp), FoundBy: string(bel), Rosters: f.Rosters,
		Known: known, Presented: rewritten.Checkpoint(t, 20),
	}
	if r := evidence.VerifyLogEvidence(e, evidence.Trust{}); r.Proven != "" {
		t.Error("an undated checkpoint of a revoked key proves a fork")
	}
	// What ESP's own message carried while the key was good is ESP's.
	e = proto.CloneOf(e)
	e.Carriers = []*signedv1.Signed{
		f.Countries[esp].Ask(t, bel, id1, asked, e.GetKnown()), f.Countries[esp].Ask(t, bel, id2, asked, e.GetPresented()),
	}
	if r := evidence.VerifyLogEvidence(e, evidence.Trust{}); r.Proven != evidence.Fork {
		t.Errorf("carried before the revocation: %s", failures(&r.Report))
	}
}

package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/node/audit"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/vault"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/evidence/evidencetest"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

func messageID(i int) string { return fmt.Sprintf("0b9f7a52-2b7e-4f0e-9a43-%012x", i) }

// books is a real journal.
func (h *house) books() *journal.Journal {
	h.t.Helper()
	master := bytes.Repeat([]byte{7}, 32)
	dir := h.t.TempDir()
	v, err := vault.Open(vault.Config{Path: filepath.Join(dir, "journal.keys"), Master: master, Label: "journal"})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = v.Close() })
	marks, err := vault.Derive(master, "journal marks")
	if err != nil {
		h.t.Fatal(err)
	}
	j, err := journal.Open(h.t.Context(), journal.Config{Dir: filepath.Join(dir, "journal"), Federation: fed, Bureau: bel, Replica: "1", Vault: v, Marks: marks, SegmentBytes: 256 << 10})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = j.Close() })
	h.journal = audit.Over(j, "journal")
	return j
}

func entry(k auditv1.EntryKind, d auditv1.EntryDirection, b identity.Bureau, id string, at time.Time) *auditv1.Entry {
	return &auditv1.Entry{MessageId: id, Kind: k, Direction: d, Bureau: string(b), At: timestamppb.New(at), Decision: auditv1.Decision_DECISION_ALLOW}
}

// TestAnExchangeIsProvenFromARealJournal books asks of ESP and BGR, checks and a lost ask, proves
// one exchange as a court would check it, and joins the books with ESP's.
func TestAnExchangeIsProvenFromARealJournal(t *testing.T) {
	h, _ := newHouse(t)
	j := h.books()
	r := h.open()
	ctx := t.Context()
	at := time.Now().Add(-30 * time.Minute)
	theirs := evidencetest.NewBook(h.f.Countries[esp])
	record := func(p ...journal.Passage) {
		t.Helper()
		if err := j.Record(ctx, p...); err != nil {
			t.Fatal(err)
		}
	}
	const n = 700 // more than one part of an export
	for i := range n {
		id := messageID(i)
		peer := map[bool]identity.Bureau{true: bgr, false: esp}[i%10 == 0]
		ask := h.f.Countries[bel].Ask(t, peer, id, at, r.Newest())
		record(journal.Passage{Entry: entry(evidencetest.Ask, evidencetest.Out, peer, id, at), Evidence: ask})
		if i == 13 { // lost on its way
			record(journal.Passage{Entry: entry(evidencetest.NoAnswer, evidencetest.In, peer, id, at)})
			continue
		}
		answer := h.f.Countries[peer].Answer(t, ask, bel, id, at, nil)
		check := entry(auditv1.EntryKind_ENTRY_KIND_CHECK, auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL, bel, messageID(10_000+i), at)
		record(journal.Passage{Entry: entry(evidencetest.Answer, evidencetest.In, peer, id, at), Evidence: answer}, journal.Passage{Entry: check})
		if peer == esp {
			theirs.Add(evidencetest.Ask, evidencetest.In, bel, id, at, ask)
			theirs.Add(evidencetest.Answer, evidencetest.Out, bel, id, at, answer)
		}
	}

	b, err := r.Prove(ctx, messageID(77))
	if err != nil {
		t.Fatal(err)
	}
	report := evidence.VerifyBundle(b, evidence.Trust{Fingerprint: h.f.Fingerprint()})
	if !report.OK() || len(b.GetProofs()) != 2 || report.Asker != bel || report.Answerer != esp {
		t.Errorf("%+v", report)
	}
	if _, err := r.Prove(ctx, messageID(13)); err != nil {
		t.Errorf("an ask without an answer: %v", err)
	}
	for id, want := range map[string]error{messageID(999_999): audit.ErrUnknown, messageID(10_001): audit.ErrUnknown} {
		if _, err := r.Prove(ctx, id); !errors.Is(err, want) {
			t.Errorf("%s: %v, expected %v", id, err, want)
		}
	}
	if proofs, err := r.ProofsFor(ctx, esp, messageID(77)); err != nil || len(proofs) != 2 {
		t.Errorf("ESP's own: %v", err)
	}
	// BGR learns nothing of what ESP was asked, not even whether.
	_, errThere := r.ProofsFor(ctx, bgr, messageID(77))
	_, errNot := r.ProofsFor(ctx, bgr, messageID(999_999))
	if !errors.Is(errThere, audit.ErrUnknown) || errThere.Error() != errNot.Error() {
		t.Errorf("BGR is told %v of ESP's, %v of nobody's", errThere, errNot)
	}

	var text []byte
	parts := 0
	err = r.Export(ctx, esp, at.Add(-time.Hour), time.Time{}, func(e *auditv1.Export) error {
		p, err := evidence.EncodeExport(e)
		text, parts = append(text, p...), parts+1
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ours, err := evidence.DecodeExport(text)
	if err != nil {
		t.Fatal(err)
	}
	joined := evidence.Join(ours, theirs.Export(t, h.f, bel, at.Add(-time.Hour), time.Now()), evidence.Trust{})
	if !joined.OK() || joined.Matched != 2*629 || len(joined.Findings) != 1 || parts < 2 {
		t.Errorf("%d matched, %d parts, findings %v, %+v", joined.Matched, parts, joined.Findings, joined.Steps)
	}

	// Erased evidence is no flaw, and proves nothing.
	found, err := j.Find(ctx, messageID(78))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.EraseEvidence(ctx, found); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Prove(ctx, messageID(78)); !errors.Is(err, audit.ErrErased) {
		t.Errorf("erased: %v", err)
	}
	if flaws := r.whole(); len(flaws) > 0 {
		t.Error(flaws)
	}
}

func TestAProofWaitsForItsCheckpointAndNoLonger(t *testing.T) {
	h, m := newHouse(t)
	h.wait = 50 * time.Millisecond
	away := true
	h.signer = signerThatFails{h.signer, func() error {
		if away {
			return errors.New("away")
		}
		return nil
	}}
	ask := h.f.Countries[bel].Ask(t, esp, messageID(1), time.Now(), nil)
	m.border(evidencetest.Ask, evidencetest.Out, esp, messageID(1), time.Now(), ask)
	l, err := audit.Open(t.Context(), h.config()) // Run has not begun
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Prove(t.Context(), messageID(1)); !errors.Is(err, audit.ErrNotYet) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	away = false
	r := h.run(l)
	r.signed(1)
	if _, err := r.Prove(t.Context(), messageID(1)); err != nil {
		t.Error(err)
	}
}

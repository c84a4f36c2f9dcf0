package journal_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/journal"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

func TestEvidenceIsErased(t *testing.T) {
	w := lossy()
	w.segment = 8 << 10
	j := w.open(t)
	for n := range 6 {
		answer(t, j, n)
	}
	located, err := j.FindQuotes(t.Context(), "BEL", "record-1")
	if err != nil || len(located) != 2 {
		t.Fatalf("%v, %v", located, err)
	}
	before := w.lossy.Bytes(segment1)
	n, err := j.EraseEvidence(t.Context(), slices.Concat(located, located))
	if err != nil || n != 2 {
		t.Fatalf("erased %d, %v", n, err)
	}
	if n, err := j.EraseEvidence(t.Context(), located); err != nil || n != 0 {
		t.Errorf("once more: %d, %v", n, err)
	}
	for _, restarted := range []bool{false, true} {
		if restarted {
			w.lossy.Crash()
			j = w.open(t)
		}
		whole(t, j)
		located, err = j.FindQuotes(t.Context(), "BEL", "record-1")
		if err != nil || len(located) != 2 {
			t.Fatalf("%v, %v", located, err)
		}
		for _, l := range located {
			if l.Evidence || !l.EvidenceErased || l.Entry == nil {
				t.Errorf("got %+v", l)
			}
			if _, err := j.Evidence(t.Context(), l); !errors.Is(err, journal.ErrErased) {
				t.Errorf("evidence: %v", err)
			}
		}
		if _, _, found, err := j.RecallAsk(t.Context(), "FRA", id(1)); !found || !errors.Is(err, journal.ErrErased) {
			t.Errorf("recall: %v %v", found, err)
		}
	}
	// Somebody brings back what was there.
	after := w.lossy.Bytes(segment1)
	if bytes.Equal(before, after) {
		t.Fatal("nothing was overwritten")
	}
	j.Close()
	w.lossy.Put(segment1, before)
	j = w.open(t) // its newest segment books the erasure: it is carried out once more
	whole(t, j)
	if !bytes.Equal(w.lossy.Bytes(segment1), after) {
		t.Error("what was booked was not carried out")
	}
	for n := range 4 {
		answer(t, j, 20+n)
	}
	j.Close()
	w.lossy.Put(segment1, before)
	j = w.open(t)
	r, err := j.Check(t.Context(), nil)
	if err != nil || len(r.Flaws) != 1 || r.Flaws[0].What != journal.NotErased {
		t.Errorf("got %v, %v", r.Flaws, err)
	}
}

// TestNotBooked: who overwrites a body by himself, or books it under the journal's words, is found.
func TestNotBooked(t *testing.T) {
	w := lossy()
	j := w.open(t)
	answer(t, j, 1)
	forged := check(2)
	forged.Entry.Kind = auditv1.EntryKind_ENTRY_KIND_OPERATION
	forged.Entry.Operation, forged.Entry.Object = "erase-evidence", "leaf/1/0/00"
	record(t, j, forged)
	forged.Entry.Operation, forged.Entry.Object = "retain", "segments/1-1"
	record(t, j, forged)
	content := w.lossy.Bytes(segment1)
	at := frames(content)[1]
	evidence := at + 84 + 40 + 36 + int(content[at+84+32+2])<<8 + int(content[at+84+32+3])
	copy(content[evidence:], make([]byte, 1024+28))
	j.Close()
	w.lossy.Put(segment1, content)
	j = w.open(t)
	r, err := j.Check(t.Context(), nil)
	if err != nil || len(r.Flaws) != 1 || r.Flaws[0].What != journal.BodyMissing || r.Flaws[0].Offset != int64(evidence) || r.Flaws[0].Index != 1 {
		t.Errorf("got %v, %v", r.Flaws, err)
	}
}

func TestRetain(t *testing.T) {
	w := lossy()
	w.segment = 8 << 10
	j := w.open(t)
	for n := range 12 {
		m, p := answered(n)
		m.ForgetAfter = noon.Add(time.Duration(n) * time.Second)
		if err := j.RecordAnswered(t.Context(), m, p...); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := j.Retain(t.Context(), noon.Add(time.Hour)); err != nil || n != 0 {
		t.Fatalf("what must be remembered was erased: %d, %v", n, err)
	}
	w.now = noon.Add(6 * time.Second)
	leaves, err := j.ReadLeaves(0, 100)
	if err != nil {
		t.Fatal(err)
	}
	disk := func() (n int) {
		for _, name := range w.lossy.Names() {
			n += len(w.lossy.Bytes(name))
		}
		return n
	}
	full := disk()
	n, err := j.Retain(t.Context(), noon.Add(8*time.Second))
	if err != nil || n == 0 {
		t.Fatalf("erased %d segments, %v", n, err)
	}
	if less := disk(); less > full-n*4096 {
		t.Errorf("%d bytes, before %d", less, full)
	}
	for _, restarted := range []bool{false, true} {
		if restarted {
			w.lossy.Crash()
			j = w.open(t)
		}
		r := whole(t, j)
		if r.Erased == 0 {
			t.Error("nothing counts as erased")
		}
		again, err := j.ReadLeaves(0, 100)
		if err != nil || !slices.Equal(again[:len(leaves)], leaves) {
			t.Errorf("other leaves: %v", err)
		}
		found, err := j.Find(t.Context(), id(0))
		if err != nil || len(found) != 2 || !found[0].Erased || found[0].Entry != nil || found[0].Opening != nil || !found[0].EvidenceErased {
			t.Errorf("found %+v, %v", found, err)
		}
		if found, err = j.Find(t.Context(), id(11)); err != nil || len(found) != 2 || found[0].Erased {
			t.Errorf("found %+v, %v", found, err)
		}
		erased := 0
		if err := j.Scan(t.Context(), time.Time{}, time.Time{}, func(l journal.Located) error {
			if l.Erased {
				erased++
			}
			return nil
		}); err != nil || uint64(erased) != r.Erased {
			t.Errorf("scanned %d erased, %v", erased, err)
		}
	}
	// The newest ends when it has become old, and goes when that is long ago; the books of it stay.
	w.now = noon.Add(time.Hour)
	if _, err := j.Retain(t.Context(), noon.Add(time.Minute)); err != nil {
		t.Error(err)
	}
	if found, err := j.Find(t.Context(), id(11)); err != nil || len(found) != 2 || found[0].Erased {
		t.Errorf("found %+v, %v", found, err)
	}
	w.now = noon.Add(3 * time.Hour)
	if n, err := j.Retain(t.Context(), noon.Add(2*time.Hour)); err != nil || n == 0 {
		t.Errorf("erased %d segments, %v", n, err)
	}
	if found, err := j.Find(t.Context(), id(11)); err != nil || len(found) != 2 || !found[0].Erased {
		t.Errorf("found %+v, %v", found, err)
	}
	whole(t, j)
	j.Close()
	j = w.open(t)
	whole(t, j)
	answer(t, j, 50)
}

// TestAKeyIsGone: a key that was destroyed without a booking is told.
func TestAKeyIsGone(t *testing.T) {
	w := small(t)
	c, err := w.config()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Vault.Destroy(1); err != nil {
		t.Fatal(err)
	}
	_, found := verdict(t, w)
	if len(found) != 1 || found[0].What != journal.BodyMissing {
		t.Errorf("got %v", found)
	}
}

package journal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/node/disk/disktest"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/vault"
	"github.com/entente-mesh/entente/pki/evidence"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

func TestMain(m *testing.M) {
	if play := os.Getenv(childVariable); play != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

var master = bytes.Repeat([]byte{7}, 32)

// world is a disk, with the vault on it, and the clock.
type world struct {
	files   disk.Files
	lossy   *disktest.Lossy // nil on a real disk
	dir     string
	segment int64
	now     time.Time
	fail    func(string) error
}

// lossy is a world that can crash.
func lossy() *world {
	l := disktest.New()
	w := &world{files: l, lossy: l, dir: "/node/journal", segment: 16 << 10, now: noon}
	l.MkdirAll("/node/journal", 0o700)
	return w
}

func real(t testing.TB) *world {
	return &world{files: disk.OS(), dir: filepath.Join(t.TempDir(), "journal"), segment: 64 << 20, now: noon}
}

func (w *world) config() (journal.Config, error) {
	v, err := vault.Open(vault.Config{Path: filepath.Join(filepath.Dir(w.dir), "journal.keys"), Master: master, Label: "journal", Files: w.files})
	if err != nil {
		return journal.Config{}, err
	}
	marks, err := vault.Derive(master, "journal marks")
	if err != nil {
		return journal.Config{}, err
	}
	return journal.Config{Dir: w.dir, Federation: "demo.entente", Bureau: "BEL", Replica: "a", Vault: v, Marks: marks,
		Files: w.files, SegmentBytes: w.segment, Now: func() time.Time { return w.now }, Fail: w.fail}, nil
}

func (w *world) tryOpen(ctx context.Context) (*journal.Journal, error) {
	c, err := w.config()
	if err != nil {
		return nil, err
	}
	return journal.Open(ctx, c)
}

func (w *world) open(t testing.TB) *journal.Journal {
	t.Helper()
	j, err := w.tryOpen(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() }) // it may be closed, or its disk may have crashed
	return j
}

func id(n int) string { return uuid.NewSHA1(uuid.Nil, fmt.Append(nil, n)).String() }

func check(n int) journal.Passage {
	return journal.Passage{Officer: fmt.Sprintf("officer-%d", n%3), Entry: &auditv1.Entry{
		MessageId: id(n), Kind: auditv1.EntryKind_ENTRY_KIND_CHECK, Direction: auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL,
		Bureau: "BEL", At: timestamppb.New(noon.Add(time.Duration(n) * time.Second)),
		Requester: &queryv1.Requester{Agency: "border-police"}, Decision: auditv1.Decision_DECISION_ALLOW,
		Rules: []string{"permit-checks"}, PolicyVersion: "v1",
	}}
}

func signed(text string) *signedv1.Signed {
	return &signedv1.Signed{PayloadType: "application/test", Payload: []byte(text),
		Signatures: []*signedv1.Signature{{KeyId: "k", Algorithm: "ed25519", Value: bytes.Repeat([]byte{1}, 64)}}}
}

func border(n int, kind auditv1.EntryKind, way auditv1.EntryDirection) journal.Passage {
	p := check(n)
	p.Officer = ""
	p.Entry.Kind, p.Entry.Direction, p.Entry.Bureau = kind, way, "FRA"
	p.Evidence = signed(fmt.Sprintf("%v %v %d", kind, way, n))
	return p
}

// answered is what an answerer records of an ask.
func answered(n int) (journal.Memory, []journal.Passage) {
	ask := border(n, auditv1.EntryKind_ENTRY_KIND_ASK, auditv1.EntryDirection_ENTRY_DIRECTION_IN)
	answer := border(n, auditv1.EntryKind_ENTRY_KIND_ANSWER, auditv1.EntryDirection_ENTRY_DIRECTION_OUT)
	answer.Quotes = []journal.Quote{{Owner: "BEL", RecordID: fmt.Sprintf("record-%d", n%4)}}
	digest := sha256.Sum256(ask.Evidence.GetPayload())
	return journal.Memory{Asker: "FRA", AskID: id(n), Digest: digest[:], ForgetAfter: noon.Add(time.Hour)}, []journal.Passage{ask, answer}
}

func record(t testing.TB, j *journal.Journal, p ...journal.Passage) {
	t.Helper()
	if err := j.Record(context.Background(), p...); err != nil {
		t.Fatal(err)
	}
}

func answer(t testing.TB, j *journal.Journal, n int) {
	t.Helper()
	m, p := answered(n)
	if err := j.RecordAnswered(context.Background(), m, p...); err != nil {
		t.Fatal(err)
	}
}

// whole demands that nothing is wrong.
func whole(t testing.TB, j *journal.Journal) journal.Report {
	t.Helper()
	r, err := j.Check(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Flaws {
		t.Errorf("flaw: %v", &f)
	}
	if r.Leaves != j.Leaves() {
		t.Errorf("%d leaves checked, %d there", r.Leaves, j.Leaves())
	}
	return r
}

func TestABookIsWrittenAndRead(t *testing.T) {
	w := lossy()
	j := w.open(t)
	for n := range 40 {
		switch n % 4 {
		case 0:
			record(t, j, check(n))
		case 1:
			answer(t, j, n)
		case 2:
			record(t, j, border(n, auditv1.EntryKind_ENTRY_KIND_ASK, auditv1.EntryDirection_ENTRY_DIRECTION_OUT))
		case 3:
			record(t, j, border(n-1, auditv1.EntryKind_ENTRY_KIND_ANSWER, auditv1.EntryDirection_ENTRY_DIRECTION_IN), check(n))
		}
	}
	read := func(t *testing.T, j *journal.Journal) {
		t.Helper()
		if r := whole(t, j); r.Leaves != 60 || r.Entries != 60 || r.Erased != 0 {
			t.Errorf("got %+v", r)
		}
		found, err := j.Find(t.Context(), id(5))
		if err != nil || len(found) != 2 {
			t.Fatalf("found %d, %v", len(found), err)
		}
		_, want := answered(5)
		if diff := cmp.Diff(want[1].Entry, found[1].Entry, protocmp.Transform(), protocmp.IgnoreFields(&auditv1.Entry{}, "salt")); diff != "" {
			t.Error(diff)
		}
		got, err := j.Evidence(t.Context(), found[1])
		if err != nil || !proto.Equal(got, want[1].Evidence) {
			t.Errorf("evidence: %v, %v", got, err)
		}
		commitment, err := evidence.CommitOpening(found[1].Opening)
		if err != nil || commitment != found[1].Leaf.Commitment {
			t.Errorf("the opening does not open the leaf: %v", err)
		}
		if found, err = j.FindOfficer(t.Context(), "officer-1"); err != nil || len(found) != 6 {
			t.Errorf("officer: %d, %v", len(found), err)
		}
		if found, err = j.FindQuotes(t.Context(), "BEL", "record-1"); err != nil || len(found) != 10 {
			t.Errorf("quotes: %d, %v", len(found), err)
		}
		n := 0
		err = j.Scan(t.Context(), noon.Add(10*time.Second), noon.Add(20*time.Second), func(l journal.Located) error {
			if at := l.Entry.GetAt().AsTime(); at.Before(noon.Add(10*time.Second)) || !at.Before(noon.Add(20*time.Second)) {
				t.Errorf("scanned %v", at)
			}
			n++
			return nil
		})
		if err != nil || n != 15 {
			t.Errorf("scanned %d, %v", n, err)
		}
		for _, from := range []uint64{0, 1, 30, 59, 60, 61} {
			leaves, err := j.ReadLeaves(from, 7)
			if want := max(0, min(7, 60-int(from))); err != nil || len(leaves) != want {
				t.Errorf("from %d: %d leaves, %v", from, len(leaves), err)
			}
		}
		digest, kept, ok, err := j.RecallAsk(t.Context(), "FRA", id(5))
		m, p := answered(5)
		again := &signedv1.Signed{}
		if err != nil || !ok || !bytes.Equal(digest, m.Digest) || proto.Unmarshal(kept, again) != nil || !proto.Equal(again, p[1].Evidence) {
			t.Errorf("recalled %x %v %v", digest, ok, err)
		}
	}
	read(t, j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Record(t.Context(), check(1)); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	t.Run("after a restart", func(t *testing.T) { read(t, w.open(t)) })
	t.Run("without indexes", func(t *testing.T) {
		for _, name := range w.lossy.Names() {
			if filepath.Ext(name) == ".idx" {
				if err := w.lossy.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
		}
		read(t, w.open(t))
	})
}

func TestLocalPassagesOfOneCommitShareALeaf(t *testing.T) {
	j := lossy().open(t)
	record(t, j, check(1), check(2), check(3))
	if j.Leaves() != 1 {
		t.Fatalf("%d leaves", j.Leaves())
	}
	var commitments [][32]byte
	var leaf evidence.Leaf
	for n := 1; n <= 3; n++ {
		found, err := j.Find(t.Context(), id(n))
		if err != nil || len(found) != 1 || found[0].Place != n-1 {
			t.Fatalf("%v, %v", found, err)
		}
		commitment, err := evidence.CommitOpening(found[0].Opening)
		if err != nil || commitment != found[0].Commitment {
			t.Error("the opening does not open the passage's commitment")
		}
		commitments, leaf = append(commitments, found[0].Commitment), found[0].Leaf
	}
	if evidence.GroupRoot(commitments) != leaf.Commitment {
		t.Error("the leaf is not the root over its passages")
	}
	whole(t, j)
}

func TestTheSameAskTwice(t *testing.T) {
	w := lossy()
	j := w.open(t)
	m, p := answered(1)
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- j.RecordAnswered(context.Background(), m, p...) }()
	}
	first, second := <-errs, <-errs
	if first != nil {
		first, second = second, first
	}
	if first != nil || !errors.Is(second, journal.ErrAskAnswered) {
		t.Errorf("got %v and %v", first, second)
	}
	other := m
	other.Digest = bytes.Repeat([]byte{9}, 32)
	if err := j.RecordAnswered(t.Context(), other, p...); !errors.Is(err, journal.ErrAskReused) {
		t.Errorf("another ask under the id: %v", err)
	}
	if j.Leaves() != 2 {
		t.Errorf("%d leaves", j.Leaves())
	}
	if n := j.ForgetAsks(noon.Add(30 * time.Minute)); n != 0 {
		t.Errorf("forgot %d", n)
	}
	w.lossy.Crash()
	j = w.open(t)
	if err := j.RecordAnswered(t.Context(), m, p...); !errors.Is(err, journal.ErrAskAnswered) {
		t.Errorf("after a crash: %v", err)
	}
	if n := j.ForgetAsks(noon.Add(2 * time.Hour)); n != 1 {
		t.Errorf("forgot %d", n)
	}
	if _, _, found, err := j.RecallAsk(t.Context(), "FRA", id(1)); found || err != nil {
		t.Errorf("recalled what was forgotten: %v", err)
	}
	w.now = noon.Add(2 * time.Hour)
	j.Close()
	if _, _, found, err := w.open(t).RecallAsk(t.Context(), "FRA", id(1)); found || err != nil {
		t.Errorf("recalled what was past: %v", err)
	}
}

func TestWhatCannotBeRecorded(t *testing.T) {
	j := lossy().open(t)
	for name, change := range map[string]func(*journal.Passage){
		"entry.message_id": func(p *journal.Passage) { p.Entry.MessageId = "x" },
		"entry.bureau":     func(p *journal.Passage) { p.Entry.Bureau = "FRA" },
		"entry.kind":       func(p *journal.Passage) { p.Entry.Kind = 99 },
		"entry.direction":  func(p *journal.Passage) { p.Entry.Direction = auditv1.EntryDirection_ENTRY_DIRECTION_IN },
		"entry.at":         func(p *journal.Passage) { p.Entry.At = nil },
		"entry.salt":       func(p *journal.Passage) { p.Entry.Salt = []byte{1} },
		"entry.padding":    func(p *journal.Passage) { p.Entry.Padding = []byte{1} },
		"evidence":         func(p *journal.Passage) { p.Evidence = signed("x") },
		"quotes[0]":        func(p *journal.Passage) { p.Quotes = []journal.Quote{{}} },
		"entry":            func(p *journal.Passage) { p.Entry = nil },
	} {
		p := check(1)
		change(&p)
		if err := j.Record(t.Context(), p); !errors.Is(err, journal.ErrInvalid) || !bytes.Contains([]byte(err.Error()), []byte(name+":")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := j.Record(t.Context()); !errors.Is(err, journal.ErrInvalid) {
		t.Errorf("nothing: %v", err)
	}
	m, p := answered(1)
	if err := j.RecordAnswered(t.Context(), m, p[0]); !errors.Is(err, journal.ErrInvalid) {
		t.Errorf("without the answer: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.RecordAnswered(ended, m, p...); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	answer(t, j, 1) // its id is free
	if j.Leaves() != 2 {
		t.Errorf("%d leaves", j.Leaves())
	}
}

// TestSizesTellNothing: whatever passed, the books take the same space.
func TestSizesTellNothing(t *testing.T) {
	size := func(change func(*journal.Passage)) int {
		w := lossy()
		j := w.open(t)
		p := border(1, auditv1.EntryKind_ENTRY_KIND_ANSWER, auditv1.EntryDirection_ENTRY_DIRECTION_OUT)
		change(&p)
		record(t, j, p)
		content := w.lossy.Bytes("/node/journal/00000001.seg")
		return len(bytes.TrimRight(content, "\x00"))
	}
	none := size(func(*journal.Passage) {})
	for name, change := range map[string]func(*journal.Passage){
		"with quotes": func(p *journal.Passage) { p.Quotes = []journal.Quote{{"BEL", "1"}, {"BEL", "2"}} },
		"longer":      func(p *journal.Passage) { p.Evidence = signed("a longer answer"); p.Entry.Reason = "because" },
		"outcome": func(p *journal.Passage) {
			p.Entry.Outcomes = []*auditv1.Outcome{{Bureau: "BEL", Collection: "p", Status: queryv1.Status_STATUS_HIT}}
		},
	} {
		if got := size(change); got != none {
			t.Errorf("%s: %d bytes, without %d", name, got, none)
		}
	}
}

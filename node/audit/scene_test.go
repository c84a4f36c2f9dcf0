package audit_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/entente-mesh/entente/node/audit"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/evidence/evidencetest"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

const (
	fed = identity.Federation("demo.entente")
	bel = identity.Bureau("BEL")
	esp = identity.Bureau("ESP")
	bgr = identity.Bureau("BGR")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a journal in memory, with what a test does to it.
type memory struct {
	mu       sync.Mutex
	leaves   [][evidence.LeafSize]byte
	passages []audit.Passage
	grown    chan struct{}
	broken   error
}

func newMemory() *memory { return &memory{grown: make(chan struct{})} }

func (m *memory) Leaves() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(len(m.leaves))
}

func (m *memory) ReadLeaves(from uint64, n int) ([][evidence.LeafSize]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil || from > uint64(len(m.leaves)) {
		return nil, errors.Join(m.broken, fmt.Errorf("leaf %d of %d", from, len(m.leaves)))
	}
	return m.leaves[from:min(from+uint64(n), uint64(len(m.leaves)))], nil
}

func (m *memory) Grown() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.grown
}

func (m *memory) Find(_ context.Context, id string) (out []audit.Passage, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.passages {
		if l, err := evidence.ParseLeaf(p.Leaf[:]); err == nil && l.MessageID.String() == id {
			out = append(out, p)
		}
	}
	return out, nil
}

func (m *memory) Border(_ context.Context, peer identity.Bureau, since, until time.Time, do func(audit.Passage) error) error {
	m.mu.Lock()
	all := m.passages
	m.mu.Unlock()
	for _, p := range all {
		l, err := evidence.ParseLeaf(p.Leaf[:])
		if err != nil || l.Peer != peer || l.At.Before(since) || !l.At.Before(until) {
			continue
		}
		p.Evidence = nil
		if err := do(p); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Check(_ context.Context, progress func(uint64)) (audit.Check, error) {
	n := m.Leaves()
	progress(n)
	return audit.Check{Leaves: n, Entries: n}, nil
}

// local adds n leaves of checks.
func (m *memory) local(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		i := len(m.leaves)
		l := evidence.Leaf{
			Kind: auditv1.EntryKind_ENTRY_KIND_CHECK, Direction: auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL, Peer: bel,
			At: time.Now(), Commitment: sha256.Sum256(fmt.Append(nil, i)),
		}
		m.leaves = append(m.leaves, l.Bytes())
	}
	m.signal()
}

func (m *memory) signal() {
	close(m.grown)
	m.grown = make(chan struct{})
}

// border adds a passage between two bureaus.
func (m *memory) border(k auditv1.EntryKind, d auditv1.EntryDirection, peer identity.Bureau, id string, at time.Time, about *signedv1.Signed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := uint64(len(m.leaves))
	digest := [32]byte{}
	if about != nil {
		digest = sha256.Sum256(about.GetPayload())
	}
	salt, entry := [16]byte{byte(i)}, sha256.Sum256(fmt.Append(nil, i))
	l := evidence.Leaf{Kind: k, Direction: d, Peer: peer, At: at, MessageID: uuid.MustParse(id), Commitment: evidence.Commit(salt, digest, entry)}
	m.leaves = append(m.leaves, l.Bytes())
	m.passages = append(m.passages, audit.Passage{
		Index: i, Leaf: l.Bytes(), Evidence: func(context.Context) (*signedv1.Signed, error) { return about, nil },
		Opening: &auditv1.Opening{Salt: salt[:], EvidenceDigest: digest[:], EntryDigest: entry[:]},
	})
	m.signal()
}

// cut makes the journal lose its newest leaves.
func (m *memory) cut(n int) *memory {
	out := newMemory()
	out.leaves = m.leaves[:n:n]
	return out
}

// house is BEL's log on disk, with its signer.
type house struct {
	t       testing.TB
	f       *evidencetest.Federation
	dir     string
	journal audit.Journal
	signer  audit.Checkpointer
	fail    func(string) error
	now     func() time.Time
	wait    time.Duration
}

func newHouse(t testing.TB) (*house, *memory) {
	t.Helper()
	m := newMemory()
	h := &house{t: t, f: evidencetest.Found(t, fed, time.Now().Add(-time.Hour), bel, esp, bgr), dir: t.TempDir(), journal: m, wait: 20 * time.Second}
	state := filepath.Join(t.TempDir(), "log-state")
	if err := signing.NewLogState(state); err != nil {
		t.Fatal(err)
	}
	s, err := signing.OpenLogSigner(signing.LogConfig{Federation: fed, Bureau: bel, Private: h.f.Countries[bel].Log, Replicas: []string{"1"}, State: state})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	h.signer = s
	return h, m
}

func (h *house) config() audit.Config {
	return audit.Config{
		Dir: h.dir, Federation: fed, Bureau: bel, Replica: "1", Journal: h.journal, Signer: h.signer,
		LogKeys: h.f.Countries[bel].LogKeys, Rosters: func() []*signedv1.Signed { return h.f.Rosters },
		Interval: 10 * time.Millisecond, Wait: h.wait, Fail: h.fail, Now: h.now,
	}
}

// running is an open log that follows its journal.
type running struct {
	*audit.Log
	t      testing.TB
	cancel context.CancelFunc
	done   chan error
}

func (h *house) open() *running {
	h.t.Helper()
	l, err := audit.Open(h.t.Context(), h.config())
	if err != nil {
		h.t.Fatal(err)
	}
	return h.run(l)
}

func (h *house) run(l *audit.Log) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Log: l, t: h.t, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- l.Run(ctx) }()
	h.t.Cleanup(func() { _ = r.stop() })
	return r
}

// stop ends the log and returns why it had ended, if it had.
func (r *running) stop() error {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	r.cancel = nil
	err := <-r.done
	if errClose := r.Close(); errClose != nil {
		r.t.Error(errClose)
	}
	return err
}

// signed waits until a checkpoint of n leaves is signed, and returns it.
func (r *running) signed(n uint64) evidence.Checkpoint {
	r.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for s := r.Status(); s.Signed < n || s.Integrated < n; s = r.Status() {
		if time.Now().After(deadline) {
			r.t.Fatalf("not signed: %+v", s)
		}
		select {
		case err := <-r.done:
			r.done <- err
			r.t.Fatalf("Run ended: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	c, err := evidence.ParseCheckpoint(r.Newest())
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// whole verifies everything and returns the flaws as text.
func (r *running) whole() []string {
	r.t.Helper()
	report, err := r.Verify(context.Background(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, f := range report.GetFlaws() {
		out = append(out, fmt.Sprintf("%s@%d leaf %d: %s", f.GetFile(), f.GetOffset(), f.GetIndex(), f.GetWhat()))
	}
	if report.GetWhole() != (len(out) == 0) {
		r.t.Errorf("whole is %v with %d flaws", report.GetWhole(), len(out))
	}
	return out
}

// copyFolder copies a folder as it is at this moment.
func copyFolder(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // renamed meanwhile
			}
			return err
		}
		rel, _ := filepath.Rel(from, p)
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		raw, err := os.ReadFile(p)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), raw, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// files lists the files below a folder.
func files(t testing.TB, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// nap lets the others work for a moment.
func (r *running) nap() {
	select {
	case err := <-r.done:
		r.done <- err
		r.t.Fatalf("Run ended: %v", err)
	case <-time.After(5 * time.Millisecond):
	}
}

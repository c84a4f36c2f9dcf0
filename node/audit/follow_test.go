package audit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/entente-mesh/entente/node/audit"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/signing"
)

// rootOf computes a journal's root by another program.
func rootOf(m *memory, n uint64) [32]byte {
	tree := testonly.New(rfc6962.DefaultHasher)
	for _, l := range m.leaves[:n] {
		tree.AppendData(l[:])
	}
	return [32]byte(tree.HashAt(n))
}

func TestTheTreeFollowsTheJournal(t *testing.T) {
	h, m := newHouse(t)
	r := h.open()
	if r.Newest() != nil {
		t.Error("there is a checkpoint before the first leaf")
	}
	total := 0
	for _, n := range []int{1, 1, 254, 1, 3, 5000, 252, 17} {
		m.local(n)
		total += n
		c := r.signed(uint64(total))
		if c.Size != uint64(total) || c.Root != rootOf(m, c.Size) || c.Origin != "bel.demo.entente/log/1" {
			t.Fatalf("%d leaves: checkpoint %+v", total, c)
		}
		if _, err := evidence.VerifyCheckpoint(r.Newest(), fed, bel, h.f.Countries[bel].LogKeys()); err != nil {
			t.Fatal(err)
		}
	}
	if flaws := r.whole(); len(flaws) > 0 {
		t.Error(flaws)
	}
	for from := uint64(1); from <= uint64(total); from += 97 {
		c, err := r.Consistency(t.Context(), from, uint64(total))
		if err != nil {
			t.Fatal(err)
		}
		older := evidence.Checkpoint{Origin: r.Origin(), Size: from, Root: rootOf(m, from)}
		newer := evidence.Checkpoint{Origin: r.Origin(), Size: uint64(total), Root: rootOf(m, uint64(total))}
		if err := evidence.VerifyConsistency(older, newer, c.GetProof()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Consistency(t.Context(), 1, uint64(total)+1); !errors.Is(err, audit.ErrNotYet) {
		t.Errorf("beyond the log: %v", err)
	}
	if s := r.Status(); s.Lag != 0 || s.Trouble != "" || s.Leaves != uint64(total) {
		t.Errorf("%+v", s)
	}
	// What is full has no partial files.
	for _, f := range files(t, h.dir) {
		if strings.Contains(f, "tile/") && strings.Contains(f, ".p/") && strings.Contains(f, "/000.p/") && !strings.Contains(f, "tile/1/") {
			t.Errorf("%s is left behind", f)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	// And goes on where it was.
	last := h.open()
	if c, _ := evidence.ParseCheckpoint(last.Newest()); c.Size != uint64(total) {
		t.Errorf("after a restart the newest checkpoint is of %d leaves", c.Size)
	}
	m.local(300)
	last.signed(uint64(total) + 300)
	if s := last.Status(); s.Rebuilt != "" {
		t.Errorf("built again: %s", s.Rebuilt)
	}
	if flaws := last.whole(); len(flaws) > 0 {
		t.Error(flaws)
	}
}

// TestKilledBetweenJournalAndTree ends Run at each point, in each of a few rounds, and opens the
// folder again each time.
func TestKilledBetweenJournalAndTree(t *testing.T) {
	h, m := newHouse(t)
	var seen []evidence.Checkpoint
	for round := range 5 {
		for _, point := range []string{"audit: before the tree", "audit: in the tree", "audit: signed", "audit: checkpoint kept"} {
			crash := errors.New("killed")
			at := 0
			h.fail = func(p string) error {
				if p == point {
					if at++; at > round%2 {
						return crash
					}
				}
				return nil
			}
			r := h.open()
			m.local(1 + 97*round)
			// A second batch, if the first passed the point.
			for done := false; !done; {
				select {
				case err := <-r.done:
					r.done <- err
					done = true
				case <-time.After(20 * time.Millisecond):
					m.local(1)
				}
			}
			if err := r.stop(); !errors.Is(err, crash) {
				t.Fatalf("%s: %v", point, err)
			}
			h.fail = nil
			r = h.open()
			c := r.signed(m.Leaves())
			if c.Root != rootOf(m, c.Size) {
				t.Fatalf("after %q the root is another", point)
			}
			seen = append(seen, c)
			if flaws := r.whole(); len(flaws) > 0 {
				t.Fatalf("after %q: %v", point, flaws)
			}
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Everything that was ever shown is of one growing log.
	r := h.open()
	for i := 1; i < len(seen); i++ {
		c, err := r.Consistency(t.Context(), seen[i-1].Size, seen[i].Size)
		if err != nil {
			t.Fatal(err)
		}
		if err := evidence.VerifyConsistency(seen[i-1], seen[i], c.GetProof()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilledInTheMiddleOfATreeWrite copies the folder while it is written, again and again, and
// opens every copy.
func TestKilledInTheMiddleOfATreeWrite(t *testing.T) {
	h, m := newHouse(t)
	r := h.open()
	copies := filepath.Join(t.TempDir(), "copies")
	stop := make(chan struct{})
	done := make(chan int)
	go func() {
		n := 0
		for ; n < 24; n++ {
			select {
			case <-stop:
				done <- n
				return
			default:
			}
			copyFolder(t, h.dir, filepath.Join(copies, fmt.Sprint(n)))
		}
		done <- n
	}()
	for range 12 {
		m.local(500)
		r.signed(m.Leaves())
	}
	close(stop)
	n := <-done
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	m.local(10)
	rebuilt := 0
	for i := range n {
		again := *h
		again.dir = filepath.Join(copies, fmt.Sprint(i))
		r := again.open()
		c := r.signed(m.Leaves())
		if c.Root != rootOf(m, c.Size) {
			t.Fatalf("copy %d: another root", i)
		}
		if r.Status().Rebuilt != "" {
			rebuilt++
		}
		if flaws := r.whole(); len(flaws) > 0 {
			t.Fatalf("copy %d: %v", i, flaws)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d copies, %d of them torn so that the tree was built again", n, rebuilt)
}

func TestATreeThatIsGoneIsBuiltAgain(t *testing.T) {
	for name, remove := range map[string][]string{
		"the tree": {"tree"}, "the checkpoint": {"checkpoint"}, "both": {"tree", "checkpoint"}, "the copy": {"tree/checkpoint"},
		"both checkpoints": {"checkpoint", "tree/checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			h, m := newHouse(t)
			r := h.open()
			var shown []evidence.Checkpoint
			for range 8 {
				m.local(333)
				shown = append(shown, r.signed(m.Leaves()))
			}
			_ = r.stop()
			for _, p := range remove {
				if err := os.RemoveAll(filepath.Join(h.dir, p)); err != nil {
					t.Fatal(err)
				}
			}
			r = h.open()
			m.local(1)
			last := r.signed(m.Leaves())
			for _, c := range shown {
				p, err := r.Consistency(t.Context(), c.Size, last.Size)
				if err != nil {
					t.Fatal(err)
				}
				if err := evidence.VerifyConsistency(c, last, p.GetProof()); err != nil {
					t.Errorf("a checkpoint that was shown is not of the tree that was built again: %v", err)
				}
			}
			if flaws := r.whole(); len(flaws) > 0 {
				t.Error(flaws)
			}
		})
	}
}

func TestAJournalThatLostLeavesIsRefused(t *testing.T) {
	open := func(h *house) error {
		l, err := audit.Open(t.Context(), h.config())
		if err == nil {
			err = h.run(l).stopWhenDone()
		}
		return err
	}
	for name, remove := range map[string][]string{
		"with all that is kept": nil, "tree alone": {"checkpoint", "tree/checkpoint"}, "checkpoint alone": {"tree"}, "signer's memory alone": {"tree", "checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			h, m := newHouse(t)
			r := h.open()
			m.local(700)
			r.signed(700)
			_ = r.stop()
			for _, p := range remove {
				if err := os.RemoveAll(filepath.Join(h.dir, p)); err != nil {
					t.Fatal(err)
				}
			}
			h.journal = m.cut(690)
			if err := open(h); !errors.Is(err, audit.ErrJournalLost) {
				t.Errorf("a journal that lost ten leaves: %v", err)
			}
			// Another history of the same length.
			other := m.cut(700)
			other.leaves = slices.Clone(other.leaves)
			other.leaves[3], other.leaves[4] = other.leaves[4], other.leaves[3]
			h.journal = other
			if name == "with all that is kept" {
				// The old leaves are not read again when it opens; Verify reads them all.
				l, err := audit.Open(t.Context(), h.config())
				if err != nil {
					t.Fatal(err)
				}
				r := h.run(l)
				if flaws := r.whole(); len(flaws) == 0 {
					t.Error("a journal in which two leaves changed places is whole")
				}
				_ = r.stop()
				return
			}
			other.local(1)
			if err := open(h); !errors.Is(err, audit.ErrDiverged) {
				t.Errorf("a journal in which two leaves changed places: %v", err)
			}
		})
	}
}

// stopWhenDone waits until Run ends by itself.
func (r *running) stopWhenDone() error {
	select {
	case err := <-r.done:
		r.done <- err
	case <-time.After(time.Minute):
		r.t.Error("Run goes on")
	}
	return r.stop()
}

// signerThatFails is away until it is told to come.
type signerThatFails struct {
	audit.Checkpointer
	fail func() error
}

func (s signerThatFails) Checkpoint(ctx context.Context, replica string, size uint64, root []byte, path [][]byte) ([]byte, error) {
	if err := s.fail(); err != nil {
		return nil, err
	}
	return s.Checkpointer.Checkpoint(ctx, replica, size, root, path)
}

func TestASignerThatIsAwayHoldsNothingUp(t *testing.T) {
	h, m := newHouse(t)
	away := make(chan struct{})
	h.signer = signerThatFails{h.signer, func() error {
		select {
		case <-away:
			return nil
		default:
			return errors.New("no such socket")
		}
	}}
	r := h.open()
	m.local(300)
	deadline := time.Now().Add(time.Minute)
	for s := r.Status(); s.Integrated < 300 || s.Trouble == ""; s = r.Status() {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", s)
		}
		<-time.After(time.Millisecond)
	}
	if s := r.Status(); s.Signed != 0 || s.Lag <= 0 || !strings.Contains(s.Trouble, "no such socket") || s.TroubleSince.IsZero() {
		t.Errorf("%+v", s)
	}
	close(away)
	m.local(1)
	r.signed(301)
	deadline = time.Now().Add(time.Minute)
	for s := r.Status(); s.Trouble != "" || s.Lag != 0; s = r.Status() {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", s)
		}
		<-time.After(time.Millisecond)
	}
}

func TestASignerThatSignsSomethingElseIsNotBelieved(t *testing.T) {
	h, m := newHouse(t)
	other, _ := newHouse(t)
	h.signer = other.signer // with another country's key
	r := h.open()
	m.local(3)
	deadline := time.Now().Add(time.Minute)
	for s := r.Status(); s.Trouble == ""; s = r.Status() {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", s)
		}
		<-time.After(time.Millisecond)
	}
	if r.Newest() != nil {
		t.Error("a checkpoint that another key signed is given out")
	}
}

func TestASignerThatForgotIsBegunAgain(t *testing.T) {
	h, m := newHouse(t)
	r := h.open()
	m.local(300)
	r.signed(300)
	_ = r.stop()
	state := filepath.Join(t.TempDir(), "new-state")
	if err := signing.NewLogState(state); err != nil {
		t.Fatal(err)
	}
	s, err := signing.OpenLogSigner(signing.LogConfig{Federation: fed, Bureau: bel, Private: h.f.Countries[bel].Log, Replicas: []string{"1"}, State: state})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	h.signer = s
	r = h.open()
	m.local(1)
	r.signed(301)
	_ = r.stop()
}

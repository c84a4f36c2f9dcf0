package signing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/entente-mesh/entente/pki/identity"
)

// history is a log as its node keeps it. Its roots and proofs are made by another library than
// the one that checks them.
type history []tlog.Hash

func (h history) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = h[x]
	}
	return out, nil
}

// grown is a log of n leaves of a kind.
func grown(t testing.TB, kind string, n int) history {
	t.Helper()
	var h history
	for i := range n {
		more, err := tlog.StoredHashes(int64(i), fmt.Appendf(nil, "%s %d", kind, i), h)
		if err != nil {
			t.Fatal(err)
		}
		h = append(h, more...)
	}
	return h
}

func (h history) root(t testing.TB, n int) []byte {
	t.Helper()
	root, err := tlog.TreeHash(int64(n), h)
	if err != nil {
		t.Fatal(err)
	}
	return root[:]
}

func (h history) proof(t testing.TB, from, to int) [][]byte {
	t.Helper()
	p, err := tlog.ProveTree(int64(to), int64(from), h)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for _, hash := range p {
		out = append(out, bytes.Clone(hash[:]))
	}
	return out
}

func TestRootsAreThoseOfRFC6962(t *testing.T) {
	f := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	r := f.NewEmptyRange(0)
	for i := range 13 {
		if err := r.Append(rfc6962.DefaultHasher.HashLeaf(fmt.Appendf(nil, "true %d", i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	want, err := r.GetRootHash(nil)
	if got := grown(t, "true", 13).root(t, 13); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x, %v", got, want, err)
	}
}

func logConfigIn(t testing.TB, dir string) LogConfig {
	t.Helper()
	return LogConfig{Federation: fed, Bureau: "BEL", Private: newKey(t), Replicas: []string{"1", "2"}, State: filepath.Join(dir, "log.state")}
}

func openLog(t testing.TB, c LogConfig) *LogSigner {
	t.Helper()
	l, err := OpenLogSigner(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func newLog(t testing.TB) (*LogSigner, LogConfig) {
	t.Helper()
	c := logConfigIn(t, t.TempDir())
	if err := NewLogState(c.State); err != nil {
		t.Fatal(err)
	}
	return openLog(t, c), c
}

func verifierOf(t testing.TB, l *LogSigner, replica string) note.Verifier {
	t.Helper()
	v, err := note.NewVerifier(must[string](t)(note.NewEd25519VerifierKey(LogOrigin(fed, "BEL", replica), l.LogKey().Key)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCheckpointIsASignedNote(t *testing.T) {
	l, _ := newLog(t)
	h := grown(t, "true", 5)
	got := must[[]byte](t)(l.Checkpoint(t.Context(), "1", 5, h.root(t, 5), nil))
	n, err := note.Open(got, note.VerifierList(verifierOf(t, l, "1")))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + strings.SplitN(n.Text, "\n", 2)[1]))
	if err != nil || tree.N != 5 || !bytes.Equal(tree.Hash[:], h.root(t, 5)) || !strings.HasPrefix(n.Text, "bel.demo.entente/log/1\n5\n") {
		t.Errorf("%v\n%s", err, n.Text)
	}
	again := must[[]byte](t)(l.Checkpoint(t.Context(), "1", 5, h.root(t, 5), nil))
	if !bytes.Equal(got, again) {
		t.Error("the same log has another checkpoint")
	}
	if _, err := note.Open(got, note.VerifierList(verifierOf(t, l, "2"))); err == nil {
		t.Error("it passes for one of another log")
	}
	// The log key is a key of its own use.
	if k := l.LogKey(); k.Bureau != "BEL" || k.Algorithm != AlgorithmEd25519 || len(k.Key) != ed25519.PublicKeySize {
		t.Errorf("the log key: %v", k)
	}
}

// TestOneHistory: whoever sits in the node has a log signed that grows, and no other.
func TestOneHistory(t *testing.T) {
	l, c := newLog(t)
	h, other := grown(t, "true", 40), grown(t, "false", 40)
	sign := func(size int, root []byte, proof [][]byte) error {
		_, err := l.Checkpoint(t.Context(), "1", uint64(size), root, proof)
		return err
	}
	grow := func() {
		t.Helper()
		if err := sign(7, h.root(t, 7), nil); err != nil {
			t.Fatal(err)
		}
		if err := sign(20, h.root(t, 20), h.proof(t, 7, 20)); err != nil {
			t.Fatal(err)
		}
	}
	grow()
	forged := h.proof(t, 20, 33)
	forged[0][0] ^= 1
	refused := map[string]struct {
		err  error
		want Refusal
	}{
		"shrunk":                       {sign(19, h.root(t, 19), nil), LogShrunk},
		"shrunk, with a proof":         {sign(7, h.root(t, 7), h.proof(t, 7, 20)), LogShrunk},
		"forked at the same size":      {sign(20, other.root(t, 20), nil), LogForked},
		"grown without a proof":        {sign(33, h.root(t, 33), nil), LogUnproven},
		"forked at a larger size":      {sign(33, other.root(t, 33), other.proof(t, 20, 33)), LogUnproven},
		"with the true log's proof":    {sign(33, other.root(t, 33), h.proof(t, 20, 33)), LogUnproven},
		"with a forged proof":          {sign(33, h.root(t, 33), forged), LogUnproven},
		"with a proof from elsewhere":  {sign(33, h.root(t, 33), h.proof(t, 19, 33)), LogUnproven},
		"with a proof that is cut off": {sign(33, h.root(t, 33), h.proof(t, 20, 33)[1:]), LogUnproven},
		"with a proof with more":       {sign(33, h.root(t, 33), append(h.proof(t, 20, 33), make([]byte, 32))), LogUnproven},
		"with a proof of short hashes": {sign(33, h.root(t, 33), [][]byte{{1}, {2}}), LogUnproven},
		"the end of all numbers":       {func() error { _, err := l.Checkpoint(t.Context(), "1", 1<<64-1, other.root(t, 33), nil); return err }(), LogUnproven},
		"a second log that begins midway": {func() error {
			_, err := l.Checkpoint(t.Context(), "2", 20, h.root(t, 20), h.proof(t, 7, 20))
			return err
		}(), LogUnproven},
	}
	for name, x := range refused {
		var follows *NotFollowingError
		if !errors.As(x.err, &follows) || follows.Refusal != x.want {
			t.Errorf("%s: got %v, want %s", name, x.err, x.want)
		} else if back, ok := ParseNotFollowing(string(follows.Refusal), follows.Metadata()); !ok || *back != *follows {
			t.Errorf("%s: across a process: %v, %v", name, back, ok)
		}
	}
	var shrunk *NotFollowingError
	if errors.As(refused["shrunk"].err, &shrunk); shrunk == nil || shrunk.Last != 20 || shrunk.Size != 19 || !strings.Contains(shrunk.Error(), "from the journal until past 20") {
		t.Errorf("the remedy: %v", shrunk)
	}
	for name, err := range map[string]error{
		"another replica": func() error { _, err := l.Checkpoint(t.Context(), "3", 1, h.root(t, 1), nil); return err }(),
		"no leaf":         sign(0, h.root(t, 0), nil),
		"no root":         sign(33, nil, nil),
		"a long root":     sign(33, make([]byte, 33), nil),
	} {
		if err == nil {
			t.Errorf("%s is signed", name)
		}
	}
	// None of this has moved what is remembered, and another signer of the same key knows it too.
	if err := sign(20, h.root(t, 20), nil); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sign(20, h.root(t, 20), nil); err == nil {
		t.Error("a closed signer signs")
	}
	l = openLog(t, c)
	if err := sign(20, other.root(t, 20), nil); err == nil {
		t.Error("a restart has it sign another history")
	}
	if err := sign(40, h.root(t, 40), h.proof(t, 20, 40)); err != nil {
		t.Error(err)
	}
}

func TestOneSignerForAMemory(t *testing.T) {
	_, c := newLog(t)
	if _, err := OpenLogSigner(c); !errors.Is(err, ErrLogState) {
		t.Errorf("a second signer: got %v, want ErrLogState", err)
	}
}

// TestLostMemory: a signer without its memory signs nothing, and gets it back from what it has
// signed.
func TestLostMemory(t *testing.T) {
	l, c := newLog(t)
	h := grown(t, "true", 20)
	old := must[[]byte](t)(l.Checkpoint(t.Context(), "1", 7, h.root(t, 7), nil))
	newest := must[[]byte](t)(l.Checkpoint(t.Context(), "1", 20, h.root(t, 20), h.proof(t, 7, 20)))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := NewLogState(c.State); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a new memory over the old one: %v", err)
	}
	whole, err := os.ReadFile(c.State)
	if err != nil {
		t.Fatal(err)
	}
	// Restoring never goes back.
	if err := RestoreLogState(c, old); err == nil || !strings.Contains(err.Error(), "give the newest") {
		t.Errorf("restored to an older checkpoint: %v", err)
	}
	for name, spoil := range map[string]func() error{
		"missing":       func() error { return os.RemoveAll(c.State) },
		"a flipped bit": func() error { b := bytes.Clone(whole); b[40] ^= 1; return os.WriteFile(c.State, b, 0o600) },
		"cut off":       func() error { return os.WriteFile(c.State, whole[:len(whole)-10], 0o600) },
		"empty":         func() error { return os.WriteFile(c.State, nil, 0o600) },
		"huge":          func() error { return os.WriteFile(c.State, make([]byte, maxStateFile+1), 0o600) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenLogSigner(c); !errors.Is(err, ErrLogState) {
			t.Errorf("%s: got %v, want ErrLogState", name, err)
		}
	}
	if err := os.RemoveAll(c.State); err != nil {
		t.Fatal(err)
	}
	another := c
	another.Private = newKey(t)
	third := c
	third.Replicas = []string{"3"}
	for name, err := range map[string]error{
		"another key's checkpoint": RestoreLogState(another, newest),
		"another log's":            RestoreLogState(third, newest),
		"a changed one":            RestoreLogState(c, bytes.Replace(newest, []byte("\n20\n"), []byte("\n21\n"), 1)),
		"nothing":                  RestoreLogState(c, nil),
	} {
		if err == nil {
			t.Errorf("restored from %s", name)
		}
	}
	if _, err := os.Stat(c.State); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a refused checkpoint left a memory: %v", err)
	}
	if err := RestoreLogState(c, newest); err != nil {
		t.Fatal(err)
	}
	again := openLog(t, c)
	if _, err := again.Checkpoint(t.Context(), "1", 19, h.root(t, 19), nil); err == nil {
		t.Error("it has forgotten")
	}
	if got := must[[]byte](t)(again.Checkpoint(t.Context(), "1", 20, h.root(t, 20), nil)); !bytes.Equal(got, newest) {
		t.Error("it knows another log")
	}
}

// TestMemoryThatCannotBeWritten: what is not remembered is not signed.
func TestMemoryThatCannotBeWritten(t *testing.T) {
	l, c := newLog(t)
	h := grown(t, "true", 9)
	if err := os.Mkdir(c.State+pendingState, 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Checkpoint(t.Context(), "1", 7, h.root(t, 7), nil); !errors.Is(err, ErrLogState) || got != nil {
		t.Errorf("got %q, %v; want ErrLogState", got, err)
	}
	if err := os.Remove(c.State + pendingState); err != nil {
		t.Fatal(err)
	}
	// It was not signed, so another beginning is still free.
	if _, err := l.Checkpoint(t.Context(), "1", 9, h.root(t, 9), nil); err != nil {
		t.Error(err)
	}
}

// TestManyAtOnce: of many who want another history at the same size signed, one succeeds.
func TestManyAtOnce(t *testing.T) {
	l, _ := newLog(t)
	var signed sync.Map
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			root := sha256.Sum256([]byte{byte(i)})
			if _, err := l.Checkpoint(t.Context(), "1", 3, root[:], nil); err == nil {
				signed.Store(i, true)
			}
		})
	}
	all.Wait()
	n := 0
	signed.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d histories are signed", n)
	}
}

func TestLogSignersThatAreNone(t *testing.T) {
	dir := t.TempDir()
	good := logConfigIn(t, dir)
	if err := NewLogState(good.State); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*LogConfig){
		"no key":            func(c *LogConfig) { c.Private = nil },
		"no replica":        func(c *LogConfig) { c.Replicas = nil },
		"a replica's path":  func(c *LogConfig) { c.Replicas = []string{"1/../2"} },
		"a replica's lines": func(c *LogConfig) { c.Replicas = []string{"1\n2"} },
		"no bureau":         func(c *LogConfig) { c.Bureau = "" },
		"no federation":     func(c *LogConfig) { c.Federation = identity.Federation("") },
	} {
		c := good
		spoil(&c)
		if l, err := OpenLogSigner(c); err == nil {
			t.Errorf("a signer with %s", name)
			_ = l.Close()
		}
	}
}

// FuzzLogState: a doctored memory is refused or is just what it says, and never a panic.
func FuzzLogState(f *testing.F) {
	f.Add(encodeState(nil))
	f.Add(encodeState(map[string]head{"bel.demo.entente/log/1": {size: 7}, "bel.demo.entente/log/2": {size: 1 << 63, root: [32]byte{1}}}))
	f.Add([]byte(stateTitle + "\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		heads, err := parseState(b)
		if err != nil {
			if !errors.Is(err, ErrLogState) || heads != nil {
				t.Errorf("%v, %v", heads, err)
			}
			return
		}
		if !bytes.Equal(encodeState(heads), b) {
			t.Error("it is written otherwise than it was read")
		}
		for origin, h := range heads {
			if origin == "" || h.size == 0 {
				t.Errorf("%q %v", origin, h)
			}
		}
	})
}

func TestPublicKeyFiles(t *testing.T) {
	private := newKey(t)
	half := private.Public().(ed25519.PublicKey)
	path := filepath.Join(t.TempDir(), "message.pub")
	if err := WritePublicKey(path, half); err != nil {
		t.Fatal(err)
	}
	if got := must[ed25519.PublicKey](t)(ReadPublicKey(path)); !got.Equal(half) {
		t.Error("another key is read")
	}
	if err := WritePublicKey(path, half); !errors.Is(err, fs.ErrExist) {
		t.Errorf("overwriting: %v", err)
	}
	key := filepath.Join(t.TempDir(), "message.key")
	if err := WriteKey(key, private); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPublicKey(key); err == nil {
		t.Error("a private key is read as a public one")
	}
	if _, err := ReadKey(path); err == nil {
		t.Error("a public key is read as a private one")
	}
}

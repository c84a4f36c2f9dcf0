package audit_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/entente-mesh/entente/pki/evidence"
)

// TestEveryFileOfTheTreeIsWatched flips a byte in each file, cuts each, and removes each: Verify
// names it, and a log that is opened over it has the journal's tree.
func TestEveryFileOfTheTreeIsWatched(t *testing.T) {
	h, m := newHouse(t)
	h.wait = 1e9
	r := h.open()
	// Full and partial bundles and tiles on two levels, and partial ones that were outgrown.
	m.local(300)
	r.signed(300)
	m.local(300)
	r.signed(600)
	m.local(30)
	want := r.signed(630)
	_ = r.stop()
	m.local(5)
	original := h.dir
	kinds := map[string]bool{}
	for _, name := range files(t, original) {
		if strings.HasSuffix(name, ".lock") {
			continue // empty
		}
		for damage, spoil := range map[string]func(path string, raw []byte) error{
			"flipped": func(p string, raw []byte) error {
				raw[len(raw)/2] ^= 0x10
				return os.WriteFile(p, raw, 0o600)
			},
			"cut":     func(p string, raw []byte) error { return os.Truncate(p, int64(len(raw)-1)) },
			"emptied": func(p string, _ []byte) error { return os.Truncate(p, 0) },
			"removed": func(p string, _ []byte) error { return os.Remove(p) },
		} {
			t.Run(name+" "+damage, func(t *testing.T) {
				// The same log as it runs, damaged under its feet.
				live := *h
				live.t, live.dir = t, filepath.Join(t.TempDir(), "log")
				copyFolder(t, original, live.dir)
				live.journal = m.cut(630)
				r := live.open()
				r.signed(630)
				at := filepath.Join(live.dir, filepath.FromSlash(name))
				raw, err := os.ReadFile(at)
				if err != nil {
					t.Fatal(err)
				}
				if err := spoil(at, raw); err != nil {
					t.Fatal(err)
				}
				outgrown := damage == "removed" && isOutgrown(name)
				named := false
				flaws := r.whole()
				for _, f := range flaws {
					named = named || strings.Contains(f, "log/"+name+"@")
				}
				if !named && !outgrown {
					t.Errorf("not named: %v", flaws)
				}
				_ = r.stop()
				// And opened again.
				live.journal = m
				r = live.open()
				c := r.signed(635)
				if c.Root != rootOf(m, 635) {
					t.Error("another root")
				}
				p, err := r.Consistency(t.Context(), want.Size, c.Size)
				if err != nil {
					// What lies in the middle of the tree is found when it is used, and built again.
					r.rebuilt()
					if p, err = r.Consistency(t.Context(), want.Size, c.Size); err != nil {
						t.Fatal(err)
					}
				}
				if err := evidence.VerifyConsistency(want, c, p.GetProof()); err != nil {
					t.Error(err)
				}
			})
		}
		kinds[kind(name)] = true
	}
	for _, k := range []string{"checkpoint", "tree/checkpoint", "tree/.state/treeState", "tree/.state/version", "tree/tile/entries", "tree/tile/entries partial", "tree/tile/0", "tree/tile/0 partial", "tree/tile/1 partial"} {
		if !kinds[k] {
			t.Errorf("no file of kind %s was tried: %v", k, kinds)
		}
	}
}

// isOutgrown reports whether name is a partial file that a tree of 630 leaves has no need of. Which
// of them there are depends on how many batches the tree grew in.
func isOutgrown(name string) bool {
	if !strings.Contains(name, ".p/") {
		return false
	}
	// 630 leaves are two full tiles and 118 leaves, and above them a tile of 2.
	needed := []string{"tree/tile/entries/002.p/118", "tree/tile/0/002.p/118", "tree/tile/1/000.p/2"}
	return !slices.Contains(needed, name)
}

// rebuilt waits until the tree was built again.
func (r *running) rebuilt() {
	r.t.Helper()
	for r.Status().Rebuilt == "" {
		r.t.Log(r.Status())
		r.nap()
	}
	r.signed(r.Status().Leaves)
}

func kind(name string) string {
	if !strings.HasPrefix(name, "tree/tile/") {
		return name
	}
	k := strings.Join(strings.Split(name, "/")[:3], "/")
	if strings.Contains(name, ".p/") {
		k += " partial"
	}
	return k
}

package authority_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/entente-mesh/entente/pki/authority"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
)

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	t.Run("an empty folder", func(t *testing.T) {
		_, err := authority.Open(t.Context(), authority.Options{Dir: t.TempDir(), Bureau: "BEL", Federation: demo})
		if !errors.Is(err, authority.ErrNone) {
			t.Error(err)
		}
	})
	for name, spoil := range map[string]func(t *testing.T, b *bureau, o *authority.Options){
		"another bureau's":     func(_ *testing.T, _ *bureau, o *authority.Options) { o.Bureau = "ESP" },
		"another federation's": func(_ *testing.T, _ *bureau, o *authority.Options) { o.Federation = "other.entente" },
		"a key that all can read": func(t *testing.T, b *bureau, _ *authority.Options) {
			if err := os.Chmod(filepath.Join(b.dir, authority.MeshKeyFile), 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"a key that is gone": func(t *testing.T, b *bureau, _ *authority.Options) {
			if err := os.Remove(filepath.Join(b.dir, authority.LocalKeyFile)); err != nil {
				t.Fatal(err)
			}
		},
		"keys exchanged": func(t *testing.T, b *bureau, _ *authority.Options) {
			swap(t, b.dir, authority.MeshKeyFile, authority.LocalKeyFile)
		},
		"intermediates exchanged, with their keys": func(t *testing.T, b *bureau, _ *authority.Options) {
			swap(t, b.dir, authority.MeshKeyFile, authority.LocalKeyFile)
			swap(t, b.dir, authority.MeshFile, authority.LocalFile)
		},
		"another root": func(t *testing.T, b *bureau, _ *authority.Options) {
			other := create(t, "BEL")
			if err := os.Rename(filepath.Join(other.dir, authority.RootFile), filepath.Join(b.dir, authority.RootFile)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := create(t, "BEL")
			o := b.options()
			spoil(t, b, &o)
			a, err := authority.Open(t.Context(), o)
			if err == nil {
				t.Error("opened", a.Close())
			}
		})
	}
	t.Run("a second process", func(t *testing.T) {
		b := open(t, "BEL")
		begin := time.Now()
		if _, err := authority.Open(t.Context(), b.options()); !errors.Is(err, authority.ErrInUse) {
			t.Errorf("opened, or another error: %v", err)
		}
		if waited := time.Since(begin); waited > 30*time.Second {
			t.Errorf("waited %s", waited)
		}
	})
}

func swap(t *testing.T, dir, one, two string) {
	t.Helper()
	for _, move := range [][2]string{{one, "x"}, {two, one}, {"x", two}} {
		if err := os.Rename(filepath.Join(dir, move[0]), filepath.Join(dir, move[1])); err != nil {
			t.Fatal(err)
		}
	}
}

// TestManyAtOnce: replicas and officers renew at the same time.
func TestManyAtOnce(t *testing.T) {
	b := open(t, "BEL")
	var wg sync.WaitGroup
	serials := make(chan string, 16)
	for range 16 {
		wg.Go(func() {
			_, csr, err := mtls.NewRequest(identity.Node(demo, "BEL", "1"))
			if err != nil {
				t.Error(err)
				return
			}
			chain, err := b.IssueNode(context.WithoutCancel(t.Context()), "1", csr)
			if err != nil {
				t.Error(err)
				return
			}
			serials <- chain[0].SerialNumber.String()
		})
	}
	wg.Wait()
	close(serials)
	seen := map[string]bool{}
	for s := range serials {
		if seen[s] {
			t.Errorf("serial number %s twice", s)
		}
		seen[s] = true
	}
	if len(seen) != 16 {
		t.Errorf("%d issued", len(seen))
	}
}

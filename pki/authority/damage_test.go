package authority_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/entente-mesh/entente/pki/authority"
)

// TestDamagedDatabase: a database that was cut, or whose description is broken, is refused with its
// name, and does not end the process.
func TestDamagedDatabase(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(whole []byte) []byte{
		"empty":                      func([]byte) []byte { return nil },
		"cut after its descriptions": func(whole []byte) []byte { return whole[:2*os.Getpagesize()] },
		"cut in the middle":          func(whole []byte) []byte { return whole[:12<<10] },
		"first description":          func(whole []byte) []byte { whole[16+50] ^= 1; return whole },
		"second description":         func(whole []byte) []byte { whole[os.Getpagesize()+16+50] ^= 1; return whole },
	} {
		t.Run(name, func(t *testing.T) {
			b := create(t, "BEL")
			opened, err := authority.Open(t.Context(), b.options())
			if err != nil {
				t.Fatal(err)
			}
			if err := opened.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(b.dir, "db", "local")
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, spoil(whole), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = authority.Open(t.Context(), b.options())
			if !errors.Is(err, authority.ErrDamaged) {
				t.Errorf("got %v", err)
			}
		})
	}
}

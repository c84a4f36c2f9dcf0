package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/entente-mesh/entente/node/store"
	"github.com/entente-mesh/entente/node/vault"
)

// folders are a store and its vault, in folders of their own as a node has them.
func folders(t *testing.T) (path, keys string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"store", "vault"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "store", "store.db"), filepath.Join(dir, "vault", "records.keys")
}

// session opens a store, does something, and closes it.
func session(t *testing.T, path, keys string, do func(s *store.Store, v *vault.Vault)) error {
	t.Helper()
	c, v, err := configWith(path, keys)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	s, err := store.Open(t.Context(), c)
	if err != nil {
		return err
	}
	do(s, v)
	return s.Close()
}

func removeMarks(t *testing.T, path string) {
	t.Helper()
	for _, mark := range []string{path + ".mark", path + ".vault.mark"} {
		if err := os.Remove(mark); err != nil {
			t.Fatal(err)
		}
	}
}

func putPersons(t *testing.T, from, to int) func(*store.Store, *vault.Vault) {
	return func(s *store.Store, _ *vault.Vault) {
		t.Helper()
		var puts []store.Put
		for i := from; i < to; i++ {
			puts = append(puts, suspect(i, "Samir Aoun"))
		}
		if _, err := s.Put(t.Context(), puts); err != nil {
			t.Fatal(err)
		}
	}
}

func nothing(*store.Store, *vault.Vault) {}

// TestOlderFolder starts once with yesterday's folder of the store, mark and all: it is refused, and
// the newer records' keys are as they were when today's folder comes back.
func TestOlderFolder(t *testing.T) {
	path, keys := folders(t)
	folder, yesterday := filepath.Dir(path), filepath.Join(t.TempDir(), "yesterday")
	if err := session(t, path, keys, putPersons(t, 0, 2)); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(yesterday, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	if err := session(t, path, keys, putPersons(t, 2, 7)); err != nil {
		t.Fatal(err)
	}
	today := folder + ".today"
	if err := errors.Join(os.Rename(folder, today), os.Rename(yesterday, folder)); err != nil {
		t.Fatal(err)
	}
	err := session(t, path, keys, nothing)
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), keys+".mark") {
		t.Errorf("yesterday's folder: %v", err)
	}
	// Not even with the mark beside the database gone.
	if err := os.Remove(path + ".mark"); err != nil {
		t.Fatal(err)
	}
	if err := session(t, path, keys, nothing); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("yesterday's folder without its mark: %v", err)
	}
	if err := errors.Join(os.Rename(folder, yesterday), os.Rename(today, folder)); err != nil {
		t.Fatal(err)
	}
	err = session(t, path, keys, func(s *store.Store, _ *vault.Vault) {
		if n, err := s.Count(t.Context(), store.Persons); n != 7 || err != nil {
			t.Errorf("today's folder again: %d persons, %v", n, err)
		}
		if err := s.Check(t.Context(), nil); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Errorf("today's folder again: %v", err)
	}
	// Who means it says so.
	if err := errors.Join(os.Rename(folder, today), os.Rename(yesterday, folder), os.Remove(path+".mark"), os.Remove(keys+".mark")); err != nil {
		t.Fatal(err)
	}
	err = session(t, path, keys, func(s *store.Store, v *vault.Vault) {
		if n, err := s.Count(t.Context(), store.Persons); n != 2 || err != nil || len(liveKeys(t, v)) != 2 {
			t.Errorf("yesterday's on purpose: %d persons, %v, %d keys", n, err, len(liveKeys(t, v)))
		}
	})
	if err != nil {
		t.Errorf("yesterday's on purpose: %v", err)
	}
}

// TestMoreThanACrashLeaves: what no crash can have left is not destroyed, and not erased, until
// somebody says that it is meant.
func TestMoreThanACrashLeaves(t *testing.T) {
	for name, part := range map[string]func(s *store.Store, v *vault.Vault){
		"keys of nobody": func(_ *store.Store, v *vault.Vault) {
			if _, err := v.New(5000); err != nil {
				t.Fatal(err)
			}
		},
		"records without keys": func(_ *store.Store, v *vault.Vault) {
			if err := v.Destroy(liveKeys(t, v)[:20]...); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, keys := folders(t)
			before := 0
			err := session(t, path, keys, func(s *store.Store, v *vault.Vault) {
				putPersons(t, 0, 30)(s, v)
				part(s, v)
				before = len(liveKeys(t, v))
			})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := session(t, path, keys, nothing); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "nothing was destroyed") {
					t.Errorf("got %v", err)
				}
			}
			_, v, err := configWith(path, keys)
			if err != nil {
				t.Fatal(err)
			}
			if after := len(liveKeys(t, v)); after != before {
				t.Errorf("%d keys, before %d", after, before)
			}
			if err := errors.Join(v.Close(), os.Remove(path+".mark"), os.Remove(keys+".mark")); err != nil {
				t.Fatal(err)
			}
			err = session(t, path, keys, func(s *store.Store, v *vault.Vault) {
				n, err := s.Count(t.Context(), store.Persons)
				if err != nil || int(n) != len(liveKeys(t, v)) {
					t.Errorf("%d persons, %d keys, %v", n, len(liveKeys(t, v)), err)
				}
			})
			if err != nil {
				t.Errorf("on purpose: %v", err)
			}
		})
	}
}

package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/store"
	"github.com/entente-mesh/entente/node/store/storetest"
	"github.com/entente-mesh/entente/node/vault"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/testing/protocmp"
)

func TestMain(m *testing.M) {
	if play := os.Getenv(childVariable); play != "" {
		os.Exit(child(play))
	}
	goleak.VerifyTestMain(m)
}

// config is that of a store with its vault beside it, whose keys are the same at each opening.
func config(tb testing.TB, path string) store.Config {
	tb.Helper()
	c, v, err := configOf(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { v.Close() })
	return c
}

func configOf(path string) (store.Config, *vault.Vault, error) {
	return configWith(path, path+".vault")
}

func configWith(path, keys string) (store.Config, *vault.Vault, error) {
	master := bytes.Repeat([]byte{7}, vault.KeySize)
	lookup, err1 := vault.Derive(master, "lookup")
	state, err2 := vault.Derive(master, "state")
	v, err3 := vault.Open(vault.Config{Path: keys, Master: master, Label: "records"})
	return store.Config{Path: path, Vault: v, LookupKey: lookup, StateKey: state}, v, errors.Join(err1, err2, err3)
}

func open(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), config(t, path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newPath(t *testing.T) string { return filepath.Join(t.TempDir(), "store.db") }

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store { return open(t, newPath(t)) })
}

// raw opens the file without the store.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// tamper runs SQL on the file without the store, as somebody with another program could.
func tamper(t *testing.T, path string, statements ...string) {
	t.Helper()
	db := raw(t, path)
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestReopen(t *testing.T) {
	path := newPath(t)
	at := time.Date(2014, 12, 18, 6, 30, 0, 123456789, time.UTC)
	clocked := config(t, path)
	clocked.Now = func() time.Time { return at }
	s, err := store.Open(t.Context(), clocked)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), []store.Put{stolenPassport(1), stolenPassport(2)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Withdraw(t.Context(), store.Documents, []string{stolenPassport(2).Record.RecordId}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutState(t.Context(), "alarms", "clock", []byte{2}); err != nil {
		t.Fatal(err)
	}
	before, err := s.Changes(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if got := before[0].Record.Stewardship.RecordedAt; !got.AsTime().Equal(at) {
		t.Errorf("recorded at %v, the clock said %v", got.AsTime(), at)
	}
	if got := before[1].WithdrawnAt; !got.Equal(at) {
		t.Errorf("withdrawn at %v, the clock said %v", got, at)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, path)
	after, err := s.Changes(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if a, found, err := s.GetState(t.Context(), "alarms", "clock"); !found || err != nil || !bytes.Equal(a, []byte{2}) {
		t.Errorf("state: %v, %v, %v", a, found, err)
	}
	// Sequences go on where they were.
	if _, err := s.Put(t.Context(), []store.Put{stolenPassport(3)}); err != nil {
		t.Fatal(err)
	}
	if more, err := s.Changes(t.Context(), after[1].Seq, 100); err != nil || len(more) != 1 {
		t.Errorf("after reopening: %v, %v", more, err)
	}
	if err := s.Check(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestClose(t *testing.T) {
	s := open(t, newPath(t))
	var wg sync.WaitGroup
	var acknowledged, closed sync.Map
	for c := range 8 {
		wg.Go(func() { // some of these are under way when the store is closed
			for i := range 1000 {
				id := fmt.Sprintf("check-%d-%d", c, i)
				err := s.PutState(context.Background(), "limits", id, nil)
				if errors.Is(err, store.ErrClosed) {
					closed.Store(id, true)
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				acknowledged.Store(id, true)
			}
		})
	}
	for range 3 {
		wg.Go(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	ctx := t.Context()
	errs := map[string]error{}
	_, errs["Put"] = s.Put(ctx, []store.Put{stolenPassport(1)})
	_, errs["Get"] = s.Get(ctx, store.Persons, "x")
	_, errs["Withdraw"] = s.Withdraw(ctx, store.Persons, []string{"x"})
	_, errs["List"] = s.List(ctx, store.Persons, "", "", 1)
	_, errs["Count"] = s.Count(ctx, store.Persons)
	_, errs["Changes"] = s.Changes(ctx, 0, 1)
	_, errs["FindDocuments"] = s.FindDocuments(ctx, store.DocumentLookup{Keys: []string{"x"}})
	_, errs["Erase"] = s.Erase(ctx, store.Persons, "x")
	_, errs["Copies"] = s.Copies(ctx, "BEL", "x")
	_, _, errs["GetState"] = s.GetState(ctx, "limits", "x")
	_, errs["ListState"] = s.ListState(ctx, "limits")
	errs["PutState"] = s.PutState(ctx, "limits", "x", nil)
	errs["DeleteState"] = s.DeleteState(ctx, "limits", "x")
	errs["Check"] = s.Check(ctx, nil)
	for _, err := range s.SourceKeys(ctx, store.Persons, "x") {
		errs["SourceKeys"] = err
	}
	for name, err := range errs {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}

func TestPermissions(t *testing.T) {
	path := newPath(t)
	if err := os.WriteFile(path, nil, 0o644); err != nil { // somebody prepared it, too openly
		t.Fatal(err)
	}
	s := open(t, path)
	if _, err := s.Put(t.Context(), []store.Put{stolenPassport(1)}); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock", ".mark", ".vault"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has permissions %v", info.Name(), info.Mode().Perm())
		}
	}
}

func TestPathIsTakenLiterally(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "Sûreté 100%", "a?mode=memory#&_pragma=x")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "store.db")
	s := open(t, path)
	if _, err := s.Put(t.Context(), []store.Put{stolenPassport(1)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestSettings(t *testing.T) {
	path := newPath(t)
	open(t, path).Close()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var mode string
	if err := db.QueryRow(`PRAGMA journal_mode`).Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal mode %q, %v", mode, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	foreign := func(t *testing.T, path string) {
		tamper(t, path, `CREATE TABLE guests (name TEXT)`, `INSERT INTO guests VALUES ('x')`)
	}
	cases := []struct {
		name    string
		prepare func(t *testing.T, path string)
		want    error
		says    string
	}{
		{"a text file", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("Dear colleagues, ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, store.ErrNotDatabase, "give another path"},
		{"another program's database", foreign, store.ErrNotDatabase, "another program"},
		{"a newer schema", func(t *testing.T, path string) {
			open(t, path).Close()
			tamper(t, path, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9000, 1)`)
		}, store.ErrNewerSchema, "9000"},
		{"a folder", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, nil, "is a directory"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := newPath(t)
			c.prepare(t, path)
			before, _ := os.ReadFile(path)
			for range 2 { // a refused Open leaves nothing behind that changes the second
				_, err := store.Open(t.Context(), config(t, path))
				if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("got %v", err)
				}
				if !strings.Contains(err.Error(), path) {
					t.Errorf("the error does not name the file: %v", err)
				}
			}
			if after, _ := os.ReadFile(path); c.want == store.ErrNotDatabase && !bytes.Equal(before, after) {
				t.Error("a file that is not ours was changed")
			}
		})
	}
	for name, spoil := range map[string]func(*store.Config){
		"path":       func(c *store.Config) { c.Path = "" },
		"vault":      func(c *store.Config) { c.Vault = nil },
		"lookup key": func(c *store.Config) { c.LookupKey = c.LookupKey[1:] },
		"state key":  func(c *store.Config) { c.StateKey = nil },
	} {
		t.Run("no "+name, func(t *testing.T) {
			c := config(t, newPath(t))
			spoil(&c)
			if _, err := store.Open(t.Context(), c); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("no folder", func(t *testing.T) {
		none := config(t, newPath(t))
		none.Path = filepath.Join(t.TempDir(), "none", "store.db")
		_, err := store.Open(t.Context(), none)
		if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "make it first") {
			t.Errorf("got %v", err)
		}
	})
}

func TestLockedInOneProcess(t *testing.T) {
	path := newPath(t)
	first := open(t, path)
	for range 2 {
		if _, err := store.Open(t.Context(), config(t, path)); !errors.Is(err, store.ErrLocked) {
			t.Fatalf("got %v", err)
		}
	}
	if _, err := first.Put(t.Context(), []store.Put{stolenPassport(1)}); err != nil {
		t.Errorf("the first is disturbed: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, path)
	if n, err := second.Count(t.Context(), store.Documents); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

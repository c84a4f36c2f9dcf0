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
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestMain(m *testing.M) {
	if play := os.Getenv(childVariable); play != "" {
		os.Exit(child(play))
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Path: path})
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

// tamper runs SQL on the file without the store, as somebody with another program could.
func tamper(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
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
	s, err := store.Open(t.Context(), store.Config{Path: path, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), []store.Put{stolenPassport(1), stolenPassport(2)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Withdraw(t.Context(), store.Documents, []string{stolenPassport(2).Record.RecordId}); err != nil {
		t.Fatal(err)
	}
	if err := s.RecordPassage(t.Context(), store.Passage{Kind: "check", Decision: "permit", At: at}); err != nil {
		t.Fatal(err)
	}
	if err := s.CommitAsk(t.Context(), "LBN", "ask-1", []byte{1}, []byte{2}, at); err != nil {
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
	if list, err := s.Passages(t.Context(), 0, 10); err != nil || len(list) != 1 {
		t.Errorf("passages: %v, %v", list, err)
	}
	if _, a, found, err := s.RecallAsk(t.Context(), "LBN", "ask-1"); !found || err != nil || !bytes.Equal(a, []byte{2}) {
		t.Errorf("ask: %v, %v, %v", a, found, err)
	}
	// Sequences go on where they were.
	if _, err := s.Put(t.Context(), []store.Put{stolenPassport(3)}); err != nil {
		t.Fatal(err)
	}
	if more, err := s.Changes(t.Context(), after[1].Seq, 100); err != nil || len(more) != 1 {
		t.Errorf("after reopening: %v, %v", more, err)
	}
	if err := s.Check(t.Context()); err != nil {
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
				err := s.RecordPassage(context.Background(), store.Passage{MessageID: id, Kind: "check", Decision: "permit", At: time.Now()})
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
	_, _, _, errs["RecallAsk"] = s.RecallAsk(ctx, "LBN", "x")
	errs["CommitAsk"] = s.CommitAsk(ctx, "LBN", "x", []byte{1}, nil, time.Now())
	_, errs["ForgetAsks"] = s.ForgetAsks(ctx, time.Now())
	_, errs["Passages"] = s.Passages(ctx, 0, 1)
	errs["Check"] = s.Check(ctx)
	for _, err := range s.SourceIDs(ctx, store.Persons, "x") {
		errs["SourceIDs"] = err
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
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
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
				_, err := store.Open(t.Context(), store.Config{Path: path})
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
	t.Run("no path", func(t *testing.T) {
		if _, err := store.Open(t.Context(), store.Config{}); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no folder", func(t *testing.T) {
		_, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "none", "store.db")})
		if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "make it first") {
			t.Errorf("got %v", err)
		}
	})
}

func TestLockedInOneProcess(t *testing.T) {
	path := newPath(t)
	first := open(t, path)
	for range 2 {
		if _, err := store.Open(t.Context(), store.Config{Path: path}); !errors.Is(err, store.ErrLocked) {
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

// What is withdrawn is not in the files any more once the store is closed.
func TestWithdrawnIsErased(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	const secret = "Zebulon Quarterstaff"
	person := &recordv1.Record{RecordId: "p:1", Stewardship: &recordv1.Stewardship{RecordedAt: timestamppb.Now()},
		Body: &recordv1.Record_Person{Person: &recordv1.Person{
			Names:   []*recordv1.Name{{Parts: []*recordv1.NamePart{{Text: secret}}}},
			Remarks: strings.Repeat(secret+" was here. ", 500), // more than a page
		}}}
	document := stolenPassport(1)
	key := document.Record.GetDocument().NumberKey
	document.Record.RecordId = "doc:1"
	puts := []store.Put{{Collection: store.Persons, Source: "manual", Record: person}, document, stolenPassport(2)}
	if _, err := s.Put(t.Context(), puts); err != nil {
		t.Fatal(err)
	}
	person.GetPerson().Remarks = secret
	if _, err := s.Put(t.Context(), puts[:1]); err != nil {
		t.Fatal(err)
	}
	for collection, id := range map[string]string{store.Persons: "p:1", store.Documents: "doc:1"} {
		if _, err := s.Withdraw(t.Context(), collection, []string{id}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{secret, key} {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s still holds %q", filepath.Base(f), s)
			}
		}
	}
}

func TestPassagesCannotBeRewritten(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	if err := s.RecordPassage(t.Context(), store.Passage{Kind: "check", Decision: "deny", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{`UPDATE passages SET decision = 'permit'`, `DELETE FROM passages`} {
		if _, err := db.Exec(q); err == nil {
			t.Errorf("%s went through", q)
		}
	}
}

// Check must see what is wrong: each tampering breaks another of its promises.
func TestCheckSees(t *testing.T) {
	cases := map[string]string{
		"lost record":         `DELETE FROM records WHERE record_id = 'blank'`,
		"lost id":             `DELETE FROM record_ids WHERE record_id = 'blank'`,
		"key of nothing":      `INSERT INTO document_keys VALUES ('X', 4711)`,
		"range of nothing":    `INSERT INTO document_ranges VALUES ('EH', 6, 3, 99, 1, 2, 4711)`,
		"level not counted":   `DELETE FROM document_range_levels`,
		"level without range": `INSERT INTO document_range_levels VALUES ('QQ', 6, 3, 1000, 1)`,
		"wrong count":         `UPDATE record_counts SET live = live + 1`,
		"sequence set back":   `UPDATE sequences SET value = 0 WHERE name = 'records'`,
		"withdrawn by hand":   `UPDATE records SET withdrawn_at = 1, body = NULL, digest = NULL WHERE record_id = 'blank'`,
	}
	for name, damage := range cases {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			s := open(t, path)
			blank := stolenPassport(1)
			blank.Record.RecordId = "blank"
			d := blank.Record.GetDocument()
			d.Number, d.NumberKey, d.RangeEnd = "EH000100", "EH000100", "EH000999"
			if _, err := s.Put(t.Context(), []store.Put{blank, stolenPassport(2)}); err != nil {
				t.Fatal(err)
			}
			if err := s.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.Close()
			tamper(t, path, damage)
			if err := open(t, path).Check(t.Context()); err == nil {
				t.Error("nothing seen")
			}
		})
	}
	t.Run("damaged page", func(t *testing.T) {
		path := newPath(t)
		s := open(t, path)
		var puts []store.Put
		for i := range 2_000 {
			puts = append(puts, stolenPassport(i))
		}
		if _, err := s.Put(t.Context(), puts); err != nil {
			t.Fatal(err)
		}
		s.Close()
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := f.Stat()
		if _, err := f.WriteAt(bytes.Repeat([]byte{0xAA}, 4096), info.Size()/4096/2*4096); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if err := open(t, path).Check(t.Context()); err == nil {
			t.Error("nothing seen")
		}
	})
}

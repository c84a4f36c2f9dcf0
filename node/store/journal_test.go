package store

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func openHere(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "store.db")})
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

// holdWriter keeps the writer busy until release is called, so that a group gathers.
func holdWriter(t *testing.T, s *Store) (release func()) {
	t.Helper()
	held, done := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := s.write(context.Background(), func(context.Context, *transaction) error {
			close(held)
			<-done
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-held
	return func() { close(done); wg.Wait() }
}

func check(id string) Passage {
	return Passage{MessageID: id, Kind: "check", Decision: "permit", At: time.Now()}
}

func TestGatherTakesWhoWaits(t *testing.T) {
	s := &Store{journal: make(chan entry, 2*groupLimit)}
	if got := len(s.gather(entry{})); got != 1 {
		t.Errorf("nobody else waits: %d", got)
	}
	for range 99 {
		s.journal <- entry{}
	}
	if got := len(s.gather(entry{})); got != 100 {
		t.Errorf("99 wait: %d", got)
	}
	for range groupLimit + 10 {
		s.journal <- entry{}
	}
	if got := len(s.gather(entry{})); got != groupLimit {
		t.Errorf("more wait than the limit: %d", got)
	}
	close(s.journal)
	if got := len(s.gather(entry{})); got != 12 {
		t.Errorf("11 wait when the store is closed: %d", got)
	}
}

// TestManyShareOneCommit sees that a group is one transaction, that nobody is told before it is
// committed, and that everybody is told then.
func TestManyShareOneCommit(t *testing.T) {
	s := openHere(t)
	group := make([]entry, 100)
	var shared *transaction
	for i := range group {
		group[i] = entry{ctx: t.Context(), done: make(chan error, 1), apply: func(ctx context.Context, tx *transaction) (error, error) {
			if shared == nil {
				shared = tx
			}
			if tx != shared {
				t.Errorf("entry %d has a transaction of its own", i)
			}
			for j, e := range group {
				if len(e.done) > 0 {
					t.Errorf("entry %d is told before entry %d is written", j, i)
				}
			}
			tx.changed = true
			_, err := tx.exec(ctx, keepAsk, "LBN", strconv.Itoa(i), []byte{1}, []byte{}, 1)
			return nil, err
		}}
	}
	s.commitGroup(group)
	for i, e := range group {
		if err := <-e.done; err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
		if _, _, found, err := s.RecallAsk(t.Context(), "LBN", strconv.Itoa(i)); !found || err != nil {
			t.Errorf("entry %d: %v, %v", i, found, err)
		}
	}
}

// TestFullDisk fails the commit of a group: each caller is told, nothing of it is there, and when
// there is room again the store works on.
func TestFullDisk(t *testing.T) {
	s := openHere(t)
	ctx := t.Context()
	if err := s.RecordPassage(ctx, check("before")); err != nil {
		t.Fatal(err)
	}
	var pages int64
	if err := s.writer.db.QueryRow(`PRAGMA page_count`).Scan(&pages); err != nil {
		t.Fatal(err)
	}
	setLimit := func(n int64) {
		t.Helper()
		if err := s.writer.db.QueryRow(`PRAGMA max_page_count = ` + strconv.FormatInt(n, 10)).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	setLimit(pages)
	release := holdWriter(t, s)
	big := check("big")
	big.Detail = make([]byte, 1<<20)
	var wg sync.WaitGroup
	var errs [20]error
	for i := range errs {
		wg.Go(func() {
			if i%2 == 0 {
				errs[i] = s.RecordPassage(ctx, big)
			} else {
				errs[i] = s.CommitAsk(ctx, "LBN", strconv.Itoa(i), []byte{1}, make([]byte, 1<<20), time.Now())
			}
		})
	}
	release()
	wg.Wait()
	for i, err := range errs {
		if err == nil || !strings.Contains(err.Error(), "full") {
			t.Errorf("caller %d: %v", i, err)
		}
	}
	if _, err := s.Put(ctx, []Put{}); err != nil {
		t.Error(err)
	}
	setLimit(1 << 30)
	if err := s.RecordPassage(ctx, big); err != nil {
		t.Errorf("with room again: %v", err)
	}
	list, err := s.Passages(ctx, 0, 100)
	if err != nil || len(list) != 2 || list[1].Seq != 2 {
		t.Errorf("%d passages, %v", len(list), err)
	}
	for i := range errs {
		if _, _, found, err := s.RecallAsk(ctx, "LBN", strconv.Itoa(i)); found || err != nil {
			t.Errorf("ask %d of a failed commit: %v, %v", i, found, err)
		}
	}
	if err := s.Check(ctx); err != nil {
		t.Error(err)
	}
}

// TestOneRefusalIsOneCallers has an ask refused in the middle of a group: the others are kept.
func TestOneRefusalIsOneCallers(t *testing.T) {
	s := openHere(t)
	ctx := t.Context()
	if err := s.CommitAsk(ctx, "LBN", "ask", []byte{1}, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	release := holdWriter(t, s)
	var wg sync.WaitGroup
	var refused error
	var errs [10]error
	wg.Go(func() { refused = s.CommitAsk(ctx, "LBN", "ask", []byte{2}, nil, time.Now()) })
	for i := range errs {
		wg.Go(func() { errs[i] = s.RecordPassage(ctx, check(strconv.Itoa(i))) })
	}
	release()
	wg.Wait()
	if !errors.Is(refused, ErrAskReused) {
		t.Errorf("got %v", refused)
	}
	if err := errors.Join(errs[:]...); err != nil {
		t.Error(err)
	}
	if list, err := s.Passages(ctx, 0, 100); err != nil || len(list) != len(errs) {
		t.Errorf("%d passages, %v", len(list), err)
	}
}

func TestDurability(t *testing.T) {
	s := openHere(t)
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "secure_delete": "1", "foreign_keys": "1", "trusted_schema": "0", "temp_store": "2"} {
		var got string
		if err := s.writer.db.QueryRow(`PRAGMA ` + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %s, %v; want %s", pragma, got, err, want)
		}
	}
	if _, err := s.reader.db.Exec(`DELETE FROM records`); err == nil {
		t.Error("a connection for reading wrote")
	}
}

// TestLookupsUseIndexes asks the engine how it would go about the statements that an officer waits
// for: none may walk along a table.
func TestLookupsUseIndexes(t *testing.T) {
	s := openHere(t)
	queries := map[string]string{
		"get": getRecord, "list": listRecords, "list source": listSource, "source ids": sourceIDs,
		"changes": changes, "changes of": changesOf, "recall": recallAsk, "passages": listPassages,
		"find": findRecords.queries[16], "forget key": removeKey, "ranges of": rangesOf, "documents": lookupQueries[4],
	}
	for name, q := range queries {
		rows, err := s.reader.db.Query(`EXPLAIN QUERY PLAN `+q, make([]any, strings.Count(q, "$"))...)
		if err != nil {
			// Placeholders that appear twice count once.
			t.Fatalf("%s: %v", name, err)
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "CONSTANT ROW") && detail != "SCAN p" && detail != "SCAN probe" ||
				strings.Contains(detail, "TEMP B-TREE") {
				t.Errorf("%s: %s", name, detail)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSpanLevels(t *testing.T) {
	for _, c := range []struct {
		from, to int64
		level    int
		blocks   int64
	}{
		{5, 5, 0, 1}, {5, 6, 0, 2}, {5, 7, 1, 1}, {9, 11, 1, 2}, {0, 99, 2, 1}, {0, 999_999, 6, 1}, {99, 100, 0, 2}, {95, 205, 3, 1},
		{0, 999_999_999_999_999_999, 18, 1},
	} {
		level, size := span{from: c.from, to: c.to}.level()
		blocks := c.to/size - c.from/size + 1
		if level != c.level || blocks != c.blocks {
			t.Errorf("%d-%d: level %d with %d blocks, want %d with %d", c.from, c.to, level, blocks, c.level, c.blocks)
		}
	}
}

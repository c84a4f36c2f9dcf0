package store

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/entente-mesh/entente/node/vault"
)

func openHere(t *testing.T) *Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	key := bytes.Repeat([]byte{7}, vault.KeySize)
	v, err := vault.Open(vault.Config{Path: path + ".vault", Master: key, Label: "records"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{Path: path, Vault: v, LookupKey: key, StateKey: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), v.Close()); err != nil {
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

func TestGatherTakesWhoWaits(t *testing.T) {
	s := &Store{entries: make(chan entry, 2*groupLimit)}
	if got := len(s.gather(entry{})); got != 1 {
		t.Errorf("nobody else waits: %d", got)
	}
	for range 99 {
		s.entries <- entry{}
	}
	if got := len(s.gather(entry{})); got != 100 {
		t.Errorf("99 wait: %d", got)
	}
	for range groupLimit + 10 {
		s.entries <- entry{}
	}
	if got := len(s.gather(entry{})); got != groupLimit {
		t.Errorf("more wait than the limit: %d", got)
	}
	close(s.entries)
	if got := len(s.gather(entry{})); got != 12 {
		t.Errorf("11 wait when the store is closed: %d", got)
	}
}

// stateEntry writes a value as PutState does.
func stateEntry(s *Store, key string, before func(tx *transaction)) func(ctx context.Context, tx *transaction) (error, error) {
	name := s.hash.state("limits", key)
	sealed := s.sealer.Seal(append([]byte{byte(len(key))}, key...), aboutState("limits", name))
	return func(ctx context.Context, tx *transaction) (error, error) {
		before(tx)
		tx.changed = true
		_, err := tx.exec(ctx, putState, "limits", name[:], sealed)
		return nil, err
	}
}

// TestManyShareOneCommit sees that a group is one transaction, that nobody is told before it is
// committed, and that everybody is told then.
func TestManyShareOneCommit(t *testing.T) {
	s := openHere(t)
	group := make([]entry, 100)
	var shared *transaction
	for i := range group {
		group[i] = entry{ctx: t.Context(), done: make(chan error, 1), apply: stateEntry(s, strconv.Itoa(i), func(tx *transaction) {
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
		})}
	}
	s.commitGroup(group)
	for i, e := range group {
		if err := <-e.done; err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
		if _, found, err := s.GetState(t.Context(), "limits", strconv.Itoa(i)); !found || err != nil {
			t.Errorf("entry %d: %v, %v", i, found, err)
		}
	}
}

// TestFullDisk fails the commit of a group: each caller is told, nothing of it is there, and when
// there is room again the store works on.
func TestFullDisk(t *testing.T) {
	s := openHere(t)
	ctx := t.Context()
	big := make([]byte, 1<<20-1)
	if err := s.PutState(ctx, "limits", "before", nil); err != nil {
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
	var wg sync.WaitGroup
	var errs [20]error
	for i := range errs {
		wg.Go(func() { errs[i] = s.PutState(ctx, "limits", strconv.Itoa(i), big) })
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
	if err := s.PutState(ctx, "limits", "after", big); err != nil {
		t.Errorf("with room again: %v", err)
	}
	list, err := s.ListState(ctx, "limits")
	if err != nil || len(list) != 2 || len(list["after"]) != len(big) {
		t.Errorf("%d values, %v", len(list), err)
	}
	if err := s.Check(ctx, nil); err != nil {
		t.Error(err)
	}
}

// TestOneRefusalIsOneCallers has an entry refused in the middle of a group: the others are kept.
func TestOneRefusalIsOneCallers(t *testing.T) {
	s := openHere(t)
	ctx := t.Context()
	refusal := errors.New("no")
	release := holdWriter(t, s)
	var wg sync.WaitGroup
	var refused error
	var errs [10]error
	wg.Go(func() {
		refused = s.commit(ctx, func(context.Context, *transaction) (error, error) { return refusal, nil })
	})
	for i := range errs {
		wg.Go(func() { errs[i] = s.PutState(ctx, "limits", strconv.Itoa(i), nil) })
	}
	release()
	wg.Wait()
	if !errors.Is(refused, refusal) {
		t.Errorf("got %v", refused)
	}
	if err := errors.Join(errs[:]...); err != nil {
		t.Error(err)
	}
	if list, err := s.ListState(ctx, "limits"); err != nil || len(list) != len(errs) {
		t.Errorf("%d values, %v", len(list), err)
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
		"get": getRecord, "list": listRecords, "list source": listSource, "source keys": sourceKeys,
		"changes": changes, "changes of": changesOf, "state": getState,
		"find": findRecords.queries[16], "forget key": removeKey, "forget block": removeBlock,
		"keys": findKeys.queries[4], "ranges": findBlocks.queries[16], "fillers": findFillers.queries[4], "bodies": findBodies.queries[16],
		"documents": lookupQueries[[2]int{4, 32}], "body": readBody,
		"walk": walkRecords, "walk keys": walkKeys, "key row": getKeyRow,
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
			switch {
			case strings.Contains(detail, "CONSTANT ROW"), detail == "SCAN w", detail == "SCAN f",
				name == "fillers" && detail == "SCAN document_keys": // to its first row and no further
			case strings.HasPrefix(detail, "SCAN"), strings.Contains(detail, "TEMP B-TREE"):
				t.Errorf("%s: %s", name, detail)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSpanCover(t *testing.T) {
	for _, c := range []struct {
		from, to int64
		blocks   int
	}{
		{5, 5, 1}, {5, 6, 2}, {0, 9, 1}, {9, 11, 3}, {0, 99, 1}, {0, 999_999, 1}, {99, 100, 2}, {95, 205, 12}, {1, 998, 44},
		{0, 999_999_999_999_999_999, 1}, {1, 999_999_999_999_999_998, 2*9*17 + 8},
	} {
		s := span{prefix: "EH", width: 18, from: c.from, to: c.to}
		n, next := 0, map[int64]int64{}
		s.cover(func(level int, block int64) {
			n++
			size := int64(1)
			for range level {
				size *= 10
			}
			next[block*size] = block*size + size
		})
		if n != c.blocks {
			t.Errorf("%d-%d: %d blocks, want %d", c.from, c.to, n, c.blocks)
		}
		at := c.from
		for range n {
			at = next[at]
		}
		if at != c.to+1 {
			t.Errorf("%d-%d: the blocks end before %d", c.from, c.to, at)
		}
	}
}

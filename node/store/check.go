package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

const (
	// integrity is the engine's own check of its file.
	integrity = `PRAGMA integrity_check(10)`
	schemaNow = `SELECT type, name, tbl_name, COALESCE(sql, '') FROM sqlite_master ORDER BY type, name`
)

// invariants are what must be true of the tables together, each as a query that counts what is
// wrong.
var invariants = []struct{ wrong, query string }{
	{"ids without their record", `SELECT COUNT(*) FROM record_ids i LEFT JOIN records r ON r.seq = i.seq
WHERE r.seq IS NULL OR r.collection_no <> i.collection_no OR r.id_hash <> i.id_hash OR r.source_no <> i.source_no OR (r.withdrawn_at IS NULL) <> (i.live = 1)`},
	{"records without their id", `SELECT COUNT(*) FROM records r WHERE NOT EXISTS
(SELECT 1 FROM record_ids i WHERE i.collection_no = r.collection_no AND i.id_hash = r.id_hash AND i.seq = r.seq)`},
	{"records of no source", `SELECT COUNT(*) FROM record_counts c WHERE NOT EXISTS (SELECT 1 FROM sources s WHERE s.source_no = c.source_no)`},
	{"keys of no document", `SELECT COUNT(*) FROM document_keys k WHERE NOT EXISTS (SELECT 1 FROM records r WHERE r.seq = k.seq)`},
	{"ranges of no document", `SELECT COUNT(*) FROM document_ranges d WHERE NOT EXISTS (SELECT 1 FROM records r WHERE r.seq = d.seq)`},
	{"wrong counts of records", `SELECT COUNT(*) FROM
(SELECT collection_no, source_no, SUM(live) AS live FROM
 (SELECT collection_no, source_no, live FROM record_counts
  UNION ALL SELECT collection_no, source_no, -1 FROM record_ids WHERE live = 1) a
 GROUP BY collection_no, source_no) b
WHERE live <> 0`},
	{"wrong counts of records under a key", `SELECT COUNT(*) FROM
(SELECT key_id, SUM(live) AS live FROM
 (SELECT key_id, live FROM record_keys UNION ALL SELECT key_id, -1 FROM records WHERE key_id IS NOT NULL) a
 GROUP BY key_id) b
WHERE live <> 0`},
	{"sequences that do not end with the last record", `SELECT COUNT(*) FROM sequences
WHERE name = 'records' AND value <> (SELECT COALESCE(MAX(seq), 0) FROM records)`},
}

// maxFlaws bounds what Check names: a database with more is damaged all over.
const maxFlaws = 20

// flaws are what a check has found.
type flaws struct{ list []error }

func (f *flaws) add(err error) { f.list = append(f.list, err) }

// enough ends a check that has found enough.
func (f *flaws) enough() error {
	if len(f.list) >= maxFlaws {
		return errEnough
	}
	return nil
}

var errEnough = errors.New("too many flaws to list")

// Check reads the whole database and says what is wrong with it, wrapped in ErrDamaged: the file's
// structure, its schema, what the tables say of each other, whether every body and value can be
// opened and belongs where it lies, and whether look-up rows and bodies agree, both ways. It
// names rows by their numbers, and no record.
//
// It takes minutes with ten million records; the store can be used meanwhile. progress may be
// nil; it is told how many rows were looked at, of how many there were when it began.
func (s *Store) Check(ctx context.Context, progress func(done, total uint64)) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	found := &flaws{}
	err = s.checkAll(ctx, found, progress)
	if errors.Is(err, errEnough) || errors.Is(err, ErrDamaged) {
		found.add(err)
		err = nil
	}
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("store: check: %w", err)
	}
	if err != nil {
		return fmt.Errorf("store: check: %s cannot be read to its end: %w", s.path, err)
	}
	if len(found.list) > 0 {
		return fmt.Errorf("store: check: %w, restore a backup: %w", ErrDamaged, errors.Join(found.list...))
	}
	return nil
}

func (s *Store) checkAll(ctx context.Context, found *flaws, progress func(done, total uint64)) error {
	if err := s.checkFile(ctx, found); err != nil {
		return err
	}
	if err := s.checkSources(ctx); err != nil {
		return err
	}
	if err := s.checkState(ctx, func(err error) error { found.add(err); return found.enough() }); err != nil {
		return err
	}
	if err := s.long.run(ctx, func(ctx context.Context) error {
		_, err := s.usedKeys(ctx)
		return err
	}); err != nil {
		return err
	}
	var total uint64
	if err := s.long.run(ctx, func(ctx context.Context) error {
		return s.reader.stmt(countRows).QueryRowContext(ctx).Scan(&total)
	}); err != nil {
		return explainSQLite(err)
	}
	w := walk{s: s, found: found, total: total, progress: progress}
	if err := w.records(ctx); err != nil {
		return err
	}
	for _, t := range lookupTables {
		if err := w.lookups(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// checkFile checks what the engine and the tables say of themselves.
func (s *Store) checkFile(ctx context.Context, found *flaws) error {
	err := s.long.run(ctx, func(ctx context.Context) error {
		var lines []error
		err := s.each(ctx, integrity, nil, func(scan scanner) error {
			var line string
			if err := scan(&line); err != nil {
				return err
			}
			if line != "ok" {
				lines = append(lines, errors.New(line))
			}
			return nil
		})
		if err == nil {
			found.list = append(found.list, lines...)
		}
		return err
	})
	if err != nil {
		return explainSQLite(err)
	}
	if err := s.checkSchema(ctx, found); err != nil {
		return err
	}
	for _, v := range invariants {
		var n int64
		err := s.long.run(ctx, func(ctx context.Context) error { return s.reader.stmt(v.query).QueryRowContext(ctx).Scan(&n) })
		if err != nil {
			return fmt.Errorf("%s: %w", v.wrong, explainSQLite(err))
		}
		if n > 0 {
			found.add(fmt.Errorf("%d %s", n, v.wrong))
		}
	}
	return found.enough()
}

// checkSchema compares the schema with that of a new store: it is text in the same file.
func (s *Store) checkSchema(ctx context.Context, found *flaws) error {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection has a memory of its own
	if err := migrate(ctx, db, s.log); err != nil {
		return err
	}
	want, err := db.PrepareContext(ctx, schemaNow)
	if err != nil {
		return err
	}
	defer want.Close()
	var texts [2][]string
	for i, st := range []*sql.Stmt{want, s.reader.stmt(schemaNow)} {
		err := eachOf(ctx, st, nil, func(scan scanner) error {
			var row [4]string
			if err := scan(&row[0], &row[1], &row[2], &row[3]); err != nil {
				return err
			}
			texts[i] = append(texts[i], fmt.Sprintf("%q", row))
			return nil
		})
		if err != nil {
			return explainSQLite(err)
		}
	}
	if !slices.Equal(texts[0], texts[1]) {
		found.add(errors.New("the schema is not the one that was written"))
	}
	return nil
}

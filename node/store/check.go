package store

import (
	"context"
	"errors"
	"fmt"
)

// integrity is the engine's own check of its file.
const integrity = `PRAGMA integrity_check(10)`

// invariants are what must be true of the tables together, each as a query that counts what is
// wrong.
var invariants = []struct{ wrong, query string }{
	{"ids without their record", `SELECT COUNT(*) FROM record_ids i LEFT JOIN records r ON r.seq = i.seq
WHERE r.seq IS NULL OR r.collection_no <> i.collection_no OR r.record_id <> i.record_id OR (r.withdrawn_at IS NULL) <> (i.live = 1)`},
	{"records without their id", `SELECT COUNT(*) FROM records r WHERE NOT EXISTS
(SELECT 1 FROM record_ids i WHERE i.collection_no = r.collection_no AND i.record_id = r.record_id AND i.seq = r.seq)`},
	{"keys without a live document", `SELECT COUNT(*) FROM document_keys k LEFT JOIN records r ON r.seq = k.seq
WHERE r.withdrawn_at IS NOT NULL OR r.collection_no IS NULL OR r.collection_no <> 2`},
	{"ranges without a live document", `SELECT COUNT(*) FROM document_ranges d LEFT JOIN records r ON r.seq = d.seq
WHERE r.withdrawn_at IS NOT NULL OR r.collection_no IS NULL OR r.collection_no <> 2`},
	{"ranges that no level counts", `SELECT COUNT(*) FROM
(SELECT range_prefix, width, level, COUNT(DISTINCT seq) AS live FROM document_ranges GROUP BY range_prefix, width, level) d
LEFT JOIN document_range_levels l ON l.range_prefix = d.range_prefix AND l.width = d.width AND l.level = d.level
WHERE l.live IS NULL OR l.live <> d.live`},
	{"levels without ranges", `SELECT COUNT(*) FROM document_range_levels l
WHERE NOT EXISTS (SELECT 1 FROM document_ranges d WHERE d.range_prefix = l.range_prefix AND d.width = l.width AND d.level = l.level)`},
	{"wrong counts of records", `SELECT COUNT(*) FROM
(SELECT collection_no, source_no, SUM(live) AS live FROM
 (SELECT collection_no, source_no, live FROM record_counts
  UNION ALL SELECT collection_no, source_no, -1 FROM record_ids WHERE live = 1) a
 GROUP BY collection_no, source_no) b
WHERE live <> 0`},
	{"records beyond the sequence", `SELECT COUNT(*) FROM records WHERE seq > (SELECT value FROM sequences WHERE name = 'records')`},
	{"passages beyond the sequence", `SELECT COUNT(*) FROM passages WHERE seq > (SELECT value FROM sequences WHERE name = 'passages')`},
}

// Check reads the whole database and says what is wrong with it: the file's structure, and what
// the tables say of each other. It takes minutes with ten million records; the store can be used
// meanwhile.
func (s *Store) Check(ctx context.Context) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	var wrong []error
	err = s.each(ctx, integrity, nil, func(scan scanner) error {
		var line string
		if err := scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			wrong = append(wrong, errors.New(line))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: check: %w", explainSQLite(err))
	}
	for _, v := range invariants {
		var n int64
		if err := s.reader.stmt(v.query).QueryRowContext(ctx).Scan(&n); err != nil {
			return fmt.Errorf("store: check: %s: %w", v.wrong, explainSQLite(err))
		}
		if n > 0 {
			wrong = append(wrong, fmt.Errorf("%d %s", n, v.wrong))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("store: check: the database is damaged, restore a backup: %w", errors.Join(wrong...))
	}
	return nil
}

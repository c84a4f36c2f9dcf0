package store

import (
	"context"
	"fmt"
)

// countKey names one count of live records.
type countKey struct{ collection, source int64 }

const (
	addCount = `UPDATE record_counts SET live = live + $1 WHERE collection_no = $2 AND source_no = $3`
	newCount = `INSERT INTO record_counts (collection_no, source_no, live) VALUES ($1, $2, $3)`

	countAll    = `SELECT COALESCE(SUM(live), 0) FROM record_counts WHERE collection_no = $1`
	countSource = `SELECT COALESCE(SUM(c.live), 0) FROM record_counts c JOIN sources s ON s.source_no = c.source_no
WHERE c.collection_no = $1 AND s.name = $2`
)

func (t *transaction) settleCounts(ctx context.Context) error {
	for k, n := range t.counts {
		if n == 0 {
			continue
		}
		res, err := t.exec(ctx, addCount, n, k.collection, k.source)
		if err != nil {
			return err
		}
		if hit, err := res.RowsAffected(); err != nil {
			return err
		} else if hit > 0 {
			continue
		}
		if _, err := t.exec(ctx, newCount, k.collection, k.source, n); err != nil {
			return err
		}
	}
	return nil
}

// Count is how many records a collection holds.
func (s *Store) Count(ctx context.Context, collection string) (uint64, error) {
	return s.count(ctx, collection, countAll)
}

// CountSource is how many records a collection holds of one source. A source that nothing came
// from has none.
func (s *Store) CountSource(ctx context.Context, collection, source string) (uint64, error) {
	return s.count(ctx, collection, countSource, source)
}

func (s *Store) count(ctx context.Context, collection, query string, more ...any) (uint64, error) {
	leave, err := s.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	no, err := collectionNo(collection)
	if err != nil {
		return 0, fmt.Errorf("store: count: %w", err)
	}
	var n int64
	if err := s.reader.stmt(query).QueryRowContext(ctx, append([]any{no}, more...)...).Scan(&n); err != nil {
		return 0, fmt.Errorf("store: count: %w", err)
	}
	return uint64(n), nil
}

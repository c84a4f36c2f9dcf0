package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	"google.golang.org/protobuf/proto"
)

// maxPage is how many rows one call returns at the most, whatever it asks for: the rows are in
// memory together.
const maxPage = 10_000

// page bounds a caller's limit.
func page(limit int) (int, error) {
	if limit < 1 {
		return 0, invalid("limit %d: give 1 to %d", limit, maxPage)
	}
	return min(limit, maxPage), nil
}

const (
	getRecord = `SELECT r.body FROM record_ids i JOIN records r ON r.seq = i.seq
WHERE i.collection_no = $1 AND i.record_id = $2 AND i.live = 1`

	listRecords = `SELECT i.record_id, r.body FROM record_ids i JOIN records r ON r.seq = i.seq
WHERE i.collection_no = $1 AND i.record_id > $2 AND i.live = 1 ORDER BY i.record_id LIMIT $3`
	listSource = `SELECT i.record_id, r.body FROM record_ids i JOIN records r ON r.seq = i.seq
WHERE i.collection_no = $1 AND i.record_id > $2 AND i.live = 1
AND i.source_no = (SELECT source_no FROM sources WHERE name = $4) ORDER BY i.record_id LIMIT $3`
	sourceIDs = `SELECT record_id FROM record_ids
WHERE collection_no = $1 AND record_id > $2 AND live = 1
AND source_no = (SELECT source_no FROM sources WHERE name = $4) ORDER BY record_id LIMIT $3`

	changes = `SELECT seq, collection_no, record_id, version, withdrawn_at, body FROM records
WHERE seq > $1 ORDER BY seq LIMIT $2`
	changesOf = `SELECT seq, collection_no, record_id, version, withdrawn_at, body FROM records
WHERE collection_no = $3 AND seq > $1 ORDER BY seq LIMIT $2`
)

// Get returns one record, or ErrNotFound, also if it was withdrawn.
func (s *Store) Get(ctx context.Context, collection, id string) (*recordv1.Record, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	no, err := collectionNo(collection)
	if err != nil {
		return nil, fmt.Errorf("store: get: %w", err)
	}
	var body []byte
	err = s.reader.stmt(getRecord).QueryRowContext(ctx, no, id).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("store: get: %w", err)
	}
	return decode(id, body)
}

func decode(id string, body []byte) (*recordv1.Record, error) {
	r := &recordv1.Record{}
	if err := proto.Unmarshal(body, r); err != nil {
		return nil, fmt.Errorf("store: %w", damaged(id, err))
	}
	return r, nil
}

// List returns at most limit records of a collection in the order of their ids, compared byte by
// byte, after the id afterID. Source "" is every source. No call returns more than 10,000.
func (s *Store) List(ctx context.Context, collection, source, afterID string, limit int) ([]*recordv1.Record, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	no, err := collectionNo(collection)
	if err == nil {
		limit, err = page(limit)
	}
	if err != nil {
		return nil, fmt.Errorf("store: list: %w", err)
	}
	query, args := listRecords, []any{no, afterID, limit}
	if source != "" {
		query, args = listSource, append(args, source)
	}
	var records []*recordv1.Record
	err = s.each(ctx, query, args, func(scan scanner) error {
		var id string
		var body []byte
		if err := scan(&id, &body); err != nil {
			return err
		}
		r, err := decode(id, body)
		records = append(records, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: list: %w", err)
	}
	return records, nil
}

// idPage is how many ids SourceIDs reads at once. Between two pages it holds nothing: a reader
// that stays in the database for minutes keeps the WAL from being folded back.
const idPage = 2_000

// SourceIDs yields the ids of a source's records, in their order. An id that is there from the
// first to the last moment is yielded once; one that comes or goes meanwhile may be yielded or
// not. After an error it ends.
func (s *Store) SourceIDs(ctx context.Context, collection, source string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var after string
		for {
			ids, err := s.idsAfter(ctx, collection, source, after)
			if err != nil {
				yield("", err)
				return
			}
			for _, id := range ids {
				if !yield(id, nil) {
					return
				}
			}
			if len(ids) < idPage {
				return
			}
			after = ids[len(ids)-1]
		}
	}
}

func (s *Store) idsAfter(ctx context.Context, collection, source, after string) ([]string, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	no, err := collectionNo(collection)
	if err != nil {
		return nil, fmt.Errorf("store: source ids: %w", err)
	}
	ids := make([]string, 0, idPage)
	err = s.each(ctx, sourceIDs, []any{no, after, idPage, source}, func(scan scanner) error {
		var id string
		err := scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: source ids: %w", err)
	}
	return ids, nil
}

// Change is the newest change of one record.
type Change struct {
	// Seq is the change's place among all changes.
	Seq int64
	// Collection and RecordID name the record.
	Collection string
	RecordID   string
	// Version is the record's version; of a withdrawn one its last.
	Version uint64
	// Record is the record as it is now. Nil: it was withdrawn.
	Record *recordv1.Record
	// WithdrawnAt is when it was withdrawn. Zero: it was not.
	WithdrawnAt time.Time
}

// Changes returns at most limit changes after the change numbered after, oldest first: of all
// collections, or of those named. A follower begins at 0, applies what it gets and asks again
// after the last Seq it has seen. A record that changed several times comes once, as it is now,
// in the place of its last change.
//
// It never skips a row that an open writer could still precede. Numbers are drawn inside the
// transaction that writes the row, and only one such transaction is open at a time (here because
// there is one connection that writes, on an engine with many because drawing locks the
// sequence's row until the commit). So when a number is visible, every lower one is visible too,
// was abandoned with its transaction and drawn again, or has moved up with a later change.
func (s *Store) Changes(ctx context.Context, after int64, limit int, collections ...string) ([]Change, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if limit, err = page(limit); err != nil {
		return nil, fmt.Errorf("store: changes: %w", err)
	}
	named := map[int64]bool{}
	for _, name := range collections {
		no, err := collectionNo(name)
		if err != nil {
			return nil, fmt.Errorf("store: changes: %w", err)
		}
		named[no] = true
	}
	query, args := changes, []any{after, limit}
	if len(named) == 1 { // there are two collections: none named is all, and so is both
		for no := range named {
			query, args = changesOf, append(args, no)
		}
	}
	var list []Change
	err = s.each(ctx, query, args, func(scan scanner) error {
		c, err := scanChange(scan)
		list = append(list, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: changes: %w", err)
	}
	return list, nil
}

func scanChange(scan scanner) (Change, error) {
	var c Change
	var no, version int64
	var withdrawn sql.NullInt64
	var body []byte
	if err := scan(&c.Seq, &no, &c.RecordID, &version, &withdrawn, &body); err != nil {
		return c, err
	}
	c.Collection, c.Version = collectionName(no), uint64(version)
	if withdrawn.Valid {
		c.WithdrawnAt = time.Unix(0, withdrawn.Int64).UTC()
		return c, nil
	}
	var err error
	c.Record, err = decode(c.RecordID, body)
	return c, err
}

type scanner func(dest ...any) error

// each runs a query on a connection that reads, and calls do for every row.
func (s *Store) each(ctx context.Context, query string, args []any, do func(scan scanner) error) (err error) {
	rows, err := s.reader.stmt(query).QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := do(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
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
	namedColumns = `i.source_no, i.live, i.id_hash, ` + rowColumns

	getRecord = `SELECT ` + namedColumns + ` FROM record_ids i JOIN records r ON r.seq = i.seq
WHERE i.collection_no = $1 AND i.id_hash = $2`

	listRecords = `SELECT ` + namedColumns + ` FROM record_ids i JOIN records r ON r.seq = i.seq
WHERE i.collection_no = $1 AND i.id_hash > $2 AND i.live = 1 ORDER BY i.id_hash LIMIT $3`
	listSource = `SELECT ` + namedColumns + ` FROM record_ids i JOIN records r ON r.seq = i.seq
WHERE i.collection_no = $1 AND i.id_hash > $2 AND i.live = 1
AND i.source_no = (SELECT source_no FROM sources WHERE name = $4) ORDER BY i.id_hash LIMIT $3`
	sourceKeys = `SELECT id_hash FROM record_ids
WHERE collection_no = $1 AND id_hash > $2 AND live = 1
AND source_no = (SELECT source_no FROM sources WHERE name = $4) ORDER BY id_hash LIMIT $3`

	changes = `SELECT ` + rowColumns + ` FROM records r
WHERE r.seq > $1 ORDER BY r.seq LIMIT $2`
	changesOf = `SELECT ` + rowColumns + ` FROM records r
WHERE r.collection_no = $3 AND r.seq > $1 ORDER BY r.seq LIMIT $2`

	stillThere = `SELECT EXISTS (SELECT 1 FROM records WHERE seq = $1 AND key_id = $2)`
)

// vanishTries is how often a question is asked again because a record was withdrawn while it was
// answered. Each time another one must have been.
const vanishTries = 100

// reading asks a question until no record that it met was withdrawn meanwhile. A key that is
// destroyed while its row still stands is damage, and not an erasure.
func (s *Store) reading(ctx context.Context, do func() error) error {
	var err error
	for range vanishTries {
		err = do()
		var gone *vanished
		if !errors.As(err, &gone) {
			return err
		}
		if err := s.trulyGone(ctx, gone); err != nil {
			return err
		}
	}
	return err
}

// trulyGone looks whether a row whose key is destroyed has gone as well.
func (s *Store) trulyGone(ctx context.Context, v *vanished) error {
	var there bool
	if err := s.reader.stmt(stillThere).QueryRowContext(ctx, v.seq, v.vaultKey).Scan(&there); err != nil {
		return err
	}
	if there {
		return damagedRow(&kept{seq: v.seq, collection: v.collection}, errors.New("its key was destroyed"))
	}
	return nil
}

// row reads the row of a record by its key, live or not. ErrNotFound: there never was one.
func (s *Store) row(ctx context.Context, collection int64, key RecordKey) (*kept, error) {
	s.work.rows.Add(1)
	k, err := scanNamed(s.reader.stmt(getRecord).QueryRowContext(ctx, collection, key[:]).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err == nil && (k.collection != collection || k.key != key) {
		err = damagedRow(k, errors.New("record_ids says otherwise"))
	}
	return k, err
}

// Get returns one record, or ErrNotFound, also if it was withdrawn.
func (s *Store) Get(ctx context.Context, collection, id string) (*recordv1.Record, error) {
	return s.GetByKey(ctx, collection, s.KeyOf(collection, id))
}

// GetByKey returns the record that a key (KeyOf, SourceKeys) stands for, or ErrNotFound.
func (s *Store) GetByKey(ctx context.Context, collection string, key RecordKey) (*recordv1.Record, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	no, err := collectionNo(collection)
	if err != nil {
		return nil, fmt.Errorf("store: get: %w", err)
	}
	var c *content
	err = s.reading(ctx, func() error {
		k, err := s.row(ctx, no, key)
		if err != nil {
			return err
		}
		if !k.live() {
			return ErrNotFound
		}
		c, err = s.opener().open(k)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: get: %w", explainSQLite(err))
	}
	return c.record, nil
}

// List returns at most limit records of a collection that come after the record afterID, "" for
// the first page; that one need not be there any more. The order is that of the keyed hashes of
// their ids: the same at each call, and no other store's. Source "" is every source. No call
// returns more than 10,000.
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
	after := []byte{}
	if afterID != "" {
		key := s.hash.record(no, afterID)
		after = key[:]
	}
	query, args := listRecords, []any{no, after, limit}
	if source != "" {
		query, args = listSource, append(args, source)
	}
	var records []*recordv1.Record
	err = s.reading(ctx, func() error {
		records = nil
		o := s.opener()
		return s.each(ctx, query, args, func(scan scanner) error {
			s.work.rows.Add(1)
			k, err := scanNamed(scan)
			if err != nil {
				return err
			}
			c, err := o.open(k)
			if err != nil {
				return err
			}
			records = append(records, c.record)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("store: list: %w", explainSQLite(err))
	}
	return records, nil
}

// keyPage is how many keys SourceKeys reads at once. Between two pages it holds nothing: a reader
// that stays in the database for minutes keeps the WAL from being folded back.
const keyPage = 2_000

// SourceKeys yields the keys of a source's records, in the order of List. One that is there from
// the first to the last moment is yielded once; one that comes or goes meanwhile may be yielded or
// not. After an error it ends. No record is opened: who has the ids of a file compares their
// keys (KeyOf).
func (s *Store) SourceKeys(ctx context.Context, collection, source string) iter.Seq2[RecordKey, error] {
	return func(yield func(RecordKey, error) bool) {
		after := []byte{}
		for {
			keys, err := s.keysAfter(ctx, collection, source, after)
			if err != nil {
				yield(RecordKey{}, err)
				return
			}
			for _, key := range keys {
				if !yield(key, nil) {
					return
				}
			}
			if len(keys) < keyPage {
				return
			}
			after = keys[len(keys)-1][:]
		}
	}
}

func (s *Store) keysAfter(ctx context.Context, collection, source string, after []byte) ([]RecordKey, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	no, err := collectionNo(collection)
	if err != nil {
		return nil, fmt.Errorf("store: source keys: %w", err)
	}
	keys := make([]RecordKey, 0, keyPage)
	err = s.each(ctx, sourceKeys, []any{no, after, keyPage, source}, func(scan scanner) error {
		var b []byte
		if err := scan(&b); err != nil {
			return err
		}
		if len(b) != hashSize {
			return fmt.Errorf("%w: a row of record_ids: restore a backup", ErrDamaged)
		}
		keys = append(keys, RecordKey(b))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: source keys: %w", explainSQLite(err))
	}
	return keys, nil
}

// Change is the newest change of one record.
type Change struct {
	// Seq is the change's place among all changes.
	Seq int64
	// Collection and RecordID name the record. Of a record that was erased before the store was
	// opened the id is empty: no follower can hold it. It is empty too after 65,536 more erasures:
	// a follower that is as far behind begins again at 0, with nothing.
	Collection string
	RecordID   string
	// Key is the record's key (KeyOf), which a withdrawn and an erased one keep.
	Key RecordKey
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
	err = s.reading(ctx, func() error {
		list = nil
		o := s.opener()
		return s.each(ctx, query, args, func(scan scanner) error {
			s.work.rows.Add(1)
			k, err := scanKept(scan)
			if err != nil {
				return err
			}
			c, err := s.change(o, k)
			list = append(list, c)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("store: changes: %w", explainSQLite(err))
	}
	return list, nil
}

func (s *Store) change(o *opener, k *kept) (Change, error) {
	c := Change{Seq: k.seq, Collection: collectionName(k.collection), Key: k.key, Version: uint64(k.version)}
	if k.live() {
		body, err := o.open(k)
		if err != nil {
			return c, err
		}
		c.Record, c.RecordID = body.record, body.record.GetRecordId()
		return c, nil
	}
	left, err := s.openRemains(k)
	if err != nil {
		return c, err
	}
	c.WithdrawnAt, c.RecordID = time.Unix(0, k.withdrawnAt).UTC(), left.id
	if c.RecordID == "" {
		c.RecordID = s.erased.id(k)
	}
	return c, nil
}

type scanner func(dest ...any) error

// each runs a query on a connection that reads, and calls do for every row.
func (s *Store) each(ctx context.Context, query string, args []any, do func(scan scanner) error) error {
	return eachOf(ctx, s.reader.stmt(query), args, do)
}

func eachOf(ctx context.Context, stmt *sql.Stmt, args []any, do func(scan scanner) error) (err error) {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	scan := func(into ...any) error {
		err := rows.Scan(into...)
		if err != nil && ctx.Err() == nil {
			// The schema lets no value be of another kind than is read here, or be missing.
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return err
	}
	for rows.Next() {
		if err := do(scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

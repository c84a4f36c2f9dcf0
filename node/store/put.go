package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// rowColumns are a row of records, as scanKept reads it.
const (
	rowHead    = `r.seq, r.collection_no, r.id_hash, r.source_no, r.version, r.changed_at, r.withdrawn_at, r.erased_at, r.key_id, r.digest`
	rowColumns = rowHead + `, r.body`
)

var (
	// Without bodies: most records of most imports are there already and say the same.
	findRecords = newBulk(`SELECT i.source_no, i.live, i.id_hash, `+rowHead+`, NULL FROM record_ids i JOIN records r ON r.seq = i.seq
WHERE i.collection_no = $1 AND i.id_hash IN (`, `%s`, `)`, 1)
	addRecords = newBulk(`INSERT INTO records (seq, collection_no, id_hash, source_no, version, changed_at, key_id, digest, body) VALUES `,
		`(%s, %s, %s, %s, %s, %s, %s, %s, %s)`, ``, 0)
	addIDs    = newBulk(`INSERT INTO record_ids (collection_no, id_hash, source_no, live, seq) VALUES `, `(%s, %s, %s, %s, %s)`, ``, 0)
	addKeys   = newBulk(`INSERT INTO document_keys (key_hash, seq) VALUES `, `(%s, %s)`, ``, 0)
	addBlocks = newBulk(`INSERT INTO document_ranges (block_hash, seq) VALUES `, `(%s, %s)`, ``, 0)
)

const (
	changeRecord = `UPDATE records SET seq = $1, source_no = $2, version = $3, changed_at = $4, withdrawn_at = $5, erased_at = $6,
key_id = $7, digest = $8, body = $9 WHERE seq = $10`
	changeID    = `UPDATE record_ids SET source_no = $1, live = $2, seq = $3 WHERE collection_no = $4 AND id_hash = $5`
	addSource   = `INSERT INTO sources (source_no, name, mac) VALUES ($1, $2, $3)`
	findSource  = `SELECT source_no, mac FROM sources WHERE name = $1`
	readBody    = `SELECT body FROM records WHERE seq = $1`
	sourceName  = `SELECT COALESCE((SELECT name FROM sources WHERE source_no = $1), ''), COALESCE((SELECT MAX(source_no) FROM sources), 0)`
	listSources = `SELECT source_no, name, mac FROM sources`
)

func scanKept(scan scanner, before ...any) (*kept, error) {
	k := &kept{}
	var key []byte
	var withdrawn, erased, vaultKey sql.NullInt64
	dest := append(before, &k.seq, &k.collection, &key, &k.source, &k.version, &k.changedAt, &withdrawn, &erased, &vaultKey, &k.digest, &k.body)
	if err := scan(dest...); err != nil {
		return nil, err
	}
	if copy(k.key[:], key) != hashSize || len(key) != hashSize {
		return nil, damagedRow(k, errors.New("its id is none"))
	}
	k.withdrawnAt, k.erasedAt, k.vaultKey = withdrawn.Int64, erased.Int64, vaultKey.Int64
	if k.live() != vaultKey.Valid || withdrawn.Valid && k.live() {
		return nil, damagedRow(k, errors.New("it is neither live nor withdrawn"))
	}
	return k, nil
}

// scanNamed reads a row that was found by its id's, which must agree with it.
func scanNamed(scan scanner) (*kept, error) {
	var source, live int64
	var key []byte
	k, err := scanKept(scan, &source, &live, &key)
	if err == nil && (source != k.source || (live == 1) != k.live() || !bytes.Equal(key, k.key[:])) {
		err = damagedRow(k, errors.New("record_ids says otherwise"))
	}
	return k, err
}

// find reads the rows of those ids that have one.
func (t *transaction) find(ctx context.Context, collection int64, keys []RecordKey) (map[RecordKey]*kept, error) {
	found := map[RecordKey]*kept{}
	args := make([]any, len(keys))
	for i := range keys {
		args[i] = keys[i][:]
	}
	err := findRecords.chunks(args, func(query string, args []any) (err error) {
		rows, err := t.rows(ctx, query, append([]any{collection}, args...)...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			k, err := scanNamed(rows.Scan)
			if err != nil {
				return err
			}
			found[k.key] = k
		}
		return rows.Err()
	})
	return found, err
}

// open opens the body of a row that find returned.
func (t *transaction) open(ctx context.Context, k *kept) (*content, error) {
	if err := t.row(ctx, readBody, k.seq).Scan(&k.body); err != nil {
		return nil, err
	}
	return t.bodies.open(k)
}

func orNull(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

// move writes a record's next state, sealed, over its row, at the end of the changes.
func (t *transaction) move(ctx context.Context, oldSeq int64, next *kept) error {
	t.changed = true
	live := 0
	if next.live() {
		live = 1
	}
	if _, err := t.exec(ctx, changeRecord, next.seq, next.source, next.version, next.changedAt, orNull(next.withdrawnAt), orNull(next.erasedAt),
		orNull(next.vaultKey), next.digest, next.body, oldSeq); err != nil {
		return err
	}
	_, err := t.exec(ctx, changeID, next.source, live, next.seq, next.collection, next.key[:])
	return err
}

// putting is one batch on its way into the database. Records gather and are written together,
// once there are keys for them.
type putting struct {
	*transaction
	now     time.Time
	sources map[string]int64
	results []PutResult
	staged  []staged
	shared  int64 // the key of this batch's documents that say nothing of a person; 0: none yet
}

// putStride is how many records are looked up, and written, together.
const putStride = 2048

// all puts the batch, in order. ctx is the caller's and ends it between two records, steady is for
// the statements.
func (p *putting) all(steady, ctx context.Context, batch []incoming) error {
	var refused []RowError
	for start := 0; start < len(batch); {
		end := stride(batch, start)
		found := map[rowKey]*kept{}
		for _, collection := range [...]int64{personsNo, documentsNo} {
			var keys []RecordKey
			for i := start; i < end; i++ {
				if batch[i].collection == collection {
					keys = append(keys, batch[i].key)
				}
			}
			rows, err := p.find(steady, collection, keys)
			if err != nil {
				return err
			}
			for key, row := range rows {
				found[rowKey{collection, key}] = row
			}
		}
		for i := start; i < end; i++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			result, err := p.one(steady, &batch[i], found[rowKey{batch[i].collection, batch[i].key}])
			var row RowError
			if errors.As(err, &row) {
				row.Index = i
				refused = append(refused, row)
			} else if err != nil {
				return err
			}
			p.results = append(p.results, result)
		}
		if err := p.flush(steady); err != nil {
			return err
		}
		start = end
	}
	if len(refused) > 0 {
		return &BatchError{Rows: refused}
	}
	return nil
}

// rowKey names a record.
type rowKey struct {
	collection int64
	key        RecordKey
}

// stride is where the records end that can be put together: none twice, since the second must
// see what the first has written.
func stride(batch []incoming, start int) int {
	seen := map[rowKey]bool{}
	end := start
	for ; end < len(batch) && end-start < putStride; end++ {
		k := rowKey{batch[end].collection, batch[end].key}
		if seen[k] {
			break
		}
		seen[k] = true
	}
	return end
}

func (p *putting) one(ctx context.Context, in *incoming, old *kept) (PutResult, error) {
	id := in.record.RecordId
	source, err := p.sourceNo(ctx, in.source)
	if err != nil {
		return PutResult{}, err
	}
	live := old != nil && old.live()
	switch {
	case live && in.isNew:
		return PutResult{}, RowError{RecordID: id, Field: "record_id", Err: ErrExists}
	case live && old.source != source:
		// One source must not overwrite, and later withdraw, what another one holds.
		var name string
		var last int64
		if err := p.row(ctx, sourceName, old.source).Scan(&name, &last); err != nil {
			return PutResult{}, err
		}
		return PutResult{}, RowError{RecordID: id, Field: "source", Err: fmt.Errorf("%w, %q: import it there, or withdraw it first", ErrOtherSource, name)}
	case live && bytes.Equal(old.digest, in.mark):
		return PutResult{Outcome: Unchanged, Version: uint64(old.version)}, nil
	case live && len(old.digest) >= hashSize && bytes.Equal(old.digest[:hashSize], in.mark[:hashSize]):
		return p.refresh(ctx, in, old)
	}
	result := PutResult{Outcome: Created, Version: 1}
	st := in.record.Stewardship
	st.RecordedAt = timestamppb.New(p.now)
	next := staged{
		old:     old,
		content: &content{record: in.record, digest: in.digest, endKey: in.endKey, own: personal(in.record)},
		hashes:  in.hashes,
		wants:   newKey,
	}
	if !next.content.own {
		next.wants = sharedKey
	}
	if old != nil {
		// A withdrawn record counts on from its last version, but what that said is erased, its
		// digest too: there is nothing left to refer to.
		result.Version = uint64(old.version) + 1
	}
	if live {
		result.Outcome = Updated
		was, err := p.open(ctx, old)
		if err != nil {
			return PutResult{}, err
		}
		if err := p.forgetLookup(ctx, was, old.seq); err != nil {
			return PutResult{}, err
		}
		st.PreviousDigest = was.digest
		// A record that says something of a person now must not stay under a key of many. One
		// that has its own keeps it.
		if was.own || !next.content.own {
			next.wants, next.content.own = sameKey, was.own
		}
	}
	st.Version = result.Version
	return result, p.stage(ctx, next, kept{
		collection: in.collection, key: in.key, source: source, version: int64(result.Version),
		changedAt: p.now.UnixNano(), digest: in.mark,
	})
}

// refresh gives a record other look-up rows whose content is the same, but which the caller finds
// by other normal forms now (a newer program makes better ones): these are not content, so the
// version stays, but followers must see them.
func (p *putting) refresh(ctx context.Context, in *incoming, old *kept) (PutResult, error) {
	was, err := p.open(ctx, old)
	if err != nil {
		return PutResult{}, err
	}
	if err := p.forgetLookup(ctx, was, old.seq); err != nil {
		return PutResult{}, err
	}
	if have, want := was.record.GetDocument(), in.record.GetDocument(); have != nil && want != nil {
		have.NumberKey, have.MoreKeys, was.endKey = want.GetNumberKey(), want.GetMoreKeys(), in.endKey
	}
	next := *old
	next.changedAt, next.digest = p.now.UnixNano(), in.mark
	return PutResult{Outcome: Unchanged, Version: uint64(old.version)}, p.stage(ctx, staged{old: old, content: was, hashes: in.hashes, wants: sameKey}, next)
}

// sourceNo is the number of a source, which gets one if it has none.
func (p *putting) sourceNo(ctx context.Context, name string) (int64, error) {
	if no, ok := p.sources[name]; ok {
		return no, nil
	}
	var no int64
	var mac []byte
	err := p.row(ctx, findSource, name).Scan(&no, &mac)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		var none string
		if err := p.row(ctx, sourceName, 0).Scan(&none, &no); err != nil {
			return 0, err
		}
		no++
		if _, err := p.exec(ctx, addSource, no, name, p.s.hash.sourceMAC(no, name)); err != nil {
			return 0, err
		}
	case err != nil:
		return 0, err
	case !bytes.Equal(mac, p.s.hash.sourceMAC(no, name)):
		return 0, damagedSource(no)
	}
	p.sources[name] = no
	return no, nil
}

func damagedSource(no int64) error {
	return fmt.Errorf("%w: row %d of sources: restore a backup", ErrDamaged, no)
}

// checkSources compares the names of the sources with what was written: a record is withdrawn or
// kept by them.
func (s *Store) checkSources(ctx context.Context) error {
	return explainSQLite(s.each(ctx, listSources, nil, func(scan scanner) error {
		var no int64
		var name string
		var mac []byte
		if err := scan(&no, &name, &mac); err != nil {
			return err
		}
		if !bytes.Equal(mac, s.hash.sourceMAC(no, name)) {
			return damagedSource(no)
		}
		return nil
	}))
}

package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	findRecords = newBulk(`SELECT i.record_id, i.seq, i.source_no, r.version, r.withdrawn_at, r.digest, r.body
FROM record_ids i JOIN records r ON r.seq = i.seq WHERE i.collection_no = $1 AND i.record_id IN (`, `%s`, `)`, 1)
	addRecords = newBulk(`INSERT INTO records (seq, collection_no, record_id, version, changed_at, digest, body) VALUES `,
		`(%s, %s, %s, %s, %s, %s, %s)`, ``, 0)
	addIDs  = newBulk(`INSERT INTO record_ids (collection_no, record_id, source_no, live, seq) VALUES `, `(%s, %s, %s, %s, %s)`, ``, 0)
	addKeys = newBulk(`INSERT INTO document_keys (document_key, seq) VALUES `, `(%s, %s)`, ``, 0)
)

const (
	changeRecord = `UPDATE records SET seq = $1, version = $2, changed_at = $3, withdrawn_at = $4, digest = $5, body = $6
WHERE seq = $7`
	changeID   = `UPDATE record_ids SET source_no = $1, live = $2, seq = $3 WHERE collection_no = $4 AND record_id = $5`
	addSource  = `INSERT INTO sources (name) VALUES ($1) ON CONFLICT (name) DO NOTHING`
	findSource = `SELECT source_no FROM sources WHERE name = $1`
	sourceName = `SELECT name FROM sources WHERE source_no = $1`
)

// kept is a record's row.
type kept struct {
	seq       int64
	sourceNo  int64
	version   int64
	withdrawn bool
	digest    []byte
	body      []byte
}

// find reads the rows of those ids that have one.
func (t *transaction) find(ctx context.Context, collection int64, ids []string) (map[string]*kept, error) {
	found := map[string]*kept{}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	err := findRecords.chunks(args, func(query string, args []any) (err error) {
		rows, err := t.rows(ctx, query, append([]any{collection}, args...)...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var id string
			var k kept
			var withdrawn sql.NullInt64
			if err := rows.Scan(&id, &k.seq, &k.sourceNo, &k.version, &withdrawn, &k.digest, &k.body); err != nil {
				return err
			}
			k.withdrawn = withdrawn.Valid
			found[id] = &k
		}
		return rows.Err()
	})
	return found, err
}

// move writes a record's next state over its row, at the end of the changes.
func (t *transaction) move(ctx context.Context, collection int64, id string, old *kept, next kept, now time.Time) error {
	var withdrawnAt any
	live := 1
	if next.withdrawn {
		withdrawnAt, live = now.UnixNano(), 0
	}
	t.changed = true
	if _, err := t.exec(ctx, changeRecord, next.seq, next.version, now.UnixNano(), withdrawnAt, next.digest, next.body, old.seq); err != nil {
		return err
	}
	_, err := t.exec(ctx, changeID, next.sourceNo, live, next.seq, collection, id)
	return err
}

// putting is one batch on its way into the database. New records gather and are written together.
type putting struct {
	*transaction
	now     time.Time
	sources map[string]int64
	results []PutResult
	staged  []newRecord
	keys    []newKey
}

type newRecord struct {
	in     *incoming
	source int64
	seq    int64
	body   []byte
}

type newKey struct {
	key string
	seq int64
}

// putStride is how many records are looked up, and written, together.
const putStride = 512

// all puts the batch, in order. ctx is the caller's and ends it between two strides, steady is for
// the statements.
func (p *putting) all(steady, ctx context.Context, batch []incoming) error {
	var refused []RowError
	for start := 0; start < len(batch); {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := stride(batch, start)
		ids := make([]string, 0, end-start)
		for i := start; i < end; i++ {
			ids = append(ids, batch[i].record.RecordId)
		}
		found, err := p.find(steady, batch[start].collection, ids)
		if err != nil {
			return err
		}
		for i := start; i < end; i++ {
			result, err := p.one(steady, &batch[i], found[batch[i].record.RecordId])
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

// stride is where the records end that can be put together: of one collection, and none twice,
// since the second must see what the first has written.
func stride(batch []incoming, start int) int {
	seen := map[string]bool{}
	end := start
	for ; end < len(batch) && end-start < putStride; end++ {
		in := &batch[end]
		if in.collection != batch[start].collection || seen[in.record.RecordId] {
			break
		}
		seen[in.record.RecordId] = true
	}
	return end
}

func (p *putting) one(ctx context.Context, in *incoming, old *kept) (PutResult, error) {
	id := in.record.RecordId
	source, err := p.sourceNo(ctx, in.source)
	if err != nil {
		return PutResult{}, err
	}
	live := old != nil && !old.withdrawn
	switch {
	case live && in.isNew:
		return PutResult{}, RowError{RecordID: id, Field: "record_id", Err: ErrExists}
	case live && old.sourceNo != source:
		// One source must not overwrite, and later withdraw, what another one holds.
		var name string
		if err := p.row(ctx, sourceName, old.sourceNo).Scan(&name); err != nil {
			return PutResult{}, err
		}
		return PutResult{}, RowError{RecordID: id, Field: "source", Err: fmt.Errorf("%w, %q: import it there, or withdraw it first", ErrOtherSource, name)}
	case live && string(old.digest) == string(in.digest):
		return p.refresh(ctx, in, old)
	}
	result := PutResult{Outcome: Created, Version: 1}
	st := in.record.Stewardship
	st.RecordedAt = timestamppb.New(p.now)
	if old != nil {
		// A withdrawn record counts on from its last version, but what that said is erased, its
		// digest too: there is nothing left to refer to.
		result.Version = uint64(old.version) + 1
	}
	if live {
		result.Outcome = Updated
		st.PreviousDigest = old.digest
	}
	st.Version = result.Version
	body, err := proto.Marshal(in.record)
	if err != nil {
		return PutResult{}, err
	}
	seq, err := p.next(ctx, "records")
	if err != nil {
		return PutResult{}, err
	}
	if !live {
		p.counts[countKey{in.collection, source}]++
	}
	if old == nil {
		p.staged = append(p.staged, newRecord{in: in, source: source, seq: seq, body: body})
		return result, p.stageLookup(ctx, in.lookup, seq)
	}
	if live {
		if err := p.forgetLookup(ctx, in.collection, old); err != nil {
			return PutResult{}, err
		}
	}
	next := kept{seq: seq, sourceNo: source, version: int64(result.Version), digest: in.digest, body: body}
	if err := p.move(ctx, in.collection, id, old, next, p.now); err != nil {
		return PutResult{}, err
	}
	return result, p.stageLookup(ctx, in.lookup, seq)
}

// refresh leaves a record alone whose content is the same, unless the caller finds it by other
// normal forms now (a newer program makes better ones): these are not content, so the version
// stays, but followers must see them.
func (p *putting) refresh(ctx context.Context, in *incoming, old *kept) (PutResult, error) {
	result := PutResult{Outcome: Unchanged, Version: uint64(old.version)}
	if in.collection != documentsNo {
		return result, nil
	}
	id := in.record.RecordId
	var r recordv1.Record
	if err := proto.Unmarshal(old.body, &r); err != nil {
		return PutResult{}, damaged(id, err)
	}
	have, want := r.GetDocument(), in.record.GetDocument()
	same := have.GetNumberKey() == want.GetNumberKey() && slices.Equal(have.GetMoreKeys(), want.GetMoreKeys())
	if same && in.lookup.span != nil {
		var err error
		if same, err = p.holdsRange(ctx, *in.lookup.span, old.seq); err != nil {
			return PutResult{}, err
		}
	}
	if same {
		return result, nil
	}
	if err := p.forgetLookup(ctx, in.collection, old); err != nil {
		return PutResult{}, err
	}
	have.NumberKey, have.MoreKeys = want.GetNumberKey(), want.GetMoreKeys()
	next := *old
	var err error
	if next.body, err = proto.Marshal(&r); err != nil {
		return PutResult{}, err
	}
	if next.seq, err = p.next(ctx, "records"); err != nil {
		return PutResult{}, err
	}
	if err := p.move(ctx, in.collection, id, old, next, p.now); err != nil {
		return PutResult{}, err
	}
	return result, p.stageLookup(ctx, in.lookup, next.seq)
}

// stageLookup gathers the rows by which the document in row seq is found. Ranges are few and go
// at once.
func (p *putting) stageLookup(ctx context.Context, l lookup, seq int64) error {
	for _, k := range l.keys {
		p.keys = append(p.keys, newKey{k, seq})
	}
	if l.span == nil {
		return nil
	}
	return p.addRange(ctx, *l.span, seq)
}

// flush writes what has gathered, each table in its own order, so that neighbours go into the
// same page one after the other.
func (p *putting) flush(ctx context.Context) error {
	if len(p.staged)+len(p.keys) == 0 {
		return nil
	}
	p.changed = true
	now := p.now.UnixNano()
	args := make([]any, 0, len(p.staged)*addRecords.columns)
	for _, n := range p.staged {
		args = append(args, n.seq, n.in.collection, n.in.record.RecordId, int64(1), now, n.in.digest, n.body)
	}
	if err := p.execAll(ctx, addRecords, args); err != nil {
		return err
	}
	slices.SortFunc(p.staged, func(a, b newRecord) int { return cmp.Compare(a.in.record.RecordId, b.in.record.RecordId) })
	args = args[:0]
	for _, n := range p.staged {
		args = append(args, n.in.collection, n.in.record.RecordId, n.source, int64(1), n.seq)
	}
	if err := p.execAll(ctx, addIDs, args); err != nil {
		return err
	}
	slices.SortFunc(p.keys, func(a, b newKey) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.seq, b.seq)) })
	args = args[:0]
	for _, k := range p.keys {
		args = append(args, k.key, k.seq)
	}
	if err := p.execAll(ctx, addKeys, args); err != nil {
		return err
	}
	p.staged, p.keys = p.staged[:0], p.keys[:0]
	return nil
}

// sourceNo is the number of a source, which gets one if it has none.
func (p *putting) sourceNo(ctx context.Context, name string) (int64, error) {
	if no, ok := p.sources[name]; ok {
		return no, nil
	}
	if _, err := p.exec(ctx, addSource, name); err != nil {
		return 0, err
	}
	var no int64
	if err := p.row(ctx, findSource, name).Scan(&no); err != nil {
		return 0, err
	}
	p.sources[name] = no
	return no, nil
}

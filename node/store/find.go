package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

const (
	// maxLookupKeys is how many normal forms one look-up takes: what a number written as a
	// sentence can have, several times over.
	maxLookupKeys = 64

	// maxFound is how many documents one look-up returns. More of one number, of whatever issuers
	// and types, is no look-up any more.
	maxFound = 1_000
)

// DocumentLookup names the documents that are looked for.
type DocumentLookup struct {
	// Keys are normal forms of the number. Empty ones are ignored: they would find nothing.
	Keys []string
	// Limit is how many documents are wanted, 0: all. It cuts before anybody has looked at issuer,
	// type and permission: who filters afterwards wants all.
	Limit int
	// Slots is how many bodies are read and opened at the least: where fewer documents are found,
	// others fill the slots and are dropped, so that what is found and then withheld costs what
	// finding nothing costs. 0: as many as are found. At most 1,000.
	Slots int
}

// maxRows is how many look-up rows are read. A document comes once for each of its keys that is
// asked for, and once for each key that its range holds: more rows than this are surely more than
// maxFound documents.
const maxRows = (maxFound + 1) * (maxMoreKeys + 2)

// The most hashes that one statement looks for. A question with more takes several.
const (
	maxKeysAtOnce   = 16
	maxBlocksAtOnce = 32
)

// lookupQueries look for keys and blocks: one statement for what nearly every question asks, and
// one statement sees one state of the database.
var lookupQueries = func() map[[2]int]string {
	m := map[[2]int]string{}
	for _, keys := range [...]int{1, 4, maxKeysAtOnce} {
		for _, blocks := range [...]int{16, maxBlocksAtOnce} {
			m[[2]int{keys, blocks}] = fmt.Sprintf(`SELECT 0, `+rowColumns+` FROM document_keys k CROSS JOIN records r
WHERE k.key_hash IN (%s) AND r.seq = k.seq
UNION ALL
SELECT 1, `+rowColumns+` FROM document_ranges d CROSS JOIN records r
WHERE d.block_hash IN (%s) AND r.seq = d.seq
LIMIT %d`, placeholders(1, keys), placeholders(1+keys, blocks), maxRows)
		}
	}
	return m
}()

func placeholders(from, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("$%d", from+i)
	}
	return strings.Join(list, ", ")
}

var (
	// findFillers finds a place for every slot, and reads the bodies of so many. The last document
	// is followed by the first.
	findFillers = newBulk(`WITH f (n, seq) AS (VALUES `, `(CAST(%s AS BIGINT), COALESCE((SELECT seq FROM document_keys WHERE key_hash >= %s ORDER BY key_hash, seq LIMIT 1),
(SELECT seq FROM document_keys ORDER BY key_hash, seq LIMIT 1)))`, `)
SELECT `+rowColumns+` FROM f CROSS JOIN records r WHERE r.seq = f.seq AND f.n < $1`, 1)

	// For Check.
	findKeys   = newBulk(`SELECT key_hash, seq FROM document_keys WHERE key_hash IN (`, `%s`, `)`, 0)
	findBlocks = newBulk(`SELECT block_hash, seq FROM document_ranges WHERE block_hash IN (`, `%s`, `)`, 0)
	findBodies = newBulk(`WITH wanted (seq) AS (VALUES `, `(CAST(%s AS BIGINT))`, `)
SELECT `+rowColumns+` FROM wanted w CROSS JOIN records r WHERE r.seq = w.seq`, 0)
)

// FindDocuments returns the documents that have one of the keys, first, and the ranges that
// contain one, of every issuer and type. ErrTooMany says that there are more than 1,000 and the
// limit allows more: an answer with some of them would pass for a whole one.
//
// What it does depends on the question alone, and on how many are found beyond the slots: it
// looks for one hash for each key and one for each of a key's digits, picks as many fillers as
// there are slots, and reads and opens as many bodies as there are slots. The fillers are live
// documents that follow from a keyed hash of the question, so that the same question always
// touches the same rows.
func (s *Store) FindDocuments(ctx context.Context, q DocumentLookup) ([]*recordv1.Record, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	keys := slices.DeleteFunc(slices.Clone(q.Keys), func(k string) bool { return k == "" || len(k) > maxKeyLength })
	switch {
	case len(keys) > maxLookupKeys:
		err = invalid("%d keys: give at most %d", len(keys), maxLookupKeys)
	case q.Limit < 0:
		err = invalid("limit %d: give 0 or more", q.Limit)
	case q.Slots < 0 || q.Slots > maxFound:
		err = invalid("%d slots: give 0 to %d", q.Slots, maxFound)
	}
	if err != nil {
		return nil, fmt.Errorf("store: find documents: %w", err)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	question := newQuestion(s.hash, keys, q.Slots)
	var records []*recordv1.Record
	err = s.reading(ctx, func() error {
		records, err = s.find(ctx, question, q)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: find documents: %w", explainSQLite(err))
	}
	return records, nil
}

// question is a look-up in hashes.
type question struct {
	keys    []string
	probes  []probe
	hashes  [][hashSize]byte // of the keys
	blocks  [][hashSize]byte
	fillers [][hashSize]byte
}

func newQuestion(h *hasher, keys []string, slots int) *question {
	q := &question{keys: keys, hashes: make([][hashSize]byte, 0, len(keys)), blocks: make([][hashSize]byte, 0, 2*bulkSizes[0])}
	for _, k := range keys {
		q.hashes = append(q.hashes, h.documentKey(k))
		if p, ok := newProbe(k); ok {
			q.probes = append(q.probes, p)
			q.blocks = p.hashes(h, q.blocks)
		}
	}
	for i := range slots {
		f := h.of(ofFiller).number(int64(i))
		for _, x := range q.hashes {
			f.hash(x)
		}
		q.fillers = append(q.fillers, h.end(f))
	}
	return q
}

// fits tells whether a document is one that was asked for, and whether by a range alone.
func (q *question) fits(c *content) (exact, inRange bool, err error) {
	l, err := c.lookup()
	if err != nil {
		return false, false, err
	}
	for _, k := range l.keys {
		exact = exact || slices.Contains(q.keys, k)
	}
	if l.span != nil {
		for _, p := range q.probes {
			inRange = inRange || l.span.holds(p)
		}
	}
	return exact, inRange, nil
}

func (s *Store) find(ctx context.Context, q *question, l DocumentLookup) ([]*recordv1.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// A context that can end costs a goroutine with every statement.
	ctx = context.WithoutCancel(ctx)
	rows, err := s.lookUp(ctx, q, l)
	if err != nil {
		return nil, err
	}
	o := s.opener()
	records := make([]*recordv1.Record, 0, len(rows))
	for _, k := range rows {
		c, fits, err := s.openFound(o, q, k)
		if err != nil {
			return nil, err
		}
		if !fits {
			return nil, damagedRow(k, errors.New("it was found by what it does not have"))
		}
		records = append(records, c.record)
	}
	if len(q.fillers) == 0 {
		return records, nil
	}
	fillers := max(0, len(q.fillers)-len(rows))
	args := make([]any, 0, 2*len(q.fillers))
	for i := range q.fillers {
		args = append(args, i, q.fillers[i][:])
	}
	return records, findFillers.chunks(args, func(query string, args []any) error {
		return s.each(ctx, query, append([]any{fillers}, args...), func(scan scanner) error {
			k, err := scanKept(scan)
			if err != nil {
				return err
			}
			s.work.rows.Add(1)
			_, _, err = s.openFound(o, q, k) // what it holds is of no matter
			return err
		})
	})
}

// openFound opens a document, and tells whether it is one that was asked for.
func (s *Store) openFound(o *opener, q *question, k *kept) (*content, bool, error) {
	if !k.live() || k.collection != documentsNo {
		return nil, false, damagedRow(k, errors.New("a look-up row leads there"))
	}
	c, err := o.open(k)
	if err != nil {
		return nil, false, err
	}
	exact, inRange, err := q.fits(c)
	if err != nil {
		return nil, false, damagedRow(k, err)
	}
	return c, exact || inRange, nil
}

// lookUp reads the rows of the documents that are asked for, in the order of the answer: those
// by a key first, then those by a range alone, each in the order in which they came into the store.
func (s *Store) lookUp(ctx context.Context, q *question, l DocumentLookup) ([]*kept, error) {
	s.work.hashes.Add(uint64(len(q.hashes) + len(q.blocks) + len(q.fillers)))
	type row struct {
		*kept
		via int64
	}
	found := map[int64]row{}
	n := 0
	collect := func(scan scanner) error {
		var via int64
		k, err := scanKept(scan, &via)
		if err != nil {
			return err
		}
		n++
		if have, twice := found[k.seq]; twice {
			via = min(via, have.via)
		}
		found[k.seq] = row{k, via}
		return nil
	}
	var err error
	if statements := q.statements(); len(statements) == 1 {
		err = s.each(ctx, statements[0].query, statements[0].args, collect)
	} else {
		err = s.inOneState(ctx, statements, collect)
	}
	if err != nil {
		return nil, err
	}
	if (len(found) > maxFound || n == maxRows) && (l.Limit == 0 || l.Limit > maxFound) {
		return nil, ErrTooMany
	}
	order := make([]row, 0, len(found))
	for _, r := range found {
		order = append(order, r)
	}
	slices.SortFunc(order, func(a, b row) int { return cmp.Or(cmp.Compare(a.via, b.via), cmp.Compare(a.seq, b.seq)) })
	if l.Limit > 0 && len(order) > l.Limit {
		order = order[:l.Limit]
	}
	rows := make([]*kept, len(order))
	for i, r := range order {
		rows[i] = r.kept
	}
	s.work.rows.Add(uint64(len(rows)))
	return rows, nil
}

// statement is a statement with its arguments.
type statement struct {
	query string
	args  []any
}

// statements look for all hashes of the question. Arguments that are left over repeat the last.
func (q *question) statements() []statement {
	var list []statement
	for keys, blocks := q.hashes, q.blocks; len(keys)+len(blocks) > 0 || len(list) == 0; {
		k, b := keys[:min(len(keys), maxKeysAtOnce)], blocks[:min(len(blocks), maxBlocksAtOnce)]
		keys, blocks = keys[len(k):], blocks[len(b):]
		size := [2]int{1, 16}
		if len(k) > 4 {
			size[0] = maxKeysAtOnce
		} else if len(k) > 1 {
			size[0] = 4
		}
		if len(b) > 16 {
			size[1] = maxBlocksAtOnce
		}
		args := fill(make([]any, 0, size[0]+size[1]), k, size[0])
		list = append(list, statement{lookupQueries[size], fill(args, b, size[1])})
	}
	return list
}

// fill appends so many hashes as arguments. Where there is none to repeat, an empty one finds
// nothing.
func fill(args []any, hashes [][hashSize]byte, n int) []any {
	for i := range n {
		if len(hashes) == 0 {
			args = append(args, []byte{})
			continue
		}
		args = append(args, hashes[min(i, len(hashes)-1)][:])
	}
	return args
}

// inOneState runs statements that see one state of the database: a document whose number is being
// corrected is found by the old or by the new.
func (s *Store) inOneState(ctx context.Context, statements []statement, do func(scan scanner) error) error {
	sn, done, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	defer done()
	for _, st := range statements {
		if err := eachOf(ctx, sn.tx.StmtContext(ctx, s.reader.stmt(st.query)), st.args, do); err != nil {
			return err
		}
	}
	return nil
}

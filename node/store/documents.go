package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// maxKeyLength and maxMoreKeys are the treaty's bounds of number_key and more_keys.
	maxKeyLength = 64
	maxMoreKeys  = 16

	// maxLookupKeys is how many normal forms one look-up takes: what a number written as a
	// sentence can have, several times over.
	maxLookupKeys = 64

	// maxFound is how many documents one look-up returns. More of one number, of whatever issuers
	// and types, is no look-up any more.
	maxFound = 1_000
)

// lookup is how a document is found: its normal forms, and its range if it is one.
type lookup struct {
	keys []string
	span *span // nil: one document
}

// lookupOf reads a document's look-up rows from it, and names the field that it cannot read. A
// document without any normal form is kept, but no number finds it.
func (s *Store) lookupOf(d *recordv1.Document) (lookup, string, error) {
	if len(d.MoreKeys) > maxMoreKeys {
		return lookup{}, "document.more_keys", invalid("%d keys: give at most %d", len(d.MoreKeys), maxMoreKeys)
	}
	for _, k := range d.MoreKeys {
		if k == "" || len(k) > maxKeyLength {
			return lookup{}, "document.more_keys", invalid("a key of %d bytes: give 1 to %d", len(k), maxKeyLength)
		}
	}
	if len(d.NumberKey) > maxKeyLength {
		return lookup{}, "document.number_key", invalid("a key of %d bytes: give at most %d", len(d.NumberKey), maxKeyLength)
	}
	l := lookup{keys: keysOf(d)}
	if d.RangeEnd == "" {
		return l, "", nil
	}
	sp, err := newSpan(d.NumberKey, s.documentKey(d.RangeEnd))
	if err != nil {
		return lookup{}, "document.range_end", err
	}
	l.span = &sp
	return l, "", nil
}

// keysOf is the set of a document's normal forms.
func keysOf(d *recordv1.Document) []string {
	keys := slices.Clone(d.GetMoreKeys())
	if d.GetNumberKey() != "" {
		keys = append(keys, d.GetNumberKey())
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// capitalsAndDigits is the normal form where the caller gives none.
func capitalsAndDigits(number string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case '0' <= r && r <= '9', 'A' <= r && r <= 'Z':
			return r
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		default:
			return -1
		}
	}, number)
}

const removeKey = `DELETE FROM document_keys WHERE document_key = $1 AND seq = $2`

// forgetLookup removes the rows by which the live record old is found.
func (t *transaction) forgetLookup(ctx context.Context, collection int64, old *kept) error {
	if collection != documentsNo {
		return nil
	}
	var r recordv1.Record
	if err := proto.Unmarshal(old.body, &r); err != nil {
		return damaged(fmt.Sprintf("in row %d", old.seq), err)
	}
	for _, k := range keysOf(r.GetDocument()) {
		if _, err := t.exec(ctx, removeKey, k, old.seq); err != nil {
			return err
		}
	}
	if r.GetDocument().GetRangeEnd() == "" {
		return nil
	}
	return t.removeRange(ctx, old.seq)
}

// DocumentLookup names the documents that are looked for.
type DocumentLookup struct {
	// Keys are normal forms of the number. Empty ones are ignored: they would find nothing.
	Keys []string
	// Limit is how many documents are wanted, 0: all. It cuts before anybody has looked at issuer,
	// type and permission: who filters afterwards wants all.
	Limit int
}

// FindDocuments returns the documents that have one of the keys, first, and the ranges that
// contain one, of every issuer and type. ErrTooMany says that there are more than 1,000 and the
// limit allows more: an answer with some of them would pass for a whole one.
func (s *Store) FindDocuments(ctx context.Context, q DocumentLookup) ([]*recordv1.Record, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	keys := slices.DeleteFunc(slices.Clone(q.Keys), func(k string) bool { return k == "" || len(k) > maxKeyLength })
	if len(keys) > maxLookupKeys {
		return nil, fmt.Errorf("store: find documents: %w", invalid("%d keys: give at most %d", len(keys), maxLookupKeys))
	}
	if q.Limit < 0 {
		return nil, fmt.Errorf("store: find documents: %w", invalid("limit %d: give 0 or more", q.Limit))
	}
	if len(keys) == 0 {
		return nil, nil
	}
	query, args := lookupQuery(keys)
	type found struct {
		viaRange bool
		record   *recordv1.Record
	}
	bySeq := map[int64]found{}
	err = s.each(ctx, query, args, func(scan scanner) error {
		var seq, via int64
		var body []byte
		if err := scan(&seq, &via, &body); err != nil {
			return err
		}
		// One document can be found several ways: by several keys, by its key and its range.
		if f, ok := bySeq[seq]; ok {
			f.viaRange = f.viaRange && via == 1
			bySeq[seq] = f
			return nil
		}
		r := &recordv1.Record{}
		if err := proto.Unmarshal(body, r); err != nil {
			return damaged(fmt.Sprintf("in row %d", seq), err)
		}
		bySeq[seq] = found{viaRange: via == 1, record: r}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: find documents: %w", err)
	}
	if len(bySeq) > maxFound && (q.Limit == 0 || q.Limit > maxFound) {
		return nil, fmt.Errorf("store: find documents: %w", ErrTooMany)
	}
	order := make([]int64, 0, len(bySeq))
	for seq := range bySeq {
		order = append(order, seq)
	}
	slices.SortFunc(order, func(a, b int64) int {
		if ra, rb := bySeq[a].viaRange, bySeq[b].viaRange; ra != rb {
			if ra {
				return 1
			}
			return -1
		}
		return cmp.Compare(a, b)
	})
	if q.Limit > 0 && len(order) > q.Limit {
		order = order[:q.Limit]
	}
	records := make([]*recordv1.Record, len(order))
	for i, seq := range order {
		records[i] = bySeq[seq].record
	}
	return records, nil
}

// lookupSizes are the numbers of keys for which a look-up is prepared; fewer keys fill up with
// the last one.
var lookupSizes = [...]int{1, 2, 4, 8, 16, 32, maxLookupKeys}

// lookupQueries holds the look-up of each size. One statement does it all, because one statement
// sees one state: a document whose number is being corrected is found by the old or by the new.
var lookupQueries = func() map[int]string {
	m := map[int]string{}
	for _, n := range lookupSizes {
		keys, probes := make([]string, n), make([]string, n)
		for i := range n {
			keys[i] = fmt.Sprintf("$%d", i+1)
			probes[i] = fmt.Sprintf("($%d, CAST($%d AS BIGINT), CAST($%d AS BIGINT))", n+3*i+1, n+3*i+2, n+3*i+3)
		}
		// A document can come once for each of its keys, and once for each key that its range
		// contains: more rows than this are surely more than maxFound documents.
		rows := (maxFound + 1) * (min(n, maxMoreKeys+1) + n)
		m[n] = fmt.Sprintf(`WITH probe (range_prefix, width, num) AS (VALUES %s)
SELECT r.seq, 0, r.body FROM document_keys k JOIN records r ON r.seq = k.seq
WHERE k.document_key IN (%s)
UNION ALL
SELECT r.seq, 1, r.body FROM probe p
CROSS JOIN document_range_levels l
CROSS JOIN document_ranges d
CROSS JOIN records r
WHERE l.range_prefix = p.range_prefix AND l.width = p.width
AND d.range_prefix = p.range_prefix AND d.width = p.width AND d.level = l.level AND d.block = p.num / l.block_size
AND d.from_num <= p.num AND d.to_num >= p.num
AND r.seq = d.seq
LIMIT %d`, strings.Join(probes, ", "), strings.Join(keys, ", "), rows)
	}
	return m
}()

func lookupQuery(keys []string) (string, []any) {
	size := lookupSizes[slices.IndexFunc(lookupSizes[:], func(n int) bool { return n >= len(keys) })]
	args := make([]any, 0, 4*size)
	for i := range size {
		args = append(args, keys[min(i, len(keys)-1)])
	}
	for i := range size {
		p := probe{width: -1} // no range has this width
		if i < len(keys) {
			if q, ok := newProbe(keys[i]); ok {
				p = q
			}
		}
		args = append(args, p.prefix, p.width, p.num)
	}
	return lookupQueries[size], args
}

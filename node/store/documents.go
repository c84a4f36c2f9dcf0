package store

import (
	"context"
	"slices"
	"strings"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

const (
	// maxKeyLength and maxMoreKeys are the treaty's bounds of number_key and more_keys.
	maxKeyLength = 64
	maxMoreKeys  = 16
)

// lookup is how a document is found: its normal forms, and its range if it is one.
type lookup struct {
	keys []string
	span *span // nil: one document
}

// lookupOf reads from a document by what it is found, and names the field that it cannot read. A
// document without any normal form is kept, but no number finds it.
func lookupOf(d *recordv1.Document, endKey string) (lookup, string, error) {
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
	sp, err := newSpan(d.NumberKey, endKey)
	if err != nil {
		return lookup{}, "document.range_end", err
	}
	l.span = &sp
	return l, "", nil
}

// endKeyOf is the normal form of a range's end. It is kept with the record: another program may
// make another one, and must still find the rows that this one has made.
func (s *Store) endKeyOf(d *recordv1.Document) string {
	if d.GetRangeEnd() == "" {
		return ""
	}
	return s.documentKey(d.GetRangeEnd())
}

// lookupHashes are a document's look-up rows.
type lookupHashes struct{ keys, blocks [][hashSize]byte }

func (l lookup) hashes(h *hasher) lookupHashes {
	var out lookupHashes
	for _, k := range l.keys {
		out.keys = append(out.keys, h.documentKey(k))
	}
	if l.span != nil {
		out.blocks = l.span.hashes(h)
	}
	return out
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

const (
	removeKey   = `DELETE FROM document_keys WHERE key_hash = $1 AND seq = $2`
	removeBlock = `DELETE FROM document_ranges WHERE block_hash = $1 AND seq = $2`
)

// forgetLookup removes the rows by which a live record in row seq is found.
func (t *transaction) forgetLookup(ctx context.Context, was *content, seq int64) error {
	if was.record.GetDocument() == nil {
		return nil
	}
	l, err := was.lookup()
	if err != nil {
		return damagedRow(&kept{seq: seq, collection: documentsNo}, err)
	}
	rows := l.hashes(t.s.hash)
	t.changed = true
	for i := range rows.keys {
		if _, err := t.exec(ctx, removeKey, rows.keys[i][:], seq); err != nil {
			return err
		}
	}
	for i := range rows.blocks {
		if _, err := t.exec(ctx, removeBlock, rows.blocks[i][:], seq); err != nil {
			return err
		}
	}
	return nil
}

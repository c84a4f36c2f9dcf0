package store

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/entente-mesh/entente/node/vault"
)

// staged is a record that is about to be sealed and written.
type staged struct {
	next    kept
	content *content
	hashes  lookupHashes
	old     *kept // nil: a new one
	wants   wantedKey
}

type wantedKey int

const (
	sameKey wantedKey = iota // the one it has
	newKey
	sharedKey
)

// stage gathers a record's next state. Its place is drawn here, so that the changes come in the
// order of the batch.
func (p *putting) stage(ctx context.Context, st staged, next kept) error {
	var err error
	if next.seq, err = p.next(ctx, "records"); err != nil {
		return err
	}
	st.next = next
	p.staged = append(p.staged, st)
	if st.old == nil || !st.old.live() {
		p.counts[countKey{next.collection, next.source}]++
	}
	return nil
}

// giveKeys sees to it that every staged record has a key: one call to the vault for all of them.
func (p *putting) giveKeys() ([]vault.Key, error) {
	own, shared := 0, 0
	for i := range p.staged {
		switch {
		case p.staged[i].wants == newKey:
			own++
		case p.staged[i].wants == sharedKey && p.shared == 0:
			shared = 1
		}
	}
	_, ids, err := p.newKeys(own + shared)
	if err != nil {
		return nil, err
	}
	if shared == 1 {
		p.shared = ids[own]
	}
	keys := make([]vault.Key, len(p.staged))
	for i := range p.staged {
		st := &p.staged[i]
		switch st.wants {
		case newKey:
			st.next.vaultKey, ids = ids[0], ids[1:]
		case sharedKey:
			st.next.vaultKey = p.shared
		case sameKey:
			st.next.vaultKey = st.old.vaultKey
		}
		if st.old != nil && st.old.live() {
			p.uses[st.old.vaultKey]--
		}
		p.uses[st.next.vaultKey]++
		if keys[i], err = p.bodies.key(st.next.vaultKey); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// flush seals and writes what has gathered, each table in its own order, so that neighbours go
// into the same page one after the other.
func (p *putting) flush(ctx context.Context) error {
	if len(p.staged) == 0 {
		return nil
	}
	keys, err := p.giveKeys()
	if err != nil {
		return err
	}
	p.changed = true
	rows := make([]any, 0, len(p.staged)*addRecords.columns)
	var added []*kept
	var documentKeys, blocks hashRows
	for i := range p.staged {
		st := &p.staged[i]
		k := &st.next
		plain, err := st.content.marshal()
		if err != nil {
			return err
		}
		k.body = keys[i].Seal(plain, k.about())
		documentKeys.add(st.hashes.keys, k.seq)
		blocks.add(st.hashes.blocks, k.seq)
		if st.old != nil {
			if err := p.move(ctx, st.old.seq, k); err != nil {
				return err
			}
			continue
		}
		added = append(added, k)
		rows = append(rows, k.seq, k.collection, k.key[:], k.source, k.version, k.changedAt, k.vaultKey, k.digest, k.body)
	}
	if err := p.execAll(ctx, addRecords, rows); err != nil {
		return err
	}
	slices.SortFunc(added, func(a, b *kept) int {
		return cmp.Or(cmp.Compare(a.collection, b.collection), bytes.Compare(a.key[:], b.key[:]))
	})
	rows = rows[:0]
	for _, k := range added {
		rows = append(rows, k.collection, k.key[:], k.source, int64(1), k.seq)
	}
	if err := p.execAll(ctx, addIDs, rows); err != nil {
		return err
	}
	if err := p.execAll(ctx, addKeys, documentKeys.args()); err != nil {
		return err
	}
	if err := p.execAll(ctx, addBlocks, blocks.args()); err != nil {
		return err
	}
	p.staged = p.staged[:0]
	return nil
}

// hashRows are rows of a look-up table.
type hashRows []hashRow

type hashRow struct {
	hash [hashSize]byte
	seq  int64
}

func (h *hashRows) add(hashes [][hashSize]byte, seq int64) {
	for _, x := range hashes {
		*h = append(*h, hashRow{x, seq})
	}
}

func (h hashRows) args() []any {
	slices.SortFunc(h, func(a, b hashRow) int { return cmp.Or(bytes.Compare(a.hash[:], b.hash[:]), cmp.Compare(a.seq, b.seq)) })
	args := make([]any, 0, 2*len(h))
	for i := range h {
		args = append(args, h[i].hash[:], h[i].seq)
	}
	return args
}

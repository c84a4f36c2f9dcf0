package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Over is the node's journal as the tree is built over it. folder is the journal's folder as flaws
// name it.
func Over(j *journal.Journal, folder string) Journal { return books{j, folder} }

type books struct {
	*journal.Journal
	folder string
}

// ReadLeaves implements Journal.
func (b books) ReadLeaves(from uint64, max int) ([][evidence.LeafSize]byte, error) {
	leaves, err := b.Journal.ReadLeaves(from, max)
	if err != nil {
		return nil, err
	}
	out := make([][evidence.LeafSize]byte, len(leaves))
	for i, l := range leaves {
		out[i] = l.Bytes()
	}
	return out, nil
}

// Find implements Journal.
func (b books) Find(ctx context.Context, messageID string) ([]Passage, error) {
	found, err := b.Journal.Find(ctx, messageID)
	if err != nil {
		return nil, err
	}
	var out []Passage
	for _, l := range found {
		if !border(l.Leaf) {
			continue
		}
		p := Passage{Index: l.Index, Leaf: l.Leaf.Bytes(), Opening: l.Opening}
		if l.Evidence {
			p.Evidence = Reader(b.Journal, l)
		}
		out = append(out, p)
	}
	return out, nil
}

// Reader reads the evidence of a passage in a journal, see Passage.
func Reader(j *journal.Journal, l journal.Located) func(context.Context) (*signedv1.Signed, error) {
	return func(ctx context.Context) (*signedv1.Signed, error) {
		signed, err := j.Evidence(ctx, l)
		if errors.Is(err, journal.ErrErased) {
			return nil, nil
		}
		return signed, err
	}
}

// around is how far the time in an entry may lie from the one in its leaf.
const around = time.Hour

// Border implements Journal.
func (b books) Border(ctx context.Context, peer identity.Bureau, since, until time.Time, do func(Passage) error) error {
	from, to := since, until
	if !from.IsZero() {
		from = from.Add(-around)
	}
	if !to.IsZero() {
		to = to.Add(around)
	}
	return b.Scan(ctx, from, to, func(l journal.Located) error {
		at := l.Leaf.At
		if !border(l.Leaf) || l.Leaf.Peer != peer || at.Before(since) || !until.IsZero() && !at.Before(until) {
			return nil
		}
		return do(Passage{Index: l.Index, Leaf: l.Leaf.Bytes(), Opening: l.Opening})
	})
}

// Check implements Journal.
func (b books) Check(ctx context.Context, progress func(leaves uint64)) (Check, error) {
	r, err := b.Journal.Check(ctx, progress)
	if err != nil {
		return Check{}, err
	}
	c := Check{Leaves: r.Leaves, Entries: r.Entries, Erased: r.Erased}
	for _, f := range r.Flaws {
		what := f.What
		if f.Detail != "" {
			what = fmt.Sprintf("%s: %s", f.What, f.Detail)
		}
		c.Flaws = append(c.Flaws, &auditv1.Flaw{File: b.folder + "/" + f.File, Offset: uint64(max(0, f.Offset)), Index: f.Index, What: clipped(what)})
	}
	return c, nil
}

// clipped keeps a text within the bound of a flaw's.
func clipped(s string) string { return s[:min(len(s), 512)] }

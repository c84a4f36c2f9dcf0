package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// exportPart is how many entries one part of an export holds: under 1.5 MB.
const exportPart = 512

// Consistency proves that the log of from leaves is the beginning of the log of to leaves. Sizes
// are those of signed checkpoints; to is no larger than the newest. It fails with ErrNotYet for a
// larger one, and with ErrDamaged if the tiles are damaged; then the tree is built again.
func (l *Log) Consistency(ctx context.Context, from, to uint64) (*auditv1.Consistency, error) {
	newest := l.published.Load()
	switch {
	case from == 0 || from > to:
		return nil, fmt.Errorf("audit: consistency from %d to %d: give from of 1 at least and to of from at least", from, to)
	case newest == nil || to > newest.Size || l.size.Load() < to:
		return nil, fmt.Errorf("audit: consistency to %d: %w", to, ErrNotYet)
	case from == to:
		return &auditv1.Consistency{From: from, To: to}, nil
	}
	var path [][]byte
	err := l.read(func(t *tree) (err error) {
		older, err := t.rangeAt(ctx, from)
		if err != nil {
			return err
		}
		newer, err := t.rangeAt(ctx, to)
		if err != nil {
			return err
		}
		builder, err := t.proofs(ctx, to)
		if err != nil {
			return err
		}
		if path, err = builder.ConsistencyProof(ctx, from, to); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		a := evidence.Checkpoint{Origin: l.origin, Size: from, Root: rootOf(older)}
		b := evidence.Checkpoint{Origin: l.origin, Size: to, Root: rootOf(newer)}
		if to == newest.Size {
			b.Root = newest.Root
		}
		if err := evidence.VerifyConsistency(a, b, path); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return &auditv1.Consistency{From: from, To: to, Proof: path}, nil
}

// read gives the tree to a reader of tiles. A reader that finds damage has the tree built again:
// what it has read goes nowhere.
func (l *Log) read(do func(*tree) error) (err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.tree == nil {
		return ErrNotYet
	}
	defer func() {
		// The library's code takes for granted that a tile is whole.
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: tiles cannot be read: %v", ErrDamaged, p)
		}
		if errors.Is(err, ErrDamaged) {
			l.damaged.Store(true)
			select {
			case l.nudge <- struct{}{}:
			default:
			}
		}
	}()
	return do(l.tree)
}

// inclusion builds the audit paths of leaves in a signed checkpoint, each proven before it is given
// out.
func (l *Log) inclusion(ctx context.Context, p *published, passages []Passage) ([][][]byte, error) {
	paths := make([][][]byte, len(passages))
	err := l.read(func(t *tree) error {
		builder, err := t.proofs(ctx, p.Size)
		if err != nil {
			return err
		}
		for i, x := range passages {
			path, err := builder.InclusionProof(ctx, x.Index)
			if err == nil {
				err = evidence.VerifyInclusion(p.Checkpoint, x.Index, x.Leaf[:], path)
			}
			if err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return fmt.Errorf("%w: leaf %d: %w", ErrDamaged, x.Index, err)
			}
			paths[i] = path
		}
		return nil
	})
	return paths, err
}

// Prove makes the bundle that proves one exchange with another bureau, from the own books: the ask,
// the answer if one came, and the proofs that their leaves stand in the log. If they are not in a
// signed checkpoint yet it waits, at most Config.Wait. The other bureau's proofs, if there are
// any, are added with evidence.AddProofs.
//
// The asker chooses the id, and a hostile one may choose an id that stands in the books already.
// Prove takes the own ask under the id; without one it takes a peer's, with the answer that names
// it by its digest.
//
// It fails with ErrUnknown for a message that did not cross a border, with ErrErased if there is
// nothing left to prove, and with ErrNotYet.
func (l *Log) Prove(ctx context.Context, messageID string) (*auditv1.Bundle, error) {
	passages, err := l.find(ctx, messageID, "")
	if err != nil {
		return nil, fmt.Errorf("audit: prove: %w", err)
	}
	b := &auditv1.Bundle{
		Federation: string(l.config.Federation), MessageId: messageID,
		Rosters: l.config.Rosters(), MadeAt: timestamppb.New(l.config.Now()), MadeBy: string(l.config.Bureau),
	}
	x, err := choose(ctx, passages)
	if err != nil {
		return nil, fmt.Errorf("audit: prove: %w", err)
	}
	if x == nil {
		return nil, fmt.Errorf("audit: prove: %w: its leaves stand in the log, and what they are about is gone", ErrErased)
	}
	b.Ask, b.Answer = x.ask, x.answer
	if b.Proofs, err = l.prove(ctx, x.passages); err != nil {
		return nil, fmt.Errorf("audit: prove: %w", err)
	}
	return b, nil
}

// ProofsFor proves to a peer that a message between it and the own bureau stands in the log: leaf,
// opening and path of each of its passages, whoever of the two asked, the first eight in the log.
// It fails as Prove does; ErrUnknown also for a message with another peer.
func (l *Log) ProofsFor(ctx context.Context, peer identity.Bureau, messageID string) ([]*auditv1.LogProof, error) {
	passages, err := l.find(ctx, messageID, peer)
	if err != nil {
		return nil, fmt.Errorf("audit: proofs: %w", err)
	}
	proofs, err := l.prove(ctx, passages[:min(len(passages), maxProofs)])
	if err != nil {
		return nil, fmt.Errorf("audit: proofs: %w", err)
	}
	return proofs, nil
}

// maxProofs is how many leaves are proven to a peer: an exchange has two, a retry has as many again.
const maxProofs = 8

// find returns the passages of a message across the border, with one peer if one is given.
func (l *Log) find(ctx context.Context, messageID string, peer identity.Bureau) ([]Passage, error) {
	all, err := l.config.Journal.Find(ctx, messageID)
	if err != nil {
		return nil, err
	}
	var out []Passage
	for _, p := range all {
		leaf, err := evidence.ParseLeaf(p.Leaf[:])
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", p.Index, err)
		}
		if border(leaf) && (peer == "" || leaf.Peer == peer) {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil, ErrUnknown
	}
	return out, nil
}

// border says whether a leaf is of a passage between two bureaus.
func border(leaf evidence.Leaf) bool {
	switch leaf.Kind {
	case auditv1.EntryKind_ENTRY_KIND_ASK, auditv1.EntryKind_ENTRY_KIND_ANSWER, auditv1.EntryKind_ENTRY_KIND_NO_ANSWER:
		return leaf.Direction != auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL
	default:
		return false
	}
}

func (l *Log) prove(ctx context.Context, passages []Passage) ([]*auditv1.LogProof, error) {
	need := uint64(0)
	for _, p := range passages {
		need = max(need, p.Index+1)
	}
	signed, err := l.await(ctx, need)
	if err != nil {
		return nil, err
	}
	paths, err := l.inclusion(ctx, signed, passages)
	if err != nil {
		return nil, err
	}
	out := make([]*auditv1.LogProof, len(passages))
	for i, p := range passages {
		out[i] = &auditv1.LogProof{
			Bureau: string(l.config.Bureau), Leaf: p.Leaf[:], Opening: p.Opening, Index: p.Index,
			Inclusion: paths[i], Checkpoint: signed.note,
		}
	}
	return out, nil
}

// Export hands over the books about a peer in parts, each passage proven against one checkpoint.
// since zero is the beginning, until zero is now; until is brought down to now. The first part says
// what the export is, the last one alone says until when it reaches; there may be but one. What is
// booked when Export is called is waited for, at most Config.Wait, to be signed.
func (l *Log) Export(ctx context.Context, peer identity.Bureau, since, until time.Time, part func(*auditv1.Export) error) error {
	if _, err := identity.ParseBureau(string(peer)); err != nil {
		return fmt.Errorf("audit: export: peer: %w", err)
	}
	now := l.config.Now()
	if until.IsZero() || until.After(now) {
		until = now
	}
	if !until.After(since) {
		return fmt.Errorf("audit: export: until %s is not after since %s", until.UTC().Format(time.RFC3339), since.UTC().Format(time.RFC3339))
	}
	next := &auditv1.Export{Federation: string(l.config.Federation), Bureau: string(l.config.Bureau), Peer: string(peer), Rosters: l.config.Rosters()}
	if !since.IsZero() {
		next.Since = timestamppb.New(since)
	}
	var signed *published
	if have := l.config.Journal.Leaves(); have > 0 {
		var err error
		if signed, err = l.await(ctx, have); err != nil {
			return fmt.Errorf("audit: export: %w", err)
		}
		next.Checkpoint = signed.note
	}
	var gathered []Passage
	flush := func() error {
		paths, err := l.inclusion(ctx, signed, gathered)
		if err != nil {
			return err
		}
		for i, p := range gathered {
			next.Entries = append(next.Entries, &auditv1.ExportEntry{Leaf: p.Leaf[:], Index: p.Index, Opening: p.Opening, Inclusion: paths[i]})
		}
		gathered = nil
		return nil
	}
	err := l.config.Journal.Border(ctx, peer, since, until, func(p Passage) error {
		if signed == nil || p.Index >= signed.Size {
			return nil // booked after the export began
		}
		if gathered = append(gathered, p); len(gathered) < exportPart {
			return nil
		}
		if err := flush(); err != nil {
			return err
		}
		if err := part(next); err != nil {
			return err
		}
		next = &auditv1.Export{Federation: next.GetFederation(), Bureau: next.GetBureau(), Peer: next.GetPeer(), Part: next.GetPart() + 1}
		return nil
	})
	if err == nil && len(gathered) > 0 {
		err = flush()
	}
	if err == nil {
		next.Until = timestamppb.New(until)
		err = part(next)
	}
	if err != nil {
		return fmt.Errorf("audit: export: %w", err)
	}
	return nil
}

package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/api"
	"github.com/entente-mesh/entente/node/audit"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/store"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// trunk is the journal as the tree needs it.
type trunk struct{ *journal.Journal }

// ReadLeaves implements audit.Journal.
func (t trunk) ReadLeaves(from uint64, most int) ([][evidence.LeafSize]byte, error) {
	leaves, err := t.Journal.ReadLeaves(from, most)
	if err != nil {
		return nil, err
	}
	raw := make([][evidence.LeafSize]byte, len(leaves))
	for i, l := range leaves {
		raw[i] = l.Bytes()
	}
	return raw, nil
}

// abroad tells whether a passage has crossed a border, and so has a leaf of its own.
func abroad(l evidence.Leaf) bool {
	return l.Direction != auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL
}

// Find implements audit.Journal.
func (t trunk) Find(ctx context.Context, messageID string) ([]audit.Passage, error) {
	located, err := t.Journal.Find(ctx, messageID)
	if err != nil {
		return nil, err
	}
	var all []audit.Passage
	for _, l := range located {
		if !abroad(l.Leaf) {
			continue
		}
		all = append(all, audit.Passage{Index: l.Index, Leaf: l.Leaf.Bytes(), Opening: l.Opening, Evidence: audit.Reader(t.Journal, l)})
	}
	return all, nil
}

// Border implements audit.Journal.
func (t trunk) Border(ctx context.Context, peer identity.Bureau, since, until time.Time, do func(audit.Passage) error) error {
	return t.Scan(ctx, since, until, func(l journal.Located) error {
		if !abroad(l.Leaf) || l.Leaf.Peer != peer {
			return nil
		}
		return do(audit.Passage{Index: l.Index, Leaf: l.Leaf.Bytes(), Opening: l.Opening})
	})
}

// Check implements audit.Journal.
func (t trunk) Check(ctx context.Context, progress func(leaves uint64)) (audit.Check, error) {
	report, err := t.Journal.Check(ctx, progress)
	if err != nil {
		return audit.Check{}, err
	}
	c := audit.Check{Leaves: report.Leaves, Entries: report.Entries, Erased: report.Erased}
	for _, d := range report.Flaws {
		c.Flaws = append(c.Flaws, flawOf(d))
	}
	return c, nil
}

// flawOf is what is wrong with the journal, as a report says it.
func flawOf(d journal.Damage) *auditv1.Flaw {
	what := d.What
	if d.Detail != "" {
		what += ": " + d.Detail
	}
	return &auditv1.Flaw{File: "journal/" + d.File, Offset: uint64(max(0, d.Offset)), Index: d.Index, What: what}
}

// reading is the books as their auditors read them. It implements api.Books.
type reading struct{ n *Node }

// located is a passage as the treaty describes it. integrated is how many leaves are in the tree.
func located(l journal.Located, integrated uint64) *auditv1.Located {
	return &auditv1.Located{
		Entry: l.Entry, Index: l.Index, Place: uint32(l.Place), Integrated: l.Index < integrated,
		Erased: l.Erased, Evidence: l.Evidence,
	}
}

// enough ends a scan that has yielded what was wanted.
var errEnough = errors.New("enough")

// List implements api.Books.
func (r reading) List(ctx context.Context, req *auditv1.ListRequest, do func(*auditv1.Located) error) error {
	var since, until time.Time
	if req.GetSince() != nil {
		since = req.GetSince().AsTime()
	}
	if req.GetUntil() != nil {
		until = req.GetUntil().AsTime()
	}
	sent, integrated := uint32(0), r.n.tree.Status().Integrated
	err := r.n.rest.journal.Scan(ctx, since, until, func(l journal.Located) error {
		if !wanted(req, l) {
			return nil
		}
		if err := do(located(l, integrated)); err != nil {
			return err
		}
		if sent++; sent == req.GetLimit() {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// wanted tells whether a passage is one that a request asks for. Of one that was erased nothing but
// its leaf is known.
func wanted(req *auditv1.ListRequest, l journal.Located) bool {
	e := l.Entry
	if req.GetBureau() != "" && string(l.Leaf.Peer) != req.GetBureau() {
		// A check stands under the own bureau, and names those it concerned.
		if !concerns(e, req.GetBureau()) {
			return false
		}
	}
	if e == nil {
		return req.GetAgency() == "" && req.GetPurpose() == "" && req.GetDecision() == 0 &&
			(req.GetKind() == 0 || req.GetKind() == l.Leaf.Kind && abroad(l.Leaf))
	}
	switch {
	case req.GetAgency() != "" && e.GetRequester().GetAgency() != req.GetAgency():
		return false
	case req.GetPurpose() != "" && (e.GetJustification().GetPurpose() == recordv1.Purpose_PURPOSE_UNSPECIFIED ||
		identity.PurposeName(e.GetJustification().GetPurpose()) != req.GetPurpose()):
		return false
	case req.GetKind() != 0 && e.GetKind() != req.GetKind():
		return false
	case req.GetDecision() != 0 && e.GetDecision() != req.GetDecision():
		return false
	}
	return true
}

func concerns(e *auditv1.Entry, bureau string) bool {
	for _, o := range e.GetOutcomes() {
		if o.GetBureau() == bureau {
			return true
		}
	}
	return false
}

// Get implements api.Books.
func (r reading) Get(ctx context.Context, messageID string) ([]*auditv1.Located, error) {
	found, err := r.n.rest.journal.Find(ctx, messageID)
	return r.all(found, err)
}

// Officer implements api.Books.
func (r reading) Officer(ctx context.Context, pseudonym string) ([]*auditv1.Located, error) {
	found, err := r.n.rest.journal.FindOfficer(ctx, pseudonym)
	return r.all(found, err)
}

func (r reading) all(found []journal.Located, err error) ([]*auditv1.Located, error) {
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, api.ErrNotInBooks
	}
	out, integrated := make([]*auditv1.Located, len(found)), r.n.tree.Status().Integrated
	for i, l := range found {
		out[i] = located(l, integrated)
	}
	return out, nil
}

// Verify implements api.Books.
func (r reading) Verify(ctx context.Context, progress func(leaves uint64)) (*auditv1.VerifyReport, error) {
	return r.n.tree.Verify(ctx, progress)
}

// otherSideTimeout bounds the question to the other bureau for its proof.
const otherSideTimeout = 15 * time.Second

// Prove implements api.Books.
func (r reading) Prove(ctx context.Context, messageID string, otherSide bool) (*auditv1.Bundle, string, error) {
	bundle, err := r.n.tree.Prove(ctx, messageID)
	switch {
	case errors.Is(err, audit.ErrUnknown):
		if found, ferr := r.n.rest.journal.Find(ctx, messageID); ferr == nil && len(found) > 0 {
			return nil, "", errors.Join(api.ErrNotAbroad, err)
		}
		return nil, "", errors.Join(api.ErrNotInBooks, err)
	case errors.Is(err, audit.ErrErased):
		return nil, "", errors.Join(api.ErrNotInBooks, err)
	case errors.Is(err, audit.ErrNotYet):
		return nil, "", errors.Join(api.ErrNotYet, err)
	}
	if err != nil || !otherSide {
		return bundle, "", err
	}
	leaf, err := evidence.ParseLeaf(bundle.GetProofs()[0].GetLeaf())
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, otherSideTimeout)
	defer cancel()
	var theirs []*auditv1.LogProof
	err = r.n.pool.Do(ctx, leaf.Peer, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		resp, err := auditv1.NewWitnessServiceClient(conn).ProveMessage(ctx, &auditv1.ProveMessageRequest{MessageId: messageID})
		theirs = resp.GetProofs()
		return err
	})
	if err != nil {
		reason, _ := fault.ReasonOf(fault.From(err))
		return bundle, fmt.Sprintf("%s did not give it (%s): ask again later, or have its auditor export it", leaf.Peer, reason), nil
	}
	// What does not belong to this exchange, or does not hold, must not spoil the own proof.
	switch added, err := evidence.AddProofs(bundle, theirs); {
	case err != nil:
		return bundle, fmt.Sprintf("the proof of %s was not added, since the own does not hold: %.200s", leaf.Peer, err), nil
	case added == 0:
		return bundle, fmt.Sprintf("what %s gave proves nothing of this exchange: have its auditor export its books, and join them", leaf.Peer), nil
	}
	return bundle, "", nil
}

// Export implements api.Books.
func (r reading) Export(ctx context.Context, peer identity.Bureau, since, until time.Time, do func(*auditv1.Export) error) error {
	err := r.n.tree.Export(ctx, peer, since, until, do)
	if errors.Is(err, audit.ErrNotYet) {
		err = errors.Join(api.ErrNotYet, err)
	}
	return err
}

// scribe books what operations did. It implements api.Scribe.
type scribe struct{ gate *gate.Gate }

// Did implements api.Scribe.
func (s scribe) Did(ctx context.Context, client identity.Identity, act api.Act) error {
	return s.gate.Operated(ctx, gate.Operation{
		ID: uuid.NewString(), Client: client, Name: act.Operation, Object: act.Object, Second: act.Second, Why: act.Reason, Count: act.Count,
	}, act.Failed)
}

// eraser destroys what is left of records. It implements api.Eraser.
type eraser struct{ n *Node }

// Erase implements api.Eraser.
func (e eraser) Erase(ctx context.Context, collection, id string) (time.Time, error) {
	return e.n.rest.store.Erase(ctx, collection, id)
}

// Copies implements api.Eraser.
func (e eraser) Copies(ctx context.Context, owner, recordID string) ([]*recordv1.Copy, error) {
	held, err := e.n.rest.store.Copies(ctx, owner, recordID)
	if err != nil {
		return nil, err
	}
	var all []*recordv1.Copy
	for _, c := range held {
		all = append(all, copyOf(c))
	}
	return all, nil
}

// Evidence implements api.Eraser.
func (e eraser) Evidence(ctx context.Context, owner, recordID string) ([]*recordv1.Copy, error) {
	found, err := e.n.rest.journal.FindQuotes(ctx, owner, recordID)
	if err != nil {
		return nil, err
	}
	var all []*recordv1.Copy
	for _, l := range found {
		if l.Evidence {
			all = append(all, &recordv1.Copy{Place: "evidence", MessageId: l.Leaf.MessageID.String(), Since: timestamppb.New(l.Leaf.At)})
		}
	}
	return all, nil
}

// EraseEvidence implements api.Eraser.
func (e eraser) EraseEvidence(ctx context.Context, owner, recordID string) (int, error) {
	found, err := e.n.rest.journal.FindQuotes(ctx, owner, recordID)
	if err != nil {
		return 0, err
	}
	return e.n.rest.journal.EraseEvidence(ctx, found)
}

// Object implements api.Eraser.
func (e eraser) Object(collection, id string) string { return e.n.rest.secrets.object(collection, id) }

// KeyBackups implements api.Eraser.
func (e eraser) KeyBackups() time.Duration {
	return time.Duration(e.n.cfg.KeyBackupDays) * 24 * time.Hour
}

// copyOf is a record that is held, without what it says.
func copyOf(c store.Copy) *recordv1.Copy {
	out := &recordv1.Copy{Place: "records", Collection: c.Collection, Version: c.Version, Since: timestamppb.New(c.Since)}
	if !c.WithdrawnAt.IsZero() {
		out.WithdrawnAt = timestamppb.New(c.WithdrawnAt)
	}
	return out
}

// bookEntry writes an entry of the node's own into the books: a count of the limits, an alarm.
func (n *Node) bookEntry(ctx context.Context, e *auditv1.Entry) error {
	return n.rest.journal.Record(context.WithoutCancel(ctx), journal.Passage{Entry: e})
}

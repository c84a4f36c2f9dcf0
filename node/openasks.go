package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/node/journal"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// openAskLife is how far before the last entry an ask can lie that has no end yet: what an ask
// lives, and some time for clocks that were set.
const openAskLife = 10 * time.Minute

// nodeEnded is the reason that the books name for an ask whose answer nobody was left to take.
const nodeEnded = "NODE_ENDED"

// closeOpenAsks gives the asks an end in the books that had none when the node ended without being
// told to: every ask that left has one end, so that a joint audit does not take a crash for an
// omission.
func (n *Node) closeOpenAsks(ctx context.Context) error {
	j := n.rest.journal
	leaves := j.Leaves()
	if leaves == 0 {
		return nil
	}
	last, err := j.ReadLeaves(leaves-1, 1)
	if err != nil || len(last) == 0 {
		return fmt.Errorf("the last leaf of the books: %w", err)
	}
	asks, err := openAsks(ctx, j, last[0].At.Add(-openAskLife))
	if err != nil {
		return fmt.Errorf("asks without an end: %w", err)
	}
	for part := range slices.Chunk(asks, 64) {
		var ends []journal.Passage
		for _, ask := range part {
			ends = append(ends, journal.Passage{Entry: &auditv1.Entry{
				MessageId: ask.GetMessageId(), Kind: auditv1.EntryKind_ENTRY_KIND_NO_ANSWER, Direction: auditv1.EntryDirection_ENTRY_DIRECTION_IN,
				Bureau: ask.GetBureau(), At: timestamppb.New(n.now()), Requester: ask.GetRequester(), Client: ask.GetClient(),
				Justification: ask.GetJustification(), CheckId: ask.GetCheckId(), PolicyVersion: ask.GetPolicyVersion(),
				Decision: auditv1.Decision_DECISION_FAILED, Reason: nodeEnded,
			}, Officer: ask.GetRequester().GetOfficer()})
		}
		if err := j.Record(ctx, ends...); err != nil {
			return fmt.Errorf("asks without an end: %w", err)
		}
	}
	if len(asks) > 0 {
		n.log.WarnContext(ctx, "the node ended while asks were under way; they have an end in the books now", slog.Int("asks", len(asks)))
	}
	return nil
}

// openAsks are the entries of the asks since a time that left and have no end, in their order.
func openAsks(ctx context.Context, j *journal.Journal, since time.Time) ([]*auditv1.Entry, error) {
	open := map[string]*auditv1.Entry{}
	var order []string
	err := j.Scan(ctx, since, time.Time{}, func(l journal.Located) error {
		id := l.Leaf.MessageID.String()
		switch {
		case l.Leaf.Kind == auditv1.EntryKind_ENTRY_KIND_ASK && l.Leaf.Direction == auditv1.EntryDirection_ENTRY_DIRECTION_OUT && l.Entry != nil:
			open[id] = l.Entry
			order = append(order, id)
		case ends(l) && open[id].GetBureau() == string(l.Leaf.Peer):
			delete(open, id)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var asks []*auditv1.Entry
	for _, id := range order {
		if open[id] != nil {
			asks = append(asks, open[id])
		}
	}
	return asks, nil
}

// ends tells whether a passage is the end of an own ask. A question of another bureau's is not, be
// it under the same id: ids are for each asker to choose.
func ends(l journal.Located) bool {
	if l.Leaf.Direction != auditv1.EntryDirection_ENTRY_DIRECTION_IN {
		return false
	}
	return l.Leaf.Kind == auditv1.EntryKind_ENTRY_KIND_ANSWER || l.Leaf.Kind == auditv1.EntryKind_ENTRY_KIND_NO_ANSWER
}

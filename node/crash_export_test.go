package node

import (
	"context"
	"time"

	"github.com/entente-mesh/entente/node/journal"
)

// Retain does now what the node does once a day, for scenes that kill it in the middle of that.
func (n *Node) Retain(ctx context.Context, before time.Time) (int, error) {
	return n.rest.journal.Retain(ctx, before)
}

// EraseQuoted erases what the books keep of a record, as the erasing of a record does.
func (n *Node) EraseQuoted(ctx context.Context, owner, recordID string) (int, error) {
	return eraser{n}.EraseEvidence(ctx, owner, recordID)
}

// MeshAddress is where the mesh listener listens.
func (n *Node) MeshAddress() string { return n.meshListener.Addr().String() }

// LocalAddress is where the local listener listens.
func (n *Node) LocalAddress() string { return n.localListener.Addr().String() }

// CheckStore is what the node does with its store after each start, for who waits for its end.
func (n *Node) CheckStore(ctx context.Context) error { return n.rest.store.Check(ctx, nil) }

// OpenBooks opens the journal of a node that does not run.
func OpenBooks(ctx context.Context, cfg Config) (j *journal.Journal, closeAll func() error, err error) {
	r, err := openRest(ctx, cfg, outside{now: time.Now})
	if err != nil {
		return nil, nil, err
	}
	return r.journal, r.close, nil
}

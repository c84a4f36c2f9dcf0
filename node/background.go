package node

import (
	"context"
	"log/slog"
	"time"
)

// rosterLook bounds how long a roster that has just expired goes unnoticed.
const rosterLook = time.Minute

// followRoster keeps the peers those of the roster in force.
func (n *Node) followRoster(ctx context.Context) {
	changed, cancel := n.book.Changes()
	defer cancel()
	tick := time.NewTicker(rosterLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
			// A command may have written into the folder while the node ran.
			if err := n.book.Reload(); err != nil {
				n.log.ErrorContext(ctx, "the roster's folder cannot be read", slog.Any("error", err))
			}
		}
		n.syncPeers()
	}
}

// sweepConnections closes open connections that would not be admitted any more.
func (n *Node) sweepConnections(ctx context.Context) {
	changed, cancel := n.book.Changes()
	defer cancel()
	n.connections.Run(ctx, changed, n.now, func(closed int) {
		n.log.InfoContext(ctx, "connections closed that are not trusted any more", slog.Int("closed", closed))
	})
}

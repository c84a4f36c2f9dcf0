package node

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/api"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/roster"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
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

// forgetInterval is how often asks past their time are forgotten.
const forgetInterval = time.Minute

func (n *Node) forgetAsks(ctx context.Context) {
	tick := time.NewTicker(forgetInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := n.store.ForgetAsks(ctx, n.now()); err != nil && ctx.Err() == nil {
			n.log.WarnContext(ctx, "old asks were not forgotten", slog.Any("error", err))
		}
	}
}

// fetchTimeout bounds the fetching of a newer roster.
const fetchTimeout = 10 * time.Second

// described learns from a peer's offer that it has a newer roster, and fetches it.
func (n *Node) described(b identity.Bureau, offer *queryv1.Offer) {
	if offer.GetRosterVersion() <= n.rosterVersion() {
		return
	}
	n.run(func() {
		ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
		defer cancel()
		if err := n.fetchRosters(ctx, b); err != nil {
			n.log.WarnContext(ctx, "a newer roster was announced and could not be taken over",
				slog.String("from", string(b)), slog.Any("error", err))
		}
	})
}

// fetchRosters takes over the rosters that follow the installed one. Where they come from does
// not matter: each is verified against the one before it.
func (n *Node) fetchRosters(ctx context.Context, from identity.Bureau) error {
	return n.pool.Do(ctx, from, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		resp, err := rosterv1.NewRosterServiceClient(conn).Get(ctx, &rosterv1.GetRequest{AfterVersion: n.rosterVersion()})
		if err != nil {
			return err
		}
		for _, signed := range resp.GetRosters() {
			if _, err := n.book.Install(signed, roster.InstallOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
}

// rosters serves the rosters that this node has installed to peers.
type rosters struct{ n *Node }

// History implements server.Rosters.
func (r rosters) History(after uint64) []*signedv1.Signed { return r.n.book.History(after) }

// Propose implements server.Rosters. The first roster is not taken from a peer: it is the
// operator's to compare and install.
func (r rosters) Propose(s *signedv1.Signed) (uint64, error) {
	if r.n.book.Current() == nil {
		return 0, fault.New(codes.FailedPrecondition, fault.NoRoster, "", "no roster is installed here: the first one is installed by the bureau's own operator")
	}
	view, err := r.n.book.Install(s, roster.InstallOptions{})
	if err != nil {
		return r.n.rosterVersion(), api.RosterFault(err)
	}
	return view.Version(), nil
}

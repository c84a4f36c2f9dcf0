package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/members"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// peerOf is the verified identity of a mesh call's caller.
func peerOf(ctx context.Context) (identity.Identity, error) {
	id, ok := mtls.FromContext(ctx)
	if !ok {
		return identity.Identity{}, errors.New("the call has no verified caller")
	}
	return id, nil
}

// offerer says what this bureau offers to another, from the policies in force. Working an offer
// out takes a decision for every purpose and every case that policies distinguish, so it is kept
// for as long as it cannot change.
type offerer struct {
	n *Node

	mu   sync.Mutex // guards kept
	kept map[identity.Bureau]keptOffer
}

type keptOffer struct {
	policies    string    // the version of the set that it follows from
	until       time.Time // zero: for as long as that set is in force
	collections []*queryv1.CollectionOffer
}

// Offer implements server.Offerer.
func (o *offerer) Offer(to identity.Bureau) *queryv1.Offer {
	return &queryv1.Offer{Collections: o.collections(to), RosterVersion: o.n.rosterVersion()}
}

func (o *offerer) collections(to identity.Bureau) []*queryv1.CollectionOffer {
	set, now := o.n.policy.Set(), o.n.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	k, ok := o.kept[to]
	if !ok || k.policies != set.Version() || !k.until.IsZero() && !now.Before(k.until) {
		k = keptOffer{policies: set.Version(), collections: set.Offers(o.n.cfg.Bureau, to, now)}
		if next, changes := set.NextChange(now); changes {
			k.until = next
		}
		o.kept[to] = k
	}
	offered := make([]*queryv1.CollectionOffer, 0, len(k.collections))
	for _, c := range k.collections {
		offered = append(offered, proto.CloneOf(c))
	}
	return offered
}

// Changes implements server.Offerer: the offer changes with the policies, with the roster, and
// at the moments that permits name.
func (o *offerer) Changes() (<-chan struct{}, func()) {
	policies, cancelPolicies := o.n.policy.Changes()
	rosters, cancelRosters := o.n.book.Changes()
	out := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		for {
			var timer *time.Timer
			var due <-chan time.Time
			now := o.n.now()
			if next, ok := o.n.policy.Set().NextChange(now); ok {
				timer = time.NewTimer(next.Sub(now))
				due = timer.C
			}
			select {
			case <-done:
			case <-policies:
			case <-rosters:
			case <-due:
			}
			if timer != nil {
				timer.Stop()
			}
			select {
			case <-done:
				return
			case out <- struct{}{}:
			default: // told already, and has not looked yet
			}
		}
	}()
	return out, func() {
		cancelPolicies()
		cancelRosters()
		close(done)
	}
}

// meshView is what screening knows of the other bureaus.
type meshView struct{ n *Node }

// Bureaus implements screening.Mesh. Bureaus that are distrusted, and all of them once the
// roster has expired, stay in the list: they cannot be asked, and a check that policy says
// concerns them is not complete without them.
func (m meshView) Bureaus() []identity.Bureau {
	view := m.n.book.Current()
	if view == nil {
		return nil
	}
	return slices.DeleteFunc(view.Bureaus(), func(b identity.Bureau) bool { return b == m.n.cfg.Bureau })
}

// RosterVersion implements screening.Mesh.
func (m meshView) RosterVersion() uint64 { return m.n.rosterVersion() }

// Offer implements screening.Mesh.
func (m meshView) Offer(b identity.Bureau) (*queryv1.Offer, bool) { return m.n.pool.Offer(b) }

// gossipConn is the connection that gossip runs on: the one that is there anyway.
func (n *Node) gossipConn(b identity.Bureau) (grpc.ClientConnInterface, bool) {
	conn, err := n.pool.Conn(b)
	return conn, err == nil
}

// gossipRoster are the bureaus that gossip may speak of.
func (n *Node) gossipRoster() []members.Member {
	view := n.book.Current()
	if view == nil || view.Expired(n.now()) {
		return nil
	}
	var all []members.Member
	for _, b := range view.Bureaus() {
		if _, _, distrusted := n.book.Distrusted(b); distrusted {
			continue
		}
		m, _ := view.Member(b)
		all = append(all, members.Member{Bureau: b, Address: m.Address})
	}
	return all
}

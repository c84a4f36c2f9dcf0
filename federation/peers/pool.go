// Package peers keeps one connection to every other bureau of the roster, knows of each whether
// it answers, what it offers and how its clock goes, and spares everybody else the wait for one
// that does not.
//
// It is not the source of who is a peer (the roster is, through Sync), of trust (the transport
// credentials are), or of rumours (federation/members is: all it may do here is Kick).
//
// One flow: Sync names ESP and its address. A goroutine of ESP's own dials it and opens
// QueryService.Describe; the first signed offer proves that the way there and back works, gives
// the clock skew, and makes ESP CONNECTED. An ask goes through Do over that connection. When ESP
// dies, the stream or the call breaks, ESP is UNREACHABLE from that moment, and every later Do
// returns at once; the goroutine dials again, after at most five seconds each time, and the next
// first offer makes ESP CONNECTED again.
package peers

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// OfferVerifier checks what a peer says it offers. pki/signing's Verifier is one.
type OfferVerifier interface {
	// Offer returns the offer if a message key of the bureau signed it, and it is well formed.
	Offer(signed *signedv1.Signed, from identity.Bureau) (*queryv1.Offer, error)
}

// Config is what a Pool needs.
type Config struct {
	// Self is the own bureau. It is never dialled.
	Self identity.Bureau
	// DialOptions returns the options that hold the transport credentials which admit that one
	// peer and nobody else.
	DialOptions func(peer identity.Bureau) []grpc.DialOption
	// Offers verifies the peers' offers.
	Offers OfferVerifier
	// RosterVersion is told to peers. Optional: 0 is told.
	RosterVersion func() uint64
	// Dial opens the network connection. Optional: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Described is called with every offer that was verified, from the peer's goroutine, so that
	// a newer roster can be fetched. It must not block. Optional.
	Described func(peer identity.Bureau, offer *queryv1.Offer)
	// Now is the clock. Optional: time.Now.
	Now func() time.Time
	// Logger. Optional: nothing is logged.
	Logger *slog.Logger
}

// Member is one bureau of the roster, as the pool has to treat it.
type Member struct {
	Bureau  identity.Bureau
	Address string // "host:port"
	// Distrusted bureaus are listed and never dialled.
	Distrusted bool
}

// Pool holds the peers.
type Pool struct {
	cfg  Config
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.RWMutex // guards peers and closed
	peers  map[identity.Bureau]*peer
	closed bool
}

// New returns a pool without peers; Sync fills it. It must be closed.
func New(cfg Config) (*Pool, error) {
	var missing []error
	if cfg.Self == "" {
		missing = append(missing, errors.New("peers: Config.Self is missing"))
	}
	if cfg.DialOptions == nil {
		missing = append(missing, errors.New("peers: Config.DialOptions is missing"))
	}
	if cfg.Offers == nil {
		missing = append(missing, errors.New("peers: Config.Offers is missing"))
	}
	if err := errors.Join(missing...); err != nil {
		return nil, err
	}
	if cfg.RosterVersion == nil {
		cfg.RosterVersion = func() uint64 { return 0 }
	}
	if cfg.Dial == nil {
		dialer := &net.Dialer{Timeout: probeTimeout}
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Pool{cfg: cfg, ctx: ctx, stop: stop, peers: make(map[identity.Bureau]*peer)}, nil
}

// Sync makes the pool's peers those of the roster: new ones are dialled, gone ones closed, moved
// ones dialled at their new address, distrusted ones cut. The own bureau is left out. Calls that
// are under way to a peer that goes are broken off.
func (p *Pool) Sync(members []Member) {
	wanted := make(map[identity.Bureau]Member, len(members))
	for _, m := range members {
		if m.Bureau != p.cfg.Self {
			wanted[m.Bureau] = m
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for bureau, old := range p.peers {
		m, stays := wanted[bureau]
		if stays && m == old.member {
			delete(wanted, bureau)
			continue
		}
		old.cut()
		delete(p.peers, bureau)
		if stays && !m.Distrusted {
			// Where it can be reached has changed, and not what it said of itself.
			wanted[bureau] = m
			p.peers[bureau] = newPeer(&p.cfg, m, old)
		}
	}
	for bureau, m := range wanted {
		if p.peers[bureau] == nil {
			p.peers[bureau] = newPeer(&p.cfg, m, nil)
		}
		started := p.peers[bureau]
		ctx, cancel := context.WithCancel(p.ctx)
		started.cancel = cancel
		if m.Distrusted {
			continue
		}
		p.wg.Go(func() { started.run(ctx) })
	}
}

// Close breaks off every call and closes every connection. It returns when no goroutine is left.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	for _, peer := range p.peers {
		peer.cut()
	}
	p.mu.Unlock()
	p.stop()
	p.wg.Wait()
}

// Kick has a peer that is not reachable tried now and not at the end of its pause: a hint that it
// may be back. Many hints make no more than a few attempts a second.
func (p *Pool) Kick(bureau identity.Bureau) {
	if peer := p.peer(bureau); peer != nil {
		peer.kickNow()
	}
}

// Ready waits until a first attempt to reach the peer has come to an end, and returns the peer's
// clock less ours. It returns at once for a peer that is known to be unreachable: the error is an
// *UnreachableError then, and ErrNotAPeer for a bureau that is not in the roster.
func (p *Pool) Ready(ctx context.Context, bureau identity.Bureau) (time.Duration, error) {
	peer := p.peer(bureau)
	if peer == nil {
		return 0, notAPeer(bureau)
	}
	s, err := peer.await(ctx)
	if err != nil {
		return 0, err
	}
	peer.release(s)
	return peer.skewNow(), nil
}

// Do makes a call to a peer, over its kept connection. call is made a second time, on a new
// connection, if the first one broke: it must be idempotent. A call that breaks or times out
// makes the peer unreachable at once for everybody; the pool finds out by itself when it is back.
// Errors are those of Ready and of call.
func (p *Pool) Do(ctx context.Context, bureau identity.Bureau, call func(context.Context, grpc.ClientConnInterface) error) error {
	peer := p.peer(bureau)
	if peer == nil {
		return notAPeer(bureau)
	}
	return peer.do(ctx, call)
}

// Conn returns the peer's connection for a stream that lives long and cares for itself, such as
// gossip. It fails at once if there is none now. The connection ends without notice.
func (p *Pool) Conn(bureau identity.Bureau) (grpc.ClientConnInterface, error) {
	peer := p.peer(bureau)
	if peer == nil {
		return nil, notAPeer(bureau)
	}
	return peer.connection()
}

// Remeasure has the peer's clock measured again, and waits for it. Something that was dated by
// the last measurement was refused.
func (p *Pool) Remeasure(ctx context.Context, bureau identity.Bureau) error {
	peer := p.peer(bureau)
	if peer == nil {
		return notAPeer(bureau)
	}
	return peer.remeasure(ctx)
}

// Offer returns what the peer offers to this bureau. It returns false if that is not known: the
// peer never said, or what it said has expired. An offer of nothing is known, and has no
// collections. The offer of a peer that has become unreachable stands until it expires: what a
// bureau is concerned with does not change because its line is cut.
func (p *Pool) Offer(bureau identity.Bureau) (*queryv1.Offer, bool) {
	peer := p.peer(bureau)
	if peer == nil {
		return nil, false
	}
	return peer.offerNow()
}

// Peers returns every bureau of the roster but the own one, as it is seen from here, sorted by
// id. What gossip, distrust and the own policy say of it is left empty.
func (p *Pool) Peers() []*adminv1.Peer {
	p.mu.RLock()
	all := make([]*peer, 0, len(p.peers))
	for _, peer := range p.peers {
		all = append(all, peer)
	}
	p.mu.RUnlock()
	seen := make([]*adminv1.Peer, len(all))
	for i, peer := range all {
		seen[i] = peer.snapshot()
	}
	slices.SortFunc(seen, func(a, b *adminv1.Peer) int { return cmp.Compare(a.GetBureau(), b.GetBureau()) })
	return seen
}

func (p *Pool) peer(bureau identity.Bureau) *peer {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.peers[bureau]
}

// Package node is one bureau's running node: it wires the parts of the house and decides
// nothing.
//
// It is not the parts: what may pass is decided in federation/policy and held in node/gate,
// what is found in node/match, who is believed in pki. It has two listeners, mesh for other
// bureaus and local for the own people, and no service is on both.
//
// One flow: Init makes a node's folder, LoadConfig reads it, New opens store, authority, roster
// and policies, Start serves, and Stop ends it in order: first nothing new comes in, then what
// is under way ends, then the store closes.
package node

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/members"
	"github.com/entente-mesh/entente/federation/peers"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/federation/witness"
	"github.com/entente-mesh/entente/node/alarms"
	"github.com/entente-mesh/entente/node/audit"
	"github.com/entente-mesh/entente/node/dualcontrol"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/limits"
	"github.com/entente-mesh/entente/node/metrics"
	"github.com/entente-mesh/entente/node/records"
	"github.com/entente-mesh/entente/node/register"
	"github.com/entente-mesh/entente/node/screening"
	"github.com/entente-mesh/entente/pki/authority"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	"github.com/entente-mesh/entente/pki/roster"
	"github.com/entente-mesh/entente/pki/signing"
)

// Options are what a node gets from outside its folder.
type Options struct {
	// Version is the program's, for status.
	Version string
	// Logger is where the node logs. Nil: nowhere.
	Logger *slog.Logger
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Fail is asked at each of the journal's points whether to fail there, for tests. Nil: never.
	Fail func(point string) error
	// Unbooked has the node keep no books of checks and asks, for measurements of what books cost.
	// No command sets it.
	Unbooked bool
	// Exchange is how often another bureau, in turn, is asked what it was shown of the others' logs,
	// for tests. 0: as federation/witness says. No command sets it.
	Exchange time.Duration
	// Budget is what one question from abroad may cost, for tests on a busy machine. Zero fields are
	// limits.DefaultBudget's. No command sets it.
	Budget limits.Budget
}

// Node is one bureau's node.
type Node struct {
	cfg    Config
	layout layout
	opts   Options
	log    *slog.Logger
	now    func() time.Time
	began  time.Time

	rest        *rest
	records     uint64 // held when the node was opened, as far as they were counted
	alarms      *alarms.Alarms
	limits      *limits.Limits
	register    *register.Register
	desk        *dualcontrol.Desk
	tree        *audit.Log
	witness     *witness.Witness
	metrics     *metrics.Metrics
	authority   *authority.Authority
	leaf        *mtls.Leaf
	book        *roster.Book
	rosters     *rosters
	signer      signer
	verifier    *signing.Verifier
	policy      *policy.Live
	gate        *gate.Gate
	importer    *records.Importer
	holdings    *screening.Holdings
	point       *screening.Point
	connections *mtls.Connections
	pool        *peers.Pool
	members     *members.Members // nil without gossip
	screening   *screening.Screening
	mesh        *server.Server
	local       *grpc.Server

	meshListener, localListener, metricsListener net.Listener // the last is nil without metrics

	background sync.WaitGroup
	end        context.CancelFunc // ends the background
	ending     <-chan struct{}    // closed when it is to end
	started    atomic.Bool
	stopOnce   sync.Once
	stopped    error
	failed     chan error // what ends the node: a listener, the books, the store; room for all of them
	ended      sync.Once  // the books have ended it
}

// New opens a node's folder and wires its parts, in the order in which they rest on each other.
// Nothing is served yet. Stop must be called whatever happens next.
func New(ctx context.Context, cfg Config, opts Options) (n *Node, err error) {
	n = &Node{cfg: cfg, layout: layout{cfg.Dir}, opts: opts, log: opts.Logger, now: opts.Now, failed: make(chan error, 8)}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if n.now == nil {
		n.now = time.Now
	}
	n.began = n.now()
	defer func() {
		if err != nil {
			err = errors.Join(err, n.closeParts())
			n = nil
		}
	}()
	for _, step := range []func(context.Context) error{
		n.newMetrics, n.openRest, n.checkSmallStore, n.openAlarms, n.openPKI, n.openPolicy, n.newGate, n.openPeople, n.loadHoldings, n.newPeers, n.openTree, n.newScreening,
		n.newMesh, n.newLocal,
	} {
		if err := step(ctx); err != nil {
			return n, err // the deferred function closes what is open
		}
	}
	return n, nil
}

func (n *Node) openRest(ctx context.Context) (err error) {
	n.rest, err = openRest(ctx, n.cfg, outside{now: n.now, log: n.log, fail: n.opts.Fail, version: n.opts.Version})
	if err != nil {
		return err
	}
	return n.closeOpenAsks(ctx)
}

func (n *Node) openPKI(ctx context.Context) error {
	ca, err := authority.Open(ctx, authority.Options{
		Dir: n.layout.authority(), Bureau: n.cfg.Bureau, Federation: n.cfg.Federation, Now: n.now, Logger: n.log,
	})
	if err != nil {
		return fmt.Errorf("certificate authority: %w", err)
	}
	n.authority = ca
	if n.leaf, err = mtls.LoadLeaf(n.layout.channel()); err != nil {
		return fmt.Errorf("node certificate: %w", err)
	}
	if n.signer, err = openSigner(ctx, n.cfg); err != nil {
		return err
	}
	if n.book, err = roster.OpenBook(n.layout.roster(), n.cfg.Federation, n.cfg.Bureau, n.now); err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	n.rosters = newRosters(n.book, n.log)
	n.verifier = signing.NewVerifier(n.cfg.Federation, n.book, n.now)
	n.connections = &mtls.Connections{}
	// A node that was off for longer than its leaf's life helps itself before it serves.
	if !n.now().Before(n.leaf.X509().NotAfter) {
		if err := n.renewer().Renew(ctx); err != nil {
			return err
		}
	}
	return n.believable()
}

func (n *Node) renewer() *mtls.Renewer {
	return &mtls.Renewer{
		Leaf:     n.leaf,
		Identity: identity.Node(n.cfg.Federation, n.cfg.Bureau, n.cfg.Replica),
		Issue: func(ctx context.Context, csr []byte) ([]*x509.Certificate, error) {
			return n.authority.IssueNode(ctx, n.cfg.Replica, csr)
		},
		Dir:    n.layout.channel(),
		Now:    n.now,
		Logger: n.log,
	}
}

func (n *Node) loadHoldings(ctx context.Context) error {
	n.holdings = screening.NewHoldings(n.cfg.Bureau, n.rest.store, n.now, n.log)
	n.holdings.SaveIn(n.rest.index, n.rest.store)
	fitter, err := records.NewFitter(n.cfg.Bureau)
	if err != nil {
		return err
	}
	n.importer = &records.Importer{Store: n.rest.store, Fitter: fitter, IDKey: n.rest.secrets.ids, Written: n.holdings.Poke, Visible: n.holdings.Visible}
	if n.point, err = screening.OpenPoint(ctx, n.holdings, n.rest.store); err != nil {
		return err
	}
	return n.holdings.Load(ctx)
}

func (n *Node) newPeers(context.Context) error {
	pool, err := peers.New(peers.Config{
		Self: n.cfg.Bureau,
		DialOptions: func(b identity.Bureau) []grpc.DialOption {
			return mtls.MeshClient(n.leaf, n.book, b, n.tlsOptions()).DialOptions()
		},
		Offers:        n.verifier,
		RosterVersion: n.rosterVersion,
		Described:     n.described,
		Now:           n.now,
		Logger:        n.log,
	})
	if err != nil {
		return err
	}
	n.pool = pool
	if !n.cfg.Gossip {
		return nil
	}
	n.members, err = members.New(members.Config{
		Self:          n.cfg.Bureau,
		Replica:       n.cfg.Replica,
		Federation:    n.cfg.Federation,
		Advertise:     n.cfg.Advertise,
		Conn:          n.gossipConn,
		Roster:        n.gossipRoster,
		Sign:          n.signer.MemberMeta,
		Verify:        n.verifier.MemberMeta,
		PeerOf:        peerOf,
		RosterVersion: n.rosterVersion,
		OnAlive:       n.pool.Kick,
		Now:           n.now,
		Logger:        n.log,
	})
	return err
}

func (n *Node) newScreening(context.Context) error {
	asker, err := ask.New(ask.Config{
		Self:     n.cfg.Bureau,
		Peers:    n.pool,
		Signer:   n.signer,
		Witness:  n.witness,
		PerPeer:  n.cfg.AskTimeout,
		Verifier: n.verifier,
		Now:      n.now,
		Logger:   n.log,
	})
	if err != nil {
		return err
	}
	n.screening = screening.New(screening.Config{
		Self: n.cfg.Bureau, Gate: n.gate, Holdings: n.holdings, Asker: countedAsks{asker, n}, Mesh: meshView{n}, Officers: n.register,
		Patience: n.cfg.AskTimeout, MaxCandidates: n.cfg.MaxCandidates, Now: n.now, Logger: n.log,
	})
	return nil
}

func (n *Node) newMesh(context.Context) error {
	extra := func(to grpc.ServiceRegistrar) {
		n.witness.Register(to)
		if n.members != nil {
			n.members.Register(to)
		}
	}
	srv, err := server.New(server.Config{
		Self:      n.cfg.Bureau,
		Creds:     mtls.MeshServer(n.leaf, n.book, n.tlsOptions()),
		Admission: server.Admission{Unary: mtls.UnaryServerInterceptor(), Stream: mtls.StreamServerInterceptor()},
		Identity:  peerOf,
		Verifier:  n.verifier,
		Signer:    n.signer,
		Answerer:  countedAnswers{n.gate.Answering(n.holdings), n},
		Offerer:   &offerer{n: n, kept: map[identity.Bureau]keptOffer{}},
		Memory:    n.rest.journal,
		Rosters:   n.rosters,
		Limiter:   n.limits,
		Witness:   n.witness,
		Extra:     extra,
		Now:       n.now,
		MaxSkew:   n.cfg.ClockSkew,
		Logger:    n.log,
	})
	n.mesh = srv
	return err
}

func (n *Node) tlsOptions() mtls.Options {
	return mtls.Options{Connections: n.connections, Now: n.now, Logger: n.log}
}

func (n *Node) rosterVersion() uint64 { return n.rosters.version() }

// Start binds both listeners and serves. It returns when calls are accepted. A node is started
// once.
func (n *Node) Start(ctx context.Context) error {
	if n.started.Swap(true) {
		return errors.New("node: started twice, or after Stop: make a new one")
	}
	if err := n.beginBooks(ctx); err != nil {
		return err
	}
	var err error
	if n.meshListener, err = net.Listen("tcp", n.cfg.MeshListen); err != nil {
		return fmt.Errorf("mesh_listen %s: %w", n.cfg.MeshListen, err)
	}
	if n.localListener, err = net.Listen("tcp", n.cfg.LocalListen); err != nil {
		return fmt.Errorf("local_listen %s: %w", n.cfg.LocalListen, err)
	}
	// The background must outlive the caller's context: Stop ends it, in order.
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	n.end, n.ending = end, background.Done()
	n.syncPeers()
	n.run(func() { _ = n.renewer().Run(background) })
	n.run(func() { n.followRoster(background) })
	n.run(func() { n.sweepConnections(background) })
	n.run(func() { n.holdings.Follow(background) })
	n.run(func() { n.holdings.Upkeep(background) })
	n.run(func() { n.point.Follow(background) })
	n.runBooks(background)
	if err := n.serveMetrics(background); err != nil {
		return fmt.Errorf("metrics_listen %s: %w", n.cfg.MetricsListen, err)
	}
	if n.members != nil {
		if err := n.members.Start(background); err != nil {
			return fmt.Errorf("gossip: %w", err)
		}
	}
	n.run(func() { n.serve(n.mesh.Serve, n.meshListener, "mesh") })
	n.run(func() { n.serve(n.local.Serve, n.localListener, "local") })
	n.log.InfoContext(ctx, "node started", slog.String("bureau", string(n.cfg.Bureau)),
		slog.String("mesh", n.cfg.MeshListen), slog.String("local", n.cfg.LocalListen), slog.Uint64("roster", n.rosterVersion()))
	return nil
}

// run does something in the background. A bug in it costs that work and not the node.
func (n *Node) run(f func()) {
	n.background.Go(func() {
		defer func() {
			if recover() != nil { // not its value: it may hold what was asked
				n.log.Error("a background task failed", slog.String("stack", string(debug.Stack())))
			}
		}()
		f()
	})
}

func (n *Node) serve(serve func(net.Listener) error, l net.Listener, name string) {
	if err := serve(l); err != nil {
		n.failed <- fmt.Errorf("%s listener: %w", name, err)
	}
}

// Wait waits until ctx ends or a listener fails, and stops the node.
func (n *Node) Wait(ctx context.Context) error {
	var err error
	select {
	case <-ctx.Done():
	case err = <-n.failed:
	}
	return errors.Join(err, n.Stop())
}

// stopPatience is how long calls under way may take to end when the node stops.
const stopPatience = 5 * time.Second

// Stop ends the node in order: nothing new comes in, what is under way ends or is cut after
// five seconds, the background ends, the parts close. It may be called again.
func (n *Node) Stop() error {
	n.stopOnce.Do(func() {
		n.started.Store(true) // not any more
		ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
		defer cancel()
		var wait sync.WaitGroup
		if n.local != nil {
			wait.Go(func() { stopGracefully(ctx, n.local) })
		}
		if n.members != nil {
			// Gossip streams end with gossip; the mesh listener waits for its streams.
			wait.Go(n.members.Stop)
		}
		if n.mesh != nil {
			wait.Go(func() { n.mesh.Stop(ctx) })
		}
		wait.Wait()
		if n.end != nil {
			n.end()
		}
		n.stopped = n.closeParts()
	})
	return n.stopped
}

// stopGracefully lets calls under way end until ctx does.
func stopGracefully(ctx context.Context, s *grpc.Server) {
	done := make(chan struct{})
	go func() {
		s.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.Stop()
		<-done
	}
}

// closeParts closes what New opened, last first.
func (n *Node) closeParts() error {
	if n.pool != nil {
		n.pool.Close()
	}
	n.background.Wait()
	n.saveIndex()
	var errs []error
	for _, l := range []net.Listener{n.meshListener, n.localListener, n.metricsListener} {
		if l != nil {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if n.authority != nil {
		errs = append(errs, n.authority.Close())
	}
	errs = append(errs, n.closeBooks())
	return errors.Join(errs...)
}

// saveIndex saves the index of persons, so that the next start is quick. Without it that takes longer,
// and nothing else.
func (n *Node) saveIndex() {
	if n.end == nil {
		return // it has not served
	}
	if err := n.holdings.Save(context.Background()); err != nil {
		n.log.Warn("the index of persons is not saved: the next start reads all records", slog.Any("error", err))
	}
}

// Config is the node's configuration.
func (n *Node) Config() Config { return n.cfg }

// syncPeers tells the pool who is in the roster now.
func (n *Node) syncPeers() {
	var wanted []peers.Member
	if view := n.book.Current(); view != nil && !view.Expired(n.now()) {
		for _, b := range view.Bureaus() {
			m, _ := view.Member(b)
			_, _, distrusted := n.book.Distrusted(b)
			wanted = append(wanted, peers.Member{Bureau: b, Address: m.Address, Distrusted: distrusted})
		}
	}
	wanted = slices.DeleteFunc(wanted, func(m peers.Member) bool { return m.Bureau == n.cfg.Bureau })
	n.pool.Sync(wanted)
}

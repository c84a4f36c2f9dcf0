// Package members says who seems to be alive: HashiCorp's memberlist, carried as frames of
// GossipService over the connections between peers that are there anyway. It opens no socket and
// sends no UDP.
//
// Nothing but hints comes of it. It is not the list of members (the roster is), it moves no
// address (messages are routed by name to the connection that the roster gives), and it stops no
// delivery: whoever it calls dead is still dialled. memberlist does not withstand a member that
// lies; docs/decisions/gossip-is-a-hint.md says what is verified all the same, and why.
//
// One flow: BEL/1 starts, and joins each bureau of the roster to which it has a connection. ESP
// receives the frame, knows from the certificate that it came from BEL/1, and inspects it before
// memberlist sees it: who says he is another is dropped, and what is said of deaths is counted.
// memberlist asks NotifyAlive about BEL/1, which verifies what BEL has signed about itself. ESP's
// OnAlive is called, a nudge to try BEL's connection now instead of later. Some hours on, BEL
// answers nobody: Hint says "suspect", then "dead", in the list of peers and nowhere else.
package members

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/pki/identity"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
)

// Member is one bureau of the roster.
type Member struct {
	Bureau  identity.Bureau
	Address string // "host:port"
}

// Intervals are the paces of gossip. A zero field takes its default, which is meant for peers on
// other continents: a hint may be some seconds late, and must not flap.
type Intervals struct {
	// Probe is how often one member is asked for a sign of life. Default: 2 s.
	Probe time.Duration
	// ProbeTimeout is how long it may take before others are asked to try. Default: 1 s.
	ProbeTimeout time.Duration
	// Gossip is how often news is passed on. Default: 500 ms.
	Gossip time.Duration
	// PushPull is how often everything is compared with one member. Default: 30 s.
	PushPull time.Duration
	// Rejoin is how often those who are missing are joined again. Default: 30 s.
	Rejoin time.Duration
	// Exchange bounds one comparison. Default: 10 s.
	Exchange time.Duration
	// Dead is how long the dead are still told the news, so that they can refute; after it they
	// are forgotten. Default: 60 s.
	Dead time.Duration
}

func (i Intervals) withDefaults() Intervals {
	or := func(d *time.Duration, byDefault time.Duration) {
		if *d <= 0 {
			*d = byDefault
		}
	}
	or(&i.Probe, 2*time.Second)
	or(&i.ProbeTimeout, time.Second)
	or(&i.Gossip, 500*time.Millisecond)
	or(&i.PushPull, 30*time.Second)
	or(&i.Rejoin, 30*time.Second)
	or(&i.Exchange, 10*time.Second)
	or(&i.Dead, time.Minute)
	return i
}

// Config is what Members needs.
type Config struct {
	// Self is the own bureau.
	Self identity.Bureau
	// Replica is the own replica, as in the node's certificate.
	Replica string
	// Federation is the federation's name: frames of another are dropped.
	Federation identity.Federation
	// Advertise is the own address as the roster has it. Others refuse a statement that names
	// another.
	Advertise string
	// Conn returns the connection to a bureau; false if there is none, or none is wanted.
	Conn func(b identity.Bureau) (grpc.ClientConnInterface, bool)
	// Roster returns the bureaus of the roster installed.
	Roster func() []Member
	// RosterVersion returns its version; 0: none.
	RosterVersion func() uint64
	// Sign signs what this replica says of itself.
	Sign func(*gossipv1.MemberMeta) (*gossipv1.SignedMeta, error)
	// Verify returns what a bureau says of itself, if it has signed it.
	Verify func(*gossipv1.SignedMeta, identity.Bureau) (*gossipv1.MemberMeta, error)
	// PeerOf returns who stands behind a call.
	PeerOf func(ctx context.Context) (identity.Identity, error)
	// OnAlive is called, from a goroutine of its own, when a bureau that was not alive becomes
	// so. It must not block: Stop waits for it. Optional.
	OnAlive func(b identity.Bureau)
	// Intervals are the paces. Optional.
	Intervals Intervals
	// Now is the clock of statements. Optional: time.Now. Probes run on the machine's own.
	Now func() time.Time
	// Logger. Optional: nothing is logged.
	Logger *slog.Logger
}

func (c *Config) check() error {
	var errs []error
	for field, missing := range map[string]bool{
		"Conn": c.Conn == nil, "Roster": c.Roster == nil, "RosterVersion": c.RosterVersion == nil,
		"Sign": c.Sign == nil, "Verify": c.Verify == nil, "PeerOf": c.PeerOf == nil,
	} {
		if missing {
			errs = append(errs, fmt.Errorf("members: Config.%s is missing", field))
		}
	}
	if err := identity.Node(c.Federation, c.Self, c.Replica).Validate(); err != nil {
		errs = append(errs, fmt.Errorf("members: %w", err))
	}
	if name := nodeName(c.Self, c.Replica); len(name) > maxName {
		errs = append(errs, fmt.Errorf("members: Config.Replica: the name %s has %d bytes, at most %d: give the replica a shorter name", name, len(name), maxName))
	}
	if _, _, err := net.SplitHostPort(c.Advertise); err != nil {
		errs = append(errs, fmt.Errorf("members: Config.Advertise %q: give host:port as in the roster: %w", c.Advertise, err))
	}
	return errors.Join(errs...)
}

// Members is the gossip of one replica.
type Members struct {
	cfg      Config
	name     string
	roster   *directory
	watch    *watch
	said     *statements
	living   *living
	carrier  *carrier
	nudge    chan struct{} // buffered 1: join who is missing now
	stopping chan struct{} // closed by Stop
	stopOnce sync.Once
	wg       sync.WaitGroup

	list *memberlist.Memberlist // set by Start, never changed

	mu      sync.Mutex // guards what follows; held by Start
	started bool
	stopped bool
	hints   map[identity.Bureau]string
	hintsAt time.Time
}

// New checks the configuration, and that a statement can be signed and fits.
func New(cfg Config) (*Members, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.Intervals = cfg.Intervals.withDefaults()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Members{
		cfg:      cfg,
		name:     nodeName(cfg.Self, cfg.Replica),
		roster:   &directory{list: cfg.Roster, version: cfg.RosterVersion, now: cfg.Now},
		living:   newLiving(cfg.Self, cfg.OnAlive),
		nudge:    make(chan struct{}, 1),
		stopping: make(chan struct{}),
	}
	m.watch = newWatch(cfg.Logger, cfg.Now, m.roster.size)
	m.said = newStatements(cfg, m.name, m.roster, m.watch, m.living)
	m.carrier = newCarrier(cfg, m.name, m.roster, m.watch)
	if _, err := m.said.renew(); err != nil {
		return nil, err
	}
	return m, nil
}

// Register registers GossipService on the mesh listener. Until Start it answers UNAVAILABLE.
func (m *Members) Register(r grpc.ServiceRegistrar) {
	gossipv1.RegisterGossipServiceServer(r, &service{members: m})
}

// Start starts to gossip, until ctx ends or Stop is called. It needs nobody: whoever is missing
// is joined in the background.
func (m *Members) Start(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.started || m.stopped {
		return errors.New("members: started twice, or after Stop: make a new one")
	}
	list, err := memberlist.Create(m.libraryConfig())
	if err != nil {
		return fmt.Errorf("members: start gossip: %w", err)
	}
	m.list, m.started = list, true
	close(m.carrier.running)
	m.wg.Go(func() { m.living.run(m.stopping) })
	m.wg.Go(func() { m.keep(ctx) })
	context.AfterFunc(ctx, m.Stop)
	return nil
}

// leaveTimeout bounds how long Stop waits for somebody to hear that this replica leaves.
const leaveTimeout = time.Second

// Stop tells the others that this replica leaves, ends every gossip stream, and returns when its
// goroutines have ended. It goes before the graceful stop of the listener, which waits for the
// streams. It may be called more than once.
func (m *Members) Stop() {
	m.stopOnce.Do(func() { // whoever comes second waits for the first
		m.mu.Lock()
		m.stopped = true
		m.mu.Unlock()
		if m.list != nil {
			if err := m.list.Leave(leaveTimeout); err != nil {
				m.cfg.Logger.Debug("gossip: nobody heard that this node leaves", "error", err)
			}
			close(m.stopping)
			if err := m.list.Shutdown(); err != nil {
				m.cfg.Logger.Warn("gossip: shut down", "error", err)
			}
		}
		m.carrier.close()
		m.wg.Wait()
		m.carrier.wait()
	})
}

// libraryConfig is memberlist's configuration. What is not set here has the library's value for
// wide-area networks.
func (m *Members) libraryConfig() *memberlist.Config {
	pace := m.cfg.Intervals
	c := memberlist.DefaultWANConfig()
	c.Name = m.name
	c.Label = string(m.cfg.Federation)
	c.Transport = m.carrier
	c.RequireNodeNames = true // every message is routed by name
	c.BindPort, c.AdvertisePort = gossipPort, gossipPort
	c.ProtocolVersion = memberlist.ProtocolVersion2Compatible
	c.EnableCompression = false // the inspector reads what passes; streams are small
	c.UDPBufferSize = packetSize
	c.Delegate, c.Alive, c.Events = m.said, m.said, m.living
	c.ProbeInterval, c.ProbeTimeout = pace.Probe, pace.ProbeTimeout
	c.GossipInterval, c.PushPullInterval = pace.Gossip, pace.PushPull
	c.TCPTimeout, c.GossipToTheDeadTime = pace.Exchange, pace.Dead
	c.SuspicionMult = 4 // of probe intervals, times log10 of the members
	c.Logger = libraryLogger(m.cfg.Logger)
	return c
}

// RosterVersion is the roster version that a bureau's newest verified statement names; 0 if it
// has said nothing. A hint that there may be a newer roster to fetch.
func (m *Members) RosterVersion(b identity.Bureau) uint64 { return m.said.rosterVersion(b) }

// Stats counts what was refused, and the dead messages that each peer has sent.
func (m *Members) Stats() Stats { return m.watch.stats() }

// Kick says that a connection has come up, so that its bureau is joined now and not at the next
// turn. It does not block.
func (m *Members) Kick() {
	select {
	case m.nudge <- struct{}{}:
	default:
	}
}

// unmarshalSigned reads a signed statement; proto.Unmarshal is bounded by the library's limit on
// what a member may say of itself.
func unmarshalSigned(b []byte) (*gossipv1.SignedMeta, error) {
	signed := &gossipv1.SignedMeta{}
	if err := proto.Unmarshal(b, signed); err != nil {
		return nil, errors.New("the statement cannot be read")
	}
	return signed, nil
}

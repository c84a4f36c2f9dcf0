package members

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
)

const (
	demo identity.Federation = "demo.entente"

	bel identity.Bureau = "BEL"
	esp identity.Bureau = "ESP"
	lbn identity.Bureau = "LBN"
	bgr identity.Bureau = "BGR" // not in the roster, unless a test says so
)

// paces are fast, and slow enough for a machine that does other things as well.
var paces = Intervals{
	Probe: 250 * time.Millisecond, ProbeTimeout: 150 * time.Millisecond, Gossip: 20 * time.Millisecond,
	PushPull: 250 * time.Millisecond, Rejoin: 100 * time.Millisecond, Exchange: 5 * time.Second, Dead: time.Second,
}

// mesh is a federation in one process: each bureau has a listener in memory, and dials the others
// over connections that a test can cut. Who calls stands in the call's metadata, as in a real
// mesh it stands in the certificate.
type mesh struct {
	t *testing.T

	mu      sync.Mutex
	version uint64
	roster  []Member
	keys    map[identity.Bureau]signing.PublicKey
	nodes   map[identity.Bureau]*node
	cut     map[identity.Bureau]bool
	open    map[net.Conn][2]identity.Bureau
}

type node struct {
	mesh    *mesh
	bureau  identity.Bureau
	signer  *signing.Signer
	server  *grpc.Server
	lis     *bufconn.Listener
	conns   map[identity.Bureau]*grpc.ClientConn // guarded by mesh.mu
	members *Members
	risen   map[identity.Bureau]int // guarded by mesh.mu
	log     *lines
}

const callerKey = "caller"

func newMesh(t *testing.T, bureaus ...identity.Bureau) *mesh {
	t.Helper()
	// The library does not wait for a probe that is under way when it is shut down.
	t.Cleanup(func() { eventually(t, "no goroutine is left", func() bool { return goleak.Find() == nil }) })
	m := &mesh{t: t, version: 1, keys: make(map[identity.Bureau]signing.PublicKey),
		nodes: make(map[identity.Bureau]*node), cut: make(map[identity.Bureau]bool), open: make(map[net.Conn][2]identity.Bureau)}
	t.Cleanup(m.close)
	for _, b := range bureaus {
		m.roster = append(m.roster, Member{Bureau: b, Address: addressOf(b)})
		m.add(b)
	}
	return m
}

func addressOf(b identity.Bureau) string { return strings.ToLower(string(b)) + ".demo.entente:7443" }

// add makes a bureau's node, with a listener and without gossip.
func (m *mesh) add(b identity.Bureau) *node {
	m.t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	n := &node{mesh: m, bureau: b, signer: signing.NewSigner(demo, b, private), lis: bufconn.Listen(1 << 20),
		server: grpc.NewServer(), conns: make(map[identity.Bureau]*grpc.ClientConn),
		risen: make(map[identity.Bureau]int), log: &lines{}}
	n.members = m.gossip(n)
	n.members.Register(n.server)
	go func() { _ = n.server.Serve(n.lis) }()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys[b] = n.signer.PublicKey()
	m.nodes[b] = n
	return n
}

func (m *mesh) gossip(n *node) *Members {
	m.t.Helper()
	g, err := New(m.config(n))
	if err != nil {
		m.t.Fatal(err)
	}
	return g
}

func (m *mesh) config(n *node) Config {
	return Config{
		Self: n.bureau, Replica: "1", Federation: demo, Advertise: addressOf(n.bureau), Intervals: paces,
		Conn: func(b identity.Bureau) (grpc.ClientConnInterface, bool) { return m.conn(n, b) },
		Roster: func() []Member {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.roster
		},
		RosterVersion: func() uint64 {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.version
		},
		Sign: func(meta *gossipv1.MemberMeta) (*gossipv1.SignedMeta, error) { return n.signer.MemberMeta(meta) },
		Verify: func(s *gossipv1.SignedMeta, b identity.Bureau) (*gossipv1.MemberMeta, error) {
			return signing.NewVerifier(demo, m, time.Now).MemberMeta(s, b)
		},
		PeerOf: callerOf,
		OnAlive: func(b identity.Bureau) {
			m.mu.Lock()
			defer m.mu.Unlock()
			n.risen[b]++
		},
		Logger: slog.New(slog.NewTextHandler(n.log, nil)),
	}
}

// Key makes the mesh the keys of its roster.
func (m *mesh) Key(b identity.Bureau, keyID string, usage rosterv1.KeyUsage, _ time.Time) (signing.PublicKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key, ok := m.keys[b]
	if !ok || usage != key.Usage || !strings.HasPrefix(key.ID(), keyID) {
		return signing.PublicKey{}, errors.New("no such key in the roster")
	}
	return key, nil
}

// callerOf reads what identify wrote.
func callerOf(ctx context.Context) (identity.Identity, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if len(md[callerKey]) != 1 {
		return identity.Identity{}, errors.New("nobody stands behind the call")
	}
	return identity.Parse(md[callerKey][0], demo)
}

// conn is the kept connection of a node to a bureau.
func (m *mesh) conn(n *node, to identity.Bureau) (grpc.ClientConnInterface, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nodes[to] == nil {
		return nil, false
	}
	if n.conns[to] == nil {
		n.conns[to] = m.dial(n.bureau, to, identity.Node(demo, n.bureau, "1").String())
	}
	return n.conns[to], true
}

// dial opens a connection on which every call is one of caller's.
func (m *mesh) dial(from, to identity.Bureau, caller string) *grpc.ClientConn {
	m.t.Helper()
	identify := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		if caller != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, callerKey, caller)
		}
		return streamer(ctx, desc, cc, method, opts...)
	}
	cc, err := grpc.NewClient("passthrough:///"+string(to),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStreamInterceptor(identify),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.2, MaxDelay: 100 * time.Millisecond}, MinConnectTimeout: time.Second}),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			m.mu.Lock()
			refused := m.cut[from] || m.cut[to]
			lis := m.nodes[to].lis
			m.mu.Unlock()
			if refused {
				return nil, errors.New("the line is cut")
			}
			c, err := lis.DialContext(ctx)
			if err == nil {
				m.mu.Lock()
				m.open[c] = [2]identity.Bureau{from, to}
				m.mu.Unlock()
			}
			return c, err
		}))
	if err != nil {
		m.t.Fatal(err)
	}
	return cc
}

// isolate cuts every line from and to a bureau; heal mends them.
func (m *mesh) isolate(b identity.Bureau) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut[b] = true
	for c, ends := range m.open {
		if ends[0] == b || ends[1] == b {
			_ = c.Close()
			delete(m.open, c)
		}
	}
}

func (m *mesh) heal(b identity.Bureau) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.cut, b)
}

// install gives the mesh its next roster.
func (m *mesh) install(change func(roster []Member) []Member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roster = change(append([]Member(nil), m.roster...))
	m.version++
}

func (m *mesh) start(bureaus ...identity.Bureau) {
	m.t.Helper()
	for _, b := range bureaus {
		if err := m.nodes[b].members.Start(m.t.Context()); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *mesh) close() {
	for _, n := range m.nodes {
		n.members.Stop()
	}
	for _, n := range m.nodes {
		for _, cc := range n.conns {
			_ = cc.Close()
		}
		n.server.Stop()
		_ = n.lis.Close()
	}
}

// eventually waits for a condition. The limit is for a machine that hangs, not for a slow one.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	watchdog := time.NewTimer(time.Minute)
	defer watchdog.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-watchdog.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (n *node) sees(b identity.Bureau, hint string) {
	n.mesh.t.Helper()
	eventually(n.mesh.t, fmt.Sprintf("%s sees %s as %q", n.bureau, b, hint), func() bool { return n.members.Hint(b) == hint })
}

// rises is how often a bureau has become alive for a node.
func (n *node) rises(b identity.Bureau) int {
	n.mesh.mu.Lock()
	defer n.mesh.mu.Unlock()
	return n.risen[b]
}

// hears waits until a bureau has become alive for a node more often than before.
func (n *node) hears(b identity.Bureau, before int) {
	n.mesh.t.Helper()
	eventually(n.mesh.t, fmt.Sprintf("%s hears that %s is alive", n.bureau, b), func() bool { return n.rises(b) > before })
}

// counts waits until a node has refused something for a cause, once more than before.
func (n *node) counts(cause Cause, before Stats) {
	n.mesh.t.Helper()
	eventually(n.mesh.t, fmt.Sprintf("%s refuses for %s", n.bureau, cause), func() bool {
		return n.members.Stats().Refused[cause] > before.Refused[cause]
	})
}

// liar speaks GossipService by hand, under a certificate of its own.
type liar struct {
	mesh   *mesh
	cc     *grpc.ClientConn
	stream gossipv1.GossipService_GossipClient
}

// lie opens a stream to a node as some caller: "LBN/1", or a whole SPIFFE ID, or nobody.
func (m *mesh) lie(caller string, to identity.Bureau) *liar {
	m.t.Helper()
	if b, replica, err := parseName(caller, demo); err == nil {
		caller = identity.Node(demo, b, replica).String()
	}
	l := &liar{mesh: m, cc: m.dial("", to, caller)}
	m.t.Cleanup(func() { _ = l.cc.Close() })
	stream, err := gossipv1.NewGossipServiceClient(l.cc).Gossip(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	l.stream = stream
	return l
}

func (l *liar) send(kind gossipv1.GossipKind, b []byte) {
	l.mesh.t.Helper()
	// io.EOF means that the node has ended the stream; refusal says why.
	if err := l.stream.Send(&gossipv1.GossipRequest{Kind: kind, Data: b}); err != nil && !errors.Is(err, io.EOF) {
		l.mesh.t.Fatal(err)
	}
}

// refusal is the error with which the node ends the stream.
func (l *liar) refusal() error {
	for {
		if _, err := l.stream.Recv(); err != nil {
			return err
		}
	}
}

func label(b []byte) []byte {
	return append(append([]byte{byte(kindLabel), byte(len(demo))}, demo...), b...)
}

func message(t testing.TB, kind messageKind, body any) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteByte(byte(kind))
	if err := codec.NewEncoder(&b, &codec.MsgpackHandle{}).Encode(body); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// lines is a log that a test can read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

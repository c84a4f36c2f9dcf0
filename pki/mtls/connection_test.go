package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/entente-mesh/entente/pki/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listener is a node's end: a gRPC server over memory, with this package's credentials and
// interceptors, that counts the calls that reach it and remembers who made the last.
type listener struct {
	memory *bufconn.Listener
	calls  atomic.Int64
	caller atomic.Pointer[identity.Identity]
}

func listen(t *testing.T, c *Credentials) *listener {
	t.Helper()
	l := &listener{memory: bufconn.Listen(1 << 16)}
	var options []grpc.ServerOption
	if c != nil {
		options = append(options, grpc.Creds(c))
	}
	server := grpc.NewServer(append(options,
		grpc.ChainUnaryInterceptor(UnaryServerInterceptor(), func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			l.calls.Add(1)
			if id, ok := FromContext(ctx); ok {
				l.caller.Store(&id)
			}
			return next(ctx, req)
		}),
		grpc.ChainStreamInterceptor(StreamServerInterceptor(), func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			l.calls.Add(1)
			if id, ok := FromContext(s.Context()); ok {
				l.caller.Store(&id)
			}
			return next(srv, s)
		}),
	)...)
	healthpb.RegisterHealthServer(server, health.NewServer())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l.memory)
	}()
	t.Cleanup(func() { server.Stop(); <-done })
	return l
}

func (l *listener) dial(t *testing.T, options ...grpc.DialOption) healthpb.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///node.esp.example:7443", append(options,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.memory.DialContext(ctx) }))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return healthpb.NewHealthClient(conn)
}

func call(t *testing.T, c healthpb.HealthClient, options ...grpc.CallOption) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := c.Check(ctx, &healthpb.HealthCheckRequest{}, options...)
	return err
}

// scene is BEL and ESP in one roster, each with its book and its register, BEL dialling ESP.
type scene struct {
	bel, esp         *country
	belBook, espBook *book
	belConns         Connections
	espConns         Connections
	now              *clock
	esps             *listener
	bels             healthpb.HealthClient
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{bel: newCountry(t, "BEL"), esp: newCountry(t, "ESP"), now: newClock()}
	s.belBook, s.espBook = newBook(s.bel, s.esp), newBook(s.bel, s.esp)
	s.esps = listen(t, MeshServer(s.esp.node(t).leaf(t), s.espBook, Options{Now: s.now.Now, Connections: &s.espConns}))
	s.bels = s.esps.dial(t, MeshClient(s.bel.node(t).leaf(t), s.belBook, "ESP", Options{Now: s.now.Now, Connections: &s.belConns}).DialOptions()...)
	if err := call(t, s.bels); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTwoNodesSpeak(t *testing.T) {
	s := newScene(t)
	var p peer.Peer
	if err := call(t, s.bels, grpc.Peer(&p)); err != nil {
		t.Fatal(err)
	}
	if id, ok := PeerOf(&p); !ok || id.String() != "spiffe://esp.demo.entente/node/1" {
		t.Errorf("BEL spoke to %v, %v", id, ok)
	}
	if id := s.esps.caller.Load(); id == nil || id.String() != "spiffe://bel.demo.entente/node/1" {
		t.Errorf("ESP heard %v", id)
	}
	info, ok := p.AuthInfo.(AuthInfo)
	if !ok {
		t.Fatalf("AuthInfo is %T", p.AuthInfo)
	}
	if st := info.State; st.Version != tls.VersionTLS13 || st.DidResume || st.NegotiatedProtocol != "h2" {
		t.Errorf("connection: %x resumed %v %q", st.Version, st.DidResume, st.NegotiatedProtocol)
	}
	if info.State.CurveID != tls.X25519MLKEM768 {
		t.Errorf("key exchange %v, expected the post-quantum hybrid", info.State.CurveID)
	}
	if n, m := len(s.belConns.List()), len(s.espConns.List()); n != 1 || m != 1 {
		t.Errorf("%d and %d connections in the registers", n, m)
	}
	if got := s.espConns.List()[0].Identity.Bureau; got != "BEL" {
		t.Errorf("ESP's register names %s", got)
	}
}

func TestAnOfficerSpeaksToItsNode(t *testing.T) {
	bel := newCountry(t, "BEL")
	own := Own(demo, "BEL", bel.pool())
	o := Options{Now: newClock().Now}
	l := listen(t, LocalServer(bel.node(t).leaf(t), own, "BEL", o))
	if err := call(t, l.dial(t, LocalClient(bel.officer(t).leaf(t), own, "BEL", o).DialOptions()...)); err != nil {
		t.Fatal(err)
	}
	id := l.caller.Load()
	if id == nil || id.Role != identity.RoleOfficer || len(id.Purposes) != 1 {
		t.Errorf("the node heard %v", id)
	}
}

// TestNoStrangerGetsACall plays the forgeries over real TLS: nothing reaches the service.
func TestNoStrangerGetsACall(t *testing.T) {
	bel, esp, lbn := newCountry(t, "BEL"), newCountry(t, "ESP"), newCountry(t, "LBN")
	o := Options{Now: newClock().Now}
	everybody := newBook(bel, esp, lbn) // what the forger believes
	mesh := func(t *testing.T) *listener {
		return listen(t, MeshServer(esp.node(t).leaf(t), newBook(bel, esp), o))
	}
	local := func(t *testing.T) *listener {
		return listen(t, LocalServer(esp.node(t).leaf(t), Own(demo, "ESP", esp.pool()), "ESP", o))
	}
	espNode := identity.Node(demo, "ESP", "1").String()
	belNode := identity.Node(demo, "BEL", "1").String()

	for _, tt := range []struct {
		name   string
		at     func(*testing.T) *listener
		forger credential
	}{
		{"a node whose authority is not in the roster", mesh, lbn.node(t)},
		{"a certificate for BEL from ESP's authority", mesh, under(t, esp.mesh, leafTemplate(t, belNode, meshUses...), esp.mesh)},
		{"a certificate for BEL from LBN's authority", mesh, under(t, lbn.mesh, leafTemplate(t, belNode, meshUses...), lbn.mesh)},
		{"an agency's certificate at the mesh listener", mesh, bel.officer(t)},
		{"an own agency's certificate at the mesh listener", mesh, esp.officer(t)},
		{"a node's path from the local intermediate", mesh, under(t, bel.local, leafTemplate(t, belNode, meshUses...), bel.local)},
		{"a node's certificate at the local listener", local, esp.node(t)},
		{"another bureau's node at the local listener", local, bel.node(t)},
		{"another bureau's agency at the local listener", local, bel.officer(t)},
		{"an agency's path from the mesh intermediate", local, under(t, esp.mesh, leafTemplate(t,
			identity.Client(demo, "ESP", "police", identity.RoleOperator, "x", nil).String(), localUses...), esp.mesh)},
		{"an expired node", mesh, under(t, bel.mesh, func() *x509.Certificate {
			c := leafTemplate(t, belNode, meshUses...)
			c.NotAfter = noon.Add(-time.Minute)
			return c
		}(), bel.mesh)},
		{"the listener's own name from another authority", mesh, under(t, bel.mesh, leafTemplate(t, espNode, meshUses...), bel.mesh)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := tt.at(t)
			forger := MeshClient(tt.forger.leaf(t), everybody, "ESP", o)
			if err := call(t, l.dial(t, forger.DialOptions()...)); err == nil {
				t.Error("answered")
			} else if status.Code(err) != codes.Unavailable {
				t.Errorf("not stopped in the handshake: %v", err)
			}
			if n := l.calls.Load(); n != 0 {
				t.Errorf("%d calls reached the service", n)
			}
		})
	}
}

// TestADialledImpostorHearsNothing: the other way round, who answers is not whom BEL dialled.
func TestADialledImpostorHearsNothing(t *testing.T) {
	bel, esp, lbn := newCountry(t, "BEL"), newCountry(t, "ESP"), newCountry(t, "LBN")
	o := Options{Now: newClock().Now}
	everybody := newBook(bel, esp, lbn)
	espNode := identity.Node(demo, "ESP", "1").String()
	for name, impostor := range map[string]credential{
		"another member answers":               lbn.node(t),
		"another member forges the name":       under(t, lbn.mesh, leafTemplate(t, espNode, meshUses...), lbn.mesh),
		"an agency's certificate answers":      esp.officer(t),
		"a server from the local intermediate": under(t, esp.local, leafTemplate(t, espNode, meshUses...), esp.local),
		"an expired certificate of ESP answers": under(t, esp.mesh, func() *x509.Certificate {
			c := leafTemplate(t, espNode, meshUses...)
			c.NotAfter = noon.Add(-1)
			return c
		}(), esp.mesh),
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, MeshServer(impostor.leaf(t), everybody, o))
			if err := call(t, l.dial(t, MeshClient(bel.node(t).leaf(t), everybody, "ESP", o).DialOptions()...)); err == nil {
				t.Error("answered")
			}
			if n := l.calls.Load(); n != 0 {
				t.Errorf("%d calls were sent", n)
			}
		})
	}
}

// TestHandshakesThatAreNotOurs: old protocols, no certificate, no HTTP/2, and no resumption.
func TestHandshakesThatAreNotOurs(t *testing.T) {
	bel, esp := newCountry(t, "BEL"), newCountry(t, "ESP")
	pair := pairOf(t, bel.node(t))
	good := func() *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true, NextProtos: []string{"h2"}, ServerName: "esp"}
	}
	server := MeshServer(esp.node(t).leaf(t), newBook(bel, esp), Options{Now: newClock().Now})
	shake := func(t *testing.T, config *tls.Config) (tls.ConnectionState, error) {
		t.Helper()
		here, there := net.Pipe()
		result := make(chan error, 1)
		go func() {
			conn, _, err := server.ServerHandshake(there)
			if err == nil {
				_, _ = conn.Write([]byte("x")) // any session ticket would travel before this
				_ = there.Close()
			}
			result <- err
		}()
		client := tls.Client(here, config)
		defer func() { _ = here.Close() }()
		// In TLS 1.3 the client is done before the server has looked at it: read, too.
		if err := client.HandshakeContext(t.Context()); err == nil {
			_, _ = client.Read(make([]byte, 1))
		}
		_ = here.Close()
		return client.ConnectionState(), <-result
	}

	t.Run("as it should be", func(t *testing.T) {
		if _, err := shake(t, good()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("TLS 1.2", func(t *testing.T) {
		c := good()
		c.MaxVersion = tls.VersionTLS12
		if _, err := shake(t, c); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("no certificate", func(t *testing.T) {
		c := good()
		c.Certificates = nil
		if _, err := shake(t, c); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("no ALPN", func(t *testing.T) {
		c := good()
		c.NextProtos = nil
		if _, err := shake(t, c); ReasonOf(err) != ReasonBadTransport {
			t.Errorf("accepted, or another reason: %v", err)
		}
	})
	t.Run("another ALPN", func(t *testing.T) {
		c := good()
		c.NextProtos = []string{"http/1.1"}
		if _, err := shake(t, c); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("resumption", func(t *testing.T) {
		c := good()
		c.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		for range 3 {
			state, err := shake(t, c)
			if err != nil {
				t.Fatal(err)
			}
			if state.DidResume {
				t.Error("a session was resumed")
			}
		}
	})
	t.Run("an end without a leaf", func(t *testing.T) {
		empty := MeshServer(NewLeaf(nil), newBook(bel, esp), Options{})
		here, there := net.Pipe()
		defer func() { _ = here.Close() }()
		go func() { _ = tls.Client(here, good()).HandshakeContext(t.Context()) }()
		if _, _, err := empty.ServerHandshake(there); err == nil {
			t.Error("accepted")
		}
	})
}

// TestSilentStrangerIsDropped: who opens a connection and says nothing holds it for seconds.
func TestSilentStrangerIsDropped(t *testing.T) {
	bel := newCountry(t, "BEL")
	leaf := bel.node(t).leaf(t)
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer func() { _ = here.Close() }()
		begin := time.Now()
		if _, _, err := MeshServer(leaf, newBook(bel), Options{}).ServerHandshake(there); err == nil {
			t.Error("accepted")
		}
		if waited := time.Since(begin); waited > handshakeLimit {
			t.Errorf("held for %s", waited)
		}
	})
}

// TestInterceptorsNeedThisPackagesConnection: a listener that was set up without credentials
// admits nobody.
func TestInterceptorsNeedThisPackagesConnection(t *testing.T) {
	l := listen(t, nil)
	plain := l.dial(t, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err := call(t, plain); status.Code(err) != codes.Unauthenticated {
		t.Errorf("unary: %v", err)
	}
	stream, err := plain.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("stream: %v", err)
	}
	if n := l.calls.Load(); n != 0 {
		t.Errorf("%d calls reached the service", n)
	}
	if _, ok := FromContext(t.Context()); ok {
		t.Error("a caller in an empty context")
	}
	if _, ok := PeerCertificate(NewContext(t.Context(), identity.Identity{}, nil)); ok {
		t.Error("a certificate where there is none")
	}
}

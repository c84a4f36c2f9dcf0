package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/entente-mesh/entente/pki/identity"
)

// handshakeLimit bounds a handshake. gRPC's own limit is two minutes: long enough for a
// stranger to hold many descriptors with nothing but a SYN each.
const handshakeLimit = 10 * time.Second

// Options are what the constructors have in common. The zero value is good.
type Options struct {
	// Connections is the register that the connections enter. Nil: none, and then nothing
	// closes them when they are not trusted any more, though no call passes.
	Connections *Connections
	// Revoked tells whether a leaf was revoked by its own authority. Optional: only a bureau's
	// own authority knows, so it is for the local listener. Asked at every call: be quick.
	Revoked func(leaf *x509.Certificate) bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger is told of refused handshakes; nil means nobody.
	Logger *slog.Logger
}

// Credentials are gRPC transport credentials for one end of one kind of connection. Servers and
// clients also need its other half, which looks again at every call: UnaryServerInterceptor and
// StreamServerInterceptor there, DialOptions here.
type Credentials struct {
	leaf     *Leaf
	verifier *Verifier
	register *Connections
	log      *slog.Logger
}

// MeshServer are the credentials of the mesh listener: nodes of every bureau that is trusted.
func MeshServer(leaf *Leaf, trust Trust, o Options) *Credentials {
	return newCredentials(leaf, trust, "", identity.KindNode, o)
}

// MeshClient are the credentials to dial one bureau's mesh listener: its nodes and no other's.
func MeshClient(leaf *Leaf, trust Trust, peer identity.Bureau, o Options) *Credentials {
	return newCredentials(leaf, trust, peer, identity.KindNode, o)
}

// LocalServer are the credentials of the local listener: clients of the own bureau. Give it
// Own as trust. It presents the node's one leaf, the same as on the mesh: the local
// intermediate is for clients alone and could not issue a server's.
func LocalServer(leaf *Leaf, trust Trust, self identity.Bureau, o Options) *Credentials {
	return newCredentials(leaf, trust, self, identity.KindClient, o)
}

// LocalClient are the credentials of an agency or an officer: it speaks to nodes of its own
// bureau and to nobody else. Give it Own as trust.
func LocalClient(leaf *Leaf, trust Trust, self identity.Bureau, o Options) *Credentials {
	return newCredentials(leaf, trust, self, identity.KindNode, o)
}

func newCredentials(leaf *Leaf, trust Trust, only identity.Bureau, kind identity.Kind, o Options) *Credentials {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Credentials{
		leaf:     leaf,
		verifier: &Verifier{trust: trust, only: only, kind: kind, now: o.Now, revoked: o.Revoked},
		register: o.Connections,
		log:      o.Logger,
	}
}

// Verifier returns the rules by which the other end is judged.
func (c *Credentials) Verifier() *Verifier { return c.verifier }

// DialOptions are what a client dials with: the credentials, and the look at the connection
// before each call is sent.
func (c *Credentials) DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(c),
		grpc.WithPerRPCCredentials(perCall{}),
	}
}

// AuthInfo is what a connection of this package knows about its other end. It is a TLSInfo with
// the identity added.
type AuthInfo struct {
	credentials.TLSInfo
	// Identity is who was admitted at the handshake. Whether that still holds is asked anew for
	// every call; servers read FromContext instead.
	Identity identity.Identity

	session *session
}

// ClientHandshake implements credentials.TransportCredentials.
func (c *Credentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	config, found := c.config()
	// The name is a hint for whoever routes by it; who the other end is, its SPIFFE ID says.
	config.ServerName = authority
	if host, _, err := net.SplitHostPort(authority); err == nil {
		config.ServerName = host
	}
	config.InsecureSkipVerify = true // host names say nothing here: VerifyConnection checks SPIFFE IDs
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.leaf.present() }
	return c.finish(ctx, raw, tls.Client(raw, config), found)
}

// ServerHandshake implements credentials.TransportCredentials.
func (c *Credentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	config, found := c.config()
	config.ClientAuth = tls.RequireAnyClientCert // VerifyConnection checks it, against one country's roots
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.leaf.present() }
	return c.finish(context.Background(), raw, tls.Server(raw, config), found)
}

// config returns the TLS configuration of one connection, and where its verification will
// leave what it found.
func (c *Credentials) config() (*tls.Config, *finding) {
	found := &finding{}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		// A resumed session would carry an old decision into a new connection.
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if state.Version != tls.VersionTLS13 || state.DidResume || state.NegotiatedProtocol != "h2" {
				return &Error{Reason: ReasonBadTransport, Err: errors.New("expected a fresh connection with TLS 1.3 and HTTP/2 (ALPN h2)")}
			}
			f, err := c.verifier.verify(state.PeerCertificates)
			if err != nil {
				return err
			}
			*found = *f
			return nil
		},
	}, found
}

func (c *Credentials) finish(ctx context.Context, raw net.Conn, t *tls.Conn, found *finding) (net.Conn, credentials.AuthInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeLimit)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		_ = raw.Close() // the handshake's error is the one to tell
		c.refusedHandshake(ctx, raw, err)
		return nil, nil, err
	}
	if found.chain == nil { // VerifyConnection did not run: never admit what was not verified
		_ = raw.Close()
		return nil, nil, &Error{Reason: ReasonNotVerified, Err: errors.New("the handshake ended without verification")}
	}
	s := newSession(c.verifier, found)
	open := &conn{Conn: t, raw: raw, session: s, register: c.register}
	if c.register != nil {
		c.register.add(open)
		// A distrust between the verification and the line above has swept without seeing this
		// connection: look once more, now that every later sweep sees it.
		if err := s.check(); err != nil {
			open.abort()
			return nil, nil, err
		}
	}
	return open, AuthInfo{
		TLSInfo: credentials.TLSInfo{
			State:          t.ConnectionState(),
			CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
			SPIFFEID:       found.id.URI(),
		},
		Identity: found.id,
		session:  s,
	}, nil
}

// refusedHandshake tells the own side why. The names in a certificate are not logged: they are
// a stranger's text, or an officer's pseudonym.
func (c *Credentials) refusedHandshake(ctx context.Context, raw net.Conn, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		c.log.DebugContext(ctx, "handshake failed", "remote", raw.RemoteAddr().String(), "error", err)
		return
	}
	c.log.WarnContext(ctx, "certificate refused", "remote", raw.RemoteAddr().String(),
		"reason", string(e.Reason), "claimed_bureau", string(e.Bureau), "listener", c.verifier.chainName())
}

// Info implements credentials.TransportCredentials.
func (c *Credentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (c *Credentials) Clone() credentials.TransportCredentials {
	clone := *c
	return &clone
}

// OverrideServerName implements credentials.TransportCredentials. There is nothing to override:
// the server is known by its SPIFFE ID.
func (c *Credentials) OverrideServerName(string) error { return nil }

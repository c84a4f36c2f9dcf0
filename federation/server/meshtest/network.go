// Package meshtest is a mesh in memory for the tests of the packages that speak across it:
// bureaus with real gRPC servers, real signatures and a network whose lines can be cut, whose
// processes can be killed and hung. It is not for the product: its connections are in the clear
// and believe whoever says who he is.
//
// One flow: a test makes a Mesh, lets BEL and ESP join, has BEL ask, kills ESP, and looks at what
// BEL makes of it.
package meshtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/test/bufconn"

	"github.com/entente-mesh/entente/pki/identity"
)

// Network is a network in memory.
type Network struct {
	mu    sync.Mutex
	sites map[string]*site
	dials map[string]int
}

// NewNetwork returns a network on which nobody listens.
func NewNetwork() *Network {
	return &Network{sites: make(map[string]*site), dials: make(map[string]int)}
}

// site is a process that listens: its connections, and the valve through which all they read and
// write goes.
type site struct {
	*bufconn.Listener
	mu    sync.Mutex
	flow  chan struct{} // closed while bytes flow
	conns map[*siteConn]struct{}
}

// Listen starts listening at an address.
func (n *Network) Listen(address string) net.Listener {
	flow := make(chan struct{})
	close(flow)
	s := &site{Listener: bufconn.Listen(256 << 10), flow: flow, conns: make(map[*siteConn]struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sites[address] = s
	return s
}

// Dial connects to an address, or is refused at once.
func (n *Network) Dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	s := n.sites[address]
	n.dials[address]++
	n.mu.Unlock()
	if s == nil {
		return nil, fmt.Errorf("dial %s: connection refused", address)
	}
	return s.DialContext(ctx)
}

// Dials returns how often an address was dialled.
func (n *Network) Dials(address string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials[address]
}

// Kill ends the process at an address: its connections break, and new ones are refused.
func (n *Network) Kill(address string) {
	n.mu.Lock()
	s := n.sites[address]
	delete(n.sites, address)
	n.mu.Unlock()
	if s != nil {
		_ = s.Close()
		s.breakAll()
	}
}

// Break cuts the connections that are open to an address. New ones are accepted.
func (n *Network) Break(address string) {
	n.mu.Lock()
	s := n.sites[address]
	n.mu.Unlock()
	s.breakAll()
}

// Hang stops the process at an address: connections are made, and nothing comes.
func (n *Network) Hang(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.sites[address]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flow = make(chan struct{})
}

// Resume lets a process that hangs go on.
func (n *Network) Resume(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.sites[address]
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.flow)
}

func (s *site) breakAll() {
	s.mu.Lock()
	conns := s.conns
	s.conns = make(map[*siteConn]struct{})
	s.mu.Unlock()
	for c := range conns {
		_ = c.Close()
	}
}

// Accept returns the next connection, behind the valve.
func (s *site) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	behind := &siteConn{Conn: c, site: s, gone: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[behind] = struct{}{}
	return behind, nil
}

type siteConn struct {
	net.Conn
	site *site
	once sync.Once
	gone chan struct{}
}

func (c *siteConn) wait() error {
	c.site.mu.Lock()
	flow := c.site.flow
	c.site.mu.Unlock()
	select {
	case <-flow:
		return nil
	case <-c.gone:
		return net.ErrClosed
	}
}

// Read reads when the process lives.
func (c *siteConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if waited := c.wait(); waited != nil {
		return 0, waited
	}
	return n, err
}

// Write writes when the process lives.
func (c *siteConn) Write(b []byte) (int, error) {
	if err := c.wait(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// Close closes the connection.
func (c *siteConn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		close(c.gone)
		err = c.Conn.Close()
	})
	return err
}

// Credentials are transport credentials that say in the clear who one is. A client insists on the
// peer that it dials.
type Credentials struct {
	Self identity.Identity
	Peer identity.Bureau // of a client
}

// AuthInfo is who the other side says it is.
type AuthInfo struct {
	credentials.CommonAuthInfo
	Identity identity.Identity
}

// AuthType names the kind of credentials.
func (AuthInfo) AuthType() string { return "meshtest" }

// ClientHandshake says who one is, and hears who the other is.
func (c Credentials) ClientHandshake(ctx context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := say(conn, c.Self); err != nil {
		return nil, nil, err
	}
	other, err := hear(conn, c.Self.Federation)
	if err != nil {
		return nil, nil, err
	}
	if other.Bureau != c.Peer {
		return nil, nil, fmt.Errorf("dialled %s, reached %s", c.Peer, other.Bureau)
	}
	return conn, AuthInfo{Identity: other}, nil
}

// ServerHandshake hears who the other is, and says who one is.
func (c Credentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	other, err := hear(conn, c.Self.Federation)
	if err != nil {
		return nil, nil, err
	}
	if err := say(conn, c.Self); err != nil {
		return nil, nil, err
	}
	return conn, AuthInfo{Identity: other}, nil
}

// Info describes the credentials.
func (Credentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "meshtest"}
}

// Clone copies them.
func (c Credentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName does nothing: names are SPIFFE IDs.
func (Credentials) OverrideServerName(string) error { return nil }

func say(conn net.Conn, id identity.Identity) error {
	name := id.String()
	if len(name) > 255 {
		return errors.New("name too long")
	}
	_, err := conn.Write(append([]byte{byte(len(name))}, name...))
	return err
}

func hear(conn net.Conn, f identity.Federation) (identity.Identity, error) {
	var length [1]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return identity.Identity{}, err
	}
	name := make([]byte, length[0])
	if _, err := io.ReadFull(conn, name); err != nil {
		return identity.Identity{}, err
	}
	return identity.Parse(string(name), f)
}

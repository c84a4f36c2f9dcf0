package mtls

import (
	"context"
	"crypto/x509"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
)

// sweepLook bounds how long Run goes without looking, for the same reason as renewLook: clocks
// are set and machines sleep.
const sweepLook = time.Minute

// sweepRest is the least between two sweeps by the clock. Certificates end on whole seconds, and
// a call in between is stopped by itself.
const sweepRest = time.Second

// Connections is the register of the open connections of a listener, a dialler, or both. What
// was true at a handshake may not be true any more: Sweep closes what is not. The zero value is
// ready.
type Connections struct {
	mu   sync.Mutex // guards open
	open map[*conn]struct{}
}

// Connection is one open connection, for Sweep and for a list of peers.
type Connection struct {
	// Identity is who is at the other end.
	Identity identity.Identity
	// Chain is what was presented at the handshake, leaf first.
	Chain []*x509.Certificate
	// NotAfter is until when that chain is valid.
	NotAfter time.Time
	// Remote is the other end's network address.
	Remote string
	// Verify asks by the rules of the end that made the connection whether the other end would
	// still be admitted.
	Verify func() error
}

// Sweep asks of every open connection whether it may stay, and closes those that may not: at
// once, without waiting for calls that run over it. A nil verify asks each connection's own
// rules: the roster as it is now, a distrust, a revocation, the leaf's expiry. It returns how
// many were closed.
func (c *Connections) Sweep(verify func(Connection) error) int {
	if verify == nil {
		verify = func(open Connection) error { return open.Verify() }
	}
	closed := 0
	for _, open := range c.list() {
		if verify(open.describe()) != nil {
			open.abort()
			closed++
		}
	}
	return closed
}

// CloseBureau closes every connection to a bureau, and returns how many there were.
func (c *Connections) CloseBureau(b identity.Bureau) int {
	closed := 0
	for _, open := range c.list() {
		if open.session.id().Bureau == b {
			open.abort()
			closed++
		}
	}
	return closed
}

// CloseClient closes every connection of one identity, whatever certificate it was made with, and
// returns how many there were. It keeps nobody from coming again: that is the verification's.
func (c *Connections) CloseClient(id identity.Identity) int {
	name := id.String()
	closed := 0
	for _, open := range c.list() {
		if open.session.id().String() == name {
			open.abort()
			closed++
		}
	}
	return closed
}

// List returns the open connections, in no order.
func (c *Connections) List() []Connection {
	var all []Connection
	for _, open := range c.list() {
		all = append(all, open.describe())
	}
	return all
}

// Run sweeps whenever the channel says that something has changed (a roster, a distrust, a
// revocation), when the next leaf expires, and at least once a minute, until the context ends.
// swept, if not nil, is told of every sweep that closed something.
func (c *Connections) Run(ctx context.Context, changed <-chan struct{}, now func() time.Time, swept func(closed int)) {
	if now == nil {
		now = time.Now
	}
	for {
		wait := sweepLook
		for _, open := range c.list() {
			// Valid at its last second still, so look just after it.
			wait = min(wait, open.session.found.Load().notAfter.Sub(now())+time.Millisecond)
		}
		timer := time.NewTimer(max(wait, sweepRest))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case _, ok := <-changed:
			timer.Stop()
			if !ok {
				changed = nil // nobody will tell any more: the clock remains
			}
		case <-timer.C:
		}
		if closed := c.Sweep(nil); closed > 0 && swept != nil {
			swept(closed)
		}
	}
}

func (c *Connections) list() []*conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*conn, 0, len(c.open))
	for open := range c.open {
		all = append(all, open)
	}
	return all
}

func (c *Connections) add(open *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = make(map[*conn]struct{})
	}
	c.open[open] = struct{}{}
}

func (c *Connections) remove(open *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, open)
}

// conn is a TLS connection that leaves its register when it is closed.
type conn struct {
	net.Conn          // the TLS connection
	raw      net.Conn // what it runs over
	session  *session
	register *Connections // nil: in none
}

// Close closes the connection in TLS's way.
func (c *conn) Close() error {
	if c.register != nil {
		c.register.remove(c)
	}
	return c.Conn.Close()
}

// abort takes the line away. TLS's own Close would first write to the other side, which may
// not be reading, and holds what it has not sent: somebody who is not trusted any more gets
// neither time nor a last word.
func (c *conn) abort() {
	if c.register != nil {
		c.register.remove(c)
	}
	_ = c.raw.Close() // an error means that it is closed already
}

func (c *conn) describe() Connection {
	f := c.session.found.Load()
	return Connection{
		Identity: f.id,
		Chain:    f.chain,
		NotAfter: f.notAfter,
		Remote:   c.raw.RemoteAddr().String(),
		Verify:   c.session.check,
	}
}

// session is what a call can ask of the connection that it runs over.
type session struct {
	verifier *Verifier
	// found is replaced when the bureau's roots have changed and the chain still holds.
	found atomic.Pointer[finding]
}

func newSession(v *Verifier, f *finding) *session {
	s := &session{verifier: v}
	s.found.Store(f)
	return s
}

// check asks whether the other end would still be admitted.
func (s *session) check() error {
	before := s.found.Load()
	f, err := s.verifier.again(before)
	if err != nil {
		return err
	}
	if f != before {
		s.found.CompareAndSwap(before, f)
	}
	return nil
}

// leaf is what the other end has presented. It stays the same for as long as the connection.
func (s *session) leaf() *x509.Certificate { return s.found.Load().chain[0] }

// id is who the other end is. It stays the same, too.
func (s *session) id() identity.Identity { return s.found.Load().id }

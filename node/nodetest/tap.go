package nodetest

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
)

// Traffic is what passed a tap.
type Traffic struct {
	// Connections that were accepted.
	Connections int64
	// ToNode and FromNode are bytes, TLS's own included.
	ToNode, FromNode int64
	// Said and Answered are the same towards the node and from it, without what TLS adds to each
	// record: how much is put into one record is a matter of time.
	Said, Answered int64
	// Asks are the TLS records towards the node that are large enough for a signed ask: none means
	// that nothing was asked. Asks that are made at the same time may share one. On a connection
	// that stands, nothing else that is said there is as large; on a new one the client's
	// certificate is, too. So look at differences between two moments.
	Asks int64
}

func (a Traffic) plus(b Traffic) Traffic {
	return Traffic{a.Connections + b.Connections, a.ToNode + b.ToNode, a.FromNode + b.FromNode, a.Said + b.Said, a.Answered + b.Answered, a.Asks + b.Asks}
}

// Since is what passed after an earlier moment.
func (a Traffic) Since(b Traffic) Traffic {
	return Traffic{a.Connections - b.Connections, a.ToNode - b.ToNode, a.FromNode - b.FromNode, a.Said - b.Said, a.Answered - b.Answered, a.Asks - b.Asks}
}

// Bytes is both directions together.
func (a Traffic) Bytes() int64 { return a.ToNode + a.FromNode }

const (
	// askRecord is the smallest TLS record that a signed ask fits: its signature, its key's id,
	// two ids and the question come to more.
	askRecord = 320
	// recordSeal is what TLS 1.3 adds to what is in a record: its type, and the cipher's tag.
	recordSeal = 17
	// recordHeader is the length of a TLS record's header.
	recordHeader = 5
	// applicationData is the TLS content type of all that is encrypted.
	applicationData = 23
)

// Tap is a TCP proxy before a node's mesh listener: what peers dial. It sees what the network
// sees, and can fail as the network does.
type Tap struct {
	listener net.Listener
	wg       sync.WaitGroup

	connections, toNode, fromNode, said, answered, asks atomic.Int64

	mu     sync.Mutex
	target string
	down   bool
	open   map[net.Conn]struct{}
}

func newTap() (*Tap, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &Tap{listener: l, open: make(map[net.Conn]struct{}), down: true}
	t.wg.Go(t.accept)
	return t, nil
}

// Address is what peers dial.
func (t *Tap) Address() string { return t.listener.Addr().String() }

// Traffic is what has passed so far.
func (t *Tap) Traffic() Traffic {
	return Traffic{t.connections.Load(), t.toNode.Load(), t.fromNode.Load(), t.said.Load(), t.answered.Load(), t.asks.Load()}
}

// Cut breaks all connections and takes no new ones, until Join.
func (t *Tap) Cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down = true
	for c := range t.open {
		_ = c.Close() // what it would report is that it is closed
	}
}

// Break breaks the connections that are open and takes new ones.
func (t *Tap) Break() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.open {
		_ = c.Close()
	}
}

// Join passes new connections on to an address.
func (t *Tap) Join(target string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.target, t.down = target, false
}

// Open is how many connections pass the tap now.
func (t *Tap) Open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open) / 2
}

func (t *Tap) close() {
	_ = t.listener.Close()
	t.Cut()
	t.wg.Wait()
}

func (t *Tap) accept() {
	for {
		in, err := t.listener.Accept()
		if err != nil {
			return
		}
		t.wg.Go(func() { t.pass(in) })
	}
}

// hold notes both ends of a connection, unless the tap is cut.
func (t *Tap) hold(conns ...net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down {
		return false
	}
	for _, c := range conns {
		t.open[c] = struct{}{}
	}
	return true
}

func (t *Tap) pass(in net.Conn) {
	defer in.Close()
	t.mu.Lock()
	target, down := t.target, t.down
	t.mu.Unlock()
	if down {
		return
	}
	out, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer out.Close()
	if !t.hold(in, out) {
		return
	}
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.open, in)
		delete(t.open, out)
	}()
	t.connections.Add(1)
	var both sync.WaitGroup
	both.Go(func() {
		t.copy(out, in, &t.toNode, &records{large: &t.asks, payload: &t.said})
		_ = out.Close()
	})
	both.Go(func() {
		t.copy(in, out, &t.fromNode, &records{large: new(atomic.Int64), payload: &t.answered})
		_ = in.Close()
	})
	both.Wait()
}

// copy counts before it passes on: whoever has had an answer finds its question counted.
func (t *Tap) copy(to, from net.Conn, bytes *atomic.Int64, seen *records) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			bytes.Add(int64(n))
			seen.see(buf[:n])
			if _, werr := to.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// records follows the TLS records in a stream of bytes.
type records struct {
	large, payload *atomic.Int64
	header         []byte // of the next record, as far as it came
	left           int    // of the body that is passing
}

func (r *records) see(b []byte) {
	for len(b) > 0 {
		if r.left > 0 {
			n := min(r.left, len(b))
			r.left -= n
			b = b[n:]
			continue
		}
		n := min(recordHeader-len(r.header), len(b))
		r.header = append(r.header, b[:n]...)
		b = b[n:]
		if len(r.header) < recordHeader {
			return
		}
		r.left = int(binary.BigEndian.Uint16(r.header[3:]))
		if r.header[0] == applicationData {
			r.payload.Add(int64(max(0, r.left-recordSeal)))
			if r.left >= askRecord {
				r.large.Add(1)
			}
		}
		r.header = r.header[:0]
	}
}

package members

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/pki/identity"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
)

const (
	// sendTimeout bounds the sending of one packet. A packet that cannot be sent by then is lost,
	// as UDP would lose it.
	sendTimeout = 2 * time.Second
	// queued is how many packets wait for one peer; more are lost.
	queued = 64
	// idleAfter is when a stream of packets that carries none is closed.
	idleAfter = 2 * time.Minute
	// received is how many packets wait for memberlist. When they are that many, the peers'
	// streams wait in turn, so that a peer that floods slows itself down first.
	received = 64
)

// carrier is memberlist's transport: frames of GossipService over the connections to peers.
// Packets to a bureau share one stream; each exchange has a stream of its own.
type carrier struct {
	cfg    Config
	name   string
	roster *directory
	watch  *watch

	packets chan *memberlist.Packet
	streams chan net.Conn
	running chan struct{} // closed by Start
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu     sync.Mutex // guards lines, closed
	lines  map[identity.Bureau]*line
	closed bool
}

var _ memberlist.NodeAwareTransport = (*carrier)(nil)

func newCarrier(cfg Config, name string, roster *directory, w *watch) *carrier {
	// Not derived from a caller's context: the last word, that this replica leaves, is spoken
	// after that one has ended.
	ctx, cancel := context.WithCancel(context.Background())
	return &carrier{cfg: cfg, name: name, roster: roster, watch: w,
		packets: make(chan *memberlist.Packet, received), streams: make(chan net.Conn),
		running: make(chan struct{}), ctx: ctx, cancel: cancel,
		lines: make(map[identity.Bureau]*line)}
}

// FinalAdvertiseAddr returns what stands for an address in gossip.
func (c *carrier) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return placeholder(c.cfg.Federation, c.cfg.Self), gossipPort, nil
}

// PacketCh is where memberlist receives packets.
func (c *carrier) PacketCh() <-chan *memberlist.Packet { return c.packets }

// StreamCh is where memberlist receives streams.
func (c *carrier) StreamCh() <-chan net.Conn { return c.streams }

var errNameless = errors.New("gossip is routed by name, and there is none")

// WriteTo fails: an address leads nowhere here.
func (c *carrier) WriteTo([]byte, string) (time.Time, error) { return time.Time{}, errNameless }

// DialTimeout fails: an address leads nowhere here.
func (c *carrier) DialTimeout(string, time.Duration) (net.Conn, error) { return nil, errNameless }

// connection returns the connection to a bureau of the roster. Its error has the form by which
// memberlist knows that the other side failed, and not this one: it then suspects at once.
func (c *carrier) connection(b identity.Bureau, op string) (grpc.ClientConnInterface, error) {
	why := "there is no connection to the bureau"
	if _, member := c.roster.address(b); !member {
		why = "the bureau is not in the roster"
	} else if conn, ok := c.cfg.Conn(b); ok {
		return conn, nil
	}
	return nil, &net.OpError{Op: op, Net: "tcp", Addr: gossipAddr(b), Err: errors.New(why)}
}

// WriteToAddress queues a packet for a member. It never waits.
func (c *carrier) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	bureau := bureauOf(to)
	if _, err := c.connection(bureau, "write"); err != nil {
		return time.Time{}, err
	}
	if len(b) > maxFrame {
		return time.Time{}, fmt.Errorf("a packet of %d bytes, at most %d", len(b), maxFrame)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return time.Time{}, net.ErrClosed
	}
	l := c.lines[bureau]
	if l == nil {
		l = &line{to: bureau, carrier: c, queue: make(chan []byte, queued)}
		c.lines[bureau] = l
		c.wg.Go(l.run)
	}
	select {
	case l.queue <- b:
	default: // lost, as UDP would lose it
	}
	return time.Now(), nil
}

// DialAddressTimeout opens a stream to a member for one exchange.
func (c *carrier) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	bureau := bureauOf(to)
	conn, err := c.connection(bureau, "dial")
	if err != nil {
		return nil, err
	}
	return dial(c, bureau, conn, timeout)
}

// accept hands memberlist an exchange whose message was read and inspected. The answer goes to
// conn.
func (c *carrier) accept(conn net.Conn, message []byte, from gossipAddr, timeout time.Duration) error {
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case c.streams <- &accepted{Conn: conn, message: bytes.NewReader(message), from: from}:
		return nil
	case <-c.ctx.Done():
		return net.ErrClosed
	case <-late.C:
		return context.DeadlineExceeded
	}
}

// Shutdown ends every stream. It is the library's way to call close.
func (c *carrier) Shutdown() error {
	c.close()
	return nil
}

func (c *carrier) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
}

// wait returns when the carrier's goroutines have ended.
func (c *carrier) wait() { c.wg.Wait() }

// line carries the packets to one bureau, in order, from a goroutine of its own. Only that
// goroutine touches stream and end.
type line struct {
	to      identity.Bureau
	carrier *carrier
	queue   chan []byte

	stream gossipv1.GossipService_GossipClient
	end    context.CancelFunc
}

func (l *line) run() {
	defer l.hangUp()
	idle := time.NewTimer(idleAfter)
	defer idle.Stop()
	for {
		select {
		case <-l.carrier.ctx.Done():
			return
		case b := <-l.queue:
			l.send(b)
			idle.Reset(idleAfter)
		case <-idle.C:
			if l.retire() {
				return
			}
			idle.Reset(idleAfter)
		}
	}
}

// retire takes the line out of use, unless a packet has come in the meantime.
func (l *line) retire() bool {
	l.carrier.mu.Lock()
	defer l.carrier.mu.Unlock()
	if len(l.queue) > 0 {
		return false
	}
	delete(l.carrier.lines, l.to)
	return true
}

func (l *line) hangUp() {
	if l.end != nil {
		l.end()
	}
	l.stream, l.end = nil, nil
}

// send sends a packet over the stream that stands, and if that has broken, over a new one. What
// then fails is lost.
func (l *line) send(b []byte) {
	if l.stream != nil {
		if l.try(&gossipv1.GossipRequest{Data: b}) == nil {
			return
		}
		l.hangUp()
	}
	conn, err := l.carrier.connection(l.to, "write")
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(l.carrier.ctx)
	l.end = cancel
	guard := time.AfterFunc(sendTimeout, cancel)
	l.stream, err = gossipv1.NewGossipServiceClient(conn).Gossip(ctx, grpc.MaxCallRecvMsgSize(maxMessage))
	guard.Stop()
	if err == nil {
		err = l.try(&gossipv1.GossipRequest{Kind: gossipv1.GossipKind_GOSSIP_KIND_PACKETS, Data: b})
	}
	if err != nil {
		l.hangUp()
	}
}

func (l *line) try(frame *gossipv1.GossipRequest) error {
	guard := time.AfterFunc(sendTimeout, l.end)
	defer guard.Stop()
	return l.stream.Send(frame)
}

// maxMessage is a frame with what surrounds it.
const maxMessage = maxFrame + 64

package members

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/pki/identity"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
)

// frame is how much of an exchange goes into one frame.
const frameSize = 32 << 10

// frames reads the data of a stream's frames as one sequence of bytes.
type frames struct {
	receive func() ([]byte, error)
	rest    []byte
}

// errFrame is the error of a frame above the bound.
var errFrame = errors.New("a frame larger than the bound")

// Read reads what has come.
func (f *frames) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		b, err := f.receive()
		if err != nil {
			return 0, err
		}
		if len(b) > maxFrame {
			return 0, errFrame
		}
		f.rest = b
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// dialled is the caller's end of one exchange, as memberlist wants it: a connection to which it
// writes its message and from which it reads the answer. The answer is inspected before it is
// handed on.
type dialled struct {
	to     identity.Bureau
	watch  *watch
	stream gossipv1.GossipService_GossipClient
	cancel context.CancelFunc

	mu    sync.Mutex // guards guard
	guard *time.Timer

	// Only memberlist's one goroutine for the exchange touches what follows.
	opened bool
	reply  *bytes.Reader
}

func dial(c *carrier, to identity.Bureau, conn grpc.ClientConnInterface, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithCancel(c.ctx)
	guard := time.AfterFunc(timeout, cancel)
	stream, err := gossipv1.NewGossipServiceClient(conn).Gossip(ctx, grpc.MaxCallRecvMsgSize(maxMessage))
	if err != nil {
		guard.Stop()
		cancel()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: gossipAddr(to), Err: err}
	}
	return &dialled{to: to, watch: c.watch, stream: stream, cancel: cancel, guard: guard}, nil
}

// Write sends bytes of the message.
func (d *dialled) Write(b []byte) (int, error) {
	sent := 0
	for sent < len(b) {
		part := b[sent:min(len(b), sent+frameSize)]
		request := &gossipv1.GossipRequest{Data: part}
		if !d.opened {
			request.Kind, d.opened = gossipv1.GossipKind_GOSSIP_KIND_STREAM, true
		}
		if err := d.stream.Send(request); err != nil {
			return sent, d.failed(err)
		}
		sent += len(part)
	}
	return sent, nil
}

// Read returns bytes of the answer, once the whole of it has come and was inspected.
func (d *dialled) Read(p []byte) (int, error) {
	if d.reply == nil {
		answer, err := readReply(&frames{receive: func() ([]byte, error) {
			response, err := d.stream.Recv()
			return response.GetData(), err
		}})
		if err != nil {
			return 0, d.failed(err)
		}
		d.watch.died(d.to, answer.deaths())
		d.reply = bytes.NewReader(answer.raw)
	}
	return d.reply.Read(p)
}

func (d *dialled) failed(err error) error {
	if errors.Is(err, io.EOF) { // the status is what the other side said
		if _, status := d.stream.Recv(); status != nil && !errors.Is(status, io.EOF) {
			err = status
		}
	}
	return &net.OpError{Op: "read", Net: "tcp", Addr: gossipAddr(d.to), Err: err}
}

// Close ends the exchange.
func (d *dialled) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.guard.Stop()
	d.cancel()
	return nil
}

// LocalAddr is nothing that matters.
func (d *dialled) LocalAddr() net.Addr { return gossipAddr("self") }

// RemoteAddr is the bureau.
func (d *dialled) RemoteAddr() net.Addr { return gossipAddr(d.to) }

// SetDeadline ends the exchange at a time. A zero time means never, as for every net.Conn.
func (d *dialled) SetDeadline(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.guard.Stop()
	if !t.IsZero() {
		d.guard = time.AfterFunc(time.Until(t), d.cancel)
	}
	return nil
}

// SetReadDeadline is SetDeadline: an exchange is one.
func (d *dialled) SetReadDeadline(t time.Time) error { return d.SetDeadline(t) }

// SetWriteDeadline is SetDeadline: an exchange is one.
func (d *dialled) SetWriteDeadline(t time.Time) error { return d.SetDeadline(t) }

// accepted is the other end as memberlist sees it: the message, already read and inspected, and a
// pipe that takes the answer.
type accepted struct {
	net.Conn
	message *bytes.Reader
	from    gossipAddr
}

// Read returns bytes of the message.
func (a *accepted) Read(p []byte) (int, error) { return a.message.Read(p) }

// RemoteAddr is who has opened the exchange.
func (a *accepted) RemoteAddr() net.Addr { return a.from }

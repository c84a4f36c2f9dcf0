package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

const (
	// maxClockError is how far off a peer's clock may be before it is treated as an outage. Asks
	// are dated in the answerer's time; nobody shall make this bureau sign what is dated years away.
	maxClockError = 12 * time.Hour
	// probeTimeout bounds one attempt: connect, handshake, first offer. Half the earth away that
	// is some ten round trips.
	probeTimeout = 5 * time.Second
	// pingEvery and pingTimeout find a peer that hangs, or a line that is cut without a word.
	pingEvery   = 10 * time.Second
	pingTimeout = 5 * time.Second
	// maxReceive holds the largest Signed with its frame.
	maxReceive = 5 << 20
	maxHeaders = 16 << 10
	// clockWasSet is a difference between two measurements that no road explains.
	clockWasSet = 5 * time.Second
)

// session is one connection with one stream of offers, from the dial to the break. Its fields
// are guarded by the peer's mu.
type session struct {
	owner  *peer
	conn   *grpc.ClientConn
	again  chan struct{}      // asks for a fresh stream of offers on the same connection
	stop   context.CancelFunc // ends the stream of offers
	refs   int                // calls under way, and the goroutine that reads the offers
	ended  bool               // no new calls; closed when the last call is over
	closed bool
}

// end lets no new calls in. The connection closes when those under way are over: one slow answer
// must not cost the others. The owner's mu is held.
func (s *session) end() {
	s.ended = true
	s.stop()
	s.closeIfDone()
}

func (s *session) closeIfDone() {
	if s.ended && s.refs == 0 {
		s.close()
	}
}

func (s *session) close() {
	if s.closed {
		return
	}
	s.closed = true
	delete(s.owner.sessions, s)
	_ = s.conn.Close() // reports only that it is closed already
}

// attempt dials the peer anew and stays with it until the session ends. It reports whether the
// peer was reached, and why it is not any more.
//
// Each attempt is a connection of its own: one that looks open and carries nothing, because the
// other process hangs or a router forgot it, is the very case in which the old one is of no use.
func (p *peer) attempt(ctx context.Context) (worked bool, err error) {
	conn, err := p.dial()
	if err != nil {
		return false, err
	}
	ctx, stop := context.WithCancel(ctx)
	s := &session{owner: p, conn: conn, again: make(chan struct{}, 1), stop: stop, refs: 1}
	p.mu.Lock()
	p.sessions[s] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.session == s {
			p.session = nil
			p.redialing = true
		}
		s.refs--
		s.end()
	}()

	until := time.Now().Add(probeTimeout)
	if err = connect(ctx, conn, until); err == nil {
		err = errAgain
	}
	for errors.Is(err, errAgain) {
		err = p.follow(ctx, s, until, &worked)
		until = time.Now().Add(probeTimeout)
	}
	if ctx.Err() != nil {
		err = p.endCause(ctx)
	}
	return worked, err
}

// errAgain is how follow asks for a fresh stream on the same connection.
var errAgain = errors.New("measure again")

// dial makes the connection's handle. Nothing is sent yet.
func (p *peer) dial() (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+p.member.Address, append(p.cfg.DialOptions(p.member.Bureau),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return p.cfg.Dial(ctx, p.member.Address)
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingEvery, Timeout: pingTimeout, PermitWithoutStream: true}),
		// The pause between attempts is run's to keep; the library's own would come on top.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: maxPause, Multiplier: 1, MaxDelay: maxPause},
			MinConnectTimeout: probeTimeout,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceive), grpc.MaxCallSendMsgSize(maxReceive), fault.ClientCodec()),
		grpc.WithMaxHeaderListSize(maxHeaders),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(0),
		grpc.WithUserAgent("entente"),
	)...)
}

// connect waits until the handshake is done, so that its round trips are not taken for the
// clock's error. A failed handshake is left to the first call, which has its cause.
func connect(ctx context.Context, conn *grpc.ClientConn, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	conn.Connect()
	for {
		state := conn.GetState()
		if state == connectivity.Ready || state == connectivity.TransientFailure {
			return nil
		}
		if !conn.WaitForStateChange(ctx, state) {
			return fmt.Errorf("no connection within %s", probeTimeout)
		}
	}
}

// offerMessage is what the reader of the stream hands over.
type offerMessage struct {
	response *queryv1.DescribeResponse
	at       time.Time
	err      error
}

// follow opens one stream of offers and takes over what comes, until it breaks. until bounds the
// wait for the first. It returns errAgain when a fresh stream is wanted on the same connection.
func (p *peer) follow(ctx context.Context, s *session, until time.Time, worked *bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	impatience := time.AfterFunc(time.Until(until), func() {
		cancel(fmt.Errorf("it did not say what it offers within %s", probeTimeout))
	})
	defer impatience.Stop()
	sent := p.cfg.Now()
	stream, err := queryv1.NewQueryServiceClient(s.conn).Describe(ctx, &queryv1.DescribeRequest{
		SentAt: timestamppb.New(sent), RosterVersion: p.cfg.RosterVersion(),
	})
	if err != nil {
		return err
	}
	messages := make(chan offerMessage)
	var reader sync.WaitGroup
	reader.Go(func() { p.read(ctx, stream, messages) })
	defer reader.Wait()
	defer cancel(nil)

	var way time.Duration // half a round trip
	var hold <-chan time.Time
	for first := true; ; {
		select {
		case m := <-messages:
			switch {
			case errors.Is(m.err, io.EOF):
				return errors.New("it ended the stream of its offers")
			case m.err != nil:
				return m.err
			case first:
				way = m.at.Sub(sent) / 2
			}
			if err := p.take(m, way, first); err != nil {
				p.cfg.Logger.Warn("offer refused", "peer", string(p.member.Bureau), "error", describe(err))
				return err
			}
			if !first {
				continue
			}
			first = false
			impatience.Stop()
			if *worked {
				continue
			}
			timer := time.NewTimer(p.holdLeft())
			defer timer.Stop()
			hold = timer.C
		case <-hold:
			hold = nil
			*worked = true
			p.connected(s)
		case <-s.again:
			if *worked {
				return errAgain
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// read hands over what comes on the stream until it ends.
func (p *peer) read(ctx context.Context, stream grpc.ServerStreamingClient[queryv1.DescribeResponse], to chan<- offerMessage) {
	for {
		response, err := stream.Recv()
		select {
		case to <- offerMessage{response, p.cfg.Now(), err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// endCause is why a session that was ended from here is over: the breaker has noted the cause.
func (p *peer) endCause(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lastError != "" {
		return errors.New(p.lastError)
	}
	return ctx.Err()
}

// take verifies one message of the stream and takes it over. way is how long it was under way.
func (p *peer) take(m offerMessage, way time.Duration, first bool) error {
	offer, err := p.cfg.Offers.Offer(m.response.GetOffer(), p.member.Bureau)
	if err != nil {
		return fmt.Errorf("its offer could not be verified: %w", err)
	}
	skew := p.skewNow()
	if sent := m.response.GetSentAt(); sent.IsValid() {
		measured := sent.AsTime().Sub(m.at.Add(-way))
		if measured.Abs() > maxClockError {
			return fmt.Errorf("its clock is off by more than %s: its operator has to set it", maxClockError)
		}
		// Only the first message answers a question of ours, so that its way is known. A later one
		// may have been stuck on the road, but says if a clock was set meanwhile.
		if first || (measured-skew).Abs() > clockWasSet {
			skew = measured
		}
	}
	return p.described(offer, skew)
}

func (p *peer) holdLeft() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heldUntil.Sub(p.cfg.Now())
}

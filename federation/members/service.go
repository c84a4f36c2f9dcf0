package members

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/identity"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
)

// maxStreams is how many gossip streams one bureau may have open here: one of packets and some
// exchanges for each of its replicas.
const maxStreams = 4 * maxReplicas

// service is GossipService. It knows who speaks from the certificate, and believes no message
// that says otherwise.
type service struct {
	gossipv1.UnimplementedGossipServiceServer
	members *Members

	mu   sync.Mutex // guards open
	open map[identity.Bureau]int
}

// peer is who has opened a stream.
type peer struct {
	bureau identity.Bureau
	name   string
}

// Gossip carries the frames of one stream.
func (s *service) Gossip(stream gossipv1.GossipService_GossipServer) error {
	from, err := s.admit(stream.Context())
	if err != nil {
		return err
	}
	if !s.enter(from.bureau) {
		return fault.New(codes.ResourceExhausted, fault.QuotaExceeded, "", "too many gossip streams: close those that are not used")
	}
	defer s.leave(from.bureau)

	// What a handler has begun to receive or send cannot be broken off but by returning. So a
	// goroutine does the work, and ends when the handler has returned.
	done, lasting := make(chan error, 1), make(chan struct{})
	go func() {
		// Out of reach of the listener's own recovery: a bug on a peer's bytes costs its stream.
		defer func() {
			if recover() != nil {
				done <- fault.New(codes.Internal, fault.Internal, "", "the node failed to answer; its operator finds the cause in its log")
				s.members.cfg.Logger.Error("a gossip stream failed", "stack", string(debug.Stack()))
			}
		}()
		done <- s.carry(stream, from, lasting)
	}()
	late := time.NewTimer(2 * s.members.cfg.Intervals.Exchange)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return fault.New(codes.DeadlineExceeded, fault.DeadlineExceeded, "", "the exchange takes too long")
	case <-lasting:
	case <-s.members.carrier.ctx.Done():
	case <-stream.Context().Done():
	}
	select {
	case err := <-done:
		return err
	case <-s.members.carrier.ctx.Done():
		return fault.New(codes.Unavailable, fault.NodeStopping, "", "the node is being stopped: try again in a moment")
	case <-stream.Context().Done():
		return status.FromContextError(stream.Context().Err()).Err()
	}
}

// admit returns who calls, if it is another node of the federation.
func (s *service) admit(ctx context.Context) (peer, error) {
	m := s.members
	select {
	case <-m.carrier.ctx.Done():
		return peer{}, fault.New(codes.Unavailable, fault.NodeStopping, "", "the node is being stopped: try again in a moment")
	case <-m.carrier.running:
	default:
		return peer{}, fault.New(codes.Unavailable, fault.NodeStopping, "", "the node is being started: try again in a moment")
	}
	id, err := m.cfg.PeerOf(ctx)
	if err != nil {
		return peer{}, fault.New(codes.Unauthenticated, fault.IdentityUnverified, "", "the caller's certificate does not verify: check that the roster is installed on both sides")
	}
	if id.Kind != identity.KindNode || id.Federation != m.cfg.Federation {
		return peer{}, fault.New(codes.PermissionDenied, fault.NotANode, "", "gossip is spoken between nodes of one federation")
	}
	if _, member := m.roster.address(id.Bureau); !member {
		m.watch.refuse(CauseNotMember, "", errors.New("a bureau that is not in the roster wants to gossip"))
		return peer{}, fault.New(codes.PermissionDenied, fault.NotAMember, "", "the caller's bureau is not in the roster: compare the rosters")
	}
	from := peer{bureau: id.Bureau, name: nodeName(id.Bureau, id.Replica)}
	if from.name == m.name {
		m.watch.refuse(CauseClaimedSender, id.Bureau, errors.New("somebody else has a certificate in this replica's own name: give each replica its own, and if none was given out twice, replace the key"))
		return peer{}, fault.New(codes.PermissionDenied, fault.NotAMember, "", "the caller has this node's own name: give each replica a name of its own")
	}
	return from, nil
}

func (s *service) enter(b identity.Bureau) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[identity.Bureau]int)
	}
	if s.open[b] >= maxStreams {
		return false
	}
	s.open[b]++
	return true
}

func (s *service) leave(b identity.Bureau) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[b]--; s.open[b] == 0 {
		delete(s.open, b)
	}
}

// carry closes lasting when the stream is one that may stand for as long as the peers know each
// other.
func (s *service) carry(stream gossipv1.GossipService_GossipServer, from peer, lasting chan<- struct{}) error {
	first, err := stream.Recv()
	if err != nil {
		return ended(err)
	}
	switch first.GetKind() {
	case gossipv1.GossipKind_GOSSIP_KIND_PACKETS:
		close(lasting)
		return s.carryPackets(stream, from, first.GetData())
	case gossipv1.GossipKind_GOSSIP_KIND_STREAM:
		return s.carryExchange(stream, from, first.GetData())
	default:
		return fault.New(codes.InvalidArgument, fault.MalformedRequest, "kind", "the first frame says what the stream carries: packets or a stream")
	}
}

// ended is the error of a stream that ended while it was read: none, if the caller closed it.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// refused counts what a peer sent and memberlist does not see.
func (s *service) refused(from peer, err error) {
	cause := CauseMalformed
	switch {
	case errors.Is(err, errClaimedSender):
		cause = CauseClaimedSender
	case errors.Is(err, errFrame):
		cause = CauseTooLarge
	}
	s.members.watch.refuse(cause, from.bureau, err)
}

// carryPackets hands packets on until the caller ends the stream. One that is refused is dropped,
// and the stream goes on, as with UDP; one above the bound ends it.
func (s *service) carryPackets(stream gossipv1.GossipService_GossipServer, from peer, b []byte) error {
	m := s.members
	for {
		if len(b) > maxFrame {
			s.refused(from, errFrame)
			return fault.TooLarge()
		}
		deaths, err := inspectPacket(string(m.cfg.Federation), from.name, b)
		if err != nil {
			s.refused(from, err)
		} else {
			m.watch.died(from.bureau, deaths)
			select {
			case m.carrier.packets <- &memberlist.Packet{Buf: b, From: gossipAddr(from.name), Timestamp: time.Now()}:
			case <-m.carrier.ctx.Done():
				return nil
			case <-stream.Context().Done():
				return nil
			}
		}
		request, err := stream.Recv()
		if err != nil {
			return ended(err)
		}
		b = request.GetData()
	}
}

// carryExchange reads the caller's message, hands it to memberlist, and sends back the answer.
func (s *service) carryExchange(stream gossipv1.GossipService_GossipServer, from peer, first []byte) error {
	m := s.members
	message, err := readRequest(&frames{rest: first, receive: func() ([]byte, error) {
		request, err := stream.Recv()
		return request.GetData(), err
	}}, string(m.cfg.Federation), from.name)
	switch {
	case errors.Is(err, errFrame):
		s.refused(from, err)
		return fault.TooLarge()
	case err != nil:
		s.refused(from, err)
		return fault.New(codes.InvalidArgument, fault.UndecodableRequest, "data", "the stream does not carry what is spoken here")
	}
	m.watch.died(from.bureau, message.deaths())

	near, far := net.Pipe()
	defer near.Close()
	_ = near.SetDeadline(time.Now().Add(m.cfg.Intervals.Exchange)) // a pipe takes every deadline
	if err := m.carrier.accept(far, message.raw, gossipAddr(from.name), m.cfg.Intervals.Exchange); err != nil {
		far.Close()
		return fault.New(codes.Unavailable, fault.NodeStopping, "", "the node cannot take the exchange now: try again in a moment")
	}
	answer := make([]byte, frameSize)
	for {
		n, err := near.Read(answer)
		if n > 0 {
			if err := stream.Send(&gossipv1.GossipResponse{Data: bytes.Clone(answer[:n])}); err != nil {
				return err
			}
		}
		if err != nil {
			return nil // memberlist has said what it had to say
		}
	}
}

// Package service serves a bureau's message and log keys to its node, from a process of its own
// under a user of its own, on a socket of the same machine.
//
// Whoever takes over the node's process has what the node may have said, as long as he sits
// there: asks, answers, offers and gossip of the own bureau, of this hour, and a log that only
// grows. He has no keys to take away, and there is no method for a roster, for another bureau's
// name, for bytes, or for a second history of the log.
//
// It does not decide what is asked or answered (the node's policy does), it keeps no books, and
// it never holds the governance key: it refuses to start beside one.
//
// One flow: the node connects to the socket; the kernel says under which user it runs, and that
// user is on the list; SignAnswer arrives, is held to its schema and to the hour, must be of the
// own bureau, and is signed. What was signed and refused is counted; nothing of it is logged.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
	signerv1 "github.com/entente-mesh/entente/proto/gen/entente/signer/v1"
)

// Config is what a Service is made of.
type Config struct {
	// Messages signs messages. Required.
	Messages *signing.Signer
	// Logs signs checkpoints; of the same bureau, with another key. Required.
	Logs *signing.LogSigner
	// Replicas are those that may speak in gossip. Empty: none.
	Replicas []string
	// Allow are the users, by number, that may connect beside the own one.
	Allow []uint32
	// CountEvery is how often the counts are logged. Optional: a minute.
	CountEvery time.Duration
	// Now is the clock. Optional: time.Now.
	Now func() time.Time
	// Logger. Optional: nothing is logged.
	Logger *slog.Logger
}

const (
	// maxRequest is the largest request: a payload of 4 MiB, and room for what wraps it.
	maxRequest = 4<<20 + 64<<10
	maxStreams = 4096
	maxHeaders = 8 << 10
	// graceful bounds how long calls under way may take when the service stops.
	graceful = 5 * time.Second
)

// The signer signs for the hour: whoever sits in the node cannot make a stock of messages for
// the time after he is found. An hour and not a minute, because asks carry the answerer's time,
// and a bureau whose clock is wrong by less is still asked.
const drift = time.Hour

// The longest lives of an ask (the treaty's) and of an offer.
const (
	maxAskLife   = 2 * time.Minute
	maxOfferLife = time.Hour
)

// Service serves the signer.
type Service struct {
	signerv1.UnimplementedSignerServiceServer
	cfg    Config
	grpc   *grpc.Server
	counts counts
}

// New returns a service. It fails for keys of two bureaus, and for one key in two uses.
func New(cfg Config) (*Service, error) {
	if cfg.Messages == nil || cfg.Logs == nil {
		return nil, errors.New("signer: message key or log key is missing")
	}
	message, log := cfg.Messages.PublicKey(), cfg.Logs.LogKey()
	if message.Bureau != log.Bureau {
		return nil, fmt.Errorf("signer: the message key is of %s, the log key of %s", message.Bureau, log.Bureau)
	}
	if message.ID() == log.ID() {
		return nil, errors.New("signer: message.key and log.key are the same key: every use has a key of its own")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.CountEvery <= 0 {
		cfg.CountEvery = time.Minute
	}
	validator, err := protovalidate.New()
	if err != nil {
		return nil, fmt.Errorf("signer: validator: %w", err)
	}
	s := &Service{cfg: cfg}
	s.grpc = grpc.NewServer(
		grpc.Creds(&peers{allow: cfg.Allow, log: cfg.Logger}),
		grpc.ChainUnaryInterceptor(s.account, known(validator)),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	)
	signerv1.RegisterSignerServiceServer(s.grpc, s)
	return s, nil
}

// Serve serves on a listener made by Listen until ctx ends; calls under way may then end. The
// listener is closed, and its socket removed, when Serve returns.
func (s *Service) Serve(ctx context.Context, l net.Listener) error {
	ended := make(chan error, 1)
	go func() { ended <- s.grpc.Serve(l) }()
	tick := time.NewTicker(s.cfg.CountEvery)
	defer tick.Stop()
	defer s.counts.log(s.cfg.Logger)
	for {
		select {
		case <-tick.C:
			s.counts.log(s.cfg.Logger)
		case err := <-ended:
			return fmt.Errorf("signer: %w", err)
		case <-ctx.Done():
			s.stop()
			if err := <-ended; err != nil {
				return fmt.Errorf("signer: %w", err)
			}
			return nil
		}
	}
}

func (s *Service) stop() {
	stopped := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(stopped)
	}()
	end := time.NewTimer(graceful)
	defer end.Stop()
	select {
	case <-stopped:
	case <-end.C:
		s.grpc.Stop()
		<-stopped
	}
}

// Describe says whose keys they are.
func (s *Service) Describe(context.Context, *signerv1.DescribeRequest) (*signerv1.DescribeResponse, error) {
	return &signerv1.DescribeResponse{
		Federation: string(s.cfg.Messages.Federation()),
		Bureau:     string(s.cfg.Messages.Bureau()),
		MessageKey: s.cfg.Messages.PublicKey().Key,
		LogKey:     s.cfg.Logs.LogKey().Key,
	}, nil
}

// SignAsk signs an ask of the own bureau to another.
func (s *Service) SignAsk(_ context.Context, r *signerv1.SignAskRequest) (*signerv1.SignAskResponse, error) {
	m := r.GetAsk()
	err := errors.Join(
		s.abroad("ask.audience", m.GetAudience()), s.current("ask.issued_at", m.GetIssuedAt()),
		lives("ask.not_after", m.GetIssuedAt(), m.GetNotAfter(), maxAskLife))
	if err != nil {
		return nil, err
	}
	signed, err := s.cfg.Messages.Ask(m)
	return &signerv1.SignAskResponse{Signed: signed}, err
}

// SignAnswer signs an answer of the own bureau to another.
func (s *Service) SignAnswer(_ context.Context, r *signerv1.SignAnswerRequest) (*signerv1.SignAnswerResponse, error) {
	m := r.GetAnswer()
	if err := errors.Join(s.abroad("answer.audience", m.GetAudience()), s.current("answer.answered_at", m.GetAnsweredAt())); err != nil {
		return nil, err
	}
	signed, err := s.cfg.Messages.Answer(m)
	return &signerv1.SignAnswerResponse{Signed: signed}, err
}

// SignOffer signs an offer of the own bureau to another.
func (s *Service) SignOffer(_ context.Context, r *signerv1.SignOfferRequest) (*signerv1.SignOfferResponse, error) {
	m := r.GetOffer()
	err := errors.Join(
		s.abroad("offer.audience", m.GetAudience()), s.current("offer.issued_at", m.GetIssuedAt()),
		lives("offer.not_after", m.GetIssuedAt(), m.GetNotAfter(), maxOfferLife))
	if err != nil {
		return nil, err
	}
	signed, err := s.cfg.Messages.Offer(m)
	return &signerv1.SignOfferResponse{Signed: signed}, err
}

// SignMemberMeta signs a gossip statement of one of the own replicas.
func (s *Service) SignMemberMeta(_ context.Context, r *signerv1.SignMemberMetaRequest) (*signerv1.SignMemberMetaResponse, error) {
	m := r.GetMeta()
	if err := errors.Join(s.ownReplica(m), s.current("meta.issued_at", &timestamppb.Timestamp{Seconds: m.GetIssuedAt()})); err != nil {
		return nil, err
	}
	signed, err := s.cfg.Messages.MemberMeta(m)
	return &signerv1.SignMemberMetaResponse{Signed: signed}, err
}

// SignCheckpoint signs a checkpoint of an own log, if it follows those signed before.
func (s *Service) SignCheckpoint(ctx context.Context, r *signerv1.SignCheckpointRequest) (*signerv1.SignCheckpointResponse, error) {
	checkpoint, err := s.cfg.Logs.Checkpoint(ctx, r.GetReplica(), r.GetSize(), r.GetRoot(), r.GetConsistency())
	return &signerv1.SignCheckpointResponse{Checkpoint: checkpoint}, err
}

// abroad refuses what a bureau would say to itself: nobody needs it, and a signature less is one
// less to be misused.
func (s *Service) abroad(field, audience string) error {
	own := s.cfg.Messages.Bureau()
	if _, err := identity.ParseBureau(audience); err != nil {
		return refusedf(codes.InvalidArgument, reasonRefused, "%s: %s", field, err)
	}
	if audience == string(own) {
		return refusedf(codes.InvalidArgument, reasonRefused, "%s is the own bureau %s: it is for another", field, own)
	}
	return nil
}

// current refuses what is not said now.
func (s *Service) current(field string, at *timestamppb.Timestamp) error {
	now := s.cfg.Now()
	if off := at.AsTime().Sub(now).Abs(); !at.IsValid() || off > drift {
		return refusedf(codes.InvalidArgument, reasonRefused, "%s is %s off the signer's clock, at most %s is signed: check both clocks", field, off.Round(time.Second), drift)
	}
	return nil
}

func lives(field string, from, until *timestamppb.Timestamp, most time.Duration) error {
	life := until.AsTime().Sub(from.AsTime())
	if !until.IsValid() || life <= 0 || life > most {
		return refusedf(codes.InvalidArgument, reasonRefused, "%s is %s after it was said: give up to %s", field, life.Round(time.Second), most)
	}
	return nil
}

func (s *Service) ownReplica(m *gossipv1.MemberMeta) error {
	ours := func(replica string) bool { return m.GetName() == string(s.cfg.Messages.Bureau())+"/"+replica }
	if !slices.ContainsFunc(s.cfg.Replicas, ours) {
		return refusedf(codes.InvalidArgument, reasonRefused, "meta.name: no replica of %s that speaks here: add it to the signer's replicas", s.cfg.Messages.Bureau())
	}
	return nil
}

// Package server is the mesh listener: what other bureaus may call, and what stands between them
// and the handlers.
//
// It decides nothing about records or policy (the Answerer, behind the gate, does), verifies no
// certificates (pki/mtls does) and serves nobody of the own country: that is the local listener.
//
// One flow: a node of BGR calls Ask. The chain makes sure that the connection is still one of
// BGR, that BGR does not call more than it was granted, that the request is small and well formed.
// The handler makes sure that BGR signed it, for us, a moment ago, and that it was not asked
// before; the Answerer answers; the answer is filled to a size that tells little, signed, and
// committed to books and memory in one write before it leaves.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Verifier returns the ask in a Signed if a message key of the bureau signed it, and it is well
// formed. pki/signing's Verifier is one.
type Verifier interface {
	Ask(signed *signedv1.Signed, from identity.Bureau) (*queryv1.Ask, error)
}

// Signer signs in the own bureau's name. pki/signing's Signer is one.
type Signer interface {
	Answer(*queryv1.Answer) (*signedv1.Signed, error)
	Offer(*queryv1.Offer) (*signedv1.Signed, error)
	KeyID() string
}

// Asked is a question that is proven to be its sender's.
type Asked struct {
	// From is the node that sent it, from the connection.
	From identity.Identity
	// Ask is the question.
	Ask *queryv1.Ask
	// Signed is the question as it was received. Nil of one that gets no answer and is not kept.
	Signed *signedv1.Signed
	// Digest is the SHA-256 of the payload that was signed.
	Digest []byte
}

// Reply is what an Answerer says to a question.
type Reply struct {
	// Answer holds results and data_as_of; everything else of the answer is the server's.
	Answer *queryv1.Answer
	// Commit writes question and answer, as they were signed, into the books and into the memory
	// of asks, in one. The answer leaves when it has returned nil, and not otherwise. forgetAfter
	// is when the ask cannot come again. It fails if an ask under this id was answered before.
	Commit func(ctx context.Context, answer *signedv1.Signed, forgetAfter time.Time) error
}

// Answerer answers questions, and keeps the books of them. The gate is behind it.
type Answerer interface {
	// Answer answers a question that is meant for this bureau, in its time and new. A refusal by
	// policy is an answer.
	Answer(ctx context.Context, asked Asked) (Reply, error)
	// Again books that a question came once more and gets the answer that it got before.
	Again(ctx context.Context, asked Asked) error
	// Unanswered books a question that gets no answer, and why: it is turned away, or this node
	// failed on it.
	Unanswered(ctx context.Context, asked Asked, code codes.Code, reason fault.Reason) error
}

// Offerer says what this bureau offers to another. It fills collections and roster_version.
type Offerer interface {
	Offer(to identity.Bureau) *queryv1.Offer
	// Changes returns a channel that is signalled when offers may have changed, and the function
	// that gives it back.
	Changes() (<-chan struct{}, func())
}

// Memory remembers the asks that were answered, durably. node/journal is one.
type Memory interface {
	// RecallAsk returns the digest and the answer (a Signed, marshalled) that were committed under
	// an ask's id. Found with an error means that the answer cannot be given again: it was erased.
	RecallAsk(ctx context.Context, asker, askID string) (digest, answer []byte, found bool, err error)
}

// Witness keeps what other bureaus show of their logs, and says what this bureau shows of its own.
// Neither method waits for anything. federation/witness is one.
type Witness interface {
	// Newest is the own newest checkpoint, as a signed note; nil before the first.
	Newest() []byte
	// Saw hands over another bureau's checkpoint, with the message of it that carried it and the
	// time at which that was signed. Empty: the message carried none.
	Saw(from identity.Bureau, checkpoint []byte, carrier *signedv1.Signed, at time.Time)
}

// Rosters are the rosters that are installed here. pki/roster's Book is behind it.
type Rosters interface {
	// History returns the rosters after a version, oldest first; after 0, all of them.
	History(after uint64) []*signedv1.Signed
	// Propose installs the next roster and returns the version that is installed then. Errors
	// that are faults reach the caller; all others are told as ROSTER_NOT_NEXT.
	Propose(*signedv1.Signed) (uint64, error)
}

// Limiter lets calls in, as many as each bureau was granted.
type Limiter interface {
	// Admit waits for the caller's turn, or says that it has none: a fault, which reaches the
	// caller. It stands before everything that costs more than itself. The call goes on within the
	// context that it returns; leave gives the place back when the call is over.
	Admit(ctx context.Context, from identity.Identity, method string) (within context.Context, leave func(), err error)
}

// Admission verifies, for every call and for every message of a stream, that the connection is
// still one of a node that is admitted. pki/mtls' interceptors are one.
type Admission struct {
	Unary  grpc.UnaryServerInterceptor
	Stream grpc.StreamServerInterceptor
}

// Config is what the mesh listener needs.
type Config struct {
	// Self is the own bureau.
	Self identity.Bureau
	// Creds are the transport credentials.
	Creds credentials.TransportCredentials
	// Admission stands before everything that trusts the caller. Optional: Identity alone decides.
	Admission Admission
	// Identity returns the caller's verified identity. It is asked at every call.
	Identity func(ctx context.Context) (identity.Identity, error)
	// Validator checks requests against their schema. Optional: protovalidate's own.
	Validator protovalidate.Validator
	Verifier  Verifier
	Signer    Signer
	Answerer  Answerer
	Offerer   Offerer
	Memory    Memory
	Rosters   Rosters
	// Limiter. Optional: nothing is counted.
	Limiter Limiter
	// Witness. Optional: no checkpoint is sent, and none is kept.
	Witness Witness
	// Extra registers further services, gossip, which the table of methods must know. Optional.
	Extra func(grpc.ServiceRegistrar)
	// Now is the clock. Optional: time.Now.
	Now func() time.Time
	// MaxSkew is how far an asker's measurement of our clock may be wrong. Optional: 30 s.
	MaxSkew time.Duration
	// Logger. Optional: nothing is logged.
	Logger *slog.Logger
}

const (
	// DefaultMaxSkew is the MaxSkew where none is given: asks are dated in our time, so that only
	// the error of one measurement has to be allowed for.
	DefaultMaxSkew = 30 * time.Second
	// maxStreams bounds what one connection may have under way at once.
	maxStreams = 256
	maxHeaders = 16 << 10
	// handshakeTimeout bounds how long a connection may take to say who it is.
	handshakeTimeout = 10 * time.Second
	// peerPings is the least pause between a peer's pings: half of what this program's own peers
	// keep, so that a clock's error or a delay is not taken for an attack.
	peerPings   = 5 * time.Second
	pingEvery   = 30 * time.Second
	pingTimeout = 10 * time.Second
	// connectionAge is when a peer is told to connect anew. A leaf lives 24 hours and is renewed
	// at least eight before its end: in between every connection takes the new one up, instead of
	// being cut when the old one expires.
	connectionAge      = 4 * time.Hour
	connectionAgeGrace = time.Minute
	// streamWorkers are goroutines that take one call after the other, so that its stack need not
	// grow anew in each. A call for which none is free gets one of its own.
	streamWorkers = 32
)

// Server is the mesh listener.
type Server struct {
	cfg      Config
	grpc     *grpc.Server
	stopping chan struct{} // closed when Stop begins
	stopOnce sync.Once
}

// New returns a server with its services registered. It fails if anything that it needs is
// missing, or if a method is registered that the table does not know.
func New(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, stopping: make(chan struct{})}
	links := s.chain()
	s.grpc = grpc.NewServer(
		grpc.Creds(cfg.Creds),
		fault.Codec(),
		grpc.ChainUnaryInterceptor(unaryOf(links)...),
		grpc.ChainStreamInterceptor(streamOf(links)...),
		// A method that is not served goes through the same chain: also whom we have nothing for
		// must say who he is first.
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
			return fault.New(codes.Unimplemented, fault.MethodNotServed, "", "the mesh listener does not serve this method: it serves peers alone; agencies and operators call the local listener")
		}),
		grpc.MaxRecvMsgSize(maxRequest()),
		grpc.MaxSendMsgSize(maxResponse),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: peerPings, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: pingEvery, Timeout: pingTimeout, MaxConnectionAge: connectionAge, MaxConnectionAgeGrace: connectionAgeGrace,
		}),
		grpc.WaitForHandlers(true),
	)
	door := &door{to: s.grpc}
	registrar := fault.Registrar(door)
	queryv1.RegisterQueryServiceServer(registrar, &query{server: s, asking: newKeyedLock(), seldom: newSeldom(cfg.Now, cfg.Logger)})
	rosterv1.RegisterRosterServiceServer(registrar, &rosters{server: s})
	if cfg.Extra != nil {
		cfg.Extra(registrar)
	}
	if err := door.err(); err != nil {
		s.grpc.Stop() // ends its workers
		return nil, err
	}
	return s, nil
}

func (c *Config) complete() error {
	var missing []error
	for _, need := range []struct {
		name   string
		absent bool
	}{
		{"Self", c.Self == ""}, {"Creds", c.Creds == nil}, {"Identity", c.Identity == nil},
		{"Verifier", c.Verifier == nil}, {"Signer", c.Signer == nil}, {"Answerer", c.Answerer == nil},
		{"Offerer", c.Offerer == nil}, {"Memory", c.Memory == nil}, {"Rosters", c.Rosters == nil},
	} {
		if need.absent {
			missing = append(missing, fmt.Errorf("mesh listener: Config.%s is missing", need.name))
		}
	}
	if (c.Admission.Unary == nil) != (c.Admission.Stream == nil) {
		missing = append(missing, errors.New("mesh listener: Config.Admission has one half: give both or none"))
	}
	if c.MaxSkew < 0 || c.MaxSkew > maxLife {
		missing = append(missing, fmt.Errorf("mesh listener: Config.MaxSkew is %s: give 0 to %s", c.MaxSkew, maxLife))
	}
	if c.Validator == nil {
		v, err := protovalidate.New()
		if err != nil {
			missing = append(missing, fmt.Errorf("mesh listener: validator: %w", err))
		}
		c.Validator = v
	}
	if c.MaxSkew == 0 {
		c.MaxSkew = DefaultMaxSkew
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return errors.Join(missing...)
}

// Serve serves until Stop. It returns nil after a Stop.
func (s *Server) Serve(listener net.Listener) error {
	if err := s.grpc.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("mesh listener: %w", err)
	}
	return nil
}

// Stop ends the streams of offers, lets the calls that are under way come to their end until ctx
// does, and closes what is left. It returns when no handler runs any more.
func (s *Server) Stop(ctx context.Context) {
	s.stopOnce.Do(func() { close(s.stopping) })
	graceful := make(chan struct{})
	go func() {
		defer close(graceful)
		s.grpc.GracefulStop()
	}()
	select {
	case <-graceful:
	case <-ctx.Done():
		s.grpc.Stop()
		<-graceful
	}
}

// GRPC returns the underlying server, for tests that look at what is registered.
func (s *Server) GRPC() *grpc.Server { return s.grpc }

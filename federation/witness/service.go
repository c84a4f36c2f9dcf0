package witness

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// Log is the own log. node/audit's is one.
type Log interface {
	// Newest returns the newest checkpoint, as a signed note; empty before the first. It is cheap.
	Newest() []byte
	// Consistency returns the proof between two sizes, neither larger than the newest checkpoint's.
	Consistency(ctx context.Context, from, to uint64) (*auditv1.Consistency, error)
	// ProofsFor returns the proofs of the leaves about a message that the peer has sent or
	// received; none if there is no such message, or if it is not in the tree yet.
	ProofsFor(ctx context.Context, peer identity.Bureau, messageID string) ([]*auditv1.LogProof, error)
}

const (
	// callsPerSecond and callsAtOnce are what one bureau may ask for: a witness asks once a
	// second, and an auditor who proves the messages of a case a few at a time.
	callsPerSecond = 5
	callsAtOnce    = 20
	// proofsAtOnce bounds the proofs that are computed at one time for all: each reads a few
	// files, and the own border's checks go before.
	proofsAtOnce = 4
	// proofsEach bounds those of one bureau, so that a storm of one leaves places for the others.
	proofsEach = 2
	// maxProofs is how many leaves are about one message, and some.
	maxProofs = 8
)

// service is WitnessService. What it does is no passage through the gate and stands in no books:
// if the showing of a log were an entry of that log, each look of one witness would give the other
// one something new to look at, and two quiet bureaus would fill each other's books for ever.
// Nothing is shown that the caller may not see anyway: checkpoints, the own one and those of
// others, and proofs say how much a bureau does, and of the messages only those with the caller.
type service struct {
	auditv1.UnimplementedWitnessServiceServer
	log       Log
	witnessed func() []*auditv1.Witnessed
	caller    func(context.Context) (identity.Identity, bool)
	now       func() time.Time
	slots     chan struct{}

	mu      sync.Mutex // guards budgets
	budgets map[identity.Bureau]*budget
}

// budget is what one bureau may ask for.
type budget struct {
	rate  *rate.Limiter
	slots chan struct{}
}

// Register registers WitnessService, for the mesh listener, whose chain has admitted the callers.
func (w *Witness) Register(to grpc.ServiceRegistrar) {
	auditv1.RegisterWitnessServiceServer(to, &service{
		log: w.cfg.Log, witnessed: w.witnessed, caller: w.cfg.Caller, now: w.cfg.Now,
		slots:   make(chan struct{}, proofsAtOnce),
		budgets: make(map[identity.Bureau]*budget),
	})
}

// GetCheckpoint implements auditv1.WitnessServiceServer.
func (s *service) GetCheckpoint(ctx context.Context, _ *auditv1.GetCheckpointRequest) (*auditv1.GetCheckpointResponse, error) {
	if _, _, err := s.admit(ctx); err != nil {
		return nil, err
	}
	return &auditv1.GetCheckpointResponse{Checkpoint: s.log.Newest(), Witnessed: s.witnessed()}, nil
}

// GetConsistency implements auditv1.WitnessServiceServer.
func (s *service) GetConsistency(ctx context.Context, request *auditv1.GetConsistencyRequest) (*auditv1.GetConsistencyResponse, error) {
	_, own, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	from, to := request.GetFrom(), request.GetTo()
	if from == 0 || from > to {
		return nil, fault.New(codes.InvalidArgument, fault.MalformedRequest, "from", "from is the older size: give 1 at least, and at most to")
	}
	size, err := s.size()
	if err != nil {
		return nil, err
	}
	if to > size {
		return nil, fault.New(codes.InvalidArgument, fault.MalformedRequest, "to", "to is larger than the log's newest checkpoint: give at most that one's size")
	}
	if from == to {
		return &auditv1.GetConsistencyResponse{Consistency: &auditv1.Consistency{From: from, To: to}}, nil
	}
	leave, err := s.enter(ctx, own)
	if err != nil {
		return nil, err
	}
	defer leave()
	proof, err := s.log.Consistency(ctx, from, to)
	if err != nil {
		return nil, err
	}
	return &auditv1.GetConsistencyResponse{Consistency: proof}, nil
}

// ProveMessage implements auditv1.WitnessServiceServer.
func (s *service) ProveMessage(ctx context.Context, request *auditv1.ProveMessageRequest) (*auditv1.ProveMessageResponse, error) {
	caller, own, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	leave, err := s.enter(ctx, own)
	if err != nil {
		return nil, err
	}
	defer leave()
	proofs, err := s.log.ProofsFor(ctx, caller, request.GetMessageId())
	if err != nil {
		return nil, err
	}
	if len(proofs) == 0 {
		// One answer for a message that never was, is another's or not in the tree yet.
		return nil, fault.New(codes.NotFound, fault.RecordNotFound, "message_id", "the log has no message with you under this id: check the id, and allow a second after the message")
	}
	return &auditv1.ProveMessageResponse{Proofs: proofs[:min(len(proofs), maxProofs)]}, nil
}

// admit returns who calls, if it has not called too often.
func (s *service) admit(ctx context.Context) (identity.Bureau, *budget, error) {
	caller, ok := s.caller(ctx)
	if !ok || caller.Bureau == "" {
		return "", nil, fault.New(codes.Unauthenticated, fault.IdentityUnverified, "", "the caller of this method is not known: connect with a node's certificate")
	}
	s.mu.Lock()
	own := s.budgets[caller.Bureau]
	if own == nil {
		if len(s.budgets) >= maxBureaus {
			clear(s.budgets) // bureaus that left the roster; the others begin anew
		}
		own = &budget{rate: rate.NewLimiter(callsPerSecond, callsAtOnce), slots: make(chan struct{}, proofsEach)}
		s.budgets[caller.Bureau] = own
	}
	s.mu.Unlock()
	if !own.rate.AllowN(s.now(), 1) {
		return "", nil, fault.New(codes.ResourceExhausted, fault.QuotaExceeded, "", "the log is asked for more than it shows at once: ask at most five times a second")
	}
	return caller.Bureau, own, nil
}

// enter waits for a place among those whose proofs are computed, and returns how to leave it.
func (s *service) enter(ctx context.Context, own *budget) (leave func(), err error) {
	select {
	case own.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots; <-own.slots }, nil
	case <-ctx.Done():
		<-own.slots
		return nil, ctx.Err()
	}
}

// size is that of the newest checkpoint: what is beyond it was not signed and is not shown.
func (s *service) size() (uint64, error) {
	newest := s.log.Newest()
	if len(newest) == 0 {
		return 0, nil
	}
	c, err := evidence.ParseCheckpoint(newest)
	return c.Size, err
}

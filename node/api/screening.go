package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"unicode/utf8"

	"buf.build/go/protovalidate"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/identity"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

func newOperationID() string { return uuid.NewString() }

// Checker makes one check.
type Checker interface {
	Check(ctx context.Context, client identity.Identity, req *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error)
}

// batchWorkers is how many checks of one batch are made at the same time: enough to hide the
// round trips of asks abroad, few enough that one coach does not hold up the other posts.
const batchWorkers = 8

// ScreeningService serves checks.
type ScreeningService struct {
	screeningv1.UnimplementedScreeningServiceServer
	checker Checker
	limiter Limiter                                   // nil: nothing is counted
	narrow  func(identity.Identity) identity.Identity // nil: as the certificate says
	logger  *slog.Logger
}

// NewScreeningService returns the service over a checker.
func NewScreeningService(c Checker) *ScreeningService {
	return &ScreeningService{checker: c, logger: slog.New(slog.DiscardHandler)}
}

// LimitBy has each check of a batch wait for its turn.
func (s *ScreeningService) LimitBy(l Limiter) *ScreeningService {
	s.limiter = l
	return s
}

// NarrowBy takes away from callers the purposes that the register does not give them.
func (s *ScreeningService) NarrowBy(narrow func(identity.Identity) identity.Identity) *ScreeningService {
	s.narrow = narrow
	return s
}

// caller is who makes a check.
func (s *ScreeningService) caller(ctx context.Context) identity.Identity {
	id := Caller(ctx)
	if s.narrow == nil {
		return id
	}
	return s.narrow(id)
}

// LogTo has the service log to a logger, for what a response cannot say.
func (s *ScreeningService) LogTo(l *slog.Logger) *ScreeningService {
	if l != nil {
		s.logger = l
	}
	return s
}

// Check implements screeningv1.ScreeningServiceServer.
func (s *ScreeningService) Check(ctx context.Context, req *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
	return s.checker.Check(ctx, s.caller(ctx), req)
}

// maxBatch is how many checks one batch takes: their references are remembered.
const maxBatch = 100_000

// CheckBatch implements screeningv1.ScreeningServiceServer. Answers come in the order in which
// they are done. What is wrong with one check costs that check alone.
func (s *ScreeningService) CheckBatch(bs grpc.BidiStreamingServer[screeningv1.CheckBatchRequest, screeningv1.CheckBatchResponse]) error {
	answers := make(chan *screeningv1.CheckBatchResponse)
	sent := make(chan error, 1)
	go func() { sent <- send(bs, answers) }()
	var checks errgroup.Group
	checks.SetLimit(batchWorkers)
	b := batch{references: map[string]bool{}}
	var ended error
	for {
		req, err := b.next(bs)
		if req == nil {
			ended = err
			break
		}
		checks.Go(func() error {
			answers <- s.one(bs.Context(), req.GetCheck(), err)
			return nil
		})
	}
	waited := checks.Wait()
	close(answers)
	return errors.Join(ended, waited, <-sent)
}

// send sends answers until there are no more. If the caller is gone, it takes the rest in all the
// same: the checks under way must not block.
func send(bs grpc.BidiStreamingServer[screeningv1.CheckBatchRequest, screeningv1.CheckBatchResponse], answers <-chan *screeningv1.CheckBatchResponse) error {
	var err error
	for a := range answers {
		if err == nil {
			err = bs.Send(a)
		}
	}
	return err
}

// batch is what was received of one batch.
type batch struct {
	references map[string]bool
	received   int
}

// next receives the next check, with an error if that check cannot be made. Without a check the
// batch has ended, by the error if there is one.
func (b *batch) next(bs grpc.ServerStream) (*screeningv1.CheckBatchRequest, error) {
	req := &screeningv1.CheckBatchRequest{}
	err := bs.RecvMsg(req)
	var invalid *protovalidate.ValidationError
	switch {
	case errors.As(err, &invalid):
		return req, err
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if b.received++; b.received > maxBatch {
		return nil, fault.TooLarge()
	}
	// By the treaty, one reference is one check: sent twice, it would be recorded twice.
	if ref := req.GetCheck().GetReference(); ref != "" {
		if b.references[ref] {
			return req, fault.New(codes.InvalidArgument, fault.MalformedRequest, "check.reference",
				"the batch has a check with this reference already: give each its own")
		}
		b.references[ref] = true
	}
	return req, nil
}

// one makes one check of a batch, unless it is refused already. A panic costs that check alone:
// outside the handler's goroutine nobody else would catch it. What the register takes away from the
// caller while the batch is under way, it has no more from the next check on.
func (s *ScreeningService) one(ctx context.Context, req *screeningv1.CheckRequest, refused error) (out *screeningv1.CheckBatchResponse) {
	defer func() {
		if p := recover(); p != nil {
			s.logger.ErrorContext(ctx, "panic in a check of a batch", slog.String("stack", string(debug.Stack())))
			out = failure(req, panicked())
		}
	}()
	if refused != nil {
		return failure(req, refused)
	}
	caller := s.caller(ctx)
	if s.limiter != nil {
		within, leave, err := s.limiter.Row(ctx, caller)
		if err != nil {
			return failure(req, err)
		}
		defer leave()
		ctx = within
	}
	resp, err := s.checker.Check(ctx, caller, req)
	if err != nil {
		return failure(req, err)
	}
	return &screeningv1.CheckBatchResponse{Result: &screeningv1.CheckBatchResponse_Response{Response: resp}}
}

// The bounds of a failure (screening.proto).
const (
	maxReference = 128
	maxMessage   = 1024
)

func failure(req *screeningv1.CheckRequest, err error) *screeningv1.CheckBatchResponse {
	err = fault.From(err)
	st := status.Convert(err)
	reason, _ := fault.ReasonOf(err)
	return &screeningv1.CheckBatchResponse{Result: &screeningv1.CheckBatchResponse_Failure{Failure: &screeningv1.CheckFailure{
		Reference: atMost(req.GetReference(), maxReference), Code: int32(st.Code()), Reason: string(reason), Message: atMost(st.Message(), maxMessage),
	}}}
}

// atMost cuts a text to a number of bytes, between two characters.
func atMost(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

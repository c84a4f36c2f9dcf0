package api

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/google/uuid"

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
}

// NewScreeningService returns the service over a checker.
func NewScreeningService(c Checker) *ScreeningService { return &ScreeningService{checker: c} }

// Check implements screeningv1.ScreeningServiceServer.
func (s *ScreeningService) Check(ctx context.Context, req *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
	return s.checker.Check(ctx, Caller(ctx), req)
}

// CheckBatch implements screeningv1.ScreeningServiceServer. Answers come in the order in which
// they are done.
func (s *ScreeningService) CheckBatch(bs grpc.BidiStreamingServer[screeningv1.CheckBatchRequest, screeningv1.CheckBatchResponse]) error {
	caller := Caller(bs.Context())
	group, ctx := errgroup.WithContext(bs.Context())
	group.SetLimit(batchWorkers)
	answers := make(chan *screeningv1.CheckBatchResponse)
	sent := make(chan error, 1)
	go func() {
		for a := range answers {
			if err := bs.Send(a); err != nil {
				sent <- err
				for range answers { // the checks under way must not block on a caller that is gone
				}
				return
			}
		}
		sent <- nil
	}()
	var received error
	for {
		req, err := bs.Recv()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				received = err
			}
			break
		}
		group.Go(func() error {
			answers <- s.one(ctx, caller, req.GetCheck())
			return nil
		})
	}
	waited := group.Wait()
	close(answers)
	return errors.Join(received, waited, <-sent)
}

func (s *ScreeningService) one(ctx context.Context, caller identity.Identity, req *screeningv1.CheckRequest) *screeningv1.CheckBatchResponse {
	resp, err := s.checker.Check(ctx, caller, req)
	if err == nil {
		return &screeningv1.CheckBatchResponse{Result: &screeningv1.CheckBatchResponse_Response{Response: resp}}
	}
	err = fault.From(err)
	st := status.Convert(err)
	reason, _ := fault.ReasonOf(err)
	return &screeningv1.CheckBatchResponse{Result: &screeningv1.CheckBatchResponse_Failure{Failure: &screeningv1.CheckFailure{
		Reference: req.GetReference(), Code: int32(st.Code()), Reason: string(reason), Message: st.Message(),
	}}}
}

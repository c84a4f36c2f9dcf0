package api

import (
	"context"
	"errors"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// Acts is where the acts wait that need two persons. Who may read them, and who may approve any at
// all, the gate has decided; who may approve this one is decided there.
type Acts interface {
	// List returns them, oldest first.
	List(ctx context.Context) ([]*adminv1.Act, error)
	// Waiting is how many wait for a second person.
	Waiting() int
	// Approve and Refuse call book when nothing but the change itself is left, and before it stands.
	Approve(ctx context.Context, approver identity.Identity, id string, book func(*adminv1.Act) error) (*adminv1.Act, error)
	Refuse(ctx context.Context, who identity.Identity, id string, book func() error) error
}

// ListActs implements adminv1.AdminServiceServer.
func (s *AdminService) ListActs(ctx context.Context, _ *adminv1.ListActsRequest) (*adminv1.ListActsResponse, error) {
	acts, err := s.cfg.Acts.List(ctx)
	if err != nil {
		return nil, err
	}
	return &adminv1.ListActsResponse{Acts: acts}, nil
}

// ApproveAct implements adminv1.AdminServiceServer.
func (s *AdminService) ApproveAct(ctx context.Context, req *adminv1.ApproveActRequest) (*adminv1.ApproveActResponse, error) {
	approver := Caller(ctx)
	act, err := s.cfg.Acts.Approve(ctx, approver, req.GetActId(), func(act *adminv1.Act) error {
		return s.cfg.Scribe.Did(ctx, approver, Act{Operation: policy.OperationApproveAct, Object: "act " + act.GetActId() + ": approved " + act.GetOperation()})
	})
	if err != nil {
		return nil, s.notDone(ctx, approver, "act "+req.GetActId()+": approve", err)
	}
	return &adminv1.ApproveActResponse{Act: act}, nil
}

// RefuseAct implements adminv1.AdminServiceServer.
func (s *AdminService) RefuseAct(ctx context.Context, req *adminv1.RefuseActRequest) (*adminv1.RefuseActResponse, error) {
	who := Caller(ctx)
	err := s.cfg.Acts.Refuse(ctx, who, req.GetActId(), func() error {
		return s.cfg.Scribe.Did(ctx, who, Act{Operation: policy.OperationApproveAct, Object: "act " + req.GetActId() + ": refused"})
	})
	if err != nil {
		return nil, s.notDone(ctx, who, "act "+req.GetActId()+": refuse", err)
	}
	return &adminv1.RefuseActResponse{}, nil
}

// notDone books that somebody was not let approve or refuse an act, and why: that one person tries to
// be two is what the second one is there to find.
func (s *AdminService) notDone(ctx context.Context, who identity.Identity, object string, err error) error {
	did := Act{Operation: policy.OperationApproveAct, Object: object}
	did.Failed, _ = fault.ReasonOf(fault.From(err))
	return errors.Join(err, s.cfg.Scribe.Did(ctx, who, did))
}

package api

import (
	"context"
	"fmt"

	"github.com/entente-mesh/entente/federation/policy"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// ClearAlarm implements adminv1.AdminServiceServer.
func (s *AdminService) ClearAlarm(ctx context.Context, req *adminv1.ClearAlarmRequest) (*adminv1.ClearAlarmResponse, error) {
	act := Act{Operation: policy.OperationClearAlarm, Object: "alarm " + req.GetAlarmId(), Reason: req.GetNote()}
	if err := s.cfg.Scribe.Did(ctx, Caller(ctx), act); err != nil {
		return nil, err
	}
	if err := s.cfg.Alarms.Clear(ctx, req.GetAlarmId(), req.GetNote()); err != nil {
		return nil, err
	}
	return &adminv1.ClearAlarmResponse{}, nil
}

// ListQuotas implements adminv1.AdminServiceServer.
func (s *AdminService) ListQuotas(_ context.Context, req *adminv1.ListQuotasRequest) (*adminv1.ListQuotasResponse, error) {
	return &adminv1.ListQuotasResponse{Quotas: s.cfg.Quotas.List(req.GetScope(), req.GetName())}, nil
}

// SetQuota implements adminv1.AdminServiceServer.
func (s *AdminService) SetQuota(ctx context.Context, req *adminv1.SetQuotaRequest) (*adminv1.SetQuotaResponse, error) {
	q := req.GetQuota()
	what := fmt.Sprintf("%s %s: %g/s, %d at once, %d subjects, %d positives", q.GetScope(), q.GetName(), q.GetPerSecond(), q.GetBurst(),
		q.GetSubjectsPerDay(), q.GetPositivesPerDay())
	if req.GetLift() {
		what += ", throttle lifted"
	}
	if err := s.cfg.Scribe.Did(ctx, Caller(ctx), Act{Operation: policy.OperationSetQuota, Object: what}); err != nil {
		return nil, err
	}
	state, err := s.cfg.Quotas.Set(ctx, q, req.GetLift())
	if err != nil {
		return nil, err
	}
	return &adminv1.SetQuotaResponse{Quota: state}, nil
}

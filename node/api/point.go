package api

import (
	"context"
	"errors"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// OperatingPoint is from where on an officer is told of a person.
type OperatingPoint interface {
	// Show is the point as it holds now.
	Show() *adminv1.OperatingPoint
	// Cost is the same with the thresholds of each region and what this point and others cost.
	Cost() (*adminv1.OperatingPoint, *adminv1.RecallMeasurement)
	// Measure begins to measure what they cost, unless that is under way.
	Measure()
	// Set changes it. It calls book when nothing but the change itself is left, and before it stands.
	Set(ctx context.Context, req *adminv1.SetOperatingPointRequest, book func(change string) error) error
}

// GetOperatingPoint implements adminv1.AdminServiceServer.
func (s *AdminService) GetOperatingPoint(_ context.Context, req *adminv1.GetOperatingPointRequest) (*adminv1.GetOperatingPointResponse, error) {
	if req.GetMeasure() {
		s.cfg.Point.Measure()
	}
	point, how := s.cfg.Point.Cost()
	return &adminv1.GetOperatingPointResponse{Point: point, Measurement: how}, nil
}

// SetOperatingPoint implements adminv1.AdminServiceServer. Who sets it high enough blinds the border,
// so that a bureau may have it need two persons.
func (s *AdminService) SetOperatingPoint(ctx context.Context, req *adminv1.SetOperatingPointRequest) (*adminv1.SetOperatingPointResponse, error) {
	client := Caller(ctx)
	var booked *Act
	err := s.cfg.Point.Set(ctx, req, func(change string) error {
		// Who approves, approves this very change.
		second, err := s.cfg.Second.Need(ctx, client, policy.OperationSetPoint, []byte(change), "set the operating point: "+change)
		if err != nil {
			return err
		}
		act := Act{Operation: policy.OperationSetPoint, Object: change, Second: second}
		if err := s.cfg.Scribe.Did(ctx, client, act); err != nil {
			return err
		}
		booked = &act
		return nil
	})
	switch {
	case err == nil:
		return &adminv1.SetOperatingPointResponse{Point: s.cfg.Point.Show()}, nil
	case booked == nil:
		return nil, err
	}
	booked.Failed, _ = fault.ReasonOf(fault.From(err))
	return nil, errors.Join(err, s.cfg.Scribe.Did(ctx, client, *booked))
}

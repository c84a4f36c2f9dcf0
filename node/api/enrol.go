package api

import (
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/pki/identity"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
)

// Enrol implements pkiv1.EnrolmentServiceServer.
func (s *EnrolmentService) Enrol(ctx context.Context, req *pkiv1.EnrolRequest) (*pkiv1.EnrolResponse, error) {
	id, err := s.enrolled(req)
	if err != nil {
		return nil, err
	}
	if err := readable(req.GetCsr()); err != nil {
		return nil, err
	}
	if err := s.cfg.Register.Vacant(id); err != nil {
		return nil, err
	}
	admin := Caller(ctx)
	// The second person approves who may do what. The key is not part of it: whoever asks again
	// has made a new one.
	request, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pkiv1.EnrolRequest{
		Agency: req.GetAgency(), Role: req.GetRole(), Name: req.GetName(), Purposes: words(id),
	})
	if err != nil {
		return nil, err
	}
	second, err := s.cfg.Second.Need(ctx, admin, policy.OperationEnrolClient, request, "enrol "+id.String())
	if err != nil {
		return nil, err
	}
	chain, err := s.cfg.Issuer.EnrolClient(ctx, id, req.GetCsr())
	if err != nil {
		return nil, issueFault(ctx, err)
	}
	if err := s.cfg.Scribe.Did(ctx, admin, Act{Operation: policy.OperationEnrolClient, Object: id.String(), Second: second}); err != nil {
		return nil, err
	}
	if err := s.cfg.Register.Enrolled(ctx, id, admin, chain[0]); err != nil {
		return nil, err
	}
	if root := s.cfg.Issuer.Root(); !chain[len(chain)-1].Equal(root) {
		chain = append(slices.Clone(chain), root)
	}
	return &pkiv1.EnrolResponse{Chain: raw(chain), NotAfter: timestamppb.New(chain[0].NotAfter)}, nil
}

// enrolled is the client that is to be enrolled, with its purposes.
func (s *EnrolmentService) enrolled(req *pkiv1.EnrolRequest) (identity.Identity, error) {
	id, err := s.client(req.GetAgency(), req.GetRole(), req.GetName())
	if err != nil {
		return id, err
	}
	for _, word := range req.GetPurposes() {
		p, err := identity.ParsePurpose(word)
		if err != nil {
			return id, fault.New(codes.InvalidArgument, fault.MalformedRequest, "purposes",
				"no such purpose: give words such as border-control, police-check or visa")
		}
		id.Purposes = append(id.Purposes, p)
	}
	slices.Sort(id.Purposes)
	id.Purposes = slices.Compact(id.Purposes)
	return id, nil
}

func words(id identity.Identity) []string {
	var all []string
	for _, p := range id.Purposes {
		all = append(all, identity.PurposeName(p))
	}
	return all
}

// Revoke implements pkiv1.EnrolmentServiceServer.
func (s *EnrolmentService) Revoke(ctx context.Context, req *pkiv1.RevokeRequest) (*pkiv1.RevokeResponse, error) {
	id, err := s.client(req.GetAgency(), req.GetRole(), req.GetName())
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Register.Known(id); err != nil {
		return nil, err
	}
	admin := Caller(ctx)
	if err := s.cfg.Scribe.Did(ctx, admin, Act{Operation: policy.OperationRevokeClient, Object: id.String(), Reason: req.GetReason()}); err != nil {
		return nil, err
	}
	if err := s.cfg.Register.Revoke(ctx, id, admin, req.GetReason()); err != nil {
		return nil, err
	}
	// In the register first: a connection that is made now is refused, one that was made before is
	// closed here. Whoever revokes itself gets no answer.
	return &pkiv1.RevokeResponse{ClosedConnections: uint32(s.cfg.Connections.CloseClient(id))}, nil
}

// ListClients implements pkiv1.EnrolmentServiceServer.
func (s *EnrolmentService) ListClients(context.Context, *pkiv1.ListClientsRequest) (*pkiv1.ListClientsResponse, error) {
	return &pkiv1.ListClientsResponse{Clients: s.cfg.Register.Clients()}, nil
}

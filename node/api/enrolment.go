package api

import (
	"context"
	"crypto/x509"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/authority"
	"github.com/entente-mesh/entente/pki/mtls"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
)

// Issuer renews the certificates of clients.
type Issuer interface {
	RenewClient(ctx context.Context, old *x509.Certificate, csrDER []byte) ([]*x509.Certificate, error)
}

// EnrolmentService serves the own clients' certificates.
type EnrolmentService struct {
	pkiv1.UnimplementedEnrolmentServiceServer
	issuer Issuer
}

// NewEnrolmentService returns the service over the bureau's own authority.
func NewEnrolmentService(i Issuer) *EnrolmentService { return &EnrolmentService{issuer: i} }

// Renew implements pkiv1.EnrolmentServiceServer.
func (s *EnrolmentService) Renew(ctx context.Context, req *pkiv1.RenewRequest) (*pkiv1.RenewResponse, error) {
	old, ok := mtls.PeerCertificate(ctx)
	if !ok {
		return nil, fault.New(codes.Unauthenticated, fault.IdentityUnverified, "", "present the certificate that is to be renewed")
	}
	if _, err := x509.ParseCertificateRequest(req.GetCsr()); err != nil {
		return nil, fault.New(codes.InvalidArgument, fault.MalformedRequest, "csr", "the request is no PKCS #10 certificate signing request in DER: build it anew")
	}
	chain, err := s.issuer.RenewClient(ctx, old, req.GetCsr())
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, authority.ErrRequest):
		return nil, errors.Join(fault.New(codes.InvalidArgument, fault.MalformedRequest, "csr",
			"the certificate signing request is not acceptable: make it anew, with a strong key (ECDSA P-256) and signed by it"), err)
	case errors.Is(err, authority.ErrNotRenewable):
		// Joined, the cause reaches the own log and goes no further.
		return nil, errors.Join(fault.New(codes.PermissionDenied, fault.CertificateRefused, "",
			"the authority does not renew this certificate: have your PKI administrator enrol you again"), err)
	default:
		return nil, errors.Join(fault.New(codes.Unavailable, fault.AuthorityUnavailable, "",
			"the authority cannot renew certificates now: try again, and tell the node's operator if it lasts"), err)
	}
	resp := &pkiv1.RenewResponse{NotAfter: timestamppb.New(chain[0].NotAfter)}
	for _, c := range chain {
		resp.Chain = append(resp.Chain, c.Raw)
	}
	return resp, nil
}

package api

import (
	"context"
	"crypto/x509"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
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
	if err != nil {
		return nil, fault.New(codes.FailedPrecondition, fault.CertificateRefused, "", "the authority does not renew this certificate: have your PKI administrator enrol you again")
	}
	resp := &pkiv1.RenewResponse{NotAfter: timestamppb.New(chain[0].NotAfter)}
	for _, c := range chain {
		resp.Chain = append(resp.Chain, c.Raw)
	}
	return resp, nil
}

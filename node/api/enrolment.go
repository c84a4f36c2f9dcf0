package api

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/authority"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
)

// Issuer makes the certificates of clients.
type Issuer interface {
	// EnrolClient issues a first certificate, of whose request nothing but the key is taken.
	EnrolClient(ctx context.Context, id identity.Identity, csrDER []byte) ([]*x509.Certificate, error)
	// RenewClient issues the next one for the identity of an old one.
	RenewClient(ctx context.Context, old *x509.Certificate, csrDER []byte) ([]*x509.Certificate, error)
	// Root is the bureau's root, by which a client knows its node.
	Root() *x509.Certificate
}

// Register is who the own clients are.
type Register interface {
	// Vacant refuses a client that cannot be enrolled now.
	Vacant(id identity.Identity) error
	// Enrolled enters a client with its first certificate; Renewed enters the next one, or refuses
	// it because the client was revoked meanwhile. Only then may a certificate be handed over.
	Enrolled(ctx context.Context, id, by identity.Identity, leaf *x509.Certificate) error
	Renewed(ctx context.Context, id identity.Identity, old, renewed *x509.Certificate) error
	// Known refuses a client that is not in the register; Revoke ends one.
	Known(id identity.Identity) error
	Revoke(ctx context.Context, id, by identity.Identity, reason string) error
	Clients() []*pkiv1.Client
	// Admit refuses an identity that was revoked.
	Admit(id identity.Identity) error
}

// ClientConnections are the open connections of the own clients.
type ClientConnections interface {
	CloseClient(id identity.Identity) int
}

// EnrolmentConfig is what the service of the clients' certificates is made of.
type EnrolmentConfig struct {
	Federation  identity.Federation
	Bureau      identity.Bureau
	Issuer      Issuer
	Register    Register
	Connections ClientConnections
	Second      SecondPerson
	Scribe      Scribe
}

// EnrolmentService serves the own clients' certificates.
type EnrolmentService struct {
	pkiv1.UnimplementedEnrolmentServiceServer
	cfg EnrolmentConfig
}

// NewEnrolmentService returns the service over the bureau's own authority and register.
func NewEnrolmentService(cfg EnrolmentConfig) *EnrolmentService { return &EnrolmentService{cfg: cfg} }

// Renew implements pkiv1.EnrolmentServiceServer.
func (s *EnrolmentService) Renew(ctx context.Context, req *pkiv1.RenewRequest) (*pkiv1.RenewResponse, error) {
	old, ok := mtls.PeerCertificate(ctx)
	if !ok {
		return nil, fault.New(codes.Unauthenticated, fault.IdentityUnverified, "", "present the certificate that is to be renewed")
	}
	client := Caller(ctx)
	if err := s.cfg.Register.Admit(client); err != nil {
		return nil, err
	}
	if err := readable(req.GetCsr()); err != nil {
		return nil, err
	}
	chain, err := s.cfg.Issuer.RenewClient(ctx, old, req.GetCsr())
	if err != nil {
		return nil, issueFault(ctx, err)
	}
	// Asked when the new certificate is there: a revocation that came while it was made holds.
	if err := s.cfg.Register.Renewed(ctx, client, old, chain[0]); err != nil {
		return nil, err
	}
	return &pkiv1.RenewResponse{Chain: raw(chain), NotAfter: timestamppb.New(chain[0].NotAfter)}, nil
}

// readable refuses bytes that are no certificate signing request.
func readable(csr []byte) error {
	if _, err := x509.ParseCertificateRequest(csr); err != nil {
		return fault.New(codes.InvalidArgument, fault.MalformedRequest, "csr", "the request is no PKCS #10 certificate signing request in DER: build it anew")
	}
	return nil
}

// issueFault is the error for a certificate that was not issued. Joined, the cause reaches the own
// log and goes no further.
func issueFault(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, authority.ErrRequest):
		return errors.Join(fault.New(codes.InvalidArgument, fault.MalformedRequest, "csr",
			"the certificate signing request is not acceptable: make it anew, with a strong key (ECDSA P-256) and signed by it"), err)
	case errors.Is(err, authority.ErrNotRenewable):
		return errors.Join(fault.New(codes.PermissionDenied, fault.CertificateRefused, "",
			"the authority does not renew this certificate: have your PKI administrator enrol you again"), err)
	default:
		return errors.Join(fault.New(codes.Unavailable, fault.AuthorityUnavailable, "",
			"the authority cannot issue certificates now: try again, and tell the node's operator if it lasts"), err)
	}
}

func raw(chain []*x509.Certificate) [][]byte {
	out := make([][]byte, 0, len(chain))
	for _, c := range chain {
		out = append(out, c.Raw)
	}
	return out
}

// client is the identity that a request names, without purposes.
func (s *EnrolmentService) client(agency, role, name string) (identity.Identity, error) {
	const segment = ": give 1 to 64 lower-case letters, digits, dots, dashes or underscores"
	of := func(agency, role, name string) identity.Identity {
		return identity.Client(s.cfg.Federation, s.cfg.Bureau, agency, identity.Role(role), name, nil)
	}
	bad := func(field, message string) (identity.Identity, error) {
		return identity.Identity{}, fault.New(codes.InvalidArgument, fault.MalformedRequest, field, message)
	}
	switch { // each part beside others that are good: so it is known which one is not
	case of("x", role, "x").Validate() != nil:
		return bad("role", fmt.Sprintf("no such role: give one of %v", identity.Roles()))
	case of(agency, role, "x").Validate() != nil:
		return bad("agency", "no agency is called so"+segment)
	case of("x", role, name).Validate() != nil:
		return bad("name", "no client can be called so"+segment)
	}
	return of(agency, role, name), nil
}

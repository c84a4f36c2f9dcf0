package api_test

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/api"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// staff is one of the bureau's own.
func staff(role identity.Role, name string) identity.Identity {
	return identity.Client(fed, bel, "bureau", role, name, nil)
}

// administrator dials as the PKI administrator of that name.
func (h *house) administrator(t *testing.T, name string) pkiv1.EnrolmentServiceClient {
	t.Helper()
	return pkiv1.NewEnrolmentServiceClient(h.as(t, staff(identity.RolePKIAdmin, name)))
}

func post9() *pkiv1.EnrolRequest {
	return &pkiv1.EnrolRequest{Agency: "border-police", Role: "officer", Name: "post-9", Purposes: []string{"visa", "border-control", "visa"}}
}

// enrol enrols a client with a key of its own, and returns its certificate.
func enrol(t *testing.T, admin pkiv1.EnrolmentServiceClient, req *pkiv1.EnrolRequest) (*mtls.Leaf, error) {
	t.Helper()
	key, csr, err := mtls.NewNamelessRequest()
	if err != nil {
		t.Fatal(err)
	}
	req.Csr = csr
	resp, err := admin.Enrol(t.Context(), req)
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for _, der := range resp.GetChain() {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	last := chain[len(chain)-1]
	if last.CheckSignatureFrom(last) != nil || !resp.GetNotAfter().AsTime().Equal(chain[0].NotAfter) {
		t.Errorf("the chain of %d does not end in the root, or is good until %s", len(chain), chain[0].NotAfter)
	}
	pair, err := mtls.Bind(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	return mtls.NewLeaf(pair), nil
}

// with dials with a certificate.
func (h *house) with(t *testing.T, leaf *mtls.Leaf) *grpc.ClientConn {
	t.Helper()
	return h.dial(t, mtls.LocalClient(leaf, h.own, bel, mtls.Options{}).DialOptions()...)
}

// renew has a certificate renewed over its own connection.
func renew(t *testing.T, conn *grpc.ClientConn, id identity.Identity) (*mtls.Leaf, error) {
	t.Helper()
	key, csr, err := mtls.NewRequest(id)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := pkiv1.NewEnrolmentServiceClient(conn).Renew(t.Context(), &pkiv1.RenewRequest{Csr: csr})
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(resp.GetChain()[0])
	if err != nil {
		t.Fatal(err)
	}
	intermediate, err := x509.ParseCertificate(resp.GetChain()[1])
	if err != nil {
		t.Fatal(err)
	}
	pair, err := mtls.Bind([]*x509.Certificate{leaf, intermediate}, key)
	if err != nil {
		t.Fatal(err)
	}
	return mtls.NewLeaf(pair), nil
}

// checks makes a check, which tells whether a client is heard.
func checks(t *testing.T, conn *grpc.ClientConn) error {
	t.Helper()
	_, err := screeningv1.NewScreeningServiceClient(conn).Check(t.Context(), requests()[screeningv1.ScreeningService_Check_FullMethodName][0].(*screeningv1.CheckRequest))
	return err
}

func heard(t *testing.T, what string, conn *grpc.ClientConn) {
	t.Helper()
	if err := checks(t, conn); err != nil {
		t.Errorf("%s is not heard: %v", what, err)
	}
}

// notHeard: the connection cannot be made, was closed under a call, or is refused.
func notHeard(t *testing.T, what string, conn *grpc.ClientConn) {
	t.Helper()
	if code := status.Code(checks(t, conn)); code != codes.Unavailable && code != codes.Unauthenticated {
		t.Errorf("%s is heard: %v", what, code)
	}
}

func isFault(t *testing.T, what string, err error, code codes.Code, reason fault.Reason) {
	t.Helper()
	if got, _ := fault.ReasonOf(err); got != reason || status.Code(err) != code {
		t.Errorf("%s: %v, want %s %s", what, err, code, reason)
	}
}

func TestAnEnrolledClientIsHeardAndListed(t *testing.T) {
	h := belgium(t)
	var came identity.Identity
	h.checker.check = func(_ context.Context, client identity.Identity, _ *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
		came = client
		return &screeningv1.CheckResponse{}, nil
	}
	admin := h.administrator(t, "pki-admin-1")
	leaf, err := enrol(t, admin, post9())
	if err != nil {
		t.Fatal(err)
	}
	heard(t, "the new client", h.with(t, leaf))
	if came.String() != "spiffe://bel.demo.entente/agency/border-police/officer/post-9" || len(came.Purposes) != 2 {
		t.Errorf("it is %s for %v", came, came.Purposes)
	}
	_, err = enrol(t, admin, post9())
	isFault(t, "enrolled twice", err, codes.AlreadyExists, fault.ClientExists)
	list, err := admin.ListClients(t.Context(), &pkiv1.ListClientsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list.GetClients(), func(c *pkiv1.Client) bool { return c.GetName() == "post-9" })
	if len(list.GetClients()) != 2 || i < 0 { // the administrator was taken up at first sight
		t.Fatalf("%v", list)
	}
	if c := list.GetClients()[i]; !cmp.Equal(c.GetPurposes(), []string{"border-control", "visa"}) || c.GetRevokedAt() != nil ||
		c.GetEnrolledBy() != staff(identity.RolePKIAdmin, "pki-admin-1").String() {
		t.Errorf("listed %v", c)
	}
	if want := []api.Act{{Operation: policy.OperationEnrolClient, Object: came.String()}}; !cmp.Equal(h.scribe.acts, want) {
		t.Errorf("in the books: %v", h.scribe.acts)
	}
}

func TestEnrolmentsThatAreRefused(t *testing.T) {
	h := belgium(t)
	admin := h.administrator(t, "pki-admin-1")
	for field, change := range map[string]func(*pkiv1.EnrolRequest){
		"agency":   func(r *pkiv1.EnrolRequest) { r.Agency = "Jan Peeters" },
		"role":     func(r *pkiv1.EnrolRequest) { r.Role = "peeters" },
		"name":     func(r *pkiv1.EnrolRequest) { r.Name = "a/peeters" },
		"purposes": func(r *pkiv1.EnrolRequest) { r.Purposes = []string{"border-control", "peeters"} },
	} {
		req := post9()
		change(req)
		_, err := enrol(t, admin, req)
		isFault(t, field, err, codes.InvalidArgument, fault.MalformedRequest)
		if fault.FieldOf(err) != field || strings.Contains(strings.ToLower(err.Error()), "peeters") {
			t.Errorf("%s: %v names %q", field, err, fault.FieldOf(err))
		}
	}
	req := post9()
	req.Csr = make([]byte, 200)
	_, err := admin.Enrol(t.Context(), req)
	isFault(t, "no request", err, codes.InvalidArgument, fault.MalformedRequest)
	_, err = admin.Revoke(t.Context(), &pkiv1.RevokeRequest{Agency: "border-police", Role: "officer", Name: "post-9", Reason: "x"})
	isFault(t, "revoking nobody", err, codes.NotFound, fault.ClientNotFound)

	// What cannot be booked is not done.
	h.scribe.broken = errors.New("disk full")
	if _, err := enrol(t, admin, post9()); err == nil {
		t.Error("enrolled past the books")
	}
	if _, err := admin.Revoke(t.Context(), &pkiv1.RevokeRequest{Agency: "bureau", Role: "pki-admin", Name: "pki-admin-1", Reason: "x"}); err == nil {
		t.Error("revoked past the books")
	}
	if len(h.scribe.acts) != 0 || len(h.register.Clients()) != 1 || h.register.Clients()[0].GetRevokedAt() != nil {
		t.Errorf("%v, %v", h.scribe.acts, h.register.Clients())
	}
}

// TestARevokedClientIsCutOffAtOnce, with the certificate that it came with and the one that it has
// renewed into, on connections that are open and on new ones; and only that client.
func TestARevokedClientIsCutOffAtOnce(t *testing.T) {
	h := belgium(t)
	h.checker.check = func(context.Context, identity.Identity, *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
		return &screeningv1.CheckResponse{}, nil
	}
	admin := h.administrator(t, "pki-admin-1")
	first, err := enrol(t, admin, post9())
	if err != nil {
		t.Fatal(err)
	}
	officer, err := identity.FromCertificate(first.X509(), fed)
	if err != nil {
		t.Fatal(err)
	}
	old := h.with(t, first)
	second, err := renew(t, old, officer)
	if err != nil {
		t.Fatal(err)
	}
	renewed, colleague := h.with(t, second), h.as(t, client(identity.RoleOfficer))
	heard(t, "the old certificate", old)
	heard(t, "the renewed certificate", renewed)
	heard(t, "a colleague", colleague)
	// A stream that waits, over the renewed certificate's connection.
	batch, err := screeningv1.NewScreeningServiceClient(renewed).CheckBatch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Send(&screeningv1.CheckBatchRequest{Check: requests()[screeningv1.ScreeningService_Check_FullMethodName][0].(*screeningv1.CheckRequest)}); err != nil {
		t.Fatal(err)
	}
	if _, err := batch.Recv(); err != nil {
		t.Fatal(err)
	}

	resp, err := admin.Revoke(t.Context(), &pkiv1.RevokeRequest{Agency: officer.Agency, Role: string(officer.Role), Name: officer.Name, Reason: "card stolen"})
	if err != nil || resp.GetClosedConnections() != 2 {
		t.Fatalf("revoked: %v, %v", resp, err)
	}
	if _, err := batch.Recv(); err == nil {
		t.Error("the stream goes on")
	}
	notHeard(t, "the old certificate", old)
	notHeard(t, "the renewed certificate", renewed)
	notHeard(t, "the old certificate, anew", h.with(t, first))
	notHeard(t, "the renewed certificate, anew", h.with(t, second))
	if _, err := renew(t, h.with(t, second), officer); err == nil {
		t.Error("the certificate of who was revoked was renewed")
	}
	heard(t, "a colleague", colleague)
	if act := h.scribe.acts[len(h.scribe.acts)-1]; act.Operation != policy.OperationRevokeClient || act.Object != officer.String() || act.Reason != "card stolen" {
		t.Errorf("in the books: %v", act)
	}

	// Enrolled again, the officer is heard with the new card, and the thief with none.
	third, err := enrol(t, admin, post9())
	if err != nil {
		t.Fatal(err)
	}
	conn := h.with(t, third)
	heard(t, "the new card", conn)
	if _, err := renew(t, conn, officer); err != nil {
		t.Errorf("the new card is not renewed: %v", err)
	}
	notHeard(t, "the stolen card", h.with(t, first))
	notHeard(t, "the stolen card, renewed", h.with(t, second))
}

// TestARevocationOvertakesARenewal: it comes when the new certificate is made and not handed over.
func TestARevocationOvertakesARenewal(t *testing.T) {
	h := belgium(t)
	admin := h.administrator(t, "pki-admin-1")
	leaf, err := enrol(t, admin, post9())
	if err != nil {
		t.Fatal(err)
	}
	officer, err := identity.FromCertificate(leaf.X509(), fed)
	if err != nil {
		t.Fatal(err)
	}
	h.issuer.renewed = func() {
		if err := h.register.Revoke(t.Context(), officer, staff(identity.RolePKIAdmin, "pki-admin-1"), "card stolen"); err != nil {
			t.Error(err)
		}
	}
	_, err = renew(t, h.with(t, leaf), officer)
	if code := status.Code(err); code != codes.Unauthenticated {
		t.Errorf("renewed after the revocation: %v", err)
	}
	notHeard(t, "the client", h.with(t, leaf))
}

// TestTwoPersonsEnrol, where the bureau asks for two: the second one sees who is to be enrolled,
// and the key may be another when the first one comes again.
func TestTwoPersonsEnrol(t *testing.T) {
	h := belgium(t, policy.OperationEnrolClient)
	ann, bob := h.as(t, staff(identity.RolePKIAdmin, "ann")), h.as(t, staff(identity.RolePKIAdmin, "bob"))
	want := func(req *pkiv1.EnrolRequest) string {
		t.Helper()
		_, err := enrol(t, pkiv1.NewEnrolmentServiceClient(ann), req)
		isFault(t, "wanted by one", err, codes.FailedPrecondition, fault.SecondPersonNeeded)
		return fault.Value(err, fault.ActIDKey)
	}
	id := want(post9())
	list, err := adminv1.NewAdminServiceClient(bob).ListActs(t.Context(), &adminv1.ListActsRequest{})
	if err != nil || len(list.GetActs()) != 1 || list.GetActs()[0].GetActId() != id ||
		list.GetActs()[0].GetSummary() != "enrol spiffe://bel.demo.entente/agency/border-police/officer/post-9" {
		t.Fatalf("%v, %v", list, err)
	}
	approve := func(conn *grpc.ClientConn) error {
		_, err := adminv1.NewAdminServiceClient(conn).ApproveAct(t.Context(), &adminv1.ApproveActRequest{ActId: id})
		return err
	}
	isFault(t, "approved by herself", approve(ann), codes.PermissionDenied, fault.SamePerson)
	isFault(t, "approved by herself with another certificate", approve(h.as(t, staff(identity.RolePKIAdmin, "ann"))), codes.PermissionDenied, fault.SamePerson)
	isFault(t, "approved by an operator", approve(h.as(t, staff(identity.RoleOperator, "operator-1"))), codes.PermissionDenied, fault.RoleNotPermitted)
	isFault(t, "approved by an officer", approve(h.as(t, staff(identity.RoleOfficer, "officer-1"))), codes.PermissionDenied, fault.RoleNotPermitted)
	if err := approve(bob); err != nil {
		t.Fatal(err)
	}
	more := post9()
	more.Purposes = append(more.Purposes, "investigation")
	other := want(more)
	leaf, err := enrol(t, pkiv1.NewEnrolmentServiceClient(ann), post9())
	if err != nil || leaf == nil {
		t.Fatal(err)
	}
	last := h.scribe.acts[len(h.scribe.acts)-1]
	if last.Operation != policy.OperationEnrolClient || last.Second != staff(identity.RolePKIAdmin, "bob").String() {
		t.Errorf("in the books: %v", last)
	}
	// The other one waits still, until it is refused.
	if h.desk.Waiting() != 1 {
		t.Errorf("%d wait", h.desk.Waiting())
	}
	id = other
	if _, err := adminv1.NewAdminServiceClient(bob).RefuseAct(t.Context(), &adminv1.RefuseActRequest{ActId: id}); err != nil {
		t.Fatal(err)
	}
	isFault(t, "refused, and then approved", approve(bob), codes.NotFound, fault.ActNotFound)
}

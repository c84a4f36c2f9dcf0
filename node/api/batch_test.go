package api_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/api"
	"github.com/entente-mesh/entente/pki/authority"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

func aCheck(reference string) *screeningv1.CheckRequest {
	return &screeningv1.CheckRequest{Reference: reference, Mrz: "P<", Justification: &queryv1.Justification{Purpose: border}}
}

// echo answers every check with its reference.
func echo(_ context.Context, _ identity.Identity, req *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
	return &screeningv1.CheckResponse{Reference: req.GetReference()}, nil
}

// batch sends checks and returns the answers by reference; several of one reference are counted
// behind it: "r1", "r1+".
func batch(t *testing.T, conn *grpc.ClientConn, checks ...*screeningv1.CheckRequest) map[string]*screeningv1.CheckBatchResponse {
	t.Helper()
	stream, err := screeningv1.NewScreeningServiceClient(conn).CheckBatch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		for _, c := range checks {
			if err := stream.Send(&screeningv1.CheckBatchRequest{Check: c}); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	got := map[string]*screeningv1.CheckBatchResponse{}
	for {
		a, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		ref := a.GetResponse().GetReference() + a.GetFailure().GetReference()
		for got[ref] != nil {
			ref += "+"
		}
		got[ref] = a
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	return got
}

func TestBatchAnswersEachCheckOnce(t *testing.T) {
	h := belgium(t)
	var under, most atomic.Int32
	h.checker.check = func(ctx context.Context, id identity.Identity, req *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
		for n := under.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer under.Add(-1)
		if id.Agency != "federal-police" || id.Role != identity.RoleOfficer {
			return nil, fmt.Errorf("caller %v", id)
		}
		if strings.HasSuffix(req.GetReference(), "7") {
			return nil, fault.New(codes.InvalidArgument, fault.MRZUnreadable, "mrz", "read it again")
		}
		return echo(ctx, id, req)
	}
	var checks []*screeningv1.CheckRequest
	for i := range 500 {
		checks = append(checks, aCheck(fmt.Sprintf("traveller-%d", i)))
	}
	got := batch(t, h.as(t, client(identity.RoleOfficer)), checks...)
	if len(got) != len(checks) {
		t.Fatalf("%d answers to %d checks", len(got), len(checks))
	}
	for ref, a := range got {
		f := a.GetFailure()
		if strings.HasSuffix(ref, "7") != (f != nil) {
			t.Errorf("%s: %v", ref, a)
		}
		if f != nil && (f.GetReason() != string(fault.MRZUnreadable) || f.GetCode() != int32(codes.InvalidArgument) || f.GetMessage() != "read it again") {
			t.Errorf("%s: %v", ref, f)
		}
	}
	if most.Load() > 8 {
		t.Errorf("%d checks at once", most.Load())
	}
}

func TestBatchAnswersInTheOrderInWhichTheyAreDone(t *testing.T) {
	h := belgium(t)
	release := make(chan struct{})
	h.checker.check = func(ctx context.Context, id identity.Identity, req *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
		if req.GetReference() == "slow" {
			<-release
		}
		return echo(ctx, id, req)
	}
	stream, err := screeningv1.NewScreeningServiceClient(h.as(t, client(identity.RoleOfficer))).CheckBatch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"slow", "quick"} {
		if err := stream.Send(&screeningv1.CheckBatchRequest{Check: aCheck(ref)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"quick", "slow"} {
		a, err := stream.Recv()
		if err != nil || a.GetResponse().GetReference() != want {
			t.Fatalf("%v, %v; want %s", a, err, want)
		}
		if want == "quick" {
			close(release)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v", err)
	}
}

func TestBatchOneBadCheckCostsItselfAlone(t *testing.T) {
	h := belgium(t)
	var made atomic.Int32
	h.checker.check = func(ctx context.Context, id identity.Identity, req *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
		made.Add(1)
		return echo(ctx, id, req)
	}
	malformed := aCheck("malformed")
	malformed.Mrz = strings.Repeat("Peeters", 100)
	got := batch(t, h.as(t, client(identity.RoleOfficer)), aCheck("a"), malformed, aCheck("b"), aCheck("a"), aCheck(""), aCheck(""), nil, aCheck(strings.Repeat("é", 200)))
	for ref, reason := range map[string]fault.Reason{"a": "", "b": "", "malformed": fault.MalformedRequest, "a+": fault.MalformedRequest, "": "", "+": ""} {
		a := got[ref]
		if a == nil && ref != "a" && ref != "a+" {
			t.Errorf("%q was not answered: %v", ref, got)
			continue
		}
		if ref == "a" || ref == "a+" || ref == "" || ref == "+" {
			continue // which of the two is done first is open; counted below
		}
		if a.GetFailure().GetReason() != string(reason) || strings.Contains(a.GetFailure().GetMessage(), "Peeters") {
			t.Errorf("%q: %v", ref, a)
		}
	}
	// One reference is one check; those without are all made; the message without a check and the
	// one with too long a reference are not.
	if made.Load() != 4 || len(got) != 8 {
		t.Errorf("%d checks made, %d answers: %v", made.Load(), len(got), got)
	}
	failures := 0
	for _, a := range got {
		if f := a.GetFailure(); f != nil {
			failures++
			if len(f.GetReference()) > 128 {
				t.Errorf("a reference of %d bytes", len(f.GetReference()))
			}
		}
	}
	if failures != 4 {
		t.Errorf("%d failures", failures)
	}
}

// spoken is a batch that is held by hand: what is put into checks is received.
type spoken struct {
	grpc.ServerStream
	ctx     context.Context // gRPC hands a stream's context out by a method
	checks  chan *screeningv1.CheckRequest
	answers chan *screeningv1.CheckBatchResponse
}

func (s *spoken) Context() context.Context { return s.ctx }
func (s *spoken) RecvMsg(m any) error {
	check, more := <-s.checks
	if !more {
		return io.EOF
	}
	m.(*screeningv1.CheckBatchRequest).Check = check
	return nil
}
func (s *spoken) Recv() (*screeningv1.CheckBatchRequest, error) {
	m := &screeningv1.CheckBatchRequest{}
	return m, s.RecvMsg(m)
}
func (s *spoken) Send(a *screeningv1.CheckBatchResponse) error {
	s.answers <- a
	return nil
}

// TestABatchIsNarrowedAsItGoes: a purpose that is taken away while a long batch is under way is gone
// from the next check on.
func TestABatchIsNarrowedAsItGoes(t *testing.T) {
	var taken atomic.Bool
	held := &checker{check: func(_ context.Context, id identity.Identity, _ *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
		return &screeningv1.CheckResponse{Reference: fmt.Sprint(len(id.Purposes))}, nil
	}}
	service := api.NewScreeningService(held).NarrowBy(func(id identity.Identity) identity.Identity {
		if taken.Load() {
			id.Purposes = nil
		}
		return id
	})
	b := &spoken{
		ctx:    mtls.NewContext(t.Context(), client(identity.RoleOfficer), &x509.Certificate{}),
		checks: make(chan *screeningv1.CheckRequest), answers: make(chan *screeningv1.CheckBatchResponse, 1),
	}
	ended := make(chan error, 1)
	go func() { ended <- service.CheckBatch(b) }()
	for i, want := range []string{"1", "0"} {
		taken.Store(i > 0)
		b.checks <- aCheck(fmt.Sprint(i))
		if got := (<-b.answers).GetResponse().GetReference(); got != want {
			t.Errorf("check %d was made with %s purposes, want %s", i, got, want)
		}
	}
	close(b.checks)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestBatchOfACallerThatGoesAway(t *testing.T) {
	h := belgium(t)
	started, ended := make(chan struct{}, 100), make(chan struct{}, 100)
	h.checker.check = func(ctx context.Context, _ identity.Identity, _ *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
		started <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := screeningv1.NewScreeningServiceClient(h.as(t, client(identity.RoleOfficer))).CheckBatch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if err := stream.Send(&screeningv1.CheckBatchRequest{Check: aCheck(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	for range 8 {
		<-started
	}
	cancel()
	for range 8 { // the checks under way are given up; that nothing stays, goleak says at the end
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Fatal("a check of a caller that has gone is still under way")
		}
	}
}

func TestRenew(t *testing.T) {
	h := belgium(t)
	me := client(identity.RoleOfficer)
	conn := h.as(t, me)
	_, csr, err := mtls.NewRequest(me)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := pkiv1.NewEnrolmentServiceClient(conn).Renew(t.Context(), &pkiv1.RenewRequest{Csr: csr})
	if err != nil || len(resp.GetChain()) < 2 || !resp.GetNotAfter().AsTime().After(time.Now()) {
		t.Errorf("renewed %v, %v", resp, err)
	}
	// A renewal does not make an operator of an officer, whatever it asks for.
	_, other, err := mtls.NewRequest(client(identity.RoleOperator))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err = pkiv1.NewEnrolmentServiceClient(conn).Renew(t.Context(), &pkiv1.RenewRequest{Csr: other}); err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(resp.GetChain()[0])
	if err != nil || leaf.URIs[0].Path != "/agency/federal-police/officer/someone" {
		t.Errorf("renewed as %v, %v", leaf.URIs, err)
	}
}

// issuer refuses.
type issuer struct {
	api.Issuer
	err error
}

func (i issuer) RenewClient(context.Context, *x509.Certificate, []byte) ([]*x509.Certificate, error) {
	return nil, i.err
}

// everybody is in the register.
type everybody struct{ api.Register }

func (everybody) Admit(identity.Identity) error { return nil }

func TestRenewRefused(t *testing.T) {
	me := client(identity.RoleOfficer)
	_, csr, err := mtls.NewRequest(me)
	if err != nil {
		t.Fatal(err)
	}
	ctx := mtls.NewContext(t.Context(), me, &x509.Certificate{})
	service := func(i issuer) *api.EnrolmentService {
		return api.NewEnrolmentService(api.EnrolmentConfig{Issuer: i, Register: everybody{}})
	}
	for want, cause := range map[fault.Reason]error{
		fault.CertificateRefused:   fmt.Errorf("%w: expired in /var/lib/entente", authority.ErrNotRenewable),
		fault.MalformedRequest:     fmt.Errorf("%w: weak key in /var/lib/entente", authority.ErrRequest),
		fault.AuthorityUnavailable: errors.New("bbolt: timeout in /var/lib/entente"),
	} {
		_, err := service(issuer{err: cause}).Renew(ctx, &pkiv1.RenewRequest{Csr: csr})
		told := fault.From(err)
		if reason, _ := fault.ReasonOf(told); reason != want || strings.Contains(told.Error(), "/var") || !errors.Is(err, cause) {
			t.Errorf("%v: told %v of %v", want, told, err)
		}
		for _, e := range fault.Catalogue() {
			if e.Reason == want && e.Code != status.Code(told) {
				t.Errorf("%v has the code %v in the catalogue, %v here", want, e.Code, status.Code(told))
			}
		}
	}
	if _, err := service(issuer{}).Renew(t.Context(), &pkiv1.RenewRequest{Csr: csr}); status.Code(fault.From(err)) != codes.Unauthenticated {
		t.Errorf("nobody renews: %v", err)
	}
}

package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/federation/server/meshtest"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

func TestMalformedAndOversizedRequests(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		client := queryv1.NewQueryServiceClient(s.bel)
		_, err := client.Ask(t.Context(), &queryv1.AskRequest{})
		wantFault(t, err, codes.InvalidArgument, fault.MalformedRequest)
		if fault.FieldOf(err) != "ask" {
			t.Errorf("field %q", fault.FieldOf(err))
		}
		// Malformed inside of a signature that is not over it.
		unsaid := &queryv1.Ask{AskId: "no uuid"}
		payload, _ := proto.Marshal(unsaid)
		bad := s.sign(t, question(nil))
		bad.Payload = payload
		_, err = client.Ask(t.Context(), &queryv1.AskRequest{Ask: bad})
		wantFault(t, err, codes.Unauthenticated, fault.SignatureInvalid)

		large := s.sign(t, question(nil))
		for _, size := range []int{25 << 10, 100 << 10, 4 << 20} {
			large.Payload = make([]byte, size)
			_, err = client.Ask(t.Context(), &queryv1.AskRequest{Ask: large})
			wantFault(t, err, codes.ResourceExhausted, fault.MessageTooLarge)
		}
		large.Payload = make([]byte, 16<<20) // not even read
		if _, err = client.Ask(t.Context(), &queryv1.AskRequest{Ask: large}); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("16 MiB: %v", err)
		}
		// Bytes that are no message at all.
		err = s.bel.Invoke(t.Context(), queryv1.QueryService_Ask_FullMethodName, []byte{0xff, 0xff, 0xff}, &queryv1.AskResponse{}, grpc.ForceCodec(raw{}))
		wantFault(t, err, codes.InvalidArgument, fault.UndecodableRequest)
		stream, err := s.bel.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, queryv1.QueryService_Describe_FullMethodName, grpc.ForceCodec(raw{}))
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.SendMsg([]byte{0xff, 0xff, 0xff})
		_ = stream.CloseSend()
		wantFault(t, stream.RecvMsg(&[]byte{}), codes.InvalidArgument, fault.UndecodableRequest)
	})
}

// raw sends bytes as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (raw) Unmarshal([]byte, any) error   { return nil }
func (raw) Name() string                  { return "proto" }

func TestOnlyNodesAreServed(t *testing.T) {
	officer := identity.Client(meshtest.Federation, "ESP", "border-police", identity.RoleOfficer, "garcia", nil)
	scene(t, nil, func(t *testing.T, s *stage) {
		conn, err := grpc.NewClient("passthrough:///esp", grpc.WithTransportCredentials(meshtest.Credentials{Self: officer, Peer: "ESP"}), grpc.WithContextDialer(s.dialer()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = send(t.Context(), conn, s.sign(t, question(nil)))
		wantFault(t, err, codes.PermissionDenied, fault.NotANode)
		stream, err := queryv1.NewQueryServiceClient(conn).Describe(t.Context(), &queryv1.DescribeRequest{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		wantFault(t, err, codes.PermissionDenied, fault.NotANode)
	})
}

func TestIdentityIsAskedAtEveryCall(t *testing.T) {
	var cut atomic.Bool
	scene(t, func(c *server.Config) {
		c.Identity = func(ctx context.Context) (identity.Identity, error) {
			if cut.Load() {
				return identity.Identity{}, errors.New("BEL is distrusted: case 4711")
			}
			return meshtest.Identity(ctx)
		}
	}, func(t *testing.T, s *stage) {
		stream, err := queryv1.NewQueryServiceClient(s.bel).Describe(t.Context(), &queryv1.DescribeRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		cut.Store(true)
		_, err = send(t.Context(), s.bel, s.sign(t, question(nil)))
		wantFault(t, err, codes.Unauthenticated, fault.IdentityUnverified)
		if strings.Contains(err.Error(), "4711") {
			t.Errorf("inner text left: %v", err)
		}
		// A stream that is open gets no further offer either.
		_, err = stream.Recv()
		wantFault(t, err, codes.Unauthenticated, fault.IdentityUnverified)
	})
}

func TestAdmissionStandsBeforeEverything(t *testing.T) {
	refuse := status.Error(codes.Unauthenticated, "root of LBN")
	scene(t, func(c *server.Config) {
		c.Admission = server.Admission{
			Unary: func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) { return nil, refuse },
			Stream: func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error {
				return refuse
			},
		}
	}, func(t *testing.T, s *stage) {
		_, err := send(t.Context(), s.bel, s.sign(t, question(nil)))
		wantFault(t, err, codes.Unauthenticated, fault.IdentityUnverified)
		err = s.bel.Invoke(t.Context(), "/entente.admin.v1.AdminService/GetStatus", &adminv1.GetStatusRequest{}, &emptypb.Empty{})
		wantFault(t, err, codes.Unauthenticated, fault.IdentityUnverified)
	})
}

func TestLocalServicesAreNotHere(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		for _, method := range []string{
			"/entente.admin.v1.AdminService/GetStatus", "/entente.screening.v1.ScreeningService/Check",
			"/entente.record.v1.RecordService/ImportRecords", "/entente.pki.v1.EnrolmentService/Renew",
			"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		} {
			err := s.bel.Invoke(t.Context(), method, &emptypb.Empty{}, &emptypb.Empty{})
			wantFault(t, err, codes.Unimplemented, fault.MethodNotServed)
		}
	})
}

func TestMethodMissingInTheTableKeepsFromStarting(t *testing.T) {
	mesh := meshtest.New()
	esp := &meshtest.Bureau{}
	_, err := server.New(server.Config{
		Self: "ESP", Creds: meshtest.Credentials{}, Identity: meshtest.Identity, Verifier: mesh.Verifier(), Signer: mesh.Signer("ESP"),
		Answerer: esp, Offerer: meshtest.NewOffers(), Memory: &meshtest.Memory{}, Rosters: &meshtest.Rosters{},
		Extra: func(r grpc.ServiceRegistrar) {
			adminv1.RegisterAdminServiceServer(r, adminv1.UnimplementedAdminServiceServer{})
		},
	})
	if err == nil || !strings.Contains(err.Error(), "AdminService/GetStatus") {
		t.Errorf("error %v, want one that names the method", err)
	}
	if _, err := server.New(server.Config{}); err == nil || !strings.Contains(err.Error(), "Config.Memory") {
		t.Errorf("error %v, want one that names what is missing", err)
	}
}

func TestLimiterIsAsked(t *testing.T) {
	limits := &quota{left: 1}
	validated := false
	scene(t, func(c *server.Config) {
		c.Limiter = limits
		c.Verifier = &watched{c.Verifier, &validated}
	}, func(t *testing.T, s *stage) {
		if _, err := send(t.Context(), s.bel, s.sign(t, question(nil))); err != nil {
			t.Fatal(err)
		}
		if limits.inside.Load() != 0 {
			t.Error("a call that is over holds its place")
		}
		validated = false
		// Turned away before anybody looks at what was sent: not even whether it is well formed.
		_, err := queryv1.NewQueryServiceClient(s.bel).Ask(t.Context(), &queryv1.AskRequest{})
		wantFault(t, err, codes.ResourceExhausted, fault.QuotaExceeded)
		_, err = send(t.Context(), s.bel, s.sign(t, question(nil)))
		wantFault(t, err, codes.ResourceExhausted, fault.QuotaExceeded)
		if validated || s.esp.Memory.Commit != 1 || len(s.esp.Memory.Noted()) != 0 {
			t.Errorf("who was turned away at the door was verified: %t, and booked: %v", validated, s.esp.Memory.Noted())
		}
		// A stream holds its place as long as it lasts.
		ctx, cancel := context.WithCancel(t.Context())
		limits.left = 1
		stream, err := queryv1.NewQueryServiceClient(s.bel).Describe(ctx, &queryv1.DescribeRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil || limits.inside.Load() != 1 {
			t.Errorf("%v, %d inside", err, limits.inside.Load())
		}
		cancel()
		synctest.Wait()
		if limits.inside.Load() != 0 {
			t.Error("a stream that is over holds its place")
		}
	})
}

// quota lets so many calls of BEL in.
type quota struct {
	left   int
	inside atomic.Int32
}

func (q *quota) Admit(ctx context.Context, from identity.Identity, _ string) (context.Context, func(), error) {
	if q.left--; from.Bureau == "BEL" && q.left < 0 {
		return nil, nil, fault.New(codes.ResourceExhausted, fault.QuotaExceeded, "", "wait a minute")
	}
	q.inside.Add(1)
	return ctx, func() { q.inside.Add(-1) }, nil
}

// watched notes that something was verified.
type watched struct {
	server.Verifier
	called *bool
}

func (w *watched) Ask(s *signedv1.Signed, from identity.Bureau) (*queryv1.Ask, error) {
	*w.called = true
	return w.Verifier.Ask(s, from)
}

func TestDescribeSaysAtOnceOnChangeAndBeforeTheEnd(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		stream, err := queryv1.NewQueryServiceClient(s.bel).Describe(t.Context(), &queryv1.DescribeRequest{})
		if err != nil {
			t.Fatal(err)
		}
		receive := func() (*queryv1.Offer, time.Time) {
			t.Helper()
			response, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			offer, err := s.mesh.Verifier().Offer(response.GetOffer(), "ESP")
			if err != nil {
				t.Fatal(err)
			}
			if offer.GetAudience() != "BEL" || !response.GetSentAt().IsValid() {
				t.Errorf("offer %v sent at %v", offer, response.GetSentAt())
			}
			return offer, time.Now()
		}
		first, at := receive()
		if life := first.GetNotAfter().AsTime().Sub(at); life > 10*time.Minute || life < 9*time.Minute {
			t.Errorf("an offer lives %v", life)
		}
		// The same again is not said again.
		s.esp.Offers.Set(&queryv1.Offer{RosterVersion: 1, Collections: first.GetCollections()})
		synctest.Wait()
		s.esp.Offers.Set(&queryv1.Offer{RosterVersion: 2})
		changed, _ := receive()
		if changed.GetRosterVersion() != 2 || len(changed.GetCollections()) != 0 {
			t.Errorf("after a change: %v", changed)
		}
		if _, at := receive(); !at.Before(changed.GetNotAfter().AsTime()) {
			t.Errorf("the next came at %v, the last expired at %v", at, changed.GetNotAfter().AsTime())
		}
	})
}

func TestStopEndsTheStreamsAndTheCallsUnderWay(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		s.esp.Answers(func(ctx context.Context, from identity.Identity, ask *queryv1.Ask) (*queryv1.Answer, error) {
			time.Sleep(time.Second)
			return meshtest.NoHit(ctx, from, ask)
		})
		stream, err := queryv1.NewQueryServiceClient(s.bel).Describe(t.Context(), &queryv1.DescribeRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		answered := make(chan error)
		go func() { _, err := send(t.Context(), s.bel, s.sign(t, question(nil))); answered <- err }()
		synctest.Wait()
		go s.esp.Stop(t)
		_, err = stream.Recv()
		wantFault(t, err, codes.Unavailable, fault.NodeStopping)
		if err := <-answered; err != nil {
			t.Errorf("the call that was under way: %v", err)
		}
		synctest.Wait()
		s.esp.Start(t)
	})
}

func TestStopIsBounded(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		s.esp.Answers(func(ctx context.Context, _ identity.Identity, _ *queryv1.Ask) (*queryv1.Answer, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		go func() { _, _ = send(t.Context(), s.bel, s.sign(t, question(nil))) }()
		synctest.Wait()
		began := time.Now()
		s.esp.Stop(t) // allows five seconds
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
		s.esp.Start(t)
	})
}

func TestRostersAreHandedOutAndTaken(t *testing.T) {
	history := &meshtest.Rosters{}
	version := func(n int) *signedv1.Signed {
		return &signedv1.Signed{
			PayloadType: "roster", Payload: fmt.Appendf(nil, "version %d", n),
			Signatures: []*signedv1.Signature{{KeyId: strings.Repeat("0", 64), Algorithm: "ed25519", Value: []byte{1}}},
		}
	}
	for n := range 100 {
		history.Signed = append(history.Signed, version(n+1))
	}
	scene(t, func(c *server.Config) { c.Rosters = history }, func(t *testing.T, s *stage) {
		client := rosterv1.NewRosterServiceClient(s.bel)
		newest, err := client.Get(t.Context(), &rosterv1.GetRequest{})
		if err != nil || len(newest.GetRosters()) != 1 || string(newest.GetRosters()[0].GetPayload()) != "version 100" {
			t.Errorf("newest: %v, %v", newest, err)
		}
		since, err := client.Get(t.Context(), &rosterv1.GetRequest{AfterVersion: 3})
		if err != nil || len(since.GetRosters()) != 64 || string(since.GetRosters()[0].GetPayload()) != "version 4" {
			t.Errorf("after 3: %d, %v", len(since.GetRosters()), err)
		}
		none, err := client.Get(t.Context(), &rosterv1.GetRequest{AfterVersion: 100})
		if err != nil || len(none.GetRosters()) != 0 {
			t.Errorf("after the newest: %v, %v", none, err)
		}
		taken, err := client.Propose(t.Context(), &rosterv1.ProposeRequest{Roster: version(101)})
		if err != nil || taken.GetVersion() != 101 {
			t.Errorf("propose: %v, %v", taken, err)
		}
		history.Refusal = errors.New("fork: evidence in /var/lib")
		_, err = client.Propose(t.Context(), &rosterv1.ProposeRequest{Roster: version(101)})
		wantFault(t, err, codes.FailedPrecondition, fault.RosterNotNext)
		history.Refusal = fmt.Errorf("install: %w", fault.New(codes.PermissionDenied, fault.RosterSignatures, "", "collect more"))
		_, err = client.Propose(t.Context(), &rosterv1.ProposeRequest{Roster: version(101)})
		wantFault(t, err, codes.PermissionDenied, fault.RosterSignatures)
	})
}

package fault_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/entente-mesh/entente/federation/fault"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// busy is a bureau that has no time.
type busy struct {
	queryv1.UnimplementedQueryServiceServer
}

func (busy) Ask(context.Context, *queryv1.AskRequest) (*queryv1.AskResponse, error) {
	return nil, fault.From(fmt.Errorf("limits: %w", fault.NewRetry(codes.ResourceExhausted, fault.TooSoon, "", "wait as long as RetryInfo says", 1500*time.Millisecond)))
}

// TestRetryReachesTheCaller sends the error over a connection with the codecs of both sides.
func TestRetryReachesTheCaller(t *testing.T) {
	lis := bufconn.Listen(1 << 16)
	srv := grpc.NewServer(fault.Codec())
	queryv1.RegisterQueryServiceServer(fault.Registrar(srv), busy{})
	go func() { _ = srv.Serve(lis) }()
	defer srv.Stop()
	conn, err := grpc.NewClient("passthrough:///esp",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(fault.ClientCodec()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = queryv1.NewQueryServiceClient(conn).Ask(t.Context(), &queryv1.AskRequest{})
	if reason, _ := fault.ReasonOf(err); status.Code(err) != codes.ResourceExhausted || reason != fault.TooSoon {
		t.Errorf("error %v, reason %v", err, reason)
	}
	if after, ok := fault.RetryAfter(err); !ok || after != 1500*time.Millisecond {
		t.Errorf("again after %v (%t), want 1.5s", after, ok)
	}
}

func TestRetryOfStrangers(t *testing.T) {
	retry := func(domain string, d *durationpb.Duration) error {
		s, err := status.New(codes.ResourceExhausted, "x").WithDetails(
			&errdetails.ErrorInfo{Domain: domain, Reason: "TOO_SOON"}, &errdetails.RetryInfo{RetryDelay: d})
		if err != nil {
			t.Fatal(err)
		}
		return s.Err()
	}
	for name, err := range map[string]error{
		"nothing":           nil,
		"a plain error":     errors.New("x"),
		"a fault":           fault.New(codes.ResourceExhausted, fault.TooSoon, "", "x"),
		"another's domain":  retry("example.org", durationpb.New(time.Second)),
		"no time":           retry(fault.Domain, nil),
		"the past":          retry(fault.Domain, durationpb.New(-time.Second)),
		"no duration":       retry(fault.Domain, &durationpb.Duration{Seconds: 1, Nanos: -1}),
		"an unheard length": retry(fault.Domain, &durationpb.Duration{Seconds: 1 << 60}),
	} {
		if after, ok := fault.RetryAfter(err); ok {
			t.Errorf("%s: again after %v", name, after)
		}
	}
	if after, ok := fault.RetryAfter(fault.NewRetry(codes.ResourceExhausted, fault.QueueFull, "", "x", 0)); !ok || after != time.Millisecond {
		t.Errorf("at once is told as %v (%t)", after, ok)
	}
	err := fault.NewRetry(codes.ResourceExhausted, fault.TooSoon, "ask", "x", time.Second)
	if fault.FieldOf(err) != "ask" {
		t.Errorf("field %q", fault.FieldOf(err))
	}
}

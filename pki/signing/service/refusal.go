package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"runtime/debug"
	"sync"

	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/entente-mesh/entente/pki/signing"
)

// The reasons in a refusal's ErrorInfo, beside those of signing.Refusal.
const (
	reasonRefused = "SIGNING_REFUSED"
	reasonState   = "LOG_STATE"
)

// domain is the domain of a refusal's ErrorInfo.
const domain = "entente"

func refusedf(code codes.Code, reason, format string, args ...any) error {
	return refusal(code, reason, fmt.Sprintf(format, args...), nil)
}

func refusal(code codes.Code, reason, message string, metadata map[string]string) error {
	s, err := status.New(code, message).WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: domain, Metadata: metadata})
	if err != nil { // only a detail that cannot be marshalled comes here
		return status.Error(codes.Internal, "the refusal could not be described")
	}
	return s.Err()
}

// described is an error as the node gets it. Its text may travel: it is the own bureau's, names
// fields and never a case's values.
func described(err error) error {
	var follows *signing.NotFollowingError
	switch {
	case errors.As(err, &follows):
		return refusal(codes.FailedPrecondition, string(follows.Refusal), err.Error(), follows.Metadata())
	case errors.Is(err, signing.ErrLogState):
		return refusal(codes.Internal, reasonState, err.Error(), nil)
	case status.Code(err) != codes.Unknown:
		return err
	default:
		return refusal(codes.InvalidArgument, reasonRefused, err.Error(), nil)
	}
}

// known refuses what breaks the schema, and what this version of the signer does not know: it
// would sign something that it cannot have weighed. So a signer is upgraded before its node.
func known(validator protovalidate.Validator) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		m, ok := req.(proto.Message)
		if !ok {
			return nil, refusedf(codes.Internal, reasonRefused, "the request is no message")
		}
		if hasUnknown(m.ProtoReflect()) {
			return nil, refusedf(codes.InvalidArgument, reasonRefused, "the request has fields that this version of the signer does not know: upgrade the signer before its node")
		}
		if err := validator.Validate(m); err != nil {
			return nil, refusedf(codes.InvalidArgument, reasonRefused, "%s", err)
		}
		return handler(ctx, req)
	}
}

func hasUnknown(m protoreflect.Message) bool {
	found := len(m.GetUnknown()) > 0
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case found || f.Message() == nil:
		case f.IsMap():
			found = f.MapValue().Message() != nil // the treaty signs no maps of messages
		case f.IsList():
			for i := range v.List().Len() {
				found = found || hasUnknown(v.List().Get(i).Message())
			}
		default:
			found = hasUnknown(v.Message())
		}
		return !found
	})
	return found
}

// account is the outermost: it counts what became of a call, holds a panic, and puts the error
// into words for the node. It logs nothing of the call.
func (s *Service) account(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	method := path.Base(info.FullMethod)
	defer func() {
		if p := recover(); p != nil {
			s.cfg.Logger.Error("signer: a call panicked", "method", method, "stack", string(debug.Stack()))
			resp, err = nil, refusedf(codes.Internal, reasonRefused, "the signer failed: its operator finds the cause in its log")
		}
		if err != nil {
			resp, err = nil, described(err)
		}
		s.counts.add(method, err)
	}()
	return handler(ctx, req)
}

// counts is how often what was signed and refused since the last time they were logged.
type counts struct {
	mu  sync.Mutex
	now map[string]uint64
}

func (c *counts) add(method string, err error) {
	name := method
	if err != nil {
		name += " refused " + status.Code(err).String()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil {
		c.now = map[string]uint64{}
	}
	c.now[name]++
}

func (c *counts) log(l *slog.Logger) {
	c.mu.Lock()
	took := c.now
	c.now = nil
	c.mu.Unlock()
	if len(took) > 0 {
		l.Info("signer: calls since the last count", "counts", took)
	}
}

package server

import (
	"context"
	"errors"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/identity"
)

// link is one interceptor, in its two forms.
type link struct {
	unary  grpc.UnaryServerInterceptor
	stream grpc.StreamServerInterceptor
}

// chain returns what every call passes on its way in, in this order. On its way out an error
// passes it backwards.
func (s *Server) chain() []link {
	return []link{
		s.recoverPanics(), // a bug costs its own call
		s.renderErrors(),  // nothing but faults leaves
		s.admit(),         // the connection still belongs to a node that is admitted
		s.identify(),      // and the call knows which
		s.limit(),         // no larger than the method takes and no more than was granted, before anything dear
		s.validate(),      // and well formed
	}
}

func unaryOf(links []link) []grpc.UnaryServerInterceptor {
	var all []grpc.UnaryServerInterceptor
	for _, l := range links {
		if l.unary != nil {
			all = append(all, l.unary)
		}
	}
	return all
}

func streamOf(links []link) []grpc.StreamServerInterceptor {
	var all []grpc.StreamServerInterceptor
	for _, l := range links {
		if l.stream != nil {
			all = append(all, l.stream)
		}
	}
	return all
}

func (s *Server) recoverPanics() link {
	recovered := func(ctx context.Context, method string, err *error) {
		if recover() != nil {
			// Not the value: it may hold what was asked.
			s.cfg.Logger.ErrorContext(ctx, "a call panicked", "method", method, "stack", string(debug.Stack()))
			*err = fault.From(errors.New("panic"))
		}
	}
	return link{
		unary: func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (_ any, err error) {
			defer recovered(ctx, info.FullMethod, &err)
			return next(ctx, req)
		},
		stream: func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
			defer recovered(stream.Context(), info.FullMethod, &err)
			return next(srv, stream)
		},
	}
}

func (s *Server) renderErrors() link {
	render := func(ctx context.Context, method string, err error) error {
		if err == nil {
			return nil
		}
		rendered := fault.From(err)
		reason, _ := fault.ReasonOf(rendered)
		from, _ := Caller(ctx)
		if reason == fault.Internal {
			s.cfg.Logger.ErrorContext(ctx, "a call failed", "method", method, "peer", string(from.Bureau), "error", err.Error())
		} else if reason != fault.Canceled {
			s.cfg.Logger.InfoContext(ctx, "a call was not answered", "method", method, "peer", string(from.Bureau), "reason", string(reason))
		}
		return rendered
	}
	return link{
		unary: func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			ctx = withCaller(ctx)
			response, err := next(ctx, req)
			if err != nil {
				return nil, render(ctx, info.FullMethod, err)
			}
			return response, nil
		},
		stream: func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			ctx := withCaller(stream.Context())
			return render(ctx, info.FullMethod, next(srv, &callStream{ServerStream: stream, ctx: ctx, decode: true}))
		},
	}
}

// admit is the transport's own look at the connection, before every call and every message.
func (s *Server) admit() link {
	return link{unary: s.cfg.Admission.Unary, stream: s.cfg.Admission.Stream}
}

func (s *Server) identify() link {
	who := func(ctx context.Context) error {
		from, err := s.cfg.Identity(ctx)
		if err != nil {
			s.cfg.Logger.WarnContext(ctx, "a caller could not be identified", "error", err.Error())
			if _, told := fault.ReasonOf(err); told {
				return err
			}
			return fault.New(codes.Unauthenticated, fault.IdentityUnverified, "", "the certificate of this connection is not accepted here: connect again with one that is valid for this listener")
		}
		if from.Kind != identity.KindNode {
			return fault.New(codes.PermissionDenied, fault.NotANode, "", "the mesh listener serves nodes of other bureaus alone: call the local listener of the own bureau's node")
		}
		setCaller(ctx, from)
		return nil
	}
	return link{
		unary: func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := who(ctx); err != nil {
				return nil, err
			}
			return next(ctx, req)
		},
		stream: func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := who(stream.Context()); err != nil {
				return err
			}
			return next(srv, stream)
		},
	}
}

func (s *Server) limit() link {
	rules := table()
	admit := func(ctx context.Context, method string) (within context.Context, leave func(), err error) {
		if s.cfg.Limiter == nil {
			return ctx, func() {}, nil
		}
		from, _ := Caller(ctx)
		return s.cfg.Limiter.Admit(ctx, from, method)
	}
	small := func(method string, req any) error {
		m, ok := req.(proto.Message)
		if r, known := rules[method]; ok && known && proto.Size(m) > r.maxRequest {
			return fault.TooLarge()
		}
		return nil
	}
	return link{
		unary: func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := small(info.FullMethod, req); err != nil {
				return nil, err
			}
			within, leave, err := admit(ctx, info.FullMethod)
			if err != nil {
				return nil, err
			}
			defer leave()
			return next(within, req)
		},
		stream: func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			_, leave, err := admit(stream.Context(), info.FullMethod)
			if err != nil {
				return err
			}
			defer leave()
			return next(srv, &callStream{ServerStream: stream, ctx: stream.Context(), received: func(m any) error {
				return small(info.FullMethod, m)
			}})
		},
	}
}

func (s *Server) validate() link {
	valid := func(req any) error {
		m, ok := req.(proto.Message)
		if !ok {
			return errors.New("a request that is not a message")
		}
		return s.cfg.Validator.Validate(m)
	}
	return link{
		unary: func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := valid(req); err != nil {
				return nil, err
			}
			return next(ctx, req)
		},
		stream: func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			return next(srv, &callStream{ServerStream: stream, ctx: stream.Context(), received: valid})
		},
	}
}

// callStream is a stream whose received messages are looked at before the handler sees them.
type callStream struct {
	grpc.ServerStream
	ctx      context.Context // gRPC hands a stream's context out by a method
	decode   bool            // the outermost of them reads off the wire
	received func(any) error // Optional.
}

func (c *callStream) receive(m any) error {
	if c.decode {
		return fault.Receive(c.ServerStream.RecvMsg, m)
	}
	return c.ServerStream.RecvMsg(m)
}

// Context returns the context that the chain has built.
func (c *callStream) Context() context.Context { return c.ctx }

// RecvMsg receives the next message, or the fault that it is.
func (c *callStream) RecvMsg(m any) error {
	if err := c.receive(m); err != nil {
		return err
	}
	if c.received == nil {
		return nil
	}
	return c.received(m)
}

package fault

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that is wrapped here
	"google.golang.org/grpc/mem"
)

// A request that is no message at all is answered by the protocol library itself, with INTERNAL
// and its own words, as soon as its codec fails: no interceptor is asked. So the codec does not
// fail here. It leaves the error beside the message, and whoever receives looks there.
//
// What is above the listener's largest bound the library refuses before it reads it, with
// RESOURCE_EXHAUSTED and without ErrorInfo; that cannot be put into other words.

// Codec returns the option that every server has whose unmarshalling errors are faults.
func Codec() grpc.ServerOption {
	return grpc.ForceServerCodecV2(codec{encoding.GetCodecV2("proto")})
}

// received is a message and whether it could be read.
type received struct {
	into any
	err  error
}

type codec struct{ encoding.CodecV2 }

// Unmarshal reads a message.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if r, ok := v.(*received); ok {
		r.err = c.CodecV2.Unmarshal(data, r.into)
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

// Receive receives a message with a function of a server that has Codec, such as a stream's
// RecvMsg. It returns that function's error, or a fault if the bytes are no such message.
func Receive(receive func(any) error, into any) error {
	r := &received{into: into}
	if err := receive(r); err != nil {
		return err
	}
	if r.err != nil {
		return New(codes.InvalidArgument, UndecodableRequest, "", "the request's bytes are not the message that the method takes: build it from the published proto files")
	}
	return nil
}

// Registrar returns a registrar whose unary methods receive by Receive. Streams do so in an
// interceptor; unary methods read before any interceptor runs.
func Registrar(to grpc.ServiceRegistrar) grpc.ServiceRegistrar { return registrar{to} }

type registrar struct{ to grpc.ServiceRegistrar }

// RegisterService registers the service with every unary handler wrapped.
func (r registrar) RegisterService(desc *grpc.ServiceDesc, implementation any) {
	wrapped := *desc
	wrapped.Methods = slices.Clone(desc.Methods)
	for i := range wrapped.Methods {
		inner := wrapped.Methods[i].Handler
		wrapped.Methods[i].Handler = func(srv any, ctx context.Context, decode func(any) error, chain grpc.UnaryServerInterceptor) (any, error) {
			return inner(srv, ctx, func(v any) error { return Receive(decode, v) }, chain)
		}
	}
	r.to.RegisterService(&wrapped, implementation)
}

package fault

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that is wrapped here
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
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
		if r.err = frugal(data, r.into); r.err == nil {
			r.err = c.CodecV2.Unmarshal(data, r.into)
		}
		return nil
	}
	if err := frugal(data, v); err != nil {
		return err
	}
	return c.CodecV2.Unmarshal(data, v)
}

// ClientCodec returns the call option by which a client reads what peers answer as frugally as a
// server reads what they ask.
func ClientCodec() grpc.CallOption {
	return grpc.ForceCodecV2(codec{encoding.GetCodecV2("proto")})
}

// maxElements is how many fields a message may hold on its first two levels before it is read. An
// empty element takes two bytes on the wire and a hundred in memory, so without a bound a small
// message becomes a large one; nothing of the treaty comes near it.
const maxElements = 8192

// errLavish refuses a message of more elements than any of the treaty has.
var errLavish = errors.New("the message holds more elements than any of the treaty")

// frugal counts the elements of a message on its outer levels without reading it.
func frugal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok || data.Len() < maxElements {
		return nil // too short to hold as many
	}
	left := maxElements
	return count(data.Materialize(), m.ProtoReflect().Descriptor(), 2, &left)
}

// count takes the fields of b, and of the messages in it down to a depth, from what is left.
func count(b []byte, d protoreflect.MessageDescriptor, depth int, left *int) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		size := protowire.ConsumeFieldValue(number, kind, b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		if *left--; *left < 0 {
			return errLavish
		}
		field := d.Fields().ByNumber(number)
		if depth > 0 && kind == protowire.BytesType && field != nil && field.Message() != nil {
			inner, _ := protowire.ConsumeBytes(b[:size])
			if err := count(inner, field.Message(), depth-1, left); err != nil {
				return err
			}
		}
		b = b[size:]
	}
	return nil
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

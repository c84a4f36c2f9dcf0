package server

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/entente-mesh/entente/federation/fault"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// plain says whether the frame of a signed ask holds nothing but what belongs there. It is kept as
// it came, and only the payload is signed.
func plain(signed *signedv1.Signed) error {
	size := 0
	for _, s := range signed.GetSignatures() {
		size += len(s.GetKeyId()) + len(s.GetAlgorithm()) + len(s.GetValue()) + len(s.GetBatchProof())
	}
	switch {
	case size > maxSignatures:
		return fault.New(codes.InvalidArgument, fault.MalformedRequest, "ask.signatures", "the ask's signatures take more than 8 KiB: sign with the keys that the roster lists, once each")
	case unknown(signed.ProtoReflect()):
		return fault.New(codes.InvalidArgument, fault.MalformedRequest, "ask", "the signed ask holds fields that are not its own: leave out what the published proto files do not name")
	}
	return nil
}

// unknown says whether a message holds, at any depth, a field that this version does not know.
func unknown(m protoreflect.Message) (found bool) {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap(): // no ask holds a map
		case field.IsList():
			for list, i := value.List(), 0; i < list.Len() && !found; i++ {
				found = unknown(list.Get(i).Message())
			}
		default:
			found = unknown(value.Message())
		}
		return !found
	})
	return found
}

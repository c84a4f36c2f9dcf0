package fault

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// A message of a million empty elements is refused before it is read.
func TestLavishMessages(t *testing.T) {
	empty := protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), nil) // signatures {}
	lavish := bytes.Repeat(empty, 1_000_000)
	request := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), lavish)
	if err := frugal(mem.BufferSlice{mem.SliceBuffer(request)}, &queryv1.AskRequest{}); !errors.Is(err, errLavish) {
		t.Errorf("a million signatures: %v", err)
	}
	if err := frugal(mem.BufferSlice{mem.SliceBuffer(lavish)}, &signedv1.Signed{}); !errors.Is(err, errLavish) {
		t.Errorf("a million signatures at the top: %v", err)
	}
	honest, err := proto.Marshal(&queryv1.AskRequest{Ask: &signedv1.Signed{
		PayloadType: "application/vnd.entente.ask.v1+proto", Payload: make([]byte, 1<<20),
		Signatures: []*signedv1.Signature{{Algorithm: "ed25519", Value: make([]byte, 64)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := frugal(mem.BufferSlice{mem.SliceBuffer(honest)}, &queryv1.AskRequest{}); err != nil {
		t.Errorf("an honest message of a megabyte: %v", err)
	}
	if err := frugal(mem.BufferSlice{mem.SliceBuffer(bytes.Repeat([]byte{0xff}, maxElements+1))}, &queryv1.AskRequest{}); err == nil {
		t.Error("bytes that are no message")
	}
}

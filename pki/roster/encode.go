package roster

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"

	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// The PEM block types (RFC 7468) of what travels between capitals by mail or on paper: text, so
// that it survives both.
const (
	BlockJoinRequest = "ENTENTE JOIN REQUEST"
	BlockDraft       = "ENTENTE ROSTER DRAFT"
	BlockSignature   = "ENTENTE ROSTER SIGNATURE"
	BlockRoster      = "ENTENTE ROSTER"
)

const (
	maxFile      = 16 << 20 // a roster of 512 bureaus with a few roots each is 2 MB of text
	maxJoinFile  = 1 << 20
	maxBlocks    = 1024 // signatures in a Signed, and rosters in a file
	maxSignature = 17 << 10
)

// EncodeJoinRequest writes a signed join request as text.
func EncodeJoinRequest(s *signedv1.Signed) ([]byte, error) { return encode(BlockJoinRequest, s) }

// EncodeRoster writes a signed roster as text.
func EncodeRoster(s *signedv1.Signed) ([]byte, error) { return encode(BlockRoster, s) }

// EncodeSignature writes one signature over a draft as text.
func EncodeSignature(s *signedv1.Signature) ([]byte, error) { return encode(BlockSignature, s) }

// EncodeDraft writes the payload of an unsigned roster as text, exactly as it will be signed.
func EncodeDraft(payload []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: BlockDraft, Bytes: payload})
}

func encode(blockType string, m proto.Message) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", blockType, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: b}), nil
}

// DecodeDraft reads a draft: its payload, which is what is signed, and what it says.
func DecodeDraft(b []byte) ([]byte, *rosterv1.Roster, error) {
	blocks, err := decode(b, BlockDraft, maxFile, 1)
	if err != nil {
		return nil, nil, err
	}
	r, err := Read(blocks[0])
	if err != nil {
		return nil, nil, err
	}
	return blocks[0], r, nil
}

// Read reads a roster's payload for people to look at: well formed, every address one that can be
// shown. Whether it is to be believed, VerifyFirst and VerifyNext say.
func Read(payload []byte) (*rosterv1.Roster, error) {
	r, err := parse(payload)
	if err != nil {
		return nil, err
	}
	for _, b := range r.GetBureaus() {
		if err := CheckAddress(b.GetAddress()); err != nil {
			return nil, fmt.Errorf("%w: bureau %s: %w", ErrMalformed, b.GetBureau(), err)
		}
	}
	return r, nil
}

// DecodeSignatures reads a file of one or more signatures.
func DecodeSignatures(b []byte) ([]*signedv1.Signature, error) {
	blocks, err := decode(b, BlockSignature, maxBlocks*maxSignature*3/2, maxBlocks)
	if err != nil {
		return nil, err
	}
	out := make([]*signedv1.Signature, len(blocks))
	for i, block := range blocks {
		out[i] = &signedv1.Signature{}
		if err := unmarshal(BlockSignature, block, out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// DecodeRoster reads a file of one signed roster. It verifies no signature.
func DecodeRoster(b []byte) (*signedv1.Signed, error) {
	all, err := decodeSigned(b, BlockRoster, maxFile, 1)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// DecodeRosters reads a file of one or more signed rosters, in the order in which they stand.
func DecodeRosters(b []byte) ([]*signedv1.Signed, error) {
	return decodeSigned(b, BlockRoster, 4*maxFile, maxBlocks)
}

func decodeSigned(b []byte, blockType string, size, count int) ([]*signedv1.Signed, error) {
	blocks, err := decode(b, blockType, size, count)
	if err != nil {
		return nil, err
	}
	out := make([]*signedv1.Signed, len(blocks))
	for i, block := range blocks {
		out[i] = &signedv1.Signed{}
		if err := unmarshal(blockType, block, out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func unmarshal(blockType string, b []byte, m proto.Message) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return fmt.Errorf("%s: %w", blockType, err)
	}
	if err := protovalidate.Validate(m); err != nil {
		return fmt.Errorf("%s: %w", blockType, err)
	}
	return nil
}

// decode returns the content of the PEM blocks in b: between 1 and count of them, all of the one
// type. What a mail program put around them is passed over; a block of another type is not,
// because somebody took the wrong file.
func decode(b []byte, blockType string, size, count int) ([][]byte, error) {
	if len(b) > size {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are read", blockType, len(b), size)
	}
	var out [][]byte
	for {
		block, rest := pem.Decode(b)
		if block == nil {
			break
		}
		if block.Type != blockType {
			return nil, fmt.Errorf("a block of type %.64q, expected %q: is it the right file?", block.Type, blockType)
		}
		if len(out) == count {
			return nil, fmt.Errorf("%s: more than %d in one file", blockType, count)
		}
		out = append(out, block.Bytes)
		b = rest
	}
	if bytes.Contains(b, []byte("-----BEGIN ENTENTE")) {
		return nil, fmt.Errorf("%s: a block is damaged or cut off: fetch the file again", blockType)
	}
	if len(out) == 0 {
		return nil, errors.New("no block of type \"" + blockType + "\": is it the right file?")
	}
	return out, nil
}

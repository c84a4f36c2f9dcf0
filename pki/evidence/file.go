package evidence

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"

	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// The PEM block types (RFC 7468) of evidence that travels: text, so that it survives mail and
// paper. An export is one or more blocks, its parts in their order.
const (
	BlockBundle      = "ENTENTE BUNDLE"
	BlockExport      = "ENTENTE EXPORT"
	BlockLogEvidence = "ENTENTE LOG EVIDENCE"
)

// The bounds of what is read, in bytes of text: two messages of 4 MB at the most with a long chain
// of rosters, and an export of a few million passages.
const (
	MaxFile   = 128 << 20
	MaxExport = 2 << 30
)

const maxParts = 1 << 20

// EncodeBundle writes a bundle as text.
func EncodeBundle(b *auditv1.Bundle) ([]byte, error) { return encode(BlockBundle, b) }

// EncodeExport writes one part of an export as text. The texts of the parts one after the other
// are the export's file.
func EncodeExport(part *auditv1.Export) ([]byte, error) { return encode(BlockExport, part) }

// EncodeLogEvidence writes evidence about a log as text.
func EncodeLogEvidence(e *auditv1.LogEvidence) ([]byte, error) { return encode(BlockLogEvidence, e) }

func encode(block string, m proto.Message) ([]byte, error) {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", block, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: block, Bytes: raw}), nil
}

// DecodeBundle reads the text of a bundle. It checks its shape; VerifyBundle says whether it is to
// be believed.
func DecodeBundle(text []byte) (*auditv1.Bundle, error) {
	b := &auditv1.Bundle{}
	return b, decodeOne(text, BlockBundle, b)
}

// DecodeLogEvidence reads the text of evidence about a log. VerifyLogEvidence says what it proves.
func DecodeLogEvidence(text []byte) (*auditv1.LogEvidence, error) {
	e := &auditv1.LogEvidence{}
	return e, decodeOne(text, BlockLogEvidence, e)
}

// DecodeExport reads the text of an export: of all its parts, the last of which alone says until
// when it reaches. Join says what it shows.
func DecodeExport(text []byte) (*auditv1.Export, error) {
	if len(text) > MaxExport {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are read: export a shorter time", BlockExport, len(text), MaxExport)
	}
	var whole *auditv1.Export
	err := blocks(text, BlockExport, maxParts, func(raw []byte) error {
		part := &auditv1.Export{}
		if err := unmarshal(BlockExport, raw, part); err != nil {
			return err
		}
		if whole == nil {
			whole = part
			return nil
		}
		if part.GetBureau() != whole.GetBureau() || part.GetPeer() != whole.GetPeer() || part.GetFederation() != whole.GetFederation() {
			return fmt.Errorf("%s: a part of %s about %s among those of %s about %s: two exports in one file", BlockExport,
				part.GetBureau(), part.GetPeer(), whole.GetBureau(), whole.GetPeer())
		}
		if len(part.GetRosters()) > 0 || len(part.GetCheckpoint()) > 0 {
			return fmt.Errorf("%s: a second first part: two exports in one file", BlockExport)
		}
		if whole.GetUntil() != nil {
			return fmt.Errorf("%s: a part after the last: two exports in one file", BlockExport)
		}
		if whole.Part++; part.GetPart() != whole.GetPart() {
			return fmt.Errorf("%s: part %d where part %d must follow: a part was taken out, or put in another place", BlockExport, part.GetPart(), whole.GetPart())
		}
		whole.Entries = append(whole.Entries, part.GetEntries()...)
		whole.Until = part.GetUntil()
		return nil
	})
	if err != nil {
		return nil, err
	}
	if whole.GetUntil() == nil {
		return nil, fmt.Errorf("%s: the last part is missing: the file was cut off, and what it lacks would look like an omission", BlockExport)
	}
	whole.Part = 0 // it is one again
	return whole, nil
}

func decodeOne(text []byte, block string, m proto.Message) error {
	if len(text) > MaxFile {
		return fmt.Errorf("%s: %d bytes, at most %d are read", block, len(text), MaxFile)
	}
	return blocks(text, block, 1, func(raw []byte) error { return unmarshal(block, raw, m) })
}

func unmarshal(block string, raw []byte, m proto.Message) error {
	if err := proto.Unmarshal(raw, m); err != nil {
		return fmt.Errorf("%s: %w", block, err)
	}
	if err := protovalidate.Validate(m); err != nil {
		return fmt.Errorf("%s: %w", block, err)
	}
	return nil
}

// blocks hands over the blocks of a text: one at least and count at the most, all of one type.
// What a mail program put around them is passed over; a block of another type is not, because
// somebody took the wrong file.
func blocks(text []byte, block string, count int, do func(raw []byte) error) error {
	found := 0
	begin := []byte("-----BEGIN ENTENTE")
	errDamaged := fmt.Errorf("%s: a block is damaged or cut off: fetch the file again", block)
	for {
		b, rest := pem.Decode(text)
		if b == nil {
			break
		}
		if b.Type != block {
			return fmt.Errorf("a block of type %.64q, expected %q: is it the right file?", b.Type, block)
		}
		// pem.Decode passes over a block that it cannot read.
		if bytes.Count(text[:len(text)-len(rest)], begin) != 1 {
			return errDamaged
		}
		if found++; found > count {
			return fmt.Errorf("%s: more than %d in one file", block, count)
		}
		if err := do(b.Bytes); err != nil {
			return err
		}
		text = rest
	}
	if bytes.Contains(text, begin) {
		return errDamaged
	}
	if found == 0 {
		return errors.New("no block of type \"" + block + "\": is it the right file?")
	}
	return nil
}

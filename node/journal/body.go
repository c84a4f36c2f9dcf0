package journal

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/node/vault"
	"github.com/entente-mesh/entente/pki/evidence"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// Bodies are filled up to multiples of these, so that their lengths tell nothing of a passage: not
// whether there was a hit, nor how long a name is.
const (
	entryStep    = 256
	evidenceStep = 1024
)

// An entry's body, before it is sealed:
//
//	version 1 | flags 1 | quotes 2 | salt 16 | evidence's digest 32 | officer's mark 8 |
//	entry's length 4 | quotes' marks 8 each | what is remembered, if the flag says so | entry
//
// The evidence's body: length 4 | the Signed | zeros.
const (
	bodyVersion = 1
	bodyFixed   = 64

	flagBooking = 1 << 0 // the journal itself wrote it: an erasure
	flagMemory  = 1 << 1 // an ask is remembered with it
	flagsKnown  = flagBooking | flagMemory
)

// Which body of a passage a seal is for.
const (
	bodyEntry    = 1
	bodyEvidence = 2
)

// aboutBody is what a body's seal binds it to. Not to the leaf's index, which is not known when it
// is sealed: the commitment is salted, so no other passage has it, and the frame's hash binds the
// commitment to the index.
func aboutBody(segment uint64, commitment hash, which byte) []byte {
	b := make([]byte, 0, 64+8)
	b = append(b, "entente journal body\x00"...)
	b = binary.BigEndian.AppendUint64(b, segment)
	b = append(b, commitment[:]...)
	return append(b, which)
}

// body is an entry's body, opened.
type body struct {
	salt           [evidence.SaltSize]byte
	evidenceDigest hash
	officer        mark // 0: none
	quotes         []mark
	booking        bool
	memory         *Memory
	entry          []byte // serialised: what the commitment is to
}

// commitment is what the body's passage commits to.
func (b *body) commitment() hash {
	return evidence.Commit(b.salt, b.evidenceDigest, sha256.Sum256(b.entry))
}

// encode serialises the body. The entry is filled up on the way: b.entry is it afterwards.
func (b *body) encode() []byte {
	out := make([]byte, 0, 4*entryStep)
	flags := byte(0)
	if b.booking {
		flags |= flagBooking
	}
	if b.memory != nil {
		flags |= flagMemory
	}
	out = append(out, bodyVersion, flags)
	out = binary.BigEndian.AppendUint16(out, uint16(len(b.quotes)))
	out = append(out, b.salt[:]...)
	out = append(out, b.evidenceDigest[:]...)
	out = binary.BigEndian.AppendUint64(out, uint64(b.officer))
	out = binary.BigEndian.AppendUint32(out, 0) // the entry's length, below
	for _, q := range b.quotes {
		out = binary.BigEndian.AppendUint64(out, uint64(q))
	}
	if m := b.memory; m != nil {
		for _, part := range []string{m.Asker, m.AskID, string(m.Digest)} {
			out = append(out, byte(len(part)))
			out = append(out, part...)
		}
		out = binary.BigEndian.AppendUint64(out, uint64(m.ForgetAfter.UnixNano()))
	}
	start := len(out)
	out = append(out, b.entry...)
	out = fill(out, entryStep)
	b.entry = out[start:]
	binary.BigEndian.PutUint32(out[bodyFixed-4:], uint32(len(b.entry)))
	return out
}

// fill appends Entry.padding to a serialised entry at the end of b, so that b's length becomes a
// multiple of step.
func fill(b []byte, step int) []byte {
	need := (step - len(b)%step) % step
	if need == 0 {
		return b
	}
	tag := protowire.SizeTag(paddingField)
	for {
		// The length of the length grows with the length, so that some sizes cannot be had.
		n := need - tag - 1
		for n > 0 && tag+protowire.SizeBytes(n) > need {
			n--
		}
		if n >= 0 && tag+protowire.SizeBytes(n) == need {
			b = protowire.AppendTag(b, paddingField, protowire.BytesType)
			return protowire.AppendBytes(b, make([]byte, n))
		}
		need += step
	}
}

const (
	saltField    = 1
	paddingField = 100
)

// decodeBody reads what encode wrote.
func decodeBody(b []byte) (*body, error) {
	if len(b) < bodyFixed {
		return nil, malformed("an entry's body of %d bytes, expected at least %d", len(b), bodyFixed)
	}
	if b[0] != bodyVersion || b[1]&^flagsKnown != 0 {
		return nil, malformed("an entry's body of version %d and flags %#x", b[0], b[1])
	}
	out := &body{
		salt:           [evidence.SaltSize]byte(b[4:]),
		evidenceDigest: hash(b[20:52]),
		officer:        mark(binary.BigEndian.Uint64(b[52:])),
		booking:        b[1]&flagBooking != 0,
	}
	quotes, length := int(binary.BigEndian.Uint16(b[2:])), uint64(binary.BigEndian.Uint32(b[60:]))
	remembers := b[1]&flagMemory != 0
	b = b[bodyFixed:]
	if len(b) < 8*quotes {
		return nil, malformed("%d bytes for %d quotes", len(b), quotes)
	}
	for range quotes {
		out.quotes = append(out.quotes, mark(binary.BigEndian.Uint64(b)))
		b = b[8:]
	}
	if remembers {
		var parts [3][]byte
		for i := range parts {
			if len(b) < 1 || len(b) < 1+int(b[0]) {
				return nil, malformed("what is remembered is cut")
			}
			parts[i], b = b[1:1+int(b[0])], b[1+int(b[0]):]
		}
		if len(b) < 8 {
			return nil, malformed("what is remembered is cut")
		}
		out.memory = &Memory{Asker: string(parts[0]), AskID: string(parts[1]), Digest: bytes.Clone(parts[2]),
			ForgetAfter: time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC()}
		b = b[8:]
	}
	if uint64(len(b)) != length {
		return nil, malformed("an entry of %d bytes, expected %d", len(b), length)
	}
	out.entry = b
	return out, nil
}

// message is the entry, without what fills it up.
func (b *body) message() (*auditv1.Entry, error) {
	e := &auditv1.Entry{}
	if err := proto.Unmarshal(b.entry, e); err != nil {
		return nil, malformed("an entry: %v", err)
	}
	e.Padding = nil
	return e, nil
}

// opening opens the passage's commitment.
func (b *body) opening() *auditv1.Opening {
	digest := sha256.Sum256(b.entry)
	return &auditv1.Opening{Salt: b.salt[:], EvidenceDigest: b.evidenceDigest[:], EntryDigest: digest[:]}
}

// encodeEvidence serialises an evidence's body.
func encodeEvidence(m proto.Message) ([]byte, error) {
	size := 4 + proto.Size(m)
	out := make([]byte, 4, (size+evidenceStep-1)/evidenceStep*evidenceStep)
	out, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(out, m)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return append(out, make([]byte, (evidenceStep-len(out)%evidenceStep)%evidenceStep)...), nil
}

// decodeEvidence returns the serialised Signed of an evidence's body.
func decodeEvidence(b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, malformed("an evidence's body of %d bytes", len(b))
	}
	n := uint64(binary.BigEndian.Uint32(b))
	if uint64(len(b)-4) < n || len(bytes.TrimLeft(b[4+n:], "\x00")) != 0 {
		return nil, malformed("an evidence of %d bytes in a body of %d", n, len(b))
	}
	return b[4 : 4+n], nil
}

// prepared is a passage that is ready to be written, but for its index.
type prepared struct {
	leaf       evidence.Leaf // of a passage with a leaf of its own
	local      bool
	at         time.Time
	commitment hash
	message    mark
	body       *body
	plain      [2][]byte // entry, evidence; kept until it is written, in case that the segment ends
	sealed     [2][]byte
	segment    uint64 // for which it is sealed
}

func (p *prepared) size() int {
	return frameHeadSize(1) + len(p.plain[0]) + len(p.plain[1]) + 2*vault.Overhead
}

// seal seals the bodies for a segment.
func (p *prepared) seal(segment uint64, key vault.Key) {
	p.segment = segment
	for i, which := range []byte{bodyEntry, bodyEvidence} {
		p.sealed[i] = nil
		if p.plain[i] != nil {
			p.sealed[i] = key.Seal(p.plain[i], aboutBody(segment, p.commitment, which))
		}
	}
}

// prepare serialises a passage and commits to it. It leaves the caller's messages as they are.
func (j *Journal) prepare(p Passage, memory *Memory, booking bool) (*prepared, error) {
	id, bureau, err := j.admit(p)
	if err != nil {
		return nil, err
	}
	var random [2 * evidence.SaltSize]byte
	rand.Read(random[:]) // never fails (crypto/rand, since Go 1.24)
	b := &body{salt: [evidence.SaltSize]byte(random[:]), memory: memory, booking: booking}
	if b.entry, err = proto.Marshal(p.Entry); err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	if len(p.Entry.GetSalt()) == 0 {
		// A field may stand anywhere in a serialised message.
		b.entry = protowire.AppendTag(b.entry, saltField, protowire.BytesType)
		b.entry = protowire.AppendBytes(b.entry, random[evidence.SaltSize:])
	}
	out := &prepared{local: local(p.Entry.GetKind()), at: p.Entry.GetAt().AsTime(), body: b, message: j.marks.message(id)}
	if p.Officer != "" {
		b.officer = j.marks.officer(p.Officer)
	}
	for _, q := range p.Quotes {
		b.quotes = append(b.quotes, j.marks.quote(q.Owner, q.RecordID))
	}
	if p.Evidence != nil {
		b.evidenceDigest = sha256.Sum256(p.Evidence.GetPayload())
		if out.plain[1], err = encodeEvidence(p.Evidence); err != nil {
			return nil, fmt.Errorf("evidence: %w", err)
		}
	}
	out.plain[0] = b.encode()
	out.commitment = b.commitment()
	if !out.local {
		out.leaf = evidence.Leaf{Kind: p.Entry.GetKind(), Direction: p.Entry.GetDirection(), Peer: bureau,
			At: out.at, MessageID: id, Commitment: out.commitment}
	}
	return out, nil
}

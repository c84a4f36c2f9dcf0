package evidence

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// LeafSize is the size of every leaf, whatever passed.
const LeafSize = 64

const leafVersion = 1

// DigestSize is the size of a commitment and of the digests in it: SHA-256.
const DigestSize = sha256.Size

// SaltSize is the size of a commitment's salt: 128 bits.
const SaltSize = 16

// Leaf is what stands in a log of one passage, or of a group of local ones. It names the other
// bureau, the message and the moment; what passed it commits to and does not tell.
type Leaf struct {
	Kind       auditv1.EntryKind
	Direction  auditv1.EntryDirection
	Peer       identity.Bureau // the other bureau; of a local passage the own
	At         time.Time       // to the nanosecond, UTC
	MessageID  uuid.UUID
	Commitment [DigestSize]byte
}

// Bytes is the leaf as it stands in the log: version, kind, direction, a zero byte; the peer's
// three letters and a zero byte; the time in nanoseconds since 1970, big-endian; the message id;
// the commitment.
func (l Leaf) Bytes() (b [LeafSize]byte) {
	b[0], b[1], b[2] = leafVersion, byte(l.Kind), byte(l.Direction)
	copy(b[4:7], l.Peer)
	binary.BigEndian.PutUint64(b[8:16], uint64(l.At.UnixNano()))
	copy(b[16:32], l.MessageID[:])
	copy(b[32:64], l.Commitment[:])
	return b
}

// ErrLeaf says that bytes are no leaf.
var ErrLeaf = errors.New("not a leaf of an audit log")

// ParseLeaf reads a leaf. It accepts only what Bytes writes.
func ParseLeaf(b []byte) (Leaf, error) {
	if len(b) != LeafSize {
		return Leaf{}, fmt.Errorf("%w: %d bytes, expected %d", ErrLeaf, len(b), LeafSize)
	}
	if b[0] != leafVersion {
		return Leaf{}, fmt.Errorf("%w: version %d, this program knows %d", ErrLeaf, b[0], leafVersion)
	}
	l := Leaf{
		Kind:      auditv1.EntryKind(b[1]),
		Direction: auditv1.EntryDirection(b[2]),
		Peer:      identity.Bureau(b[4:7]),
		At:        time.Unix(0, int64(binary.BigEndian.Uint64(b[8:16]))).UTC(),
		MessageID: uuid.UUID(b[16:32]),
	}
	copy(l.Commitment[:], b[32:64])
	if _, known := auditv1.EntryKind_name[int32(b[1])]; !known || b[1] == 0 {
		return Leaf{}, fmt.Errorf("%w: kind %d is not known", ErrLeaf, b[1])
	}
	if _, known := auditv1.EntryDirection_name[int32(b[2])]; !known || b[2] == 0 {
		return Leaf{}, fmt.Errorf("%w: direction %d is not known", ErrLeaf, b[2])
	}
	if b[3] != 0 || b[7] != 0 {
		return Leaf{}, fmt.Errorf("%w: a byte that must be zero is not", ErrLeaf)
	}
	if _, err := identity.ParseBureau(string(l.Peer)); err != nil {
		return Leaf{}, fmt.Errorf("%w: peer: %w", ErrLeaf, err)
	}
	return l, nil
}

const commitmentLabel = "entente audit leaf v1\x00"

// Commit is the commitment to a passage: to the bytes that were signed and to the entry about
// them, under a salt without which it says nothing. The evidence digest of a local passage is
// zero.
func Commit(salt [SaltSize]byte, evidence, entry [DigestSize]byte) [DigestSize]byte {
	var b [len(commitmentLabel) + SaltSize + 2*DigestSize]byte
	n := copy(b[:], commitmentLabel)
	n += copy(b[n:], salt[:])
	n += copy(b[n:], evidence[:])
	copy(b[n:], entry[:])
	return sha256.Sum256(b[:])
}

// CommitOpening is the commitment that an opening opens. It fails if a part has another size.
func CommitOpening(o *auditv1.Opening) ([DigestSize]byte, error) {
	if len(o.GetSalt()) != SaltSize || len(o.GetEvidenceDigest()) != DigestSize || len(o.GetEntryDigest()) != DigestSize {
		return [DigestSize]byte{}, fmt.Errorf("opening: %d, %d and %d bytes, expected %d, %d and %d",
			len(o.GetSalt()), len(o.GetEvidenceDigest()), len(o.GetEntryDigest()), SaltSize, DigestSize, DigestSize)
	}
	return Commit([SaltSize]byte(o.GetSalt()), [DigestSize]byte(o.GetEvidenceDigest()), [DigestSize]byte(o.GetEntryDigest())), nil
}

// GroupRoot is the commitment of a leaf that several local passages share: the root of the Merkle
// tree over their commitments in their order (RFC 6962, section 2.1). It panics without any.
func GroupRoot(commitments [][DigestSize]byte) [DigestSize]byte {
	if len(commitments) == 0 {
		panic("evidence: a group without passages")
	}
	hashes := make([][]byte, len(commitments))
	for i, c := range commitments {
		hashes[i] = rfc6962.DefaultHasher.HashLeaf(c[:])
	}
	return [DigestSize]byte(root(hashes))
}

// root is RFC 6962's MTH over leaf hashes.
func root(hashes [][]byte) []byte {
	if len(hashes) == 1 {
		return hashes[0]
	}
	split := 1
	for split*2 < len(hashes) {
		split *= 2
	}
	return rfc6962.DefaultHasher.HashChildren(root(hashes[:split]), root(hashes[split:]))
}

package evidencetest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// The kinds and ways of passages, short.
const (
	Ask      = auditv1.EntryKind_ENTRY_KIND_ASK
	Answer   = auditv1.EntryKind_ENTRY_KIND_ANSWER
	NoAnswer = auditv1.EntryKind_ENTRY_KIND_NO_ANSWER
	In       = auditv1.EntryDirection_ENTRY_DIRECTION_IN
	Out      = auditv1.EntryDirection_ENTRY_DIRECTION_OUT
)

// Book is a country's books in memory: leaves and what opens them.
type Book struct {
	Country  *Country
	Leaves   []evidence.Leaf
	Openings []*auditv1.Opening // nil: erased
	tree     *testonly.Tree
}

// NewBook returns empty books.
func NewBook(c *Country) *Book { return &Book{Country: c, tree: testonly.New(rfc6962.DefaultHasher)} }

// Add books a passage and returns its index. about may be nil.
func (b *Book) Add(k auditv1.EntryKind, d auditv1.EntryDirection, peer identity.Bureau, id string, at time.Time, about *signedv1.Signed) uint64 {
	var digest, entry [32]byte
	if about != nil {
		digest = sha256.Sum256(about.GetPayload())
	}
	var salt [16]byte
	_, _ = rand.Read(salt[:])
	_, _ = rand.Read(entry[:])
	b.Leaves = append(b.Leaves, evidence.Leaf{Kind: k, Direction: d, Peer: peer, At: at.UTC(), MessageID: uuid.MustParse(id), Commitment: evidence.Commit(salt, digest, entry)})
	b.Openings = append(b.Openings, &auditv1.Opening{Salt: salt[:], EvidenceDigest: digest[:], EntryDigest: entry[:]})
	raw := b.Leaves[len(b.Leaves)-1].Bytes()
	b.tree.AppendData(raw[:])
	return uint64(len(b.Leaves) - 1)
}

// Size is how many leaves there are.
func (b *Book) Size() uint64 { return b.tree.Size() }

// Origin is the name of the log.
func (b *Book) Origin() string {
	return evidence.Origin(b.Country.Federation, b.Country.Bureau, "1")
}

// Checkpoint is the signed checkpoint of the first size leaves.
func (b *Book) Checkpoint(t testing.TB, size uint64) []byte {
	t.Helper()
	c := evidence.Checkpoint{Origin: b.Origin(), Size: size, Root: [32]byte(b.tree.HashAt(size))}
	return Note(c.Text(), b.Origin(), b.Country.Log)
}

// Note signs a text as a C2SP signed note under a name.
func Note(text, name string, key ed25519.PrivateKey) []byte {
	h := sha256.New()
	h.Write([]byte(name + "\n\x01"))
	h.Write(Public(key))
	sig := binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(h.Sum(nil)))
	sig = append(sig, ed25519.Sign(key, []byte(text))...)
	return []byte(text + "\n— " + name + " " + base64.StdEncoding.EncodeToString(sig) + "\n")
}

// Proof proves a leaf against the checkpoint of all leaves.
func (b *Book) Proof(t testing.TB, index uint64) *auditv1.LogProof {
	t.Helper()
	raw := b.Leaves[index].Bytes()
	path, err := b.tree.InclusionProof(index, b.Size())
	check(t, err)
	return &auditv1.LogProof{
		Bureau: string(b.Country.Bureau), Leaf: raw[:], Opening: b.Openings[index], Index: index,
		Inclusion: path, Checkpoint: b.Checkpoint(t, b.Size()),
	}
}

// Consistency proves that the first from leaves are the beginning of the first to.
func (b *Book) Consistency(t testing.TB, from, to uint64) *auditv1.Consistency {
	t.Helper()
	path, err := b.tree.ConsistencyProof(from, to)
	check(t, err)
	return &auditv1.Consistency{From: from, To: to, Proof: path}
}

// Export is the books about a peer.
func (b *Book) Export(t testing.TB, f *Federation, peer identity.Bureau, since, until time.Time) *auditv1.Export {
	t.Helper()
	e := &auditv1.Export{
		Federation: string(f.Name), Bureau: string(b.Country.Bureau), Peer: string(peer),
		Since: timestamppb.New(since), Until: timestamppb.New(until), Rosters: f.Rosters,
	}
	if b.Size() > 0 {
		e.Checkpoint = b.Checkpoint(t, b.Size())
	}
	for i, l := range b.Leaves {
		if l.Peer != peer || l.At.Before(since) || !l.At.Before(until) {
			continue
		}
		p := b.Proof(t, uint64(i))
		e.Entries = append(e.Entries, &auditv1.ExportEntry{Leaf: p.GetLeaf(), Index: uint64(i), Opening: p.GetOpening(), Inclusion: p.GetInclusion()})
	}
	return e
}

// Restore books again what other books hold.
func (b *Book) Restore(from *Book) {
	for i, l := range from.Leaves {
		b.Leaves, b.Openings = append(b.Leaves, l), append(b.Openings, from.Openings[i])
		raw := l.Bytes()
		b.tree.AppendData(raw[:])
	}
}

package signing

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/pki/identity"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// pen is a private key and in whose name it signs. It stays inside the package: what leaves it is
// a Signer or a Governor, which sign messages of their own kinds only.
type pen struct {
	federation identity.Federation
	bureau     identity.Bureau
	private    ed25519.PrivateKey
	keyID      string
}

func newPen(f identity.Federation, b identity.Bureau, private ed25519.PrivateKey) pen {
	public, _ := private.Public().(ed25519.PublicKey)
	return pen{federation: f, bureau: b, private: private, keyID: KeyID(AlgorithmEd25519, public)}
}

func (p pen) public(usage rosterv1.KeyUsage) PublicKey {
	public, _ := p.private.Public().(ed25519.PublicKey)
	return PublicKey{Bureau: p.bureau, Usage: usage, Algorithm: AlgorithmEd25519, Key: public}
}

func (p pen) signature(payloadType string, payload []byte) *signedv1.Signature {
	return &signedv1.Signature{
		KeyId:     p.keyID,
		Algorithm: AlgorithmEd25519,
		Value:     ed25519.Sign(p.private, PAE(payloadType, payload)),
	}
}

// sign validates, marshals and signs a message.
func (p pen) sign(k Kind, m proto.Message) (*signedv1.Signed, error) {
	s, err := p.write(k, m)
	if err != nil {
		return nil, err
	}
	s.Signatures = []*signedv1.Signature{p.signature(s.GetPayloadType(), s.GetPayload())}
	return s, nil
}

// write validates and marshals a message that is to be signed. It validates so that a fault is
// found at home, where it can be mended, and not as a refusal abroad.
func (p pen) write(k Kind, m proto.Message) (*signedv1.Signed, error) {
	if err := protovalidate.Validate(m); err != nil {
		return nil, fmt.Errorf("sign %s: %w", k, err)
	}
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", k, err)
	}
	if len(payload) == 0 || len(payload) > maxPayload {
		return nil, fmt.Errorf("sign %s: %d bytes, give 1 to %d", k, len(payload), maxPayload)
	}
	return &signedv1.Signed{PayloadType: PayloadType(k, p.federation), Payload: payload}, nil
}

// own says whether a field that names the speaker names this bureau.
func (p pen) own(k Kind, field, value string) error {
	if value != string(p.bureau) {
		return fmt.Errorf("sign %s: %s is %q, but the key speaks for %s: set it to the own bureau", k, field, value, p.bureau)
	}
	return nil
}

// Signer signs what a bureau says to others, with its message key. It is safe for concurrent use.
type Signer struct {
	pen     pen
	batches *batcher // nil: every answer is signed by itself
}

// NewSigner returns the signer of a bureau's message key. The key comes from GenerateKey or
// ReadKey; one of another length panics, as in crypto/ed25519.
func NewSigner(f identity.Federation, b identity.Bureau, private ed25519.PrivateKey) *Signer {
	return &Signer{pen: newPen(f, b, private)}
}

// Batched returns a signer of the same key that puts answers which are to be signed at the same
// time under one signature, each with its own proof (Signature.batch_proof). An answer that comes
// alone is signed as ever, and none waits for another.
func (s *Signer) Batched() *Signer { return &Signer{pen: s.pen, batches: &batcher{pen: s.pen}} }

// KeyID is the id of the signer's key.
func (s *Signer) KeyID() string { return s.pen.keyID }

// Bureau is in whose name it signs.
func (s *Signer) Bureau() identity.Bureau { return s.pen.bureau }

// Federation is the federation in which it signs.
func (s *Signer) Federation() identity.Federation { return s.pen.federation }

// PublicKey is the public half, as a roster lists it.
func (s *Signer) PublicKey() PublicKey {
	return s.pen.public(rosterv1.KeyUsage_KEY_USAGE_MESSAGE)
}

// Ask signs a question. Its requester must be of the own bureau.
func (s *Signer) Ask(m *queryv1.Ask) (*signedv1.Signed, error) {
	if err := s.pen.own(KindAsk, "requester.bureau", m.GetRequester().GetBureau()); err != nil {
		return nil, err
	}
	return s.pen.sign(KindAsk, m)
}

// Answer signs a reply. It fills in key_id, which says inside the signed bytes under which key
// they were signed; the message given is not changed.
func (s *Signer) Answer(m *queryv1.Answer) (*signedv1.Signed, error) {
	if err := s.pen.own(KindAnswer, "bureau", m.GetBureau()); err != nil {
		return nil, err
	}
	if m.GetKeyId() != s.pen.keyID {
		if m.GetKeyId() != "" {
			return nil, fmt.Errorf("sign %s: key_id names another key: leave it empty", KindAnswer)
		}
		m = proto.CloneOf(m)
		m.KeyId = s.pen.keyID
	}
	if s.batches == nil {
		return s.pen.sign(KindAnswer, m)
	}
	signed, err := s.pen.write(KindAnswer, m)
	if err != nil {
		return nil, err
	}
	signed.Signatures = []*signedv1.Signature{s.batches.sign(signed.GetPayloadType(), signed.GetPayload())}
	return signed, nil
}

// Offer signs what the bureau offers to another.
func (s *Signer) Offer(m *queryv1.Offer) (*signedv1.Signed, error) {
	if err := s.pen.own(KindOffer, "bureau", m.GetBureau()); err != nil {
		return nil, err
	}
	return s.pen.sign(KindOffer, m)
}

// MemberMeta signs what a replica says of itself in gossip. The result must fit into the 512
// bytes that memberlist gives to a member.
func (s *Signer) MemberMeta(m *gossipv1.MemberMeta) (*gossipv1.SignedMeta, error) {
	bureau, replica, _ := strings.Cut(m.GetName(), "/")
	if err := s.pen.own(KindMember, "the bureau in name", bureau); err != nil {
		return nil, err
	}
	if replica == "" {
		return nil, fmt.Errorf("sign %s: name %q: give BUREAU/replica", KindMember, m.GetName())
	}
	signed, err := s.pen.sign(KindMember, m)
	if err != nil {
		return nil, err
	}
	hint, err := hex.DecodeString(KeyHint(s.pen.keyID))
	if err != nil {
		return nil, fmt.Errorf("sign %s: key hint: %w", KindMember, err)
	}
	out := &gossipv1.SignedMeta{Meta: signed.GetPayload(), Signature: signed.GetSignatures()[0].GetValue(), KeyHint: hint}
	if n := proto.Size(out); n > maxMetaSize {
		return nil, fmt.Errorf("sign %s: %d bytes with the signature, gossip carries %d: give a shorter address", KindMember, n, maxMetaSize)
	}
	return out, nil
}

// Governor signs with a bureau's governance key, which lies apart from the node: rosters and the
// bureau's own join request, and nothing else.
type Governor struct{ pen pen }

// NewGovernor returns the signer of a bureau's governance key.
func NewGovernor(f identity.Federation, b identity.Bureau, private ed25519.PrivateKey) *Governor {
	return &Governor{pen: newPen(f, b, private)}
}

// KeyID is the id of the governance key.
func (g *Governor) KeyID() string { return g.pen.keyID }

// Bureau is in whose name it signs.
func (g *Governor) Bureau() identity.Bureau { return g.pen.bureau }

// Federation is the federation in which it signs.
func (g *Governor) Federation() identity.Federation { return g.pen.federation }

// PublicKey is the public half, as a roster lists it.
func (g *Governor) PublicKey() PublicKey {
	return g.pen.public(rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE)
}

// Roster signs a drafted roster: the bytes as they are, once they have proved to be a
// well-formed roster of the own federation. Whether it is a good one is for the person who signs.
func (g *Governor) Roster(payload []byte) (*signedv1.Signature, error) {
	if len(payload) == 0 || len(payload) > maxPayload {
		return nil, fmt.Errorf("sign %s: %d bytes, give 1 to %d", KindRoster, len(payload), maxPayload)
	}
	var r rosterv1.Roster
	if err := proto.Unmarshal(payload, &r); err != nil {
		return nil, fmt.Errorf("sign %s: not a roster: %w", KindRoster, err)
	}
	if err := protovalidate.Validate(&r); err != nil {
		return nil, fmt.Errorf("sign %s: %w", KindRoster, err)
	}
	if r.GetFederation() != string(g.pen.federation) {
		return nil, fmt.Errorf("sign %s: it is of the federation %q, the key signs for %q", KindRoster, r.GetFederation(), g.pen.federation)
	}
	return g.pen.signature(PayloadType(KindRoster, g.pen.federation), payload), nil
}

// JoinRequest signs the own bureau's wish to be in the roster. The request must list this very
// governance key: the signature proves that the bureau holds it.
func (g *Governor) JoinRequest(m *rosterv1.JoinRequest) (*signedv1.Signed, error) {
	if m.GetFederation() != string(g.pen.federation) {
		return nil, fmt.Errorf("sign %s: it is for the federation %q, the key signs for %q", KindJoin, m.GetFederation(), g.pen.federation)
	}
	if err := g.pen.own(KindJoin, "bureau.bureau", m.GetBureau().GetBureau()); err != nil {
		return nil, err
	}
	for _, k := range m.GetBureau().GetKeys() {
		if k.GetUsage() == rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE && KeyID(k.GetAlgorithm(), k.GetKey()) == g.pen.keyID {
			return g.pen.sign(KindJoin, m)
		}
	}
	return nil, fmt.Errorf("sign %s: bureau.keys does not list the governance key %.16s that is to sign it", KindJoin, g.pen.keyID)
}

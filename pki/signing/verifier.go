package signing

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/pki/identity"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Verifier checks what other bureaus signed with their message keys. It is safe for concurrent
// use if its Keys are.
type Verifier struct {
	federation identity.Federation
	keys       Keys
	now        func() time.Time
	batches    batches
}

// NewVerifier returns a verifier for one federation. now is the clock by which keys are valid;
// nil means time.Now.
func NewVerifier(f identity.Federation, keys Keys, now func() time.Time) *Verifier {
	if now == nil {
		now = time.Now
	}
	return &Verifier{federation: f, keys: keys, now: now}
}

// Ask returns the question in s if the bureau from signed it and asks it in its own name.
// Audience, time and first use are for the caller to check.
func (v *Verifier) Ask(s *signedv1.Signed, from identity.Bureau) (*queryv1.Ask, error) {
	var m queryv1.Ask
	if _, err := v.open(KindAsk, s, from, &m); err != nil {
		return nil, err
	}
	if err := speaks(KindAsk, "requester.bureau", m.GetRequester().GetBureau(), from); err != nil {
		return nil, err
	}
	return &m, nil
}

// Answer returns the reply in s if the bureau from signed it, in its own name and with the key
// that the reply names. Whether it replies to the question that was put is for the caller.
func (v *Verifier) Answer(s *signedv1.Signed, from identity.Bureau) (*queryv1.Answer, error) {
	var m queryv1.Answer
	by, err := v.open(KindAnswer, s, from, &m)
	if err != nil {
		return nil, err
	}
	if err := speaks(KindAnswer, "bureau", m.GetBureau(), from); err != nil {
		return nil, err
	}
	if !by[m.GetKeyId()] {
		return nil, fmt.Errorf("%s: %w: key_id names a key that did not sign it", KindAnswer, ErrSignature)
	}
	return &m, nil
}

// Offer returns the offer in s if the bureau from signed it in its own name. Audience and time
// are for the caller to check.
func (v *Verifier) Offer(s *signedv1.Signed, from identity.Bureau) (*queryv1.Offer, error) {
	var m queryv1.Offer
	if _, err := v.open(KindOffer, s, from, &m); err != nil {
		return nil, err
	}
	if err := speaks(KindOffer, "bureau", m.GetBureau(), from); err != nil {
		return nil, err
	}
	return &m, nil
}

// MemberMeta returns the gossip statement in s if the bureau from signed it about a replica of
// its own. That sequences rise is for the caller to check.
func (v *Verifier) MemberMeta(s *gossipv1.SignedMeta, from identity.Bureau) (*gossipv1.MemberMeta, error) {
	if len(s.GetKeyHint()) != hintBytes || len(s.GetSignature()) != ed25519.SignatureSize || proto.Size(s) > maxMetaSize {
		return nil, fmt.Errorf("%s: %w: key hint, signature or size out of bounds", KindMember, ErrSignature)
	}
	key, err := v.key(from, hex.EncodeToString(s.GetKeyHint()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", KindMember, ErrSignature, err)
	}
	// The statement has no field for the algorithm: it is Ed25519 by its schema.
	if key.Algorithm != AlgorithmEd25519 {
		return nil, fmt.Errorf("%s: %w: key of algorithm %q", KindMember, ErrSignature, key.Algorithm)
	}
	if err := key.Verify(PayloadType(KindMember, v.federation), s.GetMeta(), s.GetSignature()); err != nil {
		return nil, fmt.Errorf("%s: %w", KindMember, err)
	}
	var m gossipv1.MemberMeta
	if err := read(KindMember, s.GetMeta(), &m); err != nil {
		return nil, err
	}
	bureau, replica, _ := strings.Cut(m.GetName(), "/")
	if replica == "" {
		return nil, fmt.Errorf("%s: %w: name without a replica", KindMember, ErrMalformed)
	}
	if err := speaks(KindMember, "name", bureau, from); err != nil {
		return nil, err
	}
	return &m, nil
}

// open checks s and reads its payload into m. It returns the ids of the keys that signed.
//
// Signatures of another algorithm or scheme, and of keys that are not (or no more) the bureau's
// message keys, count for nothing: so a bureau may put a new algorithm beside the old one, and
// sign with two keys while it changes them. A signature under one of its good keys that does not
// hold condemns the whole: somebody changed the bytes.
func (v *Verifier) open(k Kind, s *signedv1.Signed, from identity.Bureau, m proto.Message) (map[string]bool, error) {
	if want := PayloadType(k, v.federation); s.GetPayloadType() != want {
		return nil, fmt.Errorf("%s: %w: payload type is %.80q, expected %q", k, ErrSignature, s.GetPayloadType(), want)
	}
	if n := len(s.GetPayload()); n == 0 || n > maxPayload {
		return nil, fmt.Errorf("%s: %w: payload of %d bytes, expected 1 to %d", k, ErrSignature, n, maxPayload)
	}
	if n := len(s.GetSignatures()); n == 0 || n > maxMessages {
		return nil, fmt.Errorf("%s: %w: %d signatures, expected 1 to %d", k, ErrSignature, n, maxMessages)
	}
	by := make(map[string]bool, 1)
	var passed []error // why signatures were passed over, for the own side's log
	for _, sig := range s.GetSignatures() {
		if sig.GetAlgorithm() != AlgorithmEd25519 {
			passed = append(passed, errors.New("algorithm not known to this version"))
			continue
		}
		batched := len(sig.GetBatchProof()) != 0
		if batched && k != KindAnswer {
			passed = append(passed, errors.New("a batch proof, and only answers have batches"))
			continue
		}
		if len(sig.GetKeyId()) != keyIDDigits { // a hint would let one key stand for another
			passed = append(passed, errors.New("key id is not 64 hex digits"))
			continue
		}
		key, err := v.key(from, sig.GetKeyId())
		if err != nil {
			passed = append(passed, err)
			continue
		}
		if key.Algorithm != sig.GetAlgorithm() || key.ID() != sig.GetKeyId() {
			return nil, fmt.Errorf("%s: %w: key and signature disagree on the algorithm", k, ErrSignature)
		}
		if batched {
			err = v.batches.verify(key, k, v.federation, s.GetPayload(), sig)
		} else {
			err = key.Verify(s.GetPayloadType(), s.GetPayload(), sig.GetValue())
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		by[sig.GetKeyId()] = true
	}
	if len(by) == 0 {
		return nil, fmt.Errorf("%s: %w: no signature by a message key of %s: %w", k, ErrSignature, from, errors.Join(passed...))
	}
	if err := read(k, s.GetPayload(), m); err != nil {
		return nil, err
	}
	return by, nil
}

// key asks for a message key, and does not rely on who answers for what is easily seen.
func (v *Verifier) key(b identity.Bureau, id string) (PublicKey, error) {
	const usage = rosterv1.KeyUsage_KEY_USAGE_MESSAGE
	key, err := v.keys.Key(b, id, usage, v.now())
	if err != nil {
		return PublicKey{}, err
	}
	if key.Bureau != b || key.Usage != usage {
		return PublicKey{}, fmt.Errorf("key %.16s is not a message key of %s", id, b)
	}
	return key, nil
}

func read(k Kind, payload []byte, m proto.Message) error {
	if err := proto.Unmarshal(payload, m); err != nil {
		return fmt.Errorf("%s: %w: %w", k, ErrMalformed, err)
	}
	if err := protovalidate.Validate(m); err != nil {
		return fmt.Errorf("%s: %w: %w", k, ErrMalformed, err)
	}
	return nil
}

// speaks fails when a bureau, under its own good signature, speaks in another's name.
func speaks(k Kind, field, value string, from identity.Bureau) error {
	if value != string(from) {
		return fmt.Errorf("%s: %w: %s is not %s, who signed it", k, ErrSignature, field, from)
	}
	return nil
}

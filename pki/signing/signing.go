// Package signing makes and checks the signatures under which a bureau speaks.
//
// What crosses a border is signed by the bureau that says it, with a key that serves that one use
// (architecture: "Identity and trust"): the message key signs asks, answers, offers and gossip
// statements, the log key signs checkpoints of the bureau's audit logs, the governance key signs
// rosters and join requests. The package offers typed requests only ("sign this answer"), never
// "sign these bytes", so that whoever reaches a Signer cannot make the bureau say something of
// another kind, and so that a Signer can live in another process (pki/signing/service, with
// pki/signing/remote at its callers) or in a hardware module. A LogSigner remembers what it has
// signed, and signs no second history.
//
// It does not decide whose keys are good (pki/roster does, through the interface Keys), it opens
// no connection, and it does not know whether an ask is fresh or was seen before: that is for
// who answers it.
//
// One flow: the Belgian node signs an Ask with its Signer. The Spanish node receives the Signed,
// and its Verifier checks the type and the federation, looks the key up in the roster, checks the
// signature over the bytes as they were received, and only then reads the message within.
package signing

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// AlgorithmEd25519 is the one signature algorithm known today (RFC 8032, FIPS 186-5).
const AlgorithmEd25519 = "ed25519"

// Kind is what a signed payload is: the middle of its payload type.
type Kind string

// The kinds of signed payloads, each with its version.
const (
	KindAsk    Kind = "ask.v1"
	KindAnswer Kind = "answer.v1"
	KindOffer  Kind = "offer.v1"
	KindMember Kind = "member.v1"
	KindRoster Kind = "roster.v1"
	KindJoin   Kind = "join.v1"
)

const (
	keyIDDigits = 2 * sha256.Size
	hintBytes   = 8       // of a key's id, in SignedMeta
	maxPayload  = 4 << 20 // as in signed.proto, for callers that come without the interceptor
	maxMessages = 8       // signatures of a message: a few algorithms, and keys in rotation
	maxMetaSize = 512     // memberlist's bound on a member's meta data
)

// PayloadType is the payload type of a kind in a federation:
// "application/vnd.entente.ask.v1+proto; federation=demo.entente". The federation stands in what
// is signed, so that nothing said in an exercise can be replayed in earnest.
func PayloadType(k Kind, f identity.Federation) string {
	return "application/vnd.entente." + string(k) + "+proto; federation=" + string(f)
}

// The errors that callers tell apart. ErrSignature means: not shown to come from the bureau, so
// nothing in it may be used (UNAUTHENTICATED). ErrMalformed means: signed by the bureau, but not
// a message that this version understands (INVALID_ARGUMENT).
var (
	ErrSignature = errors.New("signature does not hold")
	ErrMalformed = errors.New("signed message is malformed")
)

// PublicKey is a bureau's public key for one use.
type PublicKey struct {
	Bureau    identity.Bureau
	Usage     rosterv1.KeyUsage
	Algorithm string
	Key       []byte
}

// ID is the key's id, see KeyID.
func (k PublicKey) ID() string { return KeyID(k.Algorithm, k.Key) }

// Verify checks one signature of the key over a payload and its type. It fails for an algorithm
// that is not known here: what cannot be checked does not hold.
func (k PublicKey) Verify(payloadType string, payload, signature []byte) error {
	if k.Algorithm != AlgorithmEd25519 {
		return fmt.Errorf("%w: algorithm %q is not known to this version", ErrSignature, k.Algorithm)
	}
	// ed25519.Verify panics for a key of another length.
	if len(k.Key) != ed25519.PublicKeySize || !ed25519.Verify(k.Key, PAE(payloadType, payload), signature) {
		return fmt.Errorf("%w: key %.16s of %s did not sign these bytes", ErrSignature, k.ID(), k.Bureau)
	}
	return nil
}

// Keys knows the bureaus' public keys. Key returns the key of bureau b with that id and that
// usage; it fails if the key is unknown, of another bureau or usage, or if at the time given it
// is outside its validity or revoked.
//
// keyID is the whole id (64 hex digits), or its first 16 where the wire has room for a hint
// alone (SignedMeta): an implementation accepts both, and refuses an ambiguous hint.
type Keys interface {
	Key(b identity.Bureau, keyID string, usage rosterv1.KeyUsage, at time.Time) (PublicKey, error)
}

// KeyID is the id of a public key: lower-case hex of SHA-256 over the algorithm's name, a zero
// byte and the key. The name is in it so that one key under two algorithms has two ids.
func KeyID(algorithm string, public []byte) string {
	h := sha256.New()
	h.Write([]byte(algorithm))
	h.Write([]byte{0})
	h.Write(public)
	return hex.EncodeToString(h.Sum(nil))
}

// KeyHint is the start of a key's id that stands for it where bytes are dear.
func KeyHint(keyID string) string {
	return keyID[:min(len(keyID), 2*hintBytes)]
}

// PAE is the DSSE v1 pre-authentication encoding of a payload and its type, which is what every
// signature covers (https://github.com/secure-systems-lab/dsse, protocol.md). Both lengths are in
// it, so that no bytes can move from the type to the payload.
func PAE(payloadType string, payload []byte) []byte {
	const preamble = "DSSEv1 "
	const lengths = 2 * 21 // two numbers of at most 19 digits, and their spaces
	out := make([]byte, 0, len(preamble)+lengths+len(payloadType)+len(payload)+1)
	out = append(out, preamble...)
	out = strconv.AppendInt(out, int64(len(payloadType)), 10)
	out = append(out, ' ')
	out = append(out, payloadType...)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(len(payload)), 10)
	out = append(out, ' ')
	return append(out, payload...)
}

// PayloadDigest is SHA-256 of the payload as it was received: by it an answer names its ask and
// a roster its predecessor. Signatures are not in it, so adding one does not change it.
func PayloadDigest(s *signedv1.Signed) []byte {
	d := sha256.Sum256(s.GetPayload())
	return d[:]
}

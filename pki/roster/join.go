package roster

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// JoinSigner signs a bureau's join request with its governance key: a *signing.Governor.
type JoinSigner interface {
	JoinRequest(*rosterv1.JoinRequest) (*signedv1.Signed, error)
}

// NewKey is the entry of an Ed25519 key in a roster. notBefore may be zero: good from always.
func NewKey(usage rosterv1.KeyUsage, public ed25519.PublicKey, notBefore time.Time) *rosterv1.Key {
	k := &rosterv1.Key{Usage: usage, Algorithm: signing.AlgorithmEd25519, Key: public}
	if !notBefore.IsZero() {
		k.NotBefore = timestamppb.New(notBefore)
	}
	return k
}

// NewJoinRequest writes a bureau's wish to be in a federation's roster and has it signed with
// the bureau's own governance key. It makes every check that the others will make.
func NewJoinRequest(f identity.Federation, bureau *rosterv1.Bureau, at time.Time, governor JoinSigner) (*signedv1.Signed, error) {
	s, err := governor.JoinRequest(&rosterv1.JoinRequest{Federation: string(f), Bureau: bureau, IssuedAt: timestamppb.New(at)})
	if err != nil {
		return nil, fmt.Errorf("join request: %w", err)
	}
	if _, err := VerifyJoinRequest(s); err != nil {
		return nil, err
	}
	return s, nil
}

// ReadJoinRequest reads a join request's file and verifies it, see VerifyJoinRequest.
func ReadJoinRequest(b []byte) (*rosterv1.JoinRequest, *signedv1.Signed, error) {
	all, err := decodeSigned(b, BlockJoinRequest, maxJoinFile, 1)
	if err != nil {
		return nil, nil, fmt.Errorf("join request: %w", err)
	}
	j, err := VerifyJoinRequest(all[0])
	if err != nil {
		return nil, nil, err
	}
	return j, all[0], nil
}

// VerifyJoinRequest checks that a join request is signed by a governance key that it lists
// itself and that was good when it was written, and that its roots and keys could stand in a
// roster. That it is the bureau's, only a comparison of BureauFingerprint by another channel
// shows.
func VerifyJoinRequest(s *signedv1.Signed) (*rosterv1.JoinRequest, error) {
	bad := func(err error) (*rosterv1.JoinRequest, error) {
		return nil, fmt.Errorf("join request: %w: %w", ErrMalformed, err)
	}
	if err := protovalidate.Validate(s); err != nil {
		return bad(err)
	}
	// The type is looked at first, so that nothing that was signed as something else is read.
	name, ok := strings.CutPrefix(s.GetPayloadType(), JoinPayloadType(""))
	if !ok {
		return bad(fmt.Errorf("payload type is %.80q, expected a join request", s.GetPayloadType()))
	}
	f, err := identity.ParseFederation(name)
	if err != nil {
		return bad(err)
	}
	var j rosterv1.JoinRequest
	if err := proto.Unmarshal(s.GetPayload(), &j); err != nil {
		return bad(err)
	}
	if err := protovalidate.Validate(&j); err != nil {
		return bad(err)
	}
	if j.GetFederation() != string(f) {
		return bad(fmt.Errorf("federation is %q, but it is signed for %q", j.GetFederation(), f))
	}
	if err := j.GetIssuedAt().CheckValid(); err != nil {
		return bad(fmt.Errorf("issued_at: %w", err))
	}
	m, err := checkBureau(j.GetBureau(), f)
	if err != nil {
		return bad(err)
	}
	if err := (uniques{}).add(m); err != nil {
		return bad(err)
	}
	alone := &View{federation: f, bureaus: []identity.Bureau{m.Bureau}, keys: map[string]listedKey{}, hints: map[string]listedKey{}}
	for _, k := range m.Keys {
		alone.list(m.Bureau, k)
	}
	if len(signersOf(alone, s, j.GetIssuedAt().AsTime())) == 0 {
		return bad(fmt.Errorf("%w: no good signature by a governance key that it lists", signing.ErrSignature))
	}
	return &j, nil
}

// Found drafts version 1 from the founders' join requests. It verifies each of them again.
// threshold 0 means DefaultThreshold, life 0 means DefaultLife. The result is to be marshalled
// with MarshalDraft, signed by every founder, and put together with Merge.
func Found(f identity.Federation, threshold uint32, joins []*signedv1.Signed, at time.Time, life time.Duration) (*rosterv1.Roster, error) {
	if threshold == 0 {
		threshold = DefaultThreshold(len(joins))
	}
	r := &rosterv1.Roster{Federation: string(f), Version: 1, Threshold: threshold}
	for _, s := range joins {
		if err := admit(r, s); err != nil {
			return nil, fmt.Errorf("found: %w", err)
		}
	}
	return finish(r, f, at, life)
}

// Change is one change that Next makes to a roster.
type Change func(*rosterv1.Roster, time.Time) error

// Admit takes the bureau of a join request in. If it is in the roster, its entry is replaced:
// so a bureau changes its roots, keys or address.
func Admit(join *signedv1.Signed) Change {
	return func(r *rosterv1.Roster, _ time.Time) error {
		j, err := VerifyJoinRequest(join)
		if err != nil {
			return err
		}
		remove(r, j.GetBureau().GetBureau())
		return admit(r, join)
	}
}

// Remove takes a bureau out.
func Remove(b identity.Bureau) Change {
	return func(r *rosterv1.Roster, _ time.Time) error {
		if !remove(r, string(b)) {
			return fmt.Errorf("remove %s: %w", b, ErrNotMember)
		}
		return nil
	}
}

// Threshold sets how many distinct bureaus must sign the version after.
func Threshold(n uint32) Change {
	return func(r *rosterv1.Roster, _ time.Time) error {
		r.Threshold = n
		return nil
	}
}

// Revoke revokes a bureau's key from the time at which the roster is written.
func Revoke(b identity.Bureau, keyID string) Change {
	return func(r *rosterv1.Roster, at time.Time) error {
		for _, entry := range r.GetBureaus() {
			for _, k := range entry.GetKeys() {
				if entry.GetBureau() == string(b) && signing.KeyID(k.GetAlgorithm(), k.GetKey()) == keyID {
					if k.GetRevokedAt() == nil {
						k.RevokedAt = timestamppb.New(at)
					}
					return nil
				}
			}
		}
		return fmt.Errorf("revoke key %.16s of %s: %w", keyID, b, ErrUnknownKey)
	}
}

// Next drafts the version after current. Without a change it renews: the same bureaus, a later
// expiry. life 0 means DefaultLife.
func Next(current *View, at time.Time, life time.Duration, changes ...Change) (*rosterv1.Roster, error) {
	r := current.Roster()
	r.Version++
	r.PreviousDigest = []byte(current.digest)
	for _, change := range changes {
		if err := change(r, at); err != nil {
			return nil, fmt.Errorf("next roster: %w", err)
		}
	}
	next, err := finish(r, current.federation, at, life)
	if err != nil {
		return nil, err
	}
	v, err := viewOf(next, nil, current.federation)
	if err != nil {
		return nil, err
	}
	if v.issuedAt.Before(current.issuedAt) {
		return nil, fmt.Errorf("next roster: %w: its date is before that of version %d: check the clock", ErrMalformed, current.Version())
	}
	if err := keepsKeys(current, v); err != nil {
		return nil, fmt.Errorf("next roster: %w: %w", ErrMalformed, err)
	}
	return next, nil
}

func admit(r *rosterv1.Roster, join *signedv1.Signed) error {
	j, err := VerifyJoinRequest(join)
	if err != nil {
		return err
	}
	if j.GetFederation() != r.GetFederation() {
		return fmt.Errorf("join request of %s: %w: it is for the federation %q, expected %q", j.GetBureau().GetBureau(), ErrMalformed, j.GetFederation(), r.GetFederation())
	}
	at, found := slices.BinarySearchFunc(r.GetBureaus(), j.GetBureau().GetBureau(), byID)
	if found {
		return fmt.Errorf("join request of %s: %w: there are two: take the one whose fingerprint the bureau confirms", j.GetBureau().GetBureau(), ErrMalformed)
	}
	r.Bureaus = slices.Insert(r.Bureaus, at, j.GetBureau())
	return nil
}

func remove(r *rosterv1.Roster, bureau string) bool {
	at, found := slices.BinarySearchFunc(r.GetBureaus(), bureau, byID)
	if found {
		r.Bureaus = slices.Delete(r.Bureaus, at, at+1)
	}
	return found
}

func byID(b *rosterv1.Bureau, id string) int { return strings.Compare(b.GetBureau(), id) }

func finish(r *rosterv1.Roster, f identity.Federation, at time.Time, life time.Duration) (*rosterv1.Roster, error) {
	if life == 0 {
		life = DefaultLife
	}
	r.IssuedAt, r.ExpiresAt = timestamppb.New(at), timestamppb.New(at.Add(life))
	if len(r.GetBureaus()) == 0 {
		return nil, fmt.Errorf("%w: no bureaus: give at least one join request", ErrMalformed)
	}
	if err := protovalidate.Validate(r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if _, err := viewOf(r, nil, f); err != nil {
		return nil, err
	}
	return r, nil
}

// MarshalDraft returns the payload of a drafted roster: the bytes that are signed from now on.
func MarshalDraft(r *rosterv1.Roster) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("draft: %w", err)
	}
	return b, nil
}

// Merge puts signatures beside a draft's payload. It refuses a signature that does not hold; two
// of one key count once. In version 1 it also refuses one by a key that is not a good governance
// key of a founder; later, such a key may be that of a bureau that leaves, and VerifyNext decides.
// Whether the signatures suffice, VerifyFirst or VerifyNext says.
func Merge(payload []byte, signatures ...*signedv1.Signature) (*signedv1.Signed, error) {
	r, err := parse(payload)
	if err != nil {
		return nil, err
	}
	f := identity.Federation(r.GetFederation())
	s := &signedv1.Signed{PayloadType: PayloadType(f), Payload: payload}
	v, err := viewOf(r, s, f)
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	for i, sig := range signatures {
		k, err := governanceKey(v, sig, v.issuedAt)
		switch {
		case err != nil && v.Version() > 1: // of a bureau that leaves, or a key that goes
		case err != nil:
			return nil, fmt.Errorf("merge: signature %d, key %.16s: %w", i+1, sig.GetKeyId(), err)
		default:
			if err := k.Verify(s.GetPayloadType(), payload, sig.GetValue()); err != nil {
				return nil, fmt.Errorf("merge: signature %d, of %s: %w: was it made over another draft?", i+1, k.Bureau, err)
			}
		}
		if !have[sig.GetKeyId()] {
			have[sig.GetKeyId()] = true
			s.Signatures = append(s.Signatures, proto.CloneOf(sig))
		}
	}
	if err := protovalidate.Validate(s); err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	return s, nil
}

package roster

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Member is a bureau as the roster has it.
type Member struct {
	Bureau  identity.Bureau
	Address string
	// Roots are its CA roots, Pool the same for verifying. They are shared with every other
	// caller: read them, do not add to them.
	Roots []*x509.Certificate
	Pool  *x509.CertPool
	// Keys are its public keys, as listed. Shared as well.
	Keys []*rosterv1.Key
	// Fingerprint is that of the bureau's entry, see BureauFingerprint.
	Fingerprint string
}

// View is one verified roster, parsed once for many readers. It never changes. It implements
// signing.Keys for the verification of evidence of its own time: it asks neither for its own
// expiry nor for distrust, Book does.
type View struct {
	roster     *rosterv1.Roster
	signed     *signedv1.Signed
	federation identity.Federation
	issuedAt   time.Time
	expiresAt  time.Time
	digest     string // of the payload, raw
	bureaus    []identity.Bureau
	members    map[identity.Bureau]Member
	keys       map[string]listedKey // by id
	hints      map[string]listedKey // by bureau and start of the id, see signing.KeyHint
	past       *history             // of the chain up to this roster
}

// listedKey is a key of a roster with whose it is and when it is good.
type listedKey struct {
	signing.PublicKey
	notBefore, notAfter, revokedAt time.Time // zero: no bound
}

func (k listedKey) goodAt(at time.Time) error {
	switch {
	case !k.revokedAt.IsZero() && !at.Before(k.revokedAt):
		return ErrKeyRevoked
	case !k.notBefore.IsZero() && at.Before(k.notBefore), !k.notAfter.IsZero() && at.After(k.notAfter):
		return ErrKeyNotValid
	}
	return nil
}

// Version is the roster's version; the first is 1.
func (v *View) Version() uint64 { return v.roster.GetVersion() }

// Federation is whose roster it is.
func (v *View) Federation() identity.Federation { return v.federation }

// Threshold is how many distinct bureaus must sign the next version.
func (v *View) Threshold() uint32 { return v.roster.GetThreshold() }

// Fingerprint is the roster's, for comparing it by another channel.
func (v *View) Fingerprint() string { return Fingerprint(v.signed.GetPayload()) }

// IssuedAt is when it was written.
func (v *View) IssuedAt() time.Time { return v.issuedAt }

// ExpiresAt is from when it is not valid any more.
func (v *View) ExpiresAt() time.Time { return v.expiresAt }

// Expired says whether at that time it is not valid any more.
func (v *View) Expired(at time.Time) bool { return !at.Before(v.expiresAt) }

// Bureaus returns the members' ids, sorted.
func (v *View) Bureaus() []identity.Bureau { return slices.Clone(v.bureaus) }

// Member returns a member.
func (v *View) Member(b identity.Bureau) (Member, bool) {
	m, ok := v.members[b]
	return m, ok
}

// Signed returns the signed roster as it was received.
func (v *View) Signed() *signedv1.Signed { return proto.CloneOf(v.signed) }

// Roster returns the roster's content.
func (v *View) Roster() *rosterv1.Roster { return proto.CloneOf(v.roster) }

// Key returns a bureau's key of that id (or hint) and usage, if it is good at that time.
func (v *View) Key(b identity.Bureau, keyID string, usage rosterv1.KeyUsage, at time.Time) (signing.PublicKey, error) {
	if _, ok := v.members[b]; !ok {
		return signing.PublicKey{}, fmt.Errorf("key of %s: %w", b, ErrNotMember)
	}
	k, ok := v.keys[keyID]
	if !ok {
		k, ok = v.hints[string(b)+keyID]
	}
	if !ok || k.Bureau != b || k.Usage != usage {
		return signing.PublicKey{}, fmt.Errorf("key %.16s of %s for %s: %w", keyID, b, usage, ErrUnknownKey)
	}
	if err := k.goodAt(at); err != nil {
		return signing.PublicKey{}, fmt.Errorf("key %.16s of %s: %w", keyID, b, err)
	}
	return k.PublicKey, nil
}

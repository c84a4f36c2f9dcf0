// Package roster keeps the list of the bureaus of one federation: who is in, their CA roots,
// signing keys and addresses, changed only by signatures of the bureaus themselves.
//
// A roster has the semantics of a TUF root role (The Update Framework, specification section
// 5.3), in our own signed container. Version 1 is signed by every founder. Version n+1 is valid
// when the threshold of distinct bureaus of version n and the threshold of distinct bureaus of
// version n+1 have signed it, each with a governance key. Versions never go back, a roster
// expires, and two rosters with one version are proof of a fork. Nobody is in charge, and nobody
// has to be online together: drafts and signatures travel as text files.
//
// It makes no TLS configuration (pki/mtls does, from the roots given here), speaks no network,
// and takes no word from gossip. It holds no private key: whoever signs brings a
// signing.Governor.
//
// One flow: BEL, ESP and BGR each write a join request (NewJoinRequest). One of them drafts
// version 1 from the three (Found), each signs the draft with its governance key, the signatures
// are put beside the draft (Merge), and each installs the result (Book.Install), comparing its
// fingerprint by another channel. From then on the Book answers, for every connection and every
// message, which roots and which keys speak for a bureau.
package roster

import (
	"errors"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
)

// The errors of looking something up. All mean: not trusted now.
var (
	// ErrNoRoster: none is installed, so nobody is trusted.
	ErrNoRoster = errors.New("no roster is installed")
	// ErrExpired: the roster is past its expiry. A newer one has to be signed and installed.
	ErrExpired = errors.New("the roster has expired")
	// ErrNotMember: the bureau is not in the roster.
	ErrNotMember = errors.New("the bureau is not in the roster")
	// ErrDistrusted: this bureau has withdrawn its trust from that one, alone.
	ErrDistrusted = errors.New("the bureau is distrusted here")
	// ErrUnknownKey: the bureau has no key of that id and usage.
	ErrUnknownKey = errors.New("the bureau has no such key")
	// ErrKeyNotValid: the key is outside its time of validity.
	ErrKeyNotValid = errors.New("the key is outside its validity")
	// ErrKeyRevoked: the key is revoked.
	ErrKeyRevoked = errors.New("the key is revoked")
)

// The errors of installing a roster.
var (
	// ErrMalformed: it is not a well-formed roster of this federation.
	ErrMalformed = errors.New("malformed roster")
	// ErrThreshold: too few distinct bureaus signed it.
	ErrThreshold = errors.New("too few bureaus signed the roster")
	// ErrFingerprint: it is not the roster whose fingerprint was given.
	ErrFingerprint = errors.New("the fingerprint does not match")
	// ErrRollback: it is older than the one installed.
	ErrRollback = errors.New("the roster is older than the one installed")
	// ErrGap: the versions between are missing; they have to be installed first.
	ErrGap = errors.New("roster versions are missing in between")
	// ErrFork: there are two rosters where there may be one. Both are kept as evidence.
	ErrFork = errors.New("fork: two different rosters are signed for one version")
	// ErrTampered: what lies on disk is not what was installed.
	ErrTampered = errors.New("the roster's folder was tampered with or rolled back")
)

const (
	// DefaultLife is how long a roster is valid if nothing else is asked for: long enough for
	// a change of members to be signed in every capital, short enough that a bureau that was
	// cut off from the newer ones notices (federation.md section 6).
	DefaultLife = 180 * 24 * time.Hour
	// MaxLife bounds what an expiry can be worth: a roster for ever could be frozen for ever.
	MaxLife = 2 * 366 * 24 * time.Hour
	// clockSkew is how far ahead of the own clock a roster may be dated. It is what leaves are
	// back-dated by.
	clockSkew = 2 * time.Hour
)

// PayloadType is the payload type of a federation's rosters.
func PayloadType(f identity.Federation) string { return signing.PayloadType(signing.KindRoster, f) }

// JoinPayloadType is the payload type of join requests to a federation.
func JoinPayloadType(f identity.Federation) string { return signing.PayloadType(signing.KindJoin, f) }

// DefaultThreshold is two thirds of n bureaus, rounded up.
func DefaultThreshold(n int) uint32 { return uint32((2*n + 2) / 3) }

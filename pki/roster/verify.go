package roster

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// VerifyFirst verifies a roster that is to be the first for a bureau. Version 1 must be signed by
// every bureau in it. A bureau that joins later begins with a later version, which must be signed
// by its own threshold. In both cases the signatures show that the roster is what its bureaus
// agreed on, not that they are the right bureaus: that, only the comparison of the fingerprint by
// another channel shows.
//
// It fails with ErrExpired for a roster past its expiry.
func VerifyFirst(s *signedv1.Signed, f identity.Federation, now time.Time) (*View, error) {
	v, err := verifyAnchor(s, f)
	if err != nil {
		return nil, err
	}
	return v, current(v, now)
}

// VerifyNext verifies the roster that follows old: version and previous_digest are the next, and
// the thresholds of distinct bureaus of both versions signed it.
//
// It fails with ErrGap or ErrRollback for another version, ErrFork for one that does not continue
// old but is signed all the same, ErrThreshold for too few signatures and ErrExpired for a roster
// past its expiry.
func VerifyNext(old *View, s *signedv1.Signed, now time.Time) (*View, error) {
	v, err := verifyLink(old, s)
	if err != nil {
		return nil, err
	}
	return v, current(v, now)
}

// current fails for a roster of another time.
func current(v *View, now time.Time) error {
	if v.Expired(now) {
		return fmt.Errorf("roster %d: %w: have a newer one signed", v.Version(), ErrExpired)
	}
	return notAhead(v, now)
}

// notAhead fails for a roster dated in the future: one clock is wrong, and an expiry that is
// counted from a wrong date is worth nothing.
func notAhead(v *View, now time.Time) error {
	if v.issuedAt.After(now.Add(clockSkew)) {
		return fmt.Errorf("%w: issued_at is in the future: check this machine's clock, or the drafter's", ErrMalformed)
	}
	return nil
}

// verifyAnchor and verifyLink ask for nothing that passes with time, so that a chain that was
// valid when it was installed stays valid: keys must have been good when the roster was issued.
func verifyAnchor(s *signedv1.Signed, f identity.Federation) (*View, error) {
	v, err := newView(s, f)
	if err != nil {
		return nil, err
	}
	need := int(v.Threshold())
	if v.Version() == 1 {
		need = len(v.bureaus)
	}
	return v, reach(v, v, need)
}

func verifyLink(old *View, s *signedv1.Signed) (*View, error) {
	v, err := newView(s, old.federation)
	if err != nil {
		return nil, err
	}
	switch {
	case v.Version() <= old.Version():
		return nil, fmt.Errorf("%w: version %d, installed is %d", ErrRollback, v.Version(), old.Version())
	case v.Version() != old.Version()+1:
		return nil, fmt.Errorf("%w: version %d does not follow %d: install version %d first", ErrGap, v.Version(), old.Version(), old.Version()+1)
	}
	// An earlier date would let somebody with a stolen key that is revoked by now sign as of
	// the time when it was not.
	if v.issuedAt.Before(old.issuedAt) {
		return nil, fmt.Errorf("%w: issued_at is before that of version %d", ErrMalformed, old.Version())
	}
	if err := keepsKeys(old, v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := reach(old, v, int(old.Threshold())); err != nil {
		return nil, err
	}
	if err := reach(v, v, int(v.Threshold())); err != nil {
		return nil, err
	}
	// After the signatures: enough bureaus of the version installed here have signed a
	// successor of another one.
	if !bytes.Equal(v.roster.GetPreviousDigest(), []byte(old.digest)) {
		return nil, fmt.Errorf("%w: version %d continues another version %d than the one installed", ErrFork, v.Version(), old.Version())
	}
	v.past = old.past.with(v.keys)
	return v, nil
}

// keepsKeys checks what no threshold can make right: a key stays with its bureau and its usage,
// and a revoked key stays revoked, also if rosters in between did not list it.
func keepsKeys(old, v *View) error {
	for _, k := range v.keys {
		was, ok := old.past.word(k.Key)
		switch {
		case !ok:
		case was.Bureau != k.Bureau:
			return fmt.Errorf("a key of %s is listed under %s", was.Bureau, k.Bureau)
		case was.Usage != k.Usage || was.Algorithm != k.Algorithm:
			return fmt.Errorf("a key of %s changes its usage or algorithm", k.Bureau)
		case !was.revokedAt.IsZero() && (k.revokedAt.IsZero() || k.revokedAt.After(was.revokedAt)):
			return fmt.Errorf("a revoked key of %s is taken back", k.Bureau)
		}
	}
	return nil
}

// reach checks that enough distinct bureaus of the electorate signed v.
func reach(electorate, v *View, need int) error {
	signers := signersOf(electorate, v.signed, v.issuedAt)
	if len(signers) >= need {
		return nil
	}
	var missing []string
	for _, b := range electorate.bureaus {
		if !slices.Contains(signers, b) {
			missing = append(missing, string(b))
		}
	}
	return fmt.Errorf("%w: version %d has good signatures of %d distinct bureaus of version %d, %d are needed (not signed: %s)",
		ErrThreshold, v.Version(), len(signers), electorate.Version(), need, strings.Join(missing, " "))
}

// signersOf returns the bureaus of the electorate that signed s with a governance key that was
// good at the time given, sorted, each once however often it signed.
func signersOf(electorate *View, s *signedv1.Signed, at time.Time) []identity.Bureau {
	var out []identity.Bureau
	for _, sig := range s.GetSignatures() {
		k, err := governanceKey(electorate, sig, at)
		if err != nil || slices.Contains(out, k.Bureau) {
			continue
		}
		if k.Verify(s.GetPayloadType(), s.GetPayload(), sig.GetValue()) == nil {
			out = append(out, k.Bureau)
		}
	}
	slices.Sort(out)
	return out
}

var errNotGovernance = errors.New("not a governance key of a bureau in the roster")

// governanceKey returns the governance key that a signature names.
func governanceKey(electorate *View, sig *signedv1.Signature, at time.Time) (signing.PublicKey, error) {
	k, ok := electorate.keys[sig.GetKeyId()]
	if !ok || k.Usage != rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE ||
		k.Algorithm != sig.GetAlgorithm() || len(sig.GetBatchProof()) != 0 {
		return signing.PublicKey{}, errNotGovernance
	}
	return k.PublicKey, k.goodAt(at)
}

// Endorsed tells whether a roster bears the signatures of the threshold of v's bureaus: ErrThreshold
// if not. It is the first question to a roster that a peer offers: signatures are cheap to verify,
// and the certificates in a roster are not.
func (v *View) Endorsed(s *signedv1.Signed) error {
	signers, err := v.Signers(s)
	if err != nil {
		return err
	}
	if need := int(v.Threshold()); len(signers) < need {
		return fmt.Errorf("%w: %d of the %d that are needed", ErrThreshold, len(signers), need)
	}
	return nil
}

// Signers returns the bureaus of v whose governance keys have signed s, sorted: to see, while
// signatures are gathered, who is missing.
func (v *View) Signers(s *signedv1.Signed) ([]identity.Bureau, error) {
	r, err := parse(s.GetPayload())
	if err != nil {
		return nil, err
	}
	if s.GetPayloadType() != PayloadType(v.federation) {
		return nil, fmt.Errorf("%w: it is of another kind or federation", ErrMalformed)
	}
	return signersOf(v, s, r.GetIssuedAt().AsTime()), nil
}

package mtls

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
)

// Trust says whose roots are believed now. It is asked at every handshake and every call, and
// must be quick. An error means that nobody of that bureau is admitted.
type Trust interface {
	Federation() identity.Federation
	Roots(b identity.Bureau) (*x509.CertPool, error)
}

// Own is the trust in one bureau alone, by its own roots: what the local listener and the own
// clients use. It needs no roster, so a bureau's people reach their node also before the first
// roster is installed and after the last one has expired.
func Own(f identity.Federation, self identity.Bureau, roots *x509.CertPool) Trust {
	return ownTrust{federation: f, self: self, roots: roots.Clone()}
}

type ownTrust struct {
	federation identity.Federation
	self       identity.Bureau
	roots      *x509.CertPool
}

func (t ownTrust) Federation() identity.Federation { return t.federation }

func (t ownTrust) Roots(b identity.Bureau) (*x509.CertPool, error) {
	if b != t.self {
		return nil, fmt.Errorf("only %s is trusted here, not %s", t.self, b)
	}
	return t.roots, nil
}

// maxChain bounds what a stranger can make us verify: a leaf, its intermediate, a root sent
// along, and two to spare for an authority with one more level.
const maxChain = 5

// Verifier holds the rules of one end of one kind of connection.
type Verifier struct {
	trust Trust
	// only, when set, is the one bureau that is admitted.
	only identity.Bureau
	// kind is what is admitted: nodes, or clients.
	kind    identity.Kind
	now     func() time.Time
	revoked func(*x509.Certificate) bool
}

// finding is a chain that was accepted, and what that rested on.
type finding struct {
	id        identity.Identity
	chain     []*x509.Certificate // as presented, leaf first
	roots     *x509.CertPool      // that it was verified against
	notBefore time.Time           // from when every certificate of it is valid
	notAfter  time.Time           // until when
}

// Verify checks a chain as it was presented, leaf first, by all the rules, and returns who
// stands behind it.
func (v *Verifier) Verify(chain []*x509.Certificate) (identity.Identity, error) {
	f, err := v.verify(chain)
	if err != nil {
		return identity.Identity{}, err
	}
	return f.id, nil
}

func (v *Verifier) verify(chain []*x509.Certificate) (*finding, error) {
	if len(chain) == 0 {
		return nil, &Error{Reason: ReasonNoCertificate, Err: errors.New("no certificate was presented")}
	}
	if len(chain) > maxChain {
		return nil, &Error{Reason: ReasonBadChain, Err: fmt.Errorf("%d certificates, at most %d are read", len(chain), maxChain)}
	}
	leaf := chain[0]
	id, err := identity.FromCertificate(leaf, v.trust.Federation())
	if err != nil {
		return nil, &Error{Reason: ReasonNoIdentity, Err: err}
	}
	if err := v.admits(id); err != nil {
		return nil, err
	}
	roots, err := v.trust.Roots(id.Bureau)
	if err == nil && roots == nil {
		err = errors.New("no roots are known")
	}
	if err != nil {
		return nil, &Error{Reason: ReasonNotTrusted, Bureau: id.Bureau, Err: err}
	}
	now := v.now()
	if err := within(now, id.Bureau, leaf.NotBefore, leaf.NotAfter); err != nil {
		return nil, err
	}

	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	// The uses are checked below, stricter than x509 does: there, an intermediate that says
	// nothing about its use may do everything.
	verified, err := leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, &Error{Reason: ReasonBadChain, Bureau: id.Bureau, Err: err}
	}
	var good []*x509.Certificate
	for _, c := range verified {
		if err = v.rightIssuer(c); err == nil {
			good = c
			break
		}
	}
	if good == nil {
		return nil, &Error{Reason: ReasonWrongIssuer, Bureau: id.Bureau, Err: err}
	}
	if v.revoked != nil && v.revoked(leaf) {
		return nil, &Error{Reason: ReasonRevoked, Bureau: id.Bureau, Err: errors.New("revoked by its own authority")}
	}
	f := &finding{
		id: id, chain: chain,
		// A copy: if the pool were changed in place, the comparison at the next call must see it.
		roots:     roots.Clone(),
		notBefore: leaf.NotBefore, notAfter: leaf.NotAfter,
	}
	for _, c := range good {
		if c.NotBefore.After(f.notBefore) {
			f.notBefore = c.NotBefore
		}
		if c.NotAfter.Before(f.notAfter) {
			f.notAfter = c.NotAfter
		}
	}
	return f, nil
}

// admits checks who may be at the other end, before any signature is.
func (v *Verifier) admits(id identity.Identity) error {
	if id.Kind != v.kind {
		what := "a node"
		if v.kind == identity.KindClient {
			what = "a client of the own bureau"
		}
		return &Error{Reason: ReasonWrongListener, Bureau: id.Bureau, Err: fmt.Errorf("only %s is admitted here", what)}
	}
	if v.only != "" && id.Bureau != v.only {
		reason := ReasonWrongPeer
		if v.kind == identity.KindClient {
			reason = ReasonWrongListener
		}
		return &Error{Reason: reason, Bureau: id.Bureau, Err: fmt.Errorf("only %s is admitted here", v.only)}
	}
	return nil
}

// The uses that tell the two intermediates apart, and that their leaves repeat. They are in the
// chain for every peer to see, so a peer that knows only the root can tell them apart too, and
// x509 lets no issuer hand on a use that it has not got.
var (
	meshUses  = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	localUses = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
)

// rightIssuer checks that a verified chain, leaf first and root last, has come through the
// intermediate of this kind of leaf. The root itself may issue nothing but intermediates: it
// lies offline, and a leaf straight from it could not be told to be for one listener.
func (v *Verifier) rightIssuer(chain []*x509.Certificate) error {
	if len(chain) < 3 {
		return errors.New("issued by the root itself: an intermediate must stand between")
	}
	uses := meshUses
	if v.kind == identity.KindClient {
		uses = localUses
	}
	for i, c := range chain[:len(chain)-1] {
		if !hasExactly(c, uses) {
			what := "leaf"
			if i > 0 {
				what = "intermediate"
			}
			return fmt.Errorf("the extended key usages of the %s are not those of a %s chain", what, v.chainName())
		}
	}
	if chain[0].KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return errors.New("the leaf's key usage lacks digitalSignature")
	}
	return nil
}

func (v *Verifier) chainName() string {
	if v.kind == identity.KindClient {
		return "local"
	}
	return "mesh"
}

// hasExactly tells whether a certificate's extended key usages are these, each once, in any
// order, and no others.
func hasExactly(c *x509.Certificate, uses []x509.ExtKeyUsage) bool {
	if len(c.UnknownExtKeyUsage) != 0 || len(c.ExtKeyUsage) != len(uses) {
		return false
	}
	for _, u := range uses {
		if !slices.Contains(c.ExtKeyUsage, u) {
			return false
		}
	}
	return true
}

// again asks whether what was found at the handshake still holds, and on what it rests now. It
// costs no signature check unless the bureau's roots have changed since.
func (v *Verifier) again(f *finding) (*finding, error) {
	if err := within(v.now(), f.id.Bureau, f.notBefore, f.notAfter); err != nil {
		return nil, err
	}
	roots, err := v.trust.Roots(f.id.Bureau)
	if err == nil && roots == nil {
		err = errors.New("no roots are known")
	}
	if err != nil {
		return nil, &Error{Reason: ReasonNotTrusted, Bureau: f.id.Bureau, Err: err}
	}
	if !roots.Equal(f.roots) {
		return v.verify(f.chain)
	}
	if v.revoked != nil && v.revoked(f.chain[0]) {
		return nil, &Error{Reason: ReasonRevoked, Bureau: f.id.Bureau, Err: errors.New("revoked by its own authority")}
	}
	return f, nil
}

func within(now time.Time, b identity.Bureau, notBefore, notAfter time.Time) error {
	switch {
	case now.Before(notBefore):
		return &Error{Reason: ReasonNotYetValid, Bureau: b, Err: fmt.Errorf("valid from %s, and it is %s: check the clocks of both sides",
			notBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))}
	case now.After(notAfter):
		return &Error{Reason: ReasonExpired, Bureau: b, Err: fmt.Errorf("valid until %s, and it is %s: it must be renewed",
			notAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))}
	}
	return nil
}

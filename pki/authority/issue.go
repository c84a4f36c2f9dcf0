package authority

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/smallstep/certificates/authority"
	"github.com/smallstep/certificates/authority/provisioner"

	"github.com/entente-mesh/entente/pki/identity"
)

// Lives of leaves.
const (
	// NodeLife is short because peers have no list of revoked certificates to look at: a stolen
	// node's leaf is worth a day.
	NodeLife = 24 * time.Hour
	// ClientLife is longer, because the own listener asks at every call whether it was revoked.
	ClientLife = 30 * 24 * time.Hour
	// Backdate begins a leaf's life before it is issued, for peers whose clocks are slow.
	Backdate = 2 * time.Hour
)

// minRSABits is for keys in old smart cards; new keys are elliptic.
const minRSABits = 3072

var (
	// ErrRequest is wrapped by the errors about a certificate signing request.
	ErrRequest = errors.New("certificate signing request not acceptable")
	// ErrNotRenewable is wrapped by the errors about a certificate that may not be renewed.
	ErrNotRenewable = errors.New("certificate cannot be renewed: enrol anew")
	// ErrUnknownSerial is returned for the serial number of no certificate that was issued here.
	ErrUnknownSerial = errors.New("no certificate with this serial number was issued here")
)

// IssueNode issues the leaf of a replica of the bureau's node, for both of its listeners: 24
// hours from now, back-dated by two. The request must name that node alone.
func (a *Authority) IssueNode(ctx context.Context, replica string, csrDER []byte) ([]*x509.Certificate, error) {
	id := identity.Node(a.federation, a.bureau, replica)
	if err := id.Validate(); err != nil {
		return nil, err
	}
	csr, err := parseRequest(csrDER)
	if err != nil {
		return nil, err
	}
	if err := names(csr, id); err != nil {
		return nil, err
	}
	return a.issue(ctx, a.mesh, id, csr, NodeLife, meshUses())
}

// IssueClient issues the leaf of a client of the bureau, with the purposes that it may claim:
// 30 days from now, back-dated by two hours. The request must name that client alone.
func (a *Authority) IssueClient(ctx context.Context, id identity.Identity, csrDER []byte) ([]*x509.Certificate, error) {
	if err := a.ownClient(id); err != nil {
		return nil, err
	}
	csr, err := parseRequest(csrDER)
	if err != nil {
		return nil, err
	}
	if err := names(csr, id); err != nil {
		return nil, err
	}
	return a.issue(ctx, a.local, id, csr, ClientLife, localUses())
}

// EnrolClient is IssueClient for a request that was made elsewhere: whatever names stand in it are
// ignored, the leaf has those of the identity.
func (a *Authority) EnrolClient(ctx context.Context, id identity.Identity, csrDER []byte) ([]*x509.Certificate, error) {
	if err := a.ownClient(id); err != nil {
		return nil, err
	}
	csr, err := parseRequest(csrDER)
	if err != nil {
		return nil, err
	}
	return a.issue(ctx, a.local, id, csr, ClientLife, localUses())
}

// RenewClient issues a new leaf for a client that holds one, with a new key and the same name
// and purposes. The names in the request are ignored. A leaf that has expired or was revoked,
// that is a node's, another bureau's or not from this authority is not renewed. That the caller
// holds the old leaf's key is the connection's to prove.
func (a *Authority) RenewClient(ctx context.Context, old *x509.Certificate, csrDER []byte) ([]*x509.Certificate, error) {
	id, err := a.renewable(old)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRenewable, err)
	}
	csr, err := parseRequest(csrDER)
	if err != nil {
		return nil, err
	}
	return a.issue(ctx, a.local, id, csr, ClientLife, localUses())
}

func (a *Authority) renewable(old *x509.Certificate) (identity.Identity, error) {
	if old == nil {
		return identity.Identity{}, errors.New("none was given")
	}
	id, err := identity.FromCertificate(old, a.federation)
	if err != nil {
		return identity.Identity{}, err
	}
	if err := a.ownClient(id); err != nil {
		return identity.Identity{}, err
	}
	// The connection has been verified, but who calls this may come by another way one day.
	if err := old.CheckSignatureFrom(a.local.cert); err != nil {
		return identity.Identity{}, fmt.Errorf("not issued by this authority's local intermediate: %w", err)
	}
	now := a.now()
	if now.Before(old.NotBefore) || now.After(old.NotAfter) {
		return identity.Identity{}, fmt.Errorf("it was valid from %s to %s",
			old.NotBefore.UTC().Format(time.RFC3339), old.NotAfter.UTC().Format(time.RFC3339))
	}
	revoked, err := a.local.step.IsRevoked(old.SerialNumber.String())
	if err != nil {
		return identity.Identity{}, fmt.Errorf("look up its revocation: %w", err)
	}
	if revoked {
		return identity.Identity{}, errors.New("it was revoked")
	}
	return id, nil
}

func (a *Authority) ownClient(id identity.Identity) error {
	if err := id.Validate(); err != nil {
		return err
	}
	if id.Kind != identity.KindClient {
		return errors.New("not a client: nodes get their leaves from IssueNode")
	}
	if id.Bureau != a.bureau || id.Federation != a.federation {
		return fmt.Errorf("a client of %s in %s: this authority is of %s in %s", id.Bureau, id.Federation, a.bureau, a.federation)
	}
	return nil
}

// parseRequest reads a request and judges its key. Of a request nothing but the key is ever
// taken over.
func parseRequest(der []byte) (*x509.CertificateRequest, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: not signed by the key that it is for: %w", ErrRequest, err)
	}
	switch key := csr.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() || key.Curve == elliptic.P521() {
			return csr, nil
		}
	case ed25519.PublicKey:
		return csr, nil
	case *rsa.PublicKey:
		if key.N.BitLen() >= minRSABits {
			return csr, nil
		}
	}
	return nil, fmt.Errorf("%w: give an ECDSA key on P-256, P-384 or P-521, an Ed25519 key, or an RSA key of %d bits or more", ErrRequest, minRSABits)
}

// names checks that a request asks for the identity that is to be issued, and for nothing else:
// who asks for more has made a mistake that should not be papered over.
func names(csr *x509.CertificateRequest, id identity.Identity) error {
	if len(csr.URIs) != 1 || csr.URIs[0].String() != id.String() || len(csr.DNSNames)+len(csr.IPAddresses)+len(csr.EmailAddresses) != 0 {
		return fmt.Errorf("%w: it must name %s and nothing else", ErrRequest, id)
	}
	return nil
}

// issue signs a leaf that is made here, whole: the identity's name, the uses of its listener,
// the key of the request.
func (a *Authority) issue(ctx context.Context, by issuer, id identity.Identity, csr *x509.CertificateRequest, life time.Duration, uses []x509.ExtKeyUsage) ([]*x509.Certificate, error) {
	now := a.now().Truncate(time.Second)
	if now.Before(by.cert.NotBefore) || !now.Before(by.cert.NotAfter) {
		return nil, fmt.Errorf("the issuing intermediate is valid from %s to %s, and it is %s: check the clock, or replace the intermediate",
			by.cert.NotBefore.UTC().Format(time.RFC3339), by.cert.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	notBefore, notAfter := now.Add(-Backdate), now.Add(life)
	if notBefore.Before(by.cert.NotBefore) {
		notBefore = by.cert.NotBefore
	}
	if notAfter.After(by.cert.NotAfter) { // a leaf that outlives its issuer is refused by every peer
		notAfter = by.cert.NotAfter
	}
	var subject pkix.Name
	for _, p := range id.Purposes {
		subject.OrganizationalUnit = append(subject.OrganizationalUnit, identity.PurposeUnitPrefix+identity.PurposeName(p))
	}
	chain, err := by.step.SignWithContext(ctx, csr, provisioner.SignOptions{}, whole(func(leaf *x509.Certificate) {
		*leaf = x509.Certificate{
			PublicKey:             csr.PublicKey,
			PublicKeyAlgorithm:    csr.PublicKeyAlgorithm,
			Subject:               subject,
			URIs:                  []*url.URL{id.URI()},
			NotBefore:             notBefore,
			NotAfter:              notAfter,
			KeyUsage:              x509.KeyUsageDigitalSignature,
			ExtKeyUsage:           uses,
			BasicConstraintsValid: true,
		}
	}))
	if err != nil {
		return nil, fmt.Errorf("issue a certificate: %w", err)
	}
	// Trust, and look: a leaf that says anything but what was asked for must not leave.
	got, err := identity.FromCertificate(chain[0], a.federation)
	if err != nil {
		return nil, fmt.Errorf("the certificate issued is unusable: %w", err)
	}
	if got.String() != id.String() || !slices.Equal(got.Purposes, slices.Compact(slices.Sorted(slices.Values(id.Purposes)))) {
		return nil, errors.New("the certificate issued is not the one that was asked for")
	}
	a.log.InfoContext(ctx, "certificate issued", "by", by.cert.Subject.CommonName, "serial", chain[0].SerialNumber.String(), "not_after", notAfter)
	return chain, nil
}

// whole replaces a leaf's content as the last step before it is checked against the policy and
// signed (provisioner.CertificateEnforcer).
type whole func(*x509.Certificate)

// Enforce implements provisioner.CertificateEnforcer.
func (f whole) Enforce(leaf *x509.Certificate) error {
	f(leaf)
	return nil
}

// Revoke withdraws a leaf that this authority has issued, by its serial number, durably. From
// now on the local listener does not hear it and it is not renewed. Peers are not told: a
// node's leaf that was stolen is answered by distrust, or lives out its day.
func (a *Authority) Revoke(ctx context.Context, serial, reason string) error {
	for _, by := range []issuer{a.local, a.mesh} {
		cert, err := by.step.GetDatabase().GetCertificate(serial)
		if err != nil {
			continue // not issued by this one
		}
		err = by.step.Revoke(provisioner.NewContextWithMethod(ctx, provisioner.RevokeMethod), &authority.RevokeOptions{
			Serial: serial, Reason: reason, ReasonCode: 0, PassiveOnly: true, MTLS: true, Crt: cert,
		})
		if err != nil {
			if revoked, lookErr := by.step.IsRevoked(serial); lookErr == nil && revoked {
				return nil // as it is to be
			}
			return fmt.Errorf("revoke %s: %w", serial, err)
		}
		a.log.InfoContext(ctx, "certificate revoked", "by", by.cert.Subject.CommonName, "serial", serial)
		return nil
	}
	return fmt.Errorf("%w: %s", ErrUnknownSerial, serial)
}

// Revoked tells whether a client's leaf was revoked. If that cannot be looked up, it was: nobody
// is heard on the strength of a broken database. It has the form that mtls.Options asks for.
func (a *Authority) Revoked(leaf *x509.Certificate) bool {
	revoked, err := a.local.step.IsRevoked(leaf.SerialNumber.String())
	if err != nil {
		a.log.Error("revocation not looked up: the certificate is refused", "serial", leaf.SerialNumber.String(), "error", err)
		return true
	}
	return revoked
}

package nodetest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/roster"
	"github.com/entente-mesh/entente/pki/signing"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Paper is a bureau that stands in the roster with keys of its own and has no node: of these a
// federation can have many. What it does, a test does with its keys.
type Paper struct {
	ID identity.Bureau

	t        TB
	leaf     *tls.Certificate
	signer   *signing.Signer
	governor *signing.Governor
	join     *signedv1.Signed
}

// newPaper makes the keys: a root, a mesh intermediate and a node's leaf as pki/authority makes
// them, a message key and a governance key. n makes its address, at which nobody listens.
func newPaper(t TB, id identity.Bureau, n int) (*Paper, error) {
	now := time.Now()
	root, rootKey, err := caOf(id, "root CA", 1, now, nil, nil)
	if err != nil {
		return nil, err
	}
	mesh, meshKey, err := caOf(id, "mesh CA", 0, now, root, rootKey)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf, err := issue(&x509.Certificate{
		URIs: []*url.URL{identity.Node(Federation, id, "1").URI()}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(12 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: meshUses(), BasicConstraintsValid: true,
	}, mesh, key, meshKey)
	if err != nil {
		return nil, err
	}
	_, message, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	_, governance, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	p := &Paper{
		ID: id, t: t, leaf: &tls.Certificate{Certificate: [][]byte{leaf.Raw, mesh.Raw}, PrivateKey: key},
		signer: signing.NewSigner(Federation, id, message), governor: signing.NewGovernor(Federation, id, governance),
	}
	p.join, err = roster.NewJoinRequest(Federation, &rosterv1.Bureau{
		Bureau: string(id), Address: fmt.Sprintf("127.0.1.%d:9", n+1), CaRoots: [][]byte{root.Raw},
		Keys: []*rosterv1.Key{
			{Usage: rosterv1.KeyUsage_KEY_USAGE_MESSAGE, Algorithm: "ed25519", Key: public(message)},
			{Usage: rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE, Algorithm: "ed25519", Key: public(governance)},
		},
	}, now, p.governor)
	return p, err
}

func meshUses() []x509.ExtKeyUsage {
	return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
}

// caOf makes a certificate authority; a nil parent means that it signs itself.
func caOf(id identity.Bureau, what string, below int, now time.Time, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{string(Federation)}, CommonName: fmt.Sprintf("%s %s %s", id, Federation, what)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
		MaxPathLen: below, MaxPathLenZero: below == 0, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedURIDomains: []string{identity.TrustDomain(id, Federation)}, PermittedDNSDomainsCritical: true,
	}
	if parent == nil {
		parent, signer = template, key
	} else {
		template.ExtKeyUsage = meshUses()
	}
	cert, err := issue(template, parent, key, signer)
	return cert, key, err
}

func issue(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Papers are the bureaus that have no node.
func (m *Mesh) Papers() []*Paper { return m.papers }

// Signer signs with the bureau's message key.
func (p *Paper) Signer() *signing.Signer { return p.signer }

// DialMesh connects to a bureau's mesh listener, or to whatever listens at an address.
func (p *Paper) DialMesh(address string) *grpc.ClientConn {
	p.t.Helper()
	conn, err := intrude(address, p.leaf)
	if err != nil {
		p.t.Fatalf("%s: %v", p.ID, err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Ask is a good ask to another bureau, for the test to edit.
func (p *Paper) Ask(to identity.Bureau) *queryv1.Ask { return newAsk(p.ID, to, time.Now()) }

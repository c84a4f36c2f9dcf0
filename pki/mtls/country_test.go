package mtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

const demo = identity.Federation("demo.entente")

// noon is when the scenes play.
var noon = time.Date(2014, 12, 5, 12, 0, 0, 0, time.UTC)

var serials atomic.Int64

// ca is a certificate that can issue, of a country that may not keep the rules.
type ca struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue signs a template as it is, for a new key; a nil issuer signs itself.
func issue(t testing.TB, issuer *ca, template *x509.Certificate) *ca {
	t.Helper()
	key := newKey(t)
	if issuer == nil {
		issuer = &ca{cert: template, key: key}
	}
	return &ca{cert: signFor(t, issuer, template, key.Public()), key: key}
}

// signFor signs a template as it is, for a key.
func signFor(t testing.TB, issuer *ca, template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(serials.Add(1))
	if template.NotBefore.IsZero() {
		template.NotBefore = noon.Add(-2 * time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = noon.Add(24 * time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.cert, public, issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func caTemplate(name string, uses ...x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             noon.AddDate(-1, 0, 0),
		NotAfter:              noon.AddDate(9, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage:           uses,
	}
}

// country is a bureau's PKI as pki/authority makes it.
type country struct {
	bureau            identity.Bureau
	root, mesh, local *ca
}

func newCountry(t testing.TB, b identity.Bureau) *country {
	t.Helper()
	root := caTemplate(string(b) + " root")
	root.PermittedURIDomains = []string{identity.TrustDomain(b, demo)}
	root.PermittedDNSDomainsCritical = true
	c := &country{bureau: b, root: issue(t, nil, root)}
	mesh := caTemplate(string(b)+" mesh", meshUses...)
	mesh.MaxPathLenZero = true
	c.mesh = issue(t, c.root, mesh)
	local := caTemplate(string(b)+" local", localUses...)
	local.MaxPathLenZero = true
	c.local = issue(t, c.root, local)
	return c
}

func (c *country) pool() *x509.CertPool { return poolOf(c.root) }

func poolOf(roots ...*ca) *x509.CertPool {
	p := x509.NewCertPool()
	for _, r := range roots {
		p.AddCert(r.cert)
	}
	return p
}

func leafTemplate(t testing.TB, spiffeID string, uses ...x509.ExtKeyUsage) *x509.Certificate {
	t.Helper()
	u, err := url.Parse(spiffeID)
	if err != nil {
		t.Fatal(err)
	}
	return &x509.Certificate{
		URIs:                  []*url.URL{u},
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           uses,
		BasicConstraintsValid: true,
	}
}

// credential is a leaf with its key and its chain as presented.
type credential struct {
	chain []*x509.Certificate
	key   crypto.Signer
}

func (c credential) leaf(t testing.TB) *Leaf {
	t.Helper()
	pair, err := Bind(c.chain, c.key)
	if err != nil {
		t.Fatal(err)
	}
	return NewLeaf(pair)
}

// under issues a leaf and joins it with the certificates that its holder sends along.
func under(t testing.TB, issuer *ca, template *x509.Certificate, sent ...*ca) credential {
	t.Helper()
	l := issue(t, issuer, template)
	chain := []*x509.Certificate{l.cert}
	for _, s := range sent {
		chain = append(chain, s.cert)
	}
	return credential{chain: chain, key: l.key}
}

func (c *country) node(t testing.TB) credential {
	t.Helper()
	return under(t, c.mesh, leafTemplate(t, identity.Node(demo, c.bureau, "1").String(), meshUses...), c.mesh)
}

func (c *country) officer(t testing.TB) credential {
	t.Helper()
	id := identity.Client(demo, c.bureau, "border-police", identity.RoleOfficer, "desk-4", []recordv1.Purpose{recordv1.Purpose_PURPOSE_BORDER_CONTROL})
	template := leafTemplate(t, id.String(), localUses...)
	template.Subject.OrganizationalUnit = []string{"purpose:border-control"}
	template.NotAfter = noon.AddDate(0, 0, 30)
	return under(t, c.local, template, c.local)
}

// book is a roster, reduced to what mtls asks of it.
type book struct {
	mu         sync.Mutex
	roots      map[identity.Bureau]*x509.CertPool
	distrusted map[identity.Bureau]bool
}

var errDistrusted = fmt.Errorf("distrusted by this bureau")

func newBook(members ...*country) *book {
	b := &book{roots: map[identity.Bureau]*x509.CertPool{}, distrusted: map[identity.Bureau]bool{}}
	for _, m := range members {
		b.roots[m.bureau] = m.pool()
	}
	return b
}

func (b *book) Federation() identity.Federation { return demo }

func (b *book) Roots(bureau identity.Bureau) (*x509.CertPool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.distrusted[bureau] {
		return nil, errDistrusted
	}
	roots, ok := b.roots[bureau]
	if !ok {
		return nil, fmt.Errorf("%s is not in the roster", bureau)
	}
	return roots, nil
}

func (b *book) distrust(bureau identity.Bureau) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.distrusted[bureau] = true
}

func (b *book) replace(bureau identity.Bureau, roots *x509.CertPool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if roots == nil {
		delete(b.roots, bureau)
		return
	}
	b.roots[bureau] = roots
}

// clock is a clock that stands until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: noon} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

func pairOf(t testing.TB, c credential) tls.Certificate {
	t.Helper()
	return *c.leaf(t).Get()
}

package authority_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.step.sm/crypto/pemutil"

	"github.com/entente-mesh/entente/pki/authority"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

const (
	demo       = identity.Federation("demo.entente")
	passphrase = "correct horse battery staple"
)

var noon = time.Date(2014, 12, 5, 12, 0, 0, 0, time.UTC)

// bureau is a folder with an authority in it, and a clock.
type bureau struct {
	id           identity.Bureau
	dir, offline string
	mu           sync.Mutex
	time         time.Time
	*authority.Authority
}

func (b *bureau) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.time
}

func (b *bureau) set(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.time = t
}

func create(t *testing.T, id identity.Bureau) *bureau {
	t.Helper()
	dir := t.TempDir()
	b := &bureau{id: id, dir: filepath.Join(dir, "ca"), offline: filepath.Join(dir, "offline"), time: noon}
	if err := authority.Create(t.Context(), b.createOptions()); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bureau) createOptions() authority.CreateOptions {
	return authority.CreateOptions{Dir: b.dir, OfflineDir: b.offline, Bureau: b.id, Federation: demo, Passphrase: []byte(passphrase), Now: b.now}
}

func (b *bureau) options() authority.Options {
	return authority.Options{Dir: b.dir, Bureau: b.id, Federation: demo, Now: b.now}
}

func open(t *testing.T, id identity.Bureau) *bureau {
	t.Helper()
	b := create(t, id)
	var err error
	if b.Authority, err = authority.Open(t.Context(), b.options()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func officer(b identity.Bureau, name string) identity.Identity {
	return identity.Client(demo, b, "border-police", identity.RoleOfficer, name,
		[]recordv1.Purpose{recordv1.Purpose_PURPOSE_BORDER_CONTROL, recordv1.Purpose_PURPOSE_VISA})
}

func request(t *testing.T, id identity.Identity) (crypto.Signer, []byte) {
	t.Helper()
	key, csr, err := mtls.NewRequest(id)
	if err != nil {
		t.Fatal(err)
	}
	return key, csr
}

func (b *bureau) node(t *testing.T, replica string) *mtls.Leaf {
	t.Helper()
	key, csr := request(t, identity.Node(demo, b.id, replica))
	chain, err := b.IssueNode(t.Context(), replica, csr)
	return bind(t, chain, key, err)
}

func (b *bureau) client(t *testing.T, id identity.Identity) *mtls.Leaf {
	t.Helper()
	key, csr := request(t, id)
	chain, err := b.IssueClient(t.Context(), id, csr)
	return bind(t, chain, key, err)
}

func bind(t *testing.T, chain []*x509.Certificate, key crypto.Signer, err error) *mtls.Leaf {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := mtls.Bind(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	return mtls.NewLeaf(pair)
}

func TestCreateKeepsKeysApartAndClosed(t *testing.T) {
	b := create(t, "BEL")
	for path, want := range map[string]os.FileMode{
		b.dir: 0o700 | fs.ModeDir, b.offline: 0o700 | fs.ModeDir,
		filepath.Join(b.dir, authority.MeshKeyFile):     0o600,
		filepath.Join(b.dir, authority.LocalKeyFile):    0o600,
		filepath.Join(b.offline, authority.RootKeyFile): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, expected %v", path, info.Mode(), want)
		}
	}
	if _, err := os.Stat(filepath.Join(b.dir, authority.RootKeyFile)); err == nil {
		t.Error("the root's key lies on the node")
	}
	sealed, err := os.ReadFile(filepath.Join(b.offline, authority.RootKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(sealed)
	if block == nil || block.Type != "ENCRYPTED PRIVATE KEY" {
		t.Fatalf("the root's key is not encrypted: %v", block)
	}
	if _, err := pemutil.DecryptPKCS8PrivateKey(block.Bytes, []byte("another passphrase")); err == nil {
		t.Error("another passphrase opens it")
	}
	der, err := pemutil.DecryptPKCS8PrivateKey(block.Bytes, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	root, err := pemutil.ReadCertificate(filepath.Join(b.dir, authority.RootFile))
	if err != nil {
		t.Fatal(err)
	}
	if !root.PublicKey.(*ecdsa.PublicKey).Equal(key.(*ecdsa.PrivateKey).Public()) {
		t.Error("the key is not the root's")
	}
}

func TestCreateRefuses(t *testing.T) {
	b := create(t, "BEL")
	before, err := os.ReadFile(filepath.Join(b.dir, authority.RootFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := authority.Create(t.Context(), b.createOptions()); !errors.Is(err, authority.ErrExists) {
		t.Errorf("over an authority: %v", err)
	}
	half := b.createOptions()
	half.Dir = t.TempDir() // the offline folder still holds a root's key
	if err := authority.Create(t.Context(), half); !errors.Is(err, authority.ErrExists) {
		t.Errorf("over a root's key: %v", err)
	}
	after, err := os.ReadFile(filepath.Join(b.dir, authority.RootFile))
	if err != nil || !slices.Equal(before, after) {
		t.Errorf("the root has changed (%v)", err)
	}

	for name, change := range map[string]func(*authority.CreateOptions){
		"no passphrase":    func(o *authority.CreateOptions) { o.Passphrase = nil },
		"short passphrase": func(o *authority.CreateOptions) { o.Passphrase = []byte("1234567") },
		"no bureau":        func(o *authority.CreateOptions) { o.Bureau = "" },
		"no federation":    func(o *authority.CreateOptions) { o.Federation = "" },
	} {
		o := b.createOptions()
		o.Dir, o.OfflineDir = filepath.Join(t.TempDir(), "ca"), filepath.Join(t.TempDir(), "offline")
		change(&o)
		if err := authority.Create(t.Context(), o); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := os.Stat(o.Dir); err == nil {
			t.Errorf("%s: something was written", name)
		}
	}
}

func TestRootAndIntermediates(t *testing.T) {
	b := open(t, "BEL")
	root, mesh, local := b.Root(), b.MeshIntermediate(), b.LocalIntermediate()
	for _, c := range []*x509.Certificate{root, mesh, local} {
		if !c.IsCA || !c.PermittedDNSDomainsCritical || !slices.Equal(c.PermittedURIDomains, []string{"bel.demo.entente"}) {
			t.Errorf("%s: CA %v, constraints critical %v %v", c.Subject.CommonName, c.IsCA, c.PermittedDNSDomainsCritical, c.PermittedURIDomains)
		}
		if c.NotBefore.After(noon.Add(-2 * time.Hour)) {
			t.Errorf("%s begins %s: a slow clock would refuse it", c.Subject.CommonName, c.NotBefore)
		}
	}
	if !slices.Equal(mesh.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}) {
		t.Errorf("mesh intermediate: %v", mesh.ExtKeyUsage)
	}
	if !slices.Equal(local.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) {
		t.Errorf("local intermediate: %v", local.ExtKeyUsage)
	}
	if !mesh.MaxPathLenZero || !local.MaxPathLenZero {
		t.Error("an intermediate may make intermediates")
	}
	if mesh.PublicKey.(*ecdsa.PublicKey).Equal(local.PublicKey) {
		t.Error("both intermediates have one key")
	}
}

func TestLeaves(t *testing.T) {
	b := open(t, "BEL")
	node := b.node(t, "1").X509()
	if node.URIs[0].String() != "spiffe://bel.demo.entente/node/1" || len(node.Subject.OrganizationalUnit) != 0 {
		t.Errorf("node: %v %v", node.URIs, node.Subject)
	}
	if !node.NotBefore.Equal(noon.Add(-2*time.Hour)) || !node.NotAfter.Equal(noon.Add(24*time.Hour)) {
		t.Errorf("node: %s to %s", node.NotBefore, node.NotAfter)
	}
	id := officer("BEL", "desk-4")
	client := b.client(t, id).X509()
	if !client.NotBefore.Equal(noon.Add(-2*time.Hour)) || !client.NotAfter.Equal(noon.AddDate(0, 0, 30)) {
		t.Errorf("client: %s to %s", client.NotBefore, client.NotAfter)
	}
	got, err := identity.FromCertificate(client, demo)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != id.String() || !slices.Equal(got.Purposes, id.Purposes) {
		t.Errorf("client: %v", got)
	}
	for _, c := range []*x509.Certificate{node, client} {
		if c.IsCA || c.KeyUsage != x509.KeyUsageDigitalSignature || len(c.UnhandledCriticalExtensions) != 0 {
			t.Errorf("%v: CA %v, usage %v, %v", c.URIs, c.IsCA, c.KeyUsage, c.UnhandledCriticalExtensions)
		}
	}
}

// TestRequestsThatAskForMore: nothing of a request but its key is taken over.
func TestRequestsThatAskForMore(t *testing.T) {
	b := open(t, "BEL")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr := func(key crypto.Signer, change func(*x509.CertificateRequest), uris ...string) []byte {
		template := &x509.CertificateRequest{}
		for _, s := range uris {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			template.URIs = append(template.URIs, u)
		}
		if change != nil {
			change(template)
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	node, foreign := "spiffe://bel.demo.entente/node/1", "spiffe://esp.demo.entente/node/1"
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	broken := csr(key, nil, node)
	broken[len(broken)-1] ^= 1

	for name, der := range map[string][]byte{
		"nothing":              nil,
		"not a request":        []byte("certificate, please"),
		"a broken signature":   broken,
		"no name":              csr(key, nil),
		"another country":      csr(key, nil, foreign),
		"another replica":      csr(key, nil, "spiffe://bel.demo.entente/node/2"),
		"an agency":            csr(key, nil, officer("BEL", "x").String()),
		"two names":            csr(key, nil, node, foreign),
		"a DNS name beside":    csr(key, func(r *x509.CertificateRequest) { r.DNSNames = []string{"bel.example"} }, node),
		"a mail beside":        csr(key, func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"x@bel.example"} }, node),
		"an RSA key too short": csr(weak, nil, node),
		"a curve too small":    csr(p224, nil, node),
	} {
		if chain, err := b.IssueNode(t.Context(), "1", der); !errors.Is(err, authority.ErrRequest) {
			t.Errorf("%s: %v, %v", name, chain, err)
		}
	}

	// What else a request says is not heard: a subject, purposes, an extension that makes a CA.
	greedy := csr(key, func(r *x509.CertificateRequest) {
		r.Subject = pkix.Name{CommonName: "esp.demo.entente", OrganizationalUnit: []string{"purpose:arrest"}}
		r.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}
	}, officer("BEL", "desk-4").String())
	chain, err := b.IssueClient(t.Context(), officer("BEL", "desk-4"), greedy)
	if err != nil {
		t.Fatal(err)
	}
	if c := chain[0]; c.IsCA || c.Subject.CommonName != "" || slices.Contains(c.Subject.OrganizationalUnit, "purpose:arrest") {
		t.Errorf("taken over: CA %v, subject %v", c.IsCA, c.Subject)
	}
}

func TestIssueRefusesOtherIdentities(t *testing.T) {
	b := open(t, "BEL")
	for name, id := range map[string]identity.Identity{
		"an officer of ESP":    officer("ESP", "x"),
		"another federation":   identity.Client("other.entente", "BEL", "police", identity.RoleOfficer, "x", nil),
		"a node":               identity.Node(demo, "BEL", "1"),
		"a role that is none":  identity.Client(demo, "BEL", "police", "minister", "x", nil),
		"a name that is none":  identity.Client(demo, "BEL", "police", identity.RoleOfficer, "", nil),
		"nobody":               {},
		"a name with a slash":  identity.Client(demo, "BEL", "police", identity.RoleOfficer, "x/y", nil),
		"an agency with blank": identity.Client(demo, "BEL", "a b", identity.RoleOfficer, "x", nil),
	} {
		_, csr := request(t, officer("BEL", "x"))
		if _, err := b.IssueClient(t.Context(), id, csr); err == nil {
			t.Errorf("%s: issued", name)
		}
	}
	_, csr := request(t, identity.Node(demo, "BEL", "1"))
	for _, replica := range []string{"", "../1", "1/2", "A"} {
		if _, err := b.IssueNode(t.Context(), replica, csr); err == nil {
			t.Errorf("replica %q: issued", replica)
		}
	}
}

// TestStolenIntermediate: the name constraints hold also where this package's checks are gone.
func TestStolenIntermediate(t *testing.T) {
	b := open(t, "BEL")
	key, err := pemutil.Read(filepath.Join(b.dir, authority.MeshKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forge := func(change func(*x509.Certificate)) *x509.Certificate {
		template := &x509.Certificate{
			SerialNumber: b.Root().SerialNumber, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		change(template)
		der, err := x509.CreateCertificate(rand.Reader, template, b.MeshIntermediate(), leafKey.Public(), key.(crypto.Signer))
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	intermediates := x509.NewCertPool()
	intermediates.AddCert(b.MeshIntermediate())
	uri := func(s string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = []*url.URL{u}
		}
	}
	for name, tt := range map[string]struct {
		change func(*x509.Certificate)
		good   bool
	}{
		"the own domain":  {uri("spiffe://bel.demo.entente/node/1"), true},
		"another country": {uri("spiffe://esp.demo.entente/node/1"), false},
		// Go lets a URI constraint match the hosts below it, too; identity.Parse does not.
		"a domain below":     {uri("spiffe://x.bel.demo.entente/node/1"), true},
		"the federation":     {uri("spiffe://demo.entente/node/1"), false},
		"a web site":         {func(c *x509.Certificate) { c.DNSNames = []string{"bank.example"} }, false},
		"an address":         {func(c *x509.Certificate) { c.IPAddresses = append(c.IPAddresses, []byte{192, 0, 2, 1}) }, false},
		"a mail address":     {func(c *x509.Certificate) { c.EmailAddresses = []string{"x@bank.example"} }, false},
		"an address in IPv6": {func(c *x509.Certificate) { c.IPAddresses = append(c.IPAddresses, make([]byte, 16)) }, false},
	} {
		_, err := forge(tt.change).Verify(x509.VerifyOptions{Roots: b.Pool(), Intermediates: intermediates, CurrentTime: noon})
		if (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRenewClient(t *testing.T) {
	b, esp := open(t, "BEL"), open(t, "ESP")
	id := officer("BEL", "desk-4")
	old := b.client(t, id).X509()

	b.set(noon.AddDate(0, 0, 20))
	// The request may name anything: it is not read.
	_, csr := request(t, identity.Client(demo, "BEL", "ministry", identity.RolePKIAdmin, "boss", recordPurposes()))
	chain, err := b.RenewClient(t.Context(), old, csr)
	if err != nil {
		t.Fatal(err)
	}
	got, err := identity.FromCertificate(chain[0], demo)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != id.String() || !slices.Equal(got.Purposes, id.Purposes) {
		t.Errorf("renewed as %v, expected %v", got, id)
	}
	if !chain[0].NotAfter.Equal(noon.AddDate(0, 0, 50)) {
		t.Errorf("until %s", chain[0].NotAfter)
	}
	if chain[0].PublicKey.(*ecdsa.PublicKey).Equal(old.PublicKey) {
		t.Error("the key is the old one")
	}

	t.Run("nothing", func(t *testing.T) { notRenewed(t, b, nil, csr) })
	t.Run("a node's leaf", func(t *testing.T) { notRenewed(t, b, b.node(t, "1").X509(), csr) })
	t.Run("another bureau's", func(t *testing.T) { notRenewed(t, b, esp.client(t, officer("ESP", "x")).X509(), csr) })
	t.Run("the same name from another authority", func(t *testing.T) {
		other := open(t, "BEL")
		notRenewed(t, b, other.client(t, id).X509(), csr)
	})
	t.Run("the intermediate", func(t *testing.T) { notRenewed(t, b, b.LocalIntermediate(), csr) })
	t.Run("expired", func(t *testing.T) {
		b.set(noon.AddDate(0, 0, 31))
		notRenewed(t, b, old, csr)
		b.set(noon.AddDate(0, 0, 20))
	})
	t.Run("a bad request", func(t *testing.T) {
		if _, err := b.RenewClient(t.Context(), old, []byte("x")); !errors.Is(err, authority.ErrRequest) {
			t.Error(err)
		}
	})
	t.Run("revoked", func(t *testing.T) {
		if b.Revoked(old) {
			t.Error("revoked already")
		}
		if err := b.Revoke(t.Context(), old.SerialNumber.String(), "phone lost"); err != nil {
			t.Fatal(err)
		}
		notRenewed(t, b, old, csr)
		if !b.Revoked(old) {
			t.Error("not revoked")
		}
		if b.Revoked(chain[0]) {
			t.Error("the renewed one is revoked, too")
		}
		if err := b.Revoke(t.Context(), old.SerialNumber.String(), "again"); err != nil {
			t.Errorf("a second time: %v", err)
		}
	})
	t.Run("an unknown serial number", func(t *testing.T) {
		if err := b.Revoke(t.Context(), "12345", ""); !errors.Is(err, authority.ErrUnknownSerial) {
			t.Error(err)
		}
	})
}

func recordPurposes() []recordv1.Purpose { return identity.Purposes() }

func notRenewed(t *testing.T, b *bureau, old *x509.Certificate, csr []byte) {
	t.Helper()
	if _, err := b.RenewClient(t.Context(), old, csr); !errors.Is(err, authority.ErrNotRenewable) {
		t.Errorf("renewed, or another error: %v", err)
	}
}

func TestRevocationSurvivesARestart(t *testing.T) {
	b := create(t, "BEL")
	a, err := authority.Open(t.Context(), b.options())
	if err != nil {
		t.Fatal(err)
	}
	b.Authority = a
	leaf := b.client(t, officer("BEL", "desk-4")).X509()
	if err := a.Revoke(t.Context(), leaf.SerialNumber.String(), ""); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if !a.Revoked(leaf) {
		t.Error("after Close the database cannot be asked, and yet the leaf passes")
	}
	again, err := authority.Open(t.Context(), b.options())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}()
	if !again.Revoked(leaf) {
		t.Error("the revocation is gone")
	}
}

func TestNothingOutlivesItsIssuer(t *testing.T) {
	b := open(t, "BEL")
	end := b.MeshIntermediate().NotAfter
	b.set(end.Add(-time.Hour))
	if c := b.node(t, "1").X509(); !c.NotAfter.Equal(end) {
		t.Errorf("until %s, the intermediate until %s", c.NotAfter, end)
	}
	b.set(end.Add(time.Hour))
	_, csr := request(t, identity.Node(demo, "BEL", "1"))
	if _, err := b.IssueNode(t.Context(), "1", csr); err == nil {
		t.Error("issued by an intermediate that has expired")
	}
}

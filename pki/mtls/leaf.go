package mtls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
)

// The files of a leaf in its folder.
const (
	CertFile = "cert.pem"
	KeyFile  = "key.pem"
)

// Leaf is the certificate that an own end presents. It is replaced while connections are made;
// those that are open keep the one that they began with.
type Leaf struct {
	current atomic.Pointer[tls.Certificate]
}

// NewLeaf returns a leaf that holds a certificate, or none yet if nil is given: then every
// handshake fails until Set.
func NewLeaf(c *tls.Certificate) *Leaf {
	l := &Leaf{}
	if c != nil {
		l.Set(c)
	}
	return l
}

// Get returns the current certificate, nil if there is none.
func (l *Leaf) Get() *tls.Certificate { return l.current.Load() }

// Set replaces it. The certificate must not be changed afterwards.
func (l *Leaf) Set(c *tls.Certificate) { l.current.Store(c) }

// present returns the certificate for a handshake.
func (l *Leaf) present() (*tls.Certificate, error) {
	c := l.Get()
	if c == nil {
		return nil, errors.New("this end has no certificate yet")
	}
	return c, nil
}

// X509 returns the current leaf certificate, nil if there is none.
func (l *Leaf) X509() *x509.Certificate {
	c := l.Get()
	if c == nil {
		return nil
	}
	if c.Leaf != nil {
		return c.Leaf
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return nil
	}
	return leaf
}

// Bind joins a chain, leaf first, and its key. It refuses a key that is not the leaf's.
func Bind(chain []*x509.Certificate, key crypto.Signer) (*tls.Certificate, error) {
	if len(chain) == 0 {
		return nil, errors.New("an empty chain: at least the leaf is needed")
	}
	public, ok := chain[0].PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(key.Public()) {
		return nil, errors.New("the certificate is not for this key")
	}
	c := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, x := range chain {
		c.Certificate = append(c.Certificate, x.Raw)
	}
	return c, nil
}

// SaveLeaf writes a chain and its key into a folder, as cert.pem and key.pem (0600). Two files
// cannot be replaced in one step, so key.pem carries the chain as well and is the one that
// LoadLeaf believes: after a crash between the two, the pair in key.pem is whole, old or new.
func SaveLeaf(dir string, chain []*x509.Certificate, key crypto.Signer) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return SavePair(filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile), chain, key)
}

// SavePair is SaveLeaf for two files of any name: what a client renews lies where it was put.
func SavePair(certFile, keyFile string, chain []*x509.Certificate, key crypto.Signer) error {
	if _, err := Bind(chain, key); err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("marshal the key: %w", err)
	}
	var certs bytes.Buffer
	for _, c := range chain {
		if err := pem.Encode(&certs, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			return err
		}
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), certs.Bytes()...)
	if err := replaceFile(keyFile, both, 0o600); err != nil {
		return err
	}
	return replaceFile(certFile, certs.Bytes(), 0o644)
}

// LoadLeaf reads what SaveLeaf wrote.
func LoadLeaf(dir string) (*Leaf, error) {
	return LoadPair(filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile))
}

// LoadPair reads a certificate chain and its key from two PEM files. Where the key's file
// carries a chain itself, that one is used. A key that others can read is refused.
func LoadPair(certFile, keyFile string) (*Leaf, error) {
	info, err := os.Stat(keyFile)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("private key %s can be read by others (mode %04o): chmod 600 it, and renew it if it may have been copied", keyFile, info.Mode().Perm())
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	certPEM := keyPEM
	if !bytes.Contains(keyPEM, []byte("-----BEGIN CERTIFICATE-----")) {
		if certPEM, err = os.ReadFile(certFile); err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	return NewLeaf(&pair), nil
}

// replaceFile puts new content in the place of a file, so that at any moment, also after a
// crash, the old or the new is there, whole.
func replaceFile(path string, content []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close()) // the rename is durable only with its folder
}

// NewRequest makes a new key (ECDSA P-256, which FIPS 140-3 approves and every peer verifies)
// and a certificate signing request for an identity, its purposes as organizational units.
func NewRequest(id identity.Identity) (key crypto.Signer, csrDER []byte, err error) {
	if err := id.Validate(); err != nil {
		return nil, nil, err
	}
	var subject pkix.Name
	for _, p := range id.Purposes {
		subject.OrganizationalUnit = append(subject.OrganizationalUnit, identity.PurposeUnitPrefix+identity.PurposeName(p))
	}
	return request(&x509.CertificateRequest{Subject: subject, URIs: []*url.URL{id.URI()}})
}

// NewNamelessRequest makes a new key and a request that names nobody, for an enrolment: there the
// names are the administrator's to say.
func NewNamelessRequest() (key crypto.Signer, csrDER []byte, err error) {
	return request(&x509.CertificateRequest{})
}

func request(template *x509.CertificateRequest) (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("new key: %w", err)
	}
	csrDER, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate signing request: %w", err)
	}
	return key, csrDER, nil
}

// RenewDue is when a certificate should be renewed: after three fifths of its life. That leaves
// a node with a leaf of 24 hours nine of them to mend its authority, and is before two thirds
// of the life also when the back-dating is not counted.
func RenewDue(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) * 3 / 5)
}

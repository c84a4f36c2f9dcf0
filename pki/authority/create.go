package authority

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"go.step.sm/crypto/pemutil"

	"github.com/entente-mesh/entente/pki/identity"
)

// The files of an authority. RootKeyFile lies in the offline folder, encrypted; the others in
// the authority's own.
const (
	RootFile     = "root.crt"
	MeshFile     = "mesh.crt"
	MeshKeyFile  = "mesh.key"
	LocalFile    = "local.crt"
	LocalKeyFile = "local.key"
	RootKeyFile  = "root.key"
)

// Lives of what Create makes.
const (
	// A root changes with the roster, which every member must install: rarely.
	rootLife = 10 * 365 * 24 * time.Hour
	// An intermediate is changed by its own bureau alone, with the root's key.
	intermediateLife = 5 * 365 * 24 * time.Hour
	// caBackdate makes a new authority valid for peers with a slow clock.
	caBackdate = 24 * time.Hour
)

// minPassphrase keeps out the passphrases that are guessed in minutes. What makes a good one is
// the administrator's to judge.
const minPassphrase = 8

// ErrExists is returned by Create when there is an authority, or a part of one, already.
var ErrExists = errors.New("there is an authority already")

// CreateOptions are what Create needs.
type CreateOptions struct {
	// Dir is the authority's folder, on the node's machine.
	Dir string
	// OfflineDir is where the root's key is written, to be taken off the machine.
	OfflineDir string
	Bureau     identity.Bureau
	Federation identity.Federation
	// Passphrase encrypts the root's key.
	Passphrase []byte
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Create makes a bureau's authority: keys, root and both intermediates. It refuses to touch an
// existing one: a lost root key cannot be had again, and every roster names its root.
func Create(ctx context.Context, o CreateOptions) error {
	if _, err := identity.ParseBureau(string(o.Bureau)); err != nil {
		return err
	}
	if _, err := identity.ParseFederation(string(o.Federation)); err != nil {
		return err
	}
	if len(o.Passphrase) < minPassphrase {
		return fmt.Errorf("passphrase of the root key: %d bytes, give at least %d", len(o.Passphrase), minPassphrase)
	}
	for _, path := range []string{
		filepath.Join(o.Dir, RootFile), filepath.Join(o.Dir, MeshFile), filepath.Join(o.Dir, MeshKeyFile),
		filepath.Join(o.Dir, LocalFile), filepath.Join(o.Dir, LocalKeyFile), filepath.Join(o.OfflineDir, RootKeyFile),
	} {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%w: %s; choose another folder, or move the old one away", ErrExists, path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	files, err := generate(o, now())
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, dir := range []string{o.OfflineDir, o.Dir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o700); err != nil { // it may have been there, open to others
			return err
		}
	}
	for _, f := range files {
		if err := writeNew(f.path, f.content, f.mode); err != nil {
			return err
		}
	}
	return errors.Join(syncDir(o.OfflineDir), syncDir(o.Dir))
}

type file struct {
	path    string
	content []byte
	mode    os.FileMode
}

// generate makes everything in memory, so that a failure leaves nothing half done on disk. The
// root's key comes first and the root last: without a root there is no authority to open.
func generate(o CreateOptions, now time.Time) ([]file, error) {
	rootKey, err := newKey()
	if err != nil {
		return nil, err
	}
	root, err := sign(caTemplate(o, "root CA", now, rootLife), nil, rootKey.Public(), rootKey)
	if err != nil {
		return nil, err
	}
	rootDER, err := x509.MarshalPKCS8PrivateKey(rootKey)
	if err != nil {
		return nil, err
	}
	sealed, err := pemutil.EncryptPKCS8PrivateKey(rand.Reader, rootDER, o.Passphrase, x509.PEMCipherAES256)
	if err != nil {
		return nil, fmt.Errorf("encrypt the root key: %w", err)
	}
	files := []file{{filepath.Join(o.OfflineDir, RootKeyFile), pem.EncodeToMemory(sealed), 0o600}}
	for _, i := range []struct {
		name, cert, key string
		uses            []x509.ExtKeyUsage
	}{
		{"mesh CA", MeshFile, MeshKeyFile, meshUses()},
		{"local CA", LocalFile, LocalKeyFile, localUses()},
	} {
		key, err := newKey()
		if err != nil {
			return nil, err
		}
		template := caTemplate(o, i.name, now, intermediateLife)
		template.MaxPathLen, template.MaxPathLenZero = 0, true
		template.ExtKeyUsage = i.uses
		cert, err := sign(template, root, key.Public(), rootKey)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		files = append(files,
			file{filepath.Join(o.Dir, i.key), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600},
			file{filepath.Join(o.Dir, i.cert), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o644})
	}
	return append(files, file{filepath.Join(o.Dir, RootFile), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o644}), nil
}

// meshUses and localUses are how a chain shows which listener it is for; pki/mtls refuses the
// one where it expects the other.
func meshUses() []x509.ExtKeyUsage {
	return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
}

func localUses() []x509.ExtKeyUsage { return []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }

// caTemplate is what the root and its intermediates have in common. The name constraints permit
// the bureau's trust domain and exclude every DNS name, address and mail address, so that the
// authority is good for nothing else even where somebody trusts it for everything.
func caTemplate(o CreateOptions, what string, now time.Time, life time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{
			Organization: []string{string(o.Federation)},
			CommonName:   fmt.Sprintf("%s %s %s", o.Bureau, o.Federation, what),
		},
		NotBefore:                   now.Add(-caBackdate),
		NotAfter:                    now.Add(life),
		IsCA:                        true,
		BasicConstraintsValid:       true,
		MaxPathLen:                  1,
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedURIDomains:         []string{identity.TrustDomain(o.Bureau, o.Federation)},
		PermittedDNSDomainsCritical: true,
		ExcludedDNSDomains:          []string{""},
		ExcludedEmailAddresses:      []string{""},
		ExcludedIPRanges: []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
			{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		},
	}
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("new key: %w", err)
	}
	return key, nil
}

// sign makes a certificate of a template; a nil parent means that it signs itself.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // RFC 5280 4.1.2.2: positive, at most 20 octets
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// writeNew writes a file that was not there, durably.
func writeNew(path string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	// The mode once more: what OpenFile gives is cut by the umask, and a key must be readable by
	// its owner whatever that is.
	return errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

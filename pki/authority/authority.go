package authority

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/smallstep/certificates/authority"
	"github.com/smallstep/certificates/authority/config"
	"github.com/smallstep/certificates/authority/policy"
	"github.com/smallstep/certificates/authority/provisioner"
	"github.com/smallstep/certificates/db"
	"go.step.sm/crypto/pemutil"

	"github.com/entente-mesh/entente/pki/identity"
)

// expiryWarning is how long before the end of an intermediate or the root Open begins to warn:
// replacing a root takes a new roster.
const expiryWarning = 180 * 24 * time.Hour

// ErrNone is returned by Open when there is no authority in the folder.
var ErrNone = errors.New("there is no authority here")

// ErrInUse is returned by Open when another process has the authority open.
var ErrInUse = errors.New("the authority is in use by another process: stop the node that runs from this folder, or do it through that node")

// Options are what Open needs.
type Options struct {
	// Dir is the folder that Create has filled.
	Dir        string
	Bureau     identity.Bureau
	Federation identity.Federation
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger is told of what is issued and revoked; nil means nobody.
	Logger *slog.Logger
}

// Authority issues the certificates of one bureau. It may be used by many goroutines; only one
// process may have it open.
type Authority struct {
	bureau     identity.Bureau
	federation identity.Federation
	now        func() time.Time
	log        *slog.Logger

	root  *x509.Certificate
	mesh  issuer
	local issuer
}

// issuer is one intermediate with smallstep's authority over it. Each has a database of its
// own: what was issued, and what was revoked.
type issuer struct {
	cert *x509.Certificate
	step *authority.Authority
}

// Open opens the authority that Create has made. It waits at most five seconds for another
// process to let go of it.
func Open(ctx context.Context, o Options) (*Authority, error) {
	a := &Authority{bureau: o.Bureau, federation: o.Federation, now: o.Now, log: o.Logger}
	if a.now == nil {
		a.now = time.Now
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if a.root, err = readCert(filepath.Join(o.Dir, RootFile)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s; make one with init", ErrNone, o.Dir)
		}
		return nil, err
	}
	domain := identity.TrustDomain(o.Bureau, o.Federation)
	if !slices.Equal(a.root.PermittedURIDomains, []string{domain}) {
		return nil, fmt.Errorf("authority %s is for the trust domain %s, not %s: check the bureau and the federation in the configuration",
			o.Dir, strings.Join(a.root.PermittedURIDomains, " "), domain)
	}
	a.warnOfExpiry(ctx, "root", a.root)
	if a.mesh, err = a.open(ctx, o.Dir, "mesh", MeshFile, MeshKeyFile, meshUses()); err != nil {
		return nil, err
	}
	if a.local, err = a.open(ctx, o.Dir, "local", LocalFile, LocalKeyFile, localUses()); err != nil {
		return nil, errors.Join(err, a.mesh.step.Shutdown())
	}
	return a, nil
}

// Close lets go of the databases. The authority must not be used afterwards.
func (a *Authority) Close() error {
	return errors.Join(a.mesh.step.Shutdown(), a.local.step.Shutdown())
}

// Root is the root, which the roster names.
func (a *Authority) Root() *x509.Certificate { return a.root }

// MeshIntermediate issues the leaves of nodes.
func (a *Authority) MeshIntermediate() *x509.Certificate { return a.mesh.cert }

// LocalIntermediate issues the leaves of clients.
func (a *Authority) LocalIntermediate() *x509.Certificate { return a.local.cert }

// Pool holds the root alone: what the local listener and the own clients verify against.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.root)
	return p
}

func (a *Authority) open(ctx context.Context, dir, name, certFile, keyFile string, uses []x509.ExtKeyUsage) (issuer, error) {
	cert, err := readCert(filepath.Join(dir, certFile))
	if err != nil {
		return issuer{}, err
	}
	key, err := readKey(filepath.Join(dir, keyFile))
	if err != nil {
		return issuer{}, err
	}
	if err := a.check(cert, key, uses); err != nil {
		return issuer{}, fmt.Errorf("%s intermediate, %s with %s in %s: %w", name, certFile, keyFile, dir, err)
	}
	a.warnOfExpiry(ctx, name+" intermediate", cert)

	dbDir := filepath.Join(dir, "db")
	if err := os.MkdirAll(dbDir, 0o700); err != nil {
		return issuer{}, err
	}
	path := filepath.Join(dbDir, name)
	for range 3 { // another process may be in the middle of a write
		if err = wholeFile(path); err == nil {
			break
		}
	}
	if err != nil {
		return issuer{}, err
	}
	var step *authority.Authority
	err = guarded(path, func() (err error) {
		step, err = authority.NewEmbedded(
			authority.WithConfig(&config.Config{
				DB: &db.Config{Type: "bbolt", DataSource: path},
				AuthorityConfig: &config.AuthConfig{
					// The second fence. Name constraints in the certificates are the first, and what
					// this package puts into a leaf is the third.
					Policy: &policy.Options{X509: &policy.X509PolicyOptions{
						AllowedNames: &policy.X509NameOptions{URIDomains: []string{identity.TrustDomain(a.bureau, a.federation)}},
					}},
					Backdate: &provisioner.Duration{Duration: Backdate},
				},
			}),
			authority.WithX509Signer(cert, key),
			authority.WithX509RootCerts(a.root),
			authority.WithQuietInit(),
		)
		if err != nil {
			return err
		}
		if err := readAll(step, cert, path); err != nil {
			return errors.Join(err, step.Shutdown())
		}
		return nil
	})
	if err != nil {
		if strings.Contains(err.Error(), "timeout") { // bbolt's error, wrapped by value on its way
			return issuer{}, fmt.Errorf("%w (%s)", ErrInUse, dir)
		}
		return issuer{}, fmt.Errorf("open the %s authority in %s: %w", name, dir, err)
	}
	return issuer{cert: cert, step: step}, nil
}

// check refuses an intermediate that peers would refuse, before anything is issued by it.
func (a *Authority) check(cert *x509.Certificate, key crypto.Signer, uses []x509.ExtKeyUsage) error {
	public, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case !ok || !public.Equal(key.Public()):
		return errors.New("the key is not the certificate's: the files do not belong together")
	case !cert.IsCA || !cert.MaxPathLenZero:
		return errors.New("not an intermediate that may issue leaves alone")
	case !slices.Equal(cert.ExtKeyUsage, uses) || len(cert.UnknownExtKeyUsage) != 0:
		return errors.New("not for the uses of its listener: are mesh and local confused?")
	}
	if err := cert.CheckSignatureFrom(a.root); err != nil {
		return fmt.Errorf("not issued by the root beside it: %w", err)
	}
	return nil
}

func (a *Authority) warnOfExpiry(ctx context.Context, what string, c *x509.Certificate) {
	if a.now().Add(expiryWarning).After(c.NotAfter) {
		a.log.WarnContext(ctx, "certificate authority expires soon: prepare its successor", "certificate", what, "not_after", c.NotAfter)
	}
}

func readCert(path string) (*x509.Certificate, error) {
	cert, err := pemutil.ReadCertificate(path)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", path, err)
	}
	return cert, nil
}

// readKey reads an issuing key. One that others can read is refused: who has it is the bureau.
func readKey(path string) (crypto.Signer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("private key %s can be read by others (mode %04o): chmod 600 it, and replace the intermediate if it may have been copied", path, info.Mode().Perm())
	}
	key, err := pemutil.Read(path)
	if err != nil {
		return nil, fmt.Errorf("private key %s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key %s: not a key that signs", path)
	}
	return signer, nil
}

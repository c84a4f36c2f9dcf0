package mtls

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func TestSaveAndLoad(t *testing.T) {
	bel := newCountry(t, "BEL")
	dir := filepath.Join(t.TempDir(), "leaf")
	first, second := bel.node(t), bel.node(t)
	for _, c := range []credential{first, second} {
		if err := SaveLeaf(dir, c.chain, c.key); err != nil {
			t.Fatal(err)
		}
		l, err := LoadLeaf(dir)
		if err != nil {
			t.Fatal(err)
		}
		if !l.X509().Equal(c.chain[0]) || len(l.Get().Certificate) != 2 {
			t.Errorf("loaded %v", l.X509().URIs)
		}
	}
	info, err := os.Stat(filepath.Join(dir, KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %v", info.Mode())
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("left behind: %v, %v", files, err)
	}

	t.Run("a crash between the two files", func(t *testing.T) {
		old := filepath.Join(t.TempDir(), CertFile)
		if err := SaveLeaf(filepath.Dir(old), first.chain, first.key); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(old)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, CertFile), content, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := LoadLeaf(dir)
		if err != nil {
			t.Fatal(err)
		}
		if !l.X509().Equal(second.chain[0]) {
			t.Error("not the pair that is whole")
		}
	})
	t.Run("a key that others can read", func(t *testing.T) {
		if err := os.Chmod(filepath.Join(dir, KeyFile), 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadLeaf(dir); err == nil {
			t.Error("loaded")
		}
	})
	t.Run("nothing there", func(t *testing.T) {
		if _, err := LoadLeaf(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
	t.Run("another's key", func(t *testing.T) {
		if err := SaveLeaf(t.TempDir(), first.chain, second.key); err == nil {
			t.Error("saved")
		}
		if _, err := Bind(nil, second.key); err == nil {
			t.Error("an empty chain was bound")
		}
	})
}

func TestNewRequest(t *testing.T) {
	id := identity.Client(demo, "BGR", "border-police", identity.RoleOfficer, "desk-4", []recordv1.Purpose{recordv1.Purpose_PURPOSE_BORDER_CONTROL})
	key, der, err := NewRequest(id)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := csr.CheckSignature(); err != nil {
		t.Error(err)
	}
	if len(csr.URIs) != 1 || csr.URIs[0].String() != id.String() || csr.Subject.OrganizationalUnit[0] != "purpose:border-control" {
		t.Errorf("request %v %v", csr.URIs, csr.Subject)
	}
	if !csr.PublicKey.(*ecdsa.PublicKey).Equal(key.Public()) {
		t.Error("not for this key")
	}
	if _, _, err := NewRequest(identity.Identity{}); err == nil {
		t.Error("a request for nobody")
	}
}

// renewal is a Renewer in a bubble of time whose issuer can fail.
type renewal struct {
	*Renewer
	issued  atomic.Int64
	failing atomic.Bool
}

var errIssuer = errors.New("the authority is away")

func newRenewal(t *testing.T, bel *country, leaf *Leaf) *renewal {
	r := &renewal{}
	r.Renewer = &Renewer{
		Leaf: leaf, Identity: identity.Node(demo, "BEL", "1"),
		Issue: func(_ context.Context, csrDER []byte) ([]*x509.Certificate, error) {
			if r.failing.Load() {
				return nil, errIssuer
			}
			r.issued.Add(1)
			return bel.answer(t, csrDER, time.Now().Add(-2*time.Hour), time.Now().Add(24*time.Hour)), nil
		},
	}
	return r
}

// answer issues a node's leaf for a request, as an authority would.
func (c *country) answer(t *testing.T, csrDER []byte, notBefore, notAfter time.Time) []*x509.Certificate {
	csr, err := x509.ParseCertificateRequest(csrDER)
	if err != nil {
		t.Error(err)
		return nil
	}
	template := leafTemplate(t, csr.URIs[0].String(), meshUses...)
	template.NotBefore, template.NotAfter = notBefore, notAfter
	return []*x509.Certificate{signFor(t, c.mesh, template, csr.PublicKey), c.mesh.cert}
}

func TestRenewerKeepsTheLeafYoung(t *testing.T) {
	bel := newCountry(t, "BEL")
	synctest.Test(t, func(t *testing.T) {
		r := newRenewal(t, bel, NewLeaf(nil))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()

		synctest.Wait()
		if r.issued.Load() != 1 || r.Leaf.X509() == nil {
			t.Fatal("no leaf at the start")
		}
		for day := range 3 {
			c := r.Leaf.X509()
			issuedAt := time.Now()
			if twoThirds := issuedAt.Add(24 * time.Hour * 2 / 3); !RenewDue(c).Before(twoThirds) {
				t.Errorf("due at %s, two thirds of the life are over at %s", RenewDue(c), twoThirds)
			}
			time.Sleep(time.Until(RenewDue(c)) - time.Second)
			synctest.Wait()
			if n := r.issued.Load(); n != int64(day)+1 {
				t.Fatalf("day %d: %d issued before it was due", day, n)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if n := r.issued.Load(); n != int64(day)+2 || r.Leaf.X509().Equal(c) {
				t.Fatalf("day %d: %d issued when it was due", day, n)
			}
		}

		// The authority is away for hours: the old leaf stays in use, and is renewed soon after.
		r.failing.Store(true)
		c := r.Leaf.X509()
		time.Sleep(time.Until(RenewDue(c)) + 5*time.Hour)
		synctest.Wait()
		if !r.Leaf.X509().Equal(c) {
			t.Error("the leaf is gone while the authority was away")
		}
		r.failing.Store(false)
		time.Sleep(renewRetryMost + time.Second)
		synctest.Wait()
		if r.Leaf.X509().Equal(c) {
			t.Error("not renewed after the authority came back")
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestRenewerSeesASetClock: the machine slept for days, and timers did not.
func TestRenewerSeesASetClock(t *testing.T) {
	bel := newCountry(t, "BEL")
	synctest.Test(t, func(t *testing.T) {
		r := newRenewal(t, bel, NewLeaf(nil))
		var slept atomic.Int64
		r.Now = func() time.Time { return time.Now().Add(time.Duration(slept.Load())) }
		issue := r.Issue
		r.Issue = func(ctx context.Context, csr []byte) ([]*x509.Certificate, error) {
			if _, err := issue(ctx, csr); err != nil {
				return nil, err
			}
			return bel.answer(t, csr, r.Now().Add(-2*time.Hour), r.Now().Add(24*time.Hour)), nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = r.Run(ctx) }()
		synctest.Wait()
		slept.Store(int64(72 * time.Hour))
		time.Sleep(renewLook + time.Second)
		synctest.Wait()
		if n := r.issued.Load(); n != 2 {
			t.Errorf("%d issued", n)
		}
		cancel()
		synctest.Wait()
	})
}

func TestRenewRefusesWhatDoesNotFit(t *testing.T) {
	bel := newCountry(t, "BEL")
	old := bel.node(t).leaf(t)
	stranger := bel.node(t)
	for name, issue := range map[string]func(csr []byte) ([]*x509.Certificate, error){
		"an error":              func([]byte) ([]*x509.Certificate, error) { return nil, errIssuer },
		"nothing":               func([]byte) ([]*x509.Certificate, error) { return nil, nil },
		"another's certificate": func([]byte) ([]*x509.Certificate, error) { return stranger.chain, nil },
		"one that has expired": func(csr []byte) ([]*x509.Certificate, error) {
			return bel.answer(t, csr, noon.Add(-48*time.Hour), noon.Add(-24*time.Hour)), nil
		},
		"one that is not valid yet": func(csr []byte) ([]*x509.Certificate, error) {
			return bel.answer(t, csr, noon.Add(time.Hour), noon.Add(24*time.Hour)), nil
		},
		"another identity": func(csr []byte) ([]*x509.Certificate, error) {
			r, err := x509.ParseCertificateRequest(csr)
			if err != nil {
				return nil, err
			}
			c := signFor(t, bel.mesh, leafTemplate(t, identity.Node(demo, "BEL", "2").String(), meshUses...), r.PublicKey)
			return []*x509.Certificate{c, bel.mesh.cert}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			leaf := NewLeaf(old.Get())
			r := &Renewer{
				Leaf: leaf, Identity: identity.Node(demo, "BEL", "1"), Dir: filepath.Join(t.TempDir(), "leaf"),
				Now:   func() time.Time { return noon },
				Issue: func(_ context.Context, csr []byte) ([]*x509.Certificate, error) { return issue(csr) },
			}
			if err := r.Renew(t.Context()); err == nil {
				t.Error("accepted")
			}
			if leaf.Get() != old.Get() {
				t.Error("put to use")
			}
			if _, err := os.Stat(r.Dir); err == nil {
				t.Error("saved")
			}
		})
	}
}

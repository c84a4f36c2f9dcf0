package roster

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

const fed = identity.Federation("demo.entente")

var dawn = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// capital is a bureau as a test plays it: its private keys and its entry in the roster.
type capital struct {
	bureau     identity.Bureau
	message    ed25519.PrivateKey
	governance ed25519.PrivateKey
	entry      *rosterv1.Bureau
}

func newCapital(t testing.TB, b identity.Bureau) *capital {
	t.Helper()
	c := &capital{bureau: b, message: newKey(t), governance: newKey(t)}
	c.entry = &rosterv1.Bureau{
		Bureau:  string(b),
		Address: "ncb-" + identity.TrustDomain(b, fed) + ":7443",
		CaRoots: [][]byte{newRoot(t, b, nil)},
		Keys: []*rosterv1.Key{
			NewKey(rosterv1.KeyUsage_KEY_USAGE_MESSAGE, publicOf(c.message), time.Time{}),
			NewKey(rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE, publicOf(c.governance), time.Time{}),
		},
	}
	return c
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	k, err := signing.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func publicOf(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// newRoot makes a small self-signed root of a bureau; spoil changes what is not as it should be.
func newRoot(t testing.TB, b identity.Bureau, spoil func(*x509.Certificate)) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return rootOf(t, b, key, spoil)
}

func rootOf(t testing.TB, b identity.Bureau, key *ecdsa.PrivateKey, spoil func(*x509.Certificate)) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber:                big.NewInt(1),
		Subject:                     pkix.Name{CommonName: string(b) + " root"},
		NotBefore:                   dawn.Add(-time.Hour),
		NotAfter:                    dawn.AddDate(10, 0, 0),
		IsCA:                        true,
		BasicConstraintsValid:       true,
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedURIDomains:         []string{identity.TrustDomain(b, fed)},
		PermittedDNSDomainsCritical: true,
	}
	if spoil != nil {
		spoil(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (c *capital) governor() *signing.Governor {
	return signing.NewGovernor(fed, c.bureau, c.governance)
}

func (c *capital) join(t testing.TB) *signedv1.Signed {
	t.Helper()
	s, err := NewJoinRequest(fed, c.entry, dawn, c.governor())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (c *capital) sign(t testing.TB, payload []byte) *signedv1.Signature {
	t.Helper()
	sig, err := c.governor().Roster(payload)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// mesh is a few capitals that found a federation.
type mesh map[identity.Bureau]*capital

func newMesh(t testing.TB, bureaus ...identity.Bureau) mesh {
	t.Helper()
	m := mesh{}
	for _, b := range bureaus {
		m[b] = newCapital(t, b)
	}
	return m
}

func four(t testing.TB) mesh {
	t.Helper()
	return newMesh(t, "BEL", "ESP", "BGR", "LBN")
}

func (m mesh) joins(t testing.TB) []*signedv1.Signed {
	t.Helper()
	var out []*signedv1.Signed
	for _, c := range m {
		out = append(out, c.join(t))
	}
	return out
}

// found drafts version 1 and has it signed by all.
func (m mesh) found(t testing.TB, threshold uint32, at time.Time) *signedv1.Signed {
	t.Helper()
	r, err := Found(fed, threshold, m.joins(t), at, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []identity.Bureau
	for b := range m {
		all = append(all, b)
	}
	return m.signed(t, r, all...)
}

// signed marshals a roster and has it signed by the bureaus named, without asking whether that
// is enough.
func (m mesh) signed(t testing.TB, r *rosterv1.Roster, by ...identity.Bureau) *signedv1.Signed {
	t.Helper()
	payload, err := MarshalDraft(r)
	if err != nil {
		t.Fatal(err)
	}
	s := &signedv1.Signed{PayloadType: PayloadType(fed), Payload: payload}
	for _, b := range by {
		s.Signatures = append(s.Signatures, m[b].sign(t, payload))
	}
	return s
}

// first verifies version 1 of the mesh with threshold 3.
func (m mesh) first(t testing.TB) *View {
	t.Helper()
	v, err := VerifyFirst(m.found(t, 3, dawn), fed, dawn)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func next(t testing.TB, v *View, at time.Time, changes ...Change) *rosterv1.Roster {
	t.Helper()
	r, err := Next(v, at, 0, changes...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

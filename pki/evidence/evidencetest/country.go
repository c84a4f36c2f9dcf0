// Package evidencetest plays bureaus and their books for tests of what outsiders check: a
// federation with its rosters, asks and answers that are really signed, and logs in memory with
// real checkpoints and proofs. A test spoils one thing of it and sees that it is found.
//
// It is no node: nobody decides, and nothing is stored.
//
// One flow: Found makes BEL and ESP. BEL's Ask and ESP's Answer are added to both Books, and Bundle
// gathers what proves them.
package evidencetest

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

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/roster"
	"github.com/entente-mesh/entente/pki/signing"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Country is a bureau with all its keys.
type Country struct {
	Federation identity.Federation
	Bureau     identity.Bureau
	Message    ed25519.PrivateKey
	Log        ed25519.PrivateKey
	Governance ed25519.PrivateKey
	Entry      *rosterv1.Bureau
}

// Federation is a few countries and the rosters that they signed, oldest first.
type Federation struct {
	Name      identity.Federation
	Countries map[identity.Bureau]*Country
	Rosters   []*signedv1.Signed
	newest    *roster.View
}

// Found makes a federation whose first roster every bureau signed at that time.
func Found(t testing.TB, name identity.Federation, at time.Time, bureaus ...identity.Bureau) *Federation {
	t.Helper()
	f := &Federation{Name: name, Countries: map[identity.Bureau]*Country{}}
	var joins []*signedv1.Signed
	for _, b := range bureaus {
		c := newCountry(t, name, b, at)
		f.Countries[b] = c
		join, err := roster.NewJoinRequest(name, c.Entry, at, signing.NewGovernor(name, b, c.Governance))
		check(t, err)
		joins = append(joins, join)
	}
	r, err := roster.Found(name, roster.DefaultThreshold(len(bureaus)), joins, at, 0)
	check(t, err)
	s := f.sign(t, r)
	f.newest, err = roster.VerifyFirst(s, name, at)
	check(t, err)
	f.Rosters = append(f.Rosters, s)
	return f
}

// Next adds a roster: change edits the one before as its bureaus want it.
func (f *Federation) Next(t testing.TB, at time.Time, change func(*rosterv1.Roster)) {
	t.Helper()
	r := f.newest.Roster()
	r.Version++
	r.PreviousDigest = signing.PayloadDigest(f.Rosters[len(f.Rosters)-1])
	r.IssuedAt, r.ExpiresAt = timestamppb.New(at), timestamppb.New(at.Add(roster.DefaultLife))
	change(r)
	s := f.sign(t, r)
	v, err := roster.VerifyNext(f.newest, s, at)
	check(t, err)
	f.newest, f.Rosters = v, append(f.Rosters, s)
}

// Fingerprint is that of the newest roster.
func (f *Federation) Fingerprint() string { return f.newest.Fingerprint() }

func (f *Federation) sign(t testing.TB, r *rosterv1.Roster) *signedv1.Signed {
	t.Helper()
	payload, err := roster.MarshalDraft(r)
	check(t, err)
	s := &signedv1.Signed{PayloadType: roster.PayloadType(f.Name), Payload: payload}
	for b, c := range f.Countries {
		sig, err := signing.NewGovernor(f.Name, b, c.Governance).Roster(payload)
		check(t, err)
		s.Signatures = append(s.Signatures, sig)
	}
	return s
}

func newCountry(t testing.TB, f identity.Federation, b identity.Bureau, at time.Time) *Country {
	t.Helper()
	c := &Country{Federation: f, Bureau: b, Message: Key(t), Log: Key(t), Governance: Key(t)}
	c.Entry = &rosterv1.Bureau{
		Bureau:  string(b),
		Address: "ncb." + identity.TrustDomain(b, f) + ":7443",
		CaRoots: [][]byte{root(t, f, b, at)},
		Keys: []*rosterv1.Key{
			roster.NewKey(rosterv1.KeyUsage_KEY_USAGE_MESSAGE, Public(c.Message), time.Time{}),
			roster.NewKey(rosterv1.KeyUsage_KEY_USAGE_LOG, Public(c.Log), time.Time{}),
			roster.NewKey(rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE, Public(c.Governance), time.Time{}),
		},
	}
	return c
}

// Key makes a private key.
func Key(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	k, err := signing.GenerateKey(nil)
	check(t, err)
	return k
}

// Public is the public half of a key.
func Public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// LogKeys are the country's public log keys.
func (c *Country) LogKeys() []signing.PublicKey {
	return []signing.PublicKey{{Bureau: c.Bureau, Usage: rosterv1.KeyUsage_KEY_USAGE_LOG, Algorithm: signing.AlgorithmEd25519, Key: Public(c.Log)}}
}

func root(t testing.TB, f identity.Federation, b identity.Bureau, at time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: string(b) + " root"},
		NotBefore: at.Add(-time.Hour), NotAfter: at.AddDate(20, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedURIDomains: []string{identity.TrustDomain(b, f)}, PermittedDNSDomainsCritical: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	return der
}

// Ask is a question of the country about a document, signed. checkpoint may be nil.
func (c *Country) Ask(t testing.TB, to identity.Bureau, id string, at time.Time, checkpoint []byte) *signedv1.Signed {
	t.Helper()
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce)
	s, err := signing.NewSigner(c.Federation, c.Bureau, c.Message).Ask(&queryv1.Ask{
		AskId: id, Nonce: nonce, Audience: string(to), IssuedAt: timestamppb.New(at), NotAfter: timestamppb.New(at.Add(time.Minute)),
		Requester:     &queryv1.Requester{Bureau: string(c.Bureau), Agency: "border-police"},
		Justification: &queryv1.Justification{Purpose: recordv1.Purpose_PURPOSE_BORDER_CONTROL},
		RosterVersion: 1, MaxCandidates: 1, Document: &queryv1.DocumentQuery{Number: "XA1234567"}, LogCheckpoint: checkpoint,
	})
	check(t, err)
	return s
}

// Answer is the country's "no hit" to an ask, signed. checkpoint may be nil.
func (c *Country) Answer(t testing.TB, ask *signedv1.Signed, to identity.Bureau, id string, at time.Time, checkpoint []byte) *signedv1.Signed {
	t.Helper()
	s, err := signing.NewSigner(c.Federation, c.Bureau, c.Message).Answer(&queryv1.Answer{
		InReplyTo: signing.PayloadDigest(ask), AskId: id, Bureau: string(c.Bureau), Audience: string(to),
		Results:    []*queryv1.CollectionAnswer{{Collection: "documents", Status: queryv1.Status_STATUS_NO_HIT}},
		AnsweredAt: timestamppb.New(at), LogCheckpoint: checkpoint,
	})
	check(t, err)
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

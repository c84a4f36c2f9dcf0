package roster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

func TestFourBureausFoundAFederation(t *testing.T) {
	m := four(t)
	v := m.first(t)
	if diff := cmp.Diff([]identity.Bureau{"BEL", "BGR", "ESP", "LBN"}, v.Bureaus()); diff != "" {
		t.Errorf("bureaus (-want +got):\n%s", diff)
	}
	if v.Version() != 1 || v.Threshold() != 3 || v.Federation() != fed || !v.IssuedAt().Equal(dawn) || !v.ExpiresAt().Equal(dawn.Add(DefaultLife)) {
		t.Errorf("view: version %d threshold %d federation %s issued %s expires %s", v.Version(), v.Threshold(), v.Federation(), v.IssuedAt(), v.ExpiresAt())
	}
	bel, ok := v.Member("BEL")
	if !ok || bel.Address != m["BEL"].entry.GetAddress() || len(bel.Roots) != 1 {
		t.Fatalf("member BEL: %+v %v", bel, ok)
	}
	if bel.Fingerprint != BureauFingerprint(m["BEL"].entry) {
		t.Error("the fingerprint in the roster is not that of the join request")
	}
	if _, err := bel.Roots[0].Verify(x509.VerifyOptions{Roots: bel.Pool, CurrentTime: dawn, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Errorf("BEL's root against BEL's pool: %v", err)
	}
	esp, _ := v.Member("ESP")
	if _, err := bel.Roots[0].Verify(x509.VerifyOptions{Roots: esp.Pool, CurrentTime: dawn, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
		t.Error("BEL's root verifies against ESP's pool: roots were pooled")
	}
}

func TestFirstNeedsEveryFounder(t *testing.T) {
	m := four(t)
	r, err := Found(fed, 3, m.joins(t), dawn, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = VerifyFirst(m.signed(t, r, "BEL", "ESP", "BGR"), fed, dawn)
	if !errors.Is(err, ErrThreshold) || !strings.Contains(err.Error(), "LBN") {
		t.Errorf("three of four founders: got %v, want ErrThreshold naming LBN", err)
	}
}

func TestNextNeedsTheThresholdOfDistinctBureaus(t *testing.T) {
	m := four(t)
	v1 := m.first(t)
	r := next(t, v1, dawn.Add(time.Hour))
	second := newKey(t) // a second governance officer of BEL
	forged := m.signed(t, r, "BEL", "ESP")
	forged.Signatures = append(forged.Signatures, &signedv1.Signature{
		KeyId: m["LBN"].governor().KeyID(), Algorithm: signing.AlgorithmEd25519,
		Value: m["ESP"].sign(t, forged.GetPayload()).GetValue(), // ESP's hand under LBN's name
	})
	message := m.signed(t, r, "BEL", "ESP")
	stamp, err := signing.NewGovernor(fed, "LBN", m["LBN"].message).Roster(message.GetPayload())
	if err != nil {
		t.Fatal(err)
	}
	message.Signatures = append(message.Signatures, stamp)
	stranger := m.signed(t, r, "BEL", "ESP")
	outside, err := signing.NewGovernor(fed, "LBN", second).Roster(stranger.GetPayload())
	if err != nil {
		t.Fatal(err)
	}
	stranger.Signatures = append(stranger.Signatures, outside)
	batch := m.signed(t, r, "BEL", "ESP", "LBN")
	batch.Signatures[2].BatchProof = []byte{1}
	unknown := m.signed(t, r, "BEL", "ESP", "LBN")
	unknown.Signatures[2].Algorithm = "ml-dsa-65"

	for name, s := range map[string]*signedv1.Signed{
		"one signature fewer than the threshold":    m.signed(t, r, "BEL", "ESP"),
		"one bureau's signature twice":              m.signed(t, r, "BEL", "ESP", "ESP"),
		"a governance key of another bureau":        forged,
		"a message key in a governance key's place": message,
		"a key that is in no roster":                stranger,
		"a signature over a batch":                  batch,
		"a signature of an unknown algorithm":       unknown,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := VerifyNext(v1, s, dawn.Add(time.Hour)); !errors.Is(err, ErrThreshold) {
				t.Errorf("got %v, want ErrThreshold", err)
			}
		})
	}
	v2, err := VerifyNext(v1, m.signed(t, r, "LBN", "ESP", "BEL"), dawn.Add(time.Hour))
	if err != nil || v2.Version() != 2 {
		t.Errorf("three distinct bureaus: %v", err)
	}
}

func TestOneBureauWithTwoGovernanceKeysCountsOnce(t *testing.T) {
	m := four(t)
	second := newKey(t)
	m["BEL"].entry.Keys = append(m["BEL"].entry.Keys, NewKey(rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE, publicOf(second), time.Time{}))
	v1 := m.first(t)
	s := m.signed(t, next(t, v1, dawn.Add(time.Hour)), "BEL", "ESP")
	sig, err := signing.NewGovernor(fed, "BEL", second).Roster(s.GetPayload())
	if err != nil {
		t.Fatal(err)
	}
	s.Signatures = append(s.Signatures, sig)
	if _, err := VerifyNext(v1, s, dawn.Add(time.Hour)); !errors.Is(err, ErrThreshold) {
		t.Errorf("got %v, want ErrThreshold", err)
	}
}

func TestNextNeedsTheThresholdOfBothVersions(t *testing.T) {
	m := four(t)
	v1 := m.first(t)
	for _, b := range []identity.Bureau{"FRA", "DEU", "ITA", "GRC"} {
		m[b] = newCapital(t, b)
	}
	at := dawn.Add(time.Hour)
	r := next(t, v1, at, Threshold(5), Admit(m["FRA"].join(t)), Admit(m["DEU"].join(t)), Admit(m["ITA"].join(t)), Admit(m["GRC"].join(t)))
	if _, err := VerifyNext(v1, m.signed(t, r, "BEL", "ESP", "BGR", "LBN"), at); !errors.Is(err, ErrThreshold) {
		t.Errorf("four of the old, four of five of the new: got %v, want ErrThreshold", err)
	}
	if _, err := VerifyNext(v1, m.signed(t, r, "FRA", "DEU", "ITA", "GRC", "BEL", "ESP"), at); !errors.Is(err, ErrThreshold) {
		t.Errorf("two of the old, six of the new: got %v, want ErrThreshold", err)
	}
	if _, err := VerifyNext(v1, m.signed(t, r, "BEL", "ESP", "BGR", "FRA", "DEU"), at); err != nil {
		t.Errorf("three of the old, five of the new: %v", err)
	}
}

func TestOrderOfVersions(t *testing.T) {
	m := four(t)
	v1 := m.first(t)
	at := dawn.Add(time.Hour)
	r2 := next(t, v1, at)
	v2, err := VerifyNext(v1, m.signed(t, r2, "BEL", "ESP", "BGR"), at)
	if err != nil {
		t.Fatal(err)
	}
	r3 := next(t, v2, at)
	s3 := m.signed(t, r3, "BEL", "ESP", "BGR")
	if _, err := VerifyNext(v1, s3, at); !errors.Is(err, ErrGap) {
		t.Errorf("3 after 1: got %v, want ErrGap", err)
	}
	if _, err := VerifyNext(v2, v1.Signed(), at); !errors.Is(err, ErrRollback) {
		t.Errorf("1 after 2: got %v, want ErrRollback", err)
	}
	if _, err := VerifyNext(v2, v2.Signed(), at); !errors.Is(err, ErrRollback) {
		t.Errorf("2 after 2: got %v, want ErrRollback", err)
	}
	// A successor of another version 2, signed by enough bureaus of ours, is proof of a fork.
	other := proto.CloneOf(r3)
	other.PreviousDigest = slices.Repeat([]byte{7}, 32)
	if _, err := VerifyNext(v2, m.signed(t, other, "BEL", "ESP", "BGR"), at); !errors.Is(err, ErrFork) {
		t.Errorf("successor of another version 2: got %v, want ErrFork", err)
	}
	if _, err := VerifyNext(v2, m.signed(t, other, "BEL", "ESP"), at); !errors.Is(err, ErrThreshold) {
		t.Errorf("the same with too few signatures: got %v, want ErrThreshold", err)
	}
	early := proto.CloneOf(r3)
	early.IssuedAt = timestamppb.New(dawn.Add(-time.Minute))
	if _, err := VerifyNext(v2, m.signed(t, early, "BEL", "ESP", "BGR"), at); !errors.Is(err, ErrMalformed) {
		t.Errorf("dated before its predecessor: got %v, want ErrMalformed", err)
	}
}

func TestRostersOfAnotherTime(t *testing.T) {
	m := four(t)
	s := m.found(t, 3, dawn)
	if _, err := VerifyFirst(s, fed, dawn.Add(DefaultLife)); !errors.Is(err, ErrExpired) {
		t.Errorf("at its expiry: got %v, want ErrExpired", err)
	}
	if _, err := VerifyFirst(s, fed, dawn.Add(DefaultLife-time.Second)); err != nil {
		t.Errorf("a second before its expiry: %v", err)
	}
	if _, err := VerifyFirst(s, fed, dawn.Add(-clockSkew-time.Second)); !errors.Is(err, ErrMalformed) {
		t.Errorf("dated in the future: got %v, want ErrMalformed", err)
	}
	v1 := m.first(t)
	s2 := m.signed(t, next(t, v1, dawn), "BEL", "ESP", "BGR")
	if _, err := VerifyNext(v1, s2, dawn.Add(DefaultLife)); !errors.Is(err, ErrExpired) {
		t.Errorf("the next at its expiry: got %v, want ErrExpired", err)
	}
}

func TestRosterOfAnotherFederation(t *testing.T) {
	m := four(t)
	s := m.found(t, 3, dawn)
	if _, err := VerifyFirst(s, "exercise.entente", dawn); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
	relabelled := proto.CloneOf(s)
	relabelled.PayloadType = PayloadType("exercise.entente")
	if _, err := VerifyFirst(relabelled, "exercise.entente", dawn); !errors.Is(err, ErrMalformed) {
		t.Errorf("relabelled: got %v, want ErrMalformed", err)
	}
}

func TestGovernanceKeysOutsideTheirTime(t *testing.T) {
	at := dawn.Add(time.Hour)
	for name, spoil := range map[string]func(*rosterv1.Key){
		"not yet valid": func(k *rosterv1.Key) { k.NotBefore = timestamppb.New(at.Add(time.Second)) },
		"not any more":  func(k *rosterv1.Key) { k.NotAfter = timestamppb.New(at.Add(-time.Second)) },
		"revoked":       func(k *rosterv1.Key) { k.RevokedAt = timestamppb.New(at) },
	} {
		t.Run(name, func(t *testing.T) {
			m := four(t)
			v1 := m.first(t)
			r := next(t, v1, at)
			spoil(r.GetBureaus()[0].GetKeys()[1]) // BEL's governance key, in the new version
			if _, err := VerifyNext(v1, m.signed(t, r, "BEL", "ESP", "BGR"), at); !errors.Is(err, ErrThreshold) {
				t.Errorf("got %v, want ErrThreshold", err)
			}
			if _, err := VerifyNext(v1, m.signed(t, r, "LBN", "ESP", "BGR"), at); err != nil {
				t.Errorf("without BEL: %v", err)
			}
		})
	}
}

func TestRevokedKeyStaysRevoked(t *testing.T) {
	m := four(t)
	v1 := m.first(t)
	at := dawn.Add(time.Hour)
	r2 := next(t, v1, at, Revoke("BEL", m["BEL"].governor().KeyID()))
	v2, err := VerifyNext(v1, m.signed(t, r2, "LBN", "ESP", "BGR"), at)
	if err != nil {
		t.Fatal(err)
	}
	// The thief of BEL's key dates his roster as early as he may.
	r3 := next(t, v2, at)
	if _, err := VerifyNext(v2, m.signed(t, r3, "BEL", "ESP", "BGR"), at); !errors.Is(err, ErrThreshold) {
		t.Errorf("signed with a revoked key: got %v, want ErrThreshold", err)
	}
	r3.GetBureaus()[0].GetKeys()[1].RevokedAt = nil
	if _, err := VerifyNext(v2, m.signed(t, r3, "LBN", "ESP", "BGR"), at); !errors.Is(err, ErrMalformed) {
		t.Errorf("revocation taken back: got %v, want ErrMalformed", err)
	}
}

func TestKeysStayWithTheirBureauAndUsage(t *testing.T) {
	m := four(t)
	v1 := m.first(t)
	at := dawn.Add(time.Hour)
	r := next(t, v1, at)
	r.GetBureaus()[0].Keys = append(r.GetBureaus()[0].GetKeys()[1:], r.GetBureaus()[2].GetKeys()[0]) // ESP's message key to BEL
	r.GetBureaus()[2].GetKeys()[0] = NewKey(rosterv1.KeyUsage_KEY_USAGE_MESSAGE, publicOf(newKey(t)), time.Time{})
	if _, err := VerifyNext(v1, m.signed(t, r, "LBN", "ESP", "BGR"), at); !errors.Is(err, ErrMalformed) {
		t.Errorf("a key moves to another bureau: got %v, want ErrMalformed", err)
	}
	r = next(t, v1, at)
	keys := r.GetBureaus()[0].GetKeys()
	keys[0].Usage = rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE
	r.GetBureaus()[0].Keys = append(keys, NewKey(rosterv1.KeyUsage_KEY_USAGE_MESSAGE, publicOf(newKey(t)), time.Time{}))
	if _, err := VerifyNext(v1, m.signed(t, r, "LBN", "ESP", "BGR"), at); !errors.Is(err, ErrMalformed) {
		t.Errorf("a message key becomes a governance key: got %v, want ErrMalformed", err)
	}
}

// TestRefusedRosters spoils one thing at a time in a roster that all founders sign.
func TestRefusedRosters(t *testing.T) {
	m := four(t)
	good, err := Found(fed, 3, m.joins(t), dawn, 0)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := func(spoil func(*x509.Certificate)) func(*rosterv1.Roster) {
		return func(r *rosterv1.Roster) { r.GetBureaus()[0].CaRoots[0] = newRoot(t, "BEL", spoil) }
	}
	for _, tt := range []struct {
		name, want string
		spoil      func(*rosterv1.Roster)
	}{
		{"threshold 0", "threshold", func(r *rosterv1.Roster) { r.Threshold = 0 }},
		{"threshold of half", "more than half", func(r *rosterv1.Roster) { r.Threshold = 2 }},
		{"threshold above all", "more than half", func(r *rosterv1.Roster) { r.Threshold = 5 }},
		{"version 0", "version", func(r *rosterv1.Roster) { r.Version = 0 }},
		{"first with a predecessor", "previous_digest", func(r *rosterv1.Roster) { r.PreviousDigest = make([]byte, 32) }},
		{"second without a predecessor", "previous_digest", func(r *rosterv1.Roster) { r.Version = 2 }},
		{"expires before it is issued", "expires_at", func(r *rosterv1.Roster) { r.ExpiresAt = timestamppb.New(dawn.Add(-1)) }},
		{"for ever", "expires_at", func(r *rosterv1.Roster) { r.ExpiresAt = timestamppb.New(dawn.Add(MaxLife + 1)) }},
		{"not sorted", "sorted", func(r *rosterv1.Roster) { slices.Reverse(r.Bureaus) }},
		{"one bureau twice", "each stands once", func(r *rosterv1.Roster) { r.Bureaus[1] = proto.CloneOf(r.Bureaus[0]) }},
		{"address without a port", "host:port", func(r *rosterv1.Roster) { r.Bureaus[0].Address = "ncb.example" }},
		{"no message key", "message key", func(r *rosterv1.Roster) { r.Bureaus[0].Keys = r.Bureaus[0].Keys[1:] }},
		{"no governance key", "governance key", func(r *rosterv1.Roster) { r.Bureaus[0].Keys = r.Bureaus[0].Keys[:1] }},
		{"short key", "bytes", func(r *rosterv1.Roster) { r.Bureaus[0].Keys[0].Key = r.Bureaus[0].Keys[0].Key[:31] }},
		{"one key under two bureaus", "listed already, under BEL", func(r *rosterv1.Roster) { r.Bureaus[1].Keys[1].Key = r.Bureaus[0].Keys[1].Key }},
		{"one key twice", "listed already", func(r *rosterv1.Roster) {
			r.Bureaus[0].Keys = append(r.Bureaus[0].Keys, proto.CloneOf(r.Bureaus[0].Keys[1]))
		}},
		{"one key for two usages", "listed already", func(r *rosterv1.Roster) { r.Bureaus[0].Keys[0].Key = r.Bureaus[0].Keys[1].Key }},
		{"key valid for no time", "not_after", func(r *rosterv1.Roster) {
			r.Bureaus[0].Keys[0].NotBefore, r.Bureaus[0].Keys[0].NotAfter = timestamppb.New(dawn), timestamppb.New(dawn)
		}},
		{"algorithm not in its form", "algorithm", func(r *rosterv1.Roster) {
			k := proto.CloneOf(r.Bureaus[0].Keys[0])
			k.Key, k.Algorithm = publicOf(newKey(t)), "ED25519"
			r.Bureaus[0].Keys = append(r.Bureaus[0].Keys, k)
		}},
		{"a root of another bureau", "name constraint", func(r *rosterv1.Roster) { r.Bureaus[0].CaRoots = r.Bureaus[1].CaRoots }},
		{"two bureaus with one root key", "no two bureaus share", func(r *rosterv1.Roster) {
			r.Bureaus[0].CaRoots[0] = rootOf(t, "BEL", shared, nil)
			r.Bureaus[1].CaRoots[0] = rootOf(t, "BGR", shared, nil)
		}},
		{"one root twice", "listed twice", func(r *rosterv1.Roster) {
			r.Bureaus[0].CaRoots = append(r.Bureaus[0].CaRoots, r.Bureaus[0].CaRoots[0])
		}},
		{"root without name constraint", "no URI name constraint", root(func(c *x509.Certificate) {
			c.PermittedURIDomains, c.PermittedDNSDomainsCritical = nil, false
		})},
		{"root that permits more", "permits", root(func(c *x509.Certificate) { c.PermittedURIDomains = append(c.PermittedURIDomains, "esp.demo.entente") })},
		{"root that permits the whole federation", "permits", root(func(c *x509.Certificate) { c.PermittedURIDomains = []string{".demo.entente"} })},
		{"root whose constraint is not critical", "critical", root(func(c *x509.Certificate) { c.PermittedDNSDomainsCritical = false })},
		{"root that is no CA", "not a CA", root(func(c *x509.Certificate) { c.IsCA = false })},
		{"root that may not sign certificates", "key usage", root(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })},
		{"root with a weak key", "P-256", func(r *rosterv1.Roster) { r.Bureaus[0].CaRoots[0] = rootOf(t, "BEL", weak, nil) }},
		{"root that is no certificate", "not a certificate", func(r *rosterv1.Roster) { r.Bureaus[0].CaRoots[0] = make([]byte, 100) }},
		{"root signed by another", "self-signed", func(r *rosterv1.Roster) { r.Bureaus[0].CaRoots[0] = issuedBelow(t, "BEL") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := proto.CloneOf(good)
			tt.spoil(r)
			payload, err := MarshalDraft(r)
			if err != nil {
				t.Fatal(err)
			}
			s := &signedv1.Signed{PayloadType: PayloadType(fed), Payload: payload}
			for _, c := range m { // signed past the governor, who would refuse some of them
				s.Signatures = append(s.Signatures, rawSignature(c, s))
			}
			_, err = VerifyFirst(s, fed, dawn)
			if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want ErrMalformed with %q", err, tt.want)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	for _, good := range []string{"ncb.example:7443", "127.0.0.1:1", "[2001:db8::1]:65535", "localhost:8080", "bel_node-1:443"} {
		if err := CheckAddress(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ":", "ncb.example", ":7443", "ncb.example:", "ncb.example:0", "ncb.example:65536", "ncb.example:07443",
		"ncb.example:http", "0.0.0.0:7443", "[::]:7443", "224.0.0.1:7443", "a b:1", "-a:1", "a..b:1", "https://ncb.example:1", "ncb\n.example:1"} {
		if err := CheckAddress(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestDefaultThresholdIsTwoThirds(t *testing.T) {
	for n, want := range map[int]uint32{1: 1, 2: 2, 3: 2, 4: 3, 5: 4, 6: 4, 195: 130} {
		if got := DefaultThreshold(n); got != want {
			t.Errorf("of %d: got %d, want %d", n, got, want)
		}
	}
}

func TestViewIsNobodysToChange(t *testing.T) {
	m := four(t)
	v := m.first(t)
	want := v.Roster()
	v.Roster().GetBureaus()[0].Address = "elsewhere:1"
	v.Signed().Payload[0] ^= 1
	v.Bureaus()[0] = "XXX"
	if diff := cmp.Diff(want, v.Roster(), protocmp.Transform()); diff != "" || v.Bureaus()[0] != "BEL" {
		t.Errorf("the view changed: %s", diff)
	}
	if _, err := VerifyFirst(v.Signed(), fed, dawn); err != nil {
		t.Errorf("the signed roster changed: %v", err)
	}
}

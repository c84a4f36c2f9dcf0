package roster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// rawSignature signs what a governor would refuse to sign.
func rawSignature(c *capital, s *signedv1.Signed) *signedv1.Signature {
	return &signedv1.Signature{
		KeyId: c.governor().KeyID(), Algorithm: signing.AlgorithmEd25519,
		Value: ed25519.Sign(c.governance, signing.PAE(s.GetPayloadType(), s.GetPayload())),
	}
}

// issuedBelow makes an intermediate that bears the name of a root.
func issuedBelow(t *testing.T, b identity.Bureau) []byte {
	t.Helper()
	parent, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: string(b) + " root"}, NotBefore: dawn, NotAfter: dawn.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		PermittedURIDomains: []string{identity.TrustDomain(b, fed)}, PermittedDNSDomainsCritical: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), parent)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestJoinRequestTravelsAsText(t *testing.T) {
	bel := newCapital(t, "BEL")
	text, err := EncodeJoinRequest(bel.join(t))
	if err != nil {
		t.Fatal(err)
	}
	// As a mail program hands it over: with a greeting, quoted line ends, a footer.
	mailed := append([]byte("Dear colleague,\r\n\r\n"), bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))...)
	mailed = append(mailed, "\r\n-- \r\nNCB Brussels\r\n"...)
	j, s, err := ReadJoinRequest(mailed)
	if err != nil {
		t.Fatal(err)
	}
	if j.GetFederation() != string(fed) || BureauFingerprint(j.GetBureau()) != BureauFingerprint(bel.entry) {
		t.Error("not the request that was written")
	}
	if !proto.Equal(s, bel.join(t)) { // Ed25519 is deterministic
		t.Error("not the container that was written")
	}
}

func TestForgedJoinRequests(t *testing.T) {
	bel, esp := newCapital(t, "BEL"), newCapital(t, "ESP")
	resign := func(spoil func(*rosterv1.JoinRequest), by *capital) *signedv1.Signed {
		j := &rosterv1.JoinRequest{Federation: string(fed), Bureau: proto.CloneOf(bel.entry), IssuedAt: timestamppb.New(dawn)}
		spoil(j)
		payload, err := proto.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		s := &signedv1.Signed{PayloadType: JoinPayloadType(fed), Payload: payload}
		s.Signatures = []*signedv1.Signature{rawSignature(by, s)}
		return s
	}
	asMessage := bel.join(t)
	asMessage.PayloadType = signing.PayloadType(signing.KindAsk, fed)
	oneByte := bel.join(t)
	oneByte.Payload = bytes.Replace(oneByte.Payload, []byte("7443"), []byte("7444"), 1)
	messageKey := &capital{bureau: "BEL", governance: bel.message}
	for name, s := range map[string]*signedv1.Signed{
		"one changed byte":                    oneByte,
		"of another type":                     asMessage,
		"signed by another bureau's key":      resign(func(*rosterv1.JoinRequest) {}, esp),
		"signed with the message key":         resign(func(*rosterv1.JoinRequest) {}, messageKey),
		"the message says another federation": resign(func(j *rosterv1.JoinRequest) { j.Federation = "exercise.entente" }, bel),
		"with the root of ESP":                resign(func(j *rosterv1.JoinRequest) { j.Bureau.CaRoots = esp.entry.CaRoots }, bel),
		"with a revoked key":                  resign(func(j *rosterv1.JoinRequest) { j.Bureau.Keys[1].RevokedAt = timestamppb.New(dawn) }, bel),
		"with one key for two usages":         resign(func(j *rosterv1.JoinRequest) { j.Bureau.Keys[0].Key = j.Bureau.Keys[1].Key }, bel),
		"without a signature":                 {PayloadType: JoinPayloadType(fed), Payload: bel.join(t).GetPayload()},
		"nothing at all":                      nil,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := VerifyJoinRequest(s); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, want ErrMalformed", err)
			}
		})
	}
}

func TestFoundRefuses(t *testing.T) {
	bel, esp := newCapital(t, "BEL"), newCapital(t, "ESP")
	joins := []*signedv1.Signed{bel.join(t), esp.join(t)}
	for _, tt := range []struct {
		name, want string
		fed        identity.Federation
		threshold  uint32
		joins      []*signedv1.Signed
		life       time.Duration
	}{
		{"nobody", "no bureaus", fed, 1, nil, 0},
		{"threshold above the founders", "threshold", fed, 3, joins, 0},
		{"threshold of half", "threshold", fed, 1, joins, 0},
		{"another federation", "exercise.entente", "exercise.entente", 2, joins, 0},
		{"one bureau twice", "there are two", fed, 2, []*signedv1.Signed{bel.join(t), newCapital(t, "BEL").join(t)}, 0},
		{"negative life", "expires_at", fed, 2, joins, -time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Found(tt.fed, tt.threshold, tt.joins, dawn, tt.life); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	r, err := Found(fed, 0, joins, dawn, time.Hour)
	if err != nil || r.GetThreshold() != 2 || !r.GetExpiresAt().AsTime().Equal(dawn.Add(time.Hour)) {
		t.Errorf("defaults: %v %v", r, err)
	}
}

// TestCeremony goes the way of the files: drafts and signatures by mail, put together, installed.
func TestCeremony(t *testing.T) {
	m := four(t)
	r, err := Found(fed, 3, m.joins(t), dawn, 0)
	if err != nil {
		t.Fatal(err)
	}
	drafted, err := MarshalDraft(r)
	if err != nil {
		t.Fatal(err)
	}
	payload, shown, err := DecodeDraft(EncodeDraft(drafted))
	if err != nil || !bytes.Equal(payload, drafted) || shown.GetThreshold() != 3 {
		t.Fatalf("draft: %v", err)
	}
	var mail []byte
	for _, c := range m {
		text, err := EncodeSignature(c.sign(t, payload))
		if err != nil {
			t.Fatal(err)
		}
		mail = append(mail, text...)
	}
	mail = append(mail, mail...) // everybody sent it twice
	sigs, err := DecodeSignatures(mail)
	if err != nil || len(sigs) != 8 {
		t.Fatalf("signatures: %d %v", len(sigs), err)
	}
	part, err := Merge(payload, sigs[:2]...)
	if err != nil {
		t.Fatal(err)
	}
	v, err := viewOf(r, part, fed)
	if err != nil {
		t.Fatal(err)
	}
	if have, err := v.Signers(part); err != nil || len(have) != 2 {
		t.Errorf("who has signed: %v %v", have, err)
	}
	s, err := Merge(payload, sigs...)
	if err != nil || len(s.GetSignatures()) != 4 {
		t.Fatalf("merge: %d signatures, %v", len(s.GetSignatures()), err)
	}
	text, err := EncodeRoster(s)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeRoster(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyFirst(back, fed, dawn); err != nil {
		t.Error(err)
	}
	if all, err := DecodeRosters(append(text, text...)); err != nil || len(all) != 2 {
		t.Errorf("two rosters in one file: %d %v", len(all), err)
	}
	if _, err := DecodeRoster(append(text, text...)); err == nil {
		t.Error("two rosters are taken for one")
	}
}

func TestMergeRefuses(t *testing.T) {
	m := four(t)
	r, err := Found(fed, 3, m.joins(t), dawn, 0)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := MarshalDraft(r)
	if err != nil {
		t.Fatal(err)
	}
	r.ExpiresAt = timestamppb.New(dawn.Add(time.Hour))
	other, err := MarshalDraft(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Merge(payload, m["BEL"].sign(t, other)); err == nil || !strings.Contains(err.Error(), "another draft") {
		t.Errorf("over another draft: %v", err)
	}
	if _, err := Merge(payload, newCapital(t, "FRA").sign(t, payload)); !errors.Is(err, errNotGovernance) {
		t.Errorf("of a stranger: %v", err)
	}
	if _, err := Merge(payload); err == nil {
		t.Error("without signatures it is merged")
	}
	if _, err := Merge([]byte("no roster"), m["BEL"].sign(t, payload)); !errors.Is(err, ErrMalformed) {
		t.Errorf("no roster: %v", err)
	}
}

func TestMergeKeepsTheSignatureOfOneWhoLeaves(t *testing.T) {
	m := four(t)
	v1 := m.first(t)
	at := dawn.Add(time.Hour)
	payload, err := MarshalDraft(next(t, v1, at, Remove("LBN"), Threshold(2)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Merge(payload, m["LBN"].sign(t, payload), m["BEL"].sign(t, payload), m["ESP"].sign(t, payload))
	if err != nil {
		t.Fatal(err)
	}
	v2, err := VerifyNext(v1, s, at)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := v2.Member("LBN"); ok || len(v2.Bureaus()) != 3 {
		t.Error("LBN is still in")
	}
}

func TestNextRefuses(t *testing.T) {
	m := four(t)
	v1 := m.first(t)
	at := dawn.Add(time.Hour)
	fra, deu := newCapital(t, "FRA"), newCapital(t, "DEU")
	for name, changes := range map[string][]Change{
		"remove a stranger":              {Remove("FRA")},
		"revoke a key that is not there": {Revoke("BEL", strings.Repeat("0", 64))},
		"a threshold that is now half":   {Admit(fra.join(t)), Admit(deu.join(t))},
		"no key left":                    {Remove("BEL"), Remove("ESP"), Remove("BGR"), Remove("LBN")},
	} {
		if r, err := Next(v1, at, 0, changes...); err == nil {
			t.Errorf("%s: got %v", name, r)
		}
	}
	if _, err := Next(v1, dawn.Add(-time.Hour), 0); err == nil {
		t.Error("dated before its predecessor")
	}
	// A bureau changes its address and keys by a new join request.
	m["BEL"].entry.Address = "new.bel.example:7443"
	r := next(t, v1, at, Admit(m["BEL"].join(t)))
	if len(r.GetBureaus()) != 4 || r.GetBureaus()[0].GetAddress() != "new.bel.example:7443" {
		t.Errorf("BEL's new entry: %v", r.GetBureaus()[0].GetAddress())
	}
	if got := v1.members["BEL"].Address; got == "new.bel.example:7443" {
		t.Error("the draft changed the roster in force")
	}
}

func TestDecodersSayWhatIsWrong(t *testing.T) {
	m := four(t)
	text, err := EncodeRoster(m.found(t, 3, dawn))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		b    []byte
		want string
	}{
		"empty":     {nil, "right file"},
		"cut off":   {text[:len(text)/2], "cut off"},
		"the draft": {EncodeDraft([]byte("x")), "right file"},
		"rubbish":   {bytes.ReplaceAll(EncodeDraft([]byte{0xff}), []byte(BlockDraft), []byte(BlockRoster)), BlockRoster},
		"too much":  {bytes.Repeat([]byte{'x'}, maxFile+1), "at most"},
	} {
		if _, err := DecodeRoster(tt.b); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	if _, err := DecodeSignatures(text); err == nil {
		t.Error("a roster is taken for signatures")
	}
	if _, _, err := DecodeDraft(text); err == nil {
		t.Error("a roster is taken for a draft")
	}
	if _, _, err := ReadJoinRequest(text); err == nil {
		t.Error("a roster is taken for a join request")
	}
}

func TestFingerprints(t *testing.T) {
	bel := newCapital(t, "BEL")
	fp := Fingerprint([]byte("payload"))
	if fp != "239F 59ED 55E7 37C7 7147 CF55 AD0C 1B03 0B6D 7EE7 48A7 4269 52F9 B852 D5A9 35E5" { // sha256sum
		t.Errorf("fingerprint %q", fp)
	}
	for _, same := range []string{strings.ToLower(fp), strings.ReplaceAll(fp, " ", ""), strings.ReplaceAll(fp, " ", ":"), "  " + fp + "\n"} {
		if !EqualFingerprint(fp, same) {
			t.Errorf("%q is not equal", same)
		}
	}
	for _, other := range []string{"", fp[:39], fp[:len(fp)-1] + "?", fp + " 00", Fingerprint([]byte("other"))} {
		if EqualFingerprint(fp, other) {
			t.Errorf("%q is equal", other)
		}
	}
	if EqualFingerprint("", "") {
		t.Error("nothing equals nothing")
	}
	seen := map[string]string{BureauFingerprint(bel.entry): "as it is"}
	for name, change := range map[string]func(*rosterv1.Bureau){
		"id":         func(b *rosterv1.Bureau) { b.Bureau = "BGR" },
		"address":    func(b *rosterv1.Bureau) { b.Address = "x:1" },
		"root":       func(b *rosterv1.Bureau) { b.CaRoots[0] = newRoot(t, "BEL", nil) },
		"no root":    func(b *rosterv1.Bureau) { b.CaRoots = nil },
		"key":        func(b *rosterv1.Bureau) { b.Keys[0].Key = publicOf(newKey(t)) },
		"usage":      func(b *rosterv1.Bureau) { b.Keys[0].Usage = rosterv1.KeyUsage_KEY_USAGE_LOG },
		"algorithm":  func(b *rosterv1.Bureau) { b.Keys[0].Algorithm = "other" },
		"not_before": func(b *rosterv1.Bureau) { b.Keys[0].NotBefore = timestamppb.New(dawn) },
		"not_after":  func(b *rosterv1.Bureau) { b.Keys[0].NotAfter = timestamppb.New(dawn) },
		"revoked_at": func(b *rosterv1.Bureau) { b.Keys[0].RevokedAt = timestamppb.New(dawn) },
	} {
		b := proto.CloneOf(bel.entry)
		change(b)
		fp := BureauFingerprint(b)
		if other, ok := seen[fp]; ok {
			t.Errorf("%s: the same fingerprint as %s", name, other)
		}
		seen[fp] = name
	}
	turned := proto.CloneOf(bel.entry)
	turned.Keys[0], turned.Keys[1] = turned.Keys[1], turned.Keys[0]
	if BureauFingerprint(turned) != BureauFingerprint(bel.entry) {
		t.Error("the order of keys changes the fingerprint")
	}
}

package signing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/identity"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

const fed = identity.Federation("demo.entente")

var dawn = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// ring is a set of keys: what a roster is to this package.
type ring struct {
	keys    []PublicKey
	revoked map[string]bool
	asked   []time.Time
}

var errNoKey = errors.New("no such key")

func (r *ring) Key(b identity.Bureau, keyID string, usage rosterv1.KeyUsage, at time.Time) (PublicKey, error) {
	r.asked = append(r.asked, at)
	for _, k := range r.keys {
		if id := k.ID(); k.Bureau == b && k.Usage == usage && (id == keyID || KeyHint(id) == keyID) && !r.revoked[id] {
			return k, nil
		}
	}
	return PublicKey{}, errNoKey
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	k, err := GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// table is where BEL and ESP sit opposite each other.
type table struct {
	bel, esp *Signer
	ring     *ring
	at       *Verifier
}

func newTable(t testing.TB) *table {
	t.Helper()
	x := &table{bel: NewSigner(fed, "BEL", newKey(t)), esp: NewSigner(fed, "ESP", newKey(t))}
	x.ring = &ring{keys: []PublicKey{x.bel.PublicKey(), x.esp.PublicKey()}, revoked: map[string]bool{}}
	x.at = NewVerifier(fed, x.ring, func() time.Time { return dawn })
	return x
}

func anAsk() *queryv1.Ask {
	return &queryv1.Ask{
		AskId: "0193c0de-0000-7000-8000-000000000001", Nonce: make([]byte, 16), Audience: "ESP",
		IssuedAt: timestamppb.New(dawn), NotAfter: timestamppb.New(dawn.Add(time.Minute)),
		Requester:     &queryv1.Requester{Bureau: "BEL", Agency: "border-police", Role: "officer"},
		Justification: &queryv1.Justification{Purpose: recordv1.Purpose_PURPOSE_BORDER_CONTROL},
		MaxCandidates: 10,
		Document:      &queryv1.DocumentQuery{Number: "XA0000001", Issuer: "ESP"},
	}
}

func anAnswer() *queryv1.Answer {
	return &queryv1.Answer{
		InReplyTo: make([]byte, 32), AskId: anAsk().GetAskId(), Bureau: "ESP", Audience: "BEL",
		Results:    []*queryv1.CollectionAnswer{{Collection: "documents", Status: queryv1.Status_STATUS_NO_HIT}},
		AnsweredAt: timestamppb.New(dawn),
	}
}

func anOffer() *queryv1.Offer {
	return &queryv1.Offer{Bureau: "ESP", Audience: "BEL", IssuedAt: timestamppb.New(dawn), NotAfter: timestamppb.New(dawn.Add(time.Hour))}
}

func aMeta() *gossipv1.MemberMeta {
	return &gossipv1.MemberMeta{Name: "BEL/1", Address: "ncb.bel.example:7443", Sequence: 7, RosterVersion: 1, IssuedAt: dawn.Unix()}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestPAE holds the encoding to the example in the DSSE specification, protocol.md.
func TestPAE(t *testing.T) {
	const want = "DSSEv1 29 http://example.com/HelloWorld 11 hello world"
	if got := string(PAE("http://example.com/HelloWorld", []byte("hello world"))); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := string(PAE("", nil)); got != "DSSEv1 0  0 " {
		t.Errorf("of nothing: %q", got)
	}
}

// TestDSSEVector checks a signature as another implementation makes it: over the encoding above,
// with a key whose seed is known.
func TestDSSEVector(t *testing.T) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	k := PublicKey{Bureau: "BEL", Algorithm: AlgorithmEd25519, Key: private.Public().(ed25519.PublicKey)}
	sig := ed25519.Sign(private, []byte("DSSEv1 29 http://example.com/HelloWorld 11 hello world"))
	if err := k.Verify("http://example.com/HelloWorld", []byte("hello world"), sig); err != nil {
		t.Error(err)
	}
	if err := k.Verify("http://example.com/HelloWorl", []byte("dhello world"), sig); !errors.Is(err, ErrSignature) {
		t.Errorf("a byte moved from the type to the payload: got %v, want ErrSignature", err)
	}
	for name, bad := range map[string]PublicKey{
		"unknown algorithm": {Algorithm: "ml-dsa-65", Key: k.Key},
		"short key":         {Algorithm: AlgorithmEd25519, Key: k.Key[:31]},
		"no key":            {Algorithm: AlgorithmEd25519},
	} {
		if err := bad.Verify("http://example.com/HelloWorld", []byte("hello world"), sig); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: got %v, want ErrSignature", name, err)
		}
	}
}

func TestKeyID(t *testing.T) {
	sum := sha256.Sum256([]byte("ed25519\x00key"))
	if got, want := KeyID("ed25519", []byte("key")), hex.EncodeToString(sum[:]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if KeyID("ed25519k", []byte("ey")) == KeyID("ed25519", []byte("key")) {
		t.Error("a byte may move from the algorithm to the key")
	}
	if KeyHint("0123456789abcdef01") != "0123456789abcdef" || KeyHint("01") != "01" {
		t.Error("hint")
	}
}

func TestWhatIsSignedIsWhatIsRead(t *testing.T) {
	x := newTable(t)
	ask := must[*signedv1.Signed](t)(x.bel.Ask(anAsk()))
	if got := must[*queryv1.Ask](t)(x.at.Ask(ask, "BEL")); !proto.Equal(got, anAsk()) {
		t.Errorf("ask:\n%s", cmp.Diff(anAsk(), got, protocmp.Transform()))
	}
	if ask.GetPayloadType() != "application/vnd.entente.ask.v1+proto; federation=demo.entente" {
		t.Errorf("payload type %q", ask.GetPayloadType())
	}
	given := anAnswer()
	want := anAnswer()
	want.KeyId = x.esp.KeyID()
	got := must[*queryv1.Answer](t)(x.at.Answer(must[*signedv1.Signed](t)(x.esp.Answer(given)), "ESP"))
	if !proto.Equal(got, want) || given.GetKeyId() != "" {
		t.Errorf("answer:\n%s", cmp.Diff(want, got, protocmp.Transform()))
	}
	if got := must[*queryv1.Offer](t)(x.at.Offer(must[*signedv1.Signed](t)(x.esp.Offer(anOffer())), "ESP")); !proto.Equal(got, anOffer()) {
		t.Errorf("offer:\n%s", cmp.Diff(anOffer(), got, protocmp.Transform()))
	}
	if got := must[*gossipv1.MemberMeta](t)(x.at.MemberMeta(must[*gossipv1.SignedMeta](t)(x.bel.MemberMeta(aMeta())), "BEL")); !proto.Equal(got, aMeta()) {
		t.Errorf("meta:\n%s", cmp.Diff(aMeta(), got, protocmp.Transform()))
	}
	again := must[*signedv1.Signed](t)(x.bel.Ask(anAsk()))
	if !bytes.Equal(PayloadDigest(ask), PayloadDigest(again)) || len(PayloadDigest(ask)) != 32 {
		t.Error("the same ask has another digest")
	}
	for _, at := range x.ring.asked {
		if !at.Equal(dawn) {
			t.Errorf("a key was asked for at %s", at)
		}
	}
}

func TestForgedAsks(t *testing.T) {
	x := newTable(t)
	good := must[*signedv1.Signed](t)(x.bel.Ask(anAsk()))
	change := func(f func(*signedv1.Signed)) *signedv1.Signed {
		s := proto.CloneOf(good)
		f(s)
		return s
	}
	exercise := must[*signedv1.Signed](t)(NewSigner("exercise.entente", "BEL", x.bel.pen.private).Ask(anAsk()))
	governance := must[*signedv1.Signed](t)(NewSigner(fed, "BEL", newKey(t)).Ask(anAsk()))
	foreign := anAsk()
	foreign.Requester.Bureau = "BGR"
	inAnothersName := must[*signedv1.Signed](t)(x.bel.pen.sign(KindAsk, foreign))
	offer := must[*signedv1.Signed](t)(x.esp.Offer(anOffer()))
	for name, tt := range map[string]struct {
		s    *signedv1.Signed
		from identity.Bureau
	}{
		"nothing":                 {nil, "BEL"},
		"said to come from ESP":   {good, "ESP"},
		"one changed byte":        {change(func(s *signedv1.Signed) { s.Payload[len(s.Payload)-1] ^= 1 }), "BEL"},
		"one byte more":           {change(func(s *signedv1.Signed) { s.Payload = append(s.Payload, 0) }), "BEL"},
		"a changed signature":     {change(func(s *signedv1.Signed) { s.Signatures[0].Value[0] ^= 1 }), "BEL"},
		"a cut signature":         {change(func(s *signedv1.Signed) { s.Signatures[0].Value = s.Signatures[0].Value[:63] }), "BEL"},
		"no signature":            {change(func(s *signedv1.Signed) { s.Signatures = nil }), "BEL"},
		"no payload":              {change(func(s *signedv1.Signed) { s.Payload = nil }), "BEL"},
		"of an unknown algorithm": {change(func(s *signedv1.Signed) { s.Signatures[0].Algorithm = "ml-dsa-65" }), "BEL"},
		"with a batch proof":      {change(func(s *signedv1.Signed) { s.Signatures[0].BatchProof = []byte{1} }), "BEL"},
		"by a key's hint":         {change(func(s *signedv1.Signed) { s.Signatures[0].KeyId = KeyHint(s.Signatures[0].KeyId) }), "BEL"},
		"of another federation":   {exercise, "BEL"},
		"relabelled to this federation": {func() *signedv1.Signed {
			s := proto.CloneOf(exercise)
			s.PayloadType = PayloadType(KindAsk, fed)
			return s
		}(), "BEL"},
		"by a key that is not a message key": {governance, "BEL"},
		"in another bureau's name":           {inAnothersName, "BEL"},
		"an offer":                           {offer, "ESP"},
		"an offer relabelled as an ask": {func() *signedv1.Signed {
			s := proto.CloneOf(offer)
			s.PayloadType = PayloadType(KindAsk, fed)
			return s
		}(), "ESP"},
		"with too many signatures": {change(func(s *signedv1.Signed) {
			for range maxMessages {
				s.Signatures = append(s.Signatures, s.Signatures[0])
			}
		}), "BEL"},
		"good beside bad": {change(func(s *signedv1.Signed) {
			bad := proto.CloneOf(s.Signatures[0])
			bad.Value[0] ^= 1
			s.Signatures = append(s.Signatures, bad)
		}), "BEL"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := x.at.Ask(tt.s, tt.from); !errors.Is(err, ErrSignature) || got != nil {
				t.Errorf("got %v, %v; want ErrSignature", got, err)
			}
		})
	}
	x.ring.revoked[x.bel.KeyID()] = true
	if _, err := x.at.Ask(good, "BEL"); !errors.Is(err, ErrSignature) || !errors.Is(err, errNoKey) {
		t.Errorf("with a revoked key: got %v, want ErrSignature and the reason", err)
	}
}

func TestKeysThatAnswerWrongly(t *testing.T) {
	x := newTable(t)
	s := must[*signedv1.Signed](t)(x.bel.Ask(anAsk()))
	for name, k := range map[string]PublicKey{
		"another bureau's key": {Bureau: "ESP", Usage: rosterv1.KeyUsage_KEY_USAGE_MESSAGE, Algorithm: AlgorithmEd25519, Key: x.bel.PublicKey().Key},
		"a governance key":     {Bureau: "BEL", Usage: rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE, Algorithm: AlgorithmEd25519, Key: x.bel.PublicKey().Key},
		"another key":          {Bureau: "BEL", Usage: rosterv1.KeyUsage_KEY_USAGE_MESSAGE, Algorithm: AlgorithmEd25519, Key: x.esp.PublicKey().Key},
		"another algorithm":    {Bureau: "BEL", Usage: rosterv1.KeyUsage_KEY_USAGE_MESSAGE, Algorithm: "ml-dsa-65", Key: x.bel.PublicKey().Key},
	} {
		v := NewVerifier(fed, always{k}, nil)
		if _, err := v.Ask(s, "BEL"); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: got %v, want ErrSignature", name, err)
		}
	}
}

type always struct{ key PublicKey }

func (a always) Key(identity.Bureau, string, rosterv1.KeyUsage, time.Time) (PublicKey, error) {
	return a.key, nil
}

func TestSignatureOfANewKindStandsBesideTheOld(t *testing.T) {
	x := newTable(t)
	s := must[*signedv1.Signed](t)(x.bel.Ask(anAsk()))
	newer := NewSigner(fed, "BEL", newKey(t)) // not in ESP's roster yet
	s.Signatures = append([]*signedv1.Signature{
		{KeyId: strings.Repeat("0", 64), Algorithm: "ml-dsa-65", Value: make([]byte, 3309)},
		newer.pen.signature(s.GetPayloadType(), s.GetPayload()),
	}, s.Signatures...)
	if _, err := x.at.Ask(s, "BEL"); err != nil {
		t.Error(err)
	}
}

func TestMalformedIsNotForged(t *testing.T) {
	x := newTable(t)
	sign := func(payload []byte) *signedv1.Signed {
		pt := PayloadType(KindAsk, fed)
		return &signedv1.Signed{PayloadType: pt, Payload: payload, Signatures: []*signedv1.Signature{x.bel.pen.signature(pt, payload)}}
	}
	noNonce := anAsk()
	noNonce.Nonce = nil
	payload := must[[]byte](t)(proto.Marshal(noNonce))
	for name, s := range map[string]*signedv1.Signed{"no protobuf": sign([]byte{0xff}), "no nonce": sign(payload)} {
		if _, err := x.at.Ask(s, "BEL"); !errors.Is(err, ErrMalformed) || errors.Is(err, ErrSignature) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
}

func TestForgedAnswersAndOffers(t *testing.T) {
	x := newTable(t)
	inAnothersName := anAnswer()
	inAnothersName.Bureau, inAnothersName.KeyId = "BGR", x.esp.KeyID()
	anothersKey := anAnswer()
	anothersKey.KeyId = x.bel.KeyID()
	noKey := anAnswer()
	for name, a := range map[string]*queryv1.Answer{"in another bureau's name": inAnothersName, "naming another key": anothersKey, "naming no key": noKey} {
		s := must[*signedv1.Signed](t)(x.esp.pen.sign(KindAnswer, a))
		if _, err := x.at.Answer(s, "ESP"); !errors.Is(err, ErrSignature) {
			t.Errorf("answer %s: got %v, want ErrSignature", name, err)
		}
	}
	s := must[*signedv1.Signed](t)(x.esp.Answer(anAnswer()))
	s.Payload[10] ^= 1
	if _, err := x.at.Answer(s, "ESP"); !errors.Is(err, ErrSignature) {
		t.Errorf("answer with one changed byte: got %v, want ErrSignature", err)
	}
	o := anOffer()
	o.Bureau = "BGR"
	if _, err := x.at.Offer(must[*signedv1.Signed](t)(x.esp.pen.sign(KindOffer, o)), "ESP"); !errors.Is(err, ErrSignature) {
		t.Errorf("offer in another bureau's name: got %v, want ErrSignature", err)
	}
}

func TestForgedMemberMeta(t *testing.T) {
	x := newTable(t)
	good := must[*gossipv1.SignedMeta](t)(x.bel.MemberMeta(aMeta()))
	if n := proto.Size(good); n > 512 {
		t.Errorf("%d bytes", n)
	}
	moved := aMeta()
	moved.Address = "evil.example:7443"
	sign := func(s *Signer, m *gossipv1.MemberMeta) *gossipv1.SignedMeta {
		signed := must[*signedv1.Signed](t)(s.pen.sign(KindMember, m))
		hint := must[[]byte](t)(hex.DecodeString(KeyHint(s.KeyID())))
		return &gossipv1.SignedMeta{Meta: signed.GetPayload(), Signature: signed.GetSignatures()[0].GetValue(), KeyHint: hint}
	}
	other := aMeta()
	other.Name = "ESP/1"
	nameless := aMeta()
	nameless.Name = "BEL"
	for name, tt := range map[string]struct {
		s    *gossipv1.SignedMeta
		from identity.Bureau
		want error
	}{
		"nothing":                  {nil, "BEL", ErrSignature},
		"said of ESP":              {good, "ESP", ErrSignature},
		"a moved address":          {&gossipv1.SignedMeta{Meta: must[[]byte](t)(proto.Marshal(moved)), Signature: good.Signature, KeyHint: good.KeyHint}, "BEL", ErrSignature},
		"BEL speaks of ESP":        {sign(x.bel, other), "BEL", ErrSignature},
		"ESP speaks for BEL":       {sign(x.esp, aMeta()), "BEL", ErrSignature},
		"no replica":               {sign(x.bel, nameless), "BEL", ErrMalformed},
		"no hint":                  {&gossipv1.SignedMeta{Meta: good.Meta, Signature: good.Signature}, "BEL", ErrSignature},
		"a short signature":        {&gossipv1.SignedMeta{Meta: good.Meta, Signature: good.Signature[:32], KeyHint: good.KeyHint}, "BEL", ErrSignature},
		"larger than gossip takes": {&gossipv1.SignedMeta{Meta: make([]byte, 500), Signature: good.Signature, KeyHint: good.KeyHint}, "BEL", ErrSignature},
	} {
		if _, err := x.at.MemberMeta(tt.s, tt.from); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}

func TestSignerSpeaksForItsBureauAlone(t *testing.T) {
	x := newTable(t)
	foreign, nobody, invalid := anAsk(), anAsk(), anAsk()
	foreign.Requester.Bureau = "ESP"
	nobody.Requester = nil
	invalid.MaxCandidates = 0
	answer := anAnswer()
	answer.KeyId = x.bel.KeyID()
	long, nameless := aMeta(), aMeta()
	long.Address = strings.Repeat("x", 261)
	long.Name = "BEL/" + strings.Repeat("y", 60)
	nameless.Name = "BEL/"
	for name, f := range map[string]func() error{
		"another's ask":     func() error { _, err := x.bel.Ask(foreign); return err },
		"nobody's ask":      func() error { _, err := x.bel.Ask(nobody); return err },
		"an invalid ask":    func() error { _, err := x.bel.Ask(invalid); return err },
		"another's answer":  func() error { _, err := x.bel.Answer(anAnswer()); return err },
		"another's key":     func() error { _, err := x.esp.Answer(answer); return err },
		"another's offer":   func() error { _, err := x.bel.Offer(anOffer()); return err },
		"another's replica": func() error { _, err := x.esp.MemberMeta(aMeta()); return err },
		"no replica":        func() error { _, err := x.bel.MemberMeta(nameless); return err },
		"nil":               func() error { _, err := x.bel.Ask(nil); return err },
	} {
		if err := f(); err == nil {
			t.Errorf("%s is signed", name)
		}
	}
	if s, err := x.bel.MemberMeta(long); err == nil && proto.Size(s) > 512 {
		t.Error("a meta larger than gossip takes")
	}
}

func TestGovernorSignsRostersAlone(t *testing.T) {
	private := newKey(t)
	g := NewGovernor(fed, "BEL", private)
	if g.KeyID() != g.PublicKey().ID() || g.PublicKey().Usage != rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE || g.Bureau() != "BEL" || g.Federation() != fed {
		t.Error("the governor's key")
	}
	bureau := &rosterv1.Bureau{
		Bureau: "BEL", Address: "ncb.bel.example:7443", CaRoots: [][]byte{make([]byte, 64)},
		Keys: []*rosterv1.Key{{Usage: rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE, Algorithm: AlgorithmEd25519, Key: g.PublicKey().Key}},
	}
	r := &rosterv1.Roster{Federation: string(fed), Version: 1, Threshold: 1, Bureaus: []*rosterv1.Bureau{bureau}, IssuedAt: timestamppb.New(dawn), ExpiresAt: timestamppb.New(dawn.Add(time.Hour))}
	payload := must[[]byte](t)(proto.Marshal(r))
	sig := must[*signedv1.Signature](t)(g.Roster(payload))
	if err := g.PublicKey().Verify(PayloadType(KindRoster, fed), payload, sig.GetValue()); err != nil {
		t.Error(err)
	}
	if err := g.PublicKey().Verify(PayloadType(KindJoin, fed), payload, sig.GetValue()); !errors.Is(err, ErrSignature) {
		t.Errorf("a roster's signature holds for a join request: %v", err)
	}
	ask := must[[]byte](t)(proto.Marshal(anAsk()))
	for name, b := range map[string][]byte{"an ask": ask, "nothing": nil, "noise": {0xff}} {
		if _, err := g.Roster(b); err == nil {
			t.Errorf("%s is signed as a roster", name)
		}
	}
	r.Federation = "exercise.entente"
	if _, err := g.Roster(must[[]byte](t)(proto.Marshal(r))); err == nil {
		t.Error("a roster of another federation is signed")
	}
	join := func() *rosterv1.JoinRequest {
		return &rosterv1.JoinRequest{Federation: string(fed), Bureau: proto.CloneOf(bureau), IssuedAt: timestamppb.New(dawn)}
	}
	if _, err := g.JoinRequest(join()); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*rosterv1.JoinRequest){
		"another federation": func(j *rosterv1.JoinRequest) { j.Federation = "exercise.entente" },
		"another bureau":     func(j *rosterv1.JoinRequest) { j.Bureau.Bureau = "ESP" },
		"another key":        func(j *rosterv1.JoinRequest) { j.Bureau.Keys[0].Key = make([]byte, 32) },
		"a message key":      func(j *rosterv1.JoinRequest) { j.Bureau.Keys[0].Usage = rosterv1.KeyUsage_KEY_USAGE_MESSAGE },
		"no bureau":          func(j *rosterv1.JoinRequest) { j.Bureau = nil },
	} {
		j := join()
		spoil(j)
		if _, err := g.JoinRequest(j); err == nil {
			t.Errorf("join request with %s is signed", name)
		}
	}
}

// FuzzVerifier: whatever arrives, there is no panic, and nothing is believed that BEL did not
// sign.
func FuzzVerifier(f *testing.F) {
	x := newTable(f)
	signed := must[*signedv1.Signed](f)(x.bel.Ask(anAsk()))
	f.Add(must[[]byte](f)(proto.Marshal(signed)))
	meta := must[*gossipv1.SignedMeta](f)(x.bel.MemberMeta(aMeta()))
	f.Add(must[[]byte](f)(proto.Marshal(meta)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s signedv1.Signed
		if proto.Unmarshal(b, &s) == nil {
			if _, err := x.at.Ask(&s, "BEL"); err == nil && !bytes.Equal(s.GetPayload(), signed.GetPayload()) {
				t.Error("believed an ask that was not signed")
			}
		}
		var m gossipv1.SignedMeta
		if proto.Unmarshal(b, &m) == nil {
			if _, err := x.at.MemberMeta(&m, "BEL"); err == nil && !bytes.Equal(m.GetMeta(), meta.GetMeta()) {
				t.Error("believed a statement that was not signed")
			}
		}
	})
}

func BenchmarkSignAsk(b *testing.B) {
	x, m := newTable(b), anAsk()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.bel.Ask(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyAsk(b *testing.B) {
	x := newTable(b)
	s := must[*signedv1.Signed](b)(x.bel.Ask(anAsk()))
	v := NewVerifier(fed, always{x.bel.PublicKey()}, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Ask(s, "BEL"); err != nil {
			b.Fatal(err)
		}
	}
}

func ExamplePayloadType() {
	fmt.Println(PayloadType(KindAnswer, "demo.entente"))
	// Output: application/vnd.entente.answer.v1+proto; federation=demo.entente
}

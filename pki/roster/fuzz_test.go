package roster

import (
	"testing"

	"google.golang.org/protobuf/proto"

	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// FuzzFiles: whatever a file holds, decoding it ends without a panic, and what is accepted can
// be written and read again.
func FuzzFiles(f *testing.F) {
	m := newMesh(f, "BEL", "ESP")
	s := m.found(f, 2, dawn)
	roster, err := EncodeRoster(s)
	if err != nil {
		f.Fatal(err)
	}
	join, err := EncodeJoinRequest(m["BEL"].join(f))
	if err != nil {
		f.Fatal(err)
	}
	sig, err := EncodeSignature(s.GetSignatures()[0])
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{roster, join, sig, EncodeDraft(s.GetPayload()), append(sig, sig...), nil, []byte("-----BEGIN ENTENTE ROSTER-----")} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if all, err := DecodeRosters(b); err == nil {
			text, err := EncodeRoster(all[0])
			if err != nil {
				t.Fatal(err)
			}
			if again, err := DecodeRoster(text); err != nil || !proto.Equal(all[0], again) {
				t.Errorf("roster does not survive: %v", err)
			}
		}
		if payload, _, err := DecodeDraft(b); err == nil {
			if again, _, err := DecodeDraft(EncodeDraft(payload)); err != nil || string(again) != string(payload) {
				t.Errorf("draft does not survive: %v", err)
			}
		}
		if _, err := DecodeSignatures(b); err != nil {
			_, _, _ = ReadJoinRequest(b)
		}
	})
}

// FuzzPayloads: whatever is in a payload, nothing is a roster or a join request without the
// right signatures.
func FuzzPayloads(f *testing.F) {
	m := newMesh(f, "BEL", "ESP")
	first, join := m.found(f, 2, dawn), m["BEL"].join(f)
	f.Add(first.GetPayload())
	f.Add(join.GetPayload())
	f.Fuzz(func(t *testing.T, payload []byte) {
		s := &signedv1.Signed{PayloadType: PayloadType(fed), Payload: payload, Signatures: first.GetSignatures()}
		if _, err := VerifyFirst(s, fed, dawn); err == nil && string(payload) != string(first.GetPayload()) {
			t.Error("a roster that nobody signed")
		}
		s = &signedv1.Signed{PayloadType: JoinPayloadType(fed), Payload: payload, Signatures: join.GetSignatures()}
		if _, err := VerifyJoinRequest(s); err == nil && string(payload) != string(join.GetPayload()) {
			t.Error("a join request that nobody signed")
		}
		if _, err := Merge(payload, first.GetSignatures()...); err == nil && string(payload) != string(first.GetPayload()) {
			// Version 2 and later may carry signatures that only VerifyNext can judge.
			if r, err := parse(payload); err != nil || r.GetVersion() == 1 {
				t.Error("merged what nobody signed")
			}
		}
	})
}

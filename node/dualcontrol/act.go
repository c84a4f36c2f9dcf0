package dualcontrol

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// actVersion is the form in which an act is kept.
const actVersion = 1

// act is something that one person wants and a second one may have approved.
type act struct {
	Version   int       `json:"version"`
	ID        string    `json:"id"`
	Operation string    `json:"operation"`
	Digest    string    `json:"digest"` // of the exact request, hex
	Summary   string    `json:"summary"`
	Wanted    person    `json:"wanted"`
	WantedAt  time.Time `json:"wanted_at"`
	// ExpiresAt is until when it can be approved, and once it is, until when it can be done.
	ExpiresAt  time.Time `json:"expires_at"`
	Approved   *person   `json:"approved,omitempty"`
	ApprovedAt time.Time `json:"approved_at,omitzero"`
}

// person is a client as it called.
type person struct {
	SPIFFEID string `json:"spiffe_id"`
	Agency   string `json:"agency"`
	Name     string `json:"name"`
	Key      string `json:"key"` // SHA-256 of the certificate's public key, hex
}

// samePerson tells whether two clients are, as far as can be seen, one person: one SPIFFE ID with
// whatever certificates, one service number in two roles of an agency, or one key, that is one
// card, under two names.
func (p person) samePerson(q person) bool {
	return p.SPIFFEID == q.SPIFFEID || p.Agency == q.Agency && p.Name == q.Name || p.Key == q.Key
}

// account is under what a person's rows are counted: in all roles of the agency together.
func (p person) account() string { return p.Agency + "/" + p.Name }

// same tells whether two acts are one: this operation, with this request, wanted by this client,
// with whatever certificate.
func (a act) same(b act) bool {
	return a.Operation == b.Operation && a.Digest == b.Digest && a.Wanted.SPIFFEID == b.Wanted.SPIFFEID
}

// approvedFor tells whether a second person has approved the act for who does it now. The key may
// be another than when it was wanted, so it is compared once more.
func (a act) approvedFor(p person) bool { return a.Approved != nil && !a.Approved.samePerson(p) }

// clockStep is by how much a clock may be set back under an act that waits. More of it, and the act
// would outlive its time.
const clockStep = time.Minute

// over tells whether the act's time has run out.
func (a act) over(now time.Time) bool {
	return !now.Before(a.ExpiresAt) || now.Before(a.WantedAt.Add(-clockStep))
}

func (a act) message() *adminv1.Act {
	m := &adminv1.Act{
		ActId: a.ID, Operation: a.Operation, Summary: a.Summary, WantedBy: a.Wanted.SPIFFEID,
		WantedAt: timestamppb.New(a.WantedAt), ExpiresAt: timestamppb.New(a.ExpiresAt),
	}
	if a.Approved != nil {
		m.ApprovedBy = a.Approved.SPIFFEID
	}
	return m
}

func (a act) encode() ([]byte, error) { return json.Marshal(a) }

// decodeAct reads the act that lies under an id.
func decodeAct(id string, b []byte) (act, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var a act
	if err := d.Decode(&a); err != nil {
		return act{}, fmt.Errorf("unreadable: %w", err)
	}
	switch {
	case d.More():
		return act{}, errors.New("unreadable: more than one act")
	case a.Version != actVersion:
		return act{}, fmt.Errorf("version %d, this program reads %d", a.Version, actVersion)
	case a.ID != id:
		return act{}, errors.New("it lies under another act's id")
	case a.Operation == "" || a.Digest == "" || a.Wanted.SPIFFEID == "" || a.Wanted.Key == "" || a.Approved != nil && (a.Approved.SPIFFEID == "" || a.Approved.Key == ""):
		return act{}, errors.New("a part of it is missing")
	}
	return a, nil
}

// caller is who calls, with the key of the certificate that the call came with.
func caller(ctx context.Context, id identity.Identity) (person, error) {
	leaf, ok := mtls.PeerCertificate(ctx)
	if !ok || id.Kind != identity.KindClient {
		return person{}, errors.New("act of two persons: the call has no client's certificate")
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != id.String() {
		return person{}, errors.New("act of two persons: the call's certificate is somebody else's")
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return person{SPIFFEID: id.String(), Agency: id.Agency, Name: id.Name, Key: hex.EncodeToString(sum[:])}, nil
}

// bounded makes a summary legible and cuts it to its bound, at a character.
func bounded(s string) string {
	s = Legible(strings.ToValidUTF8(s, "?"))
	if len(s) <= maxSummary {
		return s
	}
	s = s[:maxSummary]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}

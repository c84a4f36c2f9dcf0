package register

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/identity"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// rowVersion is the form in which a row is kept.
const rowVersion = 1

// row is one client. It is not changed once it is in force; a change is a new row.
type row struct {
	Version  int      `json:"version"`
	Agency   string   `json:"agency"`
	Role     string   `json:"role"`
	Name     string   `json:"name"`
	Purposes []string `json:"purposes,omitempty"` // by word
	// EnrolledBy is empty for whom init enrolled, or somebody before the register was kept.
	EnrolledAt time.Time `json:"enrolled_at"`
	EnrolledBy string    `json:"enrolled_by,omitempty"`
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
	RevokedBy  string    `json:"revoked_by,omitempty"`
	Reason     string    `json:"reason,omitempty"`
	// Only are the certificates that are good, of a client that was enrolled again after it was
	// revoked: those from before lie with whoever they were revoked for. Nil: all that the
	// authority has issued to it.
	Only []certificate `json:"only,omitempty"`
}

// certificate is a leaf, by its serial number.
type certificate struct {
	Serial   string    `json:"serial"`
	NotAfter time.Time `json:"not_after"`
}

func certificateOf(leaf *x509.Certificate) certificate {
	return certificate{Serial: leaf.SerialNumber.String(), NotAfter: leaf.NotAfter.UTC()}
}

func newRow(id identity.Identity, at time.Time) row {
	return row{
		Version: rowVersion, Agency: id.Agency, Role: string(id.Role), Name: id.Name,
		Purposes: union(nil, id.Purposes), EnrolledAt: at.UTC(),
	}
}

// good tells whether a certificate of this client is heard.
func (c row) good(leaf *x509.Certificate) bool {
	if !c.RevokedAt.IsZero() {
		return false
	}
	return c.Only == nil || slices.ContainsFunc(c.Only, func(x certificate) bool { return x.Serial == leaf.SerialNumber.String() })
}

func (c row) identity(f identity.Federation, b identity.Bureau) (identity.Identity, error) {
	id := identity.Client(f, b, c.Agency, identity.Role(c.Role), c.Name, nil)
	return id, id.Validate()
}

func (c row) message() *pkiv1.Client {
	m := &pkiv1.Client{
		Agency: c.Agency, Role: c.Role, Name: c.Name, Purposes: slices.Clone(c.Purposes),
		EnrolledAt: timestamppb.New(c.EnrolledAt), EnrolledBy: c.EnrolledBy, RevokedReason: c.Reason,
	}
	if !c.RevokedAt.IsZero() {
		m.RevokedAt = timestamppb.New(c.RevokedAt)
	}
	return m
}

func (c row) encode() ([]byte, error) { return json.Marshal(c) }

// decodeRow reads a row. It refuses what it does not know: a field that is passed over could be the
// one that revokes.
func decodeRow(b []byte) (row, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var c row
	if err := d.Decode(&c); err != nil {
		return row{}, fmt.Errorf("unreadable: %w", err)
	}
	if d.More() {
		return row{}, errors.New("unreadable: more than one row")
	}
	if c.Version != rowVersion {
		return row{}, fmt.Errorf("version %d, this program reads %d", c.Version, rowVersion)
	}
	for _, word := range c.Purposes {
		if _, err := identity.ParsePurpose(word); err != nil {
			return row{}, err
		}
	}
	return c, nil
}

// union adds purposes to words, each once, in the order of the words.
func union(words []string, purposes []recordv1.Purpose) []string {
	all := slices.Clone(words)
	for _, p := range purposes {
		all = append(all, identity.PurposeName(p))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// intersection returns the purposes that stand among the words, in their own order.
func intersection(purposes []recordv1.Purpose, words []string) []recordv1.Purpose {
	var both []recordv1.Purpose
	for _, p := range purposes {
		if slices.Contains(words, identity.PurposeName(p)) {
			both = append(both, p)
		}
	}
	return both
}

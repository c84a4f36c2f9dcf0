package authority

import (
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/smallstep/certificates/db"
)

// certificatesTable is where smallstep's database keeps what was issued, by serial number.
const certificatesTable = "x509_certs"

// Issued returns every leaf that the local intermediate has issued to a client and that is still
// in its time, revoked or not, in no order. It reads the whole of what was ever issued: it is for
// the start of a node, not for a call.
func (a *Authority) Issued() ([]*x509.Certificate, error) {
	database, ok := a.local.step.GetDatabase().(*db.DB)
	if !ok {
		return nil, errors.New("the authority's database cannot list what was issued")
	}
	entries, err := database.List([]byte(certificatesTable))
	if err != nil {
		return nil, fmt.Errorf("list what the authority has issued: %w", err)
	}
	now := a.now()
	var leaves []*x509.Certificate
	for _, e := range entries {
		leaf, err := x509.ParseCertificate(e.Value)
		if err != nil {
			return nil, fmt.Errorf("certificate %s in the authority's database: %w", e.Key, err)
		}
		if !leaf.IsCA && !now.After(leaf.NotAfter) {
			leaves = append(leaves, leaf)
		}
	}
	return leaves, nil
}

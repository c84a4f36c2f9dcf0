// Package identity says who is who: it binds SPIFFE IDs to bureaus, agencies and roles, and is
// the only reader of names in certificates.
//
// Every country is a SPIFFE trust domain below the federation's name. A node is
// spiffe://bel.demo.entente/node/1, a client
// spiffe://bel.demo.entente/agency/border-police/officer/jansen. It does not verify chains
// (pki/mtls does) and knows no keys.
//
// One flow: a connection arrives, mtls verifies its chain against the roots of the trust domain
// that the leaf names, FromCertificate turns the leaf into an Identity, and everything behind
// the listener works with that.
package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Bureau is the id of a national central bureau, or of an organisation with the same standing:
// ISO 3166-1 alpha-3, or an organisation's code of ICAO Doc 9303-3 section 5 (UNO, XPO).
type Bureau string

var bureauPattern = regexp.MustCompile(`^[A-Z]{3}$`)

// ParseBureau returns the bureau of a three-letter id. It checks the form alone: which bureaus
// exist is the roster's to say.
func ParseBureau(s string) (Bureau, error) {
	if !bureauPattern.MatchString(s) {
		return "", fmt.Errorf("bureau id %q: give three capital letters, ISO 3166-1 alpha-3 (BEL) or an organisation's code of Doc 9303-3 (UNO)", s)
	}
	return Bureau(s), nil
}

// Federation is a federation's name: a DNS name in lower case, below which every bureau has its
// trust domain.
type Federation string

var federationPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// ParseFederation checks the form of a federation's name.
func ParseFederation(s string) (Federation, error) {
	if len(s) > 200 || !federationPattern.MatchString(s) {
		return "", fmt.Errorf("federation name %q: give a DNS name in lower case, for example demo.entente", s)
	}
	return Federation(s), nil
}

// TrustDomain is the SPIFFE trust domain of a bureau: "bel.demo.entente".
func TrustDomain(b Bureau, f Federation) string {
	return strings.ToLower(string(b)) + "." + string(f)
}

// Role is what a client may do at its own node.
type Role string

// The roles. A certificate holds exactly one.
const (
	RoleOfficer     Role = "officer"
	RoleSystem      Role = "system"
	RoleAnalyst     Role = "analyst"
	RoleDutyOfficer Role = "duty-officer"
	RoleOperator    Role = "operator"
	RolePKIAdmin    Role = "pki-admin"
	RoleAuditor     Role = "auditor"
	// RoleRecordsOfficer keeps records by hand, and erases them.
	RoleRecordsOfficer Role = "records-officer"
)

// Roles returns all roles.
func Roles() []Role {
	return []Role{RoleOfficer, RoleSystem, RoleAnalyst, RoleDutyOfficer, RoleOperator, RolePKIAdmin, RoleAuditor, RoleRecordsOfficer}
}

// Kind tells a node from a client.
type Kind int

// The kinds of identity. The zero value is nobody.
const (
	KindNone Kind = iota
	KindNode
	KindClient
)

// Identity is who stands behind a certificate.
type Identity struct {
	Kind       Kind
	Federation Federation
	Bureau     Bureau
	Replica    string // of a node
	Agency     string // of a client
	Role       Role   // of a client
	Name       string // of a client: a pseudonym or a system's name
	// Purposes are what a client may claim, from its certificate, in the order of their numbers.
	// Nil for a node.
	Purposes []recordv1.Purpose
}

// Node is the identity of a bureau's node.
func Node(f Federation, b Bureau, replica string) Identity {
	return Identity{Kind: KindNode, Federation: f, Bureau: b, Replica: replica}
}

// Client is the identity of a client of a bureau.
func Client(f Federation, b Bureau, agency string, role Role, name string, purposes []recordv1.Purpose) Identity {
	return Identity{Kind: KindClient, Federation: f, Bureau: b, Agency: agency, Role: role, Name: name, Purposes: purposes}
}

var segmentPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)

// Validate checks every part of the identity, and says which one is wrong.
func (id Identity) Validate() error {
	if _, err := ParseBureau(string(id.Bureau)); err != nil {
		return err
	}
	if _, err := ParseFederation(string(id.Federation)); err != nil {
		return err
	}
	segment := func(field, s string) error {
		if !segmentPattern.MatchString(s) {
			return fmt.Errorf("%s %q: give 1 to 64 lower-case letters, digits, dots, dashes or underscores", field, s)
		}
		return nil
	}
	switch id.Kind {
	case KindNode:
		return segment("replica", id.Replica)
	case KindClient:
		if !slices.Contains(Roles(), id.Role) {
			return fmt.Errorf("role %q: give one of %v", id.Role, Roles())
		}
		return errors.Join(segment("agency", id.Agency), segment("client name", id.Name))
	default:
		return errors.New("identity of no kind")
	}
}

// URI is the SPIFFE ID.
func (id Identity) URI() *url.URL {
	u := &url.URL{Scheme: "spiffe", Host: TrustDomain(id.Bureau, id.Federation)}
	if id.Kind == KindNode {
		u.Path = "/node/" + id.Replica
	} else {
		u.Path = "/agency/" + id.Agency + "/" + string(id.Role) + "/" + id.Name
	}
	return u
}

// String is the SPIFFE ID as text.
func (id Identity) String() string { return id.URI().String() }

// Parse returns the identity that a SPIFFE ID names, without purposes. It fails for another
// federation, for another path and for anything that is not in its one normal form.
func Parse(spiffeID string, f Federation) (Identity, error) {
	u, err := url.Parse(spiffeID)
	if err != nil {
		return Identity{}, fmt.Errorf("SPIFFE ID: %w", err)
	}
	country, ok := strings.CutSuffix(u.Host, "."+string(f))
	if !ok || len(country) != 3 || country != strings.ToLower(country) {
		return Identity{}, fmt.Errorf("SPIFFE ID %q: not a bureau's trust domain of the federation %s", spiffeID, f)
	}
	id := Identity{Federation: f, Bureau: Bureau(strings.ToUpper(country))}
	parts := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	switch {
	case len(parts) == 2 && parts[0] == "node":
		id.Kind, id.Replica = KindNode, parts[1]
	case len(parts) == 4 && parts[0] == "agency":
		id.Kind, id.Agency, id.Role, id.Name = KindClient, parts[1], Role(parts[2]), parts[3]
	default:
		return Identity{}, fmt.Errorf("SPIFFE ID %q: the path is neither /node/<replica> nor /agency/<agency>/<role>/<name>", spiffeID)
	}
	if err := id.Validate(); err != nil {
		return Identity{}, fmt.Errorf("SPIFFE ID %q: %w", spiffeID, err)
	}
	// One identity has one spelling: no user, port, query, escapes or doubled slashes.
	if id.String() != spiffeID {
		return Identity{}, fmt.Errorf("SPIFFE ID %q: not in normal form, expected %q", spiffeID, id)
	}
	return id, nil
}

// PurposeUnitPrefix begins the organizational units of a client certificate that name a
// purpose its holder may claim: "purpose:border-control".
const PurposeUnitPrefix = "purpose:"

// FromCertificate returns the identity in a leaf whose chain has been verified. The leaf must
// hold exactly one URI and no other alternative name (X509-SVID, section 2); its purposes stand
// in the subject's organizational units.
func FromCertificate(leaf *x509.Certificate, f Federation) (Identity, error) {
	if leaf.IsCA {
		return Identity{}, errors.New("certificate: a CA certificate is no identity")
	}
	if len(leaf.URIs) != 1 || len(leaf.DNSNames)+len(leaf.EmailAddresses)+len(leaf.IPAddresses) != 0 {
		return Identity{}, fmt.Errorf("certificate: %d URIs and %d other names, expected one SPIFFE ID alone",
			len(leaf.URIs), len(leaf.DNSNames)+len(leaf.EmailAddresses)+len(leaf.IPAddresses))
	}
	id, err := Parse(leaf.URIs[0].String(), f)
	if err != nil {
		return Identity{}, err
	}
	if id.Kind != KindClient {
		return id, nil
	}
	for _, unit := range leaf.Subject.OrganizationalUnit {
		name, ok := strings.CutPrefix(unit, PurposeUnitPrefix)
		if !ok {
			continue
		}
		p, err := ParsePurpose(name)
		if err != nil {
			return Identity{}, fmt.Errorf("certificate: %w", err)
		}
		id.Purposes = append(id.Purposes, p)
	}
	// The units are a set (DER sorts them by their bytes): give purposes one order.
	slices.Sort(id.Purposes)
	id.Purposes = slices.Compact(id.Purposes)
	return id, nil
}

package identity

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

const demo = Federation("demo.entente")

func TestParseIsTheInverseOfString(t *testing.T) {
	for _, id := range []Identity{
		Node(demo, "BEL", "1"),
		Node(demo, "UNO", "geneva-2"),
		Client(demo, "BGR", "border-police", RoleOfficer, "desk-4", nil),
		Client(demo, "LBN", "gs", RolePKIAdmin, "k.a_1", nil),
	} {
		got, err := Parse(id.String(), demo)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if diff := cmp.Diff(id, got); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
}

func TestParseRefusesEverySecondSpelling(t *testing.T) {
	for _, s := range []string{
		"",
		"spiffe://bel.demo.entente",
		"spiffe://bel.demo.entente/",
		"spiffe://bel.demo.entente/node",
		"spiffe://bel.demo.entente/node/",
		"spiffe://bel.demo.entente/node/1/",
		"spiffe://bel.demo.entente/node/1/2",
		"spiffe://bel.demo.entente//node/1",
		"spiffe://bel.demo.entente/node/%31",
		"spiffe://bel.demo.entente/node/1?x=1",
		"spiffe://bel.demo.entente/node/1?",
		"spiffe://bel.demo.entente/node/1#f",
		"spiffe://bel.demo.entente/node/..",
		"spiffe://bel.demo.entente/Node/1",
		"spiffe://BEL.demo.entente/node/1",
		"spiffe://Bel.demo.entente/node/1",
		"SPIFFE://bel.demo.entente/node/1",
		"https://bel.demo.entente/node/1",
		"spiffe://user@bel.demo.entente/node/1",
		"spiffe://bel.demo.entente:443/node/1",
		"spiffe://bel.demo.entente./node/1",
		"spiffe://demo.entente/node/1",
		"spiffe://belg.demo.entente/node/1",
		"spiffe://b3l.demo.entente/node/1",
		"spiffe://x.bel.demo.entente/node/1",
		"spiffe://bel.other.entente/node/1",
		"spiffe://bel.notdemo.entente/node/1",
		"spiffe://bel.demo.entente.evil.example/node/1",
		"spiffe://bel.demo.entente/agency/border-police/officer",
		"spiffe://bel.demo.entente/agency/border-police/minister/x",
		"spiffe://bel.demo.entente/agency//officer/x",
		"spiffe://bel.demo.entente/node/" + strings.Repeat("a", 65),
	} {
		if id, err := Parse(s, demo); err == nil {
			t.Errorf("Parse(%q) = %s", s, id)
		}
	}
}

func TestFromCertificate(t *testing.T) {
	uri := func(s string) []*url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return []*url.URL{u}
	}
	officer := "spiffe://bgr.demo.entente/agency/border-police/officer/desk-4"
	units := func(u ...string) pkix.Name { return pkix.Name{OrganizationalUnit: u} }

	got, err := FromCertificate(&x509.Certificate{
		URIs:    uri(officer),
		Subject: units("purpose:visa", "Kalotina", "purpose:border-control", "purpose:visa"),
	}, demo)
	if err != nil {
		t.Fatal(err)
	}
	want := Client(demo, "BGR", "border-police", RoleOfficer, "desk-4",
		[]recordv1.Purpose{recordv1.Purpose_PURPOSE_BORDER_CONTROL, recordv1.Purpose_PURPOSE_VISA})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	node, err := FromCertificate(&x509.Certificate{URIs: uri("spiffe://bel.demo.entente/node/1"), Subject: units("purpose:arrest")}, demo)
	if err != nil {
		t.Fatal(err)
	}
	if node.Purposes != nil {
		t.Errorf("a node holds purposes: %v", node.Purposes)
	}

	for name, leaf := range map[string]*x509.Certificate{
		"a CA":               {URIs: uri(officer), IsCA: true},
		"no name":            {},
		"two SPIFFE IDs":     {URIs: append(uri(officer), uri("spiffe://bel.demo.entente/node/1")...)},
		"a DNS name beside":  {URIs: uri(officer), DNSNames: []string{"bel.example"}},
		"an address beside":  {URIs: uri(officer), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}},
		"a mail beside":      {URIs: uri(officer), EmailAddresses: []string{"x@bel.example"}},
		"an unknown purpose": {URIs: uri(officer), Subject: units("purpose:everything")},
		"other federation":   {URIs: uri("spiffe://bel.other.entente/node/1")},
	} {
		if id, err := FromCertificate(leaf, demo); err == nil {
			t.Errorf("%s: accepted as %s", name, id)
		}
	}
}

func TestValidate(t *testing.T) {
	for name, id := range map[string]Identity{
		"zero value":       {},
		"bureau too short": Node(demo, "BE", "1"),
		"bureau in lower":  Node(demo, "bel", "1"),
		"empty replica":    Node(demo, "BEL", ""),
		"replica escapes":  Node(demo, "BEL", "../2"),
		"no federation":    Node("", "BEL", "1"),
		"capitals":         Node("Demo.Entente", "BEL", "1"),
		"unknown role":     Client(demo, "BEL", "police", "minister", "x", nil),
		"agency escapes":   Client(demo, "BEL", "a/b", RoleOfficer, "x", nil),
		"no client name":   Client(demo, "BEL", "police", RoleOfficer, "", nil),
		"name with blanks": Client(demo, "BEL", "police", RoleOfficer, "jan jansen", nil),
	} {
		if err := id.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPurposes(t *testing.T) {
	all := Purposes()
	if len(all) != len(recordv1.Purpose_name)-1 || !slices.IsSorted(all) || slices.Contains(all, recordv1.Purpose_PURPOSE_UNSPECIFIED) {
		t.Errorf("Purposes() = %v", all)
	}
	for _, p := range all {
		got, err := ParsePurpose(PurposeName(p))
		if err != nil || got != p {
			t.Errorf("ParsePurpose(%q) = %v, %v", PurposeName(p), got, err)
		}
	}
	for _, name := range []string{"", "unspecified", "BORDER-CONTROL", "border_control"} {
		if p, err := ParsePurpose(name); err == nil {
			t.Errorf("ParsePurpose(%q) = %v", name, p)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("spiffe://bel.demo.entente/node/1")
	f.Add("spiffe://bgr.demo.entente/agency/border-police/officer/desk-4")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := Parse(s, demo)
		if err != nil {
			return
		}
		if err := id.Validate(); err != nil {
			t.Errorf("%q: parsed, but %v", s, err)
		}
		if id.String() != s {
			t.Errorf("%q has a second spelling %q", s, id)
		}
	})
}

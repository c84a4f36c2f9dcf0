package mtls

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
)

// TestForgeries holds every lock of a handshake against a key that must not fit. BEL and ESP
// are in the roster, LBN is not; BEL is the node that is knocked at.
func TestForgeries(t *testing.T) {
	bel, esp, lbn := newCountry(t, "BEL"), newCountry(t, "ESP"), newCountry(t, "LBN")
	roster := newBook(bel, esp)
	fixed := func() time.Time { return noon }
	options := Options{Now: fixed}
	mesh := MeshServer(NewLeaf(nil), roster, options).Verifier()
	toESP := MeshClient(NewLeaf(nil), roster, "ESP", options).Verifier()
	local := LocalServer(NewLeaf(nil), Own(demo, "BEL", bel.pool()), "BEL", options).Verifier()
	officersTool := LocalClient(NewLeaf(nil), Own(demo, "BEL", bel.pool()), "BEL", options).Verifier()

	belNode := identity.Node(demo, "BEL", "1").String()
	espNode := identity.Node(demo, "ESP", "1").String()
	belOfficer := identity.Client(demo, "BEL", "border-police", identity.RoleOfficer, "desk-4", nil).String()
	server, client := x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth

	// Authorities that do not keep the rules. ESP's root here has no name constraint: that
	// peers do not need to trust in it is the point.
	lawless := issue(t, nil, caTemplate("ESP root"))
	lawlessMesh := issue(t, lawless, caTemplate("ESP mesh", meshUses...))
	lawlessRoster := newBook(bel)
	lawlessRoster.replace("ESP", poolOf(lawless))
	meshWithLawless := MeshServer(NewLeaf(nil), lawlessRoster, options).Verifier()

	subordinate := func(issuer *ca, uses ...x509.ExtKeyUsage) *ca {
		return issue(t, issuer, caTemplate("subordinate", uses...))
	}
	mutate := func(template *x509.Certificate, f func(*x509.Certificate)) *x509.Certificate {
		f(template)
		return template
	}
	silent := subordinate(esp.root)
	everything := subordinate(esp.root, x509.ExtKeyUsageAny)
	belowLocal := subordinate(esp.local, meshUses...)
	belowMesh := subordinate(bel.mesh, localUses...)
	expiredMesh := issue(t, esp.root, mutate(caTemplate("old", meshUses...), func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Hour) }))

	for _, tt := range []struct {
		name string
		at   *Verifier
		with credential
		want Reason // empty: admitted
	}{
		{"a node of ESP at BEL's mesh listener", mesh, esp.node(t), ""},
		{"another replica of BEL's own", mesh, bel.node(t), ""},
		{"ESP's node, dialled", toESP, esp.node(t), ""},
		{"an officer of BEL at the local listener", local, bel.officer(t), ""},
		{"BEL's node, seen by BEL's officer", officersTool, bel.node(t), ""},
		{"ESP's node sends its root along", mesh, under(t, esp.mesh, leafTemplate(t, espNode, meshUses...), esp.mesh, esp.root), ""},

		{"nothing", mesh, credential{}, ReasonNoCertificate},
		{"a bureau that is not in the roster", mesh, lbn.node(t), ReasonNotTrusted},
		{"a chain without end", mesh, under(t, esp.mesh, leafTemplate(t, espNode, meshUses...), esp.mesh, esp.mesh, esp.mesh, esp.mesh, esp.mesh), ReasonBadChain},
		{"the intermediate is missing", mesh, under(t, esp.mesh, leafTemplate(t, espNode, meshUses...)), ReasonBadChain},

		// One country's authority speaks for another.
		{"BEL's name from ESP's mesh authority", mesh, under(t, esp.mesh, leafTemplate(t, belNode, meshUses...), esp.mesh), ReasonBadChain},
		{"BEL's name from ESP's authority without constraints", meshWithLawless, under(t, lawlessMesh, leafTemplate(t, belNode, meshUses...), lawlessMesh, lawless), ReasonBadChain},
		{"ESP's name from that authority is its own", meshWithLawless, under(t, lawlessMesh, leafTemplate(t, espNode, meshUses...), lawlessMesh), ""},
		{"ESP's name from an authority in no roster", mesh, under(t, lbn.mesh, leafTemplate(t, espNode, meshUses...), lbn.mesh, lbn.root), ReasonBadChain},
		{"ESP's name, signed by itself", mesh, under(t, nil, leafTemplate(t, espNode, meshUses...)), ReasonBadChain},
		{"ESP's intermediate, LBN's signature", mesh, credential{chain: []*x509.Certificate{lbn.node(t).chain[0], esp.mesh.cert}}, ReasonNotTrusted},
		{"BEL answers where ESP was dialled", toESP, bel.node(t), ReasonWrongPeer},
		{"ESP's node at BEL's officer", officersTool, esp.node(t), ReasonWrongPeer},

		// The wrong listener.
		{"an officer of BEL at the mesh listener", mesh, bel.officer(t), ReasonWrongListener},
		{"an officer of ESP at the mesh listener", mesh, esp.officer(t), ReasonWrongListener},
		{"a node of BEL at the local listener", local, bel.node(t), ReasonWrongListener},
		{"a node of ESP at the local listener", local, esp.node(t), ReasonWrongListener},
		{"an officer of ESP at BEL's local listener", local, esp.officer(t), ReasonWrongListener},
		{"an officer of BEL from ESP's authority", local, under(t, esp.local, leafTemplate(t, belOfficer, client), esp.local, esp.root), ReasonBadChain},
		{"an officer answers BEL's officer", officersTool, bel.officer(t), ReasonWrongListener},

		// The wrong intermediate, whatever the path says.
		{"a node's path from the local intermediate, for clients", mesh, under(t, esp.local, leafTemplate(t, espNode, client), esp.local), ReasonWrongIssuer},
		{"a node's path from the local intermediate, claiming both uses", mesh, under(t, esp.local, leafTemplate(t, espNode, meshUses...), esp.local), ReasonWrongIssuer},
		{"an agency's path from the mesh intermediate, for clients", local, under(t, bel.mesh, leafTemplate(t, belOfficer, client), bel.mesh), ReasonWrongIssuer},
		{"an agency's path from the mesh intermediate, for both", local, under(t, bel.mesh, leafTemplate(t, belOfficer, meshUses...), bel.mesh), ReasonWrongIssuer},
		{"an intermediate below the local one that grants itself more", mesh, under(t, belowLocal, leafTemplate(t, espNode, meshUses...), belowLocal, esp.local), ReasonBadChain},
		{"an intermediate below the mesh one that pretends to be local", local, under(t, belowMesh, leafTemplate(t, belOfficer, client), belowMesh, bel.mesh), ReasonBadChain},
		{"an intermediate that is silent about its uses", mesh, under(t, silent, leafTemplate(t, espNode, meshUses...), silent), ReasonWrongIssuer},
		{"an intermediate for any use", mesh, under(t, everything, leafTemplate(t, espNode, meshUses...), everything), ReasonWrongIssuer},
		{"a leaf from the root itself", mesh, under(t, esp.root, leafTemplate(t, espNode, meshUses...)), ReasonWrongIssuer},

		// The wrong use.
		{"a node's leaf for servers alone", mesh, under(t, esp.mesh, leafTemplate(t, espNode, server), esp.mesh), ReasonWrongIssuer},
		{"a node's leaf for clients alone", mesh, under(t, esp.mesh, leafTemplate(t, espNode, client), esp.mesh), ReasonWrongIssuer},
		{"a node's leaf silent about its uses", mesh, under(t, esp.mesh, leafTemplate(t, espNode), esp.mesh), ReasonWrongIssuer},
		{"a node's leaf for signing code as well", mesh, under(t, esp.mesh, leafTemplate(t, espNode, server, client, x509.ExtKeyUsageCodeSigning), esp.mesh), ReasonWrongIssuer},
		{"an officer's leaf that may serve", local, under(t, bel.local, leafTemplate(t, belOfficer, client, server), bel.local), ReasonWrongIssuer},
		{"a leaf that may not sign", mesh, under(t, esp.mesh, mutate(leafTemplate(t, espNode, meshUses...), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), esp.mesh), ReasonWrongIssuer},
		{"a leaf that is an authority", mesh, under(t, esp.mesh, mutate(leafTemplate(t, espNode, meshUses...), func(c *x509.Certificate) { c.IsCA = true }), esp.mesh), ReasonNoIdentity},
		{"an intermediate as a leaf", mesh, credential{chain: []*x509.Certificate{esp.mesh.cert, esp.root.cert}}, ReasonNoIdentity},

		// Time.
		{"a node whose leaf has expired", mesh, under(t, esp.mesh, mutate(leafTemplate(t, espNode, meshUses...), func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) }), esp.mesh), ReasonExpired},
		{"a node whose leaf is of tomorrow", mesh, under(t, esp.mesh, mutate(leafTemplate(t, espNode, meshUses...), func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Second) }), esp.mesh), ReasonNotYetValid},
		{"an intermediate that has expired", mesh, under(t, expiredMesh, leafTemplate(t, espNode, meshUses...), expiredMesh), ReasonBadChain},

		// Names.
		{"a second name", mesh, under(t, esp.mesh, mutate(leafTemplate(t, espNode, meshUses...), func(c *x509.Certificate) { c.DNSNames = []string{"node.esp.example"} }), esp.mesh), ReasonNoIdentity},
		{"two SPIFFE IDs", mesh, under(t, esp.mesh, mutate(leafTemplate(t, espNode, meshUses...), func(c *x509.Certificate) {
			c.URIs = append(c.URIs, leafTemplate(t, belNode).URIs...)
		}), esp.mesh), ReasonNoIdentity},
		{"a node of another federation", mesh, under(t, esp.mesh, leafTemplate(t, "spiffe://esp.other.entente/node/1", meshUses...), esp.mesh), ReasonNoIdentity},
		{"a domain below ESP's", mesh, under(t, esp.mesh, leafTemplate(t, "spiffe://x.esp.demo.entente/node/1", meshUses...), esp.mesh), ReasonNoIdentity},
		{"an officer with a purpose that nobody knows", local, under(t, bel.local, mutate(leafTemplate(t, belOfficer, client), func(c *x509.Certificate) {
			c.Subject.OrganizationalUnit = []string{"purpose:everything"}
		}), bel.local), ReasonNoIdentity},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := tt.at.Verify(tt.with.chain)
			if got := ReasonOf(err); got != tt.want {
				t.Fatalf("reason %q, expected %q: %v (%v)", got, tt.want, err, id)
			}
			if (err == nil) != (tt.want == "") {
				t.Fatalf("error %v", err)
			}
		})
	}
}

func TestRevokedIsRefused(t *testing.T) {
	bel := newCountry(t, "BEL")
	officer := bel.officer(t)
	revoked := false
	v := LocalServer(NewLeaf(nil), Own(demo, "BEL", bel.pool()), "BEL", Options{
		Now:     func() time.Time { return noon },
		Revoked: func(c *x509.Certificate) bool { return revoked && c.Equal(officer.chain[0]) },
	}).Verifier()
	f, err := v.verify(officer.chain)
	if err != nil {
		t.Fatal(err)
	}
	revoked = true
	if _, err := v.Verify(officer.chain); ReasonOf(err) != ReasonRevoked {
		t.Errorf("at the handshake: %v", err)
	}
	if err := newSession(v, f).check(); ReasonOf(err) != ReasonRevoked {
		t.Errorf("at a call: %v", err)
	}
}

// TestAgainSeesWhatChanged changes the world under an open connection, and back.
func TestAgainSeesWhatChanged(t *testing.T) {
	bel, esp := newCountry(t, "BEL"), newCountry(t, "ESP")
	now := newClock()
	setUp := func() (*book, *session) {
		now.set(noon)
		roster := newBook(bel, esp)
		v := MeshServer(NewLeaf(nil), roster, Options{Now: now.Now}).Verifier()
		f, err := v.verify(esp.node(t).chain)
		if err != nil {
			t.Fatal(err)
		}
		open := newSession(v, f)
		if err := open.check(); err != nil {
			t.Fatal(err)
		}
		return roster, open
	}

	t.Run("distrust", func(t *testing.T) {
		roster, open := setUp()
		roster.distrust("ESP")
		err := open.check()
		if ReasonOf(err) != ReasonNotTrusted || !errors.Is(err, errDistrusted) {
			t.Error(err)
		}
	})
	t.Run("out of the roster", func(t *testing.T) {
		roster, open := setUp()
		roster.replace("ESP", nil)
		if err := open.check(); ReasonOf(err) != ReasonNotTrusted {
			t.Error(err)
		}
	})
	t.Run("another root", func(t *testing.T) {
		roster, open := setUp()
		roster.replace("ESP", newCountry(t, "ESP").pool())
		if err := open.check(); ReasonOf(err) != ReasonBadChain {
			t.Error(err)
		}
	})
	t.Run("the pool changed in place", func(t *testing.T) {
		roster, open := setUp()
		*roster.roots["ESP"] = *newCountry(t, "ESP").pool()
		if err := open.check(); ReasonOf(err) != ReasonBadChain {
			t.Error(err)
		}
	})
	t.Run("a second root beside the first", func(t *testing.T) {
		roster, open := setUp()
		second := poolOf(esp.root, newCountry(t, "ESP").root)
		roster.replace("ESP", second)
		if err := open.check(); err != nil {
			t.Error(err)
		}
		if !open.found.Load().roots.Equal(second) {
			t.Error("the connection does not remember the new roots, and would verify signatures at every call")
		}
	})
	t.Run("the same roots in a new roster", func(t *testing.T) {
		roster, open := setUp()
		roster.replace("ESP", esp.pool())
		if err := open.check(); err != nil {
			t.Error(err)
		}
	})
	t.Run("expiry", func(t *testing.T) {
		_, open := setUp()
		now.set(open.found.Load().notAfter)
		if err := open.check(); err != nil {
			t.Errorf("in the last second: %v", err)
		}
		now.set(open.found.Load().notAfter.Add(time.Second))
		if err := open.check(); ReasonOf(err) != ReasonExpired {
			t.Error(err)
		}
	})
	t.Run("the clock set back", func(t *testing.T) {
		_, open := setUp()
		now.set(noon.AddDate(-2, 0, 0))
		if err := open.check(); ReasonOf(err) != ReasonNotYetValid {
			t.Error(err)
		}
	})
}

// TestFindingEndsWithItsFirstCertificate: an intermediate may run out before its leaf.
func TestFindingEndsWithItsFirstCertificate(t *testing.T) {
	esp := newCountry(t, "ESP")
	template := caTemplate("short", meshUses...)
	template.NotAfter = noon.Add(time.Hour)
	short := issue(t, esp.root, template)
	v := MeshServer(NewLeaf(nil), newBook(esp), Options{Now: func() time.Time { return noon }}).Verifier()
	f, err := v.verify(under(t, short, leafTemplate(t, identity.Node(demo, "ESP", "1").String(), meshUses...), short).chain)
	if err != nil {
		t.Fatal(err)
	}
	if !f.notAfter.Equal(noon.Add(time.Hour)) {
		t.Errorf("valid until %s", f.notAfter)
	}
}

func TestOwnKnowsNobodyElse(t *testing.T) {
	bel := newCountry(t, "BEL")
	own := Own(demo, "BEL", bel.pool())
	if _, err := own.Roots("BEL"); err != nil {
		t.Error(err)
	}
	if _, err := own.Roots("ESP"); err == nil {
		t.Error("roots of ESP")
	}
	if own.Federation() != demo {
		t.Error(own.Federation())
	}
}

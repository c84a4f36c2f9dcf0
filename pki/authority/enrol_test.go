package authority_test

import (
	"errors"
	"testing"
	"time"

	"github.com/entente-mesh/entente/pki/authority"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
)

// TestIssuedListsTheClientsInTheirTime: what a register of clients begins with.
func TestIssuedListsTheClientsInTheirTime(t *testing.T) {
	b := open(t, "BEL")
	none, err := b.Issued()
	if err != nil || len(none) != 0 {
		t.Fatalf("a new authority has issued %d: %v", len(none), err)
	}
	b.node(t, "1")
	old := b.client(t, officer("BEL", "jansen"))
	b.set(noon.Add(20 * 24 * time.Hour))
	_, csr := request(t, officer("BEL", "jansen"))
	if _, err := b.RenewClient(t.Context(), old.X509(), csr); err != nil {
		t.Fatal(err)
	}
	b.client(t, officer("BEL", "peeters"))
	count := func() map[string]int {
		leaves, err := b.Issued()
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]int{}
		for _, leaf := range leaves {
			id, err := identity.FromCertificate(leaf, demo)
			if err != nil || len(id.Purposes) != 2 {
				t.Fatalf("%v, %v", id, err)
			}
			names[id.Name]++
		}
		return names
	}
	if got := count(); len(got) != 2 || got["jansen"] != 2 || got["peeters"] != 1 {
		t.Errorf("issued %v", got)
	}
	b.set(noon.Add(31 * 24 * time.Hour)) // jansen's first is over
	if got := count(); got["jansen"] != 1 || got["peeters"] != 1 {
		t.Errorf("a month on, issued %v", got)
	}
}

// TestEnrolTakesNothingFromTheRequestButItsKey: the names are the administrator's to say.
func TestEnrolTakesNothingFromTheRequestButItsKey(t *testing.T) {
	b := open(t, "BEL")
	want := officer("BEL", "jansen")
	key, csr := request(t, identity.Client(demo, "ESP", "ministry", identity.RoleOperator, "intruder", nil))
	chain, err := b.EnrolClient(t.Context(), want, csr)
	leaf := bind(t, chain, key, err)
	got, err := identity.FromCertificate(leaf.X509(), demo)
	if err != nil || got.String() != want.String() || len(got.Purposes) != 2 {
		t.Errorf("enrolled %v, %v", got, err)
	}
	for name, id := range map[string]identity.Identity{
		"another bureau's": officer("ESP", "jansen"),
		"a node":           identity.Node(demo, "BEL", "1"),
		"nobody":           {},
	} {
		if _, err := b.EnrolClient(t.Context(), id, csr); err == nil {
			t.Errorf("%s was enrolled", name)
		}
	}
	nameless, csr, err := mtls.NewNamelessRequest()
	if err != nil {
		t.Fatal(err)
	}
	chain, err = b.EnrolClient(t.Context(), officer("BEL", "peeters"), csr)
	bind(t, chain, nameless, err)
	if _, err := b.EnrolClient(t.Context(), want, csr[:len(csr)-1]); !errors.Is(err, authority.ErrRequest) {
		t.Errorf("half a request: %v", err)
	}
}

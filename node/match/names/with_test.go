package names

import (
	"slices"
	"testing"
)

func listed(all ...*Person) func(yield func(*Person) bool) { return slices.Values(all) }

func TestWithFindsBothAndChangesNothing(t *testing.T) {
	held := &Person{ID: "held", Names: []Name{{Text: "Karim Zerouali"}}}
	young := &Person{ID: "young", Names: []Name{{Text: "Ludmila Ostapenko"}}}
	x := Build(listed(held))
	x.Put(young)
	y := x.With(listed(&Person{ID: "more", Names: []Name{{Text: "Park Min Jun"}}}, &Person{ID: "nameless"}))
	for name, id := range map[string]string{"ZEROUALI KARIM": "held", "OSTAPENKO LUDMILA": "young", "PARK MIN JUN": "more"} {
		found := y.Search(&Query{Name: name}, 100, 1).Found
		if len(found) != 1 || found[0].ID != id {
			t.Errorf("%s: %v, want %s", name, found, id)
		}
	}
	if y.Names() != 3 || x.Names() != 2 || len(x.Search(&Query{Name: "PARK MIN JUN"}, 100, 1).Found) != 0 {
		t.Errorf("%d names with, %d in the index", y.Names(), x.Names())
	}
	// Who is withdrawn of the frozen is found in neither.
	x.Remove("held")
	if found := y.Search(&Query{Name: "ZEROUALI KARIM"}, 100, 1).Found; len(found) > 0 && found[0].ID == "held" {
		t.Error("who was withdrawn is found with")
	}
	// Who searches as the index would with them in it, gets the same score.
	x.Put(held)
	z := Build(listed(held, young, &Person{ID: "more", Names: []Name{{Text: "Park Min Jun"}}}))
	q := &Query{Name: "ZEROUALY KARIM"}
	with := x.With(listed(&Person{ID: "more", Names: []Name{{Text: "Park Min Jun"}}}))
	if a, b := with.Search(q, 100, 1).Found, z.Search(q, 100, 1).Found; len(a) != 1 || len(b) != 1 || a[0].Score != b[0].Score {
		t.Errorf("with %v, in it %v", a, b)
	}
}

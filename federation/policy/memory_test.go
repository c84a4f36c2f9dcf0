package policy

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// TestRememberedChecks shows that what is remembered of one check is given for the same check
// alone, and that nobody can change it.
func TestRememberedChecks(t *testing.T) {
	const border, visa = recordv1.Purpose_PURPOSE_BORDER_CONTROL, recordv1.Purpose_PURPOSE_VISA
	files, err := Defaults("ESP", "demo.entente")
	if err != nil {
		t.Fatal(err)
	}
	folder := fstest.MapFS{}
	for name, text := range files {
		folder[name] = &fstest.MapFile{Data: text}
	}
	set, err := Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	officer := func(purposes ...recordv1.Purpose) identity.Identity {
		return identity.Client("demo.entente", "ESP", "border-police", identity.RoleOfficer, "ruiz", purposes)
	}
	var all []CheckFacts
	for _, purposes := range [][]recordv1.Purpose{nil, {border}, {visa}, {border, visa}, {63}, {64}, {-1}} {
		for _, purpose := range []recordv1.Purpose{0, border, visa, 63, 64} {
			for _, hasCase := range []bool{false, true} {
				for change := range 6 {
					f := CheckFacts{Client: officer(purposes...), Purpose: purpose, HasCase: hasCase}
					switch change {
					case 1:
						f.Client.Kind = identity.KindNode
					case 2:
						f.Client.Role = identity.RoleOperator
					case 3:
						f.Client.Bureau = "BGR"
					case 4:
						f.Client.Agency = "customs"
					case 5:
						f.Client.Name = "another"
					}
					all = append(all, f)
				}
			}
		}
	}
	said := func(d Decision) string { return fmt.Sprintf("%v %v %v %v", d.Allow, d.Rules, d.Obligations, d.Err) }
	allowed := 0
	for range 3 {
		for _, f := range all {
			got, want := set.Check(f), set.checkAnew(f)
			if diff := cmp.Diff(said(want), said(got)); diff != "" {
				t.Fatalf("%+v: %s", f, diff)
			}
			if got.Allow {
				allowed++
			}
			_ = append(got.Rules, "another's") // must not reach who asks next
		}
	}
	if allowed == 0 || allowed == 3*len(all) {
		t.Errorf("%d of %d are allowed: nothing is told apart", allowed, 3*len(all))
	}
	for i := range 20_000 {
		f := CheckFacts{Client: officer(border), Purpose: border}
		f.Client.Name = fmt.Sprint("officer-", i)
		if !set.Check(f).Allow {
			t.Fatal("denied")
		}
	}
}

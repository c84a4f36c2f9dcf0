package policy_test

import (
	"fmt"
	"testing"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// treaties loads Spain's policies with permits for n bureaus, persons and documents each.
func treaties(b *testing.B, n int) (*policy.Set, identity.Bureau) {
	b.Helper()
	files := map[string]string{}
	var last string
	for i := range n {
		last = fmt.Sprintf("Q%c%c", 'A'+i/26%26, 'A'+i%26)
		for _, collection := range policy.Collections() {
			name, text, err := policy.Permit(policy.PermitOptions{
				Self: esp, Bureau: last, Collection: collection,
				Purposes: []recordv1.Purpose{border, visa}, Until: noon.AddDate(1, 0, 0),
			})
			if err != nil {
				b.Fatal(err)
			}
			files[name] = string(text)
		}
	}
	return spain(b, files), identity.Bureau(last)
}

// BenchmarkAnswer and BenchmarkAsk show that a decision costs the same whether a country has
// treaties with one other or with 195: only the policies that can concern it are evaluated.
func BenchmarkAnswer(b *testing.B) {
	for _, n := range []int{1, 195, 676} {
		b.Run(fmt.Sprintf("treaties=%d", n), func(b *testing.B) {
			set, other := treaties(b, n)
			f := policy.AnswerFacts{Self: esp, From: other, Agency: "border-police", Role: "officer", Collection: policy.CollectionPersons, Purpose: border, Now: noon}
			b.ReportAllocs()
			for b.Loop() {
				if !set.Answer(f).Allow {
					b.Fatal("denied")
				}
			}
		})
	}
}

func BenchmarkAsk(b *testing.B) {
	set, other := treaties(b, 195)
	f := policy.AskFacts{Self: esp, Client: officer(border, visa), To: other, Collection: policy.CollectionPersons, Purpose: border, Now: noon}
	b.ReportAllocs()
	for b.Loop() {
		if !set.Ask(f).Allow {
			b.Fatal("denied")
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	set, _ := treaties(b, 195)
	f := policy.CheckFacts{Client: officer(border, visa), Purpose: border}
	b.ReportAllocs()
	for b.Loop() {
		if !set.Check(f).Allow {
			b.Fatal("denied")
		}
	}
}

func BenchmarkDisclose(b *testing.B) {
	set, other := treaties(b, 195)
	f := policy.DiscloseFacts{Self: esp, From: other, Collection: policy.CollectionPersons, Purpose: border, Record: wanted(nil), Now: noon}
	b.ReportAllocs()
	for b.Loop() {
		if !set.Disclose(f).Allow {
			b.Fatal("denied")
		}
	}
}

func BenchmarkOffers(b *testing.B) {
	set, other := treaties(b, 195)
	b.ReportAllocs()
	for b.Loop() {
		if len(set.Offers(esp, other, noon)) != 3 {
			b.Fatal("other offers than thought")
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	files := map[string]string{}
	for i := range 195 {
		name := fmt.Sprintf("%c%c%c", 'A', 'A'+i/26%26, 'A'+i%26)
		file, text, err := policy.Permit(policy.PermitOptions{Self: esp, Bureau: name, Collection: policy.CollectionPersons, Purposes: []recordv1.Purpose{border}})
		if err != nil {
			b.Fatal(err)
		}
		files[file] = string(text)
	}
	folder := spainFolder(b, files)
	for b.Loop() {
		if _, err := policy.Load(folder); err != nil {
			b.Fatal(err)
		}
	}
}

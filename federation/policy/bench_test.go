package policy_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

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

// BenchmarkDisclosePerson and BenchmarkDiscloseDocument decide on records as real ones are. One
// that is withheld must cost what one costs that is told.
func BenchmarkDisclosePerson(b *testing.B) {
	set, other := treaties(b, 195)
	f := policy.DiscloseFacts{Self: esp, From: other, Federation: fed, Collection: policy.CollectionPersons, Purpose: border, Agency: "border-police", Role: "officer", Now: noon}
	told := usual(wanted(nil))
	withheld := usual(wanted(func(r *recordv1.Record) { r.Stewardship.Audience.Mode = recordv1.AudienceMode_AUDIENCE_MODE_NONE }))
	benchmarkDisclose(b, set, f, told, withheld)
}

func BenchmarkDiscloseDocument(b *testing.B) {
	set, other := treaties(b, 195)
	f := policy.DiscloseFacts{Self: esp, From: other, Federation: fed, Collection: policy.CollectionDocuments, Purpose: border, Agency: "border-police", Role: "officer", Now: noon}
	told := usual(passport(nil))
	withheld := usual(passport(func(_ *recordv1.Document, s *recordv1.Stewardship) {
		s.Audience.Mode = recordv1.AudienceMode_AUDIENCE_MODE_NONE
	}))
	benchmarkDisclose(b, set, f, told, withheld)
}

// usual gives a record what most records have.
func usual(r *recordv1.Record) *recordv1.Record {
	st := r.GetStewardship()
	st.Purposes = []recordv1.Purpose{border, policeCheck, visa}
	st.ExpiresAt = timestamppb.New(noon.AddDate(3, 0, 0))
	st.Handling = &recordv1.Handling{Scheme: "europol", Code: "H1"}
	st.Compliance = &recordv1.Compliance{State: recordv1.ComplianceState_COMPLIANCE_STATE_COMPLIANT}
	st.Audience.Deny = []string{"LBN"}
	return r
}

func benchmarkDisclose(b *testing.B, set *policy.Set, f policy.DiscloseFacts, told, withheld *recordv1.Record) {
	for _, c := range []struct {
		name   string
		record *recordv1.Record
		allow  bool
	}{{"told", told, true}, {"withheld", withheld, false}} {
		b.Run(c.name, func(b *testing.B) {
			f := f
			f.Record = c.record
			b.ReportAllocs()
			for b.Loop() {
				if set.Disclose(f).Allow != c.allow {
					b.Fatal("decided otherwise")
				}
			}
		})
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

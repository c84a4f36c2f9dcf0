package screening_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// held is a passport of a person on record.
func held(id, number, owner string) *recordv1.Record {
	r := document(id, number, bgr, recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED)
	r.GetDocument().PersonRef = owner
	return r
}

func both(name, birth, number string) *screeningv1.CheckRequest {
	return &screeningv1.CheckRequest{Document: passport(number, bgr).GetDocument(), Person: traveller(name, birth).GetPerson()}
}

// told is a hit in short: "wanted EXACT".
func told(hits []*hitv1.Hit) []string {
	var all []string
	for _, h := range hits {
		all = append(all, h.GetRecordId()+" "+strings.TrimPrefix(h.GetBand().String(), "BAND_"))
	}
	return all
}

func TestDocumentBringsItsPerson(t *testing.T) {
	p := bulgaria(t)
	gone, lost := person("gone", "Pedro Almeidinha", "1970-05-05"), held("lost", "XC333333", "wanted")
	gone.Stewardship = &recordv1.Stewardship{ExpiresAt: timestamppb.New(noon.Add(-time.Hour))}
	lost.GetDocument().Status = recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN
	p.keep(t, person("wanted", "Karim Zerouali", "1989-04-17"), gone, held("pass", "XA123456", "wanted"), held("of-the-gone", "XB222222", "gone"),
		held("of-nobody", "XD444444", "nobody"), lost)
	for name, c := range map[string]struct {
		check *screeningv1.CheckRequest
		want  []string
	}{
		"name and document":              {both("Karim Zerouali", "1989-04-17", "XA123456"), []string{"pass EXACT", "wanted EXACT"}},
		"another name on the document":   {both("Anna Petrova", "1980-02-03", "XA123456"), []string{"pass EXACT", "wanted STRONG"}},
		"the document alone":             {passport("XA123456", bgr), []string{"pass EXACT"}},
		"the name alone":                 {traveller("Karim Zerouali", "1989-04-17"), []string{"wanted EXACT"}},
		"of a person who has expired":    {both("Anna Petrova", "1980-02-03", "XB222222"), []string{"of-the-gone EXACT"}},
		"of a person who is not there":   {both("Anna Petrova", "1980-02-03", "XD444444"), []string{"of-nobody EXACT"}},
		"a stolen one says nothing more": {both("Anna Petrova", "1980-02-03", "XC333333"), []string{"lost EXACT"}},
	} {
		resp := p.check(t, c.check)
		equal(t, name, told(resp.GetHits()), c.want...)
	}
	hits := p.check(t, both("Anna Petrova", "1980-02-03", "XA123456")).GetHits()
	h := hits[len(hits)-1]
	sum, numbers := 0.0, 0
	for _, e := range h.GetEvidence() {
		sum += e.GetWeight()
		if e.GetFeature() == hitv1.Feature_FEATURE_DOCUMENT_NUMBER && e.GetAgreement() == hitv1.Agreement_AGREEMENT_SAME {
			numbers++
		}
	}
	if numbers != 1 || math.Abs(max(0, min(1, sum))-h.GetScore()) > 1e-9 {
		t.Errorf("%d numbers, the weights add up to %.4f, the score is %.4f", numbers, sum, h.GetScore())
	}
	if !strings.Contains(h.GetExplanation(), "birth date: different") || !strings.Contains(h.GetExplanation(), "document number: same") || h.GetPersonRole() == 0 {
		t.Errorf("hit %v", h)
	}
}

func TestPersonOfTwoDocumentsIsOneHit(t *testing.T) {
	p := bulgaria(t)
	second := held("second", "XA123456", "wanted")
	second.GetDocument().Issuer = ""
	p.keep(t, person("wanted", "Karim Zerouali", "1989-04-17"), held("first", "XA123456", "wanted"), second)
	equal(t, "hits", told(p.check(t, both("Anna Petrova", "", "XA123456")).GetHits()), "first EXACT", "second STRONG", "wanted STRONG")
}

func TestBirthCountryIsRead(t *testing.T) {
	p := bulgaria(t)
	rec := person("wanted", "Karim Zerouali", "1989-04-17")
	rec.GetPerson().Births[0].Country = "GBR"
	p.keep(t, rec)
	req := traveller("Karim Zerouali", "1989-04-17")
	req.Person.BirthCountry = "GBD" // one state, by another code
	resp := p.check(t, req)
	if resp.GetTraveller().GetPerson().GetBirthCountry() != "GBR" || !strings.Contains(resp.GetHits()[0].GetExplanation(), "birth country: same") {
		t.Errorf("traveller %v, hits %v", resp.GetTraveller(), resp.GetHits())
	}
	req.Person.BirthCountry = "QQQ"
	req.Justification = &queryv1.Justification{Purpose: border}
	if _, err := p.Check(t.Context(), officer(), req); err == nil || !strings.Contains(err.Error(), "country of birth QQQ") {
		t.Errorf("a country that is none: %v", err)
	}
}

package match

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/entente-mesh/entente/node/match/names"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// scale is how many nats of log-odds a score of 1 stands for: a name of four rare words, with the
// whole birth date. The weights of the evidence are in the same unit and add to the score, so that
// an officer can redo the sum.
const scale = 50

// StrongFrom is the score from which on a hit is strong: a name of two rare words that is the same,
// together with a birth date that agrees as far as it is known.
const StrongFrom = 0.52

// candidateOf turns what the index found into a candidate, and false if no evidence of a birth date
// may be overruled by a name.
func candidateOf(q *queryv1.PersonQuery, asked *names.Query, r *names.Ranked, rec *recordv1.Record) (Candidate, bool) {
	person := rec.GetPerson()
	birth := birthEvidence(q, asked, r, person)
	nationality := nationalityEvidence(q, float64(r.Nationality)/scale, person)
	sex := sexEvidence(q.GetSex(), person.GetSex(), float64(r.Sex)/scale)
	nameAgreement := hitv1.Agreement_AGREEMENT_SIMILAR
	switch {
	case r.Same:
		nameAgreement = hitv1.Agreement_AGREEMENT_SAME
	case r.Name <= 0:
		nameAgreement = hitv1.Agreement_AGREEMENT_DIFFERENT
	}
	how, summary := describe(r)
	whole := cmp.Or(strings.TrimSpace(q.GetName()), strings.TrimSpace(q.GetPrimary()+" "+q.GetSecondary()))
	recorded := ""
	if all := person.GetNames(); r.At < len(all) {
		recorded = textOf(all[r.At])
	}
	c := Candidate{RecordID: r.ID, Record: rec, Band: hitv1.Band_BAND_POSSIBLE}
	name := evidence(hitv1.Feature_FEATURE_NAME, nameAgreement, whole, recorded, how, float64(r.Name)/scale)
	addTokens(name, r)
	c.Evidence = []*hitv1.LocalEvidence{name, birth, nationality, sex}
	if q.GetBirthCountry() != "" {
		// Only where it is asked: a bureau of an older release, which does not ask it, refuses an answer
		// that names it.
		c.Evidence = append(c.Evidence, birthCountryEvidence(q.GetBirthCountry(), float64(r.Born)/scale, person))
	}
	c.Score = scoreOf(c.Evidence)
	agrees := birth.GetAgreement() == hitv1.Agreement_AGREEMENT_SAME || birth.GetAgreement() == hitv1.Agreement_AGREEMENT_SIMILAR
	switch {
	case r.Same && r.Birth == names.BirthSameDay && sex.GetAgreement() != hitv1.Agreement_AGREEMENT_DIFFERENT:
		c.Band = hitv1.Band_BAND_EXACT
	case agrees && c.Score >= StrongFrom:
		c.Band = hitv1.Band_BAND_STRONG
	}
	c.Explanation = explain(c.Evidence, map[hitv1.Feature]string{hitv1.Feature_FEATURE_NAME: summary})
	return c, r.Birth != names.BirthConflict
}

// scoreOf is the sum of the weights, from 0 to 1.
func scoreOf(all []*hitv1.LocalEvidence) float64 {
	sum := 0.0
	for _, e := range all {
		sum += e.GetWeight()
	}
	return max(0, min(1, sum))
}

func sortCandidates(all []Candidate) {
	slices.SortStableFunc(all, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(b.Band, a.Band), cmp.Compare(b.Score, a.Score), cmp.Compare(a.RecordID, b.RecordID))
	})
}

// births say how birth dates compare.
var births = [...]struct {
	agreement hitv1.Agreement
	how       string
}{
	names.BirthUnknown:      {hitv1.Agreement_AGREEMENT_UNKNOWN, ""},
	names.BirthSameDay:      {hitv1.Agreement_AGREEMENT_SAME, "same day"},
	names.BirthSwapped:      {hitv1.Agreement_AGREEMENT_SIMILAR, "day and month swapped"},
	names.BirthPlaceholder:  {hitv1.Agreement_AGREEMENT_SIMILAR, "same year, 1 January on one side"},
	names.BirthPartOfDay:    {hitv1.Agreement_AGREEMENT_DIFFERENT, "same year, other day or month"},
	names.BirthSameYear:     {hitv1.Agreement_AGREEMENT_DIFFERENT, "same year, other date"},
	names.BirthNextYear:     {hitv1.Agreement_AGREEMENT_DIFFERENT, "off by a year"},
	names.BirthDigit:        {hitv1.Agreement_AGREEMENT_DIFFERENT, "one digit of the year off"},
	names.BirthOnlyMonth:    {hitv1.Agreement_AGREEMENT_SIMILAR, "same month"},
	names.BirthOnlyYear:     {hitv1.Agreement_AGREEMENT_SIMILAR, "year only"},
	names.BirthOtherMonth:   {hitv1.Agreement_AGREEMENT_DIFFERENT, "same year, other month"},
	names.BirthInRange:      {hitv1.Agreement_AGREEMENT_SIMILAR, "within the range"},
	names.BirthApproximate:  {hitv1.Agreement_AGREEMENT_SIMILAR, "approximate"},
	names.BirthNearApprox:   {hitv1.Agreement_AGREEMENT_SIMILAR, "within two years of an approximate date"},
	names.BirthNearYear:     {hitv1.Agreement_AGREEMENT_DIFFERENT, "off by up to a year"},
	names.BirthNearConflict: {hitv1.Agreement_AGREEMENT_DIFFERENT, "different"},
	names.BirthConflict:     {hitv1.Agreement_AGREEMENT_DIFFERENT, "different"},
}

func birthEvidence(q *queryv1.PersonQuery, asked *names.Query, r *names.Ranked, p *recordv1.Person) *hitv1.LocalEvidence {
	told := births[r.Birth]
	how, recorded := told.how, ""
	at := 0
	for _, b := range p.GetBirths() {
		if _, ok := recordedSpan(b); !ok {
			continue
		}
		if at == max(0, r.BirthAt) {
			recorded = spanText(b)
		}
		at++
	}
	if r.Birth == names.BirthUnknown {
		how = unknownSide(!asked.BirthKnown, at == 0)
	}
	return evidence(hitv1.Feature_FEATURE_BIRTH_DATE, told.agreement, q.GetBirthDate(), recorded, how, float64(r.BirthWeight)/scale)
}

func spanText(b *recordv1.Birth) string {
	text := b.GetFrom()
	if b.GetTo() != "" && b.GetTo() != text {
		text += " to " + b.GetTo()
	}
	if b.GetPrecision() == recordv1.DatePrecision_DATE_PRECISION_APPROXIMATE {
		text = "about " + text
	}
	return cut(text, len("about to ")+2*len(time.DateOnly)+2)
}

// nationalityUnspecified is Doc 9303-3's code for a nationality that is not said.
const nationalityUnspecified = "XXX"

func nationalityEvidence(q *queryv1.PersonQuery, weight float64, p *recordv1.Person) *hitv1.LocalEvidence {
	const feature = hitv1.Feature_FEATURE_NATIONALITY
	asked := q.GetNationality()
	var recorded []string
	agreement, how := hitv1.Agreement_AGREEMENT_DIFFERENT, "different"
	for _, n := range p.GetNationalities() {
		if n.GetCode() == nationalityUnspecified {
			continue
		}
		recorded = append(recorded, n.GetCode())
		switch former := n.GetStatus() == recordv1.NationalityStatus_NATIONALITY_STATUS_FORMER; {
		case issuerOf(n.GetCode()) != issuerOf(asked):
		case !former:
			agreement, how = hitv1.Agreement_AGREEMENT_SAME, "same"
		case agreement == hitv1.Agreement_AGREEMENT_DIFFERENT:
			agreement, how = hitv1.Agreement_AGREEMENT_SIMILAR, "held formerly"
		}
	}
	if asked == "" || asked == nationalityUnspecified || len(recorded) == 0 {
		agreement, how = hitv1.Agreement_AGREEMENT_UNKNOWN, unknownSide(asked == "" || asked == nationalityUnspecified, len(recorded) == 0)
	}
	return evidence(feature, agreement, asked, strings.Join(recorded, " "), how, weight)
}

func birthCountryEvidence(asked string, weight float64, p *recordv1.Person) *hitv1.LocalEvidence {
	const feature = hitv1.Feature_FEATURE_BIRTH_COUNTRY
	var recorded []string
	agreement, how := hitv1.Agreement_AGREEMENT_DIFFERENT, "different"
	for _, b := range p.GetBirths() {
		code := b.GetCountry()
		if code == "" || code == nationalityUnspecified || slices.Contains(recorded, code) {
			continue
		}
		recorded = append(recorded, code)
		if issuerOf(code) == issuerOf(asked) {
			agreement, how = hitv1.Agreement_AGREEMENT_SAME, howSame
		}
	}
	switch unsaid := asked == nationalityUnspecified; {
	case unsaid || len(recorded) == 0:
		agreement, how = hitv1.Agreement_AGREEMENT_UNKNOWN, unknownSide(unsaid, len(recorded) == 0)
	case weight == 0:
		agreement, how = hitv1.Agreement_AGREEMENT_UNKNOWN, "several are recorded"
	}
	return evidence(feature, agreement, asked, strings.Join(recorded, " "), how, weight)
}

func sexEvidence(asked, recorded recordv1.Sex, weight float64) *hitv1.LocalEvidence {
	const feature = hitv1.Feature_FEATURE_SEX
	text := func(s recordv1.Sex) string {
		if s == recordv1.Sex_SEX_OTHER {
			return "X"
		}
		return strings.TrimLeft(string(rune(sexLetter(s))), "\x00")
	}
	a, r := text(asked), text(recorded)
	switch {
	case sexLetter(asked) == 0 || sexLetter(recorded) == 0:
		return evidence(feature, hitv1.Agreement_AGREEMENT_UNKNOWN, a, r, unknownSide(sexLetter(asked) == 0, sexLetter(recorded) == 0), weight)
	case asked == recorded:
		return evidence(feature, hitv1.Agreement_AGREEMENT_SAME, a, r, "same", weight)
	}
	return evidence(feature, hitv1.Agreement_AGREEMENT_DIFFERENT, a, r, "different", weight)
}

package match

import (
	"slices"

	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Scorer decides whether a person of the index may be the one asked about. It is called by many
// goroutines at once, with values that it must not change. A stronger engine takes its place here
// (NewPersons); finding candidates is not its business.
type Scorer interface {
	// Score returns the candidate with its score, band, evidence and explanation, and false if it
	// is no hit. RecordID and Record are filled in by the index.
	Score(asked *Asked, s *Subject) (Candidate, bool)
}

// Asked is a query ready to be compared.
type Asked struct {
	// Query is the question as it was put.
	Query *queryv1.PersonQuery

	names    []*preparedName
	birth    span
	hasBirth bool
}

// Names are the forms of the name that was asked: the whole, and the two identifiers of Doc 9303.
func (a *Asked) Names() []Name { return namesOf(a.names) }

// Subject is a recorded person ready to be compared.
type Subject struct {
	// Record is the record as it was put.
	Record *recordv1.Record

	names        []*preparedName
	types        []recordv1.NameType // of names
	births       []span
	distinctions []distinction
}

// Names are the recorded names, titles left out.
func (s *Subject) Names() []Name { return namesOf(s.names) }

func namesOf(prepared []*preparedName) []Name {
	names := make([]Name, len(prepared))
	for i, p := range prepared {
		names[i] = p.Name
	}
	return names
}

// distinction is somebody whom the owner knows not to be the person.
type distinction struct {
	name  *preparedName
	birth span
}

func newAsked(q *queryv1.PersonQuery) *Asked {
	a := &Asked{Query: q}
	a.birth, a.hasBirth = askedSpan(q.GetBirthDate())
	whole := newName(q.GetName())
	parts := newName(q.GetPrimary() + " " + q.GetSecondary())
	for _, n := range []Name{whole, parts} {
		if len(n.Tokens) > 0 {
			a.names = append(a.names, prepare(n))
		}
	}
	return a
}

func newSubject(rec *recordv1.Record) *Subject {
	s := &Subject{Record: rec}
	person := rec.GetPerson()
	for _, n := range person.GetNames() {
		text := ""
		for _, part := range n.GetParts() {
			if part.GetKind() != recordv1.NamePartKind_NAME_PART_KIND_TITLE {
				text += part.GetText() + " "
			}
		}
		name := newName(text)
		if len(name.Tokens) == 0 {
			continue
		}
		name.Text = text[:len(text)-1]
		s.names = append(s.names, prepare(name))
		s.types = append(s.types, n.GetType())
	}
	for _, b := range person.GetBirths() {
		if d, ok := recordedSpan(b); ok {
			s.births = append(s.births, d)
		}
	}
	for _, d := range person.GetNotSameAs() {
		birth, ok := askedSpan(d.GetBirthDate())
		name := newName(d.GetName())
		// Without a whole date and a name a distinction would let too many pass.
		if ok && birth.isDay() && len(name.Tokens) > 0 {
			s.distinctions = append(s.distinctions, distinction{prepare(name), birth})
		}
	}
	return s
}

// The score is the likeness of the names times shareName, plus what birth date, nationality and
// sex add or take. Evidence adds; it does not multiply, so that an officer can redo the sum.
const (
	shareName = 0.80

	nationalitySame      = 0.04
	nationalityFormer    = 0.02
	nationalityDifferent = -0.04 // many hold two, and a passport shows one
	sexSame              = 0.02
	sexDifferent         = -0.20 // rarely wrong in a document
)

// The thresholds of the bands, and why they lie there.
const (
	// PossibleFrom is the score from which on a person should look. A name alone must be nearly the
	// same (0.875 of it: HASSAN ZEROUALI is not HUSSEIN ZEROUALI); with a whole birth date 0.7 of it
	// will do, such as two names of four; with a birth date in conflict nothing reaches it.
	PossibleFrom = 0.70
	// StrongFrom is the score of a name that is the same together with a birth date that agrees as
	// far as it is known: more than name, nationality and sex can reach without a date.
	StrongFrom = 0.87
)

// What the type of a recorded name takes from its likeness: a list that calls an alias weak says
// itself that it fits many.
const (
	trustLowQuality  = 0.90
	trustNomDeGuerre = 0.95
	trustOther       = 1.0

	// leastWholeWords is how many words of two longer names must agree before the birth date may be
	// missing or partial.
	leastWholeWords = 2
)

// Additive is the scorer that NewPersons uses if it is given none: likeness of aligned names, plus
// weights for what else is known.
type Additive struct{}

// Score implements Scorer.
func (Additive) Score(a *Asked, s *Subject) (Candidate, bool) {
	if s.isDistinct(a) {
		return Candidate{}, false
	}
	birth := birthUnknown
	switch {
	case !a.hasBirth:
		birth.how = unknownSide(true, len(s.births) == 0)
	case len(s.births) == 0:
		birth.how = unknownSide(false, true)
	default:
		birth = compareBirths(a.birth, s.births)
	}
	nationality := compareNationality(a.Query, s.Record.GetPerson())
	sex := compareSex(a.Query.GetSex(), s.Record.GetPerson().GetSex())
	others := birth.weight + nationality.weight + sex.weight
	// Names are dear to compare: not where even the same name would be no hit, as with most birth dates.
	if shareName+others < PossibleFrom {
		return Candidate{}, false
	}
	name, asked, recorded := bestName(a, s)
	score := max(0, min(1, shareName*name.likeness+others))
	if score < PossibleFrom {
		return Candidate{}, false
	}
	sameDay := birth.agreement == hitv1.Agreement_AGREEMENT_SAME
	// One word that agrees says too little of a longer name: only a whole birth date makes up for it.
	if name.words < leastWholeWords && name.partial && !sameDay {
		return Candidate{}, false
	}
	nameAgreement := hitv1.Agreement_AGREEMENT_SIMILAR
	if name.same {
		nameAgreement = hitv1.Agreement_AGREEMENT_SAME
	}
	c := Candidate{Score: score, Band: hitv1.Band_BAND_POSSIBLE}
	switch {
	case name.same && sameDay && sex.agreement != hitv1.Agreement_AGREEMENT_DIFFERENT:
		c.Band = hitv1.Band_BAND_EXACT
	case score >= StrongFrom:
		c.Band = hitv1.Band_BAND_STRONG
	}
	how, summary := name.describe(asked, recorded)
	c.Evidence = []*hitv1.LocalEvidence{
		evidence(hitv1.Feature_FEATURE_NAME, nameAgreement, asked.Text, recorded.Text, how, shareName*name.likeness),
		evidence(hitv1.Feature_FEATURE_BIRTH_DATE, birth.agreement, a.Query.GetBirthDate(), birth.recorded, birth.how, birth.weight),
		nationality.evidence(),
		sex.evidence(),
	}
	c.Explanation = explain(c.Evidence, map[hitv1.Feature]string{hitv1.Feature_FEATURE_NAME: summary})
	return c, true
}

// isDistinct reports whether the owner has said that somebody of this name and birth date is not
// the person.
func (s *Subject) isDistinct(a *Asked) bool {
	if !a.hasBirth || !a.birth.isDay() {
		return false
	}
	return slices.ContainsFunc(s.distinctions, func(d distinction) bool {
		return d.birth.from.Equal(a.birth.from) && slices.ContainsFunc(a.names, func(n *preparedName) bool {
			return align(n, d.name, false).same
		})
	})
}

// bestName returns the best alignment of what was asked with any recorded name, and the two names.
func bestName(a *Asked, s *Subject) (best alignment, asked, recorded *preparedName) {
	for _, q := range a.names {
		for i, r := range s.names {
			got := align(q, r, a.Query.GetTruncated())
			got.likeness *= trustOf(s.types[i])
			if got.likeness > best.likeness || got.likeness == best.likeness && got.same && !best.same {
				best, asked, recorded = got, q, r
			}
		}
	}
	return best, asked, recorded
}

func trustOf(t recordv1.NameType) float64 {
	switch t {
	case recordv1.NameType_NAME_TYPE_LOW_QUALITY:
		return trustLowQuality
	case recordv1.NameType_NAME_TYPE_NOM_DE_GUERRE:
		return trustNomDeGuerre
	}
	return trustOther
}

// finding is a comparison, before it is evidence: most are of somebody who is no hit, and are
// thrown away.
type finding struct {
	feature              hitv1.Feature
	agreement            hitv1.Agreement
	asked, recorded, how string
	weight               float64
}

func (f finding) evidence() *hitv1.LocalEvidence {
	return evidence(f.feature, f.agreement, f.asked, f.recorded, f.how, f.weight)
}

// nationalityUnspecified is Doc 9303-3's code for a nationality that is not said.
const nationalityUnspecified = "XXX"

func compareNationality(q *queryv1.PersonQuery, p *recordv1.Person) finding {
	const feature = hitv1.Feature_FEATURE_NATIONALITY
	asked := q.GetNationality()
	recorded, known := "", false
	for _, n := range p.GetNationalities() {
		if n.GetCode() == nationalityUnspecified {
			continue
		}
		known = true
		if recorded != "" {
			recorded += " "
		}
		recorded += n.GetCode()
	}
	if asked == "" || asked == nationalityUnspecified || !known {
		return finding{feature, hitv1.Agreement_AGREEMENT_UNKNOWN, asked, recorded,
			unknownSide(asked == "" || asked == nationalityUnspecified, !known), 0}
	}
	former := false
	for _, n := range p.GetNationalities() {
		if issuerOf(n.GetCode()) != issuerOf(asked) {
			continue
		}
		if n.GetStatus() != recordv1.NationalityStatus_NATIONALITY_STATUS_FORMER {
			return finding{feature, hitv1.Agreement_AGREEMENT_SAME, asked, recorded, "same", nationalitySame}
		}
		former = true
	}
	if former {
		return finding{feature, hitv1.Agreement_AGREEMENT_SIMILAR, asked, recorded, "held formerly", nationalityFormer}
	}
	return finding{feature, hitv1.Agreement_AGREEMENT_DIFFERENT, asked, recorded, "different", nationalityDifferent}
}

func compareSex(asked, recorded recordv1.Sex) finding {
	const feature = hitv1.Feature_FEATURE_SEX
	text := func(s recordv1.Sex) string {
		switch s {
		case recordv1.Sex_SEX_FEMALE:
			return "F"
		case recordv1.Sex_SEX_MALE:
			return "M"
		case recordv1.Sex_SEX_OTHER:
			return "X"
		}
		return ""
	}
	// X is what a document says of somebody whose sex it does not tell.
	known := func(s recordv1.Sex) bool {
		return s == recordv1.Sex_SEX_FEMALE || s == recordv1.Sex_SEX_MALE
	}
	a, r := text(asked), text(recorded)
	switch {
	case !known(asked) || !known(recorded):
		return finding{feature, hitv1.Agreement_AGREEMENT_UNKNOWN, a, r, unknownSide(!known(asked), !known(recorded)), 0}
	case asked == recorded:
		return finding{feature, hitv1.Agreement_AGREEMENT_SAME, a, r, "same", sexSame}
	}
	return finding{feature, hitv1.Agreement_AGREEMENT_DIFFERENT, a, r, "different", sexDifferent}
}

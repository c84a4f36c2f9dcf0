package match

import (
	"slices"

	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	"google.golang.org/protobuf/proto"
)

// What it adds that the document in hand is one of the person's, in nats, by how sure the document
// is. The surest outweighs whatever a name and a birth date take away.
const (
	oddsDocumentExact    = 40
	oddsDocumentStrong   = 25
	oddsDocumentPossible = 10
)

// Beside compares one person of the index with the one asked about, however unlike they are: for
// somebody to whom a document points. It is false for a person who is not in the index, and for one
// whom the owner knows to be somebody else.
func (p *Persons) Beside(q *queryv1.PersonQuery, id string) (Candidate, bool) {
	asked := askedOf(q)
	r, ok := p.index.Beside(asked, id)
	if !ok {
		return Candidate{}, false
	}
	rec, _ := p.bodies.open(id)
	if rec == nil {
		return Candidate{}, false // withdrawn since
	}
	p.opened.Add(1)
	c, _ := candidateOf(q, asked, &r, rec) // a birth date that says no is told, and decides nothing
	return c, true
}

// WithDocument adds to a person that a document, which was found as well, is theirs. That decides,
// whatever the name says: the person is as sure as the document is. Where the rest speaks against it
// they are a band less sure than that, because somebody else may carry the document; the evidence
// tells what differs.
func WithDocument(person, document Candidate) Candidate {
	out := person
	out.Evidence = slices.Clone(person.Evidence)
	for _, e := range document.Evidence {
		e = proto.CloneOf(e)
		switch e.GetFeature() {
		case hitv1.Feature_FEATURE_DOCUMENT_NUMBER:
			e.Weight = documentOdds(document.Band) / scale
		case hitv1.Feature_FEATURE_DOCUMENT_ISSUER:
			e.Weight = 0 // told in the number's: how sure the document is
		default:
			continue
		}
		out.Evidence = append(out.Evidence, e)
		out.Explanation += "; " + explain([]*hitv1.LocalEvidence{e}, nil)
	}
	out.Score = scoreOf(out.Evidence)
	band := document.Band
	if speaksAgainst(person) && band > hitv1.Band_BAND_POSSIBLE {
		band--
	}
	out.Band = max(person.Band, band)
	return out
}

func documentOdds(b hitv1.Band) float64 {
	switch b {
	case hitv1.Band_BAND_EXACT:
		return oddsDocumentExact
	case hitv1.Band_BAND_STRONG:
		return oddsDocumentStrong
	}
	return oddsDocumentPossible
}

// speaksAgainst says that the name, the birth date or the sex is not the person's. Another
// nationality is none: who is listed often travels on another.
func speaksAgainst(c Candidate) bool {
	return slices.ContainsFunc(c.Evidence, func(e *hitv1.LocalEvidence) bool {
		switch e.GetFeature() {
		case hitv1.Feature_FEATURE_NAME:
			return e.GetWeight() <= 0
		case hitv1.Feature_FEATURE_BIRTH_DATE, hitv1.Feature_FEATURE_SEX:
			return e.GetAgreement() == hitv1.Agreement_AGREEMENT_DIFFERENT && e.GetWeight() < 0
		}
		return false
	})
}

package match

import (
	"strings"

	"github.com/entente-mesh/entente/pki/identity"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// A document hit begins as EXACT, and every doubt takes it down by so many bands. Below POSSIBLE it
// is none. Doubts are counted and not weighed, so that two nodes with the same record answer alike
// and an officer can redo the sum.
const (
	doubtIssuerUnknown = 1 // number spaces of two states overlap, but one stolen passport is not missed
	doubtFoldedZero    = 1 // O for 0: mostly the same document misread
	doubtFoldedOther   = 2 // B for 8, S for 5 ...: possible, and not more
	doubtPart          = 1 // the number without letters that may be its series
	doubtOtherType     = 1 // one state numbers passports and cards apart, but type codes are often wrong
)

// The score of a document hit in each band: documents differ by band alone.
const (
	scoreDocumentExact    = 1.0
	scoreDocumentStrong   = 0.9
	scoreDocumentPossible = 0.7
)

// ScoreDocument compares a document asked about with a record found under one of its keys, and
// reports whether it is a hit. A recovered document is none, nor one of another issuer: a number
// says nothing without the state that gave it.
func ScoreDocument(q *queryv1.DocumentQuery, rec *recordv1.Record) (Candidate, bool) {
	doc := rec.GetDocument()
	if doc == nil || doc.GetRecoveredAt() != nil {
		return Candidate{}, false
	}
	number, doubts, ok := compareNumber(q.GetNumber(), doc)
	if !ok {
		return Candidate{}, false
	}
	issuer, more, ok := compareIssuer(q.GetIssuer(), doc.GetIssuer())
	if !ok {
		return Candidate{}, false
	}
	doubts += more
	kind, more := compareType(q.GetType(), doc.GetType())
	doubts += more

	c := Candidate{RecordID: rec.GetRecordId(), Record: rec, Evidence: []*hitv1.LocalEvidence{number, issuer, kind}}
	switch doubts {
	case 0:
		c.Band, c.Score = hitv1.Band_BAND_EXACT, scoreDocumentExact
	case 1:
		c.Band, c.Score = hitv1.Band_BAND_STRONG, scoreDocumentStrong
	case 2:
		c.Band, c.Score = hitv1.Band_BAND_POSSIBLE, scoreDocumentPossible
	default:
		return Candidate{}, false
	}
	c.Explanation = explain(c.Evidence, nil)
	return c, true
}

func compareNumber(asked string, doc *recordv1.Document) (*hitv1.LocalEvidence, int, bool) {
	const none = 1 << 10
	best, bestHow := none, ""
	consider := func(fold folding, parts int, how string) {
		doubts := parts * doubtPart
		switch fold {
		case foldDifferent:
			return
		case foldZero:
			doubts, how = doubts+doubtFoldedZero, folded(how, "O/0")
		case foldOther:
			doubts, how = doubts+doubtFoldedOther, folded(how, "look-alikes")
		}
		if doubts < best {
			best, bestHow = doubts, how
		}
	}
	questions := readNumbers(asked)
	for _, a := range questions {
		if doc.GetRangeEnd() != "" {
			if fold, ok := compareRange(strictNumber(doc.GetNumber()), strictNumber(doc.GetRangeEnd()), a.strict); ok {
				consider(fold, int(a.reading), "within the range of blanks")
			}
			continue
		}
		for _, r := range readNumbers(doc.GetNumber()) {
			// Two numbers that agree in their parts alone differ in their series: two documents.
			if a.reading == readPart && r.reading == readPart {
				continue
			}
			how := howSame
			if a.reading == readPart || r.reading == readPart {
				how = "same without its series"
			}
			consider(compareStrict(a.strict, r.strict), int(a.reading)+int(r.reading), how)
		}
	}
	if best == none {
		return nil, 0, false
	}
	agreement := hitv1.Agreement_AGREEMENT_SAME
	if best > 0 {
		agreement = hitv1.Agreement_AGREEMENT_SIMILAR
	}
	recorded := doc.GetNumber()
	if doc.GetRangeEnd() != "" {
		recorded += " to " + doc.GetRangeEnd()
	}
	return evidence(hitv1.Feature_FEATURE_DOCUMENT_NUMBER, agreement, asked, recorded, bestHow, -float64(best)), best, true
}

func folded(how, what string) string {
	if how == howSame {
		return "folded " + what
	}
	return how + ", folded " + what
}

const howSame = "same"

// issuerUnspecified is how Doc 9303-3 writes that a state is not said.
const issuerUnspecified = "XXX"

// issuerOf brings the codes of one issuer together: all classes of British passport are GBR's.
func issuerOf(code string) string {
	if code == issuerUnspecified {
		return ""
	}
	if b, ok := identity.BureauOfIssuer(code); ok {
		return string(b)
	}
	return code
}

func compareIssuer(asked, recorded string) (*hitv1.LocalEvidence, int, bool) {
	a, r := issuerOf(asked), issuerOf(recorded)
	switch {
	case a == "" || r == "":
		return evidence(hitv1.Feature_FEATURE_DOCUMENT_ISSUER, hitv1.Agreement_AGREEMENT_UNKNOWN,
			asked, recorded, unknownSide(a == "", r == ""), -doubtIssuerUnknown), doubtIssuerUnknown, true
	case a == r:
		return evidence(hitv1.Feature_FEATURE_DOCUMENT_ISSUER, hitv1.Agreement_AGREEMENT_SAME, asked, recorded, "same", 0), 0, true
	}
	return nil, 0, false
}

func compareType(asked, recorded recordv1.DocumentType) (*hitv1.LocalEvidence, int) {
	a, r := typeText(asked), typeText(recorded)
	switch {
	case a == "" || r == "":
		return evidence(hitv1.Feature_FEATURE_DOCUMENT_TYPE, hitv1.Agreement_AGREEMENT_UNKNOWN, a, r, unknownSide(a == "", r == ""), 0), 0
	case asked == recorded:
		return evidence(hitv1.Feature_FEATURE_DOCUMENT_TYPE, hitv1.Agreement_AGREEMENT_SAME, a, r, "same", 0), 0
	}
	return evidence(hitv1.Feature_FEATURE_DOCUMENT_TYPE, hitv1.Agreement_AGREEMENT_DIFFERENT, a, r, "different", -doubtOtherType), doubtOtherType
}

// typeText names a type for the evidence; what is of no known type is empty.
func typeText(t recordv1.DocumentType) string {
	if t == recordv1.DocumentType_DOCUMENT_TYPE_UNSPECIFIED || t == recordv1.DocumentType_DOCUMENT_TYPE_OTHER {
		return ""
	}
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(t.String(), "DOCUMENT_TYPE_")), "_", " ")
}

func unknownSide(asked, recorded bool) string {
	switch {
	case asked && recorded:
		return "neither side says"
	case asked:
		return "not asked"
	}
	return "not recorded"
}

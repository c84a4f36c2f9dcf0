// Package match says whether two descriptions may be of the same document or of the same
// person: it normalises, finds candidates, scores them and explains the score.
//
// It is pure: no I/O, no clock, no policy. It does not decide who may know of a hit, it keeps no
// books, and it never says that somebody IS the person of a record: a Candidate is a lead that a
// person verifies. What it says (evidence) quotes both sides and is for the own listener alone;
// only Candidate.Explanation is free of values.
//
// One flow, documents: the store keeps DocumentKeys of every recorded number; a check asks the
// store for the records under DocumentKeys of the number in hand, and ScoreDocument decides about
// each of them. One flow, persons: the index Persons follows the store by Put and Remove; Search
// asks package names for the persons whose names are like the traveller's, with the log-odds of each,
// and makes score, band, evidence and explanation of those above the operating point.
package match

import (
	"strings"
	"unicode/utf8"

	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Candidate is one record that may be the one asked about, and why.
type Candidate struct {
	// RecordID is the record's id in its collection.
	RecordID string
	// Record is the record as it was put into the index or given to ScoreDocument. It is shared:
	// whoever changes it (to redact) clones it first.
	Record *recordv1.Record
	// Score is from 0 to 1: an order among candidates, not a probability.
	Score float64
	// Band is how sure it is.
	Band hitv1.Band
	// Evidence is what was compared, one entry a feature. It quotes the record.
	Evidence []*hitv1.LocalEvidence
	// Explanation is the evidence in one line, without a value of either side.
	Explanation string
}

// Bounds of the evidence's text, from hit.proto. Longer text is cut, never refused: a hit must
// not be lost because a source wrote a long name.
const (
	maxEvidenceText = 1024
	maxEvidenceHow  = 256
)

func evidence(f hitv1.Feature, a hitv1.Agreement, asked, recorded, how string, weight float64) *hitv1.LocalEvidence {
	return &hitv1.LocalEvidence{
		Feature:   f,
		Agreement: a,
		Asked:     cut(asked, maxEvidenceText),
		Recorded:  cut(recorded, maxEvidenceText),
		How:       cut(how, maxEvidenceHow),
		Weight:    weight + 0, // a zero without a sign
	}
}

// cut returns s as valid UTF-8 (protobuf refuses anything else) of at most n runes.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	runes := []rune(s)
	return string(runes[:n-1]) + "…"
}

// explain turns evidence into one line without values: "name: same; birth date: same day".
func explain(all []*hitv1.LocalEvidence, summaries map[hitv1.Feature]string) string {
	var parts []string
	for _, e := range all {
		how := e.GetHow()
		if s, ok := summaries[e.GetFeature()]; ok {
			how = s
		}
		parts = append(parts, featureName(e.GetFeature())+": "+how)
	}
	return strings.Join(parts, "; ")
}

func featureName(f hitv1.Feature) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(f.String(), "FEATURE_")), "_", " ")
}

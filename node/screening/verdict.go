package screening

import (
	"fmt"
	"strings"
	"unicode/utf8"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// Verdict is the verdict that follows from what became of the question at each bureau
// concerned. The first that applies: HIT if anybody hit; POSSIBLE if a pointer says perhaps and
// its owner did not answer; INCOMPLETE if a bureau concerned answered neither HIT nor NO_HIT and
// policy does not say that the check is complete without it; NO_HIT. A status that is not known
// here is no answer.
func Verdict(bureaus []*screeningv1.BureauStatus) screeningv1.Verdict {
	possible, incomplete := false, false
	for _, b := range bureaus {
		switch b.GetStatus() {
		case queryv1.Status_STATUS_HIT:
			return screeningv1.Verdict_VERDICT_HIT
		case queryv1.Status_STATUS_NO_HIT:
		default:
			// A pointer that says perhaps is never optional: its holder knows that there may be
			// something to know.
			if b.GetSettled() == screeningv1.Settled_SETTLED_POINTER {
				possible = true
			} else if !b.GetOptional() {
				incomplete = true
			}
		}
	}
	switch {
	case possible:
		return screeningv1.Verdict_VERDICT_POSSIBLE
	case incomplete:
		return screeningv1.Verdict_VERDICT_INCOMPLETE
	case len(bureaus) == 0:
		// Nobody was heard at all: that is no answer.
		return screeningv1.Verdict_VERDICT_INCOMPLETE
	default:
		return screeningv1.Verdict_VERDICT_NO_HIT
	}
}

// heard tells whether a bureau answered the question.
func heard(b *screeningv1.BureauStatus) bool {
	return b.GetStatus() == queryv1.Status_STATUS_HIT || b.GetStatus() == queryv1.Status_STATUS_NO_HIT
}

// maxAdvice and maxReason are the bounds of the response's fields.
const (
	maxAdvice = 1024
	maxReason = 512
)

// maxNamed is how many bureaus the advice names; the response lists them all.
const maxNamed = 12

// advice is what the officer is told to do next.
func advice(resp *screeningv1.CheckResponse, byPolicy string) string {
	var missing []string
	for _, b := range resp.GetBureaus() {
		if !heard(b) {
			missing = append(missing, b.GetBureau())
		}
	}
	if n := len(missing); n > maxNamed {
		missing = append(missing[:maxNamed], fmt.Sprintf("and %d more", n-maxNamed))
	}
	var text string
	switch resp.GetVerdict() {
	case screeningv1.Verdict_VERDICT_HIT:
		text = "A hit is a lead, not a verdict: compare person and document with the hit, then contact the bureau that owns the record before you act."
		if len(missing) > 0 {
			text += " Not heard: " + strings.Join(missing, ", ") + "."
		}
	case screeningv1.Verdict_VERDICT_POSSIBLE:
		text = "There may be a record: send the traveller to second-line control and check again. Not heard: " + strings.Join(missing, ", ") + "."
	case screeningv1.Verdict_VERDICT_INCOMPLETE:
		text = "No hit where an answer came, but not everybody concerned was heard: " + strings.Join(missing, ", ") +
			". Check again, or send the traveller to second-line control."
	default:
		return ""
	}
	return atMost(joined(text, byPolicy), maxAdvice)
}

// byPolicy is what the own policy advises: for such checks, and for a bureau that was not heard.
func byPolicy(ofCheck string, all []concerned, resp *screeningv1.CheckResponse) string {
	text := ofCheck
	for _, c := range all {
		for _, b := range resp.GetBureaus() {
			if b.GetBureau() == string(c.Bureau) && !heard(b) {
				text = joined(text, c.advice)
			}
		}
	}
	return text
}

// joined adds a sentence to a text that does not say it already.
func joined(text, more string) string {
	switch {
	case text == "":
		return more
	case more == "" || strings.Contains(text, more):
		return text
	default:
		return text + " " + more
	}
}

// atMost cuts a text to a number of characters.
func atMost(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	runes := []rune(text)
	return string(runes[:limit-1]) + "…"
}

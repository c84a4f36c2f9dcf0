package main

import (
	"fmt"
	"strings"

	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
)

// explainText is how the score of a hit comes about: a line for each comparison, and one for each
// word of a name. Empty for a hit that does not tell it, such as most from abroad.
func explainText(h *hitv1.Hit) string {
	if len(h.GetEvidence()) == 0 {
		return ""
	}
	var b strings.Builder
	if h.Score != nil {
		fmt.Fprintf(&b, "\n      score    %.2f", h.GetScore())
	}
	for _, e := range h.GetEvidence() {
		how := e.GetHow()
		if len(e.GetTokens()) > 0 {
			how = "" // told word by word
		}
		fmt.Fprintf(&b, "\n        %s  %s", weightText(e.GetWeight()), evidenceLine(word(e.GetFeature().String(), "FEATURE_"), e.GetAsked(), e.GetRecorded(), how))
		for _, t := range e.GetTokens() {
			how := strings.ToLower(word(t.GetKind().String(), "TOKEN_KIND_"))
			if t.GetMoved() {
				how += ", moved"
			}
			fmt.Fprintf(&b, "\n          %s  %s", weightText(t.GetWeight()), pairText(t.GetAsked(), t.GetRecorded(), how))
		}
		if whole := weightText(e.GetWholeWeight()); whole != nothing {
			fmt.Fprintf(&b, "\n          %s  the name as a whole", whole)
		}
	}
	return b.String()
}

// nothing is the weight of what neither adds nor takes away.
const nothing = "+0.00"

func weightText(w float64) string {
	if text := fmt.Sprintf("%+.2f", w); text != "-0.00" {
		return text
	}
	return nothing
}

func evidenceLine(feature, asked, recorded, how string) string {
	line := strings.ToLower(feature) + ": "
	if asked == "" && recorded == "" {
		return line + how
	}
	return line + pairText(asked, recorded, how)
}

// pairText is what was asked beside what is recorded: "ZERWALI ~ ZEROUALI (sound)".
func pairText(asked, recorded, how string) string {
	text := asked + " ~ " + recorded
	switch {
	case asked == "":
		text = recorded
	case recorded == "", asked == recorded:
		text = asked
	}
	if how != "" {
		text += " (" + how + ")"
	}
	return text
}

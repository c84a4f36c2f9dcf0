package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/entente-mesh/entente/node/screening"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// checkText is the answer to a check as an officer reads it, and how each score comes about if that
// is asked for.
func checkText(r *screeningv1.CheckResponse, explain bool) string {
	var b strings.Builder
	if r.GetReference() != "" {
		fmt.Fprintf(&b, "%s: ", r.GetReference())
	}
	fmt.Fprintf(&b, "%s  (%s, in %s)", word(r.GetVerdict().String(), "VERDICT_"), travellerText(r.GetTraveller()), short(r.GetElapsed().AsDuration()))
	for _, p := range r.GetProblems() {
		fmt.Fprintf(&b, "\n  ! %s: %s", p.GetField(), p.GetText())
	}
	for _, h := range r.GetHits() {
		b.WriteString(hitText(h, explain))
	}
	for _, s := range r.GetBureaus() {
		fmt.Fprintf(&b, "\n  %s  %s", s.GetBureau(), bureauText(s))
	}
	if r.GetAdvice() != "" {
		fmt.Fprintf(&b, "\n  %s", r.GetAdvice())
	}
	return b.String()
}

func word(s, prefix string) string {
	return strings.ReplaceAll(strings.TrimPrefix(s, prefix), "_", " ")
}

func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	default:
		return d.Round(10 * time.Millisecond).String()
	}
}

func travellerText(t *screeningv1.Traveller) string {
	var parts []string
	if p := t.GetPerson(); p != nil {
		name := p.GetName()
		if name == "" {
			name = strings.TrimSpace(p.GetPrimary() + ", " + p.GetSecondary())
		}
		parts = append(parts, strings.Trim(name, ", "))
		if p.GetBirthDate() != "" {
			parts = append(parts, "born "+p.GetBirthDate())
		}
	}
	if d := t.GetDocument(); d != nil {
		parts = append(parts, strings.TrimSpace("document "+d.GetIssuer()+" "+d.GetNumber()))
	}
	return strings.Join(parts, ", ")
}

func hitText(h *hitv1.Hit, explain bool) string {
	var b strings.Builder
	what := "person"
	if h.GetKind() == hitv1.HitKind_HIT_KIND_DOCUMENT {
		what = "document, " + strings.ToLower(word(h.GetDocumentStatus().String(), "DOCUMENT_STATUS_"))
	} else if h.GetPersonRole() != 0 {
		what = "person, " + strings.ToLower(word(h.GetPersonRole().String(), "PERSON_ROLE_"))
	}
	if h.GetMinor() {
		what += ", MINOR"
	}
	fmt.Fprintf(&b, "\n  HIT %s/%s %s (%s)", h.GetBureau(), h.GetCollection(), h.GetRecordId(), what)
	fmt.Fprintf(&b, "\n      why      %s", h.GetExplanation())
	if explain {
		b.WriteString(explainText(h))
	}
	fmt.Fprintf(&b, "\n      do       %s", strings.ToUpper(screening.ActionWord(h.GetAction())))
	for _, t := range h.GetActionText() {
		fmt.Fprintf(&b, "\n               %s", t.GetText())
	}
	for _, m := range h.GetMustNot() {
		fmt.Fprintf(&b, "\n      do not   %s", strings.TrimPrefix(m, "Do not "))
	}
	for _, w := range h.GetWarnings() {
		fmt.Fprintf(&b, "\n      warning  %s", w)
	}
	if c := h.GetHandling(); c.GetCode() != "" {
		fmt.Fprintf(&b, "\n      handling %s %s %s", c.GetScheme(), c.GetCode(), c.GetText())
	}
	return b.String()
}

func bureauText(s *screeningv1.BureauStatus) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-11s %s", word(s.GetStatus().String(), "STATUS_"), strings.ToLower(word(s.GetSettled().String(), "SETTLED_")))
	if s.GetElapsed() != nil {
		fmt.Fprintf(&b, ", %s", short(s.GetElapsed().AsDuration()))
	}
	if s.GetStatus() != queryv1.Status_STATUS_HIT && s.GetStatus() != queryv1.Status_STATUS_NO_HIT {
		if s.GetReason() != "" {
			fmt.Fprintf(&b, ": %s", s.GetReason())
		}
		if s.GetSince() != nil {
			fmt.Fprintf(&b, ", since %s", clockTime(s.GetSince().AsTime()))
		}
		if len(s.GetRules()) > 0 {
			fmt.Fprintf(&b, ", asked by rule %s", strings.Join(s.GetRules(), ", "))
		}
	}
	return b.String()
}

package screening

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// verdicts is the table of statuses to verdicts: one bureau beside an own node that found
// nothing. Rows are statuses; columns are how it was settled: local, pointer, ask; and whether
// policy says that the check is complete without it.
var verdicts = map[queryv1.Status]struct{ local, pointer, ask, optional, optionalPointer string }{
	queryv1.Status_STATUS_UNSPECIFIED: {"INCOMPLETE", "POSSIBLE", "INCOMPLETE", "NO_HIT", "POSSIBLE"},
	queryv1.Status_STATUS_HIT:         {"HIT", "HIT", "HIT", "HIT", "HIT"},
	queryv1.Status_STATUS_NO_HIT:      {"NO_HIT", "NO_HIT", "NO_HIT", "NO_HIT", "NO_HIT"},
	queryv1.Status_STATUS_REFUSED:     {"INCOMPLETE", "POSSIBLE", "INCOMPLETE", "NO_HIT", "POSSIBLE"},
	queryv1.Status_STATUS_TIMEOUT:     {"INCOMPLETE", "POSSIBLE", "INCOMPLETE", "NO_HIT", "POSSIBLE"},
	queryv1.Status_STATUS_UNAVAILABLE: {"INCOMPLETE", "POSSIBLE", "INCOMPLETE", "NO_HIT", "POSSIBLE"},
	queryv1.Status_STATUS_STALE:       {"INCOMPLETE", "POSSIBLE", "INCOMPLETE", "NO_HIT", "POSSIBLE"},
}

func TestVerdicts(t *testing.T) {
	own := &screeningv1.BureauStatus{Bureau: "BGR", Status: queryv1.Status_STATUS_NO_HIT, Settled: screeningv1.Settled_SETTLED_LOCAL}
	local, pointer, asked := screeningv1.Settled_SETTLED_LOCAL, screeningv1.Settled_SETTLED_POINTER, screeningv1.Settled_SETTLED_ASK
	for number := range queryv1.Status_name {
		status := queryv1.Status(number)
		row, ok := verdicts[status]
		if !ok {
			t.Errorf("%v has no row in the table", status)
		}
		for _, c := range []struct {
			settled  screeningv1.Settled
			optional bool
			want     string
		}{{local, false, row.local}, {pointer, false, row.pointer}, {asked, false, row.ask}, {asked, true, row.optional}, {pointer, true, row.optionalPointer}} {
			other := &screeningv1.BureauStatus{Bureau: "ESP", Status: status, Settled: c.settled, Optional: c.optional}
			if got := Verdict([]*screeningv1.BureauStatus{own, other}); got.String() != "VERDICT_"+c.want {
				t.Errorf("%v, %v, optional %v: %v, want %s", status, c.settled, c.optional, got, c.want)
			}
		}
	}
}

func TestVerdictsOfSeveral(t *testing.T) {
	b := func(status queryv1.Status, settled screeningv1.Settled, optional bool) *screeningv1.BureauStatus {
		return &screeningv1.BureauStatus{Status: status, Settled: settled, Optional: optional}
	}
	hit, none := b(queryv1.Status_STATUS_HIT, screeningv1.Settled_SETTLED_ASK, false), b(queryv1.Status_STATUS_NO_HIT, screeningv1.Settled_SETTLED_LOCAL, false)
	down := b(queryv1.Status_STATUS_UNAVAILABLE, screeningv1.Settled_SETTLED_ASK, false)
	perhaps := b(queryv1.Status_STATUS_TIMEOUT, screeningv1.Settled_SETTLED_POINTER, false)
	spare := b(queryv1.Status_STATUS_TIMEOUT, screeningv1.Settled_SETTLED_ASK, true)
	later := b(queryv1.Status(99), screeningv1.Settled_SETTLED_ASK, false)
	for name, c := range map[string]struct {
		bureaus []*screeningv1.BureauStatus
		want    screeningv1.Verdict
	}{
		"a hit stands above every gap":            {[]*screeningv1.BureauStatus{down, perhaps, none, hit}, screeningv1.Verdict_VERDICT_HIT},
		"perhaps stands above a gap":              {[]*screeningv1.BureauStatus{none, down, perhaps}, screeningv1.Verdict_VERDICT_POSSIBLE},
		"one gap among many answers":              {[]*screeningv1.BureauStatus{none, none, down, none}, screeningv1.Verdict_VERDICT_INCOMPLETE},
		"an optional gap":                         {[]*screeningv1.BureauStatus{none, spare}, screeningv1.Verdict_VERDICT_NO_HIT},
		"an optional gap hides no other":          {[]*screeningv1.BureauStatus{none, spare, down}, screeningv1.Verdict_VERDICT_INCOMPLETE},
		"a status that is not known is no answer": {[]*screeningv1.BureauStatus{none, later}, screeningv1.Verdict_VERDICT_INCOMPLETE},
		"nobody was heard at all":                 {nil, screeningv1.Verdict_VERDICT_INCOMPLETE},
	} {
		if got := Verdict(c.bureaus); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestAdviceIsBounded(t *testing.T) {
	resp := &screeningv1.CheckResponse{Verdict: screeningv1.Verdict_VERDICT_INCOMPLETE}
	for i := range 195 {
		resp.Bureaus = append(resp.Bureaus, &screeningv1.BureauStatus{Bureau: fmt.Sprintf("X%02d", i), Status: queryv1.Status_STATUS_TIMEOUT})
	}
	text := advice(resp, strings.Repeat("é", 1024))
	if utf8.RuneCountInString(text) > maxAdvice || !strings.Contains(text, "and 183 more") || !utf8.ValidString(text) {
		t.Errorf("%d characters: %q", utf8.RuneCountInString(text), text)
	}
	resp.Verdict = screeningv1.Verdict_VERDICT_NO_HIT
	if advice(resp, "x") != "" {
		t.Error("advice on no hit")
	}
}

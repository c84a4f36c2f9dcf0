package limits

import (
	"context"
	"fmt"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// Asked counts what another bureau asks about, before it is looked for. It fails with
// QUOTA_EXCEEDED or THROTTLED if the bureau has had its share, and for the question that completes
// a pattern of enumeration. What it does depends on what the bureau asked and was told, never on
// what is held.
func (l *Limits) Asked(ctx context.Context, from identity.Bureau, subjects ...Subject) error {
	return l.asked(l.account(adminv1.QuotaScope_QUOTA_SCOPE_BUREAU, string(from)), subjects)
}

// Checked is Asked for a check by an own agency.
func (l *Limits) Checked(ctx context.Context, agency string, subjects ...Subject) error {
	return l.asked(l.account(adminv1.QuotaScope_QUOTA_SCOPE_AGENCY, agency), subjects)
}

// Told counts how many records an answer tells another bureau. What it has told it cannot take
// back: it counts against the next question.
func (l *Limits) Told(from identity.Bureau, hits int) {
	l.told(l.account(adminv1.QuotaScope_QUOTA_SCOPE_BUREAU, string(from)), hits)
}

// Found is Told for a check by an own agency.
func (l *Limits) Found(agency string, hits int) {
	l.told(l.account(adminv1.QuotaScope_QUOTA_SCOPE_AGENCY, agency), hits)
}

// The patterns, as alarms name them. None holds anything of what was asked.
const (
	patternDocuments = "asked about many different documents whose numbers lie next to each other"
	patternPerson    = "asked many different questions around one person: names that differ under one birth date, or birth dates under one name"
	patternSubjects  = "asked about far more different documents and persons within an hour than a tenth of its day and than its usual hours have"
	patternPositives = "was told of far more records within an hour than a tenth of its day and than its usual hours have"
)

func (l *Limits) asked(a *account, subjects []Subject) error {
	fallback := l.fallback(a.key.scope)
	now := l.cfg.Now()
	a.mu.Lock()
	a.roll(now)
	q := a.own.over(fallback)
	if what, wait := a.usedUp(now, q); what != "" {
		a.mu.Unlock()
		l.turnAway(a, a.operation(), fault.QuotaExceeded)
		return refusal{fault.QuotaExceeded, "the day's quota of " + what + " is used up", wait}.fault()
	}
	if sample := uint64(sampleOf(q)); a.near == nil || a.near.sample != sample {
		a.near = &near{sample: sample}
	}
	h := a.hour()
	if h.seen == nil {
		h.seen = newDistinct()
	}
	if a.seen == nil {
		a.seen = newDistinct()
	}
	pattern := ""
	for _, s := range subjects {
		h.seen.add(s.Exact)
		a.seen.add(s.Exact)
		if !a.near.add(now, s) {
			continue
		}
		if pattern = patternPerson; s.Kind == Document {
			pattern = patternDocuments
		}
	}
	if pattern == "" && a.surge(now, h.seen.count(), a.excused[0], q.Subjects, a.usual.Subjects) {
		pattern = patternSubjects
	}
	a.dirty = true
	// One who is throttled already is not throttled again: the trickle itself would complete
	// patterns for ever.
	if pattern == "" || now.Before(a.throttle.until) {
		a.mu.Unlock()
		l.note(false)
		return nil
	}
	t := a.hold(now)
	a.mu.Unlock()
	l.caught(a, pattern, t)
	l.turnAway(a, a.operation(), fault.Throttled)
	return refusal{fault.Throttled, "what was asked looks like one who empties a collection question by question, so that few questions pass for a time: have the operators of both sides speak", trickleEvery}.fault()
}

func (l *Limits) told(a *account, hits int) {
	if hits <= 0 {
		return
	}
	fallback := l.fallback(a.key.scope)
	now := l.cfg.Now()
	a.mu.Lock()
	a.roll(now)
	q := a.own.over(fallback)
	a.hour().positives += uint64(hits)
	a.dirty = true
	if now.Before(a.throttle.until) || !a.surge(now, a.hour().positives, a.excused[1], q.Positives, a.usual.Positives) {
		a.mu.Unlock()
		l.note(false)
		return
	}
	t := a.hold(now)
	a.mu.Unlock()
	l.caught(a, patternPositives, t)
}

// caught raises the alarm for a pattern.
func (l *Limits) caught(a *account, pattern string, t throttle) {
	l.alarms.put(adminv1.AlarmKind_ALARM_KIND_ENUMERATION, a.key.name,
		fmt.Sprintf("%s %s; it is throttled for %s. Speak with it; entente quota set ends the throttle.", a.key.name, pattern, span(t.until.Sub(t.since))))
	l.note(true)
}

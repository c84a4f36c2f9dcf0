package limits

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// bookEvery is how often calls of one account that are turned away for one reason are booked: the
// first at once, then as a count. A storm must not fill the books.
const bookEvery = time.Minute

// alarming is how many calls turned away within bookEvery are worth an operator's look; below, a
// burst met its limit and went on.
const alarming = 100

// turnedKey and turned count what was turned away and is not booked yet.
type turnedKey struct {
	operation string
	reason    fault.Reason
}

type turned struct {
	count  uint64
	since  time.Time // of the first that is counted
	booked time.Time
}

func (l *Limits) turnAway(a *account, operation string, reason fault.Reason) {
	l.cfg.Count(a.key.scope, a.key.name, reason)
	now := l.cfg.Now()
	a.mu.Lock()
	a.roll(now)
	a.hour().turned++
	k := turnedKey{operation, reason}
	t := a.pending[k]
	if t == nil {
		t = &turned{}
		a.pending[k] = t
	}
	if t.count == 0 {
		t.since = now
	}
	t.count++
	first := t.count == 1
	a.dirty = true
	a.mu.Unlock()
	l.note(false)
	if first {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// due is one entry that is to be booked.
type due struct {
	a     *account
	key   turnedKey
	count uint64
	since time.Time
}

// book books what is due, or all of it. It reports whether something is left for later.
func (l *Limits) book(ctx context.Context, all bool) (left bool) {
	l.booking.Lock()
	defer l.booking.Unlock()
	now := l.cfg.Now()
	var entries []due
	for _, a := range l.all() {
		a.mu.Lock()
		for k, t := range a.pending {
			switch {
			case t.count > 0 && (all || now.Sub(t.booked) >= bookEvery || now.Before(t.booked)):
				entries = append(entries, due{a, k, t.count, t.since})
			case t.count > 0:
				left = true
			case now.Sub(t.booked) >= bookEvery:
				delete(a.pending, k)
			default:
				left = true
			}
		}
		a.mu.Unlock()
	}
	for _, d := range entries {
		if err := l.cfg.Book(ctx, l.entry(d, now)); err != nil {
			l.cfg.Logger.ErrorContext(ctx, "calls that were turned away could not be booked; tried again", slog.String("name", d.a.key.name), slog.Any("error", err))
			left = true
			continue
		}
		d.a.mu.Lock()
		t := d.a.pending[d.key]
		t.count -= d.count
		t.since, t.booked = now, now
		d.a.dirty = true
		d.a.mu.Unlock()
		l.changed.Store(true)
		left = true // until bookEvery has passed
		l.tell(ctx, d)
	}
	return left
}

func (l *Limits) entry(d due, now time.Time) *auditv1.Entry {
	e := &auditv1.Entry{
		Salt:      make([]byte, 16),
		MessageId: uuid.NewString(),
		Kind:      auditv1.EntryKind_ENTRY_KIND_LIMITED,
		At:        timestamppb.New(now),
		Decision:  auditv1.Decision_DECISION_DENY,
		Operation: d.key.operation,
		Reason:    string(d.key.reason),
		Count:     d.count,
		Elapsed:   durationpb.New(max(0, now.Sub(d.since))),
	}
	_, _ = rand.Read(e.Salt) // never fails (crypto/rand)
	// A count is the own node's: no message crossed the border that the other side has too.
	e.Direction, e.Bureau = auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL, string(l.cfg.Self)
	if d.a.key.scope == adminv1.QuotaScope_QUOTA_SCOPE_BUREAU {
		e.Requester = &queryv1.Requester{}
		if bureauName.MatchString(d.a.key.name) { // else it is the account that many share
			e.Requester.Bureau = d.a.key.name
		}
	} else {
		e.Requester = &queryv1.Requester{Bureau: e.Bureau, Agency: d.a.key.name}
	}
	return e
}

// tell logs what was turned away and raises the alarm that belongs to it.
func (l *Limits) tell(ctx context.Context, d due) {
	name := d.a.key.name
	l.cfg.Logger.WarnContext(ctx, "calls were turned away", slog.String("name", name), slog.String("operation", d.key.operation),
		slog.String("reason", string(d.key.reason)), slog.Uint64("count", d.count))
	switch d.key.reason {
	case fault.QuotaExceeded:
		l.alarms.put(adminv1.AlarmKind_ALARM_KIND_ENUMERATION, name, name+" has used up a quota of the day and asks on: entente quota show says which. If it needs more, entente quota set gives it.")
	case fault.Throttled:
		l.alarms.put(adminv1.AlarmKind_ALARM_KIND_ENUMERATION, name, name+" is throttled for a pattern of enumeration, and asks on. Speak with it; entente quota set ends the throttle.")
	default:
		if d.count >= alarming {
			l.alarms.put(adminv1.AlarmKind_ALARM_KIND_THROTTLED, name, fmt.Sprintf("%d calls of %s were turned away within %s (%s). If it needs more, entente quota set gives it.", d.count, name, span(bookEvery), d.key.reason))
		}
	}
}

// alarmQueue holds alarms until Run raises them: what finds them must not wait for a disk. There
// is one for each kind and subject.
type alarmQueue struct {
	mu   sync.Mutex
	next []alarm
}

type alarm struct {
	kind          adminv1.AlarmKind
	subject, text string
}

func (q *alarmQueue) put(kind adminv1.AlarmKind, subject, text string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !slices.ContainsFunc(q.next, func(a alarm) bool { return a.kind == kind && a.subject == subject }) {
		q.next = append(q.next, alarm{kind, subject, text})
	}
}

func (l *Limits) raise(ctx context.Context) {
	l.alarms.mu.Lock()
	next := l.alarms.next
	l.alarms.next = nil
	l.alarms.mu.Unlock()
	for _, a := range next {
		l.cfg.Raise(ctx, a.kind, a.subject, a.text)
	}
}

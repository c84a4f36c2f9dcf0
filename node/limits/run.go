package limits

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// saveEvery is how often what changed is saved. It is what a crash loses.
const saveEvery = time.Second

// savings orders the saves; there is one at a time.
type savings struct {
	mu   sync.Mutex
	hour int64 // of the last save
	at   time.Time
	all  []byte // the value of keyAll as it was saved last; nil: not known
	// Since when saving has failed, and when that was last raised.
	failing, raised time.Time
}

// Run saves, books and raises until the context ends. It must run as long as calls come in; then
// Close saves the rest.
func (l *Limits) Run(ctx context.Context) error {
	timer := time.NewTimer(saveEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-timer.C:
		}
		if l.pass(ctx) {
			timer.Reset(saveEvery)
		} else {
			timer.Stop() // until something wakes it
		}
	}
}

// pass does what is due, and reports whether there is more to do later.
func (l *Limits) pass(ctx context.Context) (later bool) {
	later = l.book(ctx, false)
	l.raise(ctx)
	l.saving.mu.Lock()
	early := l.cfg.Now().Sub(l.saving.at) < saveEvery && !l.cfg.Now().Before(l.saving.at)
	l.saving.mu.Unlock()
	switch {
	case !l.changed.Load():
	case early && !l.urgent.Load():
		later = true
	default:
		if err := l.save(ctx, false); err != nil {
			l.cfg.Logger.ErrorContext(ctx, "the limits could not be saved; tried again", slog.Any("error", err))
			l.unsavedFor(ctx)
			later = true
		} else {
			l.saving.failing = time.Time{}
		}
	}
	return later
}

// unsavedAlarm is for how long saving may fail before somebody must look into it, and how often that
// is said.
const unsavedAlarm = time.Minute

// unsavedFor raises an alarm when saving has failed for too long: with a crash everybody's day would
// begin anew.
func (l *Limits) unsavedFor(ctx context.Context) {
	now := l.cfg.Now()
	s := &l.saving
	if s.failing.IsZero() || now.Before(s.failing) {
		s.failing = now
	}
	if now.Sub(s.failing) < unsavedAlarm || now.Sub(s.raised) < unsavedAlarm && !now.Before(s.raised) {
		return
	}
	s.raised = now
	l.cfg.Raise(ctx, adminv1.AlarmKind_ALARM_KIND_DAMAGE, "limits",
		"what everybody has asked could not be saved for "+span(unsavedAlarm)+": after a crash the limits would begin anew. The log says why; is the disk full?")
}

// Close books and saves what Run has not, and that the node stopped by itself: buckets are as full
// at the next start as they are now. Call it when no calls come in any more.
func (l *Limits) Close(ctx context.Context) error {
	var unbooked error
	if l.book(ctx, true) && l.anyPending() {
		unbooked = errors.New("limits: calls that were turned away could not be booked; they are at the next start")
	}
	l.raise(ctx)
	return errors.Join(unbooked, l.save(ctx, true))
}

func (l *Limits) anyPending() bool {
	for _, a := range l.all() {
		a.mu.Lock()
		for _, t := range a.pending {
			if t.count > 0 {
				a.mu.Unlock()
				return true
			}
		}
		a.mu.Unlock()
	}
	return false
}

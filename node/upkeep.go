package node

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/entente-mesh/entente/node/disk"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// diskReserve is below what is left on a disk other bureaus' questions are turned away, or diskShare of
// a disk that is small. What is left then is for the own border, for many days.
const (
	diskReserve = 1 << 30
	diskShare   = 50 // one in so many
	// diskInterval is how often it is looked at: who floods writes some hundred megabytes meanwhile.
	diskInterval = 5 * time.Second
)

// diskWatch keeps a reserve on the disks of a node for its own border.
type diskWatch struct {
	dirs  []string
	free  func(path string) (disk.Room, error)
	hold  func(holds bool) // turns the mesh away
	raise func(ctx context.Context, kind adminv1.AlarmKind, subject, text, evidence string)
	log   *slog.Logger

	holding, told bool
}

func (n *Node) newDiskWatch() *diskWatch {
	return &diskWatch{
		dirs: []string{n.layout.dir, n.layout.store(), n.layout.recordKeys(), n.layout.journal(), n.layout.log()},
		free: disk.Free, hold: n.limits.NoRoom, raise: n.raise, log: n.log,
	}
}

// look looks at the disks once. What is not known does not count. What began below the reserve ends a
// quarter above it, so that it does not come and go.
func (w *diskWatch) look(ctx context.Context) {
	short := ""
	for _, dir := range w.dirs {
		room, err := w.free(dir)
		if err != nil {
			if !w.told {
				w.told = true
				w.log.WarnContext(ctx, "how full a disk is cannot be told", slog.Any("error", err))
			}
			continue
		}
		reserve := min(diskReserve, room.Total/diskShare)
		if w.holding {
			reserve += reserve / 4
		}
		if room.Known() && room.Free < reserve {
			short = fmt.Sprintf("disk almost full: %d MiB are free where %s lies. Questions of other bureaus are turned away until there is room, the own border goes on: free some, or give it a larger disk", room.Free>>20, dir)
			break
		}
	}
	if holds := short != ""; holds != w.holding {
		w.holding = holds
		w.hold(holds)
		if holds {
			w.raise(ctx, adminv1.AlarmKind_ALARM_KIND_DAMAGE, "disk", short, "")
		} else {
			w.log.InfoContext(ctx, "there is room on the disk again: questions of other bureaus are answered")
		}
	}
}

const (
	retainEvery = 24 * time.Hour
	// clockNoted is how often the time is noted, and clockJump by how much the clock may be ahead of
	// what was noted last, or behind it, before a person must say that it is right. A node that was off
	// for longer looks the same.
	clockNoted = time.Hour
	clockJump  = 7 * 24 * time.Hour
	clockRoom  = "clock"
	clockKey   = "noted"
)

// retention erases what is too old in the books, if the clock can be believed: a clock that is years
// ahead for a minute would erase all of them.
type retention struct {
	days  int
	state interface {
		GetState(ctx context.Context, room, key string) ([]byte, bool, error)
		PutState(ctx context.Context, room, key string, value []byte) error
	}
	retain func(ctx context.Context, before time.Time) (segments int, err error)
	alarms func() []*adminv1.Alarm // that are open
	raise  func(ctx context.Context, kind adminv1.AlarmKind, subject, text, evidence string)
	now    func() time.Time
	log    *slog.Logger

	tried time.Time
}

func (n *Node) newRetention() *retention {
	return &retention{
		days: n.cfg.BooksDays, state: n.rest.store, retain: n.rest.journal.Retain, alarms: n.alarms.Open, raise: n.raise, now: n.now, log: n.log,
	}
}

// look does what is due.
func (r *retention) look(ctx context.Context) {
	now := r.now()
	if err := r.clock(ctx, now); err != nil {
		r.log.ErrorContext(ctx, "whether the clock can be believed is not known: nothing in the books is erased by age", slog.Any("error", err))
		return
	}
	if since := now.Sub(r.tried); since >= 0 && since < retainEvery {
		return
	}
	r.tried = now
	for _, a := range r.alarms() {
		// Of another bureau's clock nothing follows here: a neighbour must not decide what is kept.
		if a.GetKind() == adminv1.AlarmKind_ALARM_KIND_CLOCK && a.GetSubject() == "" {
			r.log.WarnContext(ctx, "nothing in the books is erased by age while an alarm CLOCK about the own clock is open")
			return
		}
	}
	if erased, err := r.retain(ctx, now.AddDate(0, 0, -r.days)); err != nil && ctx.Err() == nil {
		r.log.ErrorContext(ctx, "what is too old in the books was not erased", slog.Any("error", err))
	} else if erased > 0 {
		r.log.InfoContext(ctx, "the books' oldest entries were erased", slog.Int("segments", erased))
	}
}

// clock compares the time with what was noted last, before a start as well, and notes it.
func (r *retention) clock(ctx context.Context, now time.Time) error {
	value, found, err := r.state.GetState(ctx, clockRoom, clockKey)
	if err != nil {
		return err
	}
	if found {
		var last time.Time
		if err := last.UnmarshalText(value); err != nil {
			return fmt.Errorf("the time that was noted: %w", err)
		}
		moved := now.Sub(last)
		if moved >= 0 && moved < clockNoted {
			return nil
		}
		if moved > clockJump || moved < -clockJump {
			r.raise(ctx, adminv1.AlarmKind_ALARM_KIND_CLOCK, "",
				fmt.Sprintf("the clock says %s, and when it was noted last it said %s: if the node was not off for so long, set the clock (NTP). Until this alarm is cleared nothing in the books is erased by age",
					now.UTC().Format(time.RFC3339), last.UTC().Format(time.RFC3339)), "")
		}
	}
	text, err := now.UTC().MarshalText()
	if err != nil {
		return err
	}
	return r.state.PutState(ctx, clockRoom, clockKey, text)
}

package journal_test

import (
	"errors"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/journal"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

func asked(n int) journal.Passage {
	return border(n, auditv1.EntryKind_ENTRY_KIND_ASK, auditv1.EntryDirection_ENTRY_DIRECTION_IN)
}

func erased(t *testing.T, j *journal.Journal, n int) bool {
	t.Helper()
	found, err := j.Find(t.Context(), id(n))
	if err != nil || len(found) == 0 {
		t.Fatalf("%v, %v", found, err)
	}
	return found[0].Erased
}

// TestClockAhead: a clock that is years ahead erases nothing; nor does one that stands still.
func TestClockAhead(t *testing.T) {
	w := lossy()
	w.segment = 8 << 10
	j := w.open(t)
	for n := range 20 {
		record(t, j, asked(n))
	}
	for _, now := range []time.Time{noon.AddDate(3, 0, 1), noon.AddDate(0, 0, 4), noon.AddDate(-3, 0, 0)} {
		w.now = now
		if n, err := j.Retain(t.Context(), noon.AddDate(1, 0, 0)); !errors.Is(err, journal.ErrClock) || n != 0 {
			t.Errorf("at %s: erased %d, %v", now, n, err)
		}
	}
	if erased(t, j, 3) {
		t.Error("an entry was erased")
	}
	w.now = noon
	whole(t, j)
}

// TestEntryDatedAhead: what one entry says of its time keeps neither it nor what came later.
func TestEntryDatedAhead(t *testing.T) {
	w := lossy()
	w.segment = 8 << 10
	j := w.open(t)
	const all = 60
	for n := range all {
		w.now = noon.Add(time.Duration(n) * time.Hour)
		p := asked(n)
		if n == 2 {
			p.Entry.At.Seconds += 20 * 365 * 86400
		}
		record(t, j, p)
	}
	if n, err := j.Retain(t.Context(), noon.Add(30*time.Hour)); err != nil || n == 0 {
		t.Errorf("erased %d segments, %v", n, err)
	}
	if !erased(t, j, 2) || !erased(t, j, 5) || erased(t, j, 31) || erased(t, j, all-1) {
		t.Error("not what was written long ago was erased")
	}
	whole(t, j)
}

// TestSegmentsOfAWrongClock: segments that were made by a clock that ran ahead or behind neither keep
// what is old nor let go what is new.
func TestSegmentsOfAWrongClock(t *testing.T) {
	for name, wrong := range map[string]time.Duration{"ahead": 10 * 365 * 24 * time.Hour, "behind": -10 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := lossy()
			w.segment = 8 << 10
			j := w.open(t)
			for n := range 60 {
				w.now = noon.Add(time.Duration(n) * time.Hour)
				if n >= 20 && n < 30 {
					w.now = w.now.Add(wrong)
				}
				record(t, j, asked(n))
			}
			if n, err := j.Retain(t.Context(), noon.Add(-time.Hour)); err != nil || n != 0 {
				t.Errorf("erased %d segments, %v", n, err)
			}
			if n, err := j.Retain(t.Context(), noon.Add(45*time.Hour)); err != nil || n == 0 {
				t.Errorf("erased %d segments, %v", n, err)
			}
			if !erased(t, j, 1) || !erased(t, j, 25) || erased(t, j, 46) || erased(t, j, 59) {
				t.Errorf("erased: first %v, of the wrong clock %v, later %v, last %v", erased(t, j, 1), erased(t, j, 25), erased(t, j, 46), erased(t, j, 59))
			}
		})
	}
}

package witness

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/entente-mesh/entente/pki/evidence"
)

const (
	// maxUnproven is how many checkpoints of one log wait for a proof. Of more a random choice
	// is proven, and always the largest: who rewrites its log between two of them cannot choose
	// which one is left out.
	maxUnproven = 32
	// maxProven is how many checkpoints of the last minutes are remembered, so that a message
	// that was overtaken on its way costs no question.
	maxProven = 32

	// overtaken is the longest way of a message: an ask or its answer lives two minutes, and
	// clocks may differ by half a one. What arrives later than that after a larger checkpoint was
	// signed after it.
	overtaken = 3 * time.Minute
	// clearly is by how much two signed times of one clock differ when nobody can say that they
	// merely crossed.
	clearly = 2 * time.Minute
)

// seen is a checkpoint that its bureau's log key has signed.
type seen struct {
	evidence.Checkpoint
	note     []byte
	received time.Time // first, by the own clock
	at       time.Time // its carrier's own time; zero if it had none
	by       carriage
	told     bool // by somebody else, and not shown here yet
	effort   effort
}

// effort is what was done for a proof that has not come.
type effort struct {
	tries int       // that count
	since time.Time // of the first of them
	last  time.Time
	next  time.Time // not before
	delay time.Duration
	wrong int // proofs in a row that do not hold
	kept  bool
}

// log is one log of a bureau, as its checkpoints show it.
type log struct {
	origin, replica string

	known    *seen   // the newest that was proven and made durable; nil before the first
	top      *seen   // the largest that was shown here, or proven
	unproven []*seen // signed and not proven, in the order of their coming
	proven   []*seen // the last ones that are consistent with known, oldest first
	findings []*finding
	latest   *seen // after a fork: the newest that was signed

	last  time.Time // when it was last shown
	asked time.Time // when its bureau was last asked for a proof of it
	saved time.Time // when latest was last made durable
	back  bool      // an older one is next
}

func newLog(origin, replica string) *log { return &log{origin: origin, replica: replica} }

// forked says whether it is proven that there is more than one log under this name. No proof
// between two checkpoints means anything then.
func (l *log) forked() bool {
	return slices.ContainsFunc(l.findings, func(f *finding) bool { return f.Kind == fork })
}

// find returns the checkpoint of that size that is remembered, or nil.
func (l *log) find(size uint64) *seen {
	if l.known != nil && l.known.Size == size {
		return l.known
	}
	for _, list := range [][]*seen{l.proven, l.unproven} {
		for _, s := range list {
			if s.Size == size {
				return s
			}
		}
	}
	return nil
}

// add puts a new one among those that wait for a proof. One that was told is not the newest: if it
// is of another log than the one that is shown here, there is no proof that leads to it, and
// nothing newer would ever be proven. It waits until the log that is shown here has outgrown it.
func (l *log) add(n *seen) {
	if l.top == nil || n.Size > l.top.Size && !n.told {
		if l.top != nil && l.top != l.known {
			// The newest inherits what was done for the one that it overtakes: who shows a new
			// checkpoint with every message and proves none does not begin anew each time.
			n.effort = l.top.effort
			n.effort.wrong, n.effort.kept = 0, false
		}
		l.top = n
	}
	if len(l.unproven) < maxUnproven {
		l.unproven = append(l.unproven, n)
		return
	}
	i := rand.IntN(len(l.unproven))
	if l.unproven[i] == l.top { // which is there if it is not n, and n else takes any other's place
		i = (i + 1) % len(l.unproven)
	}
	l.unproven[i] = n
}

// show makes one that was told one that was shown here.
func (l *log) show(n *seen, s sighting, by carriage) {
	n.told, n.received, n.at, n.by = false, s.received, s.at, by
	if n.Size > l.top.Size {
		l.top = n
	}
}

// drop takes one out of those that wait.
func (l *log) drop(s *seen) {
	l.unproven = slices.DeleteFunc(l.unproven, func(u *seen) bool { return u == s })
}

// remember keeps one that is consistent with known.
func (l *log) remember(s *seen) {
	if len(l.proven) == maxProven {
		l.proven = slices.Delete(l.proven, 0, 1)
	}
	l.proven = append(l.proven, s)
}

// collect keeps the newest of a log that forked.
func (l *log) collect(n *seen) {
	l.unproven = nil
	if l.latest == nil || n.Size >= l.latest.Size {
		l.latest = n
	}
	if l.top == nil || n.Size > l.top.Size {
		l.top = n
	}
}

// target returns the checkpoint that is to be proven now, or nil: in turns the newest, and one
// that is older than what is known; if there is time, one that was told and is newer.
func (l *log) target(now time.Time) *seen {
	if l.forked() {
		return nil
	}
	newest, older, ahead := l.candidates()
	ready := func(s *seen) bool { return s != nil && !now.Before(s.effort.next) }
	switch {
	case l.back && ready(older):
		return older
	case ready(newest):
		return newest
	case ready(older):
		return older
	case ready(ahead):
		return ahead
	}
	return nil
}

// candidates are those that a proof can be asked for: those between known and the newest wait
// until they are older than what is known. Of those that were told and are newer than what was
// shown here, it is the smallest, always the same one, until it is outgrown.
func (l *log) candidates() (newest, older, ahead *seen) {
	for _, s := range l.unproven {
		switch {
		case s == l.top:
			newest = s
		case l.known != nil && s.Size < l.known.Size && (older == nil || s.effort.next.Before(older.effort.next)):
			older = s
		case s.told && s.Size > l.top.Size && (ahead == nil || s.Size < ahead.Size):
			ahead = s
		}
	}
	return newest, older, ahead
}

// due returns when the log needs something, if it does.
func (l *log) due() (time.Time, bool) {
	var at time.Time
	some := false
	consider := func(t time.Time) {
		if !some || t.Before(at) {
			at, some = t, true
		}
	}
	for _, f := range l.findings {
		if !f.Told {
			consider(f.retry)
		}
	}
	if !l.forked() {
		newest, older, ahead := l.candidates()
		for _, s := range []*seen{newest, older, ahead} {
			if s != nil {
				consider(s.effort.next)
			}
		}
	}
	return at, some
}

// order is how a checkpoint's size and its time agree with the largest one's.
type order int

const (
	inOrder   order = iota // it is not smaller, or was merely overtaken
	backwards              // it is smaller and was signed clearly later: the log shrank
	dated                  // it is smaller and came much later, under a date that is not later
)

// orderOf compares a checkpoint with the largest. What counts is the own clock: a message that is
// let in is fresh, so one that comes minutes after the larger checkpoint was signed after it. The
// signed times, where both were taken by one clock, must not contradict that.
func (l *log) orderOf(size uint64, s sighting, by carriage) order {
	if l.top == nil || size >= l.top.Size || s.way == told || s.received.Sub(l.top.received) <= overtaken {
		return inOrder
	}
	if by.Clock != noClock && by.Clock == l.top.by.Clock && !s.at.IsZero() && !l.top.at.IsZero() && s.at.Sub(l.top.at) <= clearly {
		return dated
	}
	return backwards
}

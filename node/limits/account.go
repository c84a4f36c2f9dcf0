package limits

import (
	"cmp"
	"math"
	"math/bits"
	"sync"
	"time"

	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// accountKey names an account.
type accountKey struct {
	scope adminv1.QuotaScope
	name  string
}

// slots is how many hours are counted: the one that runs and the 24 before it. What was asked in
// the hour 24 hours ago counts whole, so that a day is never shorter than a day.
const slots = 25

// hour is what was counted in one hour.
type hour struct {
	questions, positives, turned uint64
	seen                         *distinct // nil: no subject
	saved                        bool      // seen is whole and saved
}

// account is what is known of one bureau or agency. All but key is owned by mu.
type account struct {
	key accountKey

	mu      sync.Mutex
	own     quota // what it has of its own; zero fields take the default
	ask     bucket
	other   bucket
	streams int

	number int64       // of the hour that runs, since the epoch
	hours  [slots]hour // the hour n lies at n mod slots
	seen   *distinct   // of all slots together
	near   *near       // nil: no question within the hour

	throttle throttle
	usual    usual
	excused  [2]uint64 // subjects and positives of the running hour that the operator has excused
	pending  map[turnedKey]*turned
	dirty    bool // it is not as it was saved last
}

// throttle holds somebody back.
type throttle struct {
	since, until time.Time
	level        int // how many came before it, and close
}

const (
	throttleFirst   = time.Hour
	throttleLongest = 24 * time.Hour
	throttleMemory  = 7 * 24 * time.Hour
	trickleEvery    = time.Minute
	trickleBurst    = 1
)

// usual is the busiest hour of a usual day, learned day by day; and the busiest of this day.
type usual struct {
	Day       int64   `json:"day"`
	Subjects  float64 `json:"subjects,omitempty"`
	Positives float64 `json:"positives,omitempty"`
	// Of this day.
	PeakSubjects  uint64 `json:"peak_subjects,omitempty"`
	PeakPositives uint64 `json:"peak_positives,omitempty"`
	Odd           bool   `json:"odd,omitempty"` // somebody was throttled: nothing is learned of this day
}

// learning is how much of the usual day one day makes.
const learning = 0.3

func newAccount(k accountKey, now time.Time, tokens bool) *account {
	a := &account{key: k, dirty: true, number: now.Unix() / 3600, pending: map[turnedKey]*turned{}, ask: bucket{at: now}, other: bucket{at: now}}
	a.usual.Day = a.number / 24
	if tokens {
		a.ask.tokens, a.other.tokens = math.MaxFloat64, math.MaxFloat64 // cut to the burst when it is used
	}
	return a
}

func (a *account) hour() *hour { return &a.hours[a.number%slots] }

// roll goes on to the hour of now. It never goes back by one: a clock that was set back a little
// makes the hour longer. A clock that was ahead by more has filled hours that are to come; their
// counts are put into this one.
func (a *account) roll(now time.Time) {
	n := now.Unix() / 3600
	switch {
	case n == a.number || n == a.number-1:
		return
	case n < a.number:
		var all hour
		for i := range a.hours {
			all.questions += a.hours[i].questions
			all.positives += a.hours[i].positives
			all.turned += a.hours[i].turned
		}
		all.seen = a.seen
		a.hours = [slots]hour{}
		a.number, a.usual.Day = n, n/24
		*a.hour() = all
	default:
		a.closeHour()
		for range min(n-a.number, slots) {
			a.number++
			*a.hour() = hour{}
		}
		a.number = n
		if day := n / 24; day > a.usual.Day {
			a.closeDay(day)
		}
		if a.near != nil && now.Unix()/int64(nearWindow/time.Second) > a.near.window+1 {
			a.near = nil
		}
	}
	a.excused = [2]uint64{}
	a.dirty = true
	a.unite()
}

// unite counts the distinct subjects of all slots anew.
func (a *account) unite() {
	a.seen = nil
	for i := range a.hours {
		if a.hours[i].seen == nil {
			continue
		}
		if a.seen == nil {
			a.seen = newDistinct()
		}
		a.seen.merge(a.hours[i].seen)
	}
}

func (a *account) closeHour() {
	h := a.hour()
	a.usual.PeakSubjects = max(a.usual.PeakSubjects, h.seen.count())
	a.usual.PeakPositives = max(a.usual.PeakPositives, h.positives)
}

// closeDay learns of the day that ended. A day on which nobody asked teaches nothing, nor one with
// a throttle: who sweeps must not make it usual.
func (a *account) closeDay(day int64) {
	u := &a.usual
	if !u.Odd && u.PeakSubjects > 0 {
		learn := func(usual *float64, peak uint64) {
			if *usual == 0 {
				*usual = float64(peak)
				return
			}
			*usual += learning * (float64(peak) - *usual)
		}
		learn(&u.Subjects, u.PeakSubjects)
		learn(&u.Positives, u.PeakPositives)
	}
	u.Day, u.PeakSubjects, u.PeakPositives, u.Odd = day, 0, 0, false
}

// pace is the rate and the burst that hold now.
func (a *account) pace(now time.Time, q quota) (rate, burst float64) {
	if now.Before(a.throttle.until) {
		return min(q.PerSecond, 1/trickleEvery.Seconds()), trickleBurst
	}
	return q.PerSecond, float64(q.Burst)
}

// usedUp returns which quota of the day is used up, if one is, in words, and since it is counted by
// the hour how long it is until the next one is counted.
func (a *account) usedUp(now time.Time, q quota) (what string, wait time.Duration) {
	var positives uint64
	for i := range a.hours {
		positives += a.hours[i].positives
	}
	switch {
	case positives >= q.Positives:
		what = "positive answers"
	case a.seen.count() >= q.Subjects:
		what = "distinct documents and persons"
	default:
		return "", 0
	}
	return what, nextHour(now)
}

// questionsFactor is how many questions a day one may ask for each subject of its quota. Who asks
// about the same again and again learns nothing new, but each question stays in the books.
const questionsFactor = 10

// overAsked is usedUp for the questions themselves, before one more is counted.
func (a *account) overAsked(now time.Time, q quota) (wait time.Duration, over bool) {
	var questions uint64
	for i := range a.hours {
		questions += a.hours[i].questions
	}
	return nextHour(now), questions/questionsFactor >= q.Subjects
}

func nextHour(now time.Time) time.Duration {
	return time.Unix((now.Unix()/3600+1)*3600, 0).Sub(now)
}

// hold throttles from now on, twice as long as the last time if that is not long ago.
func (a *account) hold(now time.Time) throttle {
	level := 0
	if a.caughtLately(now) {
		level = a.throttle.level + 1
	}
	length := min(throttleFirst<<min(level, 10), throttleLongest)
	a.throttle = throttle{since: now, until: now.Add(length), level: level}
	a.ask.tokens = min(a.ask.tokens, trickleBurst)
	a.near = nil // what was seen has had its effect
	a.usual.Odd = true
	a.dirty = true
	return a.throttle
}

// lift ends a throttle. What led to it is excused, so that it does not come back by itself.
func (a *account) lift(now time.Time) {
	a.throttle = throttle{}
	a.near = nil
	a.excused = [2]uint64{a.hour().seen.count(), a.hour().positives}
	a.dirty = true
}

// surgeShare and surgeFactor: an hour with more than one surgeShare-th of the day's quota, and
// more than surgeFactor times the usual busiest hour, is a pattern.
const (
	surgeShare  = 10
	surgeFactor = 8
)

// surge reports whether an hour's count is a pattern. Who was caught before has half of the room
// each time, and no history to stand on: else a list could be read in pieces.
func (a *account) surge(now time.Time, n, excused, perDay uint64, usual float64) bool {
	n -= min(n, excused)
	room := max(1, perDay/surgeShare)
	if a.caughtLately(now) {
		return n > max(1, room>>min(a.throttle.level+1, 62))
	}
	return n > room && float64(n) > surgeFactor*usual
}

// caughtLately reports whether a throttle is still held against somebody.
func (a *account) caughtLately(now time.Time) bool {
	return !a.throttle.until.IsZero() && now.Sub(a.throttle.until) < throttleMemory
}

// sampleOf is which of the marks a quota's neighbourhoods look at: every second up to the default
// of a bureau, fewer where more may be asked, by the powers of two.
func sampleOf(q quota) int {
	times := q.Subjects / shipped(adminv1.QuotaScope_QUOTA_SCOPE_BUREAU).Subjects
	return nearSample << (bits.Len64(cmp.Or(times, 1)) - 1)
}

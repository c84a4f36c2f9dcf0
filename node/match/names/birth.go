package names

import "time"

// Span is the days on which somebody may have been born, in days since 1 January 1970.
type Span struct {
	From, To int32
	// About says that the source itself is not sure of the span.
	About bool
}

// Day is the number of a day.
func Day(t time.Time) int32 {
	return int32(t.Unix() / secondsADay)
}

const secondsADay = 86400

func date(day int32) (y int, m time.Month, d int) {
	return time.Unix(int64(day)*secondsADay, 0).UTC().Date()
}

// BirthMatch is how an asked birth date compares with a recorded one.
type BirthMatch uint8

// How birth dates compare.
const (
	BirthUnknown BirthMatch = iota
	BirthSameDay
	BirthSwapped      // day and month changed places: between two customs of writing
	BirthPlaceholder  // the same year, and one side says 1 January
	BirthPartOfDay    // the same year, and the same day or the same month
	BirthSameYear     // the same year, another date
	BirthNextYear     // the same day and month, a year apart
	BirthDigit        // the same but for one digit of the year
	BirthOnlyMonth    // the same month, which is all that one side knows
	BirthOnlyYear     // the same year, which is all that one side knows
	BirthOtherMonth   // the same year, and months known and different
	BirthInRange      // within a span of more than a year
	BirthApproximate  // within a span of which the source is not sure
	BirthNearApprox   // within two years of one
	BirthNearYear     // off by up to a year, where but the year is known
	BirthNearConflict // a few years apart
	BirthConflict
)

// birthWeights are log-odds: of the same person's date being recorded so, against that of a stranger.
// A stranger shares a day with one in twenty thousand and a year with one in sixty.
var birthWeights = [...]float32{
	BirthSameDay: 9.4, BirthSwapped: 5, BirthPlaceholder: 2, BirthPartOfDay: 1.5, BirthSameYear: 0,
	BirthNextYear: 2.0, BirthDigit: 1.0, BirthOnlyMonth: 6, BirthOnlyYear: 3.9, BirthOtherMonth: -1,
	BirthInRange: 2.5, BirthApproximate: 3.2, BirthNearApprox: 1.5, BirthNearYear: 0,
	BirthNearConflict: -9, BirthConflict: -20,
}

// approximateYears is how far an approximate year may be off.
const approximateYears = 2

// bestBirth returns the best agreement with any of the record's statements: a record that holds
// several is about somebody who uses several.
func bestBirth(asked Span, known bool, recorded []Span) (BirthMatch, int, float32) {
	if !known || len(recorded) == 0 {
		return BirthUnknown, -1, 0
	}
	best, at := BirthConflict, 0
	for i, r := range recorded {
		if m := CompareBirth(asked, r); i == 0 || birthWeights[m] > birthWeights[best] {
			best, at = m, i
		}
	}
	return best, at, birthWeights[best]
}

// CompareBirth compares an asked with a recorded date.
func CompareBirth(q, r Span) BirthMatch {
	if q.From == q.To && r.From == r.To && !r.About {
		return compareDays(q.From, r.From)
	}
	overlap := q.From <= r.To && r.From <= q.To
	qy, qm, _ := date(q.From)
	ry, rm, _ := date(r.From)
	qEnd, qEndMonth, _ := date(q.To)
	rEnd, rEndMonth, _ := date(r.To)
	if r.About {
		switch {
		case overlap:
			return BirthApproximate
		case apart(qy, qEnd, ry, rEnd) <= approximateYears:
			return BirthNearApprox
		}
		return BirthConflict
	}
	oneYear := qy == qEnd && ry == rEnd
	if overlap {
		switch {
		case oneYear && qm == qEndMonth && rm == rEndMonth:
			return BirthOnlyMonth
		case oneYear:
			return BirthOnlyYear
		}
		return BirthInRange
	}
	if oneYear && qy == ry {
		return BirthOtherMonth
	}
	if apart(qy, qEnd, ry, rEnd) <= 1 {
		return BirthNearYear
	}
	return BirthConflict
}

// apart is how many years lie between two spans of years.
func apart(a, aEnd, b, bEnd int) int { return max(0, a-bEnd, b-aEnd) }

func compareDays(q, r int32) BirthMatch {
	if q == r {
		return BirthSameDay
	}
	// Dates are dear to compute, and most are years apart.
	const years = 366
	if q-r > 41*years || r-q > 41*years {
		return BirthConflict
	}
	qy, qm, qd := date(q)
	ry, rm, rd := date(r)
	newYear := qm == time.January && qd == 1 || rm == time.January && rd == 1
	away := qy - ry
	if away < 0 {
		away = -away
	}
	switch {
	case away == 0 && qd == int(rm) && rd == int(qm):
		return BirthSwapped
	case away == 0 && newYear:
		return BirthPlaceholder
	case away == 0 && (qd == rd || qm == rm):
		return BirthPartOfDay
	case away == 0:
		return BirthSameYear
	case away == 1 && qd == rd && qm == rm:
		return BirthNextYear
	case away%10 == 0 && qd == rd && qm == rm:
		return BirthDigit
	case away <= approximateYears:
		return BirthNearConflict
	}
	return BirthConflict
}

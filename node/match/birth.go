package match

import (
	"strings"
	"time"

	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// span is the days on which somebody may have been born.
type span struct {
	from, to  time.Time
	precision recordv1.DatePrecision
}

// What agreement on the birth date adds to a score, and what disagreement takes. The date tells
// more than any likeness of names (one traveller in 20,000 shares another's birthday), so a
// conflict alone is more than all other evidence can make good, and a whole date nearly carries a
// name that is but half the same.
const (
	birthSame        = 0.14
	birthSameMonth   = 0.10
	birthSwapped     = 0.08 // day and month changed places: between two customs of writing
	birthSameYear    = 0.08
	birthInRange     = 0.05 // a span of more than a year
	birthApproximate = 0.06 // the source itself says "about"
	birthNear        = 0.04 // within approximateYears of an approximate date
	birthPlaceholder = 0.03 // the same year, and one side says 1 January
	birthOtherDay    = -0.04
	birthOtherDate   = -0.08
	birthNextYear    = -0.09
	birthConflict    = -0.40
)

// approximateYears is how far an approximate year may be off.
const approximateYears = 2

// birthEvidence is how an asked date compares with one statement of a record.
type birthEvidence struct {
	agreement hitv1.Agreement
	how       string
	weight    float64
	recorded  string
}

var birthUnknown = birthEvidence{agreement: hitv1.Agreement_AGREEMENT_UNKNOWN}

// askedSpan reads a query's birth date: "YYYY", "YYYY-MM" or "YYYY-MM-DD". Parts that name no day
// of the calendar are not known: a zone holds "00" and worse.
func askedSpan(date string) (span, bool) {
	if strings.HasPrefix(date, "0000") {
		return span{}, false
	}
	if d, err := time.Parse(time.DateOnly, date); err == nil {
		return span{d, d, recordv1.DatePrecision_DATE_PRECISION_DAY}, true
	}
	if len(date) >= len("2006-01") {
		if d, err := time.Parse("2006-01", date[:len("2006-01")]); err == nil {
			return span{d, d.AddDate(0, 1, -1), recordv1.DatePrecision_DATE_PRECISION_MONTH}, true
		}
	}
	if len(date) >= len("2006") {
		if d, err := time.Parse("2006", date[:len("2006")]); err == nil {
			return span{d, d.AddDate(1, 0, -1), recordv1.DatePrecision_DATE_PRECISION_YEAR}, true
		}
	}
	return span{}, false
}

// recordedSpan reads a record's statement. A span that ends before it begins says nothing.
func recordedSpan(b *recordv1.Birth) (span, bool) {
	from, err := time.Parse(time.DateOnly, b.GetFrom())
	if err != nil {
		return span{}, false
	}
	to := from
	if b.GetTo() != "" {
		if to, err = time.Parse(time.DateOnly, b.GetTo()); err != nil || to.Before(from) {
			return span{}, false
		}
	}
	s := span{from, to, b.GetPrecision()}
	if s.precision == recordv1.DatePrecision_DATE_PRECISION_DAY && !from.Equal(to) {
		s.precision = recordv1.DatePrecision_DATE_PRECISION_RANGE
	}
	if s.precision == recordv1.DatePrecision_DATE_PRECISION_UNSPECIFIED {
		s.precision = recordv1.DatePrecision_DATE_PRECISION_RANGE
		if from.Equal(to) {
			s.precision = recordv1.DatePrecision_DATE_PRECISION_DAY
		}
	}
	return s, true
}

func (s span) String() string {
	text := s.from.Format(time.DateOnly)
	if !s.from.Equal(s.to) {
		text += " to " + s.to.Format(time.DateOnly)
	}
	if s.precision == recordv1.DatePrecision_DATE_PRECISION_APPROXIMATE {
		text = "about " + text
	}
	return text
}

func (s span) isDay() bool { return s.from.Equal(s.to) }

func (s span) overlaps(o span) bool { return !s.from.After(o.to) && !o.from.After(s.to) }

// widen moves both ends by so many years.
func (s span) widen(years int) span {
	return span{s.from.AddDate(-years, 0, 0), s.to.AddDate(years, 0, 0), s.precision}
}

// oneYear reports whether the span lies within one calendar year.
func (s span) oneYear() bool { return s.from.Year() == s.to.Year() }

func (s span) oneMonth() bool { return s.oneYear() && s.from.Month() == s.to.Month() }

// compareBirths returns the best agreement with any of the record's statements: a record that
// holds several is about somebody who uses several.
func compareBirths(asked span, recorded []span) birthEvidence {
	best := birthUnknown
	for i, r := range recorded {
		e := compareBirth(asked, r)
		e.recorded = r.String()
		if i == 0 || e.weight > best.weight {
			best = e
		}
	}
	return best
}

func compareBirth(q, r span) birthEvidence {
	const (
		same      = hitv1.Agreement_AGREEMENT_SAME
		similar   = hitv1.Agreement_AGREEMENT_SIMILAR
		different = hitv1.Agreement_AGREEMENT_DIFFERENT
	)
	if r.precision == recordv1.DatePrecision_DATE_PRECISION_APPROXIMATE {
		switch {
		case q.overlaps(r):
			return birthEvidence{agreement: similar, how: "approximate", weight: birthApproximate}
		case q.overlaps(r.widen(approximateYears)):
			return birthEvidence{agreement: similar, how: "within two years of an approximate date", weight: birthNear}
		}
		return birthEvidence{agreement: different, how: "different", weight: birthConflict}
	}
	if q.isDay() && r.isDay() {
		return compareDays(q.from, r.from)
	}
	if q.overlaps(r) {
		switch {
		case q.oneMonth() && r.oneMonth():
			return birthEvidence{agreement: similar, how: "same month", weight: birthSameMonth}
		case q.oneYear() && r.oneYear():
			return birthEvidence{agreement: similar, how: "year only", weight: birthSameYear}
		}
		return birthEvidence{agreement: similar, how: "within the range", weight: birthInRange}
	}
	if q.oneYear() && r.oneYear() && q.from.Year() == r.from.Year() {
		return birthEvidence{agreement: different, how: "same year, other month", weight: birthOtherDate}
	}
	if q.overlaps(r.widen(1)) {
		return birthEvidence{agreement: different, how: "off by up to a year", weight: birthNextYear}
	}
	return birthEvidence{agreement: different, how: "different", weight: birthConflict}
}

func compareDays(q, r time.Time) birthEvidence {
	const (
		similar   = hitv1.Agreement_AGREEMENT_SIMILAR
		different = hitv1.Agreement_AGREEMENT_DIFFERENT
	)
	qm, rm := int(q.Month()), int(r.Month())
	sameDay, sameMonth := q.Day() == r.Day(), qm == rm
	newYear := func(t time.Time) bool { return t.Month() == time.January && t.Day() == 1 }
	apart := q.Year() - r.Year()
	switch {
	case q.Equal(r):
		return birthEvidence{agreement: hitv1.Agreement_AGREEMENT_SAME, how: "same day", weight: birthSame}
	case apart == 0 && q.Day() == rm && r.Day() == qm:
		return birthEvidence{agreement: similar, how: "day and month swapped", weight: birthSwapped}
	case apart == 0 && (newYear(q) || newYear(r)):
		// Registries that know the year alone write 1 January, and passports copy it.
		return birthEvidence{agreement: similar, how: "same year, 1 January on one side", weight: birthPlaceholder}
	case apart == 0 && (sameDay || sameMonth):
		return birthEvidence{agreement: different, how: "same year, other day or month", weight: birthOtherDay}
	case apart == 0:
		return birthEvidence{agreement: different, how: "same year, other date", weight: birthOtherDate}
	case (apart == 1 || apart == -1) && sameDay && sameMonth:
		return birthEvidence{agreement: different, how: "off by a year", weight: birthNextYear}
	}
	return birthEvidence{agreement: different, how: "different", weight: birthConflict}
}

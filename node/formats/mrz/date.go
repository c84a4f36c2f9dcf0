package mrz

import (
	"fmt"
	"time"
)

// date reads a date of six characters and its check digit. Parts that are not known are fillers
// (Doc 9303-3 section 4.8); what is known must come first to be of use.
func (r *reading) date(at span, field Field, century func(yy int, rest string) int) string {
	r.digits(at, field)
	text := r.text(at)
	r.check(at.after(), field, text)
	var parts [3]int // year, month, day
	known := 3
	for i := range parts {
		two := text[2*i : 2*i+2]
		switch {
		case two == "<<":
			known = min(known, i)
			continue
		case !isDigit(two[0]) || !isDigit(two[1]):
			r.problem(CodeInvalidDate, field, "line %d has a part of the date at %d that is neither two digits nor two fillers", at.line+1, at.from+2*i+1)
			return ""
		}
		parts[i] = int(two[0]-'0')*10 + int(two[1]-'0')
		// Issued before the filler was agreed on, some documents write an unknown day or month
		// as 00.
		if i > 0 && parts[i] == 0 {
			r.problem(CodeInvalidDate, field, "line %d has 00 at %d, read as not known", at.line+1, at.from+2*i+1)
			known = min(known, i)
			continue
		}
		if known < i {
			r.problem(CodeInvalidDate, field, "line %d has a later part of the date without the earlier ones, which are left out", at.line+1)
			break
		}
	}
	if known == 0 {
		return ""
	}
	month, day := parts[1], parts[2]
	if known > 1 && month > 12 {
		r.problem(CodeInvalidDate, field, "line %d has no month at %d: give 01 to 12", at.line+1, at.from+3)
		return ""
	}
	rest := ""
	if known > 1 {
		rest = fmt.Sprintf("-%02d", month)
	}
	if known > 2 {
		rest += fmt.Sprintf("-%02d", day)
	}
	year := century(parts[0], rest)
	if known > 2 && time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Day() != day {
		r.problem(CodeInvalidDate, field, "line %d has no such day at %d", at.line+1, at.from+5)
		return ""
	}
	return fmt.Sprintf("%04d%s", year, rest)
}

// birthYear is the latest year with these two digits in which the birth, as far as it is known,
// is not after today. Doc 9303 leaves the century to the reader.
func (r *reading) birthYear(yy int, rest string) int {
	year := r.today.Year()/100*100 + yy
	// Dates in this form sort as text; a shorter one stands before all the days within it.
	if fmt.Sprintf("%04d%s", year, rest) > r.today.Format(time.DateOnly) {
		year -= 100
	}
	return year
}

// expiryYear is the year with these two digits that is nearest to today: documents are valid
// for ten years or so, and one that expired long ago is shown more often than one that is valid
// for half a century.
func (r *reading) expiryYear(yy int, _ string) int {
	const past = 50
	first := r.today.Year() - past
	return first + ((yy-first)%100+100)%100
}

package unlist

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// births puts the dates and the places of birth together. The list gives them apart: if there
// is one of either, it belongs to all of the other; if there are several of both, nothing says
// which belongs to which, and each stands alone. The aliases' dates follow, with their places.
func (r *reading) births(s *subject) []*recordv1.Birth {
	var dates, places, all []*recordv1.Birth
	for _, d := range s.BirthDates {
		if b := r.birthDate(d); b != nil {
			dates = append(dates, b)
		}
	}
	for _, p := range s.BirthPlaces {
		if b := r.birthPlace("PLACE_OF_BIRTH", p); b != nil {
			places = append(places, b)
		}
	}
	switch {
	case len(dates) == 1 || len(places) == 1:
		for _, d := range orNone(dates) {
			for _, p := range orNone(places) {
				all = append(all, joined(d, p))
			}
		}
	default:
		all = append(dates, places...)
	}
	for _, a := range s.Aliases {
		d := r.aliasBirthDate(a.BirthDate)
		p := r.birthPlace("COUNTRY_OF_BIRTH", address{City: a.CityOfBirth, Country: a.CountryOfBirth})
		if d != nil || p != nil {
			all = append(all, joined(d, p))
		}
	}
	var distinct []*recordv1.Birth
	for _, b := range all {
		if !slices.ContainsFunc(distinct, func(o *recordv1.Birth) bool { return proto.Equal(b, o) }) {
			distinct = append(distinct, b)
		}
	}
	return few(r, "DATE_OF_BIRTH", distinct, maxBirths)
}

// orNone makes a loop run once where there is nothing to loop over.
func orNone(births []*recordv1.Birth) []*recordv1.Birth {
	if len(births) == 0 {
		return []*recordv1.Birth{nil}
	}
	return births
}

// joined is a date with a place; either may be missing.
func joined(date, place *recordv1.Birth) *recordv1.Birth {
	return &recordv1.Birth{
		Precision: date.GetPrecision(), From: date.GetFrom(), To: date.GetTo(),
		Place: place.GetPlace(), Country: place.GetCountry(),
	}
}

func (r *reading) birthPlace(field string, a address) *recordv1.Birth {
	code := r.country(field, a.Country)
	place := a.text(code == "")
	if code == "" && place == "" {
		return nil
	}
	return &recordv1.Birth{Place: r.cut(field, place, maxPlace), Country: code}
}

var (
	yearPattern = regexp.MustCompile(`^[12][0-9]{3}$`)
	// monthPattern is a month in a note, with or without its year: "Nov. 1973", "Sep.".
	monthPattern = regexp.MustCompile(`(?i)^(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?(?: ([12][0-9]{3}))?$`)
)

const (
	precisionDay    = recordv1.DatePrecision_DATE_PRECISION_DAY
	precisionMonth  = recordv1.DatePrecision_DATE_PRECISION_MONTH
	precisionYear   = recordv1.DatePrecision_DATE_PRECISION_YEAR
	precisionRange  = recordv1.DatePrecision_DATE_PRECISION_RANGE
	precisionApprox = recordv1.DatePrecision_DATE_PRECISION_APPROXIMATE
)

// birthDate reads one statement on a birth date; nil if it says none.
func (r *reading) birthDate(d birthDate) *recordv1.Birth {
	const field = "DATE_OF_BIRTH"
	note := tidy(d.Note)
	approximate := strings.EqualFold(tidy(d.Type), "APPROXIMATELY")
	if strings.EqualFold(note, "approximately") {
		approximate, note = true, ""
	}
	month := monthPattern.FindStringSubmatch(note)
	year := tidy(d.Year)
	var b *recordv1.Birth
	switch {
	case tidy(d.Date) != "":
		on, ok := day(d.Date)
		if !ok {
			r.note(field, "DATE is no day YYYY-MM-DD: kept in words")
			r.remark("Birth date as listed: %s", tidy(d.Date))
			return nil
		}
		b = &recordv1.Birth{Precision: precisionDay, From: on, To: on}
	case month != nil && (month[2] == "") == (year != ""):
		// The note has the month of a year that stands in its element, or both.
		b = monthOf(month[1], year+month[2])
		note = ""
	case year != "":
		b = years(year, year, precisionYear)
	case tidy(d.FromYear) != "" || tidy(d.ToYear) != "":
		b = years(tidy(d.FromYear), tidy(d.ToYear), precisionRange)
	}
	if note != "" {
		r.remark("Birth date: %s", note)
	}
	if b == nil {
		if year != "" || tidy(d.FromYear) != "" || tidy(d.ToYear) != "" {
			r.note(field, "no year or span of years: kept in words")
			r.remark("Birth date as listed: %s", strings.Join(strings.Fields(strings.Join([]string{d.Year, d.FromYear, d.ToYear}, " ")), " "))
		}
		return nil
	}
	if approximate {
		b.Precision = precisionApprox
	}
	return b
}

// monthOf is some day of a month.
func monthOf(name, year string) *recordv1.Birth {
	first, err := time.Parse("Jan 2006", strings.ToUpper(name[:1])+strings.ToLower(name[1:3])+" "+year)
	if err != nil {
		return nil
	}
	return &recordv1.Birth{
		Precision: precisionMonth,
		From:      first.Format(time.DateOnly), To: first.AddDate(0, 1, -1).Format(time.DateOnly),
	}
}

// years is some day of a span of years.
func years(from, to string, p recordv1.DatePrecision) *recordv1.Birth {
	if !yearPattern.MatchString(from) || !yearPattern.MatchString(to) || from > to {
		return nil
	}
	return &recordv1.Birth{Precision: p, From: fmt.Sprintf("%s-01-01", from), To: fmt.Sprintf("%s-12-31", to)}
}

// aliasBirthDate reads the birth date that goes with an alias: a day or a year.
func (r *reading) aliasBirthDate(text string) *recordv1.Birth {
	if text = tidy(text); text == "" {
		return nil
	}
	if b := years(text, text, precisionYear); b != nil {
		return b
	}
	if on, ok := day(text); ok {
		return &recordv1.Birth{Precision: precisionDay, From: on, To: on}
	}
	r.note("DATE_OF_BIRTH", "the birth date of an alias is neither YYYY-MM-DD nor YYYY: kept in words")
	r.remark("Birth date of an alias as listed: %s", text)
	return nil
}

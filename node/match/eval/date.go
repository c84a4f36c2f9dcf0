package eval

import (
	"strconv"
	"strings"
	"time"
)

var months = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}

// parseDate reads a date as lists write it ("10 Dec 1948", "Dec 1948", "1948", ISO; "circa 1948"; "1948
// to 1950") and returns "YYYY-MM-DD", "YYYY-MM" or "YYYY", with "~" before what is approximate and "/"
// between the ends of a range. What names no day, month or year is no date; nothing is the empty one.
func parseDate(text string) (string, bool) {
	s := strings.ToLower(strings.TrimSpace(text))
	if s == "" {
		return "", true
	}
	for _, about := range []string{"circa", "approximately", "approx.", "approx", "about", "ca.", "c.", "~"} {
		if rest, ok := strings.CutPrefix(s, about); ok {
			date, ok := oneDate(rest)
			return "~" + date, ok && date != ""
		}
	}
	if date, ok := oneDate(s); ok {
		return date, true
	}
	s = strings.TrimPrefix(s, "between ")
	for _, to := range []string{" to ", " and ", "/", "–", " - ", "-"} {
		from, until, ok := strings.Cut(s, to)
		if !ok {
			continue
		}
		a, fromOK := oneDate(from)
		b, untilOK := oneDate(until)
		if fromOK && untilOK && a <= b {
			return a + "/" + b, true
		}
	}
	return "", false
}

// oneDate reads a date that is neither approximate nor a range.
func oneDate(s string) (string, bool) {
	s = strings.TrimSpace(s)
	for zero := "-00"; strings.HasSuffix(s, zero); {
		s = strings.TrimSuffix(s, zero) // a month or a day that is not known
	}
	for _, form := range []string{time.DateOnly, "2006-01", "2006"} {
		if d, err := time.Parse(form, s); err == nil && d.Year() > 0 {
			return s, true
		}
	}
	if d, err := time.Parse("2.1.2006", s); err == nil {
		return d.Format(time.DateOnly), true
	}
	fields := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '-' || r == ',' })
	switch len(fields) {
	case 2:
		if m := month(fields[0]); m != "" && isYear(fields[1]) {
			return fields[1] + "-" + m, true
		}
	case 3:
		day, m := fields[0], month(fields[1])
		if m == "" {
			day, m = fields[1], month(fields[0])
		}
		if n, err := strconv.Atoi(day); err == nil && m != "" && isYear(fields[2]) {
			date := fields[2] + "-" + m + "-" + string([]byte{'0' + byte(n/10%10), '0' + byte(n%10)})
			_, err := time.Parse(time.DateOnly, date)
			return date, err == nil && n > 0 && n < 32
		}
	}
	return "", false
}

func isYear(s string) bool {
	_, err := time.Parse("2006", s)
	return err == nil
}

// month is the number of a month that is written out or by three letters or more.
func month(s string) string {
	s = strings.TrimSuffix(s, ".")
	if len(s) < 3 {
		return ""
	}
	for i, name := range months {
		if strings.HasPrefix(name, s) || s == "sept" && i == 8 {
			return string([]byte{'0' + byte((i+1)/10), '0' + byte((i+1)%10)})
		}
	}
	return ""
}

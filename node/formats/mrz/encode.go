package mrz

import (
	"errors"
	"fmt"
	"strings"
	"time"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// EncodeTD1 lays out an identity card. See Encode.
func EncodeTD1(d Document) (string, error) { d.Format = TD1; return Encode(&d) }

// EncodeTD2 lays out a large identity card. See Encode.
func EncodeTD2(d Document) (string, error) { d.Format = TD2; return Encode(&d) }

// EncodeTD3 lays out a passport. See Encode.
func EncodeTD3(d Document) (string, error) { d.Format = TD3; return Encode(&d) }

// EncodeMRVA lays out a visa. See Encode.
func EncodeMRVA(d Document) (string, error) { d.Format = MRVA; return Encode(&d) }

// EncodeMRVB lays out a small visa. See Encode.
func EncodeMRVB(d Document) (string, error) { d.Format = MRVB; return Encode(&d) }

// Encode lays the document out as the lines of its format, separated by line feeds, with every
// check digit computed. Names are brought to the letters of the zone and truncated as Doc 9303-3
// section 4.6 says; a truncated name fills its field to the last letter. Dates may be partial.
// What does not fit and may not be truncated is an error, as is a missing field.
func Encode(d *Document) (string, error) {
	l, ok := layoutOf(d.Format)
	if !ok {
		return "", fmt.Errorf("format %q: give TD1, TD2, TD3, MRV-A or MRV-B", d.Format)
	}
	w := writing{layout: l, lines: make([][]byte, l.lines)}
	for i := range w.lines {
		w.lines[i] = []byte(strings.Repeat(string(filler), l.length))
	}
	if d.Type != "" && !begins(l.format, d.Type[0]) {
		w.fail(FieldType, "a document of format %s begins with one of %s", l.format, firstLetters(l.format))
	}
	w.put(span{0, 0, 2}, FieldType, d.Type, isLetter)
	w.put(span{0, 2, 5}, FieldIssuer, d.Issuer, isLetter)
	w.number(d.Number, d.Optional)
	w.put(l.nationality, FieldNationality, d.Nationality, isLetter)
	w.date(l.birth, FieldBirthDate, d.BirthDate)
	w.put(l.sex, FieldSex, sexLetter(d.Sex), func(c byte) bool { return c == 'M' || c == 'F' })
	w.date(l.expiry, FieldExpiry, d.Expiry)
	if l.optional2.zero() && d.Optional2 != "" {
		w.fail(FieldOptional, "only TD1 has a second field of optional data")
	} else if d.Optional2 != "" {
		w.put(l.optional2, FieldOptional, d.Optional2, isAlphanumeric)
	}
	w.name(d.Primary, d.Secondary)
	w.need(FieldType, d.Type)
	w.need(FieldIssuer, d.Issuer)
	w.need(FieldNumber, d.Number)
	w.need(FieldNationality, d.Nationality)
	if len(w.errs) > 0 {
		return "", errors.Join(w.errs...)
	}
	w.compose()
	text := make([]string, l.lines)
	for i, line := range w.lines {
		text[i] = string(line)
	}
	return strings.Join(text, "\n"), nil
}

func isAlphanumeric(c byte) bool { return isDigit(c) || isLetter(c) }

func sexLetter(s recordv1.Sex) string {
	switch s {
	case recordv1.Sex_SEX_FEMALE:
		return "F"
	case recordv1.Sex_SEX_MALE:
		return "M"
	default:
		return ""
	}
}

// writing is one zone while it is laid out.
type writing struct {
	layout layout
	lines  [][]byte
	errs   []error
}

func (w *writing) fail(field Field, format string, args ...any) {
	w.errs = append(w.errs, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
}

func (w *writing) need(field Field, content string) {
	if trimFiller(content) == "" {
		w.fail(field, "give one, the field may not be empty")
	}
}

func (w *writing) text(s span) string { return string(w.lines[s.line][s.from:s.to]) }

func (w *writing) set(at span, c byte) { w.lines[at.line][at.from] = c }

// put writes a field and leaves the rest of it to fillers.
func (w *writing) put(at span, field Field, content string, allowed func(byte) bool) {
	if len(content) > at.to-at.from {
		w.fail(field, "%d characters, give at most %d", len(content), at.to-at.from)
		return
	}
	for i := range len(content) {
		if c := content[i]; c != filler && !allowed(c) {
			w.fail(field, "character %d cannot stand there: give capital letters A to Z or digits, as the field allows", i+1)
			return
		}
	}
	copy(w.lines[at.line][at.from:at.to], content)
}

// number writes the number, its check digit and the optional data, in which the rest of a long
// number of TD1 and TD2 stands first.
func (w *writing) number(number, optional string) {
	l := w.layout
	width := l.number.to - l.number.from
	if len(number) > width && l.longNumber {
		rest := number[width:]
		if strings.ContainsRune(number, filler) {
			w.fail(FieldNumber, "a number of more than %d characters cannot hold fillers", width)
			return
		}
		number, optional = number[:width], rest+string(CheckDigit(number))+string(filler)+optional
		w.put(l.number, FieldNumber, number, isAlphanumeric)
		if free := l.optional.to - l.optional.from; len(optional) > free {
			w.fail(FieldNumber, "number and optional data are too long together: in a %s the number may have at most %d characters", l.format, width+free-len("0<"))
			return
		}
		w.put(l.optional, FieldNumber, optional, isAlphanumeric)
		return
	}
	w.put(l.number, FieldNumber, number, isAlphanumeric)
	w.set(l.number.after(), CheckDigit(w.text(l.number)))
	w.put(l.optional, FieldOptional, optional, isAlphanumeric)
}

// date writes "YYYY-MM-DD", "YYYY-MM", "YYYY" or nothing. The century is lost.
func (w *writing) date(at span, field Field, date string) {
	full := date
	for _, rest := range []string{"0001-01-01", "-01-01", "-01"} {
		if len(date)+len(rest) == len(time.DateOnly) {
			full = date + rest
		}
	}
	if _, err := time.Parse(time.DateOnly, full); err != nil {
		w.fail(field, "give YYYY-MM-DD, YYYY-MM, YYYY or nothing")
		return
	}
	if date != "" {
		copy(w.lines[at.line][at.from:at.to], strings.ReplaceAll(date[2:], "-", ""))
	}
	w.set(at.after(), CheckDigit(w.text(at)))
}

func (w *writing) name(primary, secondary string) {
	p, err := identifier(primary)
	if err != nil {
		w.fail(FieldName, "primary identifier: %v", err)
	}
	s, err := identifier(secondary)
	if err != nil {
		w.fail(FieldName, "secondary identifier: %v", err)
	}
	if len(p) == 0 {
		w.fail(FieldName, "give the primary identifier (the surname, or the whole name where there is none)")
		return
	}
	at := w.layout.name
	copy(w.lines[at.line][at.from:at.to], fit(p, s, at.to-at.from))
}

// compose computes the check digits that cover other fields.
func (w *writing) compose() {
	if at := w.layout.optionalCheck; !at.zero() {
		w.set(at, CheckDigit(w.text(w.layout.optional)))
	}
	if at := w.layout.composite; !at.zero() {
		var over strings.Builder
		for _, s := range w.layout.compositeOver {
			over.WriteString(w.text(s))
		}
		w.set(at, CheckDigit(over.String()))
	}
}

// fit joins the identifiers and truncates them to a width. Every part keeps at least its first
// letter, so that none disappears; the room beyond goes to the primary identifier first, from
// left to right. Parts are dropped from the end, the secondary ones before the primary ones,
// only if not even one letter of each fits; the first of either stays. A truncated name fills
// the width with a letter in the last place, which is how a reader knows.
func fit(primary, secondary []string, width int) string {
	join := func(p, s []string) string {
		if len(s) == 0 {
			return strings.Join(p, string(filler))
		}
		return strings.Join(p, string(filler)) + "<<" + strings.Join(s, string(filler))
	}
	whole := join(primary, secondary)
	if len(whole) <= width {
		return whole
	}
	initials := func(parts []string) int { return max(0, 2*len(parts)-1) }
	gap := min(2, 2*len(secondary))
	for initials(primary)+gap+initials(secondary) > width {
		if len(secondary) > 1 {
			secondary = secondary[:len(secondary)-1]
		} else {
			primary = primary[:len(primary)-1]
		}
	}
	room := width - initials(primary) - gap - initials(secondary)
	shorten := func(parts []string) []string {
		short := make([]string, len(parts))
		for i, part := range parts {
			more := min(room, len(part)-1)
			short[i] = part[:1+more]
			room -= more
		}
		return short
	}
	short := join(shorten(primary), shorten(secondary))
	// Parts that were dropped may leave room at the end that no other part can fill; the zone
	// then does not show the truncation, which Doc 9303 allows ("may have occurred").
	return short
}

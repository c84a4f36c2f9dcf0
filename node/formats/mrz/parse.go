package mrz

import (
	"fmt"
	"strings"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// reading is one zone while it is read. Its lines are repaired in place, so that the check
// digits, the composite one included, are computed over what was meant.
type reading struct {
	layout   layout
	lines    [][]byte
	problems []Problem
	today    time.Time
}

// Parse reads a machine readable zone. The lines may be separated by line feeds, carriage
// returns, blanks or nothing. Every problem is named, in the order of the zone; a zone without
// problems has nil. The error, which wraps ErrNotMRZ, says what was seen and what was expected.
func (p Parser) Parse(s string) (*Document, []Problem, error) {
	l, lines, problems, err := fold(s)
	if err != nil {
		return nil, nil, err
	}
	now := p.Now
	if now == nil {
		now = time.Now
	}
	r := &reading{layout: l, problems: problems, today: now().UTC()}
	for _, line := range lines {
		r.lines = append(r.lines, []byte(line))
	}
	d := &Document{Format: l.format}
	d.Type = r.documentCode()
	d.Issuer = r.state(span{0, 2, 5}, FieldIssuer, CodeUnknownIssuer)
	d.Number, d.Optional = r.number()
	d.Nationality = r.state(l.nationality, FieldNationality, CodeUnknownNationality)
	d.BirthDate = r.date(l.birth, FieldBirthDate, r.birthYear)
	d.Sex = r.sex()
	d.Expiry = r.date(l.expiry, FieldExpiry, r.expiryYear)
	r.optional()
	if !l.optional2.zero() {
		d.Optional2 = trimFiller(r.text(l.optional2))
	}
	d.Primary, d.Secondary, d.Truncated = r.name()
	r.composite()
	return d, r.problems, nil
}

func (r *reading) text(s span) string { return string(r.lines[s.line][s.from:s.to]) }

func (r *reading) problem(code Code, field Field, format string, args ...any) {
	r.problems = append(r.problems, Problem{code, field, fmt.Sprintf(format, args...)})
}

func trimFiller(s string) string { return strings.TrimRight(s, string(filler)) }

// repair replaces the characters of a field that cannot stand there by those that optical
// readers take for them.
func (r *reading) repair(s span, field Field, allowed func(byte) bool, replace func(byte) (byte, bool), kind string) {
	for i := s.from; i < s.to; i++ {
		c := r.lines[s.line][i]
		if c == filler || allowed(c) {
			continue
		}
		if better, ok := replace(c); ok {
			r.lines[s.line][i] = better
			r.problem(CodeConfusion, field, "line %d has %q at %d, where only a %s can stand: read as %q", s.line+1, c, i+1, kind, better)
			continue
		}
		r.problem(CodeUnexpectedCharacter, field, "line %d has %q at %d, where only a %s can stand", s.line+1, c, i+1, kind)
	}
}

func (r *reading) digits(s span, field Field)  { r.repair(s, field, isDigit, digitFor, "digit") }
func (r *reading) letters(s span, field Field) { r.repair(s, field, isLetter, letterFor, "letter") }

// check compares the check digit at a place with the one computed. A filler counts as 0 in
// other check digits that cover it, but is none itself.
func (r *reading) check(at span, field Field, over string) {
	r.digits(at, field)
	printed, computed := r.text(at)[0], CheckDigit(over)
	switch {
	case printed == computed:
	case printed == filler:
		r.problem(CodeCheckDigit, field, "the check digit is missing, it should be %c", computed)
	default:
		r.problem(CodeCheckDigit, field, "the check digit is %c, it should be %c: one of them or the field was misread, or the document is altered", printed, computed)
	}
}

// firstLetters are the letters with which the document code of a format may begin (Doc 9303-4
// to -7 section 4.2.2), with the P of the passport cards that some states issue.
func firstLetters(f Format) string {
	switch f {
	case TD3:
		return "P"
	case MRVA, MRVB:
		return "V"
	default:
		return "AICP"
	}
}

func begins(f Format, c byte) bool { return strings.IndexByte(firstLetters(f), c) >= 0 }

func (r *reading) documentCode() string {
	at := span{0, 0, 2}
	r.letters(at, FieldType)
	code := trimFiller(r.text(at))
	f := r.layout.format
	if !begins(f, code[0]) {
		r.problem(CodeUnknownType, FieldType, "a document of format %s begins with one of %s", f, strings.Join(strings.Split(firstLetters(f), ""), ", "))
	}
	return code
}

// state reads a three-letter code of a state or an organisation.
func (r *reading) state(at span, field Field, unknown Code) string {
	r.letters(at, field)
	code := trimFiller(r.text(at))
	switch {
	case code == "":
		r.problem(CodeMissing, field, "the %s is empty", field)
	case !identity.KnownCode(code):
		r.problem(unknown, field, "the code is neither in ISO 3166-1 alpha-3 nor in Doc 9303-3 section 5")
	}
	return code
}

// number reads the document number and the optional data, into which a long number goes on:
// nine characters, a filler in place of the check digit, and then the rest, its check digit and
// a filler (Doc 9303-5 and 9303-6 section 4.2.2, note j).
func (r *reading) number() (number, optional string) {
	l := r.layout
	head, check := r.text(l.number), l.number.after()
	optional = r.text(l.optional)
	if l.longNumber && r.text(check)[0] == filler && !strings.ContainsRune(head, filler) {
		rest, after, ended := strings.Cut(optional, string(filler))
		if len(rest) >= 2 {
			if !ended {
				r.problem(CodeUnexpectedCharacter, FieldNumber, "a long document number must end with < in the optional data")
			}
			at := span{l.optional.line, l.optional.from + len(rest) - 1, l.optional.from + len(rest)}
			r.digits(at, FieldNumber)
			number = head + rest[:len(rest)-1]
			r.check(at, FieldNumber, number)
			return number, trimFiller(after)
		}
	}
	r.check(check, FieldNumber, head)
	if number = trimFiller(head); number == "" {
		r.problem(CodeMissing, FieldNumber, "the document number is empty")
	}
	return number, trimFiller(optional)
}

func (r *reading) sex() recordv1.Sex {
	switch c := r.text(r.layout.sex)[0]; c {
	case 'F':
		return recordv1.Sex_SEX_FEMALE
	case 'M':
		return recordv1.Sex_SEX_MALE
	// Doc 9303-3 section 4.2.2 has the filler here and the X in the visual zone alone; some
	// states print the X in both.
	case filler, 'X':
		return recordv1.Sex_SEX_OTHER
	default:
		r.problem(CodeInvalidSex, FieldSex, "line %d has %q at %d, expected M, F or <", r.layout.sex.line+1, c, r.layout.sex.from+1)
		return recordv1.Sex_SEX_UNSPECIFIED
	}
}

// optional checks the check digit of the optional data of a passport. If there is none, the
// digit may be 0 or a filler, as the state chooses (Doc 9303-4 section 4.2.2).
func (r *reading) optional() {
	at := r.layout.optionalCheck
	if at.zero() {
		return
	}
	data := r.text(r.layout.optional)
	if trimFiller(data) == "" && r.text(at)[0] == filler {
		return
	}
	r.check(at, FieldOptional, data)
}

func (r *reading) composite() {
	at := r.layout.composite
	if at.zero() {
		return
	}
	var over strings.Builder
	for _, s := range r.layout.compositeOver {
		over.WriteString(r.text(s))
	}
	r.check(at, FieldComposite, over.String())
}

// name reads the identifiers: two fillers between primary and secondary, one between parts
// (Doc 9303-3 section 4.6).
func (r *reading) name() (primary, secondary string, truncated bool) {
	at := r.layout.name
	r.letters(at, FieldName)
	field := r.text(at)
	// "If the last position of the field is a letter, truncation may have occurred".
	truncated = field[len(field)-1] != filler
	groups := strings.Split(trimFiller(field), "<<")
	for i, g := range groups {
		if i > 1 || strings.HasPrefix(g, string(filler)) || g == "" && i > 0 {
			r.problem(CodeNameFormat, FieldName, "line %d has fillers in the name that separate nothing, read as blanks", at.line+1)
			break
		}
	}
	primary = blanks(groups[0])
	secondary = blanks(strings.Join(groups[1:], string(filler)))
	if primary == "" {
		r.problem(CodeMissing, FieldName, "the primary identifier (the surname) is empty")
	}
	return primary, secondary, truncated
}

// blanks puts one blank between the parts of an identifier.
func blanks(identifier string) string {
	return strings.Join(strings.FieldsFunc(identifier, func(r rune) bool { return r == filler }), " ")
}

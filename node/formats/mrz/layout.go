package mrz

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// filler pads fields and separates names.
const filler = '<'

// maxInput bounds what is looked at: the longest zone has 90 characters, the rest leaves room
// for blanks and line ends.
const maxInput = 1024

// maxInvalid is how many characters of a zone may be unreadable before it counts as other text.
const maxInvalid = 20

// span is a run of characters of one line.
type span struct{ line, from, to int }

// zero says that the format has no such field.
func (s span) zero() bool { return s == span{} }

// layout says where the fields of a format stand. Positions count from 0; those of Doc 9303
// count from 1.
type layout struct {
	format        Format
	lines, length int
	number        span // the check digit follows
	optional      span
	optional2     span
	birth         span // the check digit follows
	sex           span
	expiry        span // the check digit follows
	nationality   span
	name          span
	// optionalCheck is the check digit of the optional data (TD3 alone).
	optionalCheck span
	composite     span
	compositeOver []span
	longNumber    bool // the number may go on in the optional data (TD1, TD2)
}

// after is the check digit that follows a field.
func (s span) after() span { return span{s.line, s.to, s.to + 1} }

// layoutOf returns the layout of a format.
func layoutOf(f Format) (layout, bool) {
	two := layout{
		format: f, lines: 2,
		number: span{1, 0, 9}, nationality: span{1, 10, 13}, birth: span{1, 13, 19},
		sex: span{1, 20, 21}, expiry: span{1, 21, 27},
	}
	switch f {
	case TD1: // Doc 9303-5 section 4.2.2
		return layout{
			format: f, lines: 3, length: 30,
			number: span{0, 5, 14}, optional: span{0, 15, 30},
			birth: span{1, 0, 6}, sex: span{1, 7, 8}, expiry: span{1, 8, 14}, nationality: span{1, 15, 18},
			optional2: span{1, 18, 29}, name: span{2, 0, 30},
			composite:     span{1, 29, 30},
			compositeOver: []span{{0, 5, 30}, {1, 0, 7}, {1, 8, 15}, {1, 18, 29}},
			longNumber:    true,
		}, true
	case TD2: // Doc 9303-6 section 4.2.2
		two.length, two.name, two.optional = 36, span{0, 5, 36}, span{1, 28, 35}
		two.composite, two.compositeOver = span{1, 35, 36}, []span{{1, 0, 10}, {1, 13, 20}, {1, 21, 35}}
		two.longNumber = true
	case TD3: // Doc 9303-4 section 4.2.2
		two.length, two.name, two.optional = 44, span{0, 5, 44}, span{1, 28, 42}
		two.optionalCheck = span{1, 42, 43}
		two.composite, two.compositeOver = span{1, 43, 44}, []span{{1, 0, 10}, {1, 13, 20}, {1, 21, 43}}
	case MRVA: // Doc 9303-7 section 4.2.2: no composite check digit
		two.length, two.name, two.optional = 44, span{0, 5, 44}, span{1, 28, 44}
	case MRVB: // Doc 9303-7 section 5.2.2: no composite check digit
		two.length, two.name, two.optional = 36, span{0, 5, 36}, span{1, 28, 36}
	default:
		return layout{}, false
	}
	return two, true
}

// ErrNotMRZ is wrapped by every error of Parse: the text is no machine readable zone.
var ErrNotMRZ = errors.New("not a machine readable zone")

// fold brings the text to the lines of a zone. Readers send them with line feeds, with carriage
// returns, with blanks between them or with nothing at all.
func fold(s string) (layout, []string, []Problem, error) {
	if len(s) > maxInput {
		return layout{}, nil, nil, fmt.Errorf("%w: %d bytes, give at most %d: two lines of 44 or 36 characters, or three of 30", ErrNotMRZ, len(s), maxInput)
	}
	var lines []string
	var problems []Problem
	invalid := 0
	for _, raw := range strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }) {
		var line strings.Builder
		lower, bad := false, []string(nil)
		for _, r := range raw {
			switch {
			case unicode.IsSpace(r) || unicode.IsControl(r) || r == '\ufeff':
				continue // no such character is printed: it frames or separates what the reader sends
			case r < unicode.MaxASCII && (isDigit(byte(r)) || isLetter(byte(r)) || r == filler):
			case 'a' <= r && r <= 'z':
				lower, r = true, unicode.ToUpper(r)
			default:
				bad = append(bad, fmt.Sprint(line.Len()+1))
				invalid++
				r = filler
			}
			line.WriteRune(r)
		}
		if line.Len() == 0 {
			continue
		}
		lines = append(lines, line.String())
		if lower {
			problems = append(problems, Problem{CodeLowerCase, FieldZone, fmt.Sprintf("line %d has small letters, read as capitals; a zone has capitals only", len(lines))})
		}
		if bad != nil {
			problems = append(problems, Problem{CodeInvalidCharacter, FieldZone,
				fmt.Sprintf("line %d has characters other than A to Z, 0 to 9 and < at %s, read as <", len(lines), strings.Join(bad[:min(len(bad), maxInvalid)], ", "))})
		}
	}
	if invalid > maxInvalid {
		return layout{}, nil, nil, fmt.Errorf("%w: %d characters are not A to Z, 0 to 9 or <", ErrNotMRZ, invalid)
	}
	if len(lines) == 1 {
		lines = cut(lines[0])
	}
	l, err := recognise(lines)
	if err != nil {
		return layout{}, nil, nil, err
	}
	return l, lines, problems, nil
}

// cut divides a zone that came as one line.
func cut(s string) []string {
	for _, shape := range []struct{ lines, length int }{{3, 30}, {2, 36}, {2, 44}} {
		if len(s) != shape.lines*shape.length {
			continue
		}
		lines := make([]string, shape.lines)
		for i := range lines {
			lines[i] = s[i*shape.length : (i+1)*shape.length]
		}
		return lines
	}
	return []string{s}
}

// recognise finds the format by the number and the length of the lines, and visas by their
// first letter.
func recognise(lines []string) (layout, error) {
	const expected = "expected 3 lines of 30 characters (TD1), 2 of 36 (TD2, MRV-B) or 2 of 44 (TD3, MRV-A)"
	if len(lines) == 0 {
		return layout{}, fmt.Errorf("%w: empty, %s", ErrNotMRZ, expected)
	}
	if len(lines) == 1 {
		return layout{}, fmt.Errorf("%w: %d characters in one line, %s, or the same without line breaks (90, 72 or 88)", ErrNotMRZ, len(lines[0]), expected)
	}
	visa := lines[0][0] == 'V'
	var f Format
	switch {
	case len(lines) == 3:
		f = TD1
	case len(lines) > 3:
		return layout{}, fmt.Errorf("%w: %d lines, %s", ErrNotMRZ, len(lines), expected)
	// One line of the right length tells which the other was meant to be.
	case len(lines[0]) == 44 || len(lines[1]) == 44:
		if f = TD3; visa {
			f = MRVA
		}
	case len(lines[0]) == 36 || len(lines[1]) == 36:
		if f = TD2; visa {
			f = MRVB
		}
	default:
		return layout{}, fmt.Errorf("%w: 2 lines of %d and %d characters, %s", ErrNotMRZ, len(lines[0]), len(lines[1]), expected)
	}
	l, _ := layoutOf(f)
	for i, line := range lines {
		if len(line) != l.length {
			return layout{}, fmt.Errorf("%w: line %d has %d characters, expected %d (%s); read the document again, or complete the line by hand", ErrNotMRZ, i+1, len(line), l.length, f)
		}
	}
	if !isLetter(lines[0][0]) {
		return layout{}, fmt.Errorf("%w: the first line begins with neither a letter nor a document code, expected P, V, I, A or C", ErrNotMRZ)
	}
	return l, nil
}

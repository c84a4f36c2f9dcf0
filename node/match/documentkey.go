package match

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// KeyVersion names the normal form that DocumentKey makes. Whoever stores keys stores it with
// them and makes them anew when it changes; bureaus that exchange keys exchange it too.
//
// Version 1:
//  1. NFKC, decimal digits of every script as ASCII digits, diacritics stripped, upper case.
//  2. Letters of the Cyrillic and Greek scripts that look like a Latin one become it: passports
//     of several states print series only in such letters, and typists use either keyboard.
//  3. Everything that is neither letter nor digit is dropped: the filler '<' of Doc 9303, blanks,
//     dashes, dots, slashes.
//  4. What OCR and people confuse becomes the digit: O and Q are 0, I is 1, Z is 2, S is 5,
//     B is 8. The key only finds; ScoreDocument compares the letters that were written.
const KeyVersion = 1

// MaxKeyLength is the longest key, in characters: the bound of Document.number_key and of a
// query's number.
const MaxKeyLength = 64

// maxNumberText bounds what is read of a recorded number (Document.number has 1,024 characters).
const maxNumberText = 1024

// lookalike maps Cyrillic and Greek capitals to the Latin letter of the same shape.
var lookalike = map[rune]rune{
	'А': 'A', 'В': 'B', 'Е': 'E', 'К': 'K', 'М': 'M', 'Н': 'H', 'О': 'O', 'Р': 'P', 'С': 'C',
	'Т': 'T', 'У': 'Y', 'Х': 'X', 'І': 'I', 'Ј': 'J', 'Ѕ': 'S',
	'Α': 'A', 'Β': 'B', 'Ε': 'E', 'Ζ': 'Z', 'Η': 'H', 'Ι': 'I', 'Κ': 'K', 'Μ': 'M', 'Ν': 'N',
	'Ο': 'O', 'Ρ': 'P', 'Τ': 'T', 'Υ': 'Y', 'Χ': 'X',
}

// confusable is step 4 of the key. It is idempotent and maps to digits alone, so that the order
// of the numbers inside a series of blanks is kept.
func confusable(r rune) rune {
	switch r {
	case 'O', 'Q':
		return '0'
	case 'I':
		return '1'
	case 'Z':
		return '2'
	case 'S':
		return '5'
	case 'B':
		return '8'
	}
	return r
}

// DocumentKey is the normal form of a document number, by which it is found: "A-123 O45" and
// "A1230 45<" have the same. It is empty if the number holds neither letter nor digit, or more
// of them than a key may have.
func DocumentKey(number string) string {
	return foldKey(strictNumber(number))
}

// strictNumber is steps 1 to 3 of the key: the number without its dress, confusables unfolded.
func strictNumber(number string) string {
	s := stripNumber(number)
	if utf8.RuneCountInString(s) > MaxKeyLength {
		return ""
	}
	return s
}

func stripNumber(number string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, plainNumber(number))
}

// plainNumber is steps 1 and 2, with the separators still in place.
func plainNumber(text string) string {
	text = cut(text, maxNumberText)
	if isASCII(text) {
		return strings.ToUpper(text)
	}
	// "Nº" is an abbreviation, which NFKC would turn into the letters NO; and the degree sign is
	// often typed for it.
	text = ordinalSigns.Replace(text)
	var b strings.Builder
	for _, r := range norm.NFKD.String(text) {
		switch {
		case unicode.Is(unicode.Mn, r):
			continue
		case unicode.IsDigit(r):
			r = '0' + rune(digitValue(r))
		default:
			r = unicode.ToUpper(r)
			if latin, ok := lookalike[r]; ok {
				r = latin
			}
		}
		b.WriteRune(r)
	}
	return norm.NFKC.String(b.String())
}

var ordinalSigns = strings.NewReplacer("º", " ", "°", " ", "№", "No ")

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// digitValue is the value of a decimal digit of any script: Unicode assigns the ten digits of a
// script in a row, and every row begins where the digit before it is not one, except where rows
// follow each other in steps of ten.
func digitValue(r rune) int {
	if r >= '0' && r <= '9' {
		return int(r - '0')
	}
	for _, t := range unicode.Nd.R16 {
		if lo, hi := rune(t.Lo), rune(t.Hi); r >= lo && r <= hi {
			return int(r-lo) % 10
		}
	}
	for _, t := range unicode.Nd.R32 {
		if lo, hi := rune(t.Lo), rune(t.Hi); r >= lo && r <= hi {
			return int(r-lo) % 10
		}
	}
	return 0
}

func foldKey(strict string) string {
	return strings.Map(confusable, strict)
}

// folding says how two numbers of one key differ in what was written.
type folding int

const (
	foldNone      folding = iota // the same letters and digits
	foldZero                     // O for 0 alone: Doc 9303 readers and typists do it daily
	foldOther                    // other look-alikes, in at most maxFolds places
	foldDifferent                // not of one key, or too many look-alikes to believe
)

// maxFolds is how many look-alikes other than O/0 may stand between two numbers. Real misreadings
// are one or two; numbers that differ in more places merely fold alike.
const maxFolds = 2

// compareStrict compares two numbers in strict form.
func compareStrict(a, b string) folding {
	if a == b {
		return foldNone
	}
	ra, rb := []rune(a), []rune(b)
	if len(ra) != len(rb) {
		return foldDifferent
	}
	worst, others := foldNone, 0
	for i := range ra {
		x, y := ra[i], rb[i]
		if x == y {
			continue
		}
		if confusable(x) != confusable(y) {
			return foldDifferent
		}
		if confusable(x) == '0' && x != 'Q' && y != 'Q' {
			worst = max(worst, foldZero)
			continue
		}
		others++
		worst = foldOther
	}
	if others > maxFolds {
		return foldDifferent
	}
	return worst
}

// RangeContains reports whether a number lies in a series of stolen blanks, ends included. A
// series has one width and one prefix, and counts in digits: anything else holds its two ends
// alone. The arguments are numbers as written, or their keys.
func RangeContains(from, to, number string) bool {
	_, ok := compareRange(strictNumber(from), strictNumber(to), strictNumber(number))
	return ok
}

// RangeKeys returns the keys of a series' two ends, between which the key of every number in it
// lies bytewise and with the same length, for a store that looks up ranges by comparison; the
// comparison admits a few that RangeContains then refuses. ok is false if the two ends do not make
// a series.
func RangeKeys(from, to string) (low, high string, ok bool) {
	f, t := strictNumber(from), strictNumber(to)
	if _, ok := rangePrefix(f, t); !ok {
		return "", "", false
	}
	return foldKey(f), foldKey(t), true
}

// rangePrefix returns how many runes the two ends share before they count.
func rangePrefix(from, to string) (int, bool) {
	f, t := []rune(from), []rune(to)
	if len(f) == 0 || len(f) != len(t) {
		return 0, false
	}
	n := 0
	for n < len(f) && f[n] == t[n] {
		n++
	}
	for i := n; i < len(f); i++ {
		if !countingRune(f[i]) || !countingRune(t[i]) {
			return 0, false
		}
	}
	return n, foldKey(string(f[n:])) <= foldKey(string(t[n:]))
}

// countingRune reports whether a rune can be meant as a digit of a serial number. S, Z and B are
// not taken for one here: they are how series are named, and A5 to AB is no range.
func countingRune(r rune) bool {
	return r >= '0' && r <= '9' || r == 'O' || r == 'I'
}

func compareRange(from, to, number string) (folding, bool) {
	n, ok := rangePrefix(from, to)
	f, t, k := []rune(from), []rune(to), []rune(number)
	if !ok || len(k) != len(f) {
		best := foldDifferent
		if number != "" {
			best = min(compareStrict(from, number), compareStrict(to, number))
		}
		return best, best != foldDifferent
	}
	fold := compareStrict(string(f[:n]), string(k[:n]))
	if fold == foldDifferent {
		return fold, false
	}
	tail := k[n:]
	for _, r := range tail {
		if !countingRune(r) {
			return foldDifferent, false
		}
	}
	key := foldKey(string(tail))
	if key < foldKey(string(f[n:])) || key > foldKey(string(t[n:])) {
		return foldDifferent, false
	}
	for _, r := range tail {
		switch r {
		case 'O':
			fold = max(fold, foldZero)
		case 'I':
			fold = max(fold, foldOther)
		}
	}
	return fold, true
}

package dualcontrol

import (
	"strings"
	"unicode"
)

// Legible returns a text as it can be shown to somebody who decides by it, on one line: what a
// screen would obey instead of show (control characters, breaks, marks that turn the direction of
// writing round) is a replacement character each. The text was written by the person whose act it
// is. The joiners of Persian and of the Indic scripts, and the signs before Arabic numbers, are writing,
// and stay.
func Legible(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\u200C' || r == '\u200D' || unicode.Is(unicode.Prepended_Concatenation_Mark, r):
			return r
		case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp):
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

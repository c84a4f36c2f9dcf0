package people

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// foldSlow is Fold for what is not folded yet.
func foldSlow(token string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(token) {
		r = unicode.ToLower(r)
		if r >= 'a' && r <= 'z' {
			b.WriteRune(r)
			continue
		}
		// Letters that are no base letter with a mark.
		switch r {
		case 'ß':
			b.WriteString("ss")
		case 'æ':
			b.WriteString("ae")
		case 'œ':
			b.WriteString("oe")
		case 'ø':
			b.WriteString("o")
		case 'ł':
			b.WriteString("l")
		case 'đ', 'ð':
			b.WriteString("d")
		case 'þ':
			b.WriteString("th")
		case 'ı':
			b.WriteString("i")
		case 'ə':
			b.WriteString("a")
		}
	}
	return b.String()
}

package script

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxText is how much of a name is read, in bytes.
const maxText = 4096

// Fold brings a name to the form in which its words are compared and read: NFKC, lower case,
// apostrophes and marks deleted, and a single blank for all that is no letter. Letters whose mark
// has a meaning in a table (ü, ñ, й, Indian vowel signs) keep it.
func Fold(s string) string {
	ascii := true
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if len(s) > maxText {
		s = s[:maxText]
	}
	if !ascii {
		s = norm.NFKC.String(strings.ToValidUTF8(s, " "))
	}
	b := make([]byte, 0, len(s)+8)
	blank := false
	write := func(r rune) {
		if blank && len(b) > 0 {
			b = append(b, ' ')
		}
		blank = false
		b = utf8.AppendRune(b, r)
	}
	t := tables()
	for _, r := range s {
		if r < utf8.RuneSelf {
			switch {
			case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
				write(r)
			case 'A' <= r && r <= 'Z':
				write(r + 'a' - 'A')
			case r == '\'' || r == '`' || r == '"':
			default:
				blank = true
			}
			continue
		}
		r = lower(r)
		switch {
		case isApostrophe(r) || unicode.Is(unicode.Cf, r):
		case unicode.Is(unicode.M, r):
			if keepsMarks(r) && !blank && len(b) > 0 {
				write(r)
			}
		case unicode.IsLetter(r):
			if sc := scriptOf(r); sc == Latin && !t.latin.covers(r) || sc == Greek || sc == Cyrillic && !t.cyrillic.covers(r) {
				for _, base := range norm.NFKD.String(string(r)) {
					if !unicode.Is(unicode.M, base) && !isApostrophe(base) {
						write(lower(base))
					}
				}
				continue
			}
			write(r)
		default:
			blank = true
		}
	}
	if !ascii && !norm.NFKC.IsNormal(b) {
		b = norm.NFKC.Bytes(b) // what was deleted stood between a letter and its mark
	}
	return string(b)
}

func lower(r rune) rune {
	switch r {
	case 'İ', 'ı':
		return 'i'
	case 'ς':
		return 'σ'
	}
	return unicode.ToLower(r)
}

// isApostrophe reports the marks that stand inside a word and are left out by Doc 9303-3.
func isApostrophe(r rune) bool {
	switch r {
	case '´', '·', '’', '‘', '‛', 'ʼ', 'ʻ', 'ʽ', 'ʾ', 'ʿ', 'ʹ', 'ʺ', 'ˈ', 'ˊ', 'ˋ', '′', '“', '”', 'ـ':
		return true
	}
	return false
}

// keepsMarks reports marks that are letters: the vowel signs of India, Thailand, the Maldives and
// their neighbours. The vowel points of Arabic, Hebrew and Syriac are not, as hardly anybody writes
// them, nor are the tones of N'Ko.
func keepsMarks(r rune) bool {
	switch scriptOf(r) {
	case Brahmic:
		return r != '့' && r != 'း' // the tones of Burmese
	case Thai, Thaana:
		return true
	}
	return false
}

// Script is a writing system, as far as this package tells them apart.
type Script uint8

// The scripts. Han and kana are apart, though a Japanese name mixes them.
const (
	Unknown Script = iota
	Latin
	Cyrillic
	Greek
	Arabic
	Hebrew
	Armenian
	Georgian
	Brahmic
	Thai
	Ethiopic
	Han
	Kana
	Hangul
	Syriac
	Thaana
	Nko
)

func scriptOf(r rune) Script {
	switch {
	case r < 0x250 || r >= 0x1E00 && r < 0x1F00 || r >= 0x250 && r < 0x2B0 || r >= 0x2C60 && r < 0x2C80 || r >= 0xA720 && r < 0xA800:
		return Latin
	case r >= 0x370 && r < 0x400 || r >= 0x1F00 && r < 0x2000:
		return Greek
	case r >= 0x400 && r < 0x530 || r >= 0x1C80 && r < 0x1C90 || r >= 0xA640 && r < 0xA6A0:
		return Cyrillic
	case r >= 0x530 && r < 0x590:
		return Armenian
	case r >= 0x590 && r < 0x600:
		return Hebrew
	case r >= 0x600 && r < 0x700 || r >= 0x750 && r < 0x780:
		return Arabic
	case r >= 0x700 && r < 0x750:
		return Syriac
	case r >= 0x780 && r < 0x7C0:
		return Thaana
	case r >= 0x7C0 && r < 0x800:
		return Nko
	case r >= 0x900 && r < 0xE00:
		return Brahmic
	case r >= 0xE00 && r < 0xF00: // and Lao, which is laid out alike
		return Thai
	case r >= 0x1000 && r < 0x1080 || r >= 0x1780 && r < 0x1800: // Burmese, Khmer
		return Brahmic
	case r >= 0x10A0 && r < 0x1100 || r >= 0x1C90 && r < 0x1CC0 || r >= 0x2D00 && r < 0x2D30:
		return Georgian
	case r >= 0x1200 && r < 0x13A0:
		return Ethiopic
	case r >= 0x3040 && r < 0x3100:
		return Kana
	case r >= 0x3400 && r < 0xA000 || r >= 0xF900 && r < 0xFB00 || r == '々' || r >= 0x20000 && r < 0x32000:
		return Han
	case r >= 0xAC00 && r < 0xD7B0:
		return Hangul
	}
	return Unknown
}

// Tokens returns the words of a name, folded. A word ends where the script changes, but for kanji
// and kana. A name in Han or Hangul that is written without a blank is divided into surname and
// given name.
func Tokens(s string) []string {
	folded := Fold(s)
	words := make([]string, 0, 1+strings.Count(folded, " "))
	start, last := 0, Unknown // last is Unknown before the first letter of a word
	flush := func(end int) {
		if end > start && last != Unknown {
			words = append(words, folded[start:end])
		}
		last = Unknown
	}
	for i, r := range folded {
		if r == ' ' {
			flush(i)
			start = i + 1
			continue
		}
		sc := scriptOf(r)
		switch {
		case '0' <= r && r <= '9':
			if last == Unknown || last == Latin {
				continue // a letter's look-alike
			}
			flush(i)
			start = i
			continue
		case sc == Kana:
			sc = Han
		}
		if last != Unknown && sc != last || last == Unknown && sc != Latin && i > start {
			flush(i)
			start = i
		}
		last = sc
	}
	flush(len(folded))
	return divide(words)
}

// divide splits the one word of a name in Han or Hangul that was written without a blank. Where
// there are several, the writer has divided the name.
func divide(words []string) []string {
	at, east := -1, 0
	for i, w := range words {
		if sc := Of(w); sc == Han || sc == Hangul || sc == Kana {
			at = i
			east++
		}
	}
	if east != 1 {
		return words
	}
	t := tables()
	split := t.han.split
	if Of(words[at]) == Hangul {
		split = t.hangul.split
	}
	if Of(words[at]) == Kana {
		return words
	}
	if surname, given, ok := split(words[at]); ok {
		words = append(words, "")
		copy(words[at+2:], words[at+1:])
		words[at], words[at+1] = surname, given
	}
	return words
}

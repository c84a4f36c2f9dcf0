package script

import (
	"strings"
	"unicode/utf8"
)

// arabicZone is the alphabet of Arabic in the zone, both ways.
type arabicZone struct {
	codes   map[rune]string
	letters map[string]rune
	ending  string // ة at the end of a word
}

func readZone() *arabicZone {
	z := &arabicZone{codes: make(map[rune]string), letters: make(map[string]rune)}
	for _, row := range rows("zone_arabic") {
		r, size := utf8.DecodeRuneInString(row[0])
		code := strings.ToLower(row[1])
		if row[0][size:] == "$" {
			z.ending = code
		} else {
			z.codes[r] = code
		}
		if z.letters[code] == 0 { // Y is ي before it is ې
			z.letters[code] = r
		}
	}
	return z
}

func (z *arabicZone) write(token string) string {
	var b []byte
	for i, r := range token {
		code, ok := z.codes[r]
		switch {
		case r == 'ة' && i+utf8.RuneLen(r) == len(token):
			code = z.ending
		case !ok:
			if code = z.codes[plainLetter(r)]; code == "" {
				code = heard(r)
			}
		}
		b = append(b, code...)
	}
	return string(b)
}

// heard is how a letter is usually written that the Doc does not have, those of Sindhi or Jawi.
func heard(r rune) string {
	if l := tables().arabic.letters[r]; l != nil && len(l.west) > 0 {
		return l.west[0].text
	}
	return ""
}

// plainLetter is the letter of the Doc for one that it does not have.
func plainLetter(r rune) rune {
	switch r {
	case 'ە':
		return 'ه'
	case 'ۆ', 'ۇ', 'ۈ', 'ۋ':
		return 'و'
	case 'ێ':
		return 'ي'
	case 'ڕ':
		return 'ر'
	case 'ڵ', 'ڶ':
		return 'ل'
	case 'ڤ':
		return 'ف'
	case 'ڪ':
		return 'ك'
	}
	return 0
}

// leastArabic is how many letters a field must have to be told for Arabic.
const leastArabic = 3

// undo brings a field back to Arabic letters, if it is one that was made from them: every word can
// be read, one has an escape, and there are no more vowels than Arabic writes: a name in Latin letters
// has one to each consonant; ا and ع are fewer. Names with an X of their own (Xavier, Xhafer,
// Alexander) fail on one of these.
func (z *arabicZone) undo(primary, secondary []string, truncated bool) bool {
	escapes, letters, vowels := 0, 0, 0
	last := len(primary) + len(secondary) - 1
	at := 0
	for _, words := range [2][]string{primary, secondary} {
		for _, w := range words {
			r, ok := z.read(w)
			if !ok && truncated && at == last {
				r, ok = z.read(withoutHalfEscape(w))
			}
			if !ok {
				return false
			}
			escapes += r.escapes
			vowels += r.vowels
			letters += utf8.RuneCountInString(r.text)
			at++
		}
	}
	if escapes == 0 || letters < leastArabic || 2*vowels > letters {
		return false
	}
	for _, words := range [2][]string{primary, secondary} {
		for i, w := range words {
			r, ok := z.read(w)
			if !ok {
				r, _ = z.read(withoutHalfEscape(w))
			}
			words[i] = r.text
		}
	}
	return true
}

// withoutHalfEscape drops an escape that the end of the field cut in two.
func withoutHalfEscape(word string) string {
	for n := 2; n > 0; n-- {
		if x := len(word) - n; x > 0 && word[x] == 'x' {
			return word[:x]
		}
	}
	return word
}

// zoneText is a word brought back to Arabic letters.
type zoneText struct {
	text            string
	escapes, vowels int
}

// read decodes a word, and counts its escapes and vowels.
func (z *arabicZone) read(word string) (zoneText, bool) {
	var b []byte
	var r zoneText
	last := ""
	for at := 0; at < len(word); {
		code := ""
		for n := min(3, len(word)-at); n > 0; n-- {
			if z.letters[word[at:at+n]] != 0 {
				code = word[at : at+n]
				break
			}
		}
		if code == "" || code == "i" && at > 0 && word[:at] != "al" {
			return zoneText{}, false // إ begins a word, after the article at most
		}
		at += len(code)
		if code[0] == 'x' {
			r.escapes++
		}
		if code == last && !isPair(code, word[:at-2*len(code)]) {
			last = "" // a shadda
			continue
		}
		if isZoneVowel(code) {
			r.vowels++
			if last == "xh" && code == "e" || isZoneVowel(last) && last+code != "ea" && last+code != "ae" {
				return zoneText{}, false // never one after the other in Arabic, and in Albanian often
			}
		}
		last = code
		b = utf8.AppendRune(b, z.letters[code])
	}
	r.text = string(b)
	return r, true
}

func isZoneVowel(code string) bool { return code == "a" || code == "e" || code == "u" || code == "i" }

// isPair says that a letter that stands twice is two letters and no shadda: at the start of a word
// (ممدوح), and the l after an a, which is the article before a name in l, or God's (اللطيف, الله).
func isPair(code, before string) bool {
	return before == "" || code == "l" && before[len(before)-1] == 'a'
}

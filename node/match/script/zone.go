package script

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// passportField is how many characters of a name the zone of a passport holds.
const passportField = 39

// Zone returns the words of a name as a machine-readable zone writes them: A to Z, by the tables of
// Doc 9303-3 section 6, and by the usual romanisation where it has none. Spellings that fold alike
// have one Zone, so it is what to tell names by where they are counted; for finding it is too
// strict. A word that cannot be read is left out, and a name without one that can is empty.
func Zone(name string) []string {
	var words []string
	tokens := Tokens(name)
	whole := strings.Join(tokens, " ")
	for _, token := range tokens {
		if Of(token) != Latin && Readings(token, 1) == nil {
			continue // ء stands in the zone and says nothing
		}
		if text := zoneWord(token, whole); text != "" {
			words = append(words, strings.ToUpper(text[:min(len(text), passportField)]))
		}
	}
	return words
}

// zoneWords are the words of an identifier, which is folded, of a whole name. What stands between two
// blanks stays one word, whatever scripts it mixes.
func zoneWords(identifier, whole string) []string {
	var words []string
	for _, word := range strings.Fields(identifier) {
		text := ""
		for _, part := range Tokens(word) {
			text += strings.ToUpper(zoneWord(part, whole))
		}
		if text != "" {
			words = append(words, text)
		}
	}
	return words
}

func zoneWord(token, whole string) string {
	t := tables()
	token = cut(token)
	text := ""
	switch Of(token) {
	case Latin:
		if text = ordinal(token); text == "" {
			text = t.latin.zone(token, whole)
		}
	case Cyrillic:
		text = t.cyrillic.zone(token, whole)
	case Arabic:
		text = t.zone.write(token)
	}
	if text != "" {
		return text
	}
	if forms := Readings(token, 1); len(forms) > 0 {
		return forms[0].Text
	}
	return ""
}

// zone writes a word by the first column, which is Doc 9303-3, or by that of the language that
// the letters of the whole name prove: the Doc gives Ukrainian and Serbian letters their own values.
func (t *table) zone(token, whole string) string {
	at := 0
	for i := range t.columns {
		col := &t.columns[i]
		if col.has != "" && containsAny(whole, col.has) && !containsAny(whole, col.not) {
			at = i
			break
		}
	}
	var b []byte
	for i := 0; i < len(token); {
		r := t.find(token, i)
		if r == nil {
			return ""
		}
		b = append(b, r.cells[at][0].text...)
		i += len(r.text)
	}
	return string(b)
}

const shadda = '\u0651'

// doubled writes a letter twice where it bears a shadda, as section 6 C wants it; folding would
// drop the mark. Hardly anybody writes it, so that names are compared without.
func doubled(name string) string {
	if !strings.ContainsRune(name, shadda) {
		return name
	}
	name = strings.ToValidUTF8(name[:min(len(name), maxText)], " ")
	b := make([]byte, 0, len(name)+8)
	var last rune
	for _, r := range name {
		switch {
		case r == shadda:
			if scriptOf(last) == Arabic {
				b = utf8.AppendRune(b, last)
			}
			continue
		case !unicode.Is(unicode.M, r):
			last = r
		}
		b = utf8.AppendRune(b, r)
	}
	return string(b)
}

// Package script reads the words of a name in whatever script they are written. It gives for each
// word the spellings in Latin letters that a passport, an airline or a press report may use
// (Readings), and the skeletons of its consonants in one alphabet for all scripts (Skeletons), by
// which a word in Arabic letters and its dozen romanisations are found together. It knows letters
// and conventions of writing, and not what a word is in a name: see its sibling people.
//
// The tables are data in the folder tables, each with its source in its first line.
//
// One flow: "МУСА Хан" is folded (Fold), split (Tokens), and each word read: "муса" has the readings
// musa, mussa ..., and the skeleton ms.
package script

import "unicode/utf8"

// Form is one way to write a word in Latin letters.
type Form struct {
	// Text is in lower case, a to z only, and never empty.
	Text string
	// Weight is 1 for the usual romanisation, and less for rarer hypotheses.
	Weight float32
	// Bare marks the written letters of a script that leaves out vowels: between any two of its
	// letters may stand a vowel.
	Bare bool
}

// Bounds on what one word may cost. A word of a name is short: what is longer is an attack or a
// sentence without blanks, and is cut.
const (
	MaxLetters  = 40 // letters of a word that are read
	maxReadings = 24
)

// Readings returns up to most spellings of a folded word (see Tokens) in Latin letters, the most
// usual first. It is nil for a word that cannot be read: two unreadable words are not equal.
func Readings(token string, most int) []Form {
	token = cut(token)
	if most <= 0 || token == "" {
		return nil
	}
	c := collector{most: min(most, maxReadings)}
	read(token, &c)
	c.sort()
	return c.forms
}

func read(token string, c *collector) {
	t := tables()
	switch Of(token) {
	case Latin:
		readLatin(token, c)
	case Cyrillic:
		t.cyrillic.read(token, c)
	case Greek:
		t.greek.read(token, c)
	case Armenian:
		t.armenian.read(token, c)
	case Georgian:
		t.georgian.read(token, c)
	case Hebrew:
		t.hebrew.read(token, c)
	case Arabic:
		readArabic(token, c)
	case Syriac:
		t.syriac.read(token, 1, c)
	case Thaana:
		t.thaana.read(token, c)
	case Nko:
		t.nko.read(token, c)
	case Brahmic:
		t.brahmic.read(token, c)
	case Thai:
		t.thai.read(token, c)
	case Ethiopic:
		t.ethiopic.read(token, c)
	case Hangul:
		t.hangul.read(token, c)
	case Kana:
		readKana(token, c)
	case Han:
		if hasKana(token) {
			readKana(token, c)
			return
		}
		t.han.read(token, c)
	}
}

// Skeletons returns up to most skeletons of a folded word, the most likely first: its consonants in
// classes (b f t d k h s j l m n r), after an "a" if it begins with a vowel. They are keys for
// finding, not a likeness: Hassan and Hussein share one.
func Skeletons(token string, most int) []string {
	token = cut(token)
	if most <= 0 || token == "" {
		return nil
	}
	k := keys{most: min(most, maxReadings)}
	t := tables()
	switch Of(token) {
	case Latin:
		if isPlain(token) {
			k.latin(token, k.most)
			return k.all
		}
		k.readings(token)
	case Cyrillic:
		t.cyrillic.sound(token, &k)
	case Greek:
		t.greek.sound(token, &k)
	case Armenian:
		t.armenian.sound(token, &k)
	case Georgian:
		t.georgian.sound(token, &k)
	case Hebrew:
		t.hebrew.skeletons(token, &k)
	case Arabic:
		arabicSkeletons(token, &k)
	case Syriac:
		t.syriac.sounds.sound(token, &k)
	case Thaana:
		t.thaana.sound(token, &k)
	case Nko:
		t.nko.sound(token, &k)
	default:
		k.readings(token)
	}
	if len(k.all) == 1 && k.all[0] == "a" && Readings(token, 1) == nil {
		return nil // a sign that carries vowels, and none with it
	}
	return k.all
}

func hasKana(token string) bool {
	for _, r := range token {
		if scriptOf(r) == Kana {
			return true
		}
	}
	return false
}

// cut bounds a word to MaxLetters letters.
func cut(token string) string {
	if len(token) <= MaxLetters {
		return token
	}
	n := 0
	for i := range token {
		if n == MaxLetters {
			return token[:i]
		}
		n++
	}
	return token
}

// Of returns the script of a folded word, which is that of its first letter.
func Of(token string) Script {
	for i := range len(token) {
		if token[i] < '0' || token[i] > '9' {
			r, _ := utf8.DecodeRuneInString(token[i:])
			return scriptOf(r)
		}
	}
	return Unknown
}

// Package country turns the names of states, as lists and forms write them in English and in
// French, into codes of ISO 3166-1.
//
// It knows present states and territories under their usual, their official and their former
// names, and nothing of adjectives ("Belgian"), of states that are no more ("former Soviet
// Union": which of fifteen?) or of cities. It does not say who speaks for a code: pki/identity
// does. What it does not recognise it does not guess.
//
// One flow: a list says "Iran (Islamic Republic of)", Alpha3 folds case, marks and punctuation
// and finds IRN.
package country

import (
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/entente-mesh/entente/pki/identity"
)

// index holds both ways into the table.
type index struct {
	byName   map[string]string
	byAlpha2 map[string]string
}

// load reads the table once, at the first look-up.
var load = sync.OnceValue(func() index {
	x := index{byName: make(map[string]string, 1024), byAlpha2: make(map[string]string, 256)}
	for line := range strings.Lines(strings.TrimSpace(table)) {
		fields := strings.SplitN(strings.TrimSpace(line), " ", 3)
		alpha3 := fields[0]
		x.byAlpha2[fields[1]] = alpha3
		for name := range strings.SplitSeq(fields[2], ";") {
			x.byName[fold(name)] = alpha3
		}
	}
	return x
})

// Alpha3 returns the ISO 3166-1 alpha-3 code of a state's name in English or French. Case,
// accents, punctuation, an article, the abbreviations of "republic" and the like, and what a
// register puts behind a comma ("Congo, Democratic Republic of the") make no difference.
func Alpha3(name string) (string, bool) {
	x := load()
	if code, ok := x.byName[fold(name)]; ok {
		return code, true
	}
	head, tail, ok := strings.Cut(strings.TrimRight(strings.TrimSpace(name), ")"), ",")
	if !ok {
		if head, tail, ok = strings.Cut(strings.TrimRight(strings.TrimSpace(name), ")"), "("); !ok {
			return "", false
		}
	}
	code, ok := x.byName[fold(tail+" "+head)]
	return code, ok
}

// FromAlpha2 returns the alpha-3 code of an alpha-2 code: "BE" is BEL. Capitals only: lists
// write "na" for what they do not know, and mean no country in Africa.
func FromAlpha2(code string) (string, bool) {
	alpha3, ok := load().byAlpha2[strings.TrimSpace(code)]
	return alpha3, ok
}

// Parse returns the code of a state however it is written: as an alpha-3 code or a code of
// Doc 9303-3, as an alpha-2 code, or by name. A code comes before a name.
func Parse(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if upper := strings.ToUpper(s); len(upper) == 3 && identity.KnownCode(upper) {
		return upper, true
	}
	if len(s) == 2 {
		if code, ok := FromAlpha2(s); ok {
			return code, true
		}
	}
	return Alpha3(s)
}

// articles may stand before a name, in either language.
var articles = []string{"the ", "la ", "le ", "les ", "l "}

// abbreviations are written out, and so is the one word that is written with and without its apostrophe.
var abbreviations = map[string]string{
	"rep": "republic", "dem": "democratic", "fed": "federal", "isl": "islamic", "is": "islands", "peoples": "people s",
}

// fold is the form under which names are compared: letters and digits in lower case without
// marks, words separated by one blank.
func fold(name string) string {
	var out strings.Builder
	blank := false
	for _, r := range norm.NFD.String(strings.ReplaceAll(name, "&", " and ")) {
		switch {
		case unicode.Is(unicode.Mn, r):
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if blank && out.Len() > 0 {
				out.WriteByte(' ')
			}
			blank = false
			out.WriteRune(unicode.ToLower(r))
		case r == '.':
			// "U.S.A." is one word; "St. Lucia" has a blank of its own.
		default:
			blank = true
		}
	}
	words := strings.Fields(out.String())
	for i, w := range words {
		if whole, ok := abbreviations[w]; ok {
			words[i] = whole
		}
	}
	folded := strings.TrimSuffix(strings.Join(words, " "), " the")
	for _, a := range articles {
		if rest, ok := strings.CutPrefix(folded, a); ok {
			folded = rest
			break
		}
	}
	if rest, ok := strings.CutPrefix(folded, "st "); ok {
		folded = "saint " + rest
	}
	return folded
}

package names

import (
	"strings"

	"github.com/entente-mesh/entente/node/match/people"
	"github.com/entente-mesh/entente/node/match/script"
)

// Query is who is looked for.
type Query struct {
	// Name is the whole name, in any order; or Primary and Secondary are its two identifiers.
	Name, Primary, Secondary string
	// Truncated says that a document's field cut the end off.
	Truncated   bool
	Birth       Span
	BirthKnown  bool
	Nationality string
	Born        string // the country of birth
	Sex         byte   // 'F', 'M' or 0
}

// asked is a query ready to be compared.
type asked struct {
	words []*word // of the name
	terms []term  // what is looked up: the words, joins of them, and parts of them
	// splits are words that may be two written as one, or two parted at the wrong letter.
	splits      []split
	truncated   bool
	birth       Span
	birthKnown  bool
	nationality uint16
	born        uint16
	sex         byte
	names       int    // of the list
	region      string // where the name is at home, as far as is known
	surname     uint32 // the words of the surname that matter, as bits; 0: the query does not tell it apart
}

// term is one look-up of a query.
type term struct {
	word   *word
	mask   uint32 // the words of the name that it stands for
	prefix bool   // its end may be cut off
	part   int    // of splits, or -1
	chance chances
}

// split is a word of the query read as two, or two words with the blank between them elsewhere.
type split struct {
	mask        uint32 // the words of the name that are read so
	left, right int    // terms
	cost        float32
	kind        Kind
}

const (
	maxJoin     = 3
	maxJoinText = 40
	maxSplits   = 24
	leastPart   = 3
	leastSplit  = 7
	fullZone    = 38 // letters of a name that fills the field of a passport
	splitCost   = 0.6
	slideCost   = 1.5 // as much as another slip of the keys
	leastSlid   = 2
	joinCost    = 0.4
)

// newAsked takes a query apart. The words are taken from known, which keeps what was looked up.
func newAsked(q *Query, known *lexicon) *asked {
	a := &asked{truncated: q.Truncated, birth: q.Birth, birthKnown: q.BirthKnown, nationality: codeNumber(q.Nationality),
		born: codeNumber(q.Born), sex: q.Sex}
	text, field := q.Name, strings.ReplaceAll(q.Name, " ", "<")
	if strings.TrimSpace(text) == "" {
		text = q.Primary + " " + q.Secondary
		field = strings.ReplaceAll(q.Primary, " ", "<") + "<<" + strings.ReplaceAll(q.Secondary, " ", "<")
	}
	words := wordsOf(text)
	if len(strings.TrimSpace(text)) >= fullZone+1 && len(strings.TrimSpace(text)) <= fullZone+2 && script.Of(words0(words)) == script.Latin {
		a.truncated = true
	}
	for _, w := range words {
		a.words = append(a.words, known.word(w))
	}
	// Of a name that was cut, the end of the surname may be cut as well (Doc 9303-3, 4.6).
	surnameEnd := len(wordsOf(q.Primary)) - 1
	if given := wordsOf(q.Secondary); strings.TrimSpace(q.Name) == "" && len(given) > 0 && surnameEnd+1+len(given) == len(a.words) {
		for i, w := range a.words[:surnameEnd+1] {
			if !minor(byte(w.role)) {
				a.surname |= 1 << i
			}
		}
	}
	for i, w := range a.words {
		a.terms = append(a.terms, term{word: w, mask: 1 << i, part: -1, prefix: a.truncated && (i == len(a.words)-1 || i == surnameEnd)})
	}
	if escaped(text) {
		primary, secondary, _ := script.FromMRZ(strings.ToUpper(field))
		a.unescape(boundWords(append(primary, secondary...)), known)
	}
	a.join(words, known)
	return a
}

// unescape adds the words that a zone may have escaped, beside those that it shows.
func (a *asked) unescape(plain []string, known *lexicon) {
	if len(plain) != len(a.words) {
		return
	}
	for i, w := range plain {
		if w != a.words[i].text {
			a.terms = append(a.terms, term{word: known.word(w), mask: 1 << i, part: -1})
		}
	}
}

// Home is the region in which the name of a query is at home, as package people names them; empty
// where none of its words is known. What is left of a word that was cut off tells nothing.
func Home(q *Query) string {
	words := usualWords(q)
	if q.Truncated && len(words) > 1 {
		words = words[:len(words)-1]
	}
	return people.RegionOf(words)
}

// Borne is the share of the travellers of a region who bear all the words of a query's name, in one
// spelling or another, as far as tables of single words tell. Titles, particles and initials are borne by
// everybody, and so is a name without a word that can be read; what is left of a word that was cut off is as
// rare as a word of its length.
func Borne(q *Query, region string) float64 {
	share := 1.0
	for _, w := range usualWords(q) {
		if role, certainty := people.RoleOf(w); len(w) > 1 && (certainty < sureRole || !minor(byte(role))) {
			share *= people.NameFrequencyIn(region, w)
		}
	}
	return share
}

// usualWords are the usual readings of the words of a query's name.
func usualWords(q *Query) []string {
	text := q.Name
	if strings.TrimSpace(text) == "" {
		text = q.Primary + " " + q.Secondary
	}
	var latin []string
	for _, w := range wordsOf(text) {
		if r := script.Readings(w, 1); len(r) > 0 {
			latin = append(latin, r[0].Text)
		}
	}
	return latin
}

// escaped says that a name may hold escapes of the zone: nothing but A to Z, and an X.
func escaped(text string) bool {
	x := false
	for _, r := range text {
		switch {
		case r == 'X' || r == 'x':
			x = true
		case r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == ' ' || r == '<':
		default:
			return false
		}
	}
	return x
}

func words0(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

// join adds the neighbours that may be one word: ABD EL RAHMAN.
func (a *asked) join(words []string, known *lexicon) {
	for i := range words {
		joined, mask := words[i], uint32(1)<<i
		for k := 1; k < maxJoin && i+k < len(words); k++ {
			joined += words[i+k]
			mask |= 1 << (i + k)
			if len(joined) > maxJoinText || len(joined) < 4 {
				continue
			}
			if k == maxJoin-1 && a.words[i+1].role == people.Ordinary && len(words[i+1]) > 3 {
				break // three full words are not one
			}
			a.terms = append(a.terms, term{word: known.word(joined), mask: mask, part: -1})
		}
	}
}

// articles may stand between the halves of a joined word, or before a word that is written onto one.
var articles = []string{"al", "el", "ul", "ur", "ar", "il", "as", "us", "es", "an", "un", "ad", "ud", "ed", "at", "ut", "az", "uz", "u", "a", "i", "o", "e"}

package names

import (
	"math"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/entente-mesh/entente/node/match/people"
	"github.com/entente-mesh/entente/node/match/script"
)

// Bounds on what one word may cost.
const (
	maxReadings  = 6  // of a word
	maxSkeletons = 3  // of a word
	maxWordText  = 80 // bytes of a word
)

// word is all that is known of one word of a name, whoever bears it.
type word struct {
	text   string // folded, in its own script
	forms  []form
	latin  string   // the usual reading
	keys   []uint64 // under which like words are found
	group  uint32
	stem   uint64 // hash of what the forms of one surname have in common; 0: none
	role   people.TokenRole
	share  float32 // of travellers who bear it so written
	shared float32 // of travellers who bear it in any spelling
}

// form is one reading of a word.
type form struct {
	sound []byte
	cost  float32 // of reading the word so
	set   uint32  // which sounds it holds
	bare  bool
}

// newWord looks a folded word up in all tables.
func newWord(text string) *word {
	text = cutWord(text)
	w := &word{text: text}
	readings := script.Readings(text, maxReadings)
	if len(readings) > 0 {
		usual := readings[0].Text
		w.latin = usual
		if role, certainty := people.RoleOf(usual); certainty >= sureRole {
			w.role = role
		}
		w.share = float32(people.Frequency(usual))
		w.shared = max(w.share, float32(people.NameFrequency(usual)))
		w.group = people.Group(usual)
		if stem, _ := people.Stem(usual); stem != usual && len(stem) >= 4 {
			w.stem = hashKey(keyStem, stem, -1)
		}
	}
	w.read(readings, 0)
	if rest := w.withoutArticle(); rest != "" {
		w.read(script.Readings(rest, maxReadings/2), articleCost)
	}
	w.keys = w.allKeys()
	return w
}

// sureRole is of how many of its bearers a word must be no name, so that it says little of who bears
// it: AMIR is a rank on some lists and a name in most passports.
const sureRole = 0.6

// cutWord bounds a word, and cuts no letter apart.
func cutWord(text string) string {
	if len(text) <= maxWordText {
		return text
	}
	end := maxWordText
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// allKeys are the keys of the word, and of what is left without its article.
func (w *word) allKeys() []uint64 {
	keys := appendWordKeys(nil, w.text)
	if rest := w.withoutArticle(); rest != "" {
		keys = appendWordKeys(keys, rest)
	}
	return w.appendFormKeys(keys)
}

// articleCost is what it costs to leave out an article that is written onto a word.
const articleCost = 0.4

// read adds readings that are not there yet.
func (w *word) read(readings []script.Form, cost float32) {
	for _, f := range readings {
		sound := appendSounds(make([]byte, 0, len(f.Text)), f.Text)
		if len(sound) == 0 || slices.ContainsFunc(w.forms, func(have form) bool { return string(have.sound) == string(sound) }) {
			continue
		}
		weight := min(1, max(float64(f.Weight), 0.05))
		w.forms = append(w.forms, form{sound, cost + readingPatience*float32(-math.Log(weight)), soundSet(sound), f.Bare})
	}
}

// writtenOn are articles and particles that are written onto a name, the longest first, and how many
// letters of it must be left: a short rest is no name.
var writtenOn = [...]struct {
	article string
	rest    int
}{{"vanden", 5}, {"vander", 5}, {"della", 5}, {"dela", 5}, {"vande", 5}, {"al", 4}, {"el", 4}}

// withoutArticle returns a word without the article that is written onto it, or nothing.
func (w *word) withoutArticle() string {
	text := w.text
	if w.role != people.Ordinary {
		return ""
	}
	if rest, ok := strings.CutPrefix(text, "ال"); ok && utf8.RuneCountInString(rest) >= 3 {
		return rest
	}
	for _, a := range writtenOn {
		if rest, ok := strings.CutPrefix(text, a.article); ok && len(rest) >= a.rest {
			return rest
		}
	}
	return ""
}

// readingPatience is how much of a reading's rarity counts: the weights of the tables are judgement.
const readingPatience = 0.5

func soundSet(sound []byte) uint32 {
	var set uint32
	for _, c := range sound {
		set |= 1 << (c & 31)
	}
	return set
}

func (w *word) readable() bool { return len(w.forms) > 0 }

// lossOf is what a set of sounds costs at the least that the other side has not: each costs what the
// cheapest way to lose it costs.
func lossOf(set uint32) float32 {
	sum := float32(0)
	for ; set != 0; set &= set - 1 {
		sum += costs.loss[bits.TrailingZeros32(set)]
	}
	return sum
}

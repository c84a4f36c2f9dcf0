package names

import (
	"slices"
	"strings"

	"github.com/entente-mesh/entente/node/match/people"
	"github.com/entente-mesh/entente/node/match/script"
)

// Trust is how far a list trusts a name of a person.
type Trust uint8

// How far a name is trusted.
const (
	Good        Trust = iota
	NomDeGuerre       // borne among some
	Weak              // the list itself says that it fits many
)

// Name is a name of a person as a list writes it.
type Name struct {
	Text  string
	Trust Trust
}

// Person is who is put into an index.
type Person struct {
	ID            string
	Names         []Name
	Births        []Span
	Nationalities []Nationality // at most three are compared
	Born          []string      // the countries of birth
	Sex           byte          // 'F', 'M' or 0
	NotSame       []NotSame
}

// Nationality is one that a person holds, or held.
type Nationality struct {
	Code   string
	Former bool
}

// NotSame is somebody whom the owner knows not to be the person.
type NotSame struct {
	Name string
	Born int32
}

// prepared is a person taken apart, before the index is locked.
type prepared struct {
	facts    facts
	names    []preparedName
	births   []Span
	distinct []distinction
	some     bool // there is a word that can be read in some name
}

type preparedName struct {
	words []*word
	flags byte
}

type distinction struct {
	words []string // sorted, by their usual reading
	born  int32
}

// sortedWords are the usual readings of words, in the order of the alphabet.
func sortedWords(words []string, known *lexicon) []string {
	var out []string
	for _, w := range words {
		out = append(out, known.word(w).latin)
	}
	slices.Sort(out)
	return out
}

const (
	maxNames  = 250 // of a person
	maxBirths = 16
	maxWords  = 12 // of a name; of more, the longest
	maxText   = 1024
)

const flagTrust = 3 // the bits of nameFlags that hold a Trust

// prepare takes a person apart. The words are taken from known.
func prepare(p *Person, known *lexicon) *prepared {
	out := &prepared{births: p.Births[:min(len(p.Births), maxBirths)]}
	out.facts = facts{id: p.ID, births: uint8(len(out.births)), sex: p.Sex, born: newBornSet(p.Born)}
	for i, n := range p.Nationalities[:min(len(p.Nationalities), len(out.facts.nationalities))] {
		code := codeNumber(n.Code)
		if n.Former {
			code |= formerBit
		}
		out.facts.nationalities[i] = code
	}
	for _, n := range p.Names {
		if len(out.names) == maxNames {
			break
		}
		words := wordsOf(n.Text)
		name := preparedName{flags: byte(n.Trust) & flagTrust}
		for _, w := range words {
			entry := known.word(w)
			out.some = out.some || entry.readable()
			name.words = append(name.words, entry)
		}
		out.names = append(out.names, name)
	}
	out.facts.names = uint8(len(out.names))
	for _, d := range p.NotSame {
		if words := wordsOf(d.Name); len(words) > 0 {
			out.distinct = append(out.distinct, distinction{sortedWords(words, known), d.Born})
		}
	}
	return out
}

// wordsOf splits a name into at most maxWords words.
func wordsOf(text string) []string {
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	return boundWords(script.Tokens(text))
}

// boundWords keeps the longest words where there are too many, in their order, so that padding with
// short words hides no name.
func boundWords(words []string) []string {
	for len(words) > maxWords {
		shortest := 0
		for i, w := range words {
			if len(w) < len(words[shortest]) {
				shortest = i
			}
		}
		words = append(words[:shortest], words[shortest+1:]...)
	}
	return words
}

// formerBit marks a nationality that was held formerly.
const formerBit = 1 << 15

// codeNumber packs a code of three letters.
func codeNumber(code string) uint16 {
	if len(code) != 3 {
		return 0
	}
	n := uint16(0)
	for i := range 3 {
		n = n<<5 | uint16(code[i]&31)
	}
	return n
}

// minor says that a word in a role says little of who bears the name.
func minor(role byte) bool { return people.TokenRole(role) != people.Ordinary }

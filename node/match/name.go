package match

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Bounds on what one name may cost. A name of a person has a handful of words; what is longer is
// a sentence or an attack, and is cut, never refused.
const (
	maxNameText   = 512 // characters read
	maxNameTokens = 16  // words compared; of more, the longest
	maxTokenText  = 40  // letters of a word: a zone of a passport holds 39 for the whole name
)

// Name is a name ready to be compared.
type Name struct {
	// Text is the name as written.
	Text string
	// Tokens are its words in order.
	Tokens []Token
}

// Token is one word of a name.
type Token struct {
	// Forms are its spellings in A to Z, the one of the machine-readable zone first. Empty: a word
	// in a script that no table covers, which is like no other word, itself included.
	Forms []Form
	// Weight is how much the word says of the person: 1 for a name, little for a particle.
	Weight float64
}

// Form is one spelling of a word, with what is derived from it for finding and comparing.
type Form struct {
	Text     string // A to Z
	Sound    string // folded by sound: PHILIPPE and FILIP come close
	Skeleton string // its consonants in classes: MOHAMED and MUHAMMAD share one
	letters  uint32 // the set of letters of Text
	sounds   uint32 // the set of letters of Sound
	bare     bool   // without the article that was written onto the word
}

func newForm(text string) Form {
	f := Form{Text: text, Sound: soundOf(text)}
	f.Skeleton = skeletonOf(f.Sound)
	f.letters, f.sounds = letterSet(f.Text), letterSet(f.Sound)
	return f
}

func letterSet(s string) uint32 {
	var set uint32
	for i := range len(s) {
		set |= 1 << (s[i] - 'A')
	}
	return set
}

// Weights of words. Particles and titles are weighed down and not dropped: a name that consists of
// them ("Ben", "Sheikh Al") must still be compared as a whole.
const (
	weightName     = 1.0
	weightKunya    = 0.5 // "Abu", "Umm": half of a nom de guerre, shared by thousands
	weightInitial  = 0.35
	weightTitle    = 0.2
	weightParticle = 0.1
)

var (
	particles = wordSet(`AL EL UL IL AR AS AZ ASH AD AT BIN IBN BEN BINT BT OULD WALAD WULD VELED
		DE DEL DELA DELLA DI DA DO DOS DAS DU DES LA LE LES LO LOS LAS VAN VON DEN DER TER TEN ZU ZUM ZUR Y ET`)
	titles = wordSet(`MR MRS MS MISS DR PROF SIR ENG HAJI HAJJI HADJI HAJ HAJJ AL-HAJ SHEIKH SHAYKH SHEIK CHEIKH
		MULLAH MULLA MAULAVI MAWLAWI MAULAWI MAULANA MOLVI SAYYID SAYED SYED GENERAL COLONEL MAJOR CAPTAIN
		JR SR JUNIOR SENIOR`)
	kunyas = wordSet(`ABU ABOU ABO UMM OUM UM`)
)

func weightOf(text string) float64 {
	switch {
	case particles[text]:
		return weightParticle
	case titles[text]:
		return weightTitle
	case kunyas[text]:
		return weightKunya
	case len(text) == 1:
		return weightInitial
	}
	return weightName
}

// NormaliseName returns a name in the form of the machine-readable zone, with blanks between the
// words: NFKC, upper case, apostrophes deleted, hyphens and fillers as blanks, other scripts by the
// tables of Doc 9303-3. Words that no table covers are left out.
func NormaliseName(name string) string {
	var words []string
	for _, t := range newName(name).Tokens {
		if len(t.Forms) > 0 {
			words = append(words, t.Forms[0].Text)
		}
	}
	return strings.Join(words, " ")
}

func newName(text string) Name {
	n := Name{Text: text}
	words := splitWords(text)
	ukrainian := isUkrainian(words)
	for _, word := range words {
		mrz, plain, ok := transliterate(word, ukrainian)
		if mrz == "" && plain == "" {
			if !ok {
				n.Tokens = append(n.Tokens, Token{Weight: weightName})
			}
			continue
		}
		n.Tokens = append(n.Tokens, newToken(mrz, plain, ok))
	}
	n.Tokens = boundTokens(n.Tokens)
	return n
}

// boundTokens keeps the longest words where there are too many, in their order, so that padding
// with short words hides no name.
func boundTokens(tokens []Token) []Token {
	if len(tokens) <= maxNameTokens {
		return tokens
	}
	size := func(t Token) int {
		if len(t.Forms) == 0 {
			return 0
		}
		return len(t.Forms[0].Text)
	}
	order := make([]int, len(tokens))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(size(tokens[b]), size(tokens[a])) })
	order = order[:maxNameTokens]
	slices.Sort(order)
	kept := make([]Token, 0, maxNameTokens)
	for _, i := range order {
		kept = append(kept, tokens[i])
	}
	return kept
}

// escapes are the longer forms that Doc 9303-3 section 6 permits for Ñ and Ü.
var escapes = strings.NewReplacer("NXX", "N", "UXX", "U")

func newToken(mrz, plain string, ok bool) Token {
	if !ok {
		// A word of which a part is in no table must not be the same as its remainder.
		return Token{Weight: weightName}
	}
	var t Token
	add := func(text string, bare bool) {
		text = text[:min(len(text), maxTokenText)]
		if text != "" && !slices.ContainsFunc(t.Forms, func(f Form) bool { return f.Text == text }) {
			f := newForm(text)
			f.bare = bare
			t.Forms = append(t.Forms, f)
		}
	}
	add(mrz, false)
	add(plain, false)
	// What a zone escapes people write without.
	if bare := escapes.Replace(mrz); bare != mrz {
		add(bare, false)
	}
	// The article may be written onto the word: ALHABU is also HABU.
	for _, f := range t.Forms {
		if rest := f.Text[min(2, len(f.Text)):]; len(rest) >= 4 && (f.Text[:2] == "AL" || f.Text[:2] == "EL") {
			add(rest, true)
			break
		}
	}
	t.Weight = weightOf(t.Forms[0].Text)
	return t
}

// isApostrophe reports the marks that stand inside a word: Doc 9303-3 omits them, and so do we, where
// a blank would make two words of SAID.
func isApostrophe(r rune) bool {
	switch r {
	case '\'', '`', '´', '’', '‘', '‛', 'ʼ', 'ʻ', 'ʽ', 'ʾ', 'ʿ', 'ʹ', 'ʺ', 'ˈ', 'ˊ', 'ˋ', '′', '"', '“', '”', 'ـ':
		return true
	}
	return false
}

// splitWords returns the words of a name in upper case, without marks but for those that the Latin
// table reads.
func splitWords(text string) [][]rune {
	var words [][]rune
	var word []rune
	flush := func() {
		if len(word) > 0 {
			words = append(words, word)
			word = nil
		}
	}
	for _, r := range norm.NFC.String(norm.NFKC.String(cut(text, maxNameText))) {
		r = unicode.ToUpper(r)
		if r == 'İ' {
			r = 'I'
		}
		if _, known := lookUp(r, true); known || r >= 'A' && r <= 'Z' {
			word = append(word, r)
			continue
		}
		switch {
		case isApostrophe(r), unicode.Is(unicode.M, r), unicode.Is(unicode.Cf, r):
			continue
		case unicode.IsLetter(r):
			for _, base := range norm.NFKD.String(string(r)) {
				if !unicode.Is(unicode.M, base) {
					word = append(word, unicode.ToUpper(base))
				}
			}
		default: // blanks, hyphens, fillers, digits, punctuation
			flush()
		}
	}
	flush()
	return words
}

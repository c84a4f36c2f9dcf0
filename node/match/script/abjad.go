package script

import (
	"strings"
	"unicode/utf8"
)

// abjad reads a script that leaves out short vowels. What a reader supplies from memory is guessed
// here by the shape of syllables: a consonant opens one or closes one, none begins with two, and
// the letters of the long vowels stand as they are written.
type abjad struct {
	letters map[rune]*letter
	initial map[rune]*letter // what a letter is at the start of a word, where that differs
	sounds  *table           // letters, and pairs of letters that are one sound, in classes
	// eastern are letters that only the eastern column's languages have.
	eastern string
}

// letter is what a letter may be.
type letter struct {
	kind                   kind
	west, east             []alternative // as a consonant
	initial, medial, final []alternative // as a vowel
}

type kind byte

const (
	consonant kind = 'c'
	silent    kind = 's' // a consonant that Latin leaves out: ع
	vowelSign kind = 'v' // always a vowel
	glide     kind = 'g' // a vowel or a consonant: و ي
	ending    kind = 'e' // a consonant, but at the end of a word mostly a vowel: ه
	nothing   kind = 'n'
)

// readAbjad reads a table of letter, sound, kind, west, east, initial, medial, final. Rows of more
// than one letter have a sound only. A cell that is empty is like the one before it.
func readAbjad(name, eastern string) *abjad {
	a := &abjad{letters: make(map[rune]*letter), initial: make(map[rune]*letter), sounds: readTable(name), eastern: eastern}
	for _, row := range rows(name) {
		if len(row) < 3 || row[2] == "" {
			continue
		}
		l := &letter{kind: kind(row[2][0])}
		var last []alternative
		for i, cell := range []*[]alternative{&l.west, &l.east, &l.initial, &l.medial, &l.final} {
			if i+3 < len(row) && row[i+3] != "" {
				last = readCell(name, row[i+3], nil)
			}
			*cell = last
		}
		if text, initial := strings.CutPrefix(row[0], "^"); initial {
			r, _ := utf8.DecodeRuneInString(text)
			a.initial[r] = l
		} else {
			r, _ := utf8.DecodeRuneInString(text)
			a.letters[r] = l
		}
	}
	return a
}

// Vowels that a reader supplies. The first is taken where consonants vary; all are tried with the
// likeliest consonants.
var (
	openFirst  = []alternative{{"a", 1}, {"u", 0.6}, {"i", 0.6}, {"", 0.15}}
	open       = []alternative{{"a", 1}, {"i", 0.7}, {"u", 0.3}, {"", 0.3}}
	afterLong  = []alternative{{"i", 1}, {"a", 0.6}, {"", 0.5}, {"u", 0.3}}
	beforeLast = []alternative{{"a", 1}, {"i", 0.7}, {"", 0.45}, {"u", 0.35}}
	closed     = []alternative{{"", 1}, {"a", 0.5}, {"i", 0.4}}
	openEast   = []alternative{{"a", 1}, {"e", 0.9}, {"o", 0.6}, {"", 0.2}}
)

// unit is a written letter in its role, or a gap between two consonants.
type unit struct {
	west, east []alternative
	gap        bool
	bare       string
}

// units finds the role of each letter and the gaps.
func (a *abjad) units(word string, buf []unit) ([]unit, bool) {
	var letters [MaxLetters]*letter
	n := 0
	for _, r := range word {
		l := a.letters[r]
		if l == nil {
			return nil, false
		}
		if first := a.initial[r]; n == 0 && first != nil {
			l = first
		}
		if l.kind == nothing {
			continue
		}
		letters[n] = l
		n++
	}
	var isVowel [MaxLetters + 1]bool
	for i := range n {
		isVowel[i] = isVowelAt(letters[:n], isVowel[:i], i)
	}
	gaps := gapsOf(isVowel[:n])
	units := buf[:0]
	for i, l := range letters[:n] {
		u := unit{west: l.west, east: l.east}
		if isVowel[i] {
			switch i {
			case 0:
				u.west = l.initial
			case n - 1:
				u.west = l.final
			default:
				u.west = l.medial
			}
			switch {
			case l.kind == glide && i > 0:
				u.west = afterVowel(letters[i-1], i, n, u.west, l)
			case i == 0 && n > 2 && isVowel[1] && letters[1].kind == glide:
				u.west = nil // it carries the vowel that the glide is
			}
			u.east = u.west
		} else if l.kind == glide && i > 0 && i+1 < n && isVowel[i+1] && !isVowel[i-1] {
			// زكريا: after a consonant the glide brings its own vowel.
			u.west = glided(l, letters[i+1].kind == glide)
			u.east = u.west
			gaps[i-1] = noGap
		}
		if len(u.west) > 0 {
			u.bare = u.west[0].text
		}
		units = append(units, u)
		switch gaps[i] {
		case noGap:
		case openGap:
			units = append(units, unit{west: open, east: openEast, gap: true})
			if i == 0 {
				units[len(units)-1].west = openFirst
			} else if letters[i-1].kind == vowelSign && isVowel[i-1] {
				units[len(units)-1].west = afterLong
			} else if i == n-2 {
				units[len(units)-1].west = beforeLast
			}
		case closedGap:
			units = append(units, unit{west: closed, east: closed, gap: true})
		}
	}
	return units, true
}

// glided is a glide with the vowel that it grows after a consonant: iy, uw. Before the other glide
// the two may be a diphthong: Moira, Juwayni.
func glided(l *letter, beforeGlide bool) []alternative {
	switch {
	case l.isY() && beforeGlide:
		return glidedYW
	case l.isY():
		return glidedY
	case beforeGlide:
		return glidedWY
	}
	return glidedW
}

// isY tells the two glides apart.
func (l *letter) isY() bool { return len(l.medial) > 0 && l.medial[0].text == "i" }

// afterVowel is what a glide that stands as a vowel may be after a long a, or after a silent letter
// at the start of a word: a diphthong, or a consonant with a vowel of its own.
func afterVowel(before *letter, i, n int, plain []alternative, l *letter) []alternative {
	y := l.isY()
	switch {
	case before.kind == vowelSign && i == 1 && n > 2 && y:
		return firstY
	case before.kind == vowelSign && i == 1 && n > 2:
		return firstW
	case before.kind == vowelSign && i < n-1 && y:
		return longAY
	case before.kind == vowelSign && i < n-1:
		return longAW
	case before.kind == silent && i == 1 && y:
		return silentY
	case before.kind == silent && i == 1:
		return silentW
	}
	return plain
}

var (
	firstY   = []alternative{{"i", 1}, {"ay", 0.8}, {"ai", 0.8}, {"ei", 0.7}, {"e", 0.7}}
	firstW   = []alternative{{"u", 1}, {"o", 0.95}, {"aw", 0.7}, {"au", 0.6}, {"ou", 0.5}}
	glidedYW = []alternative{{"ay", 1}, {"iy", 0.8}, {"i", 0.8}, {"y", 0.6}}
	glidedWY = []alternative{{"aw", 1}, {"u", 0.85}, {"av", 0.8}, {"o", 0.7}, {"uw", 0.6}, {"w", 0.5}}
	longAY   = []alternative{{"i", 1}, {"ye", 0.7}, {"y", 0.5}, {"ya", 0.5}}
	longAW   = []alternative{{"u", 1}, {"wa", 0.8}, {"w", 0.6}, {"o", 0.5}, {"va", 0.4}}
	silentY  = []alternative{{"i", 1}, {"ay", 0.8}, {"ei", 0.7}, {"e", 0.5}, {"ai", 0.5}}
	silentW  = []alternative{{"aw", 1}, {"u", 0.9}, {"o", 0.8}, {"au", 0.8}}
	glidedY  = []alternative{{"iy", 1}, {"y", 0.8}, {"i", 0.7}}
	glidedW  = []alternative{{"aw", 1}, {"w", 0.8}, {"u", 0.5}, {"v", 0.5}}
)

// isVowelAt says whether a letter in its place is a vowel. What stands before it is known.
func isVowelAt(letters []*letter, before []bool, i int) bool {
	l := letters[i]
	last := i == len(letters)-1
	switch l.kind {
	case vowelSign:
		return true
	case ending:
		return last && i > 0 && !before[i-1]
	case glide:
		if i == 0 {
			return len(letters) == 1
		}
		if last {
			return true
		}
		next := letters[i+1]
		if next.kind == vowelSign || next.kind == ending && i+2 == len(letters) {
			return false
		}
		return next.kind != glide // of two glides the first is a consonant
	}
	return false
}

const (
	noGap = iota
	openGap
	closedGap
)

// gapsOf says after which consonants a short vowel is to be expected: at each consonant that is
// followed by another. From the right: a consonant before a vowel opens its syllable, the one
// before that closes the syllable before.
func gapsOf(isVowel []bool) [MaxLetters]byte {
	var gaps [MaxLetters]byte
	n := len(isVowel)
	for end := n - 1; end >= 0; end-- {
		if isVowel[end] {
			continue
		}
		start := end
		for start > 0 && !isVowel[start-1] {
			start--
		}
		// The run of consonants is start to end. closes says whether the one at hand ends a syllable.
		closes := end == n-1
		for i := end; i > start; i-- {
			if closes {
				gaps[i-1] = openGap // a vowel before what closes
			} else {
				gaps[i-1] = closedGap
			}
			closes = !closes
		}
		if start == 0 && end > 0 && gaps[0] == closedGap {
			gaps[0] = openGap // no word begins with two consonants
		}
		end = start
	}
	return gaps
}

// read reads a word of the script: with the likeliest vowels for each choice of consonants, with
// the likeliest consonants for each choice of vowels, and bare.
func (a *abjad) read(word string, weight float32, c *collector) {
	var buf [2 * MaxLetters]unit
	units, ok := a.units(word, buf[:])
	if !ok || len(units) == 0 {
		return
	}
	west, east := weight, 0.8*weight
	if containsAny(word, a.eastern) {
		west, east = 0.8*weight, weight
	}
	each := max(1, (c.most-len(c.forms)-1)/3)
	var w weave
	w.start(each+1, west)
	for i := range units {
		w.some(units[i].west, units[i].gap)
	}
	w.collect(c, false)
	w.start(each, east)
	for i := range units {
		w.some(units[i].east, units[i].gap)
	}
	w.collect(c, false)
	w.start(c.most-len(c.forms)-1, west)
	for i := range units {
		w.some(units[i].west, !units[i].gap && len(units[i].west) > 0 && !startsWithVowel(units[i].west[0].text))
	}
	w.collect(c, false)
	var bare weave
	bare.start(1, 0.5*weight)
	for i := range units {
		bare.say(units[i].bare)
	}
	bare.collect(c, true)
}

// some appends the alternatives, or only the first of them.
func (w *weave) some(alts []alternative, first bool) {
	if first && len(alts) > 1 {
		w.say(alts[0].text)
		return
	}
	w.choose(alts)
}

func startsWithVowel(s string) bool { return s != "" && strings.IndexByte("aeiou", s[0]) >= 0 }

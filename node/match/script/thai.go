package script

import "unicode/utf8"

// thai reads Thai, and Lao, whose letters stand at the same places of their block. Vowels stand
// before, above, below and after the consonant that they follow in speech; a consonant without a
// vowel either closes a syllable in o or has an a.
type thai struct {
	consonants map[rune]*thaiConsonant
}

type thaiConsonant struct{ first, last []alternative }

const (
	laoBlock = 0xE80
	nikhahit = 'ํ'
	maiKon   = '\u0e3b' // of Lao only: a short o
)

func readThai() *thai {
	t := &thai{make(map[rune]*thaiConsonant)}
	for _, row := range rows("thai") {
		r, _ := utf8.DecodeRuneInString(row[0])
		t.consonants[r] = &thaiConsonant{readCell("thai", row[1], nil), readCell("thai", row[2], nil)}
	}
	return t
}

// prepare brings Lao letters to their Thai places, and leaves out tones and what is not said: a
// consonant under a thanthakhat, with its vowel.
func (t *thai) prepare(token string, b []rune) []rune {
	am := false
	for _, r := range token {
		if r >= laoBlock {
			switch r -= 0x80; r {
			case 0xE3C: // the semivowels
				r = 'ล'
			case 0xE3D:
				r = 'ย'
			}
		}
		switch {
		case r >= '่' && r <= '๋' || r == '็' || r == 'ๆ' || r == 'ฯ' || r == nikhahit:
			if r == nikhahit {
				am = true
			}
		case r == 'า' && am:
			b, am = append(b, 'ำ'), false // one letter, which NFKC takes apart
		case r == '์':
			n := len(b)
			if n > 0 && (b[n-1] == 'ิ' || b[n-1] == 'ุ') {
				n--
			}
			if n > 0 {
				b = b[:n-1]
			}
		default:
			b = append(b, r)
		}
	}
	return b
}

func (t *thai) is(s []rune, at int) bool { return at < len(s) && t.consonants[s[at]] != nil }

func isThaiVowel(r rune) bool { return r >= 'ะ' && r <= 'ู' || r == maiKon }

// opens reports whether the consonant at a place begins a syllable: a vowel follows it.
func (t *thai) opens(s []rune, at int) bool {
	if !t.is(s, at) || at+1 >= len(s) {
		return false
	}
	if isThaiVowel(s[at+1]) {
		return true
	}
	// the second of two that begin one, or อ as a vowel between consonants
	return isLiquid(s[at+1]) && at+2 < len(s) && isThaiVowel(s[at+2]) || s[at+1] == 'อ' && s[at] != 'อ'
}

func isLiquid(r rune) bool { return r == 'ร' || r == 'ล' || r == 'ว' }

var (
	hushedR = []alternative{{"r", 1}, {"", 0.9}}
	silentR = []alternative{{"", 1}, {"ra", 0.5}}
	thaiO   = []alternative{{"o", 1}, {"or", 0.7}}
	thaiA   = []alternative{{"a", 1}, {"", 0.3}}
	thaiI   = []alternative{{"i", 1}, {"ee", 0.4}}
	thaiU   = []alternative{{"u", 1}, {"oo", 0.4}}
	thaiUe  = []alternative{{"ue", 1}, {"u", 0.8}}
	thaiOe  = []alternative{{"oe", 1}, {"er", 0.8}}
	thaiUa  = []alternative{{"ua", 1}, {"oua", 0.3}}
)

func (t *thai) read(token string, c *collector) {
	var buf [MaxLetters]rune
	s := t.prepare(token, buf[:0])
	var w weave
	w.start(c.most, 1)
	for at := 0; at < len(s); {
		lead := rune(0)
		if s[at] >= 'เ' && s[at] <= 'ไ' {
			lead = s[at]
			at++
		}
		if !t.is(s, at) {
			return
		}
		// A mute ห before a sonorant, and อ before ย, are not said.
		if s[at] == 'ห' && at+1 < len(s) && t.is(s, at+1) && (isLiquid(s[at+1]) || s[at+1] == 'น' || s[at+1] == 'ม' || s[at+1] == 'ญ') && (lead != 0 || t.opens(s, at+1)) {
			at++
		}
		first := t.consonants[s[at]]
		w.choose(first.first)
		at++
		if t.joins(s, at, lead) {
			if s[at-1] == 'ส' || s[at-1] == 'ศ' {
				w.choose(hushedR)
			} else {
				w.choose(t.consonants[s[at]].first)
			}
			at++
		}
		at = t.vowel(&w, s, at, lead)
		// What follows and opens no syllable of its own closes this one; but of two letters after a
		// long a, the first begins another.
		if t.is(s, at) && !t.opens(s, at) && s[at] != 'อ' && !(at+2 == len(s) && t.is(s, at+1) && s[at-1] == 'า') {
			w.choose(t.consonants[s[at]].last)
			at++
			if at+1 == len(s) && s[at] == 'ร' {
				w.choose(silentR)
				at++
			}
		}
	}
	w.collect(c, false)
}

// joins reports whether the consonant at a place stands with the one before it at the start of a
// syllable.
func (t *thai) joins(s []rune, at int, lead rune) bool {
	if at+1 >= len(s) || !isLiquid(s[at]) || !isThaiVowel(s[at+1]) && (lead == 0 || !t.is(s, at+1)) {
		return false
	}
	switch s[at-1] {
	case 'ก', 'ข', 'ค':
		return true
	case 'ต', 'ป', 'ผ', 'พ', 'ท', 'บ', 'ฟ', 'ด':
		return s[at] != 'ว'
	case 'ศ', 'ส':
		return s[at] == 'ร'
	}
	return false
}

// vowel appends the vowel after a consonant, and returns the place after what wrote it.
func (t *thai) vowel(w *weave, s []rune, at int, lead rune) int {
	has := func(i int, r rune) bool { return at+i < len(s) && s[at+i] == r }
	switch lead {
	case 'เ':
		switch {
		case has(0, 'ี') && has(1, 'ย'):
			w.say("ia")
			return at + 2
		case has(0, 'ื') && has(1, 'อ'):
			w.choose(thaiUe)
			w.say("a")
			return at + 2
		case has(0, 'า'):
			w.say("ao")
			return at + 1
		case has(0, 'อ'):
			w.choose(thaiOe)
			return at + 1
		case has(0, 'ิ'):
			w.choose(thaiOe)
			return at + 1
		case has(0, 'ะ'):
			w.say("e")
			return at + 1
		}
		w.say("e")
		return at
	case 'แ':
		w.say("ae")
		if has(0, 'ะ') {
			return at + 1
		}
		return at
	case 'โ':
		w.say("o")
		return at
	case 'ใ', 'ไ':
		w.say("ai")
		if has(0, 'ย') && !t.opens(s, at) {
			return at + 1
		}
		return at
	}
	switch {
	case at >= len(s):
		w.choose(thaiA)
		return at
	case has(0, 'ั') && has(1, 'ว'):
		w.choose(thaiUa)
		return at + 2
	case has(0, 'ร') && has(1, 'ร'):
		w.say("a")
		if at+2 >= len(s) || !t.is(s, at+2) || t.opens(s, at+2) {
			w.say("n")
		}
		return at + 2
	case isThaiVowel(s[at]):
		switch s[at] {
		case 'ิ', 'ี':
			w.choose(thaiI)
		case 'ุ', 'ู':
			w.choose(thaiU)
		case 'ึ', 'ื':
			w.choose(thaiUe)
			if has(1, 'อ') {
				return at + 2
			}
		case 'ำ':
			w.say("am")
		case maiKon:
			w.say("o")
		default:
			w.say("a")
		}
		return at + 1
	case s[at] == 'อ':
		w.choose(thaiO)
		return at + 1
	case s[at] == 'ว' && t.is(s, at+1) && !t.opens(s, at):
		w.choose(thaiUa)
		return at + 1
	case t.is(s, at) && !t.opens(s, at):
		w.choose(thaiO)
		return at
	}
	w.choose(thaiA)
	return at
}

package script

import (
	"strconv"
	"unicode/utf8"
)

// brahmic are the scripts of India: a consonant has an "a" of its own unless a sign says another
// vowel, or none. In the north, that "a" is written and not said at the end of a word and between
// syllables that are said (Ram, not Rama; Manmohan, not Manamohana).
type brahmic struct {
	letters map[string]*brahmicLetter
	blocks  map[rune]*block // by the first code point of a block of 128
}

type block struct {
	drops    bool
	inherent []alternative
}

type brahmicLetter struct {
	kind  byte // as in the head of the table
	texts []alternative
}

const blockSize = 0x80

// The blocks between these two are laid out like Devanagari.
const (
	devanagari = 0x0900
	sinhala    = 0x0D80
	nukta      = 0x3C // within a block
)

func readBrahmic() *brahmic {
	b := &brahmic{letters: make(map[string]*brahmicLetter), blocks: make(map[rune]*block)}
	for _, row := range rows("brahmic") {
		if row[0] == "@script" {
			base, err := strconv.ParseUint(row[1], 16, 32)
			if err != nil {
				panic("script: table brahmic: " + err.Error())
			}
			b.blocks[rune(base)] = &block{row[2] == "drop", readCell("brahmic", row[3], nil)}
			continue
		}
		l := &brahmicLetter{row[1][0], readCell("brahmic", row[2], nil)}
		b.letters[row[0]] = l
		if first, _ := utf8.DecodeRuneInString(row[0]); first >= devanagari+blockSize || len(b.blocks) > 0 {
			continue
		}
		for base := rune(devanagari + blockSize); base < sinhala; base += blockSize {
			var moved []byte
			for _, r := range row[0] {
				moved = utf8.AppendRune(moved, r-devanagari+base)
			}
			b.letters[string(moved)] = l
		}
	}
	return b
}

// syllable is a consonant, or none, with its vowel and the marks after it.
type syllable struct {
	consonant, vowel, mark []alternative
	inherent               bool // its vowel is not written
	bare                   bool // a virama says that it has none
}

var (
	unsaid     = []alternative{{"", 1}, {"a", 0.5}}
	maybeSaid  = []alternative{{"a", 1}, {"", 0.75}}
	mostlySaid = []alternative{{"a", 1}, {"", 0.55}}
)

func (b *brahmic) read(token string, c *collector) {
	var buf [MaxLetters]syllable
	all, blk := b.syllables(token, buf[:0])
	if len(all) == 0 {
		return
	}
	dropped := [MaxLetters]bool{}
	last := len(all) - 1
	if blk.drops && last > 0 {
		if s := &all[last]; s.inherent && len(s.mark) == 0 {
			dropped[last] = true
			s.vowel = unsaid
			if all[last-1].bare {
				s.vowel = maybeSaid // Chandra, Mishra
			}
		}
		for i := last - 1; i > 0; i-- {
			if s := &all[i]; s.inherent && len(s.mark) == 0 && !all[i-1].bare &&
				!all[i+1].bare && !dropped[i+1] && len(all[i+1].consonant) > 0 && len(all[i].consonant) > 0 {
				dropped[i] = true
				s.vowel = unsaid
			}
		}
	}
	var w weave
	w.start(c.most, 1)
	for i := range all {
		s := &all[i]
		w.choose(s.consonant)
		if s.inherent && !dropped[i] && blk.drops && i > 0 && i < last {
			w.choose(join(s.vowel, mostlySaid))
		} else {
			w.choose(s.vowel)
		}
		w.choose(s.mark)
	}
	w.collect(c, false)
}

// join is the alternatives of the block where it has its own (o in Bengal), else those given.
func join(own, given []alternative) []alternative {
	if len(own) > 1 {
		return own
	}
	return given
}

func (b *brahmic) syllables(token string, all []syllable) ([]syllable, *block) {
	first, _ := utf8.DecodeRuneInString(token)
	blk := b.blocks[first-first%blockSize]
	if blk == nil {
		return nil, nil
	}
	for at := 0; at < len(token); {
		l, size := b.find(token, at)
		if l == nil {
			return nil, nil
		}
		at += size
		n := len(all)
		switch {
		case l.kind == 'c':
			all = append(all, syllable{consonant: l.texts, vowel: blk.inherent, inherent: true})
		case l.kind == 'v' || n == 0:
			all = append(all, syllable{vowel: l.texts})
		case l.kind == 's':
			all[n-1].vowel, all[n-1].inherent = l.texts, false
		case l.kind == 'h':
			all[n-1].vowel, all[n-1].inherent, all[n-1].bare = nil, false, true
		case l.kind == 'g':
			all[n-1].vowel, all[n-1].inherent, all[n-1].bare = nil, false, true
			if n < MaxLetters {
				all = append(all, syllable{consonant: l.texts, vowel: blk.inherent, inherent: true})
			}
		case l.kind == 'k':
			all = all[:n-1]
		case l.kind == 'm':
			all[n-1].mark = l.texts
		}
	}
	return all, blk
}

// find returns the letter at a place: with its nukta or its conjunct, if the table has that.
func (b *brahmic) find(token string, at int) (*brahmicLetter, int) {
	_, size := utf8.DecodeRuneInString(token[at:])
	const letter = 3 // bytes
	for n := 4; n > 1; n-- {
		if at+n*letter <= len(token) {
			if l := b.letters[token[at:at+n*letter]]; l != nil {
				return l, n * letter
			}
		}
	}
	l := b.letters[token[at:at+size]]
	if l == nil {
		return nil, 0
	}
	if next, n := utf8.DecodeRuneInString(token[at+size:]); next%blockSize == nukta && next >= devanagari && next < sinhala {
		size += n // a nukta that the table does not know with this letter
	}
	return l, size
}

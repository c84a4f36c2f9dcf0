package script

import (
	"strings"
	"unicode/utf8"
)

// hanTables say how Han characters sound, in the countries whose people write their names with them.
type hanTables struct {
	syllables []hanSyllable
	sound     map[rune]uint16 // a character's place in syllables
	surnames  map[string][]string
	given     map[rune]*hanGiven
	japanese  map[string]*japaneseName
}

type hanSyllable struct {
	pinyin []string
	wade   string
}

type hanGiven struct{ cantonese, korean []alternative }

type japaneseName struct {
	surname  bool
	readings []string
}

func readHan() *hanTables {
	h := &hanTables{
		sound:    make(map[rune]uint16, 22000),
		surnames: make(map[string][]string),
		given:    make(map[rune]*hanGiven),
		japanese: make(map[string]*japaneseName),
	}
	for _, row := range rows("pinyin") {
		h.syllables = append(h.syllables, hanSyllable{strings.Split(row[0], "|"), row[1]})
		for _, r := range row[2] {
			h.sound[r] = uint16(len(h.syllables) - 1)
		}
	}
	for _, row := range rows("han_surnames") {
		for _, name := range strings.Split(row[0], " ") {
			if h.surnames[name] == nil {
				h.surnames[name] = strings.Fields(row[1])
			}
		}
	}
	for _, row := range rows("han_given") {
		g := &hanGiven{readCell("han_given", row[1], nil), readCell("han_given", strings.ReplaceAll(row[2], " ", "|"), nil)}
		for _, r := range row[0] {
			h.given[r] = g
		}
	}
	for _, row := range rows("japanese_names") {
		for _, name := range strings.Split(row[0], " ") {
			h.japanese[name] = &japaneseName{row[1] == "s", strings.Fields(row[2])}
		}
	}
	return h
}

// read reads a surname or a given name: as each country reads it whose table has all of it.
func (h *hanTables) read(token string, c *collector) {
	if j := h.japanese[token]; j != nil {
		for i, text := range j.readings {
			c.add(text, 0.9*nameWeight(i), false)
		}
	}
	for i, text := range h.surnames[token] {
		c.add(text, nameWeight(i), false)
	}
	var w weave
	w.start(2, 1)
	for _, r := range token {
		i, ok := h.sound[r]
		if !ok {
			if r == '々' {
				continue
			}
			return
		}
		s := &h.syllables[i]
		if len(s.pinyin) == 1 {
			w.say(s.pinyin[0])
			continue
		}
		w.choose([]alternative{{s.pinyin[0], 1}, {s.pinyin[1], 0.8}})
	}
	if h.surnames[token] == nil {
		w.collect(c, false)
	}
	w.start(1, 0.75)
	for _, r := range token {
		w.say(h.syllables[h.sound[r]].wade)
	}
	w.collect(c, false)
	h.readGiven(token, c, 0.8, func(g *hanGiven) []alternative { return g.cantonese })
	h.readGiven(token, c, 0.6, func(g *hanGiven) []alternative { return g.korean })
}

func (h *hanTables) readGiven(token string, c *collector, weight float32, column func(*hanGiven) []alternative) {
	if h.surnames[token] != nil {
		return // its row has them
	}
	var w weave
	w.start(2, weight)
	for _, r := range token {
		g := h.given[r]
		if g == nil {
			return
		}
		w.choose(column(g))
	}
	w.collect(c, false)
}

// split divides a name without a blank into surname and given name. Of two characters or three the
// first is the surname, unless the first two are a known one; of four, the first two are.
func (h *hanTables) split(token string) (surname, given string, ok bool) {
	n := utf8.RuneCountInString(token)
	if n < 2 || n > 5 {
		return "", "", false
	}
	first, two := 0, 0
	for i := range token {
		switch {
		case first == 0 && i > 0:
			first = i
		case two == 0 && i > first && first > 0:
			two = i
		}
	}
	if two == 0 {
		two = len(token)
	}
	if j := h.japanese[token]; n == 2 && j != nil {
		return "", "", false // a surname or a given name alone
	}
	if n >= 4 {
		for i := range token[two:] {
			if j := h.japanese[token[:two+i]]; i > 0 && j != nil && j.surname {
				return token[:two+i], token[two+i:], true // 長谷川
			}
		}
	}
	if two < len(token) {
		if j := h.japanese[token[:two]]; j != nil && j.surname || h.surnames[token[:two]] != nil {
			return token[:two], token[two:], true
		}
	}
	switch {
	case n <= 3 && (h.surnames[token[:first]] != nil || n == 3 || n == 2):
		return token[:first], token[first:], true
	case n == 4:
		return token[:two], token[two:], true
	}
	return "", "", false
}

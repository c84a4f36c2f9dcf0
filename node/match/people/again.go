package people

import (
	"slices"
	"strings"
)

// Again returns a traveller as another source describes the same person: most of the name in
// another spelling, a word left out, an initial, another order, a slip of the keys; the birth date
// mostly the same, else swapped, off, or the year alone. It is what recall is measured with, where
// no real list may be. A name in other letters is not among it: see package script.
func (p *Population) Again(t Traveller) Traveller {
	given, surname := strings.Fields(spaced(t.Given)), strings.Fields(spaced(t.Surname))
	respelt := false
	for _, words := range [][]string{given, surname} {
		for i := range words {
			if p.dice.share() < 0.45 {
				if other, ok := p.otherSpelling(words[i], byEarIn(t.Region)); ok {
					words[i], respelt = other, true
				}
			}
		}
	}
	several := len(given) > 1
	switch x := p.dice.share(); {
	case x < 0.08: // surname and given name change places
		given, surname = surname, given
	case x < 0.14 && len(surname) > 1: // the second surname is left out, or a particle
		surname = p.leaveOut(surname)
	case x < 0.30 && several: // a second given name or the father's
		given = given[:len(given)-1]
	case x < 0.36 && several: // or it has but its initial
		given[len(given)-1] = given[len(given)-1][:1]
	case x < 0.46 && several: // two words are one
		given = append(given[:len(given)-2], given[len(given)-2]+given[len(given)-1])
	case x > 0.80 || !respelt:
		p.slip(given, surname)
	}
	t.Given, t.Surname = strings.Join(given, " "), strings.Join(surname, " ")
	t.Born = p.bornAgain(t.Born)
	return t
}

func spaced(s string) string { return strings.ReplaceAll(s, "-", " ") }

// leaveOut drops a particle if there is one, else the last word.
func (p *Population) leaveOut(words []string) []string {
	for i, w := range words {
		if Role(w) == Particle {
			return slices.Delete(words, i, i+1)
		}
	}
	return words[:len(words)-1]
}

// byEarIn tells that the names of a region are written by ear abroad. Where a syllable is a sign of
// its own, another vowel is another name.
func byEarIn(region string) bool {
	switch region {
	case "Han", "Korean and Vietnamese", "Japanese":
		return false
	}
	return true
}

// otherSpelling draws another spelling of a name: one of its group, else one by ear.
func (p *Population) otherSpelling(word string, ear bool) (string, bool) {
	word = strings.ToLower(word)
	k := load()
	if of := k.groups.of[word]; len(of) > 0 && of[0].strength == strengthSpelling {
		if all := k.groups.likely(of[0].group, word, k.inUse); len(all) > 0 {
			return strings.ToUpper(all[p.dice.below(len(all))]), true
		}
	}
	if !ear {
		return "", false
	}
	first := p.dice.below(len(byEar))
	for i := range byEar {
		r := byEar[(first+i)%len(byEar)]
		if at := strings.Index(word, r.from); at >= 0 && len(word) > len(r.from)+1 {
			return strings.ToUpper(word[:at] + r.to + word[at+len(r.from):]), true
		}
	}
	return "", false
}

// byEar are letters that romanisations exchange.
var byEar = []rewrite{
	{"ou", "u"}, {"oo", "u"}, {"ee", "i"}, {"kh", "h"}, {"q", "k"}, {"ph", "f"}, {"y", "i"}, {"i", "y"}, {"dj", "j"}, {"j", "dj"},
	{"sh", "ch"}, {"ch", "sh"}, {"ts", "c"}, {"w", "v"}, {"v", "w"}, {"ai", "ei"}, {"ei", "ai"}, {"e", "a"}, {"u", "o"}, {"o", "u"},
	{"ss", "s"}, {"ll", "l"}, {"nn", "n"}, {"mm", "m"}, {"s", "ss"}, {"z", "s"}, {"c", "k"}, {"k", "c"}, {"th", "t"}, {"gh", "g"},
	{"x", "ks"}, {"iya", "ia"}, {"ia", "iya"}, {"d", "dh"}, {"a", "e"},
}

// slip makes a slip of the keys in the longest word: two letters exchanged, one left out, doubled
// or another.
func (p *Population) slip(given, surname []string) {
	var longest *string
	for _, words := range [][]string{given, surname} {
		for i := range words {
			if longest == nil || len(words[i]) > len(*longest) {
				longest = &words[i]
			}
		}
	}
	if longest == nil || len(*longest) < 4 {
		return
	}
	w := []byte(*longest)
	at := 1 + p.dice.below(len(w)-2)
	switch p.dice.below(4) {
	case 0:
		w[at], w[at+1] = w[at+1], w[at]
	case 1:
		w = slices.Delete(w, at, at+1)
	case 2:
		w = slices.Insert(w, at, w[at])
	default:
		w[at] = "AEIOURNSTL"[p.dice.below(10)]
	}
	*longest = string(w)
}

// bornAgain returns a birth date as another source has it.
func (p *Population) bornAgain(born string) string {
	year, month, day := born[:4], born[5:7], born[8:10]
	switch x := p.dice.share(); {
	case x < 0.80:
		return born
	case x < 0.88:
		return year
	case x < 0.92 && day <= "12":
		return year + "-" + day + "-" + month
	case x < 0.95:
		return year + "-01-01"
	case x < 0.98: // the last digit of the year, up or down
		d := born[3]
		if d < '9' {
			d++
		} else {
			d--
		}
		return born[:3] + string(d) + born[4:]
	}
	return year + "-" + month
}

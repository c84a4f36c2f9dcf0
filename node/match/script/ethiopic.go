package script

import "unicode/utf8"

// ethiopic reads Ge'ez syllables. Unicode orders those of a consonant by their vowel; the sixth
// has a short one, or none: as in an abjad, the shape of the syllables tells.
type ethiopic struct{ rows map[rune][]alternative }

func readEthiopic() *ethiopic {
	e := &ethiopic{make(map[rune][]alternative)}
	for _, row := range rows("ethiopic") {
		r, _ := utf8.DecodeRuneInString(row[0])
		e.rows[r] = readCell("ethiopic", row[1], nil)
	}
	return e
}

const (
	ethiopicRow  = 8
	withoutVowel = 5 // the sixth
)

// orders are the vowels of the eight syllables of a consonant.
var orders = [ethiopicRow][]alternative{
	{{"e", 1}, {"a", 0.85}}, {{"u", 1}}, {{"i", 1}}, {{"a", 1}}, {{"e", 1}, {"ie", 0.4}}, nil, {{"o", 1}}, {{"wa", 1}},
}

var (
	openA       = []alternative{{"a", 1}}
	sixthOpen   = []alternative{{"i", 1}, {"e", 0.95}, {"", 0.4}}
	sixthClosed = []alternative{{"", 1}, {"i", 0.5}, {"e", 0.5}}
)

func (e *ethiopic) read(token string, c *collector) {
	var consonants [MaxLetters][]alternative
	var order, place [MaxLetters]int
	var isVowel [2 * MaxLetters]bool
	n, places := 0, 0
	for _, r := range token {
		o := int(r % ethiopicRow)
		row := e.rows[r-rune(o)]
		if row == nil {
			return
		}
		consonants[n], order[n], place[n] = row, o, places
		places++
		if o != withoutVowel {
			isVowel[places] = true
			places++
		}
		n++
	}
	gaps := gapsOf(isVowel[:min(places, MaxLetters)])
	var w weave
	w.start(c.most, 1)
	for i := range n {
		w.choose(consonants[i])
		guttural := consonants[i][0].text == "" || consonants[i][0].text == "h"
		switch {
		case order[i] == 0 && guttural:
			w.choose(openA)
		case order[i] == withoutVowel && i == 0 && consonants[i][0].text == "":
			w.choose(sixthOpen[:2])
		case order[i] != withoutVowel:
			w.choose(orders[order[i]])
		case place[i] >= MaxLetters || gaps[place[i]] == noGap:
		case gaps[place[i]] == openGap:
			w.choose(sixthOpen)
		default:
			w.choose(sixthClosed)
		}
	}
	w.collect(c, false)
}

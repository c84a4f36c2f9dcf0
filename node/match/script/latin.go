package script

import "strings"

// readLatin reads a Latin word: itself, and with each custom of writing its marked letters. A word
// in the Wade-Giles spelling of Chinese is also read in pinyin.
func readLatin(token string, c *collector) {
	if numeral := ordinal(token); numeral != "" {
		c.add(numeral, 1, false)
		return
	}
	if !isPlain(token) {
		tables().latin.read(token, c)
		return
	}
	c.add(token, 1, false)
	if c.most > 1 {
		tables().wade.read(token, c)
	}
}

func isPlain(token string) bool {
	for i := range len(token) {
		if token[i] < 'a' || token[i] > 'z' {
			return false
		}
	}
	return true
}

// ordinal is the Roman numeral of 2nd, 3rd ..., as documents write it: the zone has no digits in
// names, and a numeral there is Roman (Doc 9303-3, 4.6). Empty for every other word.
func ordinal(token string) string {
	digits := 0
	for digits < len(token) && token[digits] >= '0' && token[digits] <= '9' {
		digits++
	}
	if digits == 0 || digits > 2 {
		return ""
	}
	switch token[digits:] {
	case "st", "nd", "rd", "th":
	default:
		return ""
	}
	n := 0
	for _, d := range token[:digits] {
		n = 10*n + int(d-'0')
	}
	units := [...]string{"", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"}
	if n >= 40 {
		return ""
	}
	return strings.Repeat("x", n/10) + units[n%10]
}

// wadeGiles turns syllables of Wade-Giles into pinyin. It left the apostrophe to tell p' from p, and
// passports leave out the apostrophe: most syllables stand for two.
type wadeGiles struct {
	pinyin    map[string]bool
	syllables map[string][]alternative
}

const (
	longestSyllable = 6
	longestWade     = 18 // letters of three syllables
	wadeWeight      = 0.5
)

func readWadeGiles(h *hanTables) *wadeGiles {
	w := &wadeGiles{make(map[string]bool), make(map[string][]alternative)}
	for _, s := range h.syllables {
		for _, p := range s.pinyin {
			w.pinyin[p] = true
		}
		alts := w.syllables[s.wade]
		w.syllables[s.wade] = append(alts, alternative{s.pinyin[0], 1})
	}
	for wade, alts := range w.syllables {
		// Those that Wade-Giles writes with no apostrophe are the more frequent: zhang before chang.
		var plain, aspirated []alternative
		for _, a := range alts {
			if isAspirated(a.text) {
				aspirated = append(aspirated, a)
			} else {
				plain = append(plain, a)
			}
		}
		alts = append(plain, aspirated...)
		for i := range alts {
			alts[i].weight = ranks[min(i, len(ranks)-1)]
		}
		w.syllables[wade] = alts
	}
	return w
}

func isAspirated(pinyin string) bool {
	switch pinyin[0] {
	case 'p', 't', 'k', 'q':
		return true
	case 'c':
		return true
	}
	return false
}

// read adds the pinyin of a word that is Wade-Giles through and through, and no pinyin.
func (w *wadeGiles) read(token string, c *collector) {
	if len(token) < 2 || len(token) > longestWade {
		return
	}
	var cuts [longestWade + 1]int8
	if !cutSyllables(token, func(s string) bool { return len(w.syllables[s]) > 0 }, &cuts) {
		return
	}
	var other [longestWade + 1]int8
	if cutSyllables(token, func(s string) bool { return w.pinyin[s] }, &other) {
		return
	}
	var weave weave
	weave.start(3, wadeWeight)
	for at := 0; at < len(token); at += int(cuts[at]) {
		weave.choose(w.syllables[token[at:at+int(cuts[at])]])
	}
	weave.collect(c, false)
}

// cutSyllables divides a word into known syllables, the longest first, and notes the length of each
// where it begins.
func cutSyllables(word string, known func(string) bool, cuts *[longestWade + 1]int8) bool {
	var ends [longestWade + 1]bool // the rest from here can be divided
	ends[len(word)] = true
	for at := len(word) - 1; at >= 0; at-- {
		for n := min(longestSyllable, len(word)-at); n > 0; n-- {
			if ends[at+n] && known(word[at:at+n]) {
				ends[at], cuts[at] = true, int8(n)
				break
			}
		}
	}
	return ends[0]
}

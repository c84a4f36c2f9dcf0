package script

import "unicode/utf8"

// Hangul is read syllable by syllable: Unicode orders its 11,172 syllables by their three parts.
const (
	hangulFirst = 0xAC00
	hangulLast  = 0xD7A3
	medials     = 21
	finals      = 28
)

// hangulTables are the customs, and the surnames whose bearers write them as they please.
type hangulTables struct {
	columns  []*hangulColumn
	surnames map[string][]string
}

type hangulColumn struct {
	weight                         float32
	initial, voiced, medial, final [][]alternative
}

// readHangul reads the table of parts: a row for each part (initial, voiced, medial, final) of each
// custom, whose cells are in Unicode's order.
func readHangul() *hangulTables {
	h := &hangulTables{surnames: make(map[string][]string)}
	for _, row := range rows("hangul") {
		if row[0] == "custom" {
			h.columns = append(h.columns, &hangulColumn{weight: number("hangul", row[2])})
			continue
		}
		c := h.columns[len(h.columns)-1]
		var cells [][]alternative
		for _, cell := range row[1:] {
			cells = append(cells, readCell("hangul", cell, nil))
		}
		switch row[0] {
		case "initial":
			c.initial, c.voiced = cells, cells
		case "voiced":
			c.voiced = cells
		case "medial":
			c.medial = cells
		case "final":
			c.final = cells
		}
	}
	h.surnames = readNames("korean_surnames", func(s string, b []byte) []byte { return append(b, s...) })
	return h
}

// voicedFinals are the parts after which a plain consonant is voiced: none, n, l, m, ng.
func isVoicedFinal(final int) bool {
	return final == 0 || final == 4 || final == 8 || final == 16 || final == 21
}

func (h *hangulTables) read(token string, c *collector) {
	for i, text := range h.surnames[token] {
		c.add(text, nameWeight(i), false)
	}
	if len(c.forms) > 0 {
		return
	}
	each := max(1, c.most/2)
	for _, col := range h.columns {
		var w weave
		w.start(each, col.weight)
		voiced := false
		for _, r := range token {
			if r < hangulFirst || r > hangulLast {
				return
			}
			n := int(r - hangulFirst)
			i, m, f := n/(medials*finals), n/finals%medials, n%finals
			if voiced {
				w.choose(col.voiced[i])
			} else {
				w.choose(col.initial[i])
			}
			w.choose(col.medial[m])
			w.choose(col.final[f])
			voiced = isVoicedFinal(f)
		}
		w.collect(c, false)
	}
}

// splitHangul divides a name without a blank into surname and given name: the surname is one
// syllable, or two if it is a known one of two.
func (h *hangulTables) split(token string) (surname, given string, ok bool) {
	n := utf8.RuneCountInString(token)
	if n < 2 || n > 5 {
		return "", "", false
	}
	const syllable = 3 // bytes
	if n >= 3 && h.surnames[token[:2*syllable]] != nil {
		return token[:2*syllable], token[2*syllable:], true
	}
	if n <= 4 && h.surnames[token[:syllable]] != nil {
		return token[:syllable], token[syllable:], true
	}
	return "", "", false
}

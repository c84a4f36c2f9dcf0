package people

import (
	"fmt"
	"strconv"
	"strings"
)

// readForm reads a sex, a weight and a structure: "G G / al-S".
func (r *region) readForm(row row, forms *[2]bands) error {
	weight, err := strconv.ParseFloat(row.cell(2), 64)
	if err != nil {
		return fmt.Errorf("%q is no weight", row.cell(2))
	}
	given, surname, ok := strings.Cut(row.cell(3), "/")
	if !ok {
		return fmt.Errorf("%q: given names and surnames are parted by a slash", row.cell(3))
	}
	s := structure{pieces(given), pieces(surname)}
	sex, err := sexOf(row, 1)
	if err != nil {
		return err
	}
	for i := range forms {
		if sex == Unspecified || sexIndex(sex) == i {
			forms[i].words = append(forms[i].words, "")
			forms[i].weights = append(forms[i].weights, weight)
			for len(r.structures) < 2*len(forms[i].words) {
				r.structures = append(r.structures, structure{})
			}
			r.structures[2*(len(forms[i].words)-1)+i] = s
		}
	}
	return nil
}

func pieces(text string) []piece {
	var all []piece
	for word := range strings.FieldsSeq(text) {
		joint := byte(' ')
		for word != "" {
			end := strings.IndexAny(word, "-+")
			if end < 0 {
				end = len(word)
			}
			p := piece{joint: joint}
			if part := word[:end]; len(part) == 1 && part[0] >= 'A' && part[0] <= 'Z' {
				p.slot = part[0]
			} else {
				p.literal = part
			}
			all = append(all, p)
			if end == len(word) {
				break
			}
			joint, word = word[end], word[end+1:]
		}
	}
	return all
}

// readComposer reads a list, the share of its words that are so composed, and the parts: starts,
// middles, ends, each in the order of frequency. A dash is no letter.
func (r *region) readComposer(row row) error {
	share, err := percent(row, 2)
	if err != nil {
		return err
	}
	into, ok := map[string][]int{"m": {listMen}, "f": {listWomen}, "u": {listMen, listWomen}, "s": {listSurnames}}[row.cell(1)]
	if !ok {
		return fmt.Errorf("%q is no list of words", row.cell(1))
	}
	c := composer{share: share}
	for i, u := range []*urn{&c.starts, &c.middles, &c.ends} {
		var parts []string
		for _, p := range fields(row.cell(3 + i)) {
			parts = append(parts, strings.Trim(p, "-"))
		}
		if len(parts) == 0 {
			parts = []string{""}
		}
		*u = newRanked(parts)
	}
	for _, i := range into {
		r.lists[i].composers = append(r.lists[i].composers, c)
	}
	return nil
}

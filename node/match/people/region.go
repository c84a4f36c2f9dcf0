package people

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// region is how people of one part of the world are named.
type region struct {
	name       string          // of its table
	group      string          // one of Regions
	travellers float64         // share of the world's travellers
	men        float64         // share of men among them
	newYear    float64         // share born, as their papers say, on the first of January
	respelt    float64         // share of names that are written in another spelling than the table's
	nations    urn             // nationalities, ISO 3166-1 alpha-3
	forms      [2]urn          // by sex: which of structures
	structures []structure     // how the words go together
	lists      [listCount]list // the words
	feminine   []rewrite       // surnames of women
	patronymic [2][]rewrite    // from the father's name, by sex of the child
}

// The lists of a region.
const (
	listMen = iota
	listWomen
	listSurnames
	listSyllablesMen
	listSyllablesWomen
	listSecondMen
	listSecondWomen
	listCount
)

// list is where one kind of word is drawn from.
type list struct {
	urn
	composed  float64 // share of words that are composed and not from the urn
	composers []composer
	byShare   urn // which composer: its words are unused
}

// composer makes rare names of the region's syllables.
type composer struct {
	share                 float64
	starts, middles, ends urn
}

// structure is an order of words: given names, then surnames.
type structure struct{ given, surname []piece }

// piece is one word of a structure.
type piece struct {
	slot    byte   // which list, or 0
	literal string // without a slot
	joint   byte   // what stands before it: blank, hyphen, or nothing ('+')
}

// The slots of a structure.
const (
	slotGiven      = 'G' // a given name of the traveller's sex
	slotMan        = 'M' // a man's given name: the father's, the grandfather's
	slotWoman      = 'W' // a woman's given name
	slotPatronymic = 'P' // a patronymic
	slotSurname    = 'S'
	slotSyllable   = 'Y' // a syllable of a given name
	slotInitial    = 'I' // the initial of a man's given name
	slotSecond     = 'A' // the other part of a given name of two: RAHMAN of ABD EL RAHMAN, THI
	slotSecondMan  = 'B' // the same in a father's name
)

// rewrite changes an ending: the first that fits counts.
type rewrite struct{ from, to string }

func rewritten(word string, rules []rewrite) string {
	for _, r := range rules {
		if stem, ok := strings.CutSuffix(word, r.from); ok {
			return stem + r.to
		}
	}
	return word
}

func readRegions(k *knowledge) error {
	entries, err := files.ReadDir("regions")
	if err != nil {
		return err
	}
	total := 0.0
	raw := make([]*wordsOf, 0, len(entries))
	k.inUse = map[string]bool{}
	for _, e := range entries {
		r := &region{name: strings.TrimSuffix(e.Name(), ".tsv")}
		rows, err := readTable("regions/" + e.Name())
		if err != nil {
			return err
		}
		words, err := r.read(rows)
		if err != nil {
			return err
		}
		raw = append(raw, words)
		for _, b := range words {
			for _, w := range b.words {
				k.inUse[w] = true
			}
		}
		total += r.travellers
		k.regions = append(k.regions, r)
		if !slices.Contains(k.names, r.group) {
			k.names = append(k.names, r.group)
		}
	}
	for i, r := range k.regions {
		r.travellers /= total
		for j, b := range raw[i] {
			if len(b.words) > 0 {
				b = b.respelt(r.respelt, &k.groups, k.inUse)
				r.lists[j].urn = newURN(b.words, b.weights)
			}
			r.lists[j].settle()
		}
		if err := r.check(); err != nil {
			return err
		}
	}
	return nil
}

// wordsOf are a region's words while its table is read.
type wordsOf [listCount]bands

// bands gathers a list while its rows are read.
type bands struct {
	words   []string
	weights []float64
}

func (r *region) read(rows []row) (*wordsOf, error) {
	var words wordsOf
	var forms [2]bands
	for _, row := range rows {
		var err error
		switch key := row.cell(0); key {
		case "region":
			r.group = row.cell(1)
		case "travellers":
			r.travellers, err = percent(row, 1)
		case "men":
			r.men, err = percent(row, 1)
		case "newyear":
			r.newYear, err = percent(row, 1)
		case "respelt":
			r.respelt, err = percent(row, 1)
		case "nations":
			r.nations, err = readNations(row)
		case "feminine":
			r.feminine, err = readRewrites(row, 1)
		case "patronymic":
			var sex Sex
			if sex, err = sexOf(row, 1); err == nil {
				r.patronymic[sexIndex(sex)], err = readRewrites(row, 2)
			}
		case "form":
			err = r.readForm(row, &forms)
		case "composed":
			err = r.readComposer(row)
		default:
			err = readBand(row, &words)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", row.at, err)
		}
	}
	for i := range forms {
		r.forms[i] = newURN(forms[i].words, forms[i].weights)
	}
	return &words, nil
}

// check finds what is missing, so that drawing needs no questions.
func (r *region) check() error {
	for i, f := range r.forms {
		if len(f.words) == 0 {
			return fmt.Errorf("%s: no form for %c", r.name, "mf"[i])
		}
	}
	if r.group == "" || r.travellers == 0 || len(r.nations.words) == 0 {
		return fmt.Errorf("%s: region, travellers and nations are needed", r.name)
	}
	for sex, f := range r.forms {
		for i := range f.words {
			s := r.structures[2*i+sex]
			for _, p := range slices.Concat(s.given, s.surname) {
				if p.slot != 0 && len(r.lists[listOf(p.slot, sex)].words) == 0 {
					return fmt.Errorf("%s: a form has the slot %c, but there are no words for it", r.name, p.slot)
				}
			}
		}
	}
	return nil
}

// listOf returns the list that fills a slot.
func listOf(slot byte, sex int) int {
	switch slot {
	case slotGiven:
		return listMen + sex
	case slotWoman:
		return listWomen
	case slotSurname:
		return listSurnames
	case slotSyllable:
		return listSyllablesMen + sex
	case slotSecond:
		return listSecondMen + sex
	case slotSecondMan:
		return listSecondMen
	}
	return listMen
}

func sexIndex(s Sex) int {
	if s == Female {
		return 1
	}
	return 0
}

// settle prepares the choice among composers.
func (l *list) settle() {
	var b bands
	for _, c := range l.composers {
		l.composed += c.share
		b.words = append(b.words, "")
		b.weights = append(b.weights, c.share)
	}
	l.byShare = newURN(b.words, b.weights)
}

func readBand(row row, words *wordsOf) error {
	into, ok := map[string][]int{
		"m": {listMen}, "f": {listWomen}, "u": {listMen, listWomen}, "s": {listSurnames},
		"ym": {listSyllablesMen}, "yf": {listSyllablesWomen}, "y": {listSyllablesMen, listSyllablesWomen},
		"am": {listSecondMen}, "af": {listSecondWomen}, "a": {listSecondMen, listSecondWomen},
	}[row.cell(0)]
	if !ok {
		return fmt.Errorf("%q is no key of a region", row.cell(0))
	}
	weight, err := strconv.ParseFloat(row.cell(1), 64)
	if err != nil || weight <= 0 {
		return fmt.Errorf("%q is no weight", row.cell(1))
	}
	for _, w := range fields(row.cell(2)) {
		if !folded(w) {
			return fmt.Errorf("%q is not folded", w)
		}
		for _, i := range into {
			words[i].words = append(words[i].words, w)
			words[i].weights = append(words[i].weights, weight)
		}
	}
	return nil
}

func readNations(row row) (urn, error) {
	var b bands
	for _, n := range fields(row.cell(1)) {
		code, weight, _ := strings.Cut(n, ":")
		w, err := strconv.ParseFloat(weight, 64)
		if err != nil || len(code) != 3 {
			return urn{}, fmt.Errorf("%q is no nation with a weight", n)
		}
		b.words, b.weights = append(b.words, code), append(b.weights, w)
	}
	return newURN(b.words, b.weights), nil
}

func readRewrites(row row, i int) ([]rewrite, error) {
	var all []rewrite
	for _, r := range fields(row.cell(i)) {
		from, to, ok := strings.Cut(r, ":")
		if !ok {
			return nil, fmt.Errorf("%q is no ending:ending", r)
		}
		all = append(all, rewrite{strings.Trim(from, "*"), to})
	}
	return all, nil
}

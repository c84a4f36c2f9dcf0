package people

import (
	"fmt"
	"strconv"
	"strings"
)

// Sex is what a name or a traveller's document says of the sex.
type Sex byte

// The sexes of a machine-readable zone.
const (
	Unspecified Sex = 'X'
	Male        Sex = 'M'
	Female      Sex = 'F'
)

// ending is how a word may end, what stands in its place in the stem, and what it says.
type ending struct {
	ending, stem string
	least        int // letters before it
	sex          Sex
}

// endingIndex holds the endings, the longest first.
type endingIndex struct {
	surnames, patronymics []ending
}

// Stem returns what the forms of one surname have in common, by sex and by romanisation: IVANOV and
// IVANOVA, KOWALSKI, KOVALSKAYA and KOVALSKII. A word without such an ending is its own stem, of no
// sex.
func Stem(token string) (string, Sex) {
	token = Fold(token)
	if e, ok := cut(token, load().endings.surnames); ok {
		return token[:len(token)-len(e.ending)] + e.stem, e.sex
	}
	return token, Unspecified
}

// Patronymic returns the stem of the father's name in a word that says whose child somebody is:
// IVAN of IVANOVICH and IVANOVNA, MAMED of MAMEDOGLU. It is a stem, not always a name: VASIL.
func Patronymic(token string) (father string, sex Sex, ok bool) {
	token = Fold(token)
	e, ok := cut(token, load().endings.patronymics)
	if !ok {
		return "", Unspecified, false
	}
	return token[:len(token)-len(e.ending)] + e.stem, e.sex, true
}

func cut(token string, endings []ending) (ending, bool) {
	for _, e := range endings {
		if len(token)-len(e.ending) >= e.least && strings.HasSuffix(token, e.ending) {
			return e, true
		}
	}
	return ending{}, false
}

// readEndings reads rows of kind, sex, least letters before the ending, stem, and endings.
func readEndings(k *knowledge) error {
	rows, err := readTable("tables/endings.tsv")
	if err != nil {
		return err
	}
	for _, r := range rows {
		least, err := strconv.Atoi(r.cell(2))
		if err != nil || least < 1 {
			return fmt.Errorf("%s: %q is no number of letters", r.at, r.cell(2))
		}
		sex, err := sexOf(r, 1)
		if err != nil {
			return err
		}
		words, err := expand(r.cell(4))
		if err != nil {
			return fmt.Errorf("%s: %w", r.at, err)
		}
		stem := strings.Trim(r.cell(3), "-")
		for _, w := range words {
			e := ending{w, stem, least, sex}
			switch r.cell(0) {
			case "surname":
				k.endings.surnames = putEnding(k.endings.surnames, e)
			case "patronymic":
				k.endings.patronymics = putEnding(k.endings.patronymics, e)
			default:
				return fmt.Errorf("%s: %q is no kind of ending", r.at, r.cell(0))
			}
		}
	}
	return nil
}

// putEnding keeps the longest first, and among equals the table's order.
func putEnding(all []ending, e ending) []ending {
	at := len(all)
	for at > 0 && len(all[at-1].ending) < len(e.ending) {
		at--
	}
	all = append(all, ending{})
	copy(all[at+1:], all[at:])
	all[at] = e
	return all
}

func sexOf(r row, i int) (Sex, error) {
	switch r.cell(i) {
	case "m":
		return Male, nil
	case "f":
		return Female, nil
	case "*":
		return Unspecified, nil
	}
	return 0, fmt.Errorf("%s: %q is no sex (m, f, *)", r.at, r.cell(i))
}

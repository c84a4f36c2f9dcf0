package people

import (
	"fmt"
	"strconv"
	"strings"
)

// membership is that a word is a spelling of a group's name.
type membership struct {
	group    uint32
	strength float32
}

// groupIndex holds the groups: words that are spellings of one name.
type groupIndex struct {
	of      map[string][]membership // strongest first
	members [][]string              // by group less one, as the table has them
	full    []int                   // how many of the members are spellings: they come first
}

// Strengths of the columns of the table of groups. Two words are the same to the product of their
// strengths, so that two translations of one name are nearly strangers.
const (
	strengthSpelling    = 1.0 // another romanisation: MOHAMMED, MUHAMAD
	strengthBorder      = 0.8 // the name as another language took it over and as its bearers write it: MAMADOU
	strengthTranslation = 0.4 // the name translated, which is another name to most who bear it: JOSEPH, GIUSEPPE
)

// Group returns the group of the name that a word most likely spells: 0 for a word that is in none.
// Words of one group are spellings of one name; Same says how surely.
func Group(token string) uint32 {
	of := load().groups.of[Fold(token)]
	if len(of) == 0 {
		return 0
	}
	return of[0].group
}

// Groups calls yield with every group that a word may be a spelling of, and how surely, the surest
// first.
func Groups(token string) func(yield func(group uint32, strength float32) bool) {
	return func(yield func(uint32, float32) bool) {
		for _, m := range load().groups.of[Fold(token)] {
			if !yield(m.group, m.strength) {
				return
			}
		}
	}
}

// Same returns how surely two words are spellings of one name that the same person is written by:
// 1 for the same word and for its romanisations, less for the forms of other languages, 0 for
// words of which the tables know nothing in common.
func Same(a, b string) float32 {
	a, b = Fold(a), Fold(b)
	if a == "" || b == "" {
		return 0 // two words that cannot be read are not equal
	}
	if a == b {
		return 1
	}
	of := load().groups.of
	best := float32(0)
	for _, x := range of[a] {
		for _, y := range of[b] {
			if x.group == y.group {
				best = max(best, x.strength*y.strength)
			}
		}
	}
	return best
}

// readGroups reads rows of spellings, forms of other languages, and translations. A row "let" names
// alternatives that stand in many names: {$din} is what "let din" has.
func readGroups(k *knowledge) error {
	rows, err := readTable("tables/groups.tsv")
	if err != nil {
		return err
	}
	k.groups.of = map[string][]membership{}
	sets := strings.NewReplacer()
	var named []string
	for _, r := range rows {
		if r.cell(0) == "let" {
			named = append(named, "$"+r.cell(1)+"}", strings.Join(fields(r.cell(2)), ",")+"}")
			sets = strings.NewReplacer(named...)
			continue
		}
		group := uint32(len(k.groups.members) + 1)
		var members []string
		full := 0
		for i, strength := range []float32{strengthSpelling, strengthBorder, strengthTranslation} {
			words, err := expand(sets.Replace(r.cell(i)))
			if err != nil {
				return fmt.Errorf("%s: %w", r.at, err)
			}
			for _, w := range words {
				if !folded(w) {
					return fmt.Errorf("%s: %q is not folded", r.at, w)
				}
				if k.groups.put(w, membership{group, strength}) {
					members = append(members, w)
				}
			}
			if i == 0 {
				full = len(members)
			}
		}
		k.groups.members = append(k.groups.members, members)
		k.groups.full = append(k.groups.full, full)
	}
	return nil
}

// spellings returns the words that are a group's name in another romanisation.
func (g *groupIndex) spellings(group uint32) []string {
	return g.members[group-1][:g.full[group-1]]
}

// put adds a membership, strongest first. It reports false if the group has the word already:
// braces often spell a word twice. A word that spells two names counts in full for the first in
// the table, so that Group has one answer.
func (g *groupIndex) put(word string, m membership) bool {
	of := g.of[word]
	if len(of) > 0 && of[0].strength == strengthSpelling {
		m.strength = min(m.strength, strengthBorder)
	}
	at := 0
	for i, o := range of {
		if o.group == m.group {
			return false
		}
		if o.strength >= m.strength {
			at = i + 1
		}
	}
	of = append(of, membership{})
	copy(of[at+1:], of[at:])
	of[at] = m
	g.of[word] = of
	return true
}

type nickname struct {
	name     string
	strength float32
}

// Nickname returns how surely one word is a short or pet form of the other: BOB and ROBERT, SASHA
// and ALEKSANDR. It is weaker than any spelling, for most pet forms belong to several names.
func Nickname(a, b string) float32 {
	a, b = Fold(a), Fold(b)
	k := load()
	return max(k.nickname(a, b), k.nickname(b, a))
}

// nickname looks among the names that a short form stands for, in any of their spellings.
func (k *knowledge) nickname(short, name string) float32 {
	best := float32(0)
	for _, n := range k.nicknames[short] {
		if n.name == name {
			return n.strength
		}
		for _, x := range k.groups.of[n.name] {
			for _, y := range k.groups.of[name] {
				if x.group == y.group && x.strength*y.strength >= strengthBorder*strengthBorder {
					best = max(best, n.strength*x.strength*y.strength)
				}
			}
		}
	}
	return best
}

// readNicknames reads rows of strength in percent, short forms, and the names they stand for.
func readNicknames(k *knowledge) error {
	rows, err := readTable("tables/nicknames.tsv")
	if err != nil {
		return err
	}
	k.nicknames = map[string][]nickname{}
	for _, r := range rows {
		strength, err := percent(r, 0)
		if err != nil {
			return err
		}
		for _, short := range fields(r.cell(1)) {
			for _, name := range fields(r.cell(2)) {
				if !folded(short) || !folded(name) {
					return fmt.Errorf("%s: %q or %q is not folded", r.at, short, name)
				}
				k.nicknames[short] = append(k.nicknames[short], nickname{name, float32(strength)})
			}
		}
	}
	return nil
}

// percent reads a cell as a share of a hundred.
func percent(r row, i int) (float64, error) {
	p, err := strconv.ParseFloat(r.cell(i), 64)
	if err != nil || p < 0 || p > 100 {
		return 0, fmt.Errorf("%s: %q is no percentage", r.at, r.cell(i))
	}
	return p / 100, nil
}

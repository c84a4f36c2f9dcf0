package script

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// table says how the letters of a script are written and sound. Its first column is the sound, in
// the classes of skeletons; each other is a standard or custom of romanisation, whose cells go
// together in one word.
type table struct {
	columns []column
	ascii   [128][]rule
	other   map[rune][]rule
	front   string // letters before which a "+" rule holds
	after   string // letters after which a "~" rule holds
}

type column struct {
	name   string
	weight float32
	has    string // letters that prove the column
	not    string // letters that refute it
}

// rule is a letter, or a few, with what it becomes in each column.
type rule struct {
	text  string
	start bool // at the start of a word only: ^
	end   bool // at the end of a word only: $
	front bool // before a letter of table.front only: +
	after bool // after a letter of table.after only: ~
	sound []alternative
	cells [][]alternative
}

// alternative is one way to write a letter. An empty text is a letter left out.
type alternative struct {
	text   string
	weight float32
}

// ranks are the weights of the alternatives in a cell that gives none.
var ranks = [...]float32{1, 0.6, 0.4, 0.3, 0.2}

func readTable(name string) *table {
	t := &table{other: make(map[rune][]rule)}
	for _, row := range rows(name) {
		if strings.HasPrefix(row[0], "@") {
			t.direct(name, row)
			continue
		}
		r := rule{text: row[0], sound: readCell(name, row[1], nil)}
		r.text, r.start = strings.CutPrefix(r.text, "^")
		r.text, r.after = strings.CutPrefix(r.text, "~")
		r.text, r.end = strings.CutSuffix(r.text, "$")
		r.text, r.front = strings.CutSuffix(r.text, "+")
		for i := range t.columns {
			cell := ""
			if i+2 < len(row) {
				cell = row[i+2]
			}
			var like []alternative
			if i > 0 {
				like = r.cells[0]
			}
			r.cells = append(r.cells, readCell(name, cell, like))
		}
		first, _ := utf8.DecodeRuneInString(r.text)
		if first < utf8.RuneSelf {
			t.ascii[first] = insertRule(t.ascii[first], r)
		} else {
			t.other[first] = insertRule(t.other[first], r)
		}
	}
	return t
}

// direct reads a line that is about the table and no letter.
func (t *table) direct(name string, row []string) {
	switch row[0] {
	case "@columns":
		for _, c := range row[1:] {
			c, weight, _ := strings.Cut(c, ":")
			w := float32(1)
			if weight != "" {
				w = number(name, weight)
			}
			t.columns = append(t.columns, column{name: c, weight: w})
		}
	case "@front":
		t.front = row[1]
	case "@after":
		t.after = row[1]
	case "@has", "@not":
		for i := range t.columns {
			if t.columns[i].name != row[1] {
				continue
			}
			if row[0] == "@has" {
				t.columns[i].has = row[2]
			} else {
				t.columns[i].not = row[2]
			}
		}
	default:
		panic(fmt.Sprintf("script: table %s: %s is no directive", name, row[0]))
	}
}

// insertRule keeps rules longest first, and among equals the more particular first.
func insertRule(rules []rule, r rule) []rule {
	rank := func(r rule) int {
		n := 8 * len(r.text)
		for _, is := range [...]bool{r.start, r.end, r.front, r.after} {
			if is {
				n++
			}
		}
		return n
	}
	at := len(rules)
	for at > 0 && rank(rules[at-1]) < rank(r) {
		at--
	}
	rules = append(rules, rule{})
	copy(rules[at+1:], rules[at:])
	rules[at] = r
	return rules
}

// readCell reads "kh|h:0.8": alternatives, best first. An empty cell is like another one, and "-"
// is nothing.
func readCell(name, cell string, like []alternative) []alternative {
	if cell == "" {
		return like
	}
	var all []alternative
	for i, part := range strings.Split(cell, "|") {
		text, weight, weighted := strings.Cut(part, ":")
		a := alternative{text: text, weight: ranks[min(i, len(ranks)-1)]}
		if weighted {
			a.weight = number(name, weight)
		}
		if text == "-" {
			a.text = ""
		}
		all = append(all, a)
	}
	return all
}

func number(name, text string) float32 {
	w, err := strconv.ParseFloat(text, 32)
	if err != nil {
		panic(fmt.Sprintf("script: table %s: %v", name, err))
	}
	return float32(w)
}

// find returns the rule for the letters at a place in a word, or nil.
func (t *table) find(word string, at int) *rule {
	var rules []rule
	if c := word[at]; c < utf8.RuneSelf {
		rules = t.ascii[c]
	} else {
		r, _ := utf8.DecodeRuneInString(word[at:])
		rules = t.other[r]
	}
	rest := word[at:]
	for i := range rules {
		r := &rules[i]
		if !strings.HasPrefix(rest, r.text) || r.start && at != 0 || r.end && len(rest) != len(r.text) {
			continue
		}
		if r.front {
			next, _ := utf8.DecodeRuneInString(rest[len(r.text):])
			if len(rest) == len(r.text) || !strings.ContainsRune(t.front, next) {
				continue
			}
		}
		if r.after {
			last, _ := utf8.DecodeLastRuneInString(word[:at])
			if at == 0 || !strings.ContainsRune(t.after, last) {
				continue
			}
		}
		return r
	}
	return nil
}

// covers reports whether a letter has a row.
func (t *table) covers(r rune) bool {
	if r < utf8.RuneSelf {
		return len(t.ascii[r]) > 0
	}
	return len(t.other[r]) > 0
}

// read reads a word by each column of the table that fits its letters.
func (t *table) read(token string, c *collector) {
	var rules [MaxLetters]*rule
	n := 0
	for at := 0; at < len(token); {
		r := t.find(token, at)
		if r == nil {
			return // a letter of no table: the rest must not pass for the word
		}
		rules[n] = r
		n++
		at += len(r.text)
	}
	proven := false
	for i := range t.columns {
		if col := &t.columns[i]; col.has != "" && containsAny(token, col.has) && !containsAny(token, col.not) {
			proven = true
		}
	}
	// All columns are heard before the best are taken: a rare custom's first word is worth more than
	// a common one's fifth.
	heard := collector{most: maxReadings}
	var w weave
	each := min(max(2, c.most/2), 3)
	for i := range t.columns {
		col := &t.columns[i]
		weight := col.weight
		switch {
		case col.not != "" && containsAny(token, col.not):
			continue
		case proven && col.has != "" && containsAny(token, col.has):
			weight = 1
		case proven:
			weight *= 0.7
		}
		w.start(each, weight)
		for _, r := range rules[:n] {
			w.choose(r.cells[i])
		}
		w.collect(&heard, false)
	}
	heard.sort()
	for _, f := range heard.forms {
		c.add(f.Text, f.Weight, f.Bare)
	}
}

func containsAny(token, letters string) bool {
	return letters != "" && strings.ContainsAny(token, letters)
}

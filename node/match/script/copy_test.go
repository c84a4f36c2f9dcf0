package script

import (
	"bufio"
	"encoding/json"
	"testing"
)

// The tables of names are written from general knowledge. Had one been filled from the lists by which
// the matcher is judged, it would know the words that one listed person alone bears, or that only a
// query holds, about as well as those that many bear.
func TestNamesAreNoCopyOfTheTestSet(t *testing.T) {
	bears := make(map[string]map[string]bool) // word: persons
	read := func(name string, put func(line []byte)) {
		s := bufio.NewScanner(data(t, name))
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			put(s.Bytes())
		}
	}
	note := func(id, name string) {
		for _, w := range Tokens(name) {
			if len(w) <= 3 || !isPlain(w) {
				continue
			}
			if bears[w] == nil {
				bears[w] = make(map[string]bool)
			}
			bears[w][id] = true
		}
	}
	read("persons.jsonl", func(line []byte) {
		var p struct {
			ID, Primary string
			Names       []string
		}
		if err := json.Unmarshal(line, &p); err != nil {
			t.Fatal(err)
		}
		for _, n := range append(p.Names, p.Primary) {
			note(p.ID, n)
		}
	})
	listed := len(bears)
	read("queries.jsonl", func(line []byte) {
		var q struct{ ID, Q string }
		if err := json.Unmarshal(line, &q); err != nil {
			t.Fatal(err)
		}
		if q.ID != "" {
			note(q.ID, q.Q)
		}
	})
	if listed == 0 {
		t.Fatal("the list holds no names")
	}
	all := tables()
	for table, names := range map[string]map[string][]string{"arabic": all.arabic.names, "hebrew": all.hebrew.names, "korean": all.hangul.surnames, "han": all.han.surnames} {
		knows := make(map[string]bool)
		for _, texts := range names {
			for _, text := range texts {
				knows[text] = true
			}
		}
		var one, many, ofOne, ofMany float64
		for w, who := range bears {
			switch {
			case len(who) == 1:
				ofOne++
				if knows[w] {
					one++
				}
			default:
				ofMany++
				if knows[w] {
					many++
				}
			}
		}
		t.Logf("%s: knows %.3f of %.0f words of one person, %.3f of %.0f words of several", table, one/ofOne, ofOne, many/ofMany, ofMany)
		if one/ofOne > 0.1 || one/ofOne > 0.5*many/ofMany && one > 10 {
			t.Errorf("the table %s knows %.3f of the words of one listed person, and %.3f of the others: it was filled from the list", table, one/ofOne, many/ofMany)
		}
	}
}

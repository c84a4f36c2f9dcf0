package people

import (
	"bufio"
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The tables are written from general knowledge. Had they been filled from the lists by which the
// matcher is judged, they would know the words that one listed person alone bears as well as they
// know the others.
func TestTablesAreNoCopyOfTheTestSet(t *testing.T) {
	name := filepath.Join(cmp.Or(os.Getenv("ENTENTE_DATA"), "../../../../shared/data"), "names", "persons.jsonl")
	f, err := os.Open(name)
	if err != nil {
		t.Skipf("%v: the developer's data are not here; ENTENTE_DATA says where they are", err)
	}
	defer f.Close()
	in := map[string]int{} // persons who bear the word
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var person struct{ Names []string }
		if err := json.Unmarshal(lines.Bytes(), &person); err != nil {
			t.Fatal(err)
		}
		bears := map[string]bool{}
		for _, n := range person.Names {
			for _, w := range strings.FieldsFunc(n, func(r rune) bool { return strings.ContainsRune(" ,.-()/\"", r) }) {
				if w = Fold(w); len(w) > 3 {
					bears[w] = true
				}
			}
		}
		for w := range bears {
			in[w]++
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	k := load()
	var known, all [2]int // of one person, of several
	for w, n := range in {
		i := min(n-1, 1)
		all[i]++
		_, counted := k.words[w]
		if counted || k.groups.of[w] != nil {
			known[i]++
		}
	}
	alone, shared := float64(known[0])/float64(all[0]), float64(known[1])/float64(all[1])
	t.Logf("known: %.2f of %d words of one person, %.2f of %d words of several", alone, all[0], shared, all[1])
	if alone > 0.4 || alone > 0.75*shared {
		t.Errorf("the tables know %.2f of the words of one listed person, and %.2f of the others: they were filled from the list", alone, shared)
	}
}

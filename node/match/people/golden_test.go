package people

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The golden cases stand beside the matcher that runs them. What can be said of them without it:
// that they are whole, that none is told twice, and that their names are nobody's.
func TestGoldenCasesAreWhole(t *testing.T) {
	b, err := os.ReadFile("../testdata/golden.tsv")
	if err != nil {
		t.Fatal(err)
	}
	cases, kinds, seen := 0, map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		c := strings.Split(line, "\t")
		if len(c) != 13 {
			t.Errorf("%q has %d columns, want 13", line, len(c))
			continue
		}
		cases++
		kinds[c[1]] = true
		if key := strings.Join(c[2:11], "|"); seen[key] {
			t.Errorf("case %s is told twice", c[0])
		} else {
			seen[key] = true
		}
		if !slices.Contains([]string{"same", "possible", "different"}, c[11]) || c[12] == "" {
			t.Errorf("case %s: expected %q, because %q", c[0], c[11], c[12])
		}
		for _, nation := range []string{c[5], c[9]} {
			if nation != "" && len(nation) != 3 {
				t.Errorf("case %s: %q is no nationality", c[0], nation)
			}
		}
	}
	if cases != 200 || len(kinds) < 20 {
		t.Errorf("%d cases of %d kinds, want 200 of at least 20", cases, len(kinds))
	}
}

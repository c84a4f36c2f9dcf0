package limits_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/entente-mesh/entente/node/limits"
)

var update = flag.Bool("update", false, "write the page that is made of code (docs/limits.md)")

const (
	limitsPage = "../../docs/limits.md"
	tableHead  = "| what | another bureau | an own agency | why |\n|---|---|---|---|\n"
)

// TestPage holds that the page has the numbers and the reasons of the code.
func TestPage(t *testing.T) {
	b, err := os.ReadFile(limitsPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), tableHead)
	if !ok {
		t.Fatalf("%s has no table", limitsPage)
	}
	_, after, _ := strings.Cut(rest, "\n\n")
	var table strings.Builder
	for _, r := range limits.Reasons() {
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", r.What, r.Bureau, r.Agency, r.Why)
	}
	want := before + tableHead + table.String() + "\n" + after
	if *update {
		if err := os.WriteFile(limitsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(b) != want {
		t.Error("docs/limits.md is not what the code says: go test ./node/limits -run TestPage -update")
	}
}

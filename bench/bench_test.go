package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/entente-mesh/entente/node/audit"
)

func TestMain(m *testing.M) {
	audit.LogTessera(slog.New(slog.DiscardHandler))
	code := m.Run()
	var left error
	for range 10 {
		// memberlist's last probe ends with its interval, a moment after gossip has stopped.
		if left = goleak.Find(goleak.IgnoreAnyFunction("github.com/golang/glog.(*fileSink).flushDaemon")); left == nil {
			break
		}
	}
	if left != nil && code == 0 {
		fmt.Fprintln(os.Stderr, left)
		code = 1
	}
	os.Exit(code)
}

// TestQuickRun keeps the harness from rotting: every row is measured, on a scale at which the
// figures say nothing, and none is judged.
func TestQuickRun(t *testing.T) {
	if testing.Short() {
		t.Skip("the run makes five bureaus; no way through the house is only here")
	}
	out := filepath.Join(t.TempDir(), "docs", "benchmarks.md")
	var told bytes.Buffer
	if err := run(t.Context(), options{out: out, quick: true, data: t.TempDir(), progress: &told}); err != nil {
		t.Fatalf("%v\n%s", err, told.String())
	}
	page, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var table [][]string
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "|") {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			table = append(table, cells)
		}
	}
	if len(table) < 3 || strings.Join(table[0], ",") != strings.Join(columns, ",") {
		t.Fatalf("no table with the columns %v:\n%s", columns, page)
	}
	want := []string{
		"One passage in the journal, durable: p50", "The same: throughput, 64 callers, who share commits",
		"Document check at home, no hit, recorded: throughput", "Document check at home, no hit, recorded: p50", "Document check at home, no hit, recorded: p99",
		"The same with a name, 200 persons: throughput", "The same with a name, 200 persons: p50",
		"Ask to one bureau", "The same: p99", "The same: throughput, 64 callers, both nodes",
		"Asks answered by one node", "Ask to three bureaus", "The same beside one bureau", "The same: throughput, 64 callers, four nodes",
		"Books on against off, document check", "Books on against off, ask to one bureau",
		"Syncs of the books for a document check", "Syncs of the books for an ask",
		"A withheld record against none, documents", "A withheld record against none, persons",
		"Document check at home under a storm",
		"Ask to two living bureaus and a dead one", "The same: p99",
		"Import of 500 documents", "Import of the UN consolidated list",
		"Index of 200 persons", "An idle node", "Policy decision on an ask, with 195 treaties",
	}
	rows := table[2:]
	if len(rows) != len(want) {
		t.Errorf("%d rows, want %d:\n%s", len(rows), len(want), page)
	}
	for i, cells := range rows[:min(len(rows), len(want))] {
		if len(cells) != len(columns) {
			t.Errorf("row %d has %d cells, want %d: %v", i+1, len(cells), len(columns), cells)
			continue
		}
		if !strings.HasPrefix(cells[0], want[i]) {
			t.Errorf("row %d is %q, want %q", i+1, cells[0], want[i])
		}
		budget, met := cells[4], cells[5]
		left := strings.HasPrefix(cells[1], "not measured")
		judged := met == "yes" || met == "**no**"
		if judged != (budget != "–" && !left) {
			t.Errorf("%s: budget %q, met %q: what has a budget and was measured says yes or no, nothing else does", cells[0], budget, met)
		}
		if !left && (cells[2] == "–" || cells[3] == "–") {
			t.Errorf("%s: a figure without a yardstick", cells[0])
		}
	}
	for _, fact := range []string{"- Date: ", "- Machine: ", "- System: ", "- Go: go", "- Load before and after: ", "quick run"} {
		if !strings.Contains(string(page), fact) {
			t.Errorf("the page does not say %q", fact)
		}
	}
}

func TestFigures(t *testing.T) {
	for in, want := range map[time.Duration]string{
		840: "840 ns", 2_345: "2.35 us", 456_700: "457 us", 1_234_000: "1.23 ms", 2_500_000_000: "2.50 s", -1_500_000: "-1.50 ms",
	} {
		if got := length(in); got != want {
			t.Errorf("length(%d) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[float64]string{7: "7/s", 999.6: "1,000/s", 1_234_567: "1,234,567/s"} {
		if got := perSecond(in); got != want {
			t.Errorf("perSecond(%v) = %q, want %q", in, got, want)
		}
	}
	s := spread{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	if s.p50() != 6 || s.p99() != 10 || (spread{7}).p99() != 7 {
		t.Errorf("p50 %d, p99 %d", s.p50(), s.p99())
	}
}

// TestInventedAreTheSame shows that two runs measure the same names.
func TestInventedAreTheSame(t *testing.T) {
	one, err := personsFile(newInventor(1).persons(50))
	if err != nil {
		t.Fatal(err)
	}
	two, err := personsFile(newInventor(1).persons(50))
	if err != nil {
		t.Fatal(err)
	}
	// protojson varies its spaces on purpose.
	plain := func(b []byte) string { return strings.ReplaceAll(string(b), " ", "") }
	if plain(one) != plain(two) {
		t.Error("the same seed made other persons")
	}
}

package main

import (
	"strings"
	"testing"
)

// TestDemo plays the demonstration: four nodes, two stories and what the auditors find, every expectation.
func TestDemo(t *testing.T) {
	t.Parallel()
	o := newFolder(t).do("demo", "--exit", "--json")
	events, err := jsonLines(o.stdout, strings.Count(o.stdout, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, e := range events {
		kind, _ := e["event"].(string)
		counts[kind]++
		if kind == "expectation" && e["held"] != true {
			t.Errorf("did not hold: %v", e["text"])
		}
	}
	last := events[len(events)-1]
	if counts["passage"] != 2 || counts["bundle"] != 1 || counts["join"] != 1 {
		t.Errorf("the auditors told %v", counts)
	}
	if counts["bureau"] != 4 || counts["check"] != 42 || last["event"] != "done" || last["held"] != float64(counts["expectation"]) {
		t.Errorf("told %v, last %v", counts, last)
	}
}

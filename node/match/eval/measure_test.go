package eval

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"
	"testing"
	"time"
)

// ranked answers by a table: what was asked, and who is found.
type ranked map[string][]Found

func (r ranked) Search(q Query, most int) []Found { return r[q.Text][:min(most, len(r[q.Text]))] }

func scores(all ...float64) []Answer {
	var answers []Answer
	for _, s := range all {
		answers = append(answers, Answer{Query: &Query{}, Rank: -1, Score: s})
	}
	return answers
}

func TestThresholdIsExceededByNoMore(t *testing.T) {
	var hundred []float64
	for i := range 100 {
		hundred = append(hundred, float64(i))
	}
	tied := append([]float64{7, 7, 7}, make([]float64, 97)...)
	for _, c := range []struct {
		name   string
		scores []float64
		share  float64
		want   float64
	}{
		{"one of a hundred", hundred, 0.01, 98},
		{"ten of a hundred", hundred, 0.1, 89},
		{"fewer than one", hundred, 0.001, 99},
		{"three who score the same: none of them exceeds it", tied, 0.01, 7},
		{"three who score the same and may exceed it", tied, 0.03, 0},
		{"one", []float64{4}, 0.01, 4},
		{"nobody finds anybody", []float64{leastScore, leastScore}, 0.01, leastScore},
	} {
		got := Threshold(scores(c.scores...), c.share)
		exceed := 0
		for _, s := range c.scores {
			if s > got {
				exceed++
			}
		}
		if got != c.want || float64(exceed) > c.share*float64(len(c.scores)) {
			t.Errorf("%s: %v, exceeded by %d, want %v", c.name, got, exceed, c.want)
		}
	}
	if got := Threshold(nil, 0.01); !math.IsNaN(got) {
		t.Errorf("without innocents the threshold is %v", got)
	}
}

func TestResultsSetBySet(t *testing.T) {
	eleven := make([]Found, 11)
	for i := range eleven {
		eleven[i] = Found{ID: fmt.Sprint(i), Score: 20}
	}
	engine := ranked{
		"first":    {{"p", 9}, {"q", 8}},
		"second":   {{"q", 9}, {"p", 5}},
		"tied":     {{"q", 5}, {"p", 5}},
		"eleventh": eleven,
		"stranger": {{"q", 5}},
	}
	answers := Ask(engine, []Query{
		{Set: "b", Text: "first", ID: "p"}, {Set: "b", Text: "second", ID: "p"}, {Set: "b", Text: "tied", ID: "p"},
		{Set: "b", Text: "nothing", ID: "p"}, {Set: "a", Text: "eleventh", ID: "10"}, {Set: "neg", Text: "first"},
	}, 2)
	innocents := Ask(engine, []Query{{Text: "stranger"}, {Text: "nothing"}}, 3)
	got := Results(answers, innocents)
	if len(got) != 2 || got[0].Set != "a" || got[1].Set != "b" {
		t.Fatalf("sets %+v", got)
	}
	// An innocent who finds nobody has the least score, and one who scores as a person does not let
	// that person alert: above means above.
	want := Result{Set: "b", N: 4, RecallAt1: 0.25, RecallAt10: 0.75, RecallAlert1: 0.25, RecallAlert01: 0.25, Threshold1: 5, Threshold01: 5}
	if got[1] != want {
		t.Errorf("%+v, want %+v", got[1], want)
	}
	if a := got[0]; a.N != 1 || a.RecallAt10 != 0 || a.RecallAlert1 != 0 {
		t.Errorf("the eleventh counts: %+v", a)
	}
	if got := Results(nil, innocents); len(got) != 0 {
		t.Errorf("sets of nothing: %+v", got)
	}
}

// TestFieldsOfASet: exactly those, of the union as well, and null where there are no innocents.
func TestFieldsOfASet(t *testing.T) {
	answers := Ask(ranked{"x": {{"p", 1}}}, []Query{{Set: "s", Text: "x", ID: "p"}}, 1)
	line, err := json.Marshal(Results(answers, nil)[0])
	want := `{"set":"s","n":1,"recall_at_1":1,"recall_at_10":1,"recall_at_alert_1pct":null,"recall_at_alert_0_1pct":null,"threshold_1pct":null,"threshold_0_1pct":null}`
	if err != nil || string(line) != want {
		t.Errorf("%s, %v", line, err)
	}
	r, ok := Union(answers, scores(0.5, 2), "s")
	line, err = json.Marshal(r)
	want = `{"set":"union","n":1,"recall_at_1":1,"recall_at_10":1,"recall_at_alert_1pct":0,"recall_at_alert_0_1pct":0,"threshold_1pct":2,"threshold_0_1pct":2}`
	if err != nil || !ok || string(line) != want {
		t.Errorf("%s, %v", line, err)
	}
	if *r.Recall001 != 0 || *r.Threshold001 != 2 {
		t.Errorf("at one in ten thousand %v above %v", *r.Recall001, *r.Threshold001)
	}
	if _, ok := Union(answers, nil, "another set"); ok {
		t.Error("a union of no queries")
	}
}

func TestGroupsAndTheirRatio(t *testing.T) {
	groups := []Group{{Group: "a", N: 100, Alerts: 3, Share: 0.03}, {Group: "b", N: 100, Alerts: 6, Share: 0.06}, {Group: "c", N: 100, Alerts: 4, Share: 0.04}}
	f := NewFairness(groups)
	if groups = f.Groups; groups[0].Group != "b" || groups[2].Group != "a" {
		t.Errorf("not the most first: %+v", groups)
	}
	if f.Worst != 2 || f.Chance <= 1 {
		t.Errorf("the worst is %v times the best, by chance %v", f.Worst, f.Chance)
	}
	// More of the same: less is by chance.
	for i := range groups {
		groups[i].N, groups[i].Alerts = 100*groups[i].N, 100*groups[i].Alerts
	}
	if more := NewFairness(groups); more.Worst != 2 || more.Chance >= f.Chance || more.Chance > 1.2 {
		t.Errorf("with a hundred times as many by chance %v, before %v", more.Chance, f.Chance)
	}
	// A group of whom nobody is stopped says that too few were asked, not that all is well.
	groups[2].Alerts, groups[2].Share = 0, 0
	for _, g := range [][]Group{groups, nil, {{Group: "a", N: 10}}} {
		if r := Ratio(g); !math.IsNaN(float64(r)) {
			t.Errorf("the ratio of %+v is %v", g, r)
		}
	}
	if line, err := json.Marshal(NewFairness(nil)); err != nil || !strings.Contains(string(line), `"worst_to_best":null`) {
		t.Errorf("%s, %v", line, err)
	}
}

func TestPairsAreDivided(t *testing.T) {
	like := map[string]float64{"a": 0.9, "b": 0.6, "c": 0.6, "d": 0.4, "e": 0.2}
	pairs := Pairs{{"a", "", true}, {"b", "", true}, {"c", "", false}, {"d", "", true}, {"e", "", false}}
	got := pairs.With(func(a, _ string) float64 { return like[a] }, 0.5)
	want := PairResult{N: 5, Threshold: 0.5, Precision: 2.0 / 3, Recall: 2.0 / 3, F1: 2.0 / 3, BestThreshold: 0.4, BestF1: 6.0 / 7}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := pairs.With(func(string, string) float64 { return 0 }, 0.5); got.F1 != 0 || got.Precision != 0 || got.BestF1 != 0.75 {
		t.Errorf("none like another: %+v", got)
	}
	if got := (Pairs{}).With(nil, 0.5); got != (PairResult{Threshold: 0.5, BestThreshold: 0.5}) {
		t.Errorf("no pairs: %+v", got)
	}
	if got := (Pairs{{"x", "x", false}}).With(func(string, string) float64 { return 1 }, 0.5); got.F1 != 0 || got.Recall != 0 {
		t.Errorf("none the same: %+v", got)
	}
}

func TestSummarise(t *testing.T) {
	var answers []Answer
	for i := range 100 {
		answers = append(answers, Answer{Took: time.Duration(i+1) * time.Millisecond})
	}
	s := Summarise(answers, 2*time.Second)
	if s.QueriesPerSecond != 50 || s.P50 != 51 || s.P95 != 96 || s.P99 != 100 {
		t.Errorf("%+v", s)
	}
	if s := Summarise(nil, time.Second); s != (Summary{}) {
		t.Errorf("of nothing: %+v", s)
	}
}

// listOf writes invented persons as a file, and queries by the names that their passports carry.
func listOf(n int) (persons func() iter.Seq2[*Person, error], queries []Query) {
	var file bytes.Buffer
	out := json.NewEncoder(&file)
	for p := range Listed(5, n) {
		if err := out.Encode(p); err != nil {
			panic(err) // a bytes.Buffer takes everything
		}
		q := ZoneQuery(p.Primary, "")
		q.Set, q.ID, q.Birth, q.Nationality, q.Sex = unionSet, p.ID, p.Birth, p.Nationality, p.Sex
		queries = append(queries, q)
	}
	return func() iter.Seq2[*Person, error] { return ReadPersons(bytes.NewReader(file.Bytes()), nil) }, queries
}

func TestTheMatcherIsMeasured(t *testing.T) {
	persons, queries := listOf(60)
	var said strings.Builder
	n := Names{Persons: persons, Queries: append(queries, World(6, 200)...), Evidence: All, Union: 300,
		Say: func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }}
	r, err := n.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Sets) != 1 || r.Sets[0].N != 60 || r.Sets[0].RecallAt10 < 0.95 || r.Summary.Names != 60 || r.Summary.Innocents != 200 || r.Summary.QueriesPerSecond <= 0 {
		t.Errorf("%+v", r)
	}
	if r.Union == nil || r.Union.N != 60 || r.Union.RecallAt10 < 0.9 || r.Among.Names != 300 || r.Among.Load <= 0 {
		t.Errorf("union %+v among %+v", r.Union, r.Among)
	}
	if !strings.Contains(said.String(), "only 200 innocents") {
		t.Errorf("it does not say that there are few innocents:\n%s", &said)
	}
}

func TestTravellersBySize(t *testing.T) {
	for _, c := range []struct{ told, names, want int }{
		{TravellersBySize, 5_000, 230_000}, {TravellersBySize, 20_000, 75_000}, {TravellersBySize, 1_000_000, 5_000}, {0, 5_000, 0}, {7, 1_000_000, 7},
	} {
		if got := (Names{Travellers: c.told}).travellers(c.names); got != c.want {
			t.Errorf("%d among %d names: %d, want %d", c.told, c.names, got, c.want)
		}
	}
}

// TestALabelWithoutAPersonIsAMistake: a person who is not in the list cannot be missed.
func TestALabelWithoutAPersonIsAMistake(t *testing.T) {
	persons, queries := listOf(3)
	queries = append(queries, Query{Set: "x", Text: "ARN LO", ID: "nobody", Line: 4})
	_, err := Names{Persons: persons, Queries: queries}.Measure(t.Context())
	var notListed NotListedError
	if !errors.As(err, &notListed) || notListed.Query.Line != 4 || !strings.Contains(err.Error(), `id "nobody"`) {
		t.Errorf("%v", err)
	}
	broken := func() iter.Seq2[*Person, error] { return ReadPersons(io.MultiReader(strings.NewReader("{}")), nil) }
	if _, err := (Names{Persons: broken, Queries: queries}).Measure(t.Context()); err == nil || !strings.Contains(err.Error(), "line 1: id") {
		t.Errorf("%v", err)
	}
}

package main

import (
	"bytes"
	"fmt"
	"math"

	"github.com/entente-mesh/entente/bench/page"
	"github.com/entente-mesh/entente/node/match/eval"
)

// target is one figure that the design asks for.
type target struct {
	what  string
	value eval.Figure
	least float64
	at    string // how the figure is written
	most  bool   // least is a most
}

func (t target) row() []string {
	sign, met := ">=", float64(t.value) >= t.least
	if t.most {
		sign, met = "<=", float64(t.value) <= t.least
	}
	told := "yes"
	switch {
	case math.IsNaN(float64(t.value)):
		return []string{t.what, "", sign + " " + fmt.Sprintf(t.at, t.least), ""}
	case !met:
		told = "**no**"
	}
	return []string{t.what, fmt.Sprintf(t.at, float64(t.value)), sign + " " + fmt.Sprintf(t.at, t.least), told}
}

// targets are the figures that the design sets for labelled data, each beside what was measured.
func (b *bench) targets(out *bytes.Buffer) {
	var all []target
	add := func(what string, value eval.Figure, least float64) {
		all = append(all, target{what: what, value: value, least: least, at: "%.3f"})
	}
	for _, f := range b.report.quality[:min(len(b.report.quality), len(evidences))] {
		for _, t := range []struct {
			engine, set, what string
			of                func(r eval.Result) eval.Figure
			least             float64
		}{
			{"name only", "alias_variant", "among ten", among, 0.985}, {"name only", "alias_variant", "at 1 %", one, 0.95},
			{"name only", "alias_variant", "at 0.1 %", tenth, 0.75},
			{"name only", "mrz", "at 0.1 %", tenth, 0.995}, {"name only", "mrz_typo2", "at 1 %", one, 0.92},
			{"name only", "script", "among ten", among, 0.90}, {"name only", "script", "at 1 %", one, 0.50},
			{"name only", "alias_other", "at 1 %", one, 0.25},
			{evidences[2].name, "alias_variant", "at 0.1 %", tenth, 0.96}, {evidences[2].name, "script", "at 0.1 %", tenth, 0.75},
		} {
			if r, ok := of(f.sets, t.set); ok && f.engine == "Entente, "+t.engine {
				add(t.engine+": "+t.set+", "+t.what, t.of(r), t.least)
			}
		}
	}
	if r, ok := of(b.report.union, "alias_variant"); ok {
		add(fmt.Sprintf("among %s names, everything known: alias_variant at one false alert in 10,000", thousands(b.million)), *r.Recall001, 0.85)
	}
	for i, e := range []string{"name only", "everything known"} {
		f := b.report.fairness[i]
		what := fmt.Sprintf("false alerts, the worst region against the best: %s (chance alone: %s)", e, f.Chance.Text(2))
		all = append(all, target{what, f.Worst, 1.5, "%.2f", true})
	}
	if b.report.pairs != nil {
		add("nomenklatura's pairs of persons: F1 at the fixed threshold", eval.Figure(b.report.pairs.F1), 0.80)
	}
	for _, p := range b.report.paces {
		rate, p99 := 0.0, 0.0
		switch {
		case p.name == "Entente, name only" && p.names >= b.million:
			rate, p99 = 1_000, 12
		case p.name == "Entente, name only" && p.names >= b.small && p.names < b.middle:
			rate, p99 = 5_000, 3
		default:
			continue
		}
		what := thousands(p.names) + " names, name only: "
		all = append(all, target{what + "queries/s", eval.Figure(p.QueriesPerSecond), rate, "%.0f", false},
			target{what + "p99, ms", eval.Figure(p.P99), p99, "%.1f", true})
	}
	for _, s := range b.report.sizes {
		if s.names >= b.million {
			what := thousands(s.names) + " names: "
			all = append(all, target{what + "bytes a name", eval.Figure(s.perName), 1_500, "%.0f", true},
				target{what + "load, s", eval.Figure(s.load.Seconds()), 30, "%.1f", true})
		}
	}
	rows := make([][]string, 0, len(all))
	for _, t := range all {
		rows = append(rows, t.row())
	}
	out.WriteString("\n### Targets\n\n")
	page.Table(out, []string{"what", "measured", "target", "met"}, rows)
}

func among(r eval.Result) eval.Figure { return r.RecallAt10 }
func one(r eval.Result) eval.Figure   { return r.RecallAlert1 }
func tenth(r eval.Result) eval.Figure { return r.RecallAlert01 }

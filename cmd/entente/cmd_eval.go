package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/spf13/cobra"

	"github.com/entente-mesh/entente/node/match/eval"
)

// evalFlags are what the matcher of names is measured with.
type evalFlags struct {
	persons, queries, negatives, evidence string
	union, travellers                     int
}

// unionNames is how large the list of the set union is: all that the bureaus of a continent search
// together.
const unionNames = 1_000_000

func (a *app) evalCommand() *cobra.Command {
	return group("eval", "Measure the matcher of names on labelled data", a.evalNamesCommand(), a.evalPairsCommand())
}

func (a *app) evalNamesCommand() *cobra.Command {
	var f evalFlags
	cmd := &cobra.Command{
		Use: "names", Short: "Measure who is found, at how many false alerts, and how fast",
		Long: "Puts the persons of a list into an index and asks it for each query and each innocent. It prints\n" +
			"one line for each set of queries: how many persons were found first, among the first ten, and among\n" +
			"the first ten above the score that 1 % and 0.1 % of the innocents exceed; and those scores. Then\n" +
			"come by_group, the false alerts at the default operating point among invented travellers, by where\n" +
			"their names come from (worst_to_best_by_chance is what worst_to_best would be if all were alike),\n" +
			"and last the summary: how fast it was, over all queries and innocents.\n\n" +
			"With --evidence all the set union is measured too: the queries of the set alias_variant among a\n" +
			"million names; union_summary tells the same at one false alert in ten thousand innocents, and how\n" +
			"fast it was.\n\n" +
			"persons     one JSON object a line: id, primary, names, dob, nat; sex where it is known\n" +
			"queries     one JSON object a line: set, q, id, dob, nat; an innocent has an empty id. A query about\n" +
			"            somebody who is not in the list is a mistake, and is refused\n" +
			"negatives   CSV with a head line: full_name, first_name, middle_name, last_name, gender,\n" +
			"            date_of_birth, nationality; each is asked by the name that their passport's zone carries\n\n" +
			"Other fields and columns are passed over. Dates are written as lists write them: 10 Dec 1948,\n" +
			"Dec 1948, 1948, 1948-12-10, or nothing; what cannot be read counts as unknown, and is told of.",
		Example: "  entente eval names --persons persons.jsonl --queries queries.jsonl --negatives negatives.csv --evidence all --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("union") && f.evidence != "all" {
				f.union = 0
			}
			return a.evalNames(cmd.Context(), f)
		},
	}
	s := cmd.Flags()
	s.StringVar(&f.persons, "persons", "", "the list: one JSON object a line")
	s.StringVar(&f.queries, "queries", "", "the travellers: one JSON object a line")
	s.StringVar(&f.negatives, "negatives", "", "the innocents: CSV with a head line (default: the queries whose id is empty)")
	s.StringVar(&f.evidence, "evidence", "name", "what is known of a traveller: name, name+dob or all")
	s.IntVar(&f.union, "union", unionNames, "how many names the list of the set union has; 0 leaves it out, as do name and name+dob if it is not set")
	s.IntVar(&f.travellers, "travellers", eval.TravellersBySize, "how many names of invented travellers of each region by_group is of; 0 leaves it out")
	s.Lookup("travellers").DefValue = "as many as can be asked for in some minutes"
	return cmd
}

func (a *app) evalPairsCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "pairs", Short: "Measure how well pairs of names are told apart",
		Long: "Compares pairs of names and nothing else: at the fixed threshold of the matcher, and at the one that\n" +
			"would have divided these pairs best.",
		Example: "  entente eval pairs --pairs pairs.csv --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			pairs, err := readData(path, "pairs", eval.ReadPairs)
			if err != nil {
				return err
			}
			r := eval.Pairs(pairs).Measure()
			return a.print(r, fmt.Sprintf("%d pairs: precision %.3f, recall %.3f, F1 %.3f at %.2f; best F1 %.3f at %.2f",
				r.N, r.Precision, r.Recall, r.F1, r.Threshold, r.BestF1, r.BestThreshold))
		},
	}
	cmd.Flags().StringVar(&path, "pairs", "", "CSV with a head line: name1, name2, is_match")
	return cmd
}

// openData opens one file of labelled data.
func openData(path, flag string) (*os.File, error) {
	if path == "" {
		return nil, usagef("--%s: name the file", flag)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return file, nil
}

// readData reads one file of labelled data, which has something in it.
func readData[T any](path, flag string, read func(io.Reader) ([]T, error)) ([]T, error) {
	file, err := openData(path, flag)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all, err := read(file)
	if err == nil && len(all) == 0 {
		err = errors.New("there is nothing in it: one line each is expected")
	}
	if err != nil {
		return nil, fmt.Errorf("--%s: %s: %w", flag, path, err)
	}
	return all, nil
}

// readNoted is readData that tells what of it counts as unknown.
func readNoted[T any](a *app, path, flag string, read func(io.Reader, eval.Unread) ([]T, error)) ([]T, error) {
	unread := eval.Unread{}
	all, err := readData(path, flag, func(r io.Reader) ([]T, error) { return read(r, unread) })
	a.tellUnread(flag, path, unread)
	return all, err
}

func (a *app) tellUnread(flag, path string, unread eval.Unread) {
	if len(unread) > 0 {
		a.tellEval("--%s: %s: %s", flag, path, unread)
	}
}

// tellEval tells whoever waits how far a measurement is, apart from what it found.
func (a *app) tellEval(format string, args ...any) {
	fmt.Fprintf(a.err, "eval: "+format+"\n", args...)
}

func (a *app) evalNames(ctx context.Context, f evalFlags) error {
	evidence, err := eval.ParseEvidence(f.evidence)
	switch {
	case err != nil:
		return usagef("--evidence: %w", err)
	case f.union < 0:
		return usagef("--union: %d: say how many names, or 0 for none", f.union)
	case f.travellers < 0 && f.travellers != eval.TravellersBySize:
		return usagef("--travellers: %d: say how many, or 0 for none", f.travellers)
	}
	n := eval.Names{Evidence: evidence, Union: f.union, Travellers: f.travellers, Say: a.tellEval}
	list, err := openData(f.persons, "persons")
	if err != nil {
		return err
	}
	defer list.Close()
	if n.Queries, err = readNoted(a, f.queries, "queries", eval.ReadQueries); err != nil {
		return err
	}
	if f.negatives != "" {
		if n.Innocents, err = readNoted(a, f.negatives, "negatives", eval.ReadNegatives); err != nil {
			return err
		}
	}
	again := false
	n.Persons = func() iter.Seq2[*eval.Person, error] {
		defer func() { again = true }()
		return a.personsOf(list, f.persons, again)
	}
	r, err := measured(ctx, n)
	if notListed := (eval.NotListedError{}); errors.As(err, &notListed) {
		return fmt.Errorf("--queries: %s: %w", f.queries, err)
	}
	if errors.Is(err, eval.ErrUnreadable) {
		return fmt.Errorf("--persons: %s: %w", f.persons, err)
	}
	if err != nil {
		return err
	}
	return a.printEval(r)
}

// measured measures, and does not wait for it when ctx ends: a million names take minutes, and the
// process ends with them.
func measured(ctx context.Context, n eval.Names) (*eval.Report, error) {
	type outcome struct {
		report *eval.Report
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := n.Measure(ctx)
		done <- outcome{r, err}
	}()
	select {
	case o := <-done:
		return o.report, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// personsOf reads a list, as it is asked for more, and the second time from its beginning again.
func (a *app) personsOf(list *os.File, path string, again bool) iter.Seq2[*eval.Person, error] {
	return func(yield func(*eval.Person, error) bool) {
		named := func(err error) error { return fmt.Errorf("--persons: %s: %w", path, err) }
		if again {
			if _, err := list.Seek(0, io.SeekStart); err != nil {
				yield(nil, named(fmt.Errorf("%w: the set union reads it a second time: name a file, or leave the set out with --union 0", err)))
				return
			}
		}
		unread, some := eval.Unread{}, false
		for p, err := range eval.ReadPersons(list, unread) {
			if err != nil {
				yield(nil, named(err))
				return
			}
			some = true
			if !yield(p, nil) {
				return
			}
		}
		if !some {
			yield(nil, named(errors.New("there is nobody in it: write one JSON object a line")))
			return
		}
		if !again {
			a.tellUnread("persons", path, unread)
		}
	}
}

// printEval prints the sets, the groups, and the summary last.
func (a *app) printEval(r *eval.Report) error {
	sets := r.Sets
	if r.Union != nil {
		sets = append(sets, *r.Union)
	}
	for _, s := range sets {
		text := fmt.Sprintf("%-14s %5d queries: first %s, in ten %s, alerting at 1 %% %s, at 0.1 %% %s (above %s, %s)",
			s.Set, s.N, s.RecallAt1.Text(3), s.RecallAt10.Text(3), s.RecallAlert1.Text(3), s.RecallAlert01.Text(3), s.Threshold1.Text(2), s.Threshold01.Text(2))
		if s.Recall001 != nil {
			text += fmt.Sprintf(", at 0.01 %% %s (above %s)", s.Recall001.Text(3), s.Threshold001.Text(2))
		}
		if err := a.print(s, text); err != nil {
			return err
		}
	}
	if len(r.Fairness.Groups) > 0 {
		if err := a.print(r.Fairness, fairnessText(r.Fairness)); err != nil {
			return err
		}
	}
	if r.Union != nil {
		u := unionSummary{r.Union.Recall001, r.Union.Threshold001, r.Among}
		if err := a.print(map[string]any{"union_summary": u}, "union: "+summaryText(r.Among)); err != nil {
			return err
		}
	}
	return a.print(map[string]any{"summary": r.Summary}, summaryText(r.Summary))
}

// unionSummary is what is told of the set union beside what is told of every set.
type unionSummary struct {
	Recall001    *eval.Figure `json:"recall_at_alert_0_01pct"`
	Threshold001 *eval.Figure `json:"threshold_0_01pct"`
	eval.Summary
}

func summaryText(s eval.Summary) string {
	return fmt.Sprintf("%.0f queries/s, p50 %.2f ms, p95 %.2f ms, p99 %.2f ms; %d names, %.0f B each, loaded in %.0f ms; %d innocents",
		s.QueriesPerSecond, s.P50, s.P95, s.P99, s.Names, s.BytesPerName, s.Load, s.Innocents)
}

func fairnessText(f eval.Fairness) string {
	text := "false alerts by origin of the name, at the default operating point:"
	for _, g := range f.Groups {
		text += fmt.Sprintf("\n  %-36s %6d travellers, %4d alerts, %.5f", g.Group, g.N, g.Alerts, g.Share)
	}
	return text + fmt.Sprintf("\n  the worst %s times the best; by chance alone %s", f.Worst.Text(2), f.Chance.Text(2))
}

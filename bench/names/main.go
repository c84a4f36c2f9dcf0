// Command names measures the matcher of persons beside PostgreSQL's pg_trgm, on the same queries in
// the same run, and writes its part of the page docs/benchmarks.md.
//
// Everything is measured by package eval, whoever is asked: who is found, at how many false alerts,
// how fast. It is no test: nothing fails because a figure is bad, and no figure is written by hand.
// What is measured on real lists stands in the page as figures only.
//
// One flow: the data are read, or invented where there are none; a PostgreSQL of its own starts in a
// temporary folder; quality (both find the same persons in the same list), transliteration, speed (in
// turn) up to a million names, the regions of the world; then the part is written whole.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/entente-mesh/entente/bench/page"
	"github.com/entente-mesh/entente/node/match/eval"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	o := options{progress: os.Stderr}
	flag.StringVar(&o.out, "out", filepath.Join("docs", "benchmarks.md"), "the page whose part Names is written")
	flag.BoolVar(&o.quick, "quick", false, "a smoke run of a few seconds: it shows that everything runs, and its figures say nothing")
	flag.BoolVar(&o.alone, "alone", false, "leave PostgreSQL out")
	flag.StringVar(&o.misses, "misses", "", "a folder that the transliterations that were missed are written to, for whoever works on the tables")
	flag.StringVar(&o.data, "data", os.Getenv("ENTENTE_DATA"), "the folder of labelled data (default: ENTENTE_DATA, else ../shared/data)")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: go run ./bench/names [flags], in the root of the repository\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if o.data == "" {
		o.data = filepath.Join("..", "shared", "data")
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-names:", err)
		os.Exit(1)
	}
}

// options are what a run is told.
type options struct {
	out, data, misses string
	quick, alone      bool
	progress          io.Writer
}

// scale is how much is measured. The counts are fixed: a run on a slow machine takes longer and
// measures the same.
type scale struct {
	innocents  int // of the labelled data
	invented   int // persons, where there are no labelled data
	travellers int // of each region, for the recall beside them
	stopped    int // names of travellers of each region, at most, for the false alerts
	million    int // names of the set union, and of the largest list for speed
	small      int // the lists for speed
	middle     int
	speed      int // queries in a turn
	turns      int
	words      int // transliterations asked of each file
	among      int // the list that they are sought in
}

func scaleOf(quick bool) scale {
	if quick {
		return scale{innocents: 200, invented: 150, travellers: 20, stopped: 200, million: 2_000, small: 600, middle: 900, speed: 100, turns: 2, words: 20, among: 300}
	}
	return scale{innocents: 20_000, invented: 3_000, travellers: 20_000, stopped: 1_000_000, million: 1_000_000, small: 10_000, middle: 60_000,
		speed: 2_000, turns: 3, words: 2_000, among: 20_000}
}

// bench is one run.
type bench struct {
	options
	scale
	data   labelled
	peer   *postgres // nil: there is none, because of without
	reason string    // why there is none
	report report
}

func run(ctx context.Context, o options) (err error) {
	b := &bench{options: o, scale: scaleOf(o.quick)}
	b.report.run = page.Begin(time.Now())
	if b.data, err = b.read(); err != nil {
		return err
	}
	if err := b.start(ctx); err != nil {
		return err
	}
	if b.peer != nil {
		defer func() { err = errors.Join(err, b.peer.close()) }()
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"who is found among the persons of the list", b.quality},
		{"transliteration", b.transliteration},
		{"speed", b.speeds},
		{"region by region", func() error { return b.regions(ctx) }},
	} {
		b.say("%s", step.what)
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	b.report.run.End(time.Now())
	if err := page.Write(o.out, page.Names, b.markdown()); err != nil {
		return err
	}
	b.say("%s is written, after %s", o.out, time.Since(b.report.run.Began).Round(time.Second))
	return nil
}

// start starts PostgreSQL, or says why there is none. Only a server that is there and fails is an error.
func (b *bench) start(ctx context.Context) error {
	if b.alone {
		b.reason = "it was left out (-alone)"
		return nil
	}
	bin := findPostgres()
	if bin == "" {
		b.reason = "it is not installed here (Debian: apt-get install postgresql)"
		b.say("PostgreSQL is not measured: %s", b.reason)
		return nil
	}
	var err error
	b.peer, err = startPostgres(ctx, bin)
	if errors.Is(err, errNoUser) {
		b.reason = err.Error()
		b.say("PostgreSQL is not measured: %s", b.reason)
		return nil
	}
	return err
}

// say tells whoever waits how far it is.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "bench-names: "+format+"\n", args...)
}

// evidences are what may be known of a traveller, and how that is told.
var evidences = []struct {
	of   eval.Evidence
	name string
}{
	{eval.NameOnly, "name only"}, {eval.NameAndBirth, "name and birth date"}, {eval.All, "name, birth date, nationality and sex"},
}

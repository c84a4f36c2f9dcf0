// Command bench measures the house against the budgets of its design and writes its part of the
// page docs/benchmarks.md.
//
// Every figure stands beside a yardstick that was measured in the same run and in turn with it,
// so that a slow machine, or a busy one, slows both: what is judged is a ratio wherever that is
// possible. It is no test: nothing fails because a figure is bad, and no figure is written by
// hand. What it measures are real nodes, made by node.Init and spoken to over their listeners.
//
// One flow: five bureaus are made in a temporary folder and form a federation; then, row by row,
// warm up, measure work and yardstick in turn for a fixed number of rounds, note the row; then
// the part is written whole.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/entente-mesh/entente/bench/page"
	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/audit"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	audit.LogTessera(slog.New(slog.DiscardHandler))
	node.TuneProcess() // as entente run does
	o := options{progress: os.Stderr}
	only := flag.String("only", "", "a regular expression: only the steps whose names it fits are run, and no table is written")
	flag.StringVar(&o.out, "out", filepath.Join("docs", "benchmarks.md"), "the file that the table is written to")
	flag.BoolVar(&o.quick, "quick", false, "a smoke run of a few seconds: it shows that everything runs, and its figures say nothing")
	flag.StringVar(&o.profiles, "profile", "", "a folder that CPU profiles of a check, an ask and an import are written to as well")
	flag.StringVar(&o.data, "data", os.Getenv("ENTENTE_DATA"), "the folder of public lists (default: ENTENTE_DATA, else ../shared/data)")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: go run ./bench [flags], in the root of the repository\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if *only != "" {
		var err error
		if o.only, err = regexp.Compile(*only); err != nil {
			fmt.Fprintln(os.Stderr, "bench: -only:", err)
			os.Exit(2)
		}
	}
	if o.data == "" {
		o.data = filepath.Join("..", "shared", "data")
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what a run is told.
type options struct {
	out      string
	quick    bool
	profiles string
	data     string
	only     *regexp.Regexp // nil: every step
	progress io.Writer
}

// scale is how much is measured. The counts are fixed: a run on a slow machine takes longer and
// measures the same.
type scale struct {
	rounds     int // calls of one client, for the latencies
	turns      int // turns of many callers, for the throughput
	calls      int // calls in a turn
	asks       int // the same for asks
	documents  int
	persons    int
	importRows int
	decisions  int
}

func scaleOf(quick bool) scale {
	if quick {
		return scale{rounds: 10, turns: 1, calls: 64, asks: 64, documents: 200, persons: 200, importRows: 500, decisions: 20}
	}
	return scale{rounds: 1_000, turns: 3, calls: 10_000, asks: 2_000, documents: 10_000, persons: 10_000, importRows: 200_000, decisions: 300}
}

// bench is one run.
type bench struct {
	options
	scale
	dir     string // temporary; everything made lies below it
	mesh    *mesh
	yard    *yard
	report  report
	unheard atomic.Int64 // checks in which a bureau was not heard in time
}

// run measures everything and writes the table.
func run(ctx context.Context, o options) (err error) {
	b := &bench{options: o, scale: scaleOf(o.quick)}
	began := time.Now()
	b.report.begin(o.quick, b.scale, began)
	if b.dir, err = os.MkdirTemp("", "entente-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()

	b.say("five bureaus are made and form a federation")
	if b.mesh, err = newMesh(ctx, b.dir, false, home, spain, belg, mortal, asker); err != nil {
		return err
	}
	if b.yard, err = newYard(b.dir, b.mesh.at(home)); err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"durable records", b.durable},
		{"a check at home", b.localDocument},
		{"a check at home with a name", b.localName},
		{"an ask to one bureau", b.askOne},
		{"an ask to three bureaus", b.askThree},
		{"books on against off", b.booksCost},
		{"a withheld record against none", b.withheld},
		{"a storm", b.storm},
		{"an ask with one of three bureaus dead", b.askDead},
		{"imports", b.imports},
		{"memory", b.memory},
		{"policy", b.decisionsOfPolicy},
	} {
		if o.only != nil && !o.only.MatchString(step.what) {
			continue
		}
		b.say("%s", step.what)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	b.report.end(time.Now())
	if o.only != nil {
		return nil
	}
	if err := page.Write(o.out, page.Mesh, b.report.markdown()); err != nil {
		return err
	}
	b.say("%s is written, after %s", o.out, time.Since(began).Round(time.Second))
	return nil
}

func (b *bench) close() error {
	var errs []error
	if b.yard != nil {
		errs = append(errs, b.yard.close())
	}
	if b.mesh != nil {
		errs = append(errs, b.mesh.close())
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// say tells whoever waits how far it is.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "bench: "+format+"\n", args...)
}

// note adds a row to the table and tells it at once.
func (b *bench) note(r row) {
	b.report.rows = append(b.report.rows, r)
	b.say("  %s: %s | %s | %s | %s", r.what, r.measured, r.yardstick, r.ratio, r.met)
}

package main

import (
	"context"
	"runtime"
	"time"

	"github.com/entente-mesh/entente/node/match/eval"
)

// asker is one engine under the name that the page calls it by.
type asker struct {
	name    string
	engine  eval.Engine
	callers int
}

// trigramCallers is how many ask PostgreSQL at once, for each processor: while one waits for an
// answer, another's is worked on.
const trigramCallers = 2

// askers are the matcher with each kind of evidence, and pg_trgm asked each way, all over one list of
// so many names. What closes them is to be called.
func (b *bench) askers(names int, queries ...[]eval.Query) (all []asker, sizes []size, done func() error, err error) {
	done = func() error { return nil }
	m, took, err := eval.NewMatcher(eval.NameOnly, b.list(names))
	if err != nil {
		return nil, nil, done, err
	}
	sizes = append(sizes, size{"Entente", took.Names, took.PerName, took.Load})
	for _, e := range evidences {
		all = append(all, asker{"Entente, " + e.name, m.With(e.of), runtime.GOMAXPROCS(0)})
	}
	if b.peer == nil || names > b.middle {
		return all, sizes, done, nil
	}
	c, err := b.peer.dial()
	if err != nil {
		return nil, nil, done, err
	}
	defer c.Close()
	began := time.Now()
	n, bytes, err := fill(c, b.list(names))
	if err != nil {
		return nil, nil, done, err
	}
	sizes = append(sizes, size{"pg_trgm (both tables; bytes of the one with GIN)", n, bytes / float64(max(1, n)), time.Since(began)})
	var opened []*trigram
	done = func() error {
		var err error
		for _, t := range opened {
			if e := t.failed(); e != nil {
				err = e
			}
			if e := t.close(); e != nil {
				err = e
			}
		}
		return err
	}
	callers := trigramCallers * runtime.GOMAXPROCS(0)
	for _, w := range ways() {
		t, err := w.open(b.peer, callers, queries...)
		if err != nil {
			return nil, nil, done, err
		}
		opened = append(opened, t)
		all = append(all, asker{w.name, t, callers})
	}
	return all, sizes, done, nil
}

// quality asks everybody for the same persons of the same list, and for the same innocents.
func (b *bench) quality() (err error) {
	all, _, done, err := b.askers(0, b.data.meant, b.data.innocents)
	defer func() { err = first(err, done()) }()
	if err != nil {
		return err
	}
	for _, a := range all {
		answers, quiet := eval.Ask(a.engine, b.data.meant, a.callers), eval.Ask(a.engine, b.data.innocents, a.callers)
		f := found{a.name, eval.Results(answers, quiet)}
		b.report.quality = append(b.report.quality, f)
		b.say("  %s", f)
	}
	if len(b.data.pairs) > 0 {
		r := b.data.pairs.Measure()
		b.report.pairs = &r
	}
	return nil
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// speeds asks everybody the same queries in turn, in lists of several sizes.
func (b *bench) speeds() error {
	for _, names := range []int{b.small, b.middle, b.million} {
		if err := b.speed(names); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) speed(names int) (err error) {
	sample := b.sample(b.scale.speed)
	all, sizes, done, err := b.askers(names, sample)
	defer func() { err = first(err, done()) }()
	if err != nil {
		return err
	}
	b.report.sizes = append(b.report.sizes, sizes...)
	answers, took := make([][]eval.Answer, len(all)), make([]time.Duration, len(all))
	for turn := range b.turns + 1 {
		for i, a := range all {
			began := time.Now()
			got := eval.Ask(a.engine, sample, a.callers)
			if turn > 0 { // the first warms up
				took[i] += time.Since(began)
				answers[i] = append(answers[i], got...)
			}
		}
	}
	for i, a := range all {
		p := pace{a.name, sizes[0].names, eval.Summarise(answers[i], took[i])}
		b.report.paces = append(b.report.paces, p)
		b.say("  %d names, %s: %.0f/s, p99 %.2f ms", p.names, p.name, p.QueriesPerSecond, p.P99)
	}
	if names == b.million {
		b.union(all[len(evidences)-1])
	}
	return nil
}

// union is the officer's view: the list among a million names, everything known.
func (b *bench) union(a asker) {
	b.say("who is found among %d names", b.million)
	answers, quiet := eval.Ask(a.engine, b.data.meant, a.callers), eval.Ask(a.engine, b.data.innocents, a.callers)
	for _, set := range b.sets() {
		if r, ok := eval.Union(answers, quiet, set); ok {
			r.Set = set
			b.report.union = append(b.report.union, r)
			b.say("  %s: %s; at 0.01 %% %s", set, recalls(r), share(*r.Recall001))
		}
	}
}

// regions are the same figures with innocents of one region of the world each: what an alert costs
// there, and the false alerts at the default operating point.
func (b *bench) regions(ctx context.Context) error {
	m, size, err := eval.NewMatcher(eval.NameOnly, b.list(0))
	if err != nil {
		return err
	}
	stopped := min(b.stopped, eval.TravellersFor(size.Names))
	if err := m.Calibrate(ctx, stopped); err != nil {
		return err
	}
	callers := runtime.GOMAXPROCS(0)
	for _, e := range []eval.Evidence{eval.NameOnly, eval.All} {
		asked := m.With(e)
		answers := eval.Ask(asked, b.data.meant, callers)
		for travellers := range eval.Travellers(regionSeed, b.travellers) {
			quiet := eval.Ask(asked, travellers, callers)
			b.report.regions = append(b.report.regions, region{travellers[0].Group, e, eval.Results(answers, quiet)})
		}
		f := asked.Fairness(stopped)
		b.report.fairness = append(b.report.fairness, f)
		b.say("  false alerts, the worst region against the best: %s, by chance %s", f.Worst.Text(2), f.Chance.Text(2))
	}
	return nil
}

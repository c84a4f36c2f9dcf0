package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/entente-mesh/entente/node/journal"
)

// booksCost measures what the books cost: the same checks and asks at nodes that keep them and at
// nodes of a second federation that keep none, in turn. The gate of those decides, works and
// counts as ever, and writes nothing.
func (b *bench) booksCost(ctx context.Context) (err error) {
	if !slices.Contains(journal.Points(), syncPoint) {
		return fmt.Errorf("the journal has no point %q any more: nothing would be counted", syncPoint)
	}
	off, err := newMesh(ctx, filepath.Join(b.dir, "unbooked"), true, home, spain, asker)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, off.close()) }()
	if err := b.holdDocuments(ctx, off.at(home)); err != nil {
		return err
	}
	if err := holdOne(ctx, off.at(spain), newInventor(7)); err != nil {
		return err
	}
	checks := [2]work{documentChecks(b.mesh.at(home)), documentChecks(off.at(home))}
	asks := [2]work{b.asking(forOne, 1), b.askingIn(off, forOne, 1)}
	for _, c := range []struct {
		what  string
		works [2]work
		calls int
	}{
		{"document check at home, no hit", checks, b.calls}, {"ask to one bureau", asks, b.asks},
	} {
		rates, err := throughputs(ctx, b.turns, c.calls, c.works[:]...)
		if err != nil {
			return err
		}
		b.note(row{
			what: "Books on against off, " + c.what + ": throughput, 64 callers", measured: b.withUnheard("on: " + rates[0].String()),
			yardstick: "off: " + rates[1].String(), ratio: times(rates[0].rate / rates[1].rate),
		})
	}
	return errors.Join(
		b.syncsOf(ctx, "document check", "<= 1, shared", 1, checks[0], b.calls, b.mesh.at(home)),
		b.syncsOf(ctx, "ask to one bureau, both sides", "<= 3, shared", 3, asks[0], b.asks, b.mesh.at(asker), b.mesh.at(spain)),
	)
}

// syncPoint is the journal's point behind each of its syncs.
const syncPoint = "after-sync"

// syncsOf counts the syncs of the books for each call, of one client and of many.
func (b *bench) syncsOf(ctx context.Context, what, budget string, most float64, w work, calls int, bureaus ...*bureau) error {
	var before int64
	count := func() (n int64) {
		for _, at := range bureaus {
			n += at.syncs.Load()
		}
		return n
	}
	before = count()
	made := min(b.rounds, max(blockSize, b.rounds/10)) + b.rounds // with those that warm up
	if _, err := latencies(ctx, b.rounds, w); err != nil {
		return err
	}
	alone := float64(count()-before) / float64(made)
	before = count()
	made = max(manyCallers, calls/5) + calls
	if _, err := throughputs(ctx, 1, calls, w); err != nil {
		return err
	}
	shared := float64(count()-before) / float64(made)
	article := "a "
	if what[0] == 'a' {
		article = "an "
	}
	b.note(row{
		what: "Syncs of the books for " + article + what + ": one client, who shares them with nobody", measured: fmt.Sprintf("%.2f", alone),
		yardstick: fmt.Sprintf("64 callers, who share them: %.2f", shared), ratio: times(alone / shared), budget: budget, met: within(alone <= most+0.05 && shared <= alone),
	})
	return nil
}

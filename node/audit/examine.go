package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/entente-mesh/entente/pki/evidence"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// Examine reads everything as Verify does, of a log that nobody runs: it signs nothing, makes
// nothing good, and compares what lies there. Signer may do nothing. An error means that it could
// not look, not that it found something.
func Examine(ctx context.Context, c Config, progress func(leaves uint64)) (*auditv1.VerifyReport, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(uint64) {}
	}
	check, err := c.Journal.Check(ctx, progress)
	if err != nil {
		return nil, fmt.Errorf("audit: examine journal: %w", err)
	}
	l := &Log{config: c, origin: evidence.Origin(c.Federation, c.Bureau, c.Replica), nudge: make(chan struct{}, 1), moved: make(chan struct{})}
	v := &verification{log: l, ctx: ctx, flaws: check.Flaws, root: ranges().NewEmptyRange(0)}
	if err := l.look(ctx, v); err != nil {
		return nil, fmt.Errorf("audit: examine tree: %w", err)
	}
	if err := v.tree(progress); err != nil {
		return nil, fmt.Errorf("audit: examine tree: %w", err)
	}
	report := &auditv1.VerifyReport{
		Whole: len(v.flaws) == 0, Leaves: check.Leaves, Entries: check.Entries, Erased: check.Erased,
		Integrated: v.size, Checkpoint: l.Newest(), Flaws: v.flaws,
	}
	if len(report.GetFlaws()) > maxFlaws {
		report.Flaws = report.GetFlaws()[:maxFlaws]
	}
	return report, nil
}

// look finds out how far the tree and the newest checkpoint are, as load does, and mends nothing.
func (l *Log) look(ctx context.Context, v *verification) error {
	have := l.config.Journal.Leaves()
	last, err := l.keptCheckpoint(ctx)
	switch {
	case errors.Is(err, ErrDiverged):
		v.flaw(checkpointFile, 0, 0, "%v", err)
	case err != nil:
		return err
	case last != nil && last.Size > have:
		v.flaw(checkpointFile, 0, have, "%d leaves were signed, the journal has %d: what is missing was in the books", last.Size, have)
	case last != nil:
		l.published.Store(last)
	}
	size, _, err := readState(l.path(treeFolder))
	if err != nil { // said by what follows
		size = have
		if last != nil {
			size = min(have, last.Size)
		}
	}
	if size > have {
		v.flaw(treeFolder+"/"+stateFile, 0, have, "the tree has %d leaves, the journal %d: what is missing was in the books", size, have)
		size = have
	}
	own := ranges().NewEmptyRange(0)
	if err := l.follow(ctx, own, size); err != nil {
		if ctx.Err() != nil {
			return err
		}
		// What is wrong with the journal its own check has said; the tree is compared as far as it goes.
		v.flaw(treeFolder, 0, own.End(), "not compared from here on: the journal's leaves cannot be read")
	}
	l.ranges = own
	l.size.Store(own.End())
	return nil
}

package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

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
	report, err := examine(ctx, c, theJournal, check, progress)
	if err != nil {
		return nil, fmt.Errorf("audit: examine tree: %w", err)
	}
	return report, nil
}

// examine reads the tree, which is compared with a list of leaves: c.Journal, which a flaw calls by
// against.
func examine(ctx context.Context, c Config, against string, check Check, progress func(leaves uint64)) (*auditv1.VerifyReport, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(uint64) {}
	}
	l := &Log{config: c, origin: evidence.Origin(c.Federation, c.Bureau, c.Replica), nudge: make(chan struct{}, 1), moved: make(chan struct{})}
	v := &verification{log: l, ctx: ctx, against: against, flaws: check.Flaws, root: ranges().NewEmptyRange(0)}
	if err := l.look(ctx, v); err != nil {
		return nil, err
	}
	if err := v.tree(progress); err != nil {
		return nil, err
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
	size, _, errState := readState(l.path(treeFolder))
	last, err := l.keptCheckpoint(ctx)
	switch {
	case errors.Is(err, ErrDiverged):
		v.flaw(checkpointFile, 0, 0, "%v", err)
	case err != nil:
		return err
	case last != nil && last.Size > have:
		v.flaw(checkpointFile, 0, have, "%d leaves were signed, %s has %d: what is missing was in the books", last.Size, v.against, have)
	case last != nil:
		l.published.Store(last)
	default:
		if err := l.unsigned(v, size); err != nil {
			return err
		}
	}
	if errState != nil { // said by what follows
		size = have
		if last != nil {
			size = min(have, last.Size)
		}
	}
	if size > have {
		v.flaw(treeFolder+"/"+stateFile, 0, have, "the tree has %d leaves, %s %d: what is missing was in the books", size, v.against, have)
		size = have
	}
	own := ranges().NewEmptyRange(0)
	if err := l.follow(ctx, own, size); err != nil {
		if ctx.Err() != nil {
			return err
		}
		// What is wrong with the journal its own check has said; the tree is compared as far as it goes.
		v.flaw(treeFolder, 0, own.End(), "not compared from here on: the leaves of %s cannot be read", v.against)
	}
	l.ranges = own
	l.size.Store(own.End())
	return nil
}

// unsigned says what is wrong with a tree of so many leaves of which no checkpoint is believed.
func (l *Log) unsigned(v *verification, size uint64) error {
	there := false
	for _, name := range []string{checkpointFile, filepath.Join(treeFolder, treeCheckpoint)} {
		info, err := l.config.Files.Stat(l.path(name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case size > 0 || info.Size() > 0 && name == checkpointFile: // of an empty tree there is an unsigned copy
			there = true
			v.flaw(filepath.ToSlash(name), 0, size, "damaged, or never signed: the own signature is not under it")
		}
	}
	if !there && size > 0 {
		v.flaw(checkpointFile, 0, size, "missing: the tree has %d leaves, and no checkpoint of them is signed", size)
	}
	return nil
}

package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/signing"
)

// retry is how long Run waits after a failure: a disk that is full, a signer that is away.
const retry = time.Second

// signTimeout bounds a signature. The signer is on the own machine.
const signTimeout = 5 * time.Second

// The points at which a test may end Run as a crash would.
const (
	pointAdd    = "audit: before the tree"
	pointAdded  = "audit: in the tree"
	pointSigned = "audit: signed"
	pointKept   = "audit: checkpoint kept"
)

// errPoint marks what Config.Fail returned.
type errPoint struct{ error }

// Unwrap is for errors.Is.
func (e errPoint) Unwrap() error { return e.error }

// Run follows the journal until ctx ends: it adds new leaves to the tree and has checkpoints
// signed. What goes wrong with disk or signer is tried again, see Status. It returns
// ErrJournalLost or ErrDiverged if the signer has signed what the journal does not lead to: then
// the node must stop. It returns nil when ctx ends.
func (l *Log) Run(ctx context.Context) error {
	for {
		grown := l.config.Journal.Grown()
		begun := l.config.Now()
		err := l.round(ctx)
		var point errPoint
		switch {
		case errors.Is(err, ErrJournalLost), errors.Is(err, ErrDiverged), errors.As(err, &point):
			l.note(ctx, err)
			return fmt.Errorf("audit: %w", err)
		case ctx.Err() != nil:
			return nil
		}
		l.note(ctx, err)
		pause := l.config.Interval - l.config.Now().Sub(begun)
		if err != nil {
			pause = retry
		} else if !l.behind() {
			select {
			case <-ctx.Done():
				return nil
			case <-grown:
			case <-l.nudge:
			}
		}
		// Rounds are apart so that many commits of the journal share one.
		if !l.pause(ctx, pause) {
			return nil
		}
	}
}

func (l *Log) pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(min(d, max(l.config.Interval, retry)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// behind says whether there is something to do.
func (l *Log) behind() bool {
	p := l.published.Load()
	signed := uint64(0)
	if p != nil {
		signed = p.Size
	}
	return l.damaged.Load() || l.size.Load() < l.config.Journal.Leaves() || signed < l.size.Load()
}

// round brings the tree up to the journal, and a checkpoint up to the tree. A long way is signed in
// between, each interval.
func (l *Log) round(ctx context.Context) error {
	l.work.Lock()
	defer l.work.Unlock()
	if l.damaged.Load() {
		if err := l.rebuild(ctx, errors.New("a proof from its tiles did not hold")); err != nil {
			return err
		}
	}
	signed := l.config.Now()
	for {
		size, have := l.size.Load(), l.config.Journal.Leaves()
		if size >= have {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.step(ctx, int(min(batch, have-size))); err != nil {
			return err
		}
		if l.config.Now().Sub(signed) >= l.config.Interval {
			if err := l.publish(ctx); err != nil {
				return err
			}
			signed = l.config.Now()
		}
	}
	return l.publish(ctx)
}

// Confirm brings the tree up to the journal once, and has the signer confirm that it has signed no
// more than the journal leads to: before the node serves. It fails with ErrJournalLost or
// ErrDiverged for a journal that was restored from before what was signed; what else goes wrong, a
// disk or a signer that is away, is Run's to try again.
func (l *Log) Confirm(ctx context.Context) error {
	err := l.round(ctx)
	if errors.Is(err, ErrJournalLost) || errors.Is(err, ErrDiverged) {
		return fmt.Errorf("audit: %w", err)
	}
	l.note(ctx, err)
	return nil
}

// step adds one batch of leaves, and compares what the tree has become with what the journal makes
// of it.
func (l *Log) step(ctx context.Context, n int) error {
	if l.tree == nil { // after a failed reopening
		if err := l.reopen(ctx, errors.New("the tree is not open")); err != nil {
			return err
		}
	}
	leaves, err := readLeaves(l.config.Journal, l.ranges.End(), n)
	if err != nil {
		return err
	}
	if err := l.fail(pointAdd); err != nil {
		return err
	}
	if err := l.tree.append(ctx, leaves); err != nil {
		// Nobody knows how far it came: look.
		return errors.Join(err, l.reopen(ctx, err))
	}
	for i := range leaves {
		if err := l.ranges.Append(leafHash(leaves[i][:]), nil); err != nil {
			return fmt.Errorf("tree: %w", err)
		}
	}
	there, err := l.tree.rangeAt(ctx, l.tree.size.Load())
	if err == nil && !same(there, l.ranges) {
		err = fmt.Errorf("%w: its %d leaves are not the journal's", ErrDamaged, l.tree.size.Load())
	}
	if err != nil {
		return errors.Join(err, l.rebuild(ctx, err))
	}
	l.size.Store(l.tree.size.Load())
	if p := l.published.Load(); p != nil && p.Size <= l.tree.size.Load() {
		l.wake() // after a rebuilding there may be nothing new to sign
	}
	return l.fail(pointAdded)
}

// reopen opens the tree again after a failure, and builds it again if it does not fit any more.
func (l *Log) reopen(ctx context.Context, why error) error {
	l.drop()
	there, err := exists(l.path(treeFolder))
	if err != nil {
		return err
	}
	if !there {
		return l.rebuild(ctx, why)
	}
	err = l.resume(ctx)
	if errors.Is(err, ErrDamaged) {
		return l.rebuild(ctx, err)
	}
	return err
}

// publish has the tree's state signed, if it has grown since, keeps the note and gives it out.
func (l *Log) publish(ctx context.Context) error {
	size, last := l.ranges.End(), l.published.Load()
	if size == 0 || last != nil && last.Size >= size {
		return nil
	}
	from := uint64(0)
	if last != nil {
		from = last.Size
	}
	note, err := l.sign(ctx, from, size)
	var refused *signing.NotFollowingError
	if errors.As(err, &refused) {
		// A crash between signing and keeping leaves the signer ahead of what is kept here.
		note, err = l.settle(ctx, refused, size)
	}
	if err != nil || note == nil {
		return err
	}
	c, err := l.verify(note)
	if err != nil {
		return fmt.Errorf("the signer's checkpoint: %w", err)
	}
	if c.Size != size || c.Root != rootOf(l.ranges) {
		return fmt.Errorf("the signer's checkpoint is of %d leaves, %d were to be signed", c.Size, size)
	}
	if err := l.fail(pointSigned); err != nil {
		return err
	}
	// Kept before it is given out: who has seen it must never see an older one again.
	if err := disk.Replace(l.config.Files, l.path(checkpointFile), note, privateFile); err != nil {
		return fmt.Errorf("keep checkpoint: %w", err)
	}
	if err := l.tree.copyCheckpoint(note); err != nil {
		l.config.Logger.WarnContext(ctx, "the copy of the checkpoint beside the tiles is not written", slog.String("error", err.Error()))
	}
	if err := l.fail(pointKept); err != nil {
		return err
	}
	l.published.Store(&published{note: note, Checkpoint: c, at: l.config.Now()})
	l.wake()
	return nil
}

// wake lets those look again who wait for the tree or for a checkpoint.
func (l *Log) wake() {
	l.notes.Lock()
	defer l.notes.Unlock()
	close(l.moved)
	l.moved = make(chan struct{})
}

// sign asks the signer, with the proof from the size that it is taken to have signed last; 0: none.
func (l *Log) sign(ctx context.Context, from, size uint64) ([]byte, error) {
	var path [][]byte
	if from > 0 && from < size {
		builder, err := l.tree.proofs(ctx, size)
		if err == nil {
			path, err = builder.ConsistencyProof(ctx, from, size)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: proof from %d to %d leaves: %w", ErrDamaged, from, size, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	root := rootOf(l.ranges)
	note, err := l.config.Signer.Checkpoint(ctx, l.config.Replica, size, root[:], path)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return note, nil
}

// settle answers a signer that has signed another size last than was taken. It returns nil if the
// tree is on its way to that size.
func (l *Log) settle(ctx context.Context, refused *signing.NotFollowingError, size uint64) ([]byte, error) {
	switch have := l.config.Journal.Leaves(); {
	case refused.Last > have:
		return nil, fmt.Errorf("%w: it has %d, and the signer has signed %d: restore the journal whole, an older copy cannot go on", ErrJournalLost, have, refused.Last)
	case refused.Last > size:
		return nil, nil
	case refused.Last == size:
		return nil, fmt.Errorf("%w: the signer has signed another root of %d leaves", ErrDiverged, refused.Last)
	}
	note, err := l.sign(ctx, refused.Last, size)
	var again *signing.NotFollowingError
	if errors.As(err, &again) {
		if l.provable(ctx, again.Last, size) {
			return nil, fmt.Errorf("%w: the %d leaves that the signer has signed are not its beginning", ErrDiverged, again.Last)
		}
		l.damaged.Store(true)
	}
	return note, err
}

// provable says whether the tree's own proof from a size holds: if not, the tiles are damaged, and
// nothing is said about the journal.
func (l *Log) provable(ctx context.Context, from, size uint64) bool {
	if from == 0 || from >= size {
		return true
	}
	before, err := l.tree.rangeAt(ctx, from)
	if err != nil {
		return false
	}
	builder, err := l.tree.proofs(ctx, size)
	if err != nil {
		return false
	}
	path, err := builder.ConsistencyProof(ctx, from, size)
	if err != nil {
		return false
	}
	older := evidence.Checkpoint{Origin: l.origin, Size: from, Root: rootOf(before)}
	newer := evidence.Checkpoint{Origin: l.origin, Size: size, Root: rootOf(l.ranges)}
	return evidence.VerifyConsistency(older, newer, path) == nil
}

func (l *Log) fail(point string) error {
	if err := l.config.Fail(point); err != nil {
		return errPoint{err}
	}
	return nil
}

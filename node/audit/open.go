package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/pki/evidence"
)

// load finds what the last run left: the checkpoint signed last, and the tree. What is wrong with
// the tree is made good from the journal; what is wrong with the journal ends it.
func (l *Log) load(ctx context.Context) error {
	last, err := l.keptCheckpoint(ctx)
	if err != nil {
		return err
	}
	if last != nil {
		if have := l.config.Journal.Leaves(); have < last.Size {
			return fmt.Errorf("%w: it has %d, and %d were signed: restore the journal whole, an older copy cannot go on", ErrJournalLost, have, last.Size)
		}
		l.published.Store(last)
	}
	dir := l.path(treeFolder)
	there, err := exists(dir)
	if err != nil {
		return err
	}
	if !there {
		if last != nil {
			return l.rebuild(ctx, errors.New("the tree is missing"))
		}
		return l.fresh(ctx)
	}
	err = l.resume(ctx)
	if errors.Is(err, ErrDamaged) {
		return l.rebuild(ctx, err)
	}
	return err
}

// keptCheckpoint returns the newest of the kept checkpoint and its copy beside the tiles that the
// own bureau signed; nil if there is none.
func (l *Log) keptCheckpoint(ctx context.Context) (*published, error) {
	var newest *published
	for _, name := range []string{checkpointFile, filepath.Join(treeFolder, treeCheckpoint)} {
		raw, err := l.readKept(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		c, err := l.verify(raw)
		if err != nil {
			if name == checkpointFile {
				// The signer knows what it signed last, and says so when it is asked for the next.
				l.config.Logger.WarnContext(ctx, "the audit log's kept checkpoint is damaged; going on from its copy, or from what the signer remembers", slog.String("error", err.Error()))
			}
			continue
		}
		switch {
		case newest == nil || c.Size > newest.Size:
			newest = &published{note: raw, Checkpoint: c}
		case c.Size == newest.Size && c.Root != newest.Root:
			return nil, fmt.Errorf("%w: two signed checkpoints of %d leaves lie in its folder, with two roots", ErrDiverged, c.Size)
		}
	}
	return newest, nil
}

func (l *Log) readKept(name string) ([]byte, error) {
	info, err := l.config.Files.Stat(l.path(name))
	if err != nil {
		return nil, err
	}
	if info.Size() > maxKeptFile {
		return make([]byte, maxKeptFile+1), nil // no checkpoint; verify says so
	}
	return disk.ReadFile(l.config.Files, l.path(name))
}

// verify checks that the own bureau signed a checkpoint of this log.
func (l *Log) verify(signed []byte) (evidence.Checkpoint, error) {
	c, err := evidence.VerifyCheckpoint(signed, l.config.Federation, l.config.Bureau, l.config.LogKeys())
	if err == nil && c.Origin != l.origin {
		err = fmt.Errorf("it is of the log %s", c.Origin)
	}
	return c, err
}

// fresh begins with an empty tree.
func (l *Log) fresh(ctx context.Context) error {
	t, err := openTree(ctx, l.path(treeFolder), l.origin)
	if err != nil {
		return err
	}
	if t.size.Load() != 0 {
		t.close()
		return fmt.Errorf("%w: a new tree has %d leaves", ErrDamaged, t.size.Load())
	}
	l.replace(t, ranges().NewEmptyRange(0))
	return nil
}

// resume takes up the tree that is there, if it fits: its newest files are the journal's, its tiles
// lead to the root that was signed, and from there the journal's own leaves lead to its root.
func (l *Log) resume(ctx context.Context) (err error) {
	t, err := openTree(ctx, l.path(treeFolder), l.origin)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	there, err := t.rangeAt(ctx, t.size.Load())
	if err != nil {
		return err
	}
	if have := l.config.Journal.Leaves(); t.size.Load() > have {
		if !t.coherent(ctx) {
			return fmt.Errorf("%w: it says it has %d leaves, and has not", ErrDamaged, t.size.Load())
		}
		return fmt.Errorf("%w: it has %d, the tree has %d: restore the journal whole, an older copy cannot go on", ErrJournalLost, have, t.size.Load())
	}
	if err := t.edge(l.config.Journal); err != nil {
		return err
	}
	own, err := l.anchor(ctx, t)
	if err != nil {
		return err
	}
	if err := l.follow(ctx, own, t.size.Load()); err != nil {
		return err
	}
	if !same(own, there) {
		return fmt.Errorf("%w: its %d leaves are not the journal's", ErrDamaged, t.size.Load())
	}
	l.replace(t, own)
	return nil
}

// anchor returns the range from which the journal's leaves are counted on: that of the checkpoint
// signed last, where the tiles lead to its root, else of nothing.
func (l *Log) anchor(ctx context.Context, t *tree) (*compact.Range, error) {
	last := l.published.Load()
	if last == nil || last.Size > t.size.Load() {
		own := ranges().NewEmptyRange(0)
		if last == nil {
			return own, nil
		}
		// The tree is behind what was signed: a lost write. The journal is not, see load.
		return own, l.leadsTo(ctx, last)
	}
	own, err := t.rangeAt(ctx, last.Size)
	if err != nil {
		return nil, err
	}
	if root := rootOf(own); root != last.Root {
		return nil, fmt.Errorf("%w: its tiles do not lead to the root of %d leaves that was signed", ErrDamaged, last.Size)
	}
	return own, nil
}

// leadsTo checks that the journal's leaves lead to a signed root.
func (l *Log) leadsTo(ctx context.Context, last *published) error {
	own := ranges().NewEmptyRange(0)
	if err := l.follow(ctx, own, last.Size); err != nil {
		return err
	}
	if rootOf(own) != last.Root {
		return fmt.Errorf("%w: its first %d leaves do not lead to the root in the checkpoint", ErrDiverged, last.Size)
	}
	return nil
}

// follow appends the journal's leaves to a range, up to a size.
func (l *Log) follow(ctx context.Context, r *compact.Range, size uint64) error {
	for r.End() < size {
		if err := ctx.Err(); err != nil {
			return err
		}
		leaves, err := readLeaves(l.config.Journal, r.End(), int(min(batch, size-r.End())))
		if err != nil {
			return err
		}
		for i := range leaves {
			if err := r.Append(leafHash(leaves[i][:]), nil); err != nil {
				return fmt.Errorf("tree: %w", err)
			}
		}
	}
	return nil
}

// rebuild puts the tree aside and begins it again. Before, the journal must lead to the root that
// was signed: else it is not the tree that is wrong.
func (l *Log) rebuild(ctx context.Context, why error) error {
	if last := l.published.Load(); last != nil {
		if err := l.leadsTo(ctx, last); err != nil {
			return err
		}
	}
	l.config.Logger.ErrorContext(ctx, "the audit log's tree is built again from the journal", slog.String("why", why.Error()), slog.String("damaged", l.path(damagedFolder)))
	l.drop()
	if there, err := exists(l.path(treeFolder)); err != nil {
		return err
	} else if there {
		if err := os.RemoveAll(l.path(damagedFolder)); err != nil {
			return err
		}
		if err := os.Rename(l.path(treeFolder), l.path(damagedFolder)); err != nil {
			return err
		}
		if err := l.config.Files.SyncDir(l.config.Dir); err != nil {
			return err
		}
	}
	l.notes.Lock()
	l.rebuilt = why.Error()
	l.notes.Unlock()
	l.damaged.Store(false)
	return l.fresh(ctx)
}

// drop lets the tree go. What is added next opens one again.
func (l *Log) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tree != nil {
		l.tree.close()
	}
	l.tree, l.ranges = nil, ranges().NewEmptyRange(0)
	l.size.Store(0)
}

// replace puts a tree in the place of the one before.
func (l *Log) replace(t *tree, own *compact.Range) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tree != nil {
		l.tree.close()
	}
	l.tree, l.ranges = t, own
	l.size.Store(t.size.Load())
}

// same says whether two ranges are of the same leaves.
func same(a, b *compact.Range) bool { return a.End() == b.End() && rootOf(a) == rootOf(b) }

// rootOf is the root of the leaves of a range that begins at 0.
func rootOf(r *compact.Range) [evidence.DigestSize]byte {
	if r.End() == 0 {
		return [evidence.DigestSize]byte(rfc6962.DefaultHasher.EmptyRoot())
	}
	root, err := r.GetRootHash(nil)
	if err != nil { // only for a range that begins elsewhere
		panic("audit: " + err.Error())
	}
	return [evidence.DigestSize]byte(root)
}

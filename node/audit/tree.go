package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/storage/posix"
	"k8s.io/klog/v2"

	"github.com/entente-mesh/entente/pki/evidence"
)

// The bounds of a round, with tessera v1.0.4 in mind.
const (
	// batch is how many leaves are added at once: 16 full bundles, 0.3 MB. A full batch is written
	// at once.
	batch = 4096
	// batchAge is how long tessera waits for a batch to fill. A smaller one has been handed over
	// long before that; if not, it is written in two parts, which is slower and no worse.
	batchAge = 25 * time.Millisecond
	// abandon is how long a write that is under way is waited for when the node stops.
	abandon = 10 * time.Second
	// outgrown is how many bundles before the last are freed of partial files when a tree is
	// opened: more than one batch can have left behind.
	outgrown = 64
)

const (
	leafHashSize   = 32
	bundleEntry    = 2 + evidence.LeafSize // C2SP tlog-tiles: a length of two bytes, and the entry
	treeCheckpoint = "checkpoint"          // C2SP tlog-tiles
)

// ranges makes compact ranges of the tree's hashes (RFC 6962, section 2.1).
func ranges() *compact.RangeFactory {
	return &compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
}

func leafHash(leaf []byte) []byte { return rfc6962.DefaultHasher.HashLeaf(leaf) }

// LogTessera sends what the tree's library has to say to a logger. It says it through a logger
// that the whole process shares: call it once, when the program starts.
func LogTessera(logger *slog.Logger) { klog.SetSlogLogger(logger) }

// tree is the tessera log on disk, in the layout of C2SP tlog-tiles. It has one user that adds, and
// many that read tiles.
//
// What of tessera is used, and what is not:
//   - A batch that fails leaves the next one to take its place, so that leaves would stand at wrong
//     indices. So one batch at a time is under way, its indices are compared, and whatever fails
//     closes the tree.
//   - Its integration trusts the tiles that it reads. So the root on disk is compared with the one
//     computed from the journal before anything is signed.
//   - Its publisher goes by the file's age, which a clock that is set back stops; signs a tree of
//     size 0, which the signer refuses; and knows the signer's key beforehand. So it is kept
//     quiet, and the log publishes itself.
//   - Its collector of outgrown partial files frees 100 bundles a run, which a busy log outruns. So
//     it is off, and they are removed here as bundles fill.
//   - It panics if it cannot open its lock file. That ends the process, which resumes.
type tree struct {
	dir    string
	cancel context.CancelFunc
	add    tessera.AddFn
	reader tessera.LogReader
	size   atomic.Uint64
}

// openTree opens a tree, or makes an empty one. Its own context lives until close: a write that is
// under way must end before its goroutines do, or its callers would wait for ever.
func openTree(ctx context.Context, dir, origin string) (*tree, error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	driver, err := posix.New(own, posix.Config{Path: dir})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("tree: %w", err)
	}
	options := tessera.NewAppendOptions().
		WithBatching(batch, batchAge).
		WithCheckpointInterval(math.MaxInt64).
		WithCheckpointRepublishInterval(0).
		WithGarbageCollectionInterval(0).
		WithCheckpointSigner(nobody{origin})
	appender, _, reader, err := tessera.NewAppender(own, driver, options)
	if err != nil {
		cancel()
		if flaw := stateFlaw(dir); flaw != nil {
			return nil, fmt.Errorf("%w: %s", ErrDamaged, flaw.GetWhat())
		}
		return nil, fmt.Errorf("tree: %w", err)
	}
	t := &tree{dir: dir, cancel: cancel, add: appender.Add, reader: reader}
	size, _, err := readState(dir)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("tree: %w", err)
	}
	t.size.Store(size)
	for i := range uint64(outgrown) {
		if full := size / layout.EntryBundleWidth; i < full {
			if err := t.forget(full - 1 - i); err != nil {
				cancel()
				return nil, err
			}
		}
	}
	return t, nil
}

// nobody is the signer that tessera insists on. It leaves the empty tree unsigned, and refuses
// everything else: checkpoints are signed through Checkpointer alone.
type nobody struct{ origin string }

func (n nobody) Name() string    { return n.origin }
func (n nobody) KeyHash() uint32 { return 0 }

func (n nobody) Sign(text []byte) ([]byte, error) {
	empty := evidence.Checkpoint{Origin: n.origin, Root: [evidence.DigestSize]byte(rfc6962.DefaultHasher.EmptyRoot())}
	if string(text) != empty.Text() {
		return nil, errors.New("the tree's library signs nothing")
	}
	return nil, nil
}

// close ends the tree's goroutines. What was added has been written.
func (t *tree) close() { t.cancel() }

// append adds leaves, and returns when they are in the tree. An error leaves open what is on disk:
// the tree must be opened again. ctx ends nothing by itself; it lets go of a write that hangs.
func (t *tree) append(ctx context.Context, leaves [][evidence.LeafSize]byte) error {
	own := context.WithoutCancel(ctx)
	futures := make([]tessera.IndexFuture, len(leaves))
	for i := range leaves {
		futures[i] = t.add(own, tessera.NewEntry(leaves[i][:]))
	}
	done := make(chan error, 1)
	first := t.size.Load()
	go func() {
		for i, f := range futures {
			at, err := f()
			if err == nil && at.Index != first+uint64(i) {
				err = fmt.Errorf("%w: leaf %d was put at index %d", ErrDamaged, first+uint64(i), at.Index)
			}
			if err != nil {
				done <- fmt.Errorf("tree: %w", err)
				return
			}
		}
		done <- nil
	}()
	select {
	case err := <-done:
		return t.grown(leaves, err)
	case <-ctx.Done():
	}
	timer := time.NewTimer(abandon)
	defer timer.Stop()
	select {
	case err := <-done:
		return t.grown(leaves, err)
	case <-timer.C:
		return fmt.Errorf("tree: a write did not end in %s: %w", abandon, ctx.Err())
	}
}

func (t *tree) grown(leaves [][evidence.LeafSize]byte, err error) error {
	if err != nil {
		return err
	}
	after := t.size.Add(uint64(len(leaves)))
	for i := (after - uint64(len(leaves))) / layout.EntryBundleWidth; i < after/layout.EntryBundleWidth; i++ {
		if err := t.forget(i); err != nil {
			return err
		}
	}
	return nil
}

// forget removes the partial files of a bundle that is full, of its tile, and of the tiles above
// that it fills. Who needs the beginning of a full one reads that.
func (t *tree) forget(bundle uint64) error {
	stale := []string{layout.EntriesPath(bundle, 0)}
	for level, i := uint64(0), bundle; ; level, i = level+1, i/layout.TileWidth {
		stale = append(stale, layout.TilePath(level, i, 0))
		if i%layout.TileWidth != layout.TileWidth-1 {
			break
		}
	}
	for _, s := range stale {
		if err := os.RemoveAll(filepath.Join(t.dir, filepath.FromSlash(s)+".p")); err != nil {
			return fmt.Errorf("tree: %w", err)
		}
	}
	return nil
}

// tile reads a tile for client, as it was in a smaller tree too: from the file of the tree as it is
// now, of which the smaller one is the beginning. A file that is outgrown meanwhile is found whole.
func (t *tree) tile(ctx context.Context, level, index uint64, partial uint8) ([]byte, error) {
	newest := layout.PartialTileSize(level, index, t.size.Load())
	if partial == 0 || width(newest) < width(partial) {
		newest = partial
	}
	raw, err := t.reader.ReadTile(ctx, level, index, newest)
	if err != nil {
		return nil, err
	}
	if want := width(partial) * leafHashSize; len(raw) > want {
		raw = raw[:want]
	}
	return raw, nil
}

// width is how many entries a file has whose partial size is p.
func width(p uint8) int {
	if p == 0 {
		return layout.TileWidth
	}
	return int(p)
}

// rangeAt reads from the tiles the compact range of the first size leaves.
func (t *tree) rangeAt(ctx context.Context, size uint64) (r *compact.Range, err error) {
	// A tile cut short makes the library's code index past its end.
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("%w: the tiles of %d leaves cannot be read: %v", ErrDamaged, size, p)
		}
	}()
	nodes, err := client.FetchRangeNodes(ctx, size, t.tile)
	if err != nil {
		return nil, fmt.Errorf("%w: the tiles of %d leaves: %w", ErrDamaged, size, err)
	}
	for _, n := range nodes {
		if len(n) != leafHashSize {
			return nil, fmt.Errorf("%w: a tile of %d leaves is cut short", ErrDamaged, size)
		}
	}
	r, err = ranges().NewRange(0, size, nodes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return r, nil
}

// proofs builds proofs in the tree of the first size leaves. It is for one caller, for one
// moment: it keeps every tile that it reads.
func (t *tree) proofs(ctx context.Context, size uint64) (*client.ProofBuilder, error) {
	return client.NewProofBuilder(ctx, size, t.tile)
}

// edge checks the files to which the next leaves are added: the newest bundle of entries, which must
// be the journal's, and the newest tile of each level. Each must be there in exactly its size. If
// not, the library would read a larger one that was left behind, and go on from its end.
func (t *tree) edge(journal Journal) error {
	size := t.size.Load()
	for level, n := uint64(0), size; n > 0; level, n = level+1, n/layout.TileWidth {
		if p := n % layout.TileWidth; p > 0 {
			name := layout.TilePath(level, n/layout.TileWidth, uint8(p))
			info, err := os.Stat(filepath.Join(t.dir, filepath.FromSlash(name)))
			if err != nil || info.Size() != int64(p)*leafHashSize {
				return fmt.Errorf("%w: %s is missing, or has another size", ErrDamaged, name)
			}
		}
	}
	if size == 0 {
		return nil
	}
	i := (size - 1) / layout.EntryBundleWidth
	first := i * layout.EntryBundleWidth
	leaves, err := readLeaves(journal, first, int(size-first))
	if err != nil {
		return err
	}
	name := layout.EntriesPath(i, layout.PartialTileSize(0, i, size))
	raw, err := os.ReadFile(filepath.Join(t.dir, filepath.FromSlash(name)))
	if err != nil || !bytes.Equal(raw, bundle(leaves)) {
		return fmt.Errorf("%w: %s is not what the journal has", ErrDamaged, name)
	}
	return nil
}

// bundle is the file of entries (C2SP tlog-tiles, "Log Entries").
func bundle(leaves [][evidence.LeafSize]byte) []byte {
	out := make([]byte, 0, len(leaves)*bundleEntry)
	for i := range leaves {
		out = append(out, 0, evidence.LeafSize)
		out = append(out, leaves[i][:]...)
	}
	return out
}

// copyCheckpoint puts the newest checkpoint beside the tiles, where readers of the layout look for
// it. It is a copy: the one that counts is kept outside the tree.
func (t *tree) copyCheckpoint(signed []byte) error {
	temporary := filepath.Join(t.dir, treeCheckpoint+".new")
	if err := os.WriteFile(temporary, signed, privateFile); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(t.dir, treeCheckpoint))
}

// exists says whether there is something in a tree's folder.
func exists(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return len(entries) > 0, err
}

// readLeaves reads exactly n leaves.
func readLeaves(journal Journal, from uint64, n int) ([][evidence.LeafSize]byte, error) {
	out := make([][evidence.LeafSize]byte, 0, n)
	for len(out) < n {
		part, err := journal.ReadLeaves(from+uint64(len(out)), n-len(out))
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		if len(part) == 0 || len(part) > n-len(out) {
			return nil, fmt.Errorf("journal: %d leaves from %d on, %d were asked for", len(part), from+uint64(len(out)), n-len(out))
		}
		out = append(out, part...)
	}
	return out, nil
}

package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"

	"github.com/entente-mesh/entente/node/disk"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// maxFlaws is how many flaws a report names.
const maxFlaws = 100

// Verify reads everything: the journal with its bodies, and the tree. Each file of the tree must be
// byte for byte what the journal's leaves make of it; the checkpoint must be signed, and of this
// tree. Flaws name the file (from the log's folder on, or the journal's), the byte and the leaf. It
// may be called while Run runs; what is written meanwhile is not looked at. An error means that it
// could not look, not that it found something.
func (l *Log) Verify(ctx context.Context, progress func(leaves uint64)) (*auditv1.VerifyReport, error) {
	if progress == nil {
		progress = func(uint64) {}
	}
	have := l.config.Journal.Leaves()
	var late error
	if have > 0 {
		_, late = l.await(ctx, have)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("audit: verify: %w", err)
	}
	check, err := l.config.Journal.Check(ctx, progress)
	if err != nil {
		return nil, fmt.Errorf("audit: verify journal: %w", err)
	}
	v := &verification{log: l, ctx: ctx, against: theJournal, flaws: check.Flaws, root: ranges().NewEmptyRange(0)}
	if late != nil {
		v.flaw(treeFolder, 0, l.size.Load(), "not in the tree, or not signed, since %s", l.config.Wait)
	}
	if err := v.tree(progress); err != nil {
		return nil, fmt.Errorf("audit: verify tree: %w", err)
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

// verification is one reading of the tree.
type verification struct {
	log *Log
	ctx context.Context
	// against is what the tree is compared with, as flaws call it.
	against string
	flaws   []*auditv1.Flaw
	size    uint64         // of the tree when the reading began
	signed  *published     // the checkpoint then
	root    *compact.Range // over the journal's leaves, for the signed root
	levels  []level        // the tiles as the journal makes them
	dir     string
}

// theJournal is what a tree is compared with, where that can be read.
const theJournal = "the journal"

// level is the newest tile of a level, as far as it is known.
type level struct {
	index uint64
	tile  []byte
}

func (v *verification) flaw(file string, offset, index uint64, what string, args ...any) {
	file = filepath.Base(v.log.config.Dir) + "/" + file
	v.flaws = append(v.flaws, &auditv1.Flaw{File: file, Offset: offset, Index: index, What: clipped(fmt.Sprintf(what, args...))})
}

func (v *verification) tree(progress func(uint64)) error {
	if err := v.begin(); err != nil {
		return err
	}
	for first := uint64(0); first < v.size; first += batch {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		leaves, err := readLeaves(v.log.config.Journal, first, int(min(batch, v.size-first)))
		if err != nil {
			// Said by the journal's own check; the tree cannot be compared with what is not there.
			v.flaw(treeFolder, 0, first, "not compared: the leaves of %s cannot be read", v.against)
			return nil
		}
		for i := 0; i < len(leaves); i += layout.EntryBundleWidth {
			at := first + uint64(i)
			entries := leaves[i:min(i+layout.EntryBundleWidth, len(leaves))]
			v.file(layout.EntriesPath(at/layout.EntryBundleWidth, 0), bundle(entries), bundleEntry, at, 1, "entry")
			for k := range entries {
				if err := v.leaf(at+uint64(k), leafHash(entries[k][:])); err != nil {
					return err
				}
			}
		}
		progress(first + uint64(len(leaves)))
	}
	// The right edge: tiles that are not full.
	for i, level := range v.levels {
		if len(level.tile) > 0 {
			v.tile(uint64(i), level.index, level.tile)
		}
	}
	return nil
}

// begin notes how far the tree is, and looks at the files that say so.
func (v *verification) begin() error {
	l := v.log
	l.work.Lock() // Run writes nothing meanwhile
	defer l.work.Unlock()
	v.dir, v.size, v.signed = l.path(treeFolder), l.size.Load(), l.published.Load()
	if flaw := stateFlaw(v.dir); flaw != nil {
		v.flaw(flaw.GetFile(), 0, v.size, "%s", flaw.GetWhat())
	} else if size, root, err := readState(v.dir); err != nil {
		return err
	} else if own := rootOf(l.ranges); size != v.size || !bytes.Equal(root, own[:]) {
		v.flaw(treeFolder+"/"+stateFile, 0, min(size, v.size), "damaged: it says %d leaves, the tree has %d, or another root", size, v.size)
	}
	if v.signed == nil {
		return nil
	}
	for _, name := range []string{checkpointFile, filepath.Join(treeFolder, treeCheckpoint)} {
		raw, err := disk.ReadFile(l.config.Files, l.path(name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			v.flaw(filepath.ToSlash(name), 0, v.signed.Size, "missing: the newest signed checkpoint")
		case err != nil:
			return err
		case !bytes.Equal(raw, v.signed.note):
			v.flaw(filepath.ToSlash(name), uint64(differs(raw, v.signed.note)), v.signed.Size, "damaged: not the checkpoint that was signed last")
		}
	}
	if _, err := l.verify(v.signed.note); err != nil {
		v.flaw(checkpointFile, 0, v.signed.Size, "the newest checkpoint's signature does not hold: %v", err)
	}
	return nil
}

// leaf takes the hash of the next leaf into the tiles and the signed root.
func (v *verification) leaf(index uint64, hash []byte) error {
	v.put(0, hash)
	if v.signed == nil || index >= v.signed.Size {
		return nil
	}
	if err := v.root.Append(hash, nil); err != nil {
		return err
	}
	if index+1 == v.signed.Size && rootOf(v.root) != v.signed.Root {
		v.flaw(checkpointFile, 0, index, "the signed root of %d leaves is not that of %s: a leaf was changed, dropped or moved", v.signed.Size, v.against)
	}
	return nil
}

// put takes a hash into a level. A full tile is compared, and its root goes into the level above.
func (v *verification) put(l int, hash []byte) {
	if l == len(v.levels) {
		v.levels = append(v.levels, level{})
	}
	at := &v.levels[l]
	at.tile = append(at.tile, hash...)
	if len(at.tile) < layout.TileWidth*leafHashSize {
		return
	}
	v.tile(uint64(l), at.index, at.tile)
	root := tileRoot(at.tile)
	at.index, at.tile = at.index+1, at.tile[:0]
	v.put(l+1, root)
}

// tileRoot is the root over the hashes of a full tile.
func tileRoot(tile []byte) []byte {
	nodes := make([][]byte, 0, layout.TileWidth)
	for i := 0; i < len(tile); i += leafHashSize {
		nodes = append(nodes, tile[i:i+leafHashSize])
	}
	for len(nodes) > 1 {
		for i := range len(nodes) / 2 {
			nodes[i] = rfc6962.DefaultHasher.HashChildren(nodes[2*i], nodes[2*i+1])
		}
		nodes = nodes[:len(nodes)/2]
	}
	return nodes[0]
}

func (v *verification) tile(l, index uint64, tile []byte) {
	// A hash of level l stands for 256^l leaves.
	per := uint64(1) << (layout.TileHeight * l)
	v.file(layout.TilePath(l, index, 0), tile, leafHashSize, index*layout.TileWidth*per, per, "hash")
}

// file compares one file of the tree, and what partial files of it there are, with what must be in
// it: entries of one size, of which each stands for so many leaves from the first on.
func (v *verification) file(name string, want []byte, size int, first, per uint64, kind string) {
	full := len(want) == layout.TileWidth*size
	names := map[string][]byte{}
	partials, err := os.ReadDir(filepath.Join(v.dir, filepath.FromSlash(name+".p")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.flaw(treeFolder+"/"+name+".p", 0, first, "cannot be read: %v", errors.Unwrap(err))
	}
	for _, p := range partials {
		// What is not a number is what a write left behind that a crash cut off.
		if n, err := strconv.Atoi(p.Name()); err == nil && n > 0 && n*size <= len(want) {
			names[name+".p/"+p.Name()] = want[:n*size]
		}
	}
	if _, err := os.Stat(filepath.Join(v.dir, filepath.FromSlash(name))); full || err == nil {
		names[name] = want
	} else if part := name + ".p/" + strconv.Itoa(len(want)/size); names[part] == nil {
		names[part] = want
	}
	for _, at := range sortedNames(names) {
		v.compare(at, names[at], size, first, per, kind, at == name && !full)
	}
}

// compare compares a file with what must be in it; longer says that it may go on.
func (v *verification) compare(name string, want []byte, size int, first, per uint64, kind string, longer bool) {
	got, err := os.ReadFile(filepath.Join(v.dir, filepath.FromSlash(name)))
	if whole, _, part := strings.Cut(name, ".p/"); part && errors.Is(err, fs.ErrNotExist) {
		// It may have been filled, and its beginnings removed, since this reading began.
		if got, err = os.ReadFile(filepath.Join(v.dir, filepath.FromSlash(whole))); err == nil {
			name, longer = whole, true
		}
	}
	file := treeFolder + "/" + name
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.flaw(file, 0, first, "missing")
		return
	case err != nil:
		v.flaw(file, 0, first, "cannot be read: %v", errors.Unwrap(err))
		return
	}
	if longer && len(got) > len(want) {
		got = got[:len(want)]
	}
	if bytes.Equal(got, want) {
		return
	}
	at := differs(got, want)
	index := first + uint64(min(at, len(want)-1)/size)*per
	if at == len(got) && len(got) < len(want) {
		v.flaw(file, uint64(at), index, "cut off: %d bytes, %d are expected", len(got), len(want))
		return
	}
	begins := at / size * size
	if i := stands(got, want, begins, size); i >= 0 {
		v.flaw(file, uint64(begins), index, "reordered: the %s of leaf %d stands here", kind, first+uint64(i)*per)
		return
	}
	v.flaw(file, uint64(at), index, "damaged: the %s is not what %s has", kind, v.against)
}

// stands says which of the entries that a file must have, by its place, stands at an offset of one that
// differs there; -1 if none does.
func stands(got, want []byte, offset, size int) int {
	if len(got) < offset+size {
		return -1
	}
	for i := 0; (i+1)*size <= len(want); i++ {
		if bytes.Equal(want[i*size:(i+1)*size], got[offset:offset+size]) {
			return i
		}
	}
	return -1
}

// differs is the offset of the first byte in which two files differ.
func differs(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// sortedNames is the order of the report: the whole file, then its beginnings.
func sortedNames(m map[string][]byte) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(m[b]), len(m[a])), cmp.Compare(a, b))
	})
}

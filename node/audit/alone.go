package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/entente-mesh/entente/pki/evidence"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// ExamineAlone reads a log whose journal cannot be read, and compares its parts with each other: the
// list of its leaves, the hashes over them, and the newest checkpoint that was signed and shown to the
// others. It finds what is wrong in the log, and cannot find what is wrong in the journal: the
// report counts nothing of that, and is never whole. Journal may be nil, and Signer do nothing.
func ExamineAlone(ctx context.Context, c Config, progress func(leaves uint64)) (*auditv1.VerifyReport, error) {
	list, err := listed(filepath.Join(c.Dir, treeFolder))
	if err != nil {
		return nil, fmt.Errorf("audit: examine the log by itself: %w", err)
	}
	c.Journal = list
	report, err := examine(ctx, c, "the log's list of leaves", Check{}, progress)
	if err != nil {
		return nil, fmt.Errorf("audit: examine the log by itself: %w", err)
	}
	report.Whole = false
	if flaw := list.ends(c.Dir); flaw != nil {
		report.Flaws = append([]*auditv1.Flaw{flaw}, report.GetFlaws()[:min(len(report.GetFlaws()), maxFlaws-1)]...)
	}
	return report, nil
}

// list is the leaves as the tree's own files have them, in the place of the journal's. Of a Journal it
// has what reading a tree needs.
type list struct {
	Journal
	dir  string
	size uint64
}

// listed finds how many leaves a tree's files list, from the first to the first that is missing.
func listed(dir string) (*list, error) {
	l := &list{dir: dir}
	for i := uint64(0); ; i++ {
		name, n, err := l.newest(i)
		if err != nil {
			return nil, err
		}
		if l.size += n; name == "" || n < layout.EntryBundleWidth {
			return l, nil
		}
	}
}

// newest is the file that has the most entries of a bundle, and how many. Empty: there is none.
func (l *list) newest(bundle uint64) (name string, entries uint64, err error) {
	whole := filepath.FromSlash(layout.EntriesPath(bundle, 0))
	names := []string{whole}
	parts, err := os.ReadDir(filepath.Join(l.dir, whole+".p"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", 0, err
	}
	for _, p := range parts {
		if n, err := strconv.ParseUint(p.Name(), 10, 8); err == nil && n > 0 {
			names = append(names, filepath.Join(whole+".p", p.Name()))
		}
	}
	for _, at := range names {
		info, err := os.Stat(filepath.Join(l.dir, at))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", 0, err
		}
		if n := min(uint64(info.Size())/bundleEntry, layout.EntryBundleWidth); name == "" || n > entries {
			name, entries = at, n
		}
	}
	return name, entries, nil
}

// ends says where the list ends before the tree does; nil, if it does not.
func (l *list) ends(dir string) *auditv1.Flaw {
	size, _, err := readState(l.dir)
	if err != nil || size <= l.size {
		return nil // what is wrong with the state is said where the tree is compared
	}
	bundle := l.size / layout.EntryBundleWidth
	name := layout.EntriesPath(bundle, layout.PartialTileSize(0, bundle, size))
	return &auditv1.Flaw{
		File: path.Join(filepath.Base(dir), treeFolder, name), Offset: l.size % layout.EntryBundleWidth * bundleEntry, Index: l.size,
		What: fmt.Sprintf("missing, or cut off: the log has %d leaves", size),
	}
}

// Leaves implements Journal.
func (l *list) Leaves() uint64 { return l.size }

// ReadLeaves implements Journal.
func (l *list) ReadLeaves(from uint64, most int) (leaves [][evidence.LeafSize]byte, err error) {
	first := from / layout.EntryBundleWidth * layout.EntryBundleWidth
	name, n, err := l.newest(from / layout.EntryBundleWidth)
	if err != nil {
		return nil, err
	}
	if from >= first+n {
		return nil, nil
	}
	raw, err := os.ReadFile(filepath.Join(l.dir, name))
	if err != nil {
		return nil, err
	}
	for entry := range slices.Chunk(raw[:min(len(raw), int(n)*bundleEntry)], bundleEntry) {
		leaves = append(leaves, [evidence.LeafSize]byte(entry[bundleEntry-evidence.LeafSize:]))
	}
	leaves = leaves[min(from-first, uint64(len(leaves))):]
	return leaves[:min(len(leaves), most)], nil
}

package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/transparency-dev/tessera/api/layout"

	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// The files in which tessera v1.0.4 keeps how far a tree is.
const (
	stateFile   = ".state/treeState"
	versionFile = ".state/version"
	treeVersion = "1"
)

// readState reads how far tessera has come: it is what the next leaves follow.
func readState(dir string) (size uint64, root []byte, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(stateFile)))
	if err != nil {
		return 0, nil, err
	}
	var state struct {
		Size *uint64 `json:"size"`
		Root []byte  `json:"root"`
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&state); err != nil || state.Size == nil || len(state.Root) != leafHashSize || d.More() {
		return 0, nil, fmt.Errorf("%w: %s cannot be read", ErrDamaged, stateFile)
	}
	return *state.Size, state.Root, nil
}

// stateFlaw says what is wrong with those files by themselves; nil if nothing is, or nothing that
// has to do with what is in them.
func stateFlaw(dir string) *auditv1.Flaw {
	if _, _, err := readState(dir); errors.Is(err, ErrDamaged) {
		return &auditv1.Flaw{File: treeFolder + "/" + stateFile, What: "damaged: tree state cannot be read"}
	} else if errors.Is(err, fs.ErrNotExist) {
		return &auditv1.Flaw{File: treeFolder + "/" + stateFile, What: "missing"}
	}
	raw, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(versionFile)))
	if errors.Is(err, fs.ErrNotExist) {
		return &auditv1.Flaw{File: treeFolder + "/" + versionFile, What: "missing"}
	}
	if err == nil && string(raw) != treeVersion {
		return &auditv1.Flaw{File: treeFolder + "/" + versionFile, What: "damaged: another version than " + treeVersion}
	}
	return nil
}

// coherent says whether a tree has what it says that it has: tiles that lead to its root, and the
// bundle of its last entries, which hash to the last tile. Then it is no damage that makes it
// longer than the journal.
func (t *tree) coherent(ctx context.Context) bool {
	_, root, err := readState(t.dir)
	if err != nil {
		return false
	}
	there, err := t.rangeAt(ctx, t.size.Load())
	if err != nil {
		return false
	}
	if got := rootOf(there); !bytes.Equal(got[:], root) {
		return false
	}
	if t.size.Load() == 0 {
		return true
	}
	i := (t.size.Load() - 1) / layout.EntryBundleWidth
	p := layout.PartialTileSize(0, i, t.size.Load())
	tile, errTile := t.tile(ctx, 0, i, p)
	entries, errEntries := t.reader.ReadEntryBundle(ctx, i, p)
	if errors.Join(errTile, errEntries) != nil || len(tile) != width(p)*leafHashSize || len(entries) < width(p)*bundleEntry {
		return false
	}
	last := width(p) - 1
	entry := entries[last*bundleEntry+2 : (last+1)*bundleEntry]
	return bytes.Equal(leafHash(entry), tile[last*leafHashSize:])
}

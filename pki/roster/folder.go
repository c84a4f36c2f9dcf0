package roster

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/entente-mesh/entente/pki/identity"
)

// The folder of a book:
//
//	pins.json                 what was pinned, what is the newest, who is distrusted
//	rosters/00000001.pem ...  the chain, one file a version
//	forks/...                 evidence of forks
//	lock                      held while writing
//
// Whoever can write to it can have the node trust another federation: it is as precious as a
// private key, and has its mode.
type folder struct{ path string }

const (
	pinsFile     = "pins.json"
	rostersDir   = "rosters"
	forksDir     = "forks"
	lockFile     = "lock"
	tempPrefix   = ".tmp-"
	rosterSuffix = ".pem"
	dirMode      = 0o700
	maxPins      = 1 << 20
	versionWidth = 8 // digits, so that files sort; larger versions are just longer
)

// pins is what makes the chain on disk the bureau's own: without it, any chain that is valid in
// itself would do, and one that was cut off at its end.
type pins struct {
	Federation identity.Federation          `json:"federation"`
	Bureau     identity.Bureau              `json:"bureau"`
	Pinned     *pin                         `json:"pinned,omitempty"`
	Newest     *pin                         `json:"newest,omitempty"`
	Distrust   map[identity.Bureau]Distrust `json:"distrust,omitempty"`
}

// pin names one roster.
type pin struct {
	Version     uint64 `json:"version"`
	Fingerprint string `json:"fingerprint"`
}

func (p pin) is(v *View) bool {
	return p.Version == v.Version() && EqualFingerprint(p.Fingerprint, v.Fingerprint())
}

func pinOf(v *View) *pin { return &pin{Version: v.Version(), Fingerprint: v.Fingerprint()} }

func (b *Book) pins(s *state) pins {
	p := pins{Federation: b.federation, Bureau: b.self, Distrust: s.distrust}
	if len(s.chain) > 0 {
		p.Pinned, p.Newest = pinOf(s.chain[0]), pinOf(s.newest())
	}
	return p
}

func encodePins(p pins) ([]byte, error) {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// load reads and verifies what is on disk. The caller holds the lock.
func (b *Book) load() (*state, error) {
	p, err := b.dir.readPins()
	if err != nil {
		return nil, err
	}
	if p.Federation != b.federation && p.Federation != "" || p.Bureau != b.self && p.Bureau != "" {
		return nil, fmt.Errorf("%w: %s belongs to %s in the federation %q, not to %s in %q", ErrTampered, b.dir.path, p.Bureau, p.Federation, b.self, b.federation)
	}
	versions, err := b.dir.versions()
	if err != nil {
		return nil, err
	}
	if p.Pinned == nil {
		// One roster without a pin is a first installation that did not come to its end:
		// whoever made it was not told that it was done. More of them were installed once.
		if p.Newest != nil || len(p.Distrust) > 0 || len(versions) > 1 {
			return nil, fmt.Errorf("%w: %s says of no roster that it was pinned, though some were installed: restore the folder, or empty it and install by fingerprint", ErrTampered, pinsFile)
		}
		return &state{}, nil
	}
	s := &state{distrust: p.Distrust}
	for i, n := range versions {
		if err := b.link(s, p, i, n); err != nil {
			return nil, err
		}
	}
	if v := s.newest(); p.Newest == nil || v == nil || v.Version() < p.Newest.Version {
		return nil, fmt.Errorf("%w: rosters are missing that were installed: restore the folder, or empty it and install by fingerprint", ErrTampered)
	}
	if v := s.version(p.Newest.Version); v == nil || !p.Newest.is(v) {
		return nil, fmt.Errorf("%w: version %d is not the one that was installed, as %s says", ErrTampered, p.Newest.Version, pinsFile)
	}
	if s.newest().Version() > p.Newest.Version {
		// A crash came between the newest roster and its mark: put the mark.
		if err := b.dir.writePins(b.pins(s)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// link verifies the file of version n and puts it at the end of the chain.
func (b *Book) link(s *state, p pins, i int, n uint64) error {
	text, err := readBounded(b.dir.rosterPath(n), maxFile)
	if err != nil {
		return err
	}
	signed, err := DecodeRoster(text)
	if err != nil {
		return fmt.Errorf("%w: version %d, %s: %w", ErrTampered, n, b.dir.rosterPath(n), err)
	}
	var v *View
	if i == 0 {
		v, err = verifyAnchor(signed, b.federation)
		if err == nil && !p.Pinned.is(v) {
			err = fmt.Errorf("%w: it is not the roster that was pinned, as %s says", ErrFingerprint, pinsFile)
		}
	} else {
		v, err = verifyLink(s.newest(), signed)
	}
	if err == nil && v.Version() != n {
		err = fmt.Errorf("the file holds version %d", v.Version())
	}
	if err != nil {
		return fmt.Errorf("%w: version %d, %s: %w", ErrTampered, n, b.dir.rosterPath(n), err)
	}
	s.chain = append(s.chain, v)
	return nil
}

var errTrailing = errors.New("something follows its end")

func (d folder) make() error {
	for _, sub := range []string{"", rostersDir, forksDir} {
		if err := os.MkdirAll(filepath.Join(d.path, sub), dirMode); err != nil {
			return err
		}
	}
	return nil
}

func (d folder) readPins() (pins, error) {
	b, err := readBounded(filepath.Join(d.path, pinsFile), maxPins)
	if errors.Is(err, fs.ErrNotExist) {
		return pins{}, nil
	}
	if err != nil {
		return pins{}, err
	}
	var p pins
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil || dec.More() {
		return pins{}, fmt.Errorf("%w: %s is not as it was written: %w", ErrTampered, pinsFile, cmp.Or(err, errTrailing))
	}
	return p, nil
}

func (d folder) writePins(p pins) error {
	b, err := encodePins(p)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(d.path, pinsFile), b)
}

func (d folder) rosterPath(version uint64) string {
	return filepath.Join(d.path, rostersDir, fmt.Sprintf("%0*d%s", versionWidth, version, rosterSuffix))
}

func (d folder) writeRoster(v *View) error {
	b, err := EncodeRoster(v.signed)
	if err != nil {
		return err
	}
	return writeFile(d.rosterPath(v.Version()), b)
}

// clear takes away what an interrupted first installation left: nothing is pinned, so no roster
// here is anybody's.
func (d folder) clear() error {
	versions, err := d.versions()
	if err != nil {
		return err
	}
	for _, n := range versions {
		if err := os.Remove(d.rosterPath(n)); err != nil {
			return err
		}
	}
	return nil
}

// versions returns the versions that have a file, in order.
func (d folder) versions() ([]uint64, error) {
	entries, err := os.ReadDir(filepath.Join(d.path, rostersDir))
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			continue // left by a crash before it had its name
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), rosterSuffix), 10, 64)
		if err != nil || d.rosterPath(n) != filepath.Join(d.path, rostersDir, e.Name()) {
			return nil, fmt.Errorf("%w: %s/%s is no roster: take it out of the folder", ErrTampered, rostersDir, e.Name())
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return out, nil
}

// keepFork writes both rosters of a fork into one file. The same rival makes the same file, so
// that it cannot fill the disk by being offered again.
func (d folder) keepFork(ours, theirs *View) error {
	a, err := EncodeRoster(ours.signed)
	if err != nil {
		return err
	}
	b, err := EncodeRoster(theirs.signed)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%0*d-%s%s", versionWidth, theirs.Version(), hex.EncodeToString([]byte(theirs.digest)[:8]), rosterSuffix)
	path := filepath.Join(d.path, forksDir, name)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return writeFile(path, append(a, b...))
}

func (d folder) forks() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(d.path, forksDir))
	if err != nil {
		return nil, fmt.Errorf("roster forks: %w", err)
	}
	found := map[string]struct{}{}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix) {
			found[filepath.Join(d.path, forksDir, e.Name())] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// writeFile puts a whole file in the place of another, or leaves the other as it was: written
// under another name, on disk before it is renamed, and the renaming on disk before it returns.
func writeFile(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix+"*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // best effort: temporary names are passed over
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a change of names durable. Windows has no such call, and needs none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func readBounded(path string, size int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only: nothing to lose
	b, err := io.ReadAll(io.LimitReader(f, size+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > size {
		return nil, fmt.Errorf("%s: over %d bytes", path, size)
	}
	return b, nil
}

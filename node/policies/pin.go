package policies

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/entente-mesh/entente/federation/policy"
)

// PinRoom is the room of the durable state in which the pinned policies lie.
const PinRoom = "pins"

const pinKey = "policies"

// ErrNoPin is returned by Load when no policies were pinned yet.
var ErrNoPin = errors.New("no policies are pinned")

// ErrPinDamaged is wrapped by the errors about a pin that cannot be read.
var ErrPinDamaged = errors.New("the pinned policies are damaged")

// State is the durable state. A write is durable when it returns, and sealed by whoever keeps it.
type State interface {
	PutState(ctx context.Context, room, key string, value []byte) error
	GetState(ctx context.Context, room, key string) (value []byte, found bool, err error)
}

// Pin keeps the policies that were put in force, with their text: a node that starts over a folder
// that somebody has changed meanwhile, past who must approve a change, runs what was approved.
//
// One flow: a reload takes a Snapshot of the folder, has its version approved, saves that snapshot
// and puts it in force. At its next start the node loads the pin, finds that the folder is another
// (Differs), raises an alarm and runs the pin.
type Pin struct{ state State }

// NewPin returns the pin that lies in the state.
func NewPin(s State) *Pin { return &Pin{state: s} }

// Save pins a folder, which must load, in the place of what was pinned, and returns the version of
// its policies. It is durable when it returns. What is saved is what was read here, once: hand in
// a Snapshot, so that it is also what was approved and what is put in force.
func (p *Pin) Save(ctx context.Context, folder fs.FS) (version string, err error) {
	packed, err := pack(folder)
	if err != nil {
		return "", err
	}
	snapshot, err := unpack(packed)
	if err != nil {
		return "", err
	}
	set, err := policy.Load(snapshot)
	if err != nil {
		return "", fmt.Errorf("pin policies: %w", err)
	}
	body := append([]byte(set.Version()), packed...)
	sum := sha256.Sum256(body)
	if err := p.state.PutState(ctx, PinRoom, pinKey, slices.Concat([]byte(pinMagic), sum[:], body)); err != nil {
		return "", fmt.Errorf("pin policies: %w", err)
	}
	return set.Version(), nil
}

// Load returns the pinned folder and the version that its policies had when they were pinned. A
// later program, with another vocabulary, may give them another version. ErrNoPin if there is none.
func (p *Pin) Load(ctx context.Context) (folder fs.FS, version string, err error) {
	packed, version, err := p.load(ctx)
	if err != nil {
		return nil, "", err
	}
	folder, err = unpack(packed)
	return folder, version, err
}

// Differs tells whether a folder holds other policies than were pinned, be it by a blank. A folder
// that cannot be read is an error.
func (p *Pin) Differs(ctx context.Context, folder fs.FS) (bool, error) {
	pinned, _, err := p.load(ctx)
	if err != nil {
		return false, err
	}
	packed, err := pack(folder)
	if err != nil {
		return false, err
	}
	return !bytes.Equal(pinned, packed), nil
}

// Snapshot reads a folder's policies once and returns them as a folder that does not change any
// more.
func Snapshot(folder fs.FS) (fs.FS, error) {
	packed, err := pack(folder)
	if err != nil {
		return nil, err
	}
	return unpack(packed)
}

// A pin is the magic, the SHA-256 of what follows, the version in 64 hex digits, and a zip file of
// the policies: an operator who has to can take it apart with any tool.
const (
	pinMagic      = "entente policies pin v1\n"
	versionLength = 2 * sha256.Size
)

func (p *Pin) load(ctx context.Context) (packed []byte, version string, err error) {
	value, found, err := p.state.GetState(ctx, PinRoom, pinKey)
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("pinned policies: %w", err)
	case !found:
		return nil, "", ErrNoPin
	}
	rest, ok := bytes.CutPrefix(value, []byte(pinMagic))
	if !ok || len(rest) < sha256.Size+versionLength {
		return nil, "", fmt.Errorf("%w: not a pin", ErrPinDamaged)
	}
	digest, body := rest[:sha256.Size], rest[sha256.Size:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], digest) {
		return nil, "", fmt.Errorf("%w: its digest is another", ErrPinDamaged)
	}
	return body[versionLength:], string(body[:versionLength]), nil
}

// maxPinned bounds what is read of a folder, as policy.Load does.
const maxPinned = 16 << 20

// pack puts what policy.Load reads of a folder into a zip file: the same files are the same bytes.
func pack(folder fs.FS) ([]byte, error) {
	var names []string
	err := fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
		base := path.Base(name)
		switch {
		case err != nil:
			return err
		case base != "." && strings.HasPrefix(base, "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !entry.IsDir() && (strings.EqualFold(path.Ext(base), policy.Extension) || name == policy.CommunitiesFile):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("policy folder: %w", err)
	}
	slices.Sort(names)
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	left := int64(maxPinned)
	for _, name := range names {
		// No time and no mode, which would make the same text another pin.
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err != nil {
			return nil, fmt.Errorf("policy folder: %w", err)
		}
		n, err := copyFile(w, folder, name, left)
		if err != nil {
			return nil, fmt.Errorf("policy folder: %w", err)
		}
		if left -= n; left < 0 {
			return nil, fmt.Errorf("policy folder: more than %d bytes", maxPinned)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("policy folder: %w", err)
	}
	return packed.Bytes(), nil
}

// copyFile copies a file, one byte more than is left at the most.
func copyFile(w io.Writer, folder fs.FS, name string, left int64) (int64, error) {
	f, err := folder.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s: not a regular file", name)
	}
	return io.Copy(w, io.LimitReader(f, left+1))
}

func unpack(packed []byte) (fs.FS, error) {
	z, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPinDamaged, err)
	}
	return z, nil
}

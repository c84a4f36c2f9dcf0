// Package policies keeps a node's policy folder: it writes the policies that a bureau begins
// with, and the permits that its operator gives.
//
// What the policies say and decide is federation/policy's, which touches no file. One flow:
// `entente policy permit` makes a permit, WritePermit loads the folder with it, and only if that
// stands puts the file in its place, whole.
package policies

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/pki/identity"
)

// WriteDefaults writes the policies that a bureau begins with into its policy folder, which it
// makes. What a country has written stays: a file that exists is an error, and nothing is
// written then.
func WriteDefaults(dir string, self identity.Bureau, fed identity.Federation) error {
	files, err := policy.Defaults(self, fed)
	if err != nil {
		return err
	}
	for name := range files {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("default policies: %s exists already; move the folder's files away first", filepath.Join(dir, name))
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("default policies: %w", err)
	}
	for name, text := range files {
		if err := writeFile(dir, name, text); err != nil {
			return err
		}
	}
	return nil
}

// writeFile puts a file in its place whole or not at all: a node may reload at any moment.
func writeFile(dir, name string, text []byte) (err error) {
	// The dot keeps Load from reading the half.
	f, err := os.CreateTemp(dir, "."+name+".*")
	if err != nil {
		return fmt.Errorf("policy file: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("policy file %s: %w", name, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(text)
	// Policies are for everybody to read at the bureau; they hold no secrets.
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}

// WritePermit writes a permit into the policy folder, in the place of the one of the same
// bureau, collection and mode. The folder is loaded with the permit first: what would not load
// is not written. The node takes it up when it reloads.
func WritePermit(dir string, o policy.PermitOptions) (filename string, cedar []byte, err error) {
	filename, cedar, err = policy.Permit(o)
	if err != nil {
		return "", nil, err
	}
	if _, err := policy.Load(overlay{FS: os.DirFS(dir), name: filename, text: cedar}); err != nil {
		return "", nil, fmt.Errorf("permit: the policies would not load with it: %w", err)
	}
	return filename, cedar, writeFile(dir, filename, cedar)
}

// overlay is a folder with one file more, or another in its place.
type overlay struct {
	fs.FS
	name string
	text []byte
}

func (o overlay) Open(name string) (fs.File, error) {
	if name == o.name {
		return &memoryFile{Reader: bytes.NewReader(o.text), name: name, size: int64(len(o.text))}, nil
	}
	return o.FS.Open(name)
}

// ReadDir implements fs.ReadDirFS.
func (o overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(o.FS, name)
	if err != nil || name != "." {
		return entries, err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == o.name })
	return append(entries, fs.FileInfoToDirEntry(memoryInfo{name: o.name, size: int64(len(o.text))})), nil
}

type memoryFile struct {
	*bytes.Reader
	name string
	size int64
}

func (f *memoryFile) Stat() (fs.FileInfo, error) { return memoryInfo{name: f.name, size: f.size}, nil }
func (f *memoryFile) Close() error               { return nil }

type memoryInfo struct {
	name string
	size int64
}

func (i memoryInfo) Name() string       { return i.name }
func (i memoryInfo) Size() int64        { return i.size }
func (i memoryInfo) Mode() fs.FileMode  { return 0o644 }
func (i memoryInfo) ModTime() time.Time { return time.Time{} }
func (i memoryInfo) IsDir() bool        { return false }
func (i memoryInfo) Sys() any           { return nil }

// Package disk is the file layer under what a node must not lose: the journal and the vault.
//
// It is what those rooms need of a file system and no more, so that a test can put another one
// in its place that loses what was not synced (disktest). It is not a store: it knows no formats.
//
// One flow: the journal opens its segment through Files, writes a group of frames with one
// WriteAt, calls Sync, and only then tells its callers that they stand.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Files is a file system, as far as it is needed. Names are paths.
type Files interface {
	// OpenFile opens or makes a file, as os.OpenFile does. O_APPEND is not supported.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// ReadDir lists a folder by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Stat describes a file.
	Stat(name string) (fs.FileInfo, error)
	// MkdirAll makes a folder and those above it. The new names are durable after SyncDir of their
	// folders.
	MkdirAll(name string, perm fs.FileMode) error
	// Rename gives a file another name, in the place of one that has it. Durable after SyncDir.
	Rename(from, to string) error
	// Remove removes a file. Durable after SyncDir.
	Remove(name string) error
	// SyncDir makes the names in a folder durable.
	SyncDir(name string) error
}

// File is an open file. What was written is durable when Sync returns nil, and not before.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes durable what was written. After an error nobody knows what is on the disk: the
	// kernel may have dropped the pages, so that a second Sync succeeds without them. Do not retry.
	Sync() error
	// Truncate cuts or lengthens the file.
	Truncate(size int64) error
	// Size is the file's length in bytes.
	Size() (int64, error)
}

// OS is the operating system's file system.
func OS() Files { return system{} }

type system struct{}

type file struct{ *os.File }

// Sync implements File: the data, and of the file's own description what is needed to read it.
func (f file) Sync() error { return syncData(f.File) }

// Size implements File.
func (f file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// OpenFile implements Files.
func (system) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if flag&os.O_APPEND != 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("O_APPEND is not supported: write at an offset")}
	}
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

// ReadDir implements Files.
func (system) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// Stat implements Files.
func (system) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// MkdirAll implements Files.
func (system) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }

// Rename implements Files.
func (system) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements Files.
func (system) Remove(name string) error { return os.Remove(name) }

// SyncDir implements Files.
func (system) SyncDir(name string) error { return syncDir(name) }

// ReadFile reads a file whole.
func ReadFile(files Files, name string) (content []byte, err error) {
	f, err := files.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	content = make([]byte, size)
	n, err := f.ReadAt(content, 0)
	if err != nil && !(errors.Is(err, io.EOF) && int64(n) == size) {
		return nil, err
	}
	return content, nil
}

// Replace puts a file in its place whole or not at all, also when the power fails: it is written
// under another name, synced, renamed, and the folder is synced. One writer a name: the other name
// is always the same, so that what a crash leaves behind is overwritten by the next.
func Replace(files Files, name string, content []byte, perm fs.FileMode) (err error) {
	temporary := name + ".new"
	f, err := files.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("replace %s: %w", name, errors.Join(err, files.Remove(temporary)))
	}
	if err := files.Rename(temporary, name); err != nil {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	if err := files.SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	return nil
}

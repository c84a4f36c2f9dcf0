// Package disktest is a disk that loses what was not synced, for tests of what must not be lost.
//
// It is not a model of every disk: what was synced stays, what was not is gone after a Crash, or
// half of it is (a Crash with Torn), and a name that was made, changed or removed without SyncDir
// is as it was before. That is the worst that a file system may do.
//
// One flow: a test opens a journal over New, writes, calls Crash, opens the journal again over the
// same Lossy, and looks whether everything that was acknowledged is there.
package disktest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing/fstest"
	"time"

	"github.com/entente-mesh/entente/node/disk"
)

// Lossy is a disk in memory. It is safe for concurrent use.
type Lossy struct {
	mu      sync.Mutex
	names   map[string]*inode // as programs see them
	durable map[string]*inode // as they are after a crash
	folders map[string]bool
	epoch   int // files that were opened before the last crash are dead
	syncs   int
	fail    func(op, name string) error
}

// inode is a file's content, whatever its name.
type inode struct {
	content []byte // as programs see it
	synced  []byte // as it is after a crash
}

// New returns an empty disk.
func New() *Lossy {
	return &Lossy{names: map[string]*inode{}, durable: map[string]*inode{}, folders: map[string]bool{"/": true, ".": true}}
}

var _ disk.Files = (*Lossy)(nil)

// ErrCrashed is what files fail with that were opened before a crash.
var ErrCrashed = errors.New("disktest: the machine has crashed since this file was opened")

// FailWith has every operation ask whether it fails: op is "open", "write", "sync", "truncate",
// "rename", "remove" or "syncdir". A write that fails has written nothing; a sync that fails drops
// what was not durable, as kernels do.
func (l *Lossy) FailWith(fail func(op, name string) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = fail
}

// Syncs is how many times a file was synced.
func (l *Lossy) Syncs() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.syncs
}

// Crash drops everything that was not synced. Open files fail from now on.
func (l *Lossy) Crash() { l.crash(nil) }

// CrashTorn is a Crash in which, of what was written and not synced, any part may have reached the
// disk: single blocks of 512 bytes, at random.
func (l *Lossy) CrashTorn(random *rand.Rand) { l.crash(random) }

func (l *Lossy) crash(random *rand.Rand) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch++
	l.names = maps.Clone(l.durable)
	for _, name := range slices.Sorted(maps.Keys(l.names)) {
		node := l.names[name]
		if random != nil {
			node.synced = tear(node.synced, node.content, random)
		}
		node.content = slices.Clone(node.synced)
	}
}

const block = 512

// tear returns what is on the disk if some blocks of the new content have reached it.
func tear(before, after []byte, random *rand.Rand) []byte {
	torn := slices.Clone(before)
	for at := 0; at < len(after); at += block {
		end := min(at+block, len(after))
		if random.IntN(2) == 0 {
			continue
		}
		if len(torn) < end {
			torn = append(torn, make([]byte, end-len(torn))...)
		}
		copy(torn[at:end], after[at:end])
	}
	return torn
}

// Flip turns one bit of a file, on the disk and for who reads it.
func (l *Lossy) Flip(name string, offset int64, bit uint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	node := l.names[clean(name)]
	for _, content := range [][]byte{node.content, node.synced} {
		if offset < int64(len(content)) {
			content[offset] ^= 1 << (bit % 8)
		}
	}
}

// Bytes is a copy of a file's content; nil if there is none.
func (l *Lossy) Bytes(name string) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	node := l.names[clean(name)]
	if node == nil {
		return nil
	}
	return append([]byte{}, node.content...)
}

// Put makes a file with a content, durable.
func (l *Lossy) Put(name string, content []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	node := &inode{content: slices.Clone(content), synced: slices.Clone(content)}
	l.names[clean(name)], l.durable[clean(name)] = node, node
}

// Names are the files that there are, sorted.
func (l *Lossy) Names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.names))
}

// Copy is another disk with the same content, all of it durable.
func (l *Lossy) Copy() *Lossy {
	l.mu.Lock()
	defer l.mu.Unlock()
	other := New()
	other.folders = maps.Clone(l.folders)
	for name, node := range l.names {
		twin := &inode{content: slices.Clone(node.content), synced: slices.Clone(node.content)}
		other.names[name], other.durable[name] = twin, twin
	}
	return other
}

func clean(name string) string { return filepath.ToSlash(filepath.Clean(name)) }

func (l *Lossy) asks(op, name string) error {
	if l.fail == nil {
		return nil
	}
	if err := l.fail(op, name); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// OpenFile implements disk.Files.
func (l *Lossy) OpenFile(name string, flag int, _ fs.FileMode) (disk.File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name = clean(name)
	if err := l.asks("open", name); err != nil {
		return nil, err
	}
	node := l.names[name]
	switch {
	case node == nil && flag&os.O_CREATE == 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case node == nil && !l.folders[clean(filepath.Dir(name))]:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case node != nil && flag&os.O_EXCL != 0 && flag&os.O_CREATE != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case node == nil:
		node = &inode{}
		l.names[name] = node
	case flag&os.O_TRUNC != 0:
		node.content = nil
	}
	return &open{disk: l, node: node, name: name, epoch: l.epoch}, nil
}

// ReadDir implements disk.Files.
func (l *Lossy) ReadDir(name string) ([]fs.DirEntry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name = clean(name)
	if !l.folders[name] {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	tree := fstest.MapFS{}
	for path, node := range l.names {
		if clean(filepath.Dir(path)) == name {
			tree[filepath.Base(path)] = &fstest.MapFile{Data: node.content, Mode: 0o600}
		}
	}
	return tree.ReadDir(".")
}

// Stat implements disk.Files.
func (l *Lossy) Stat(name string) (fs.FileInfo, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name = clean(name)
	if l.folders[name] {
		return info{name: filepath.Base(name), dir: true}, nil
	}
	node := l.names[name]
	if node == nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return info{name: filepath.Base(name), size: int64(len(node.content))}, nil
}

type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o700
	}
	return 0o600
}

// MkdirAll implements disk.Files. Folders are durable at once.
func (l *Lossy) MkdirAll(name string, _ fs.FileMode) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	parts := strings.Split(clean(name), "/")
	for i := range parts {
		l.folders[clean("/"+strings.Join(parts[:i+1], "/"))] = true
		l.folders[clean(strings.Join(parts[:i+1], "/"))] = true
	}
	return nil
}

// Rename implements disk.Files.
func (l *Lossy) Rename(from, to string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	from, to = clean(from), clean(to)
	if err := l.asks("rename", from); err != nil {
		return err
	}
	node := l.names[from]
	if node == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	delete(l.names, from)
	l.names[to] = node
	return nil
}

// Remove implements disk.Files.
func (l *Lossy) Remove(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	name = clean(name)
	if err := l.asks("remove", name); err != nil {
		return err
	}
	if l.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(l.names, name)
	return nil
}

// SyncDir implements disk.Files.
func (l *Lossy) SyncDir(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	name = clean(name)
	if err := l.asks("syncdir", name); err != nil {
		return err
	}
	for path := range l.durable {
		if clean(filepath.Dir(path)) == name && l.names[path] == nil {
			delete(l.durable, path)
		}
	}
	for path, node := range l.names {
		if clean(filepath.Dir(path)) == name {
			l.durable[path] = node
		}
	}
	return nil
}

// open is an open file.
type open struct {
	disk  *Lossy
	node  *inode
	name  string
	epoch int
}

func (o *open) enter() (leave func(), err error) {
	o.disk.mu.Lock()
	if o.epoch != o.disk.epoch {
		o.disk.mu.Unlock()
		return nil, fmt.Errorf("%s: %w", o.name, ErrCrashed)
	}
	return o.disk.mu.Unlock, nil
}

// ReadAt implements disk.File.
func (o *open) ReadAt(p []byte, at int64) (int, error) {
	leave, err := o.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	if at >= int64(len(o.node.content)) {
		return 0, io.EOF
	}
	n := copy(p, o.node.content[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements disk.File.
func (o *open) WriteAt(p []byte, at int64) (int, error) {
	leave, err := o.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	if err := o.disk.asks("write", o.name); err != nil {
		return 0, err
	}
	if need := at + int64(len(p)) - int64(len(o.node.content)); need > 0 {
		o.node.content = append(o.node.content, make([]byte, need)...)
	}
	return copy(o.node.content[at:], p), nil
}

// Sync implements disk.File.
func (o *open) Sync() error {
	leave, err := o.enter()
	if err != nil {
		return err
	}
	defer leave()
	if err := o.disk.asks("sync", o.name); err != nil {
		o.node.content = slices.Clone(o.node.synced)
		return err
	}
	o.disk.syncs++
	o.node.synced = slices.Clone(o.node.content)
	return nil
}

// Truncate implements disk.File.
func (o *open) Truncate(size int64) error {
	leave, err := o.enter()
	if err != nil {
		return err
	}
	defer leave()
	if err := o.disk.asks("truncate", o.name); err != nil {
		return err
	}
	if size <= int64(len(o.node.content)) {
		o.node.content = o.node.content[:size:size]
		return nil
	}
	o.node.content = append(o.node.content, make([]byte, size-int64(len(o.node.content)))...)
	return nil
}

// Size implements disk.File.
func (o *open) Size() (int64, error) {
	leave, err := o.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	return int64(len(o.node.content)), nil
}

// Close implements disk.File.
func (o *open) Close() error { return nil }

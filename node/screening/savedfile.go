package screening

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/node/vault"
)

// The file is a head and frames. The head is plain: what the file is, under which key, and which
// saving it was. A frame is a length and a sealed text, bound to head, place, and whether it is the
// last.
const (
	savedKind   = "ENTENTE-INDEX-"
	savedMagic  = savedKind + "1\n"
	savingSize  = 16
	savedHead   = len(savedMagic) + 8 + savingSize
	savedFrame  = 1 << 20
	frameHead   = 4
	lastOfSaved = 1
)

// saving is an index that is being saved.
type saving struct {
	s    *Saved
	key  vault.Key
	head []byte
	file disk.File
	at   int64
	part uint64
	buf  []byte
}

func (s *Saved) temporary() string { return s.c.Path + ".new" }

// begin makes the key of a saving. From now on Forget destroys it.
func (s *Saved) begin() (*saving, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return nil, err
	}
	keys, err := s.keys.New(1)
	if err != nil {
		return nil, fmt.Errorf("saved index of persons: %w", errors.Join(err, s.shut()))
	}
	w := &saving{s: s, key: keys[0], buf: make([]byte, 0, savedFrame)}
	s.live = append(s.live, w.key.ID())
	w.head = binary.BigEndian.AppendUint64([]byte(savedMagic), w.key.ID())
	var id [savingSize]byte
	rand.Read(id[:]) // never fails (crypto/rand, since Go 1.24)
	w.head = append(w.head, id[:]...)
	w.file, err = s.c.Files.OpenFile(s.temporary(), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		err = w.put(w.head)
	}
	if err != nil {
		return nil, fmt.Errorf("saved index of persons: %w", errors.Join(err, w.drop()))
	}
	return w, nil
}

// id is what the saving is called.
func (w *saving) id() []byte { return w.head[len(w.head)-savingSize:] }

func (w *saving) put(b []byte) error {
	_, err := w.file.WriteAt(b, w.at)
	w.at += int64(len(b))
	return err
}

// Write implements io.Writer.
func (w *saving) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if len(w.buf) == savedFrame {
			if err := w.frame(0); err != nil {
				return 0, err
			}
		}
		part := min(len(b), savedFrame-len(w.buf))
		w.buf, b = append(w.buf, b[:part]...), b[part:]
	}
	return n, nil
}

func (w *saving) frame(last byte) error {
	sealed := w.key.Seal(w.buf, aboutFrame(w.head, w.part, last))
	w.part, w.buf = w.part+1, w.buf[:0]
	return w.put(append(binary.BigEndian.AppendUint32(nil, uint32(len(sealed))), sealed...))
}

func aboutFrame(head []byte, part uint64, last byte) []byte {
	return append(binary.BigEndian.AppendUint64(slices.Clone(head), part), last)
}

// errForgotten says that somebody was erased while the index was saved.
var errForgotten = errors.New("saved index of persons: its key was destroyed while it was written")

// end puts the file in its place. errForgotten says that it holds somebody who may not be readable
// any more, and is gone.
func (w *saving) end() error {
	err := w.frame(lastOfSaved)
	if err == nil {
		err = w.file.Sync()
	}
	s := w.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("saved index of persons: %w", errors.Join(err, w.drop()))
	}
	if !slices.Contains(s.live, w.key.ID()) {
		return errors.Join(errForgotten, w.drop())
	}
	err, w.file = w.file.Close(), nil
	if err == nil {
		err = s.c.Files.Rename(s.temporary(), s.c.Path)
	}
	if err == nil {
		err = s.c.Files.SyncDir(filepath.Dir(s.c.Path))
	}
	if err != nil {
		return fmt.Errorf("saved index of persons: %w", errors.Join(err, w.drop()))
	}
	s.whole = true
	// The one before cannot be read any more, nor what a crash has left.
	old := slices.DeleteFunc(slices.Clone(s.live), func(id uint64) bool { return id == w.key.ID() })
	if err := s.destroy(old...); err != nil {
		return err
	}
	s.live = []uint64{w.key.ID()}
	return nil
}

// abandon ends a saving that came to nothing.
func (w *saving) abandon() error {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.drop()
}

// drop is abandon for who holds the lock.
func (w *saving) drop() error {
	var errs []error
	if w.file != nil {
		errs = append(errs, w.file.Close())
		w.file = nil
	}
	if err := w.s.c.Files.Remove(w.s.temporary()); !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	if slices.Contains(w.s.live, w.key.ID()) {
		errs = append(errs, w.s.destroy(w.key.ID()))
		w.s.live = slices.DeleteFunc(w.s.live, func(id uint64) bool { return id == w.key.ID() })
	}
	return errors.Join(errs...)
}

// reading is a saved index that is being read.
type reading struct {
	key  vault.Key
	head []byte
	file disk.File
	size int64
	at   int64
	part uint64
	last bool
	left []byte // of the frame that is open

	sealed []byte
}

// The reasons for which a saved index is not read.
var (
	errSavedDamaged = errors.New("it is damaged")
	errSavedForeign = errors.New("another version of the program, or another one, has written it")
)

// read opens what is saved. fs.ErrNotExist says that nothing is.
func (s *Saved) read() (r *reading, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.c.Files.Stat(s.c.Path); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	r = &reading{head: make([]byte, savedHead)}
	if r.file, err = s.c.Files.OpenFile(s.c.Path, os.O_RDONLY, 0); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.file.Close())
			r = nil
		}
	}()
	if r.size, err = r.file.Size(); err != nil {
		return r, err
	}
	if err := r.take(r.head); err != nil {
		return r, err
	}
	if head := string(r.head[:len(savedMagic)]); head != savedMagic {
		if head[:len(savedKind)] == savedKind {
			return r, errSavedForeign
		}
		return r, errSavedDamaged
	}
	id := binary.BigEndian.Uint64(r.head[len(savedMagic):])
	if r.key, err = s.keys.Key(id); err != nil {
		return r, err
	}
	return r, nil
}

// id is what the saving was called.
func (r *reading) id() []byte { return r.head[len(r.head)-savingSize:] }

func (r *reading) take(b []byte) error {
	n, err := r.file.ReadAt(b, r.at)
	r.at += int64(n)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w at byte %d: it is cut off", errSavedDamaged, r.at)
	}
	return err
}

// Read implements io.Reader.
func (r *reading) Read(b []byte) (int, error) {
	for len(r.left) == 0 {
		if r.last {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, r.left)
	r.left = r.left[n:]
	return n, nil
}

// next opens the next frame. The last one ends with the file.
func (r *reading) next() error {
	var size [frameHead]byte
	from := r.at
	if err := r.take(size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < vault.Overhead || n > savedFrame+vault.Overhead {
		return fmt.Errorf("%w at byte %d", errSavedDamaged, from)
	}
	if uint32(cap(r.sealed)) < n {
		r.sealed = make([]byte, n)
	}
	sealed := r.sealed[:n]
	if err := r.take(sealed); err != nil {
		return err
	}
	var last byte
	if r.last = r.at == r.size; r.last {
		last = lastOfSaved
	}
	var err error
	if r.left, err = r.key.Open(sealed, aboutFrame(r.head, r.part, last)); err != nil {
		return fmt.Errorf("%w at byte %d", errSavedDamaged, from)
	}
	r.part++
	return nil
}

// end makes sure that nothing follows.
func (r *reading) end() error {
	if len(r.left) > 0 || !r.last {
		if n, err := r.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
			return errSavedDamaged
		}
	}
	return nil
}

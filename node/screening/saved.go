package screening

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/node/store"
	"github.com/entente-mesh/entente/node/vault"
)

// SavedConfig says where an index of persons is saved.
type SavedConfig struct {
	// Path is the file. Its folder must exist.
	Path string
	// Keys is the vault that holds the file's key and nothing else. It is opened when it is needed
	// first.
	Keys vault.Config
	// Version is the program's: what another one saved is not read.
	Version string
	// Files is the file layer. Optional: the operating system's.
	Files disk.Files
	// Logger is where it is told what could not be read. Optional: nowhere.
	Logger *slog.Logger
}

// Saved is the file in which the index of persons lies between two runs of a node, sealed under a
// key that is made for each saving. It is a shortcut and nothing more: what it holds is in the store,
// and whatever is wrong with it costs the time to read the store.
//
// Forget destroys the key. It is called before the key of any record is, so that nobody is readable
// here for longer than there; from then on there is no saved index until it is saved again. It is safe
// for concurrent use, by one process: the one that holds the store's lock.
type Saved struct {
	c SavedConfig

	mu    sync.Mutex // guards what follows
	keys  *vault.Vault
	live  []uint64 // keys under which something can be read
	doubt []uint64 // keys that were destroyed, perhaps: the disk failed
	whole bool     // the file lies there, under the one key that is live
}

// NewSaved opens nothing yet.
func NewSaved(c SavedConfig) *Saved {
	if c.Files == nil {
		c.Files = disk.OS()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Keys.Master = slices.Clone(c.Keys.Master)
	c.Keys.Files = c.Files
	return &Saved{c: c}
}

// Close closes the vault. Nothing is forgotten.
func (s *Saved) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.c.Keys.Master)
	return s.shut()
}

func (s *Saved) shut() error {
	if s.keys == nil {
		return nil
	}
	err := s.keys.Close()
	s.keys, s.live, s.whole = nil, nil, false
	return err
}

// Whole tells whether an index is saved that can be read.
func (s *Saved) Whole() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole
}

// Forget makes what is saved unreadable, for good when it returns, and what is being saved as well.
func (s *Saved) Forget() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		if _, err := s.c.Files.Stat(s.c.Keys.Path); errors.Is(err, fs.ErrNotExist) && len(s.doubt) == 0 {
			return nil // without a key nothing can be read
		}
	}
	return s.forget()
}

// Guard returns the keys of records such that the saved index is forgotten before one of them is
// destroyed. So whatever ends a record, an erasure, a withdrawal, a newer version, or what a crash has
// left to be done, ends it here too, and before it is acknowledged.
func (s *Saved) Guard(keys *vault.Vault) store.Vault { return guarded{keys, s} }

type guarded struct {
	*vault.Vault
	saved *Saved
}

// Destroy implements store.Vault.
func (g guarded) Destroy(ids ...uint64) error {
	if len(ids) > 0 {
		if err := g.saved.Forget(); err != nil {
			return err
		}
	}
	return g.Vault.Destroy(ids...)
}

// forget is Forget where there may be a vault. It is called with the lock held.
func (s *Saved) forget() error {
	if err := s.open(); err != nil {
		return err
	}
	if len(s.live)+len(s.doubt) == 0 {
		return nil
	}
	s.whole = false
	if err := s.destroy(s.live...); err != nil {
		return err
	}
	s.live = nil
	_ = s.c.Files.Remove(s.c.Path) // it cannot be read any more, and the next one takes its place
	return nil
}

// destroy destroys keys, and again those of which it is in doubt whether they are. It is called with
// the lock held.
func (s *Saved) destroy(ids ...uint64) error {
	all := append(slices.Clone(ids), s.doubt...)
	if err := s.keys.Destroy(all...); err != nil {
		// A vault whose disk has failed does nothing any more: the next one opens it anew.
		s.doubt = all
		return fmt.Errorf("saved index of persons: its key is not destroyed: %w", errors.Join(err, s.shut()))
	}
	s.doubt = nil
	return nil
}

// discard is Forget of what was found to be of no use.
func (s *Saved) discard() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.forget(); err != nil {
		return err
	}
	if err := s.c.Files.Remove(s.c.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("saved index of persons: %w", err)
	}
	return nil
}

// open opens the vault, if it is not. One that is damaged holds nothing that is worth a word with
// an operator: it is made anew. It is called with the lock held.
func (s *Saved) open() error {
	if s.keys != nil {
		return nil
	}
	keys, err := vault.Open(s.c.Keys)
	if errors.Is(err, vault.ErrDamaged) || errors.Is(err, vault.ErrMaster) {
		s.c.Logger.Warn("the key of the saved index of persons is damaged: it is made anew, and the index built from the records", slog.Any("error", err))
		if err := s.wipe(); err != nil {
			return err
		}
		keys, err = vault.Open(s.c.Keys)
	}
	if err != nil {
		return fmt.Errorf("saved index of persons: %w", err)
	}
	var live []uint64
	for id, err := range keys.Live() {
		if err != nil {
			return fmt.Errorf("saved index of persons: %w", errors.Join(err, keys.Close()))
		}
		live = append(live, id)
	}
	s.keys, s.live = keys, live
	return nil
}

// wipe overwrites the vault's file and removes it: a key may lie in what is left of it.
func (s *Saved) wipe() (err error) {
	f, err := s.c.Files.OpenFile(s.c.Keys.Path, os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err == nil {
		_, err = f.WriteAt(make([]byte, size), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("saved index of persons: %w", err)
	}
	s.doubt = nil
	if err := s.c.Files.Remove(s.c.Keys.Path); err != nil {
		return err
	}
	return s.c.Files.SyncDir(filepath.Dir(s.c.Keys.Path))
}

// opened says that what was read is whole and is served: it stays.
func (s *Saved) opened(r *reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole = slices.Contains(s.live, r.key.ID())
}

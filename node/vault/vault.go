// Package vault keeps the keys under which a node's data lies at rest, so that data can be erased
// by destroying its key.
//
// It encrypts nothing of its callers' by itself and does not know what a key is for. A key lies
// in a slot of a file, wrapped by a key that is derived from the node key; the node key lies in a
// file of its own (ReadMaster), which belongs on another medium than the data. What a vault
// cannot do is to reach the copies of its file: a key is gone for good when the last backup of
// the vault has ended.
//
// One flow: the store asks New for a key, which is durable when New returns, seals a record's body
// under it and writes the body with the key's id. Years later it calls Destroy: the slot is
// overwritten and synced, and whoever holds the disk, the backup of the database and the node key
// cannot read the body any more.
package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"github.com/entente-mesh/entente/node/disk"
)

// KeySize is the size of every key: AES-256.
const KeySize = 32

// Overhead is by how much a sealed text is longer than the plain one: a nonce of 12 bytes before
// it and a tag of 16 behind it.
const Overhead = 12 + 16

// The errors that callers tell apart.
var (
	// ErrDestroyed says that the key was destroyed: what it sealed is erased.
	ErrDestroyed = errors.New("the key was destroyed")
	// ErrDamaged says that the vault or what was sealed is not what was written.
	ErrDamaged = errors.New("damaged")
	// ErrMaster says that the vault was made under another node key.
	ErrMaster = errors.New("the vault belongs to another node key")
	// ErrInUse says that another process has written to the vault since it was opened here.
	ErrInUse = errors.New("another process uses the vault: end it, and open the vault again")
	// ErrClosed says that the vault is closed.
	ErrClosed = errors.New("the vault is closed")
)

// Key seals and opens. The zero Key does neither. A Key is safe for concurrent use.
type Key struct {
	id   uint64
	aead cipher.AEAD
}

// NewSealer is a key that lies in no vault: one that was derived (Derive). Its id is 0.
func NewSealer(key []byte) (Key, error) { return newKey(0, key) }

func newKey(id uint64, key []byte) (Key, error) {
	if len(key) != KeySize {
		return Key{}, fmt.Errorf("vault: a key of %d bytes, expected %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return Key{}, err
	}
	// A random nonce of 96 bits for each text: safe for 2^32 of them under one key (NIST SP
	// 800-38D, section 8.3).
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return Key{id: id, aead: aead}, err
}

// ID is the key's id in its vault, from 1.
func (k Key) ID() uint64 { return k.id }

// Seal encrypts and authenticates a text, and authenticates what it belongs to: nonce, text, tag.
func (k Key) Seal(plain, about []byte) []byte {
	return k.aead.Seal(make([]byte, 0, len(plain)+Overhead), nil, plain, about)
}

// Open returns the text that Seal was given with the same about, or ErrDamaged.
func (k Key) Open(sealed, about []byte) ([]byte, error) {
	if k.aead == nil || len(sealed) < Overhead {
		return nil, fmt.Errorf("vault: sealed text of %d bytes: %w", len(sealed), ErrDamaged)
	}
	plain, err := k.aead.Open(nil, nil, sealed, about)
	if err != nil {
		return nil, fmt.Errorf("vault: sealed text: %w", ErrDamaged)
	}
	return plain, nil
}

// Derive derives 32 bytes from the node key for one use, which the label names (HKDF-SHA256, RFC
// 5869).
func Derive(master []byte, label string) ([]byte, error) {
	if len(master) != KeySize {
		return nil, fmt.Errorf("vault: a node key of %d bytes, expected %d", len(master), KeySize)
	}
	return hkdf.Key(sha256.New, master, nil, "entente "+label, KeySize)
}

// The file is a header and slots of one size. A slot is a state, a nonce, the wrapped key and a
// tag. The states differ in many bits, so that no flipped bit makes one of another.
const (
	magic      = "ENTENTE-VAULT-1\n"
	slotSize   = 64
	headerSize = 2 * slotSize
	live       = "LIVE"
	gone       = "gone"
	stateSize  = 4
)

// Config says which vault.
type Config struct {
	// Path is the file. Its folder must exist; the file is made if it does not.
	Path string
	// Master is the node key, 32 bytes.
	Master []byte
	// Label names the vault among those of one node key: a file cannot stand in for another.
	Label string
	// Files is the file layer. Optional: the operating system's.
	Files disk.Files
}

// Vault is an open vault. It is safe for concurrent use.
type Vault struct {
	path  string
	label string
	wrap  Key

	mu     sync.Mutex // guards what follows; reading slots needs no lock
	file   disk.File
	next   uint64 // the id of the next key
	broken error  // a sync failed: nobody knows what is on the disk
	closed bool
}

// Open opens a vault, or makes it. ErrMaster says that it was made under another node key or
// label, ErrDamaged that its header is not what was written.
func Open(c Config) (*Vault, error) {
	if c.Files == nil {
		c.Files = disk.OS()
	}
	if c.Path == "" || c.Label == "" {
		return nil, errors.New("vault: path and label: give both")
	}
	derived, err := Derive(c.Master, "vault "+c.Label)
	if err != nil {
		return nil, err
	}
	wrap, err := newKey(0, derived)
	if err != nil {
		return nil, err
	}
	f, err := c.Files.OpenFile(c.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	v := &Vault{path: c.Path, label: c.Label, wrap: wrap, file: f}
	if err := v.begin(c, header(derived)); err != nil {
		return nil, fmt.Errorf("vault %s: %w", c.Path, errors.Join(err, f.Close()))
	}
	return v, nil
}

// Path is the vault's file.
func (v *Vault) Path() string { return v.path }

// header is the beginning of the file: what it is, and a value that only who has the node key
// can make.
func header(derived []byte) []byte {
	h := make([]byte, headerSize)
	copy(h, magic)
	mac := hmac.New(sha256.New, derived)
	mac.Write([]byte(magic))
	copy(h[slotSize:], mac.Sum(nil))
	return h
}

// begin reads the header, or writes it, and finds where the next key goes.
func (v *Vault) begin(c Config, want []byte) error {
	size, err := v.file.Size()
	if err != nil {
		return err
	}
	if size < headerSize {
		// Nothing was ever kept here: the header is durable before the first key is.
		if size > 0 {
			part := make([]byte, size)
			if _, err := v.file.ReadAt(part, 0); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if !bytes.HasPrefix(want, part) && len(bytes.Trim(part, "\x00")) > 0 {
				return fmt.Errorf("%w: %d bytes, a header has %d: restore it from a backup", ErrDamaged, size, headerSize)
			}
		}
		if _, err := v.file.WriteAt(want, 0); err != nil {
			return err
		}
		if err := v.file.Sync(); err != nil {
			return err
		}
		v.next = 1
		return c.Files.SyncDir(filepath.Dir(c.Path))
	}
	have := make([]byte, headerSize)
	if _, err := v.file.ReadAt(have, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case !bytes.Equal(have[:slotSize], want[:slotSize]):
		return fmt.Errorf("%w at byte 0: the header is not a vault's: restore it from a backup", ErrDamaged)
	case !hmac.Equal(have[slotSize:], want[slotSize:]):
		return fmt.Errorf("%w, or its header is damaged at byte %d: give the key file it was made with (node_key_file)", ErrMaster, slotSize)
	}
	v.next, err = v.end(size)
	return err
}

// end is the id after the last slot that was written. Behind it lies at most what a crash left of
// keys that nobody was given: zeros, or a part of a slot.
func (v *Vault) end(size int64) (uint64, error) {
	slot := make([]byte, slotSize)
	for id := uint64(size-headerSize+slotSize-1) / slotSize; id > 0; id-- {
		clear(slot) // the last one may be a part
		if _, err := v.file.ReadAt(slot, offset(id)); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if len(bytes.Trim(slot, "\x00")) > 0 {
			return id + 1, nil
		}
	}
	return 1, nil
}

func offset(id uint64) int64 { return headerSize + int64(id-1)*slotSize }

// about is what a wrapped key is bound to: its vault and its place.
func (v *Vault) about(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte("entente vault key "+v.label+"\x00"), id)
}

// usable tells why the vault cannot be used. It is called with the lock held.
func (v *Vault) usable() error {
	if v.closed {
		return ErrClosed
	}
	return v.broken
}

// New makes n keys, which are durable when it returns: one sync for all of them.
func (v *Vault) New(n int) ([]Key, error) {
	if n < 1 {
		return nil, fmt.Errorf("vault: %d keys: ask for at least one", n)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.usable(); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	if err := v.vacant(n); err != nil {
		return nil, fmt.Errorf("vault: new keys: %w", err)
	}
	keys := make([]Key, n)
	slots := make([]byte, 0, n*slotSize)
	var secret [KeySize]byte
	for i := range keys {
		id := v.next + uint64(i)
		rand.Read(secret[:]) // never fails (crypto/rand, since Go 1.24)
		key, err := newKey(id, secret[:])
		if err != nil {
			return nil, err
		}
		keys[i] = key
		slots = append(slots, live...)
		slots = append(slots, v.wrap.Seal(secret[:], v.about(id))...)
	}
	clear(secret[:])
	if _, err := v.file.WriteAt(slots, offset(v.next)); err != nil {
		return nil, fmt.Errorf("vault: new keys: %w", errors.Join(err, v.clear(len(slots))))
	}
	if err := v.sync(); err != nil {
		return nil, fmt.Errorf("vault: new keys: %w", err)
	}
	v.next += uint64(n)
	return keys, nil
}

// clear takes back a write that failed, as a full disk fails one in its midst: what it left would
// look like another process's keys. Where nothing was written nothing is, so that it needs no room
// that is not there. It is called with the lock held.
func (v *Vault) clear(size int) error {
	end, err := v.file.Size()
	if err == nil && end > offset(v.next) {
		_, err = v.file.WriteAt(make([]byte, min(int64(size), end-offset(v.next))), offset(v.next))
	}
	if err != nil {
		v.broken = fmt.Errorf("a part of new keys could not be taken back, close the vault and open it again: %w", err)
		return v.broken
	}
	return nil
}

// vacant makes sure that no key lies where the next ones go: another process may have opened the
// same file. It is called with the lock held.
func (v *Vault) vacant(n int) error {
	place := make([]byte, n*slotSize)
	if _, err := v.file.ReadAt(place, offset(v.next)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(bytes.Trim(place, "\x00")) > 0 {
		return ErrInUse
	}
	return nil
}

// sync makes durable what was written. A sync that fails is not tried again (disk.File). It is
// called with the lock held.
func (v *Vault) sync() error {
	if err := v.file.Sync(); err != nil {
		v.broken = fmt.Errorf("the disk failed, close the vault and open it again: %w", err)
		return v.broken
	}
	return nil
}

// Key returns a key. ErrDestroyed: it was destroyed; ErrDamaged: it is not there, or not what was
// written.
func (v *Vault) Key(id uint64) (Key, error) {
	v.mu.Lock()
	err, next := v.usable(), v.next
	v.mu.Unlock()
	if err != nil {
		return Key{}, fmt.Errorf("vault: %w", err)
	}
	if id == 0 || id >= next {
		return Key{}, fmt.Errorf("vault %s: key %d of %d is missing: %w", v.path, id, next-1, ErrDamaged)
	}
	var slot [slotSize]byte
	if _, err := v.file.ReadAt(slot[:], offset(id)); errors.Is(err, io.EOF) {
		return Key{}, fmt.Errorf("vault %s: key %d, at byte %d, is cut off: %w", v.path, id, offset(id), ErrDamaged)
	} else if err != nil {
		return Key{}, fmt.Errorf("vault %s: key %d: %w", v.path, id, err)
	}
	switch state := string(slot[:stateSize]); {
	case state == gone && len(bytes.Trim(slot[stateSize:], "\x00")) == 0:
		return Key{}, fmt.Errorf("vault %s: key %d: %w", v.path, id, ErrDestroyed)
	case state != live:
		return Key{}, fmt.Errorf("vault %s: key %d, at byte %d: %w", v.path, id, offset(id), ErrDamaged)
	}
	secret, err := v.wrap.Open(slot[stateSize:], v.about(id))
	if err != nil {
		return Key{}, fmt.Errorf("vault %s: key %d, at byte %d: %w", v.path, id, offset(id), ErrDamaged)
	}
	defer clear(secret)
	return newKey(id, secret)
}

// Destroy destroys keys, for good when it returns, as far as this file is concerned. One that is
// destroyed already stays so.
func (v *Vault) Destroy(ids ...uint64) error {
	if len(ids) == 0 {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.usable(); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	var slot [slotSize]byte
	copy(slot[:], gone)
	for _, id := range ids {
		if id == 0 || id >= v.next {
			return fmt.Errorf("vault: destroy key %d of %d: there is none", id, v.next-1)
		}
		if _, err := v.file.WriteAt(slot[:], offset(id)); err != nil {
			return fmt.Errorf("vault: destroy key %d: %w", id, err)
		}
	}
	if err := v.sync(); err != nil {
		return fmt.Errorf("vault: destroy: %w", err)
	}
	return nil
}

// readAhead is how many slots Live reads at once.
const readAhead = 1024

// Live yields the ids of the keys that are not destroyed, in their order, also of those that are
// damaged: Key says so. After an error of the disk it ends.
func (v *Vault) Live() iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		v.mu.Lock()
		err, next := v.usable(), v.next
		v.mu.Unlock()
		if err != nil {
			yield(0, fmt.Errorf("vault: %w", err))
			return
		}
		slots := make([]byte, readAhead*slotSize)
		for first := uint64(1); first < next; first += readAhead {
			part := slots[:min(readAhead, next-first)*slotSize]
			clear(part)
			if _, err := v.file.ReadAt(part, offset(first)); err != nil && !errors.Is(err, io.EOF) {
				yield(0, fmt.Errorf("vault: %w", err))
				return
			}
			for i := range len(part) / slotSize {
				slot := part[i*slotSize : (i+1)*slotSize]
				if string(slot[:stateSize]) == gone && len(bytes.Trim(slot[stateSize:], "\x00")) == 0 {
					continue
				}
				if !yield(first+uint64(i), nil) {
					return
				}
			}
		}
	}
}

// Check reads every slot and says which are damaged: live ones that cannot be unwrapped.
func (v *Vault) Check(found func(id uint64, err error)) error {
	for id, err := range v.Live() {
		if err != nil {
			return err
		}
		if _, err := v.Key(id); err != nil && !errors.Is(err, ErrDestroyed) {
			found(id, err)
		}
	}
	return nil
}

// Close closes the vault.
func (v *Vault) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil
	}
	v.closed = true
	if err := v.file.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("vault: %w", err)
	}
	return nil
}

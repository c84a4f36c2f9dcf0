package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/node/disk/disktest"
	"github.com/entente-mesh/entente/node/vault"
)

const path = "/node/records.keys"

func master(b byte) []byte { return bytes.Repeat([]byte{b}, vault.KeySize) }

func newDisk(t *testing.T) *disktest.Lossy {
	t.Helper()
	d := disktest.New()
	if err := d.MkdirAll("/node", 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

func open(t *testing.T, d disk.Files) *vault.Vault {
	t.Helper()
	v, err := vault.Open(vault.Config{Path: path, Master: master(1), Label: "records", Files: d})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

func TestWhatIsSealedIsOpenedUntilTheKeyIsDestroyed(t *testing.T) {
	d := newDisk(t)
	v := open(t, d)
	keys, err := v.New(3)
	if err != nil {
		t.Fatal(err)
	}
	text, about := []byte("a warrant"), []byte("ESP/persons/7")
	sealed := keys[1].Seal(text, about)
	if len(sealed) != len(text)+vault.Overhead || bytes.Contains(sealed, text) {
		t.Errorf("sealed: %d bytes, %q", len(sealed), sealed)
	}
	d.Crash() // what New returned is durable
	v = open(t, d)
	key, err := v.Key(keys[1].ID())
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := key.Open(sealed, about); err != nil || !bytes.Equal(plain, text) {
		t.Errorf("opened %q, %v", plain, err)
	}
	for name, attempt := range map[string]func() ([]byte, error){
		"under another key":   func() ([]byte, error) { return keys[0].Open(sealed, about) },
		"as another record's": func() ([]byte, error) { return key.Open(sealed, []byte("ESP/persons/8")) },
		"with one bit flipped": func() ([]byte, error) {
			sealed[20] ^= 1
			defer func() { sealed[20] ^= 1 }()
			return key.Open(sealed, about)
		},
		"cut":       func() ([]byte, error) { return key.Open(sealed[:20], about) },
		"by no key": func() ([]byte, error) { return vault.Key{}.Open(sealed, about) },
	} {
		if plain, err := attempt(); !errors.Is(err, vault.ErrDamaged) {
			t.Errorf("%s: %q, %v", name, plain, err)
		}
	}
	if err := v.Destroy(keys[1].ID()); err != nil {
		t.Fatal(err)
	}
	d.Crash() // what was destroyed stays so
	v = open(t, d)
	if _, err := v.Key(keys[1].ID()); !errors.Is(err, vault.ErrDestroyed) {
		t.Errorf("a destroyed key: %v", err)
	}
	var ids []uint64
	for id, err := range v.Live() {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if !slices.Equal(ids, []uint64{1, 3}) {
		t.Errorf("live: %v", ids)
	}
	more, err := v.New(1)
	if err != nil || more[0].ID() != 4 {
		t.Errorf("the next key is %d, %v: an id is never given twice", more[0].ID(), err)
	}
	if err := v.Destroy(5); err == nil {
		t.Error("a key that was never made was destroyed")
	}
}

// Keys that nobody was given may be lost in a crash; what they leave behind is no damage.
func TestACrashAmongNewKeys(t *testing.T) {
	for seed := range uint64(50) {
		d := newDisk(t)
		v := open(t, d)
		keys, err := v.New(20)
		if err != nil {
			t.Fatal(err)
		}
		f, err := d.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		size, err := f.Size()
		if err != nil {
			t.Fatal(err)
		}
		// A batch that was written and never synced, torn.
		if _, err := f.WriteAt(bytes.Repeat([]byte("LIVEgarbage?"), 200), size); err != nil {
			t.Fatal(err)
		}
		d.CrashTorn(rand.New(rand.NewPCG(seed, 7)))
		v = open(t, d)
		for _, k := range keys {
			if _, err := v.Key(k.ID()); err != nil {
				t.Fatalf("seed %d: key %d: %v", seed, k.ID(), err)
			}
		}
		more, err := v.New(1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Key(more[0].ID()); err != nil {
			t.Fatalf("seed %d: a new key after the crash: %v", seed, err)
		}
	}
}

// A sync that failed is not tried again: the kernel may have dropped what it was to write.
func TestAFailedSyncEndsTheVault(t *testing.T) {
	d := newDisk(t)
	v := open(t, d)
	failing := errors.New("medium error")
	d.FailWith(func(op, _ string) error {
		if op == "sync" {
			return failing
		}
		return nil
	})
	if _, err := v.New(1); !errors.Is(err, failing) {
		t.Errorf("new: %v", err)
	}
	d.FailWith(nil)
	if _, err := v.New(1); !errors.Is(err, failing) {
		t.Errorf("new, after a sync that failed: %v", err)
	}
	if _, err := v.Key(1); !errors.Is(err, failing) {
		t.Errorf("key, after a sync that failed: %v", err)
	}
	v = open(t, d)
	if _, err := v.New(1); err != nil {
		t.Errorf("opened again: %v", err)
	}
}

// Every byte of the file matters: one flipped bit is found where it lies.
func TestEveryFlippedBitIsFound(t *testing.T) {
	d := newDisk(t)
	v := open(t, d)
	if _, err := v.New(3); err != nil {
		t.Fatal(err)
	}
	if err := v.Destroy(2); err != nil {
		t.Fatal(err)
	}
	for at := range int64(len(d.Bytes(path))) {
		for bit := range uint(8) {
			other := d.Copy()
			other.Flip(path, at, bit)
			v, err := vault.Open(vault.Config{Path: path, Master: master(1), Label: "records", Files: other})
			if err != nil {
				if !errors.Is(err, vault.ErrDamaged) && !errors.Is(err, vault.ErrMaster) {
					t.Errorf("byte %d: %v", at, err)
				}
				continue
			}
			var found []string
			if err := v.Check(func(id uint64, err error) { found = append(found, err.Error()) }); err != nil {
				t.Fatal(err)
			}
			if len(found) != 1 || !strings.Contains(found[0], "damaged") {
				t.Errorf("byte %d, bit %d: found %v", at, bit, found)
			}
		}
	}
}

// filling is a disk that is full in the midst of the writes of new keys.
type filling struct {
	disk.Files
	full *bool
}

type fillingFile struct {
	disk.File
	full *bool
}

func (f filling) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	file, err := f.Files.OpenFile(name, flag, perm)
	return fillingFile{file, f.full}, err
}

func (f fillingFile) WriteAt(p []byte, at int64) (int, error) {
	size, err := f.Size()
	if err != nil || !*f.full || at+int64(len(p)) <= size {
		return f.File.WriteAt(p, at)
	}
	n, err := f.File.WriteAt(p[:len(p)*2/3], at)
	return n, errors.Join(err, errors.New("no space left on device"))
}

// A disk that was full for a while leaves no part of keys in the way of the next ones.
func TestADiskThatWasFull(t *testing.T) {
	d, full := newDisk(t), false
	v := open(t, filling{d, &full})
	if _, err := v.New(2); err != nil {
		t.Fatal(err)
	}
	full = true
	for range 2 {
		if _, err := v.New(5); err == nil || errors.Is(err, vault.ErrInUse) {
			t.Errorf("on a full disk: %v", err)
		}
	}
	full = false
	keys, err := v.New(2)
	if err != nil || keys[0].ID() != 3 {
		t.Fatalf("once there is room: %v", err)
	}
	d.Crash()
	v = open(t, d)
	for id := range uint64(4) {
		if _, err := v.Key(id + 1); err != nil {
			t.Error(err)
		}
	}
	if err := v.Check(func(id uint64, err error) { t.Errorf("key %d: %v", id, err) }); err != nil {
		t.Error(err)
	}
}

// Two processes on one vault: the second never writes over the keys of the first.
func TestAVaultThatAnotherUses(t *testing.T) {
	d := newDisk(t)
	first, second := open(t, d), open(t, d)
	keys, err := first.New(2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.New(1); !errors.Is(err, vault.ErrInUse) {
		t.Errorf("the second process: %v", err)
	}
	if _, err := first.Key(keys[0].ID()); err != nil {
		t.Errorf("the first process's key: %v", err)
	}
}

func TestOtherFilesAreRefused(t *testing.T) {
	d := newDisk(t)
	open(t, d)
	for name, c := range map[string]vault.Config{
		"another node key": {Path: path, Master: master(2), Label: "records", Files: d},
		"another label":    {Path: path, Master: master(1), Label: "journal", Files: d},
	} {
		if _, err := vault.Open(c); !errors.Is(err, vault.ErrMaster) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.Put("/node/other", bytes.Repeat([]byte("something else "), 20))
	d.Put("/node/short", []byte("something else"))
	for _, name := range []string{"/node/other", "/node/short"} {
		if _, err := vault.Open(vault.Config{Path: name, Master: master(1), Label: "records", Files: d}); !errors.Is(err, vault.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]vault.Config{
		"no path": {Master: master(1), Label: "records"}, "no label": {Path: path, Master: master(1), Files: d},
		"short node key": {Path: path, Master: master(1)[:31], Label: "records", Files: d},
	} {
		if _, err := vault.Open(c); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestTruncationIsFound(t *testing.T) {
	d := newDisk(t)
	v := open(t, d)
	keys, err := v.New(4)
	if err != nil {
		t.Fatal(err)
	}
	whole := d.Bytes(path)
	for size := range len(whole) {
		d := newDisk(t)
		d.Put(path, whole[:size])
		v, err := vault.Open(vault.Config{Path: path, Master: master(1), Label: "records", Files: d})
		if err != nil {
			t.Errorf("%d bytes: %v", size, err) // no header yet is a vault that was never made
			continue
		}
		missing := 0
		for _, k := range keys {
			if _, err := v.Key(k.ID()); errors.Is(err, vault.ErrDamaged) {
				missing++
			}
		}
		if missing == 0 {
			t.Errorf("%d of %d bytes: every key is there", size, len(whole))
		}
	}
}

func TestNodeKey(t *testing.T) {
	name := filepath.Join(t.TempDir(), "node.key")
	if err := vault.WriteMaster(name); err != nil {
		t.Fatal(err)
	}
	key, err := vault.ReadMaster(name)
	if err != nil || len(key) != vault.KeySize {
		t.Fatalf("%d bytes, %v", len(key), err)
	}
	if err := vault.WriteMaster(name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a node key was overwritten: %v", err)
	}
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.ReadMaster(name); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a node key that everybody reads: %v", err)
	}
	for i, text := range []string{"", "entente-node-key-v1 ", "entente-node-key-v1 AAAA\n", strings.Repeat("x", 1000), "entente-node-key-v1 " + strings.Repeat("A", 43) + "\n"} {
		name := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := vault.ReadMaster(name); err == nil {
			t.Errorf("%q was taken for a node key", text)
		}
	}
	if _, err := vault.ReadMaster(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "node_key_file") {
		t.Errorf("no file: %v", err)
	}
	a, err := vault.Derive(key, "a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := vault.Derive(key, "b")
	if err != nil || bytes.Equal(a, b) || bytes.Equal(a, key) {
		t.Errorf("derived keys are not apart: %v", err)
	}
}

func BenchmarkNewKeys(b *testing.B) {
	v, err := vault.Open(vault.Config{Path: filepath.Join(b.TempDir(), "v"), Master: master(1), Label: "x"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := v.New(1000); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/key")
}

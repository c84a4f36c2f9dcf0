package screening_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/node/disk/disktest"
	"github.com/entente-mesh/entente/node/records"
	"github.com/entente-mesh/entente/node/vault"
)

// TestErasureWaitsForTheKey: as long as the saved index can be read, no erasure is acknowledged.
func TestErasureWaitsForTheKey(t *testing.T) {
	d := filled(t)
	broken := &brokenFiles{Files: disk.OS(), sync: savedKeys}
	d.files = broken
	o := d.load(t)
	if _, err := o.store.Erase(t.Context(), records.Persons, "p2"); err == nil {
		t.Error("it was acknowledged, and the key of the saved index is not known to be destroyed")
	}
	broken.sync = ""
	if _, err := o.store.Erase(t.Context(), records.Persons, "p2"); err != nil {
		t.Errorf("once the disk is well again: %v", err)
	}
	o.close()
	o = d.load(t)
	o.all(t, 2)
}

// brokenFiles fails to sync one file, and calls something before any is.
type brokenFiles struct {
	disk.Files
	sync  string
	syncs func(name string)
}

func (b *brokenFiles) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := b.Files.OpenFile(name, flag, perm)
	return brokenFile{f, b, filepath.Base(name)}, err
}

type brokenFile struct {
	disk.File
	files *brokenFiles
	name  string
}

func (b brokenFile) Sync() error {
	if b.files.syncs != nil {
		b.files.syncs(b.name)
	}
	if b.name == b.files.sync {
		return errors.New("the disk is ill")
	}
	return b.File.Sync()
}

// TestErasedWhileItIsSaved: what is under way is as good as saved.
func TestErasedWhileItIsSaved(t *testing.T) {
	d := &drawer{dir: t.TempDir(), master: 7}
	broken := &brokenFiles{Files: disk.OS()}
	d.files = broken
	o := d.load(t)
	for i := range inventedNames {
		o.put(t, inventedPerson(i))
	}
	if err := o.holdings.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	broken.syncs = func(name string) {
		if name == savedFile+".new" { // all of it is written, with who is erased now
			once.Do(func() {
				if _, err := o.store.Erase(t.Context(), records.Persons, "p2"); err != nil {
					t.Error(err)
				}
			})
		}
	}
	if err := o.holdings.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o.saved.Whole() {
		t.Error("it holds somebody who is erased, and passes for whole")
	}
	for _, name := range []string{savedFile, savedFile + ".new"} {
		if _, err := os.Stat(d.path(name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
	if err := o.holdings.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.all(t, 2)
	o.save(t)
	o.close()
	d.files = nil
	o = d.load(t)
	o.all(t, 2)
	if o.fromRecords() {
		t.Error("what was saved last is not read")
	}
}

// TestSavedIndexDamaged: what is wrong with the file or its keys costs time and nothing else.
func TestSavedIndexDamaged(t *testing.T) {
	d := filled(t)
	whole, keys := read(t, d.path(savedFile)), read(t, d.path(savedKeys))
	everything := func(o *open, how string, said bool) {
		t.Helper()
		defer o.close()
		o.all(t)
		if !o.fromRecords() {
			t.Errorf("%s: it was read", how)
		}
		if said != strings.Contains(o.log.String(), "built from the records") {
			t.Errorf("%s: the log says %q", how, o.log)
		}
		if _, err := os.Stat(d.path(savedFile)); how != "none" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the file is still there: %v", how, err)
		}
	}
	state := read(t, d.path("store.db"))
	lay := func(file, key []byte) {
		t.Helper()
		_ = os.Remove(d.path(savedFile))
		_ = os.Remove(d.path(savedKeys))
		if file != nil {
			write(t, d.path(savedFile), file)
		}
		if key != nil {
			write(t, d.path(savedKeys), key)
		}
		write(t, d.path("store.db"), state)
	}
	for at := 0; at < len(whole); at += 1 + len(whole)/60 {
		flipped := bytes.Clone(whole)
		flipped[at] ^= 0x10
		lay(flipped, keys)
		o := d.load(t)
		everything(o, fmt.Sprintf("byte %d of %d flipped", at, len(whole)), true)
	}
	for _, n := range []int{0, 1, 20, 39, 40, 60, len(whole) / 2, len(whole) - 1} {
		lay(whole[:n], keys)
		everything(d.load(t), fmt.Sprintf("cut to %d bytes", n), true)
	}
	lay(append(bytes.Clone(whole), whole[40:]...), keys)
	everything(d.load(t), "longer", true)
	lay(append(bytes.Clone(whole), 0), keys)
	everything(d.load(t), "longer by a byte", true)
	lay(bytes.Repeat([]byte("not an index\n"), 1000), keys)
	everything(d.load(t), "another file", true)
	lay(nil, keys)
	everything(d.load(t), "none", false)
	lay(whole, nil)
	everything(d.load(t), "without its keys", true)
	for _, at := range []int{0, 70, 130, 140, 190} {
		flipped := bytes.Clone(keys)
		flipped[at] ^= 0x10
		lay(whole, flipped)
		everything(d.load(t), fmt.Sprintf("byte %d of its keys flipped", at), true)
	}
	for _, n := range []int{0, 64, 128, 150} {
		lay(whole, keys[:n])
		everything(d.load(t), fmt.Sprintf("its keys cut to %d bytes", n), true)
	}
	// The scene would show it: without damage it is read.
	lay(whole, keys)
	if o := d.load(t); o.fromRecords() {
		t.Error("without damage it is not read")
	}
}

func TestSavedByAnother(t *testing.T) {
	t.Run("version of the program", func(t *testing.T) {
		d := filled(t)
		d.version = "2"
		o := d.load(t)
		o.all(t)
		if !o.fromRecords() || !strings.Contains(o.log.String(), "another version") {
			t.Errorf("it was read: %s", o.log)
		}
	})
	t.Run("form of the file", func(t *testing.T) {
		d := filled(t)
		whole := read(t, d.path(savedFile))
		whole[len("ENTENTE-INDEX-")] = '0'
		write(t, d.path(savedFile), whole)
		o := d.load(t)
		o.all(t)
		if !o.fromRecords() || !strings.Contains(o.log.String(), "another version") {
			t.Errorf("it was read: %s", o.log)
		}
	})
	t.Run("node, and its keys", func(t *testing.T) {
		d, other := filled(t), filled(t)
		for _, name := range []string{savedFile, savedKeys} {
			write(t, d.path(name), read(t, other.path(name)))
		}
		o := d.load(t)
		o.all(t)
		if !o.fromRecords() || !strings.Contains(o.log.String(), "from another node") {
			t.Errorf("it was read: %s", o.log)
		}
	})
	t.Run("day: the database comes from a backup", func(t *testing.T) {
		d := filled(t)
		backup := map[string][]byte{}
		for _, name := range []string{"store.db", "store.db.mark", "records.keys", "records.keys.mark"} {
			backup[name] = read(t, d.path(name))
		}
		o := d.load(t)
		o.put(t, person("late", "Tervallion Oskarets", "1981-03-04"))
		o.save(t)
		o.close()
		for name, b := range backup {
			write(t, d.path(name), b)
		}
		_ = os.Remove(d.path("store.db-wal"))
		_ = os.Remove(d.path("store.db-shm"))
		o = d.load(t)
		o.all(t)
		if got := o.found(t, "Tervallion Oskarets"); len(got) > 0 || !o.fromRecords() {
			t.Errorf("somebody is found who is not in the database: %q; %s", got, o.log)
		}
	})
}

// TestSavedIndexFromABackup: who brings back file and keys of yesterday brings back nobody who was
// erased today.
func TestSavedIndexFromABackup(t *testing.T) {
	d := filled(t)
	file, keys := read(t, d.path(savedFile)), read(t, d.path(savedKeys))
	o := d.load(t)
	if _, err := o.store.Erase(t.Context(), records.Persons, "p2"); err != nil {
		t.Fatal(err)
	}
	o.put(t, person("late", "Tervallion Oskarets", "1981-03-04"))
	o.close()
	write(t, d.path(savedFile), file)
	write(t, d.path(savedKeys), keys)
	o = d.load(t)
	o.all(t, 2)
	if got := o.found(t, "Tervallion Oskarets"); len(got) != 1 {
		t.Errorf("found %q", got)
	}
	if !strings.Contains(o.log.String(), "read anew") {
		t.Errorf("the log says %q", o.log)
	}
}

// TestSavedOnADiskThatFails fails at every step of a saving, and of an erasure, in turn, and then loses
// what was not synced: what is found afterwards is all that is held and nobody else.
func TestSavedOnADiskThatFails(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for step := 0; ; step++ {
		lossy := disktest.New()
		d := &drawer{dir: t.TempDir(), master: 7, files: lossy}
		if err := lossy.MkdirAll(d.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		o := d.load(t)
		for i := range inventedNames {
			o.put(t, inventedPerson(i))
		}
		o.save(t)
		o.put(t, person("late", "Tervallion Oskarets", "1981-03-04"))
		done, failed := 0, false
		lossy.FailWith(func(op, name string) error {
			if done++; done-1 == step {
				failed = true
				return fmt.Errorf("%s %s: the disk is ill", op, filepath.Base(name))
			}
			return nil
		})
		saved := o.holdings.Save(t.Context())
		o.all(t)
		_, erased := o.store.Erase(t.Context(), records.Persons, "p2")
		if erased != nil { // it is to be called again
			_, erased = o.store.Erase(t.Context(), records.Persons, "p2")
		}
		if erased != nil {
			t.Errorf("step %d: %v", step, erased)
		}
		lossy.FailWith(nil)
		o.close()
		if step%2 == 0 {
			lossy.Crash()
		} else {
			lossy.CrashTorn(random)
		}
		keys, err := vault.Open(vault.Config{Path: d.path(savedKeys), Master: bytes.Repeat([]byte{d.master}, 32), Label: "index", Files: lossy})
		if err != nil {
			t.Fatal(err)
		}
		for id := range keys.Live() {
			t.Errorf("step %d, saved with %v: key %d outlived an erasure that was acknowledged", step, saved, id)
		}
		_ = keys.Close()
		o = d.load(t)
		o.all(t, 2)
		if got := o.found(t, "Tervallion Oskarets"); len(got) != 1 {
			t.Errorf("step %d: found %q", step, got)
		}
		o.close()
		if !failed {
			if step < 8 || saved != nil {
				t.Errorf("only %d steps, %v", step, saved)
			}
			return
		}
	}
}

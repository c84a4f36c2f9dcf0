package disk_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/node/disk/disktest"
)

// Both disks do the same as long as nothing crashes.
func TestTheTestsDiskIsLikeTheReal(t *testing.T) {
	real, lossy := t.TempDir(), "/d"
	memory := disktest.New()
	if err := memory.MkdirAll(lossy, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files disk.Files
		dir   string
	}{"real": {disk.OS(), real}, "lossy": {memory, lossy}} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(c.dir, "file")
			if _, err := c.files.OpenFile(path, os.O_RDWR, 0o600); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("no file: %v", err)
			}
			f, err := c.files.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range []error{
				second(f.WriteAt([]byte("hello"), 3)), f.Sync(), f.Truncate(6), c.files.SyncDir(c.dir),
			} {
				if step != nil {
					t.Error(step)
				}
			}
			if size, err := f.Size(); err != nil || size != 6 {
				t.Errorf("size %d, %v", size, err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			if b, err := disk.ReadFile(c.files, path); err != nil || string(b) != "\x00\x00\x00hel" {
				t.Errorf("read %q, %v", b, err)
			}
			if _, err := c.files.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); !errors.Is(err, fs.ErrExist) {
				t.Errorf("a file that is there: %v", err)
			}
			if err := disk.Replace(c.files, path, []byte("new"), 0o600); err != nil {
				t.Error(err)
			}
			if b, err := disk.ReadFile(c.files, path); err != nil || string(b) != "new" {
				t.Errorf("replaced: %q, %v", b, err)
			}
			entries, err := c.files.ReadDir(c.dir)
			if err != nil || len(entries) != 1 || entries[0].Name() != "file" {
				t.Errorf("folder: %v, %v", entries, err)
			}
			if info, err := c.files.Stat(path); err != nil || info.Size() != 3 {
				t.Errorf("stat: %v, %v", info, err)
			}
			if err := c.files.Remove(path); err != nil {
				t.Error(err)
			}
			if _, err := c.files.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("removed: %v", err)
			}
		})
	}
}

func second(_ int, err error) error { return err }

// Whenever the power fails, a file that is replaced is the old one or the new one, whole.
func TestReplaceIsWholeOrNot(t *testing.T) {
	for steps := range 8 {
		for seed := range uint64(4) {
			d := disktest.New()
			if err := d.MkdirAll("/d", 0o700); err != nil {
				t.Fatal(err)
			}
			if err := disk.Replace(d, "/d/f", []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			off := errors.New("power failure")
			left := steps
			d.FailWith(func(string, string) error {
				if left--; left < 0 {
					return off
				}
				return nil
			})
			err := disk.Replace(d, "/d/f", []byte("new and longer"), 0o600)
			d.FailWith(nil)
			d.CrashTorn(rand.New(rand.NewPCG(seed, 1)))
			b, readErr := disk.ReadFile(d, "/d/f")
			if readErr != nil {
				t.Fatalf("after %d steps: %v", steps, readErr)
			}
			if s := string(b); s != "old" && s != "new and longer" || err == nil && s == "old" {
				t.Errorf("after %d steps: %q (replace said %v)", steps, s, err)
			}
		}
	}
}

func TestWhatIsNotSyncedIsLost(t *testing.T) {
	d := disktest.New()
	if err := d.MkdirAll("/d", 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := d.OpenFile("/d/f", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("one"), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), d.SyncDir("/d")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("two"), 3); err != nil {
		t.Fatal(err)
	}
	d.Crash()
	if b := string(d.Bytes("/d/f")); b != "one" {
		t.Errorf("after the crash: %q", b)
	}
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, disktest.ErrCrashed) {
		t.Errorf("a file from before the crash: %v", err)
	}
	d.Flip("/d/f", 0, 0)
	if b := string(d.Bytes("/d/f")); b != "nne" {
		t.Errorf("flipped: %q", b)
	}
}

package disk_test

import (
	"path/filepath"
	"runtime"
	"testing"

	"github.com/entente-mesh/entente/node/disk"
)

func TestFree(t *testing.T) {
	dir := t.TempDir()
	room, err := disk.Free(dir)
	if err != nil || room.Known() != (runtime.GOOS == "linux") || room.Free > room.Total {
		t.Errorf("%+v, %v", room, err)
	}
	if _, err := disk.Free(filepath.Join(dir, "missing")); (err != nil) != (runtime.GOOS == "linux") {
		t.Errorf("a folder that is not there: %v", err)
	}
}

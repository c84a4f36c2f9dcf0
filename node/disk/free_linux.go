package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

func free(path string) (Room, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return Room{}, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	size := uint64(s.Bsize)
	return Room{Free: s.Bavail * size, Total: s.Blocks * size}, nil
}

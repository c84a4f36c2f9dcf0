//go:build unix

package service

import (
	"io/fs"
	"syscall"
)

// owner is the user to whom a file belongs.
func owner(info fs.FileInfo) (uint32, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return s.Uid, true
}

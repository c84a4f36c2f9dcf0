//go:build !unix

package service

import "io/fs"

// owner is not known here.
func owner(fs.FileInfo) (uint32, bool) { return 0, false }

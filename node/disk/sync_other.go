//go:build !linux && !windows

package disk

import (
	"errors"
	"os"
)

func syncData(f *os.File) error { return f.Sync() }

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

//go:build !unix || solaris || illumos || aix

package signing

import (
	"fmt"
	"os"
)

// lockState does not lock where the system has no flock: there, start one signer alone.
func lockState(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log state: %w", err)
	}
	return f, nil
}

//go:build unix && !solaris && !illumos && !aix

package signing

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockState keeps a second signer from the memory at path: two that each remember for themselves
// would together sign two histories. The lock goes with the process, however that ends.
func lockState(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log state: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errors.New("another process signs with it: stop that one first")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrLogState, path, err), f.Close())
	}
	return f, nil
}

package store

import "errors"

// InUse tells whether a store is open somewhere: in a node that runs on it, as a rule. What it
// says may be over a moment later; Open alone decides.
func InUse(path string) (bool, error) {
	f, err := lockBeside(path)
	if errors.Is(err, ErrLocked) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, f.Close()
}

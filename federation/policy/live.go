package policy

import (
	"io/fs"
	"sync"
	"sync/atomic"
)

// Live is the set in force at a node. It is swapped whole: a decision is made by the old
// policies or by the new ones, never by a mixture.
type Live struct {
	set atomic.Pointer[Set]

	mu          sync.Mutex // held while a set is swapped, and over subscribers
	subscribers map[*subscriber]struct{}
}

type subscriber struct{ changed chan struct{} }

// NewLive puts a set in force.
func NewLive(s *Set) *Live {
	l := &Live{subscribers: map[*subscriber]struct{}{}}
	l.set.Store(s)
	return l
}

// Set is the set in force. Take it once for everything that must be decided by one set.
func (l *Live) Set() *Set { return l.set.Load() }

// Reload reads a folder again and puts it in force. If it does not load, the policies that were
// in force stay so, and the error says what is wrong where.
func (l *Live) Reload(folder fs.FS) error {
	// One at a time, so that an older reading never replaces a newer one.
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := Load(folder)
	if err != nil {
		return err
	}
	if old := l.set.Swap(s); old != nil && old.Version() == s.Version() {
		return nil
	}
	for sub := range l.subscribers {
		select {
		case sub.changed <- struct{}{}:
		default: // told already, and has not looked yet
		}
	}
	return nil
}

// Changes returns a channel that is signalled after other policies were put in force, several
// changes perhaps by one signal, and a function that ends the subscription.
func (l *Live) Changes() (<-chan struct{}, func()) {
	sub := &subscriber{changed: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subscribers[sub] = struct{}{}
	return sub.changed, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.subscribers, sub)
	}
}

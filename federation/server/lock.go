package server

import (
	"context"
	"sync"
)

// keyedLock is a lock for each key, for as long as somebody holds it or waits for it.
type keyedLock struct {
	mu   sync.Mutex
	held map[string]*waiters // guarded by mu
}

type waiters struct {
	count int           // who holds it and who waits; guarded by keyedLock.mu
	turn  chan struct{} // holds one token when nobody holds the lock
}

func newKeyedLock() *keyedLock { return &keyedLock{held: make(map[string]*waiters)} }

// lock waits for the key until ctx ends, and returns the function that gives it back.
func (l *keyedLock) lock(ctx context.Context, key string) (unlock func(), err error) {
	l.mu.Lock()
	w := l.held[key]
	if w == nil {
		w = &waiters{turn: make(chan struct{}, 1)}
		w.turn <- struct{}{}
		l.held[key] = w
	}
	w.count++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if w.count--; w.count == 0 {
			delete(l.held, key)
		}
	}
	select {
	case <-w.turn:
		return func() { w.turn <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

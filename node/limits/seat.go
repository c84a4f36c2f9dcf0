package limits

import (
	"context"
	"sync"
	"time"
)

// seat is one call's hold on a worker.
type seat struct {
	pool   *pool
	onExit func() // Optional.
	// yields to the own border, if it is a call of the mesh: while that is at work, the worker is not
	// given back before the call ends, and rests then. Optional.
	yields *Limits
	began  time.Time

	mu    sync.Mutex
	held  bool
	aside int // how many of the call's goroutines wait for something outside
	done  bool
}

// leave gives the worker back. A second call does nothing.
func (s *seat) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return
	}
	s.done = true
	if s.held {
		s.held = false
		s.free()
	}
	if s.onExit != nil {
		s.onExit()
	}
}

// free gives the worker back, after its rest.
func (s *seat) free() {
	if s.yields != nil {
		if d := s.yields.rest(s.began); d > 0 {
			time.AfterFunc(d, s.pool.leave)
			return
		}
	}
	s.pool.leave()
}

type seatKey struct{}

// AsideForBooks is Aside while the books are written: the disk works then, and no processor does. A
// call keeps its worker while as many as the pool lets be aside for their books are, or a disk that
// stalls would gather them without a bound; and one of the mesh while the own border is at work, or
// the border would share disk and processors with as many of them as wait.
func AsideForBooks(ctx context.Context) (back func()) {
	s, ok := ctx.Value(seatKey{}).(*seat)
	if !ok || s.pool == nil || s.yields != nil && s.yields.borderAtWork() || !s.pool.setAside() {
		return func() {}
	}
	again := Aside(ctx)
	return func() {
		s.pool.backFromAside()
		again()
	}
}

// Aside gives the worker of a call back while the call waits for something that costs this node
// nothing: another bureau's answer. back takes a worker again, before all who have not begun, and
// must be called once. Without a worker, or with a context that Admit did not make, both do
// nothing.
func Aside(ctx context.Context) (back func()) {
	s, ok := ctx.Value(seatKey{}).(*seat)
	if !ok || s.pool == nil {
		return func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aside++
	if s.held && !s.done {
		s.held = false
		s.pool.leave()
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.aside--; s.aside > 0 || s.done || s.held {
			return
		}
		s.held = s.pool.again(ctx)
	}
}

package store

import (
	"context"
	"sync"
)

// longReads are the statements that read for minutes. As long as one runs, the WAL cannot be
// emptied; so whoever must empty it interrupts them, and they begin again.
type longReads struct {
	gate sync.RWMutex // held for reading by a long read, for writing by who empties the WAL

	mu     sync.Mutex
	cancel map[int]context.CancelFunc // guarded by mu
	last   int                        // guarded by mu
	wanted int                        // how many want the WAL emptied; guarded by mu
}

// run runs do, again and again until it was not interrupted.
func (l *longReads) run(ctx context.Context, do func(ctx context.Context) error) error {
	for {
		interrupted, err := l.once(ctx, do)
		if ctx.Err() != nil || !interrupted {
			return err
		}
	}
}

func (l *longReads) once(ctx context.Context, do func(ctx context.Context) error) (interrupted bool, err error) {
	l.gate.RLock()
	defer l.gate.RUnlock()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	if l.cancel == nil {
		l.cancel = map[int]context.CancelFunc{}
	}
	l.last++
	no := l.last
	l.cancel[no] = cancel
	if l.wanted > 0 {
		cancel() // who wants it emptied did not see this one
	}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.cancel, no)
		l.mu.Unlock()
	}()
	err = do(inner)
	return inner.Err() != nil && err != nil, err
}

// interrupt ends the long reads under way and keeps new ones waiting until done is called.
func (l *longReads) interrupt() (done func()) {
	l.mu.Lock()
	l.wanted++
	for _, cancel := range l.cancel {
		cancel()
	}
	l.mu.Unlock()
	l.gate.Lock()
	return func() {
		l.gate.Unlock()
		l.mu.Lock()
		l.wanted--
		l.mu.Unlock()
	}
}

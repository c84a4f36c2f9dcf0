package limits

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// pool is a bounded number of workers and a fair queue for them. Who waits is served in turn by
// name, so that one who floods waits behind himself and costs the others one turn each.
type pool struct {
	capacity func() int // how many may work now; at least 1
	perName  int        // how many may wait under one name
	patience time.Duration

	mu      sync.Mutex
	busy    int
	aside   int // how many are aside for their books
	queues  map[string]*queue
	turns   list.List // of *queue: those in which somebody waits, next first
	back    list.List // of *waiter: those who were aside and go on with what they began
	waiting int
}

type queue struct {
	name    string
	waiters list.List // of *waiter
	turn    *list.Element
}

type waiter struct {
	ready chan struct{} // closed when it has a worker
	queue *queue        // nil for those who come back
	place *list.Element
}

var (
	errQueueFull = errors.New("the queue is full")
	errPatience  = errors.New("waited too long")
)

func newPool(capacity func() int, perName int, patience time.Duration) *pool {
	return &pool{capacity: capacity, perName: perName, patience: patience, queues: map[string]*queue{}}
}

// enter takes a worker, or waits for one. It fails with errQueueFull, errPatience or the
// context's error.
func (p *pool) enter(ctx context.Context, name string) error {
	p.mu.Lock()
	if p.waiting == 0 && p.busy < p.capacity() {
		p.busy++
		p.mu.Unlock()
		return nil
	}
	q := p.queues[name]
	if q == nil {
		q = &queue{name: name}
		p.queues[name] = q
	}
	if q.waiters.Len() >= p.perName {
		p.mu.Unlock()
		return errQueueFull
	}
	w := &waiter{ready: make(chan struct{}), queue: q}
	w.place = q.waiters.PushBack(w)
	if q.turn == nil {
		q.turn = p.turns.PushBack(q)
	}
	p.waiting++
	p.serve() // the capacity may have grown since the last one left
	p.mu.Unlock()

	timer := time.NewTimer(p.patience)
	defer timer.Stop()
	var err error
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = errPatience
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-w.ready: // in the last moment
		p.release()
	default:
		p.forget(w)
	}
	return err
}

// again takes a worker for one who was aside, before all who have not begun. It reports whether
// he has one: he has none if the context ended first.
func (p *pool) again(ctx context.Context) bool {
	p.mu.Lock()
	if p.back.Len() == 0 && p.busy < p.capacity() {
		p.busy++
		p.mu.Unlock()
		return true
	}
	w := &waiter{ready: make(chan struct{})}
	w.place = p.back.PushBack(w)
	p.waiting++
	p.serve()
	p.mu.Unlock()
	select {
	case <-w.ready:
		return true
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-w.ready:
		return true
	default:
		p.forget(w)
		return false
	}
}

// asideFor is how many may be aside for their books, for each worker that the pool has: some groups of
// the journal's.
const asideFor = 8

// setAside counts one who goes aside for his books, unless as many as may are.
func (p *pool) setAside() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.aside >= asideFor*p.capacity() {
		return false
	}
	p.aside++
	return true
}

func (p *pool) backFromAside() {
	p.mu.Lock()
	p.aside--
	p.mu.Unlock()
}

func (p *pool) leave() {
	p.mu.Lock()
	p.release()
	p.mu.Unlock()
}

// release gives a worker back. The caller holds the lock.
func (p *pool) release() {
	p.busy--
	p.serve()
}

// serve gives workers to those who wait, while there are any. The caller holds the lock.
func (p *pool) serve() {
	for p.waiting > 0 && p.busy < p.capacity() {
		var w *waiter
		if e := p.back.Front(); e != nil {
			w = e.Value.(*waiter)
		} else {
			q := p.turns.Front().Value.(*queue)
			w = q.waiters.Front().Value.(*waiter)
			p.turns.MoveToBack(q.turn)
		}
		p.forget(w)
		p.busy++
		close(w.ready)
	}
}

// forget takes somebody out of his queue. The caller holds the lock.
func (p *pool) forget(w *waiter) {
	p.waiting--
	if w.queue == nil {
		p.back.Remove(w.place)
		return
	}
	w.queue.waiters.Remove(w.place)
	if w.queue.waiters.Len() == 0 {
		p.turns.Remove(w.queue.turn)
		delete(p.queues, w.queue.name)
	}
}

// load returns how many work and how many wait.
func (p *pool) load() (busy, waiting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy, p.waiting
}

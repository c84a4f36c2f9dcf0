package journal

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"
)

// askKey is what an ask is known by: ids are the asker's to give.
type askKey struct{ asker, id string }

// asks is the memory of asks that were answered. Their answers stay in the journal.
type asks struct {
	mu     sync.Mutex
	known  map[askKey]*remembering
	expiry map[int64][]askKey // by the minute after which they may be forgotten
}

// remembering is an ask that is remembered, or about to be.
type remembering struct {
	key    askKey
	digest []byte
	forget int64

	done chan struct{} // closed when it is decided; nil for what was read from the journal
	err  error         // set before done is closed: it is not remembered

	// Where the answer is. Set before done is closed.
	segment uint64
	frame   int64
	place   int
}

func (r *remembering) put(segment uint64, frame int64, place int) {
	r.segment, r.frame, r.place = segment, frame, place
}

// expiryStep is how exactly asks are forgotten: in nanoseconds, a minute.
const expiryStep = int64(time.Minute)

func (a *asks) keep(r *remembering) {
	a.known[r.key] = r
	minute := r.forget/expiryStep + 1
	a.expiry[minute] = append(a.expiry[minute], r.key)
}

// reserve takes an ask's id, if nobody has it. If the same ask is about to be remembered it waits
// for what becomes of that.
func (a *asks) reserve(ctx context.Context, m Memory) (*remembering, error) {
	key := askKey{m.Asker, m.AskID}
	for {
		a.mu.Lock()
		before := a.known[key]
		if before == nil {
			r := &remembering{key: key, digest: bytes.Clone(m.Digest), forget: m.ForgetAfter.UnixNano(), done: make(chan struct{})}
			a.keep(r)
			a.mu.Unlock()
			return r, nil
		}
		a.mu.Unlock()
		if !bytes.Equal(before.digest, m.Digest) {
			return nil, ErrAskReused
		}
		if before.done == nil {
			return nil, ErrAskAnswered
		}
		select {
		case <-before.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if before.err == nil {
			return nil, ErrAskAnswered
		}
		// The other one came to nothing, and its id is free again.
	}
}

// conclude decides what became of a reservation.
func (a *asks) conclude(r *remembering, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil && a.known[r.key] == r {
		delete(a.known, r.key)
	}
	r.err = err
	close(r.done)
}

// find returns what is remembered under a key, when it is decided.
func (a *asks) find(key askKey) *remembering {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.known[key]; r != nil && r.decided() {
		return r // what failed is not there any more
	}
	return nil
}

// decided says whether it is remembered, and not only about to be.
func (r *remembering) decided() bool {
	if r.done == nil {
		return true
	}
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// RecordAnswered records passages as Record does, and with them that an ask was answered: the
// evidence of its ANSWER passage is the answer that RecallAsk returns. ErrAskReused says that the
// id stands for another ask, ErrAskAnswered that this ask was answered before; then nothing is
// recorded. Of two calls with the same ask at the same time, the second waits for the first.
func (j *Journal) RecordAnswered(ctx context.Context, m Memory, passages ...Passage) error {
	with, err := remembers(m, passages)
	if err != nil {
		return fmt.Errorf("journal: record answered: %w", err)
	}
	if err := j.usable(); err != nil {
		return fmt.Errorf("journal: record answered: %w", err)
	}
	memory, err := j.asks.reserve(ctx, m)
	if err != nil {
		return fmt.Errorf("journal: record answered: %w", err)
	}
	r, err := j.request(passages, &m, with)
	if err == nil {
		err = ctx.Err()
	}
	var b *batch
	if err == nil {
		r.memory = memory
		b, err = j.hand(r)
	}
	if err != nil {
		j.asks.conclude(memory, err)
		return fmt.Errorf("journal: record answered: %w", err)
	}
	// From here on the committer concludes.
	select {
	case <-b.done:
		err = b.err
	case <-ctx.Done():
		err = fmt.Errorf("nobody waits for it any more, it is written nevertheless: %w", ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("journal: record answered: %w", err)
	}
	return nil
}

// RecallAsk returns what is remembered of an ask: the digest of its bytes, and the answer as a
// serialised Signed. ErrErased says that the ask is remembered and its answer was erased: it cannot
// be answered again, nor anew.
func (j *Journal) RecallAsk(ctx context.Context, asker, askID string) (digest, answer []byte, found bool, err error) {
	fail := func(err error) ([]byte, []byte, bool, error) {
		return nil, nil, false, fmt.Errorf("journal: recall ask: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	if err := j.usable(); err != nil {
		return fail(err)
	}
	m := j.asks.find(askKey{asker, askID})
	if m == nil {
		return nil, nil, false, nil
	}
	s, err := j.segment(m.segment)
	if err != nil {
		return fail(err)
	}
	if s.dead {
		return nil, nil, false, nil // it was kept for longer than it had to be remembered
	}
	r, err := j.open(s)
	if err != nil {
		return fail(err)
	}
	defer r.close()
	f, err := r.frame(m.frame)
	if err != nil {
		return fail(r.damage(m.frame, s.first, err))
	}
	if m.place >= len(f.passages) {
		return fail(&Damage{r.name, m.frame, f.index, Damaged, "another frame stands where the answer was"})
	}
	signed, err := r.evidence(s, &f, m.place)
	if err != nil {
		return fail(err)
	}
	if signed == nil {
		return bytes.Clone(m.digest), nil, true, fmt.Errorf("journal: recall ask: the answer: %w", ErrErased)
	}
	return bytes.Clone(m.digest), signed, true, nil
}

// ForgetAsks forgets, from memory, the asks that need not be remembered any more, and says how
// many.
func (j *Journal) ForgetAsks(now time.Time) int {
	a := &j.asks
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for minute, keys := range a.expiry {
		if minute*expiryStep > now.UnixNano() {
			continue
		}
		var later []askKey
		for _, k := range keys {
			switch r := a.known[k]; {
			case r == nil || r.forget >= now.UnixNano():
				// It came to nothing, and its id may have been taken anew.
			case !r.decided():
				later = append(later, k)
			default:
				delete(a.known, k)
				n++
			}
		}
		if delete(a.expiry, minute); len(later) > 0 {
			a.expiry[minute] = later
		}
	}
	return n
}

// recallAll takes up the asks of a segment that was read.
func (a *asks) recallAll(segment uint64, list []remembered, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range list {
		if m.ForgetAfter.Before(now) {
			continue
		}
		r := &remembering{key: askKey{m.Asker, m.AskID}, digest: m.Digest, forget: m.ForgetAfter.UnixNano()}
		r.put(segment, int64(m.frame), int(m.place))
		a.keep(r)
	}
}

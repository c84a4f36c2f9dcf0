package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/uuid"

	"github.com/entente-mesh/entente/node/disk"

	"github.com/entente-mesh/entente/pki/evidence"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// request is what one call records.
type request struct {
	passages []*prepared
	memory   *remembering
	// then is done by the committer when the request is durable, before anything else is written.
	then func() error
	// roll asks for a new segment first, if the newest has leaves.
	roll bool
}

// batch is what gathers while the group before it is being synced.
type batch struct {
	requests []*request
	size     int
	done     chan struct{} // closed when it is durable, or failed
	err      error         // set before done is closed
}

// Record records passages: all or none, durable when it returns nil. Local ones share a leaf with
// whatever else is committed together. A context that ends while Record waits ends the waiting;
// what was handed over is written nevertheless.
func (j *Journal) Record(ctx context.Context, passages ...Passage) error {
	r, err := j.request(passages, nil, 0)
	if err != nil {
		return fmt.Errorf("journal: record: %w", err)
	}
	if err := j.record(ctx, r); err != nil {
		return fmt.Errorf("journal: record: %w", err)
	}
	return nil
}

// request prepares passages, in the caller's goroutine.
func (j *Journal) request(passages []Passage, memory *Memory, with int) (*request, error) {
	if len(passages) == 0 || len(passages) > maxPassages {
		return nil, fmt.Errorf("%w: %d passages: give 1 to %d in one call", ErrInvalid, len(passages), maxPassages)
	}
	key := j.sealing.Load()
	r := &request{passages: make([]*prepared, len(passages))}
	size := 0
	for i, p := range passages {
		var m *Memory
		if i == with {
			m = memory
		}
		made, err := j.prepare(p, m, false)
		if err != nil {
			return nil, fmt.Errorf("passage %d: %w", i, err)
		}
		if size += made.size(); size > maxRecord {
			return nil, fmt.Errorf("%w: more than %d bytes in one call: record it in several", ErrInvalid, maxRecord)
		}
		made.seal(key.segment, key.cipher)
		r.passages[i] = made
	}
	return r, nil
}

// record hands a request to the committer, and waits.
func (j *Journal) record(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b, err := j.hand(r)
	if err != nil {
		return err
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return fmt.Errorf("nobody waits for it any more, it is written nevertheless: %w", ctx.Err())
	}
}

// hand adds a request to the group that gathers.
func (j *Journal) hand(r *request) (*batch, error) {
	size := 0
	for _, p := range r.passages {
		size += p.size()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usableLocked(); err != nil {
		return nil, err
	}
	var b *batch
	if n := len(j.batches); n > 0 && j.batches[n-1].size+size <= gather && !r.roll {
		b = j.batches[n-1]
	} else {
		b = &batch{done: make(chan struct{})}
		j.batches = append(j.batches, b)
	}
	b.requests = append(b.requests, r)
	b.size += size
	j.rouse()
	return b, nil
}

func (j *Journal) rouse() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// commit is the committer: the one goroutine that writes.
func (j *Journal) commit() {
	defer close(j.ended)
	for range j.wake {
		j.settle()
		for {
			b, closed := j.next()
			if b == nil {
				if closed {
					return
				}
				break
			}
			began := time.Now()
			err := j.usableFor(closed)
			if err == nil {
				err = j.write(b)
			}
			b.err = err
			j.conclude(b)
			close(b.done)
			if len(b.requests) > 1 && !closed {
				j.waitForCompany(len(b.requests), min(time.Since(began), longestWait))
			}
		}
	}
}

// settle lets those run who are about to hand something over. Without it the first of those whom
// the last group woke would get a group of its own, and all the others wait for two syncs. It
// waits for nobody: who is not ready to run is not run.
func (j *Journal) settle() {
	for last := -1; ; {
		now := j.gathered()
		if now == last {
			return
		}
		last = now
		runtime.Gosched()
	}
}

// gathered is how many are in the group that is written next.
func (j *Journal) gathered() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.batches) == 0 {
		return 0
	}
	return len(j.batches[0].requests)
}

// longestWait bounds how long a group waits for company.
const longestWait = 500 * time.Microsecond

// waitForCompany lets those come whom the last group has woken, until half as many wait as were in
// it, and no longer than that took to write. Where the processors and not the disk are what is
// short, they come back one by one, and each would get a sync of its own: syncs cost processors
// too. Who records alone never waits: there was no company, and so none is waited for.
func (j *Journal) waitForCompany(before int, most time.Duration) {
	if j.settle(); 2*j.gathered() >= before {
		return
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	<-timer.C
}

// next takes the first batch, and says whether the journal was closed.
func (j *Journal) next() (*batch, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.batches) == 0 {
		return nil, j.closed
	}
	b := j.batches[0]
	j.batches = j.batches[1:]
	return b, j.closed
}

// usableFor is usable, for what was handed over before the journal was closed.
func (j *Journal) usableFor(closed bool) error {
	err := j.usable()
	if closed && errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// conclude tells the memory of asks what became of a batch.
func (j *Journal) conclude(b *batch) {
	for _, r := range b.requests {
		if r.memory != nil {
			j.asks.conclude(r.memory, b.err)
		}
	}
}

// write makes a batch durable, as one group.
func (j *Journal) write(b *batch) error {
	if err := j.writeGroup(b); err != nil {
		return j.poison(err)
	}
	for _, r := range b.requests {
		if r.then != nil {
			if err := r.then(); err != nil {
				return j.poison(err)
			}
		}
	}
	if err := j.config.Fail(beforeReply); err != nil {
		return j.poison(err)
	}
	return nil
}

// newest is the segment that is written to. The committer's own, but for what readers see of it.
func (j *Journal) newest() *segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.segments[len(j.segments)-1]
}

func (j *Journal) writeGroup(b *batch) error {
	s := j.newest()
	size := int64(b.size + groupHeadSize + groupEndSize)
	if s.leaves > 0 && (s.end+size > j.config.SegmentBytes || b.requests[0].roll || j.aged(s)) {
		if err := j.roll(s); err != nil {
			return err
		}
		s = j.newest()
	}
	if b.size == 0 {
		return nil // it was for the new segment alone
	}
	g, err := j.assemble(s, b)
	if err != nil {
		return err
	}
	if err := j.config.Fail(beforeWrite); err != nil {
		return err
	}
	if err := j.extend(s.end + int64(len(j.buffer))); err != nil {
		return err
	}
	if _, err := j.file.WriteAt(j.buffer, s.end); err != nil {
		return err
	}
	if err := j.config.Fail(afterWrite); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	if err := j.config.Fail(afterSync); err != nil {
		return err
	}
	end := s.end + int64(len(j.buffer))
	last := g.frames[len(g.frames)-1].hash
	if err := j.writeHead(durable{segment: s.number, end: end, leaves: s.until() + uint64(len(g.frames)), last: last}); err != nil {
		return err
	}
	if err := j.config.Fail(afterHead); err != nil {
		return err
	}
	j.publish(s, g, end)
	return nil
}

// aged tells whether a segment is old enough to end whatever its size: what it holds is erased
// together when it is too old, so a segment that lasts for years would keep its first entries as long.
// So would one that was made by a clock that ran ahead.
func (j *Journal) aged(s *segment) bool {
	age := j.config.Now().Sub(time.Unix(0, s.created))
	return age >= segmentAge || age < -segmentAge
}

// segmentAge is how long a segment takes entries.
const segmentAge = 7 * 24 * time.Hour

// extendStep is by how much the file grows at once: a sync is cheaper when it need not write down
// a new length each time, and a crash leaves no more zeros than this to look through.
const extendStep = 4 << 20

// extend makes the file long enough for a group.
func (j *Journal) extend(end int64) error {
	if end <= j.room {
		return nil
	}
	room := min((end+extendStep-1)/extendStep*extendStep, max(end, j.config.SegmentBytes))
	if err := j.file.Truncate(room); err != nil {
		return err
	}
	j.room = room
	return nil
}

// group is a group that is assembled in the buffer.
type group struct {
	offset int64
	frames []assembled
}

// assembled is a frame of it.
type assembled struct {
	offset   int64
	hash     hash
	at       int64 // the leaf's
	passages []*prepared
	remember []*remembering // of each passage; nil where nothing is remembered
}

// assemble lays out a batch in the buffer: passages across the border with a leaf each, in the
// order in which they came, then the local ones, which share.
func (j *Journal) assemble(s *segment, b *batch) (*group, error) {
	g := &group{offset: s.end}
	var locals []*prepared
	for _, r := range b.requests {
		for _, p := range r.passages {
			if p.segment != s.number {
				p.seal(s.number, s.cipher) // the segment ended while it waited
			}
			if p.local {
				locals = append(locals, p)
				continue
			}
			f := assembled{passages: []*prepared{p}}
			if p.body.memory != nil {
				f.remember = []*remembering{r.memory}
			}
			g.frames = append(g.frames, f)
		}
	}
	for len(locals) > 0 {
		n := min(len(locals), maxPassages)
		g.frames = append(g.frames, assembled{passages: locals[:n]})
		locals = locals[n:]
	}
	if len(g.frames) == 0 {
		return nil, errors.New("a group without passages")
	}
	out := append(j.buffer[:0], make([]byte, groupHeadSize)...)
	previous := s.last
	for i := range g.frames {
		f := &g.frames[i]
		f.offset = g.offset + int64(len(out))
		leaf, commitments, bodies := j.lay(f.passages)
		f.at = leaf.At.UnixNano()
		out, previous = appendFrame(out, s.until()+uint64(i), leaf.Bytes(), commitments, bodies, previous)
		f.hash = previous
	}
	head := groupHead{length: uint32(len(out) + groupEndSize), first: s.until(), frames: uint32(len(g.frames)),
		sum: checksum(out[groupHeadSize:])}
	head.append(out[:0])
	j.buffer = append(out, groupEnd...)
	return g, nil
}

// lay is the leaf of passages, and what stands with it.
func (j *Journal) lay(passages []*prepared) (leaf evidence.Leaf, commitments []hash, bodies [][]byte) {
	commitments = make([]hash, len(passages))
	bodies = make([][]byte, 0, 2*len(passages))
	var at time.Time
	for i, p := range passages {
		commitments[i] = p.commitment
		bodies = append(bodies, p.sealed[:]...)
		if p.at.After(at) {
			at = p.at
		}
	}
	if !passages[0].local {
		return passages[0].leaf, commitments, bodies
	}
	leaf = evidence.Leaf{
		Kind:      auditv1.EntryKind_ENTRY_KIND_CHECK,
		Direction: auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL,
		Peer:      j.config.Bureau, At: at, Commitment: evidence.GroupRoot(commitments),
	}
	rand.Read(leaf.MessageID[:]) // never fails (crypto/rand, since Go 1.24)
	leaf.MessageID[6] = leaf.MessageID[6]&0x0f | byte(uuid.Version(4))<<4
	leaf.MessageID[8] = leaf.MessageID[8]&0x3f | 0x80 // RFC 9562, section 5.4
	return leaf, commitments, bodies
}

// publish lets readers see a group.
func (j *Journal) publish(s *segment, g *group, end int64) {
	j.mu.Lock()
	s.markPlace(s.until(), g.offset)
	for i := range g.frames {
		f := &g.frames[i]
		s.leaves++
		s.passages += uint64(len(f.passages))
		s.last = f.hash
		s.seen(f.at)
		for place, p := range f.passages {
			s.note(f.offset, place, p.message, p.at.UnixNano(), p.body)
			if f.remember != nil {
				f.remember[place].put(s.number, f.offset, place)
			}
		}
	}
	s.end = end
	j.mu.Unlock()
	select {
	case j.grown <- struct{}{}:
	default:
	}
}

// roll ends a segment and begins the next. The next stands under its name when its header is
// durable, and not before.
func (j *Journal) roll(s *segment) error {
	if err := j.config.Fail(beforeRoll); err != nil {
		return err
	}
	fresh, file, room, err := j.begin(s.number+1, s.until(), s.last)
	if err != nil {
		return err
	}
	// What the old one was lengthened by is given back. If a crash comes before it is, zeros stay.
	err = j.file.Truncate(s.end)
	if err = errors.Join(err, j.file.Close()); err != nil {
		return errors.Join(err, file.Close())
	}
	j.file, j.room = file, room
	j.mu.Lock()
	j.segments = append(append([]*segment(nil), j.segments...), fresh)
	j.mu.Unlock()
	j.sealing.Store(&sealer{segment: fresh.number, cipher: fresh.cipher})
	j.background.Add(1)
	go func() {
		defer j.background.Done()
		j.index(s)
	}()
	return j.config.Fail(afterRoll)
}

// begin makes a segment's file.
func (j *Journal) begin(number, first uint64, previous hash) (*segment, disk.File, int64, error) {
	keys, err := j.config.Vault.New(1)
	if err != nil {
		return nil, nil, 0, err
	}
	s := newSegment(header{number: number, first: first, key: keys[0].ID(), created: j.config.Now().UnixNano(),
		journal: j.whose, previous: previous, form: formWhole})
	s.cipher = keys[0]
	name := filepath.Join(j.config.Dir, s.name())
	f, err := j.files.OpenFile(name+newSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, 0, err
	}
	room := min(int64(extendStep), j.config.SegmentBytes)
	err = func() error {
		if _, err := f.WriteAt(s.header.encode(), 0); err != nil {
			return err
		}
		if err := f.Truncate(room); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		if err := j.config.Fail(rollWritten); err != nil {
			return err
		}
		if err := j.files.Rename(name+newSuffix, name); err != nil {
			return err
		}
		return j.files.SyncDir(j.config.Dir)
	}()
	if err != nil {
		return nil, nil, 0, errors.Join(fmt.Errorf("segment %d: %w", number, err), f.Close())
	}
	return s, f, room, nil
}

// newSuffix is what a file is called that does not stand yet.
const newSuffix = ".new"

// index writes the index of a segment that ended, and drops what it holds from memory.
func (j *Journal) index(s *segment) {
	if err := j.writeIndex(s); errors.Is(err, errMoved) {
		return
	} else if err != nil {
		j.log.Warn("the index of a segment cannot be written; it stays in memory", "segment", s.number, "error", err)
		return
	}
	j.change(s.number, func(now *segment) *segment {
		if now.form != s.form || now.dead != s.dead || now.indexed {
			return nil // what was written is of a segment that is no more
		}
		return &segment{header: now.header, summary: now.summary, cipher: now.cipher, dead: now.dead, indexed: true}
	})
}

package journal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/node/vault"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// Config says which journal.
type Config struct {
	// Dir is the journal's folder. It is made if there is none.
	Dir string
	// Federation, Bureau and Replica say whose journal it is. A segment of another is refused.
	Federation identity.Federation
	Bureau     identity.Bureau
	Replica    string
	// Vault holds the keys of the segments, and no others.
	Vault *vault.Vault
	// Marks is the key of the look-up marks, 32 bytes, derived from the node key (vault.Derive).
	Marks []byte
	// Files is the file layer. Optional: the operating system's.
	Files disk.Files
	// SegmentBytes is how large a segment becomes. Optional: 64 MiB. At least 4 KiB, at most 1 GiB.
	SegmentBytes int64
	// Now is the clock. Optional: the system's.
	Now func() time.Time
	// Logger is told what was cut and what was made anew. Optional.
	Logger *slog.Logger
	// Fail is asked at each of Points whether to fail there. For tests. Optional.
	Fail func(point string) error
}

const (
	// defaultSegment bounds what is read when a node starts after a crash, and what retention keeps
	// longer than it must: at a few hundred passages a second it is some minutes.
	defaultSegment = 64 << 20
	minSegment     = 4 << 10
	maxSegment     = 1 << 30
)

// Journal is an open journal. It is safe for concurrent use.
type Journal struct {
	config Config
	files  disk.Files
	log    *slog.Logger
	marks  *marker
	whose  hash

	// mu guards what follows. It is held for moments, never while the disk works.
	mu       sync.Mutex
	segments []*segment // copied before it is changed; the last is the newest
	batches  []*batch   // gathering; the committer takes the first
	closed   bool
	broken   error

	wake  chan struct{} // something gathers
	grown chan struct{}
	ended chan struct{} // the committer has
	// background is the writing of indexes.
	background sync.WaitGroup
	sealing    atomic.Pointer[sealer]

	asks asks

	// retaining is held by whoever replaces segments by their leaves.
	retaining sync.Mutex

	// indexing is held by whoever writes an index file.
	indexing sync.Mutex

	// headMu guards the file head.
	headMu   sync.Mutex
	head     disk.File
	headLast []byte

	// The committer's own.
	file   disk.File // the newest segment
	room   int64     // its size on the disk
	buffer []byte
}

// sealer is what callers seal with.
type sealer struct {
	segment uint64
	cipher  vault.Key
}

// Open opens a journal, or makes it. It reads the newest segment whole, cuts what a crash left of a
// group that nobody was told of, and carries out what was booked as erased and is not. A *Damage
// says that the journal is not what was written: it does not open.
func Open(ctx context.Context, c Config) (*Journal, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	marks, err := newMarker(c.Marks)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{
		config: c, files: c.Files, log: c.Logger, marks: marks,
		whose: sha256.Sum256(fmt.Appendf(nil, "entente journal\x00%s\x00%s\x00%s", c.Federation, c.Bureau, c.Replica)),
		wake:  make(chan struct{}, 1), grown: make(chan struct{}, 1), ended: make(chan struct{}),
		asks: asks{known: map[askKey]*remembering{}, expiry: map[int64][]askKey{}},
	}
	if err := j.recover(ctx); err != nil {
		return nil, errors.Join(err, j.release())
	}
	go j.commit()
	return j, nil
}

func (c *Config) complete() error {
	if c.Files == nil {
		c.Files = disk.OS()
	}
	if c.SegmentBytes == 0 {
		c.SegmentBytes = defaultSegment
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Fail == nil {
		c.Fail = func(string) error { return nil }
	}
	if _, err := identity.ParseBureau(string(c.Bureau)); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if _, err := identity.ParseFederation(string(c.Federation)); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	switch {
	case c.Dir == "":
		return errors.New("journal: dir: give a folder")
	case c.Replica == "":
		return errors.New("journal: replica: give its name")
	case c.Vault == nil:
		return errors.New("journal: vault: give one, of the journal's own")
	case c.SegmentBytes < minSegment || c.SegmentBytes > maxSegment:
		return fmt.Errorf("journal: segment bytes %d: give %d to %d", c.SegmentBytes, minSegment, maxSegment)
	}
	return nil
}

// Close ends the journal. What was recorded before is durable; what is recorded afterwards fails
// with ErrClosed.
func (j *Journal) Close() error {
	j.mu.Lock()
	first := !j.closed
	j.closed = true
	j.mu.Unlock()
	j.rouse()
	<-j.ended
	j.background.Wait()
	if !first {
		return nil
	}
	return j.release()
}

// release closes the files.
func (j *Journal) release() (err error) {
	if j.file != nil {
		err = j.file.Close()
		j.file = nil
	}
	j.headMu.Lock()
	defer j.headMu.Unlock()
	if j.head != nil {
		if j.usable() == nil || errors.Is(j.usable(), ErrClosed) {
			err = errors.Join(err, j.head.Sync())
		}
		err = errors.Join(err, j.head.Close())
		j.head = nil
	}
	return err
}

// usable says whether anything goes on.
func (j *Journal) usable() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.usableLocked()
}

func (j *Journal) usableLocked() error {
	if j.broken != nil {
		return j.broken
	}
	if j.closed {
		return ErrClosed
	}
	return nil
}

// poison ends everything after a failure of the disk. A failed sync cannot be tried again: the
// kernel may have dropped what it could not write, and would report success without it.
func (j *Journal) poison(cause error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken == nil {
		j.broken = fmt.Errorf("%w: %w", ErrBroken, cause)
		j.log.Error("the journal is broken: nothing passes until the node is restarted", "error", cause)
	}
	return j.broken
}

// view is the segments as they are now, oldest first. The newest is a copy, so that what is added
// to it meanwhile is not seen.
func (j *Journal) view() ([]*segment, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usableLocked(); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return j.viewLocked(), nil
}

func (j *Journal) viewLocked() []*segment {
	list := append([]*segment(nil), j.segments...)
	list[len(list)-1] = list[len(list)-1].copy()
	return list
}

// change puts another segment in the place of the one of a number, as change makes it; nil leaves
// it.
func (j *Journal) change(number uint64, change func(*segment) *segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if fresh := change(j.segments[number-1]); fresh != nil {
		j.segments = append([]*segment(nil), j.segments...)
		j.segments[number-1] = fresh
	}
}

// post takes up an opened passage in what a segment's index holds.
func (j *Journal) post(s *segment, frame int64, place int, b *body, e *auditv1.Entry) error {
	id, err := uuid.Parse(e.GetMessageId())
	if err != nil || !keepable(e.GetAt()) {
		return malformed("an entry without message id or time")
	}
	s.note(frame, place, j.marks.message(id), e.GetAt().AsTime().UnixNano(), b)
	return nil
}

// note adds a passage to what the segment's index holds.
func (s *segment) note(frame int64, place int, message mark, at int64, b *body) {
	s.seen(at)
	add := func(m mark) {
		s.postings = append(s.postings, posting{mark: m, frame: uint32(frame), place: uint32(place)})
	}
	add(message)
	if b.officer != 0 {
		add(b.officer)
	}
	for _, q := range b.quotes {
		add(q)
	}
	if b.memory != nil {
		s.memories = append(s.memories, remembered{Memory: *b.memory, frame: uint32(frame), place: uint32(place)})
		s.forget = max(s.forget, b.memory.ForgetAfter.UnixNano())
	}
}

// leafTime is the time in a leaf, or 0 in what is none.
func leafTime(b [evidence.LeafSize]byte) int64 {
	l, err := evidence.ParseLeaf(b[:])
	if err != nil {
		return 0
	}
	return l.At.UnixNano()
}

// The points at which Config.Fail is asked, in the order in which they come.
const (
	beforeWrite   = "before-write"
	afterWrite    = "after-write"
	afterSync     = "after-sync"
	afterHead     = "after-head"
	beforeReply   = "before-reply"
	beforeRoll    = "before-roll"
	rollWritten   = "roll-written"
	afterRoll     = "after-roll"
	beforeErase   = "before-erase"
	afterErase    = "after-erase"
	beforeDestroy = "before-destroy"
	afterDestroy  = "after-destroy"
	leavesWritten = "leaves-written"
	afterLeaves   = "after-leaves"
)

// Points are the points at which Config.Fail is asked: those of every group, then those of a
// segment's end, of an erasure and of a retention.
func Points() []string {
	return []string{beforeWrite, afterWrite, afterSync, afterHead, beforeReply, beforeRoll, rollWritten, afterRoll,
		beforeErase, afterErase, beforeDestroy, afterDestroy, leavesWritten, afterLeaves}
}

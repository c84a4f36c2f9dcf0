package journal

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sort"
	"sync"

	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/node/vault"
)

// segment is what is known of a segment without reading it. What the committer adds to the newest
// one is guarded by Journal.mu, and only ever appended; of all others nothing changes but the
// index that is loaded: a segment that changes its form becomes another segment.
type segment struct {
	header
	summary

	cipher vault.Key
	dead   bool // its key was destroyed

	// Of the newest segment, and of one whose index could not be written: what the index would hold.
	postings []posting
	places   []place
	memories []remembered
	bookings []booking // what it books as erased; of a segment that was read
	indexed  bool      // there is an index file, which holds them instead

	loading sync.Mutex // guards table
	table   *table
}

// summary is what a segment sums up to.
type summary struct {
	end            int64  // where its last group ends
	leaves         uint64 // in it
	passages       uint64
	last           hash  // of its last frame, or its header's seed
	oldest, newest int64 // times of its passages, Unix nanoseconds
	forget         int64 // until when an ask in it must be remembered
}

// posting says where a passage lies that has a mark.
type posting struct {
	mark  mark
	frame uint32 // offset
	place uint32
}

// place says where a group lies, so that a leaf is found without reading everything before it.
type place struct {
	leaf  uint32 // index, from the segment's first
	group uint32 // offset
}

// placeStride is how far the places lie apart at least.
const placeStride = 32 << 10

// remembered is an ask in a segment.
type remembered struct {
	Memory
	frame, place uint32
}

// copy is the segment as it is now.
func (s *segment) copy() *segment {
	return &segment{header: s.header, summary: s.summary, cipher: s.cipher, dead: s.dead,
		postings: s.postings, places: s.places, memories: s.memories, bookings: s.bookings, indexed: s.indexed}
}

func (s *segment) until() uint64 { return s.first + s.leaves }

func (h header) name() string {
	if h.form == formLeaves {
		return leavesName(h.number)
	}
	return segmentName(h.number)
}

func segmentName(number uint64) string { return fmt.Sprintf("%08d.seg", number) }
func leavesName(number uint64) string  { return fmt.Sprintf("%08d.leaves", number) }
func indexName(number uint64) string   { return fmt.Sprintf("%08d.idx", number) }

func newSegment(h header) *segment {
	return &segment{header: h, summary: summary{end: headerSize, last: h.seed(), oldest: math.MaxInt64, newest: math.MinInt64}}
}

// add takes up a frame.
func (s *segment) add(f *frame) {
	s.leaves++
	s.passages += uint64(len(f.passages))
	s.last = f.hash
}

// seen takes up the time of a passage.
func (s *summary) seen(at int64) {
	s.oldest, s.newest = min(s.oldest, at), max(s.newest, at)
}

// at is the place from which a leaf is found.
func (s *segment) at(places []place, index uint64) int64 {
	i := sort.Search(len(places), func(i int) bool { return s.first+uint64(places[i].leaf) > index })
	if i == 0 {
		return headerSize
	}
	return int64(places[i-1].group)
}

// mark adds a group to the places, if it lies far enough from the last.
func (s *segment) markPlace(leaf uint64, group int64) {
	if n := len(s.places); n == 0 || group-int64(s.places[n-1].group) >= placeStride {
		s.places = append(s.places, place{leaf: uint32(leaf - s.first), group: uint32(group)})
	}
}

// window is how much is read of a file at once.
const window = 128 << 10

// reader reads a segment's file. Not for concurrent use.
type reader struct {
	file disk.File
	name string
	form uint32
	end  int64 // nothing beyond is looked at

	buffer []byte
	start  int64 // where the buffer's content begins
}

// errMoved says that a segment was replaced by its leaves since it was looked up.
var errMoved = errors.New("the segment was replaced")

// open opens a segment's file for reading.
func (j *Journal) open(s *segment) (*reader, error) {
	f, err := j.files.OpenFile(filepath.Join(j.config.Dir, s.name()), os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errMoved
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return &reader{file: f, name: s.name(), form: s.form, end: s.end}, nil
}

func (r *reader) close() { r.file.Close() } // it was only read

// bytes returns n bytes at an offset, fewer at the end. They are valid until the next call.
func (r *reader) bytes(offset int64, n int) ([]byte, error) {
	if left := r.end - offset; int64(n) > left {
		n = int(max(left, 0))
	}
	if offset >= r.start && offset+int64(n) <= r.start+int64(len(r.buffer)) {
		return r.buffer[offset-r.start:][:n], nil
	}
	want := int(min(max(int64(n), window), r.end-offset))
	if want <= 0 {
		return nil, nil
	}
	if cap(r.buffer) < want {
		r.buffer = make([]byte, want)
	}
	r.buffer, r.start = r.buffer[:want], offset
	got, err := r.file.ReadAt(r.buffer, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		r.buffer = r.buffer[:0]
		return nil, fmt.Errorf("journal: read %s: %w", r.name, err)
	}
	r.buffer = r.buffer[:got]
	return r.buffer[:min(n, got)], nil
}

// group reads a group's head.
func (r *reader) group(offset int64) (groupHead, error) {
	b, err := r.bytes(offset, groupHeadSize)
	if err != nil {
		return groupHead{}, err
	}
	return parseGroupHead(b)
}

// frame reads a frame's head.
func (r *reader) frame(offset int64) (frame, error) {
	b, err := r.bytes(offset, frameFixed)
	if err != nil {
		return frame{}, err
	}
	size, err := frameSize(b)
	if err != nil {
		return frame{}, err
	}
	if b, err = r.bytes(offset, size); err != nil {
		return frame{}, err
	}
	return parseFrame(b, offset, r.form)
}

// body reads a sealed body. It returns nil if it was erased, or lies nowhere. What it returns is
// valid until the next call.
func (r *reader) body(s span) ([]byte, error) {
	if s.offset == 0 || s.length == 0 {
		return nil, nil
	}
	b, err := r.bytes(s.offset, int(s.length))
	if err != nil || blank(b) {
		return nil, err
	}
	return b, nil
}

// blank says whether bytes are all zero.
func blank(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// opened reads and opens a passage's entry. It returns nil if it was erased.
func (r *reader) opened(s *segment, f *frame, place int) (*body, error) {
	p := &f.passages[place]
	if s.dead || s.form == formLeaves {
		return nil, nil
	}
	sealed, err := r.body(p.entry)
	if sealed == nil || err != nil {
		return nil, err
	}
	plain, err := s.cipher.Open(sealed, aboutBody(s.number, p.commitment, bodyEntry))
	if err == nil {
		var b *body
		if b, err = decodeBody(plain); err == nil {
			return b, nil
		}
	}
	return nil, &Damage{r.name, p.entry.offset, f.index, BodyDamaged, fmt.Sprintf("the entry of passage %d", place)}
}

// evidence reads and opens a passage's evidence. It returns nil if it was erased, or never was.
func (r *reader) evidence(s *segment, f *frame, place int) ([]byte, error) {
	p := &f.passages[place]
	if s.dead || s.form == formLeaves {
		return nil, nil
	}
	sealed, err := r.body(p.evidence)
	if sealed == nil || err != nil {
		return nil, err
	}
	plain, err := s.cipher.Open(sealed, aboutBody(s.number, p.commitment, bodyEvidence))
	if err == nil {
		if plain, err = decodeEvidence(plain); err == nil {
			return plain, nil
		}
	}
	return nil, &Damage{r.name, p.evidence.offset, f.index, BodyDamaged, fmt.Sprintf("the evidence of passage %d", place)}
}

// walk reads the frames of a segment from the group at an offset on, in order, and stops at the
// first thing that is not as it was written (*Damage), or with the error of do; errStop is none.
// The hashes are followed from the second frame on, or from the first if the walk begins at the
// segment's.
func (r *reader) walk(s *segment, from int64, do func(group int64, f *frame) error) error {
	next, last := s.first, s.header.seed()
	if from != headerSize {
		g, err := r.group(from)
		if err != nil {
			return r.damage(from, s.first, err)
		}
		next, last = g.first, hash{}
	}
	for at := from; at < r.end; {
		ends := at + groupHeadSize + groupEndSize
		err := r.walkGroup(next, last, at, func(f *frame) error {
			next, last = f.index+1, f.hash
			ends += f.on(r.form)
			return do(at, f)
		})
		if errors.Is(err, errStop) {
			return nil
		}
		if err != nil {
			return err
		}
		at = ends
	}
	return nil
}

// errStop ends a walk.
var errStop = errors.New("enough")

// walkGroup reads the frames of the group at an offset. The first must be the leaf expected, and
// follow a hash, unless that is zero.
func (r *reader) walkGroup(next uint64, last hash, at int64, do func(f *frame) error) error {
	g, err := r.group(at)
	if err != nil {
		return r.damage(at, next, err)
	}
	if g.first != next {
		return r.misplaced(at, g.first, next, fmt.Sprintf("a group begins with leaf %d", g.first))
	}
	at += groupHeadSize
	written := int64(groupHeadSize + groupEndSize)
	for range g.frames {
		f, err := r.frame(at)
		if err != nil {
			return r.damage(at, next, err)
		}
		if f.index != next {
			return r.misplaced(at, f.index, next, fmt.Sprintf("leaf %d stands here", f.index))
		}
		if last != (hash{}) && follow(last, f.hashed) != f.hash {
			return &Damage{r.name, at, next, Damaged, "the frame does not follow from the one before"}
		}
		f.hashed = nil
		if err := do(&f); err != nil {
			return err
		}
		last = f.hash
		at += f.on(r.form)
		written += int64(f.length)
		next++
	}
	b, err := r.bytes(at, groupEndSize)
	if err != nil {
		return err
	}
	if string(b) != groupEnd || written != int64(g.length) {
		return &Damage{r.name, at, next - 1, Damaged, "the group does not end here"}
	}
	return nil
}

// order says what it is called that one leaf stands where another is expected.
func order(stands, expected uint64) string {
	if stands > expected {
		return Missing
	}
	return Reordered
}

// damage is the Damage that an error of reading means; another error stays what it is.
func (r *reader) damage(offset int64, index uint64, err error) error {
	if !errors.Is(err, errFormat) {
		return err
	}
	what := Damaged
	if b, readErr := r.bytes(offset, groupHeadSize); readErr == nil && blank(b) {
		what = Missing
	}
	return &Damage{r.name, offset, index, what, err.Error()}
}

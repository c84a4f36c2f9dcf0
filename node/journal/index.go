package journal

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/node/vault"
)

// An index file:
//
//	magic 8 | number 8 | form 4 | first leaf 8 | end 8 | leaves 8 | passages 8 | last hash 32 |
//	oldest 8 | newest 8 | forget 8 | places 4 | postings 4 | bytes of memories 4 |
//	CRC of the places 4 | CRC 4 | places, 8 each | fences | blocks of postings | memories
//
// Fences, blocks and memories are sealed under the segment's key, so that they end with it. A
// fence is the first mark of a block, so that one look-up reads one block, or as many as the mark
// fills.
const (
	indexMagic    = "ENTJIDX1"
	indexHeadSize = 128
	postingSize   = 16
	blockPostings = 256
)

// Which part of an index a seal is for.
const (
	indexFences   = 1
	indexBlock    = 2
	indexMemories = 3
)

func aboutIndex(segment uint64, part byte, block int) []byte {
	b := binary.BigEndian.AppendUint64([]byte("entente journal index\x00"), segment)
	return binary.BigEndian.AppendUint32(append(b, part), uint32(block))
}

func sealedSize(n int) int {
	if n == 0 {
		return 0
	}
	return n + vault.Overhead
}

// indexHead is what an index begins with.
type indexHead struct {
	summary
	number, first    uint64
	form             uint32
	places, postings uint32
	memories         uint32 // bytes, sealed
	placesSum        uint32
}

func (h indexHead) blocks() int { return (int(h.postings) + blockPostings - 1) / blockPostings }

func (h indexHead) placesAt() int64 { return indexHeadSize }
func (h indexHead) fencesAt() int64 { return h.placesAt() + 8*int64(h.places) }
func (h indexHead) fencesSize() int { return sealedSize(8 * h.blocks()) }
func (h indexHead) blockAt(i int) int64 {
	return h.fencesAt() + int64(h.fencesSize()) + int64(i)*int64(sealedSize(blockPostings*postingSize))
}
func (h indexHead) blockSize(i int) int {
	return sealedSize(min(blockPostings, int(h.postings)-i*blockPostings) * postingSize)
}
func (h indexHead) memoriesAt() int64 {
	if n := h.blocks(); n > 0 {
		return h.blockAt(n-1) + int64(h.blockSize(n-1))
	}
	return h.fencesAt()
}
func (h indexHead) size() int64 { return h.memoriesAt() + int64(h.memories) }

func (h indexHead) encode() []byte {
	b := make([]byte, 0, indexHeadSize)
	b = append(b, indexMagic...)
	b = binary.BigEndian.AppendUint64(b, h.number)
	b = binary.BigEndian.AppendUint32(b, h.form)
	for _, v := range []uint64{h.first, uint64(h.end), h.leaves, h.passages} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = append(b, h.last[:]...)
	for _, v := range []int64{h.oldest, h.newest, h.forget} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	for _, v := range []uint32{h.places, h.postings, h.memories, h.placesSum} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return binary.BigEndian.AppendUint32(b, checksum(b))
}

func parseIndexHead(b []byte) (indexHead, error) {
	if len(b) < indexHeadSize || string(b[:8]) != indexMagic {
		return indexHead{}, malformed("this is no index of a journal")
	}
	b = b[:indexHeadSize]
	if binary.BigEndian.Uint32(b[indexHeadSize-4:]) != checksum(b[:indexHeadSize-4]) {
		return indexHead{}, malformed("the checksum of the index's head is wrong")
	}
	u64 := func(at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
	u32 := func(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	return indexHead{
		number: u64(8), form: u32(16), first: u64(20),
		summary: summary{end: int64(u64(28)), leaves: u64(36), passages: u64(44), last: hash(b[52:84]),
			oldest: int64(u64(84)), newest: int64(u64(92)), forget: int64(u64(100))},
		places: u32(108), postings: u32(112), memories: u32(116), placesSum: u32(120),
	}, nil
}

// table is what is kept of an index in memory.
type table struct {
	indexHead
	list   []place
	fences []mark
}

// encodeIndex is the index of a segment.
func encodeIndex(s *segment) []byte {
	postings := slices.Clone(s.postings)
	sortPostings(postings)
	head := indexHead{summary: s.summary, number: s.number, first: s.first, form: s.form,
		places: uint32(len(s.places)), postings: uint32(len(postings))}
	places := make([]byte, 0, 8*len(s.places))
	for _, p := range s.places {
		places = binary.BigEndian.AppendUint32(places, p.leaf)
		places = binary.BigEndian.AppendUint32(places, p.group)
	}
	head.placesSum = checksum(places)
	var fences, blocks, memories []byte
	for i := range head.blocks() {
		part := postings[i*blockPostings : min((i+1)*blockPostings, len(postings))]
		fences = binary.BigEndian.AppendUint64(fences, uint64(part[0].mark))
		block := make([]byte, 0, len(part)*postingSize)
		for _, p := range part {
			block = binary.BigEndian.AppendUint64(block, uint64(p.mark))
			block = binary.BigEndian.AppendUint32(block, p.frame)
			block = binary.BigEndian.AppendUint32(block, p.place)
		}
		blocks = append(blocks, s.cipher.Seal(block, aboutIndex(s.number, indexBlock, i))...)
	}
	if len(fences) > 0 {
		fences = s.cipher.Seal(fences, aboutIndex(s.number, indexFences, 0))
	}
	if len(s.memories) > 0 {
		memories = s.cipher.Seal(encodeMemories(s.memories), aboutIndex(s.number, indexMemories, 0))
	}
	head.memories = uint32(len(memories))
	return slices.Concat(head.encode(), places, fences, blocks, memories)
}

func sortPostings(p []posting) {
	slices.SortFunc(p, func(a, b posting) int {
		return cmp.Or(cmp.Compare(a.mark, b.mark), cmp.Compare(a.frame, b.frame), cmp.Compare(a.place, b.place))
	})
}

func encodeMemories(list []remembered) (b []byte) {
	for _, m := range list {
		for _, part := range []string{m.Asker, m.AskID, string(m.Digest)} {
			b = append(b, byte(len(part)))
			b = append(b, part...)
		}
		b = binary.BigEndian.AppendUint64(b, uint64(m.ForgetAfter.UnixNano()))
		b = binary.BigEndian.AppendUint32(b, m.frame)
		b = binary.BigEndian.AppendUint32(b, m.place)
	}
	return b
}

func decodeMemories(b []byte) (list []remembered, err error) {
	for len(b) > 0 {
		var parts [3]string
		for i := range parts {
			if len(b) < 1 || len(b) < 1+int(b[0]) {
				return nil, malformed("the memories are cut")
			}
			parts[i], b = string(b[1:1+int(b[0])]), b[1+int(b[0]):]
		}
		if len(b) < 16 {
			return nil, malformed("the memories are cut")
		}
		list = append(list, remembered{
			Memory: Memory{Asker: parts[0], AskID: parts[1], Digest: []byte(parts[2]),
				ForgetAfter: time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC()},
			frame: binary.BigEndian.Uint32(b[8:]), place: binary.BigEndian.Uint32(b[12:]),
		})
		b = b[16:]
	}
	return list, nil
}

// openIndex opens a segment's index file, and reads what it begins with. Whoever gets no error
// closes the file.
func (j *Journal) openIndex(s header) (disk.File, indexHead, error) {
	name := filepath.Join(j.config.Dir, indexName(s.number))
	f, err := j.files.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, indexHead{}, err
	}
	head, err := func() (indexHead, error) {
		b := make([]byte, indexHeadSize)
		if err := readFull(f, b, 0); err != nil {
			return indexHead{}, err
		}
		head, err := parseIndexHead(b)
		if err != nil {
			return head, err
		}
		if head.number != s.number || head.first != s.first || head.form != s.form {
			return head, malformed("the index belongs to another segment")
		}
		if size, err := f.Size(); err != nil {
			return head, err
		} else if size != head.size() {
			return head, malformed("an index of %d bytes, expected %d", size, head.size())
		}
		return head, nil
	}()
	if err != nil {
		return nil, head, errors.Join(err, f.Close())
	}
	return f, head, nil
}

// readFull reads exactly what it is asked for.
func readFull(f disk.File, b []byte, at int64) error {
	if n, err := f.ReadAt(b, at); n < len(b) {
		return malformed("the file ends at byte %d: %v", at+int64(n), err)
	}
	return nil
}

// readPart reads and opens a sealed part of an index.
func readPart(f disk.File, s *segment, at int64, size int, part byte, block int) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	b := make([]byte, size)
	if err := readFull(f, b, at); err != nil {
		return nil, err
	}
	plain, err := s.cipher.Open(b, aboutIndex(s.number, part, block))
	if err != nil {
		return nil, malformed("part %d, block %d of the index", part, block)
	}
	return plain, nil
}

// readTable reads what is kept of an index in memory.
func readTable(f disk.File, head indexHead, s *segment) (*table, error) {
	t := &table{indexHead: head}
	b := make([]byte, 8*int(head.places))
	if err := readFull(f, b, head.placesAt()); err != nil {
		return nil, err
	}
	if checksum(b) != head.placesSum {
		return nil, malformed("the checksum of the places is wrong")
	}
	for ; len(b) > 0; b = b[8:] {
		t.list = append(t.list, place{leaf: binary.BigEndian.Uint32(b), group: binary.BigEndian.Uint32(b[4:])})
	}
	fences, err := readPart(f, s, head.fencesAt(), head.fencesSize(), indexFences, 0)
	if err != nil {
		return nil, err
	}
	for ; len(fences) >= 8; fences = fences[8:] {
		t.fences = append(t.fences, mark(binary.BigEndian.Uint64(fences)))
	}
	if len(t.fences) != head.blocks() {
		return nil, malformed("%d fences for %d blocks", len(t.fences), head.blocks())
	}
	return t, nil
}

// block reads and opens a block of postings.
func (t *table) block(f disk.File, s *segment, i int) (list []posting, err error) {
	b, err := readPart(f, s, t.blockAt(i), t.blockSize(i), indexBlock, i)
	if err != nil {
		return nil, err
	}
	for ; len(b) >= postingSize; b = b[postingSize:] {
		list = append(list, posting{mark: mark(binary.BigEndian.Uint64(b)),
			frame: binary.BigEndian.Uint32(b[8:]), place: binary.BigEndian.Uint32(b[12:])})
	}
	return list, nil
}

// find returns the postings of a mark, in the segment's order.
func (t *table) find(f disk.File, s *segment, m mark) (found []posting, err error) {
	// The block before the first whose fence is m may end with m.
	i, _ := slices.BinarySearch(t.fences, m)
	for i = max(i-1, 0); i < len(t.fences) && t.fences[i] <= m; i++ {
		list, err := t.block(f, s, i)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			if p.mark == m {
				found = append(found, p)
			}
		}
	}
	return found, nil
}

// writeIndex writes a segment's index file, unless the segment was replaced meanwhile (errMoved).
func (j *Journal) writeIndex(s *segment) error {
	j.indexing.Lock()
	defer j.indexing.Unlock()
	if j.replaced(s) {
		return errMoved
	}
	if err := disk.Replace(j.files, filepath.Join(j.config.Dir, indexName(s.number)), encodeIndex(s), 0o600); err != nil {
		return fmt.Errorf("journal: index of segment %d: %w", s.number, err)
	}
	return nil
}

// replaced says whether a segment is not any more what it was when it was looked up.
func (j *Journal) replaced(s *segment) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if s.number > uint64(len(j.segments)) {
		return false // the journal is being opened
	}
	now := j.segments[s.number-1]
	return now.form != s.form || now.dead != s.dead
}

// gatherIndex reads a segment and fills what its index holds.
func (j *Journal) gatherIndex(s *segment) error {
	r, err := j.open(s)
	if err != nil {
		return err
	}
	defer r.close()
	if r.end, err = r.file.Size(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if r.end, err = r.trimmed(headerSize); err != nil {
		return err
	}
	fresh := newSegment(s.header)
	fresh.cipher, fresh.dead = s.cipher, s.dead
	err = r.walk(fresh, headerSize, func(group int64, f *frame) error {
		return j.take(fresh, r, group, f)
	})
	if err != nil {
		return err
	}
	fresh.end = r.end
	s.summary, s.postings, s.places, s.memories = fresh.summary, fresh.postings, fresh.places, fresh.memories
	return nil
}

// take takes up a frame that was read: in the summary, the places, the postings, the memories.
func (j *Journal) take(s *segment, r *reader, group int64, f *frame) error {
	s.markPlace(f.index, group)
	s.add(f)
	s.seen(leafTime(f.leaf))
	for i := range f.passages {
		b, err := r.opened(s, f, i)
		if err != nil {
			return err
		}
		if b == nil {
			continue
		}
		e, err := b.message()
		if err != nil {
			return &Damage{r.name, f.passages[i].entry.offset, f.index, BodyDamaged, err.Error()}
		}
		if k, ok := booked(b, e); ok {
			s.bookings = append(s.bookings, k)
		}
		if err := j.post(s, f.offset, i, b, e); err != nil {
			return &Damage{r.name, f.passages[i].entry.offset, f.index, BodyDamaged, err.Error()}
		}
	}
	return nil
}

// trimmed is where the zeros begin that end a file, looked for down to an offset.
func (r *reader) trimmed(from int64) (int64, error) {
	end := r.end
	for end > from {
		start := max(from, end-window)
		b, err := r.bytes(start, int(end-start))
		if err != nil {
			return 0, err
		}
		for n := len(b); n > 0; n-- {
			if b[n-1] != 0 {
				return start + int64(n), nil
			}
		}
		end = start
	}
	return from, nil
}

package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/entente-mesh/entente/node/vault"
	"github.com/entente-mesh/entente/pki/evidence"
)

// All numbers are big-endian.
//
// A segment's header, headerSize bytes:
//
//	magic 8 | number 8 | first leaf 8 | key id 8 | created at 8 (Unix nanoseconds) |
//	journal 32 (whose it is) | hash of the last frame before 32 | form 4 | CRC 4
//
// A group, the head, the frames and the end:
//
//	mark 4 | length 4 (head and end included) | first leaf 8 | frames 4 |
//	CRC of the frames as they were written 4 | CRC 4 | frames | end mark 4
//
// A frame, the head and the bodies:
//
//	mark 4 | length 4 (bodies included) | leaf's index 8 | passages 4 | leaf 64 |
//	for each passage: commitment 32, length of the entry's body 4, of the evidence's 4 (0: none) |
//	hash 32 (of the hash before, and the head up to here) | CRC 4 |
//	for each passage: the entry's body, the evidence's body
//
// In a segment of leaves alone the frames have no bodies; everything else is the same, byte for
// byte, so that the hashes still lead from frame to frame.
const (
	segmentMagic = "ENTJRNL1"
	groupMark    = "EJG1"
	groupEnd     = "EJGe"
	frameMark    = "EJF1"

	headerSize    = 112
	headerHashed  = 104 // what of the header is in the hash: not the form, which changes
	groupHeadSize = 28
	groupEndSize  = 4
	frameFixed    = 84 // a frame's head before its passages
	passageSize   = 40
	frameRest     = 36 // hash and CRC
)

// The bounds of what is written, and of what is believed when it is read.
const (
	// maxPassages is how many passages share a leaf at the most.
	maxPassages = 4096
	// maxRecord is how many bytes one call may record: a signed message has up to 4 MiB.
	maxRecord = 16 << 20
	// gather is how many bytes a group gathers before the next one begins.
	gather = 4 << 20
	// maxGroup is the largest group that can come of that.
	maxGroup = 32 << 20
)

// The forms of a segment.
const (
	formWhole  = 1
	formLeaves = 2
)

// errFormat says that bytes are not what belongs there. Its text is for the log.
var errFormat = errors.New("not what the journal writes")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errFormat, fmt.Sprintf(format, args...))
}

type hash = [sha256.Size]byte

// castagnoli has an instruction of its own on the processors that matter.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// header is a segment's.
type header struct {
	number   uint64
	first    uint64 // index of its first leaf
	key      uint64
	created  int64
	journal  hash // of which journal
	previous hash // of the last frame before it
	form     uint32
}

func (h header) encode() []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, segmentMagic...)
	b = binary.BigEndian.AppendUint64(b, h.number)
	b = binary.BigEndian.AppendUint64(b, h.first)
	b = binary.BigEndian.AppendUint64(b, h.key)
	b = binary.BigEndian.AppendUint64(b, uint64(h.created))
	b = append(b, h.journal[:]...)
	b = append(b, h.previous[:]...)
	b = binary.BigEndian.AppendUint32(b, h.form)
	return binary.BigEndian.AppendUint32(b, checksum(b))
}

// seed is the hash that the segment's first frame follows.
func (h header) seed() hash { return sha256.Sum256(h.encode()[:headerHashed]) }

func parseHeader(b []byte) (header, error) {
	if len(b) < headerSize {
		return header{}, malformed("a header of %d bytes, expected %d", len(b), headerSize)
	}
	b = b[:headerSize]
	if string(b[:8]) != segmentMagic {
		return header{}, malformed("this is no segment of a journal")
	}
	if binary.BigEndian.Uint32(b[headerSize-4:]) != checksum(b[:headerSize-4]) {
		return header{}, malformed("the header's checksum is wrong")
	}
	h := header{
		number:   binary.BigEndian.Uint64(b[8:]),
		first:    binary.BigEndian.Uint64(b[16:]),
		key:      binary.BigEndian.Uint64(b[24:]),
		created:  int64(binary.BigEndian.Uint64(b[32:])),
		journal:  hash(b[40:72]),
		previous: hash(b[72:104]),
		form:     binary.BigEndian.Uint32(b[104:]),
	}
	if h.form != formWhole && h.form != formLeaves {
		return header{}, malformed("form %d is not known", h.form)
	}
	return h, nil
}

// groupHead is the head of a group.
type groupHead struct {
	length uint32 // of the whole group, as it was written
	first  uint64
	frames uint32
	sum    uint32 // of the frames, as they were written
}

func (g groupHead) append(b []byte) []byte {
	start := len(b)
	b = append(b, groupMark...)
	b = binary.BigEndian.AppendUint32(b, g.length)
	b = binary.BigEndian.AppendUint64(b, g.first)
	b = binary.BigEndian.AppendUint32(b, g.frames)
	b = binary.BigEndian.AppendUint32(b, g.sum)
	return binary.BigEndian.AppendUint32(b, checksum(b[start:]))
}

func parseGroupHead(b []byte) (groupHead, error) {
	if len(b) < groupHeadSize {
		return groupHead{}, malformed("a group's head of %d bytes, expected %d", len(b), groupHeadSize)
	}
	b = b[:groupHeadSize]
	if string(b[:4]) != groupMark {
		return groupHead{}, malformed("no group begins here")
	}
	if binary.BigEndian.Uint32(b[groupHeadSize-4:]) != checksum(b[:groupHeadSize-4]) {
		return groupHead{}, malformed("the checksum of the group's head is wrong")
	}
	g := groupHead{
		length: binary.BigEndian.Uint32(b[4:]),
		first:  binary.BigEndian.Uint64(b[8:]),
		frames: binary.BigEndian.Uint32(b[16:]),
		sum:    binary.BigEndian.Uint32(b[20:]),
	}
	if g.frames == 0 || g.length < groupHeadSize+groupEndSize || g.length > maxGroup {
		return groupHead{}, malformed("a group of %d frames and %d bytes", g.frames, g.length)
	}
	return g, nil
}

// frame is a frame's head, and where it lies.
type frame struct {
	offset   int64 // in its file
	size     int   // of the head
	length   uint32
	index    uint64
	leaf     [evidence.LeafSize]byte
	passages []framed
	hash     hash
	hashed   []byte // what of the head is in the hash; valid as long as what it was parsed from
}

// framed is a passage in a frame.
type framed struct {
	commitment      hash
	entry, evidence span
}

// span is where a body lies: in its file, or nowhere in a segment of leaves.
type span struct {
	offset int64
	length uint32
}

func frameHeadSize(passages int) int { return frameFixed + passages*passageSize + frameRest }

// appendFrame appends a frame. The bodies of passage i are bodies[2*i], the entry, and
// bodies[2*i+1], the evidence.
func appendFrame(b []byte, index uint64, leaf [evidence.LeafSize]byte, commitments []hash, bodies [][]byte, previous hash) ([]byte, hash) {
	start := len(b)
	length := frameHeadSize(len(commitments))
	for _, body := range bodies {
		length += len(body)
	}
	b = append(b, frameMark...)
	b = binary.BigEndian.AppendUint32(b, uint32(length))
	b = binary.BigEndian.AppendUint64(b, index)
	b = binary.BigEndian.AppendUint32(b, uint32(len(commitments)))
	b = append(b, leaf[:]...)
	for i, c := range commitments {
		b = append(b, c[:]...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(bodies[2*i])))
		b = binary.BigEndian.AppendUint32(b, uint32(len(bodies[2*i+1])))
	}
	next := follow(previous, b[start:])
	b = append(b, next[:]...)
	b = binary.BigEndian.AppendUint32(b, checksum(b[start:]))
	for _, body := range bodies {
		b = append(b, body...)
	}
	return b, next
}

// follow is the hash of a frame: of the hash before it and its head.
func follow(previous hash, head []byte) (next hash) {
	h := sha256.New()
	h.Write(previous[:])
	h.Write(head)
	h.Sum(next[:0])
	return next
}

// frameSize reads of a frame's first bytes how long its head is.
func frameSize(b []byte) (int, error) {
	if len(b) < frameFixed {
		return 0, malformed("a frame's head of %d bytes, expected at least %d", len(b), frameFixed)
	}
	if string(b[:4]) != frameMark {
		return 0, malformed("no frame begins here")
	}
	n := binary.BigEndian.Uint32(b[16:])
	if n == 0 || n > maxPassages {
		return 0, malformed("a frame of %d passages", n)
	}
	return frameHeadSize(int(n)), nil
}

// parseFrame reads a frame's head, which lies at an offset of a segment of a form.
func parseFrame(b []byte, offset int64, form uint32) (frame, error) {
	size, err := frameSize(b)
	if err != nil {
		return frame{}, err
	}
	if len(b) < size {
		return frame{}, malformed("a frame's head of %d bytes, expected %d", len(b), size)
	}
	b = b[:size]
	if binary.BigEndian.Uint32(b[size-4:]) != checksum(b[:size-4]) {
		return frame{}, malformed("the frame's checksum is wrong")
	}
	f := frame{
		offset: offset, size: size,
		length: binary.BigEndian.Uint32(b[4:]),
		index:  binary.BigEndian.Uint64(b[8:]),
		leaf:   [evidence.LeafSize]byte(b[20:frameFixed]),
		hash:   hash(b[size-frameRest:]),
		hashed: b[:size-frameRest],
	}
	f.passages = make([]framed, (size-frameFixed-frameRest)/passageSize)
	at := uint64(size)
	for i := range f.passages {
		p := b[frameFixed+i*passageSize:]
		f.passages[i].commitment = hash(p[:32])
		for k, s := range []*span{&f.passages[i].entry, &f.passages[i].evidence} {
			s.length = binary.BigEndian.Uint32(p[32+4*k:])
			if s.length < vault.Overhead && !(k == 1 && s.length == 0) {
				return frame{}, malformed("a body of %d bytes", s.length)
			}
			if form == formWhole {
				s.offset = offset + int64(at)
			}
			at += uint64(s.length)
		}
	}
	if at != uint64(f.length) || at > maxGroup {
		return frame{}, malformed("a frame of %d bytes whose parts have %d", f.length, at)
	}
	return f, nil
}

// on returns how many bytes a frame takes in a file of a form.
func (f *frame) on(form uint32) int64 {
	if form == formLeaves {
		return int64(f.size)
	}
	return int64(f.length)
}

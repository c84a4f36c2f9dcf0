package journal

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/entente-mesh/entente/node/disk/disktest"
)

// FuzzFormat reads any bytes as each of the things that lie in a journal's files. What is accepted
// is what would be written.
func FuzzFormat(f *testing.F) {
	h := header{number: 1, first: 2, key: 3, created: 4, form: formWhole}
	f.Add(h.encode())
	f.Add(groupHead{length: 500, first: 1, frames: 1, sum: 9}.append(nil))
	frameBytes, _ := appendFrame(nil, 7, [64]byte{1}, make([]hash, 2), [][]byte{make([]byte, 40), nil, make([]byte, 40), make([]byte, 50)}, hash{})
	f.Add(frameBytes)
	f.Add(durable{segment: 1, end: 2, leaves: 3}.encode())
	f.Add(indexHead{number: 1, places: 1, postings: 2}.encode())
	b := &body{quotes: []mark{1, 2}, memory: &Memory{Asker: "FRA", AskID: "x", Digest: []byte{1}}, entry: []byte{8, 1}}
	f.Add(b.encode())
	f.Add(encodeMemories([]remembered{{Memory: *b.memory, frame: 1}}))
	f.Fuzz(func(t *testing.T, in []byte) {
		// A checksum keeps a fuzzer out: it is put right, where there is one.
		sealed := bytes.Clone(in)
		for _, size := range []int{headerSize, groupHeadSize, headSize, indexHeadSize} {
			if len(sealed) == size {
				binary.BigEndian.PutUint32(sealed[size-4:], checksum(sealed[:size-4]))
			}
		}
		if n, err := frameSize(sealed); err == nil && len(sealed) >= n {
			binary.BigEndian.PutUint32(sealed[n-4:], checksum(sealed[:n-4]))
		}
		if h, err := parseHeader(sealed); err == nil && !bytes.Equal(h.encode(), sealed[:headerSize]) {
			t.Error("header")
		}
		if g, err := parseGroupHead(sealed); err == nil && !bytes.Equal(g.append(nil), sealed[:groupHeadSize]) {
			t.Error("group")
		}
		if d, err := parseDurable(sealed); err == nil && !bytes.Equal(d.encode(), sealed) {
			t.Error("head")
		}
		if h, err := parseIndexHead(sealed); err == nil {
			if !bytes.Equal(h.encode(), sealed[:indexHeadSize]) {
				t.Error("index")
			}
			h.size()
		}
		if f, err := parseFrame(sealed, 1000, formWhole); err == nil {
			end := f.offset + int64(f.length)
			for _, p := range f.passages {
				if p.entry.offset+int64(p.entry.length) > end || p.evidence.offset+int64(p.evidence.length) > end {
					t.Error("a body lies outside its frame")
				}
			}
		}
		if list, err := decodeMemories(in); err == nil && !bytes.Equal(encodeMemories(list), in) {
			t.Error("memories")
		}
		if b, err := decodeBody(in); err == nil {
			b.commitment()
			if _, err := b.message(); err != nil {
				_ = err // an entry that is none is told
			}
		}
		if signed, err := decodeEvidence(in); err == nil && len(signed) > len(in) {
			t.Error("evidence")
		}
	})
}

// FuzzSegment walks any bytes as a segment, behind a header that is right: whoever reads it ends,
// and reads nothing beyond it.
func FuzzSegment(f *testing.F) {
	h := header{number: 1, form: formWhole}
	one, _ := appendFrame(nil, 0, [64]byte{1}, make([]hash, 1), [][]byte{make([]byte, 40), nil}, h.seed())
	g := groupHead{length: uint32(len(one) + groupHeadSize + groupEndSize), frames: 1, sum: checksum(one)}.append(nil)
	f.Add(append(append(g, one...), groupEnd...))
	f.Add(append(append(bytes.Clone(g), one[:100]...), make([]byte, 900)...))
	f.Fuzz(func(t *testing.T, in []byte) {
		disk := disktest.New()
		disk.Put("x", append(h.encode(), in...))
		file, err := disk.OpenFile("x", 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		r := &reader{file: file, name: "x", form: formWhole, end: int64(headerSize + len(in))}
		leaves := uint64(0)
		err = r.walk(newSegment(h), headerSize, func(_ int64, f *frame) error {
			if f.index != leaves {
				t.Errorf("leaf %d, expected %d", f.index, leaves)
			}
			leaves++
			return nil
		})
		if err == nil && leaves == 0 && len(in) > 0 {
			t.Error("something was read as nothing")
		}
		if _, err := r.torn(headerSize); err != nil {
			t.Error(err)
		}
	})
}

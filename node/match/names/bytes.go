package names

import (
	"encoding/binary"
	"math"
)

// writer appends numbers and texts to a saved index.
type writer struct{ b []byte }

func (w *writer) u32(v uint32)  { w.b = binary.LittleEndian.AppendUint32(w.b, v) }
func (w *writer) u64(v uint64)  { w.b = binary.LittleEndian.AppendUint64(w.b, v) }
func (w *writer) f32(v float32) { w.u32(math.Float32bits(v)) }

func (w *writer) flag(v bool) {
	if v {
		w.b = append(w.b, 1)
		return
	}
	w.b = append(w.b, 0)
}

func (w *writer) text(s string) {
	w.u32(uint32(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) u32s(all []uint32) {
	w.u32(uint32(len(all)))
	for _, v := range all {
		w.u32(v)
	}
}

func (w *writer) u64s(all []uint64) {
	w.u32(uint32(len(all)))
	for _, v := range all {
		w.u64(v)
	}
}

// reader takes a saved index apart. What is too short fails, once and for all; then everything is
// zero.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.failed, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) f32() float32 { return math.Float32frombits(r.u32()) }

// count reads how many follow, each of at least so many bytes: more than there are is a failure, not
// an allocation.
func (r *reader) count(size int) int {
	n := int(r.u32())
	if n > len(r.b)/size {
		r.failed, r.b = true, nil
		return 0
	}
	return n
}

func (r *reader) text() string { return string(r.take(int(r.u32()))) }

func (r *reader) u32s() []uint32 {
	n := r.count(4)
	all := make([]uint32, n)
	b := r.take(4 * n)
	for i := range all {
		all[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return all
}

func (r *reader) u64s() []uint64 {
	n := r.count(8)
	all := make([]uint64, n)
	b := r.take(8 * n)
	for i := range all {
		all[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return all
}

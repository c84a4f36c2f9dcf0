package names

import (
	"crypto/sha256"
	"errors"
	"math"
	"sync/atomic"

	"github.com/entente-mesh/entente/node/match/people"
)

// magic opens a saved index; the last digit is the version of its form.
const magic = "ENTENTE NAMES 3\n"

// ErrDamaged says that a saved index is not what was saved.
var ErrDamaged = errors.New("the saved index is damaged: build it from the records")

// Marshal returns the index as bytes, those who were withdrawn left out. It holds names: whoever
// keeps it encrypts it. Nobody waits for it, neither who searches nor who changes the index; who is
// put or withdrawn meanwhile may be in it or not.
func (x *Index) Marshal() []byte {
	all := x.allFrozen()
	var whole *segment
	if len(all) == 1 && all[0].gone.Load() == 0 {
		whole = all[0]
	} else {
		whole, _ = mergeSegments(all)
	}
	var w writer
	whole.save(&w)
	return seal(w.b, madeBy())
}

// seal puts the head before a saved segment: the form, what it was made by, and a checksum.
func seal(body []byte, by [sha256.Size]byte) []byte {
	sum := sha256.Sum256(body)
	out := make([]byte, 0, sealed+len(body))
	out = append(append(append(out, magic...), by[:]...), sum[:]...)
	return append(out, body...)
}

// sealed is the length of the head.
const sealed = len(magic) + 2*sha256.Size

// Unmarshal returns the index that Marshal saved: ErrStale if another version did, ErrDamaged if
// it is not whole.
func Unmarshal(b []byte) (*Index, error) { return unmarshal(b, madeBy()) }

func unmarshal(b []byte, by [sha256.Size]byte) (*Index, error) {
	if len(b) < sealed || string(b[:len(magic)]) != magic {
		return nil, ErrStale
	}
	if [sha256.Size]byte(b[len(magic):]) != by {
		return nil, ErrStale
	}
	body := b[sealed:]
	if [sha256.Size]byte(b[sealed-sha256.Size:]) != sha256.Sum256(body) {
		return nil, ErrDamaged
	}
	r := reader{b: body}
	s := loadSegment(&r)
	if r.failed || len(r.b) > 0 || !s.link() {
		return nil, ErrDamaged
	}
	if s.stale() {
		return nil, ErrStale
	}
	x := NewIndex()
	x.view.Store(&view{frozen: []*segment{s}, head: newSegment()})
	return x, nil
}

func (w *word) save(out *writer) {
	out.text(w.text)
	out.text(w.latin)
	out.u32(w.group)
	out.u64(w.stem)
	out.b = append(out.b, byte(w.role), byte(len(w.forms)))
	out.f32(w.share)
	out.f32(w.shared)
	for _, f := range w.forms {
		out.text(string(f.sound))
		out.f32(f.cost)
		out.flag(f.bare)
	}
}

// The least that is saved of each, in bytes.
const (
	leastWord     = 30
	leastFact     = 19
	leastDistinct = 8
)

func (w *word) load(r *reader) {
	w.text, w.latin, w.group, w.stem = r.text(), r.text(), r.u32(), r.u64()
	w.role = people.TokenRole(r.byte())
	w.forms = make([]form, r.byte())
	w.share, w.shared = r.f32(), r.f32()
	for i := range w.forms {
		sound := []byte(r.text())
		w.forms[i] = form{sound: sound, cost: r.f32(), set: soundSet(sound), bare: r.byte() != 0}
		r.failed = r.failed || len(sound) == 0
	}
}

func (s *segment) save(w *writer) {
	w.u32(uint32(len(s.words)))
	for i := range s.words {
		s.words[i].save(w)
	}
	w.u64s(s.keys.sorted)
	w.u32s(s.keys.at)
	w.u32s(s.keys.words)
	w.u32s(s.nameAt)
	w.u32s(s.nameWords)
	w.text(string(s.nameFlags))
	w.u32(uint32(len(s.facts)))
	for i := range s.facts {
		f := &s.facts[i]
		w.text(f.id)
		for _, n := range f.nationalities {
			w.u32(uint32(n))
		}
		for _, n := range f.born {
			w.u32(uint32(n))
		}
		w.b = append(w.b, f.names, f.births, f.sex)
		for _, b := range s.birthsOf(f) {
			w.u32(uint32(b.From))
			w.u32(uint32(b.To))
			w.flag(b.About)
		}
	}
	w.u32(uint32(len(s.distant)))
	for i := range s.facts {
		all, ok := s.distant[uint32(i)]
		if !ok {
			continue
		}
		w.u32(uint32(i))
		w.u32(uint32(len(all)))
		for _, d := range all {
			w.u32(uint32(d.born))
			w.u32(uint32(len(d.words)))
			for _, t := range d.words {
				w.text(t)
			}
		}
	}
}

func loadSegment(r *reader) *segment {
	s := newSegment()
	words := r.count(leastWord)
	s.words, s.byText = make([]word, words), make(map[string]uint32, words)
	for i := range s.words {
		d := &s.words[i]
		if d.load(r); r.failed {
			return s
		}
		s.byText[d.text] = uint32(i)
		s.near.add(d)
		s.roles, s.initials = append(s.roles, byte(d.role)), append(s.initials, initialOf(d))
	}
	s.keys = keyTable{sorted: r.u64s(), at: r.u32s(), words: r.u32s()}
	s.nameAt, s.nameWords, s.nameFlags = r.u32s(), r.u32s(), []byte(r.text())
	persons := r.count(leastFact)
	s.facts, s.byID = make([]facts, persons), make(map[string]uint32, persons)
	for i := range s.facts {
		f := &s.facts[i]
		f.id, f.firstName, f.birthAt = r.text(), uint32(len(s.nameOwner)), uint32(len(s.births))
		for k := range f.nationalities {
			f.nationalities[k] = uint16(r.u32())
		}
		for k := range f.born {
			f.born[k] = uint16(r.u32())
		}
		f.names, f.births, f.sex = r.byte(), r.byte(), r.byte()
		for range f.births {
			s.births = append(s.births, Span{From: int32(r.u32()), To: int32(r.u32()), About: r.byte() != 0})
		}
		for range f.names {
			s.nameOwner = append(s.nameOwner, uint32(i))
		}
		s.byID[f.id] = uint32(i)
		if r.failed {
			return s
		}
	}
	s.loadDistant(r)
	s.dead = make([]atomic.Uint32, persons/32+1)
	return s
}

func (s *segment) loadDistant(r *reader) {
	for range r.count(leastDistinct) {
		i := r.u32()
		for range r.count(leastDistinct) {
			d := distinction{born: int32(r.u32())}
			for range r.count(4) {
				d.words = append(d.words, r.text())
			}
			if s.distant == nil {
				s.distant = make(map[uint32][]distinction)
			}
			s.distant[i] = append(s.distant[i], d)
		}
	}
}

// link says whether the numbers of a loaded segment point into it, and makes what follows from them:
// the names of each word, and the persons of each day.
func (s *segment) link() bool {
	if len(s.byText) != len(s.words) || len(s.byID) != len(s.facts) ||
		!rising(s.nameAt, len(s.nameWords)) || len(s.nameAt) != len(s.nameOwner)+1 || len(s.nameFlags) != len(s.nameOwner) ||
		!within(s.nameWords, len(s.words)) || !within(s.keys.words, len(s.words)) ||
		!rising(s.keys.at, len(s.keys.words)) || len(s.keys.at) != len(s.keys.sorted)+1 {
		return false
	}
	for i := range s.keys.sorted {
		if i > 0 && s.keys.sorted[i] <= s.keys.sorted[i-1] {
			return false
		}
	}
	for i := range s.nameOwner {
		if s.nameAt[i+1]-s.nameAt[i] > maxWords {
			return false
		}
	}
	for i := range s.words {
		if !s.words[i].sane() {
			return false
		}
	}
	s.linkNames()
	var days dayTable
	for i := range s.facts {
		for _, b := range s.birthsOf(&s.facts[i]) {
			if b.From == b.To {
				days.pairs = append(days.pairs, dayPair{b.From, uint32(i)})
			}
		}
	}
	s.days = days.frozen()
	return true
}

// sane says that a loaded word can be reckoned with.
func (w *word) sane() bool {
	finite := func(v float32) bool { return v >= 0 && v <= math.MaxFloat32 }
	for _, f := range w.forms {
		if !finite(f.cost) {
			return false
		}
	}
	return finite(w.share) && finite(w.shared) && (w.latin == "" || w.readable())
}

// linkNames makes the list of names of each word.
func (s *segment) linkNames() {
	s.bearers, s.postings = make([]int32, len(s.words)), make([][]uint32, len(s.words))
	last := make([]uint32, len(s.words)) // the name that was counted last, from 1
	each := func(f func(w, name uint32)) {
		clear(last)
		for n := range uint32(len(s.nameOwner)) {
			for _, w := range s.wordsOf(n) {
				if last[w] != n+1 {
					last[w] = n + 1
					f(w, n)
				}
			}
		}
	}
	total := 0
	each(func(w, _ uint32) { s.bearers[w]++; total++ })
	all, at := make([]uint32, total), 0
	for w, n := range s.bearers {
		s.postings[w] = all[at : at : at+int(n)]
		at += int(n)
	}
	each(func(w, n uint32) { s.postings[w] = append(s.postings[w], n) })
}

func within(all []uint32, n int) bool {
	for _, v := range all {
		if int(v) >= n {
			return false
		}
	}
	return true
}

// rising says that numbers begin at 0, never fall and end at last.
func rising(all []uint32, last int) bool {
	for i := 1; i < len(all); i++ {
		if all[i] < all[i-1] {
			return false
		}
	}
	return len(all) > 0 && all[0] == 0 && int(all[len(all)-1]) == last
}

package names

import (
	"slices"
	"sync/atomic"
)

// segment holds some persons, their names as numbers of words, and the words. Nothing is kept for
// a name but its row in flat arrays; what is known of a word is kept once, however many bear it.
//
// A frozen segment is never changed but for the marks of who was withdrawn, which are atomic. The
// head is changed by one writer under the lock of the index.
type segment struct {
	words    []word
	byText   map[string]uint32
	initials []byte     // of a word: the first letter, with initialBit if it is the only one
	roles    []byte     // of a word
	postings [][]uint32 // of a word: the names that hold it, ascending
	bearers  []int32    // of a word: how many names of persons who can be found hold it; atomic
	keys     keyTable
	near     nearTable

	nameAt    []uint32 // of a name: where its words begin in nameWords; one more at the end
	nameWords []uint32
	nameOwner []uint32 // of a name: its person
	nameFlags []byte   // of a name: how far it is trusted, and where the surname ends

	facts   []facts
	births  []Span
	days    dayTable // persons by a day of birth
	distant map[uint32][]distinction
	byID    map[string]uint32 // persons who were put here last; those withdrawn as well

	kept keptLikes

	dead []atomic.Uint32 // bits: persons who were withdrawn
	gone atomic.Int32    // how many

	goneNames atomic.Int32 // how many names those had
}

// facts are what is known of one person beside the names.
type facts struct {
	id            string
	firstName     uint32
	birthAt       uint32
	nationalities [3]uint16
	born          bornSet
	names, births uint8
	sex           byte
}

const initialBit = 0x80

func newSegment() *segment {
	return &segment{byText: make(map[string]uint32), byID: make(map[string]uint32), nameAt: []uint32{0}}
}

// names is how many names those have who can be found.
func (s *segment) names() int { return len(s.nameOwner) - int(s.goneNames.Load()) }

// persons is how many can be found.
func (s *segment) persons() int { return len(s.facts) - int(s.gone.Load()) }

// number returns the number of a word, which it adds if it is new.
func (s *segment) number(w *word) uint32 {
	if n, ok := s.byText[w.text]; ok {
		return n
	}
	n := uint32(len(s.words))
	s.words = append(s.words, *w)
	s.byText[w.text] = n
	s.near.add(w)
	s.roles = append(s.roles, byte(w.role))
	s.initials = append(s.initials, initialOf(w))
	s.postings = append(s.postings, nil)
	s.bearers = append(s.bearers, 0)
	keys := w.keys
	if keys == nil {
		keys = w.allKeys()
	}
	for _, k := range keys {
		s.keys.add(k, n, s.rank)
	}
	s.words[n].keys = nil
	return n
}

// rank is the place of a word among those of a key: by its text alone, and like no other order.
func (s *segment) rank(n uint32) uint64 { return hashKey(keyWhole, s.words[n].text, -1) }

func initialOf(w *word) byte {
	if !w.readable() {
		return 0
	}
	c := w.forms[0].sound[0] & 31
	if len(w.latin) == 1 {
		c |= initialBit
	}
	return c
}

// add puts a prepared person at the end.
func (s *segment) add(p *prepared) uint32 {
	owner := uint32(len(s.facts))
	f := p.facts
	f.firstName, f.birthAt = uint32(len(s.nameOwner)), uint32(len(s.births))
	s.births = append(s.births, p.births...)
	for _, b := range p.births {
		if b.From == b.To {
			s.days.add(b.From, owner)
		}
	}
	s.facts = append(s.facts, f)
	if len(p.distinct) > 0 {
		if s.distant == nil {
			s.distant = make(map[uint32][]distinction)
		}
		s.distant[owner] = p.distinct
	}
	s.byID[f.id] = owner
	for i := range p.names {
		n := &p.names[i]
		id := uint32(len(s.nameOwner))
		for _, entry := range n.words {
			w := s.number(entry)
			s.nameWords = append(s.nameWords, w)
			if list := s.postings[w]; len(list) == 0 || list[len(list)-1] != id {
				s.postings[w] = append(list, id)
				s.bearers[w]++
			}
		}
		s.nameAt = append(s.nameAt, uint32(len(s.nameWords)))
		s.nameOwner = append(s.nameOwner, owner)
		s.nameFlags = append(s.nameFlags, n.flags)
	}
	if int(owner)>>5 >= len(s.dead) {
		// Grown by copying: the head is changed under a lock.
		dead := make([]atomic.Uint32, max(64, 2*len(s.dead)))
		for i := range s.dead {
			dead[i].Store(s.dead[i].Load())
		}
		s.dead = dead
	}
	return owner
}

func (s *segment) isDead(person uint32) bool {
	return s.dead[person>>5].Load()&(1<<(person&31)) != 0
}

func (s *segment) kill(person uint32) {
	if s.isDead(person) {
		return
	}
	s.dead[person>>5].Or(1 << (person & 31))
	s.gone.Add(1)
	f := &s.facts[person]
	s.goneNames.Add(int32(f.names))
	for n := f.firstName; n < f.firstName+uint32(f.names); n++ {
		words := s.wordsOf(n)
		for i, w := range words {
			if !slices.Contains(words[:i], w) {
				atomic.AddInt32(&s.bearers[w], -1)
			}
		}
	}
}

func (s *segment) wordsOf(name uint32) []uint32 {
	return s.nameWords[s.nameAt[name]:s.nameAt[name+1]]
}

func (s *segment) birthsOf(f *facts) []Span {
	return s.births[f.birthAt : f.birthAt+uint32(f.births)]
}

// Package names compares names of persons and finds them: in any script, spelling and order, with
// what else is known of a traveller. It keeps words once, however many bear them, and says of each
// pair of names how much more likely they are one person's than two strangers', in nats.
//
// It knows nothing of records, of policy or of who may be told; package match above makes evidence
// of what it finds. It does no input or output.
//
// One flow: Index.Search takes the name apart (newAsked), finds the words of the lists that are like
// its words (likes), counts how many bear them (newChances), collects the names that hold them
// (collect), puts the words of each side by side (assign), adds birth date, nationality and sex
// (rank), and explains the best.
package names

import (
	"iter"
	"slices"
	"sync"
	"sync/atomic"
)

// Sizes of segments.
const (
	headMost = 2048 // persons in the head before it is frozen
	mergeFan = 4    // segments of about one size that are merged into one
)

// Index finds persons by name. It is safe for concurrent use: those who search never wait for a
// merge, and for a change only while it is written into the head, which is a fraction of a
// millisecond.
type Index struct {
	known *lexicon
	pool  sync.Pool

	view atomic.Pointer[view] // what is searched; replaced as a whole

	writing sync.Mutex   // one change at a time
	head    sync.RWMutex // owns the content of the view's head
	merging sync.WaitGroup
	busy    atomic.Bool // a merge runs
}

// view is what is searched at one time.
type view struct {
	frozen []*segment // oldest first
	head   *segment
}

// NewIndex returns an empty index.
func NewIndex() *Index {
	x := &Index{known: newLexicon()}
	x.pool.New = func() any { return &scratch{known: x.known, place: make(map[uint32]int)} }
	x.view.Store(&view{head: newSegment()})
	return x
}

// Build returns an index of many persons at once, in one segment. Of two with one id, the later counts.
func Build(persons iter.Seq[*Person]) *Index {
	x := NewIndex()
	s := newSegment()
	s.keys.bulk = true
	for p := range persons {
		if old, ok := s.byID[p.ID]; ok {
			s.kill(old)
		}
		if ready := prepare(p, x.known); ready.some {
			s.add(ready)
		}
	}
	x.view.Store(&view{frozen: []*segment{s.freeze()}, head: newSegment()})
	return x
}

// Put adds a person, or replaces them; it returns false, and takes out who had the id, if there is
// no word in any of the names.
func (x *Index) Put(p *Person) bool {
	ready := prepare(p, x.known)
	x.writing.Lock()
	defer x.writing.Unlock()
	v := x.view.Load()
	x.head.Lock()
	v.kill(p.ID)
	if ready.some {
		v.head.add(ready)
	}
	full := len(v.head.facts) >= headMost
	x.head.Unlock()
	if full {
		x.freezeHead()
	}
	return ready.some
}

// freezeHead begins a new head. It is called by the writer.
func (x *Index) freezeHead() {
	v := x.view.Load()
	x.view.Store(&view{append(slices.Clone(v.frozen), v.head.freeze()), newSegment()})
	x.merge()
}

// allFrozen returns all segments, with nobody in a head.
func (x *Index) allFrozen() []*segment {
	x.writing.Lock()
	defer x.writing.Unlock()
	if len(x.view.Load().head.facts) > 0 {
		x.freezeHead()
	}
	return x.view.Load().frozen
}

// Remove takes a person out; nothing happens if they are not in the index.
func (x *Index) Remove(id string) {
	x.writing.Lock()
	defer x.writing.Unlock()
	x.head.Lock()
	defer x.head.Unlock()
	x.view.Load().kill(id)
}

func (v *view) kill(id string) {
	v.each(func(s *segment) {
		if n, ok := s.byID[id]; ok {
			s.kill(n)
		}
	})
}

func (v *view) each(f func(s *segment)) {
	for _, s := range v.frozen {
		f(s)
	}
	f(v.head)
}

// Len is the number of persons that can be found.
func (x *Index) Len() int {
	n := 0
	x.head.RLock()
	defer x.head.RUnlock()
	x.view.Load().each(func(s *segment) { n += s.persons() })
	return n
}

// Names is the number of names of those who can be found.
func (x *Index) Names() int {
	n := 0
	x.head.RLock()
	defer x.head.RUnlock()
	x.view.Load().each(func(s *segment) { n += s.names() })
	return n
}

// Wait returns when no merge runs any more.
func (x *Index) Wait() { x.merging.Wait() }

// merge starts to merge the youngest segments of about one size, if there are enough of them, and
// none runs. It is called by the writer.
func (x *Index) merge() {
	frozen := x.view.Load().frozen
	from := mergeFrom(frozen)
	if from < 0 || !x.busy.CompareAndSwap(false, true) {
		return
	}
	old := slices.Clone(frozen[from:])
	x.merging.Go(func() {
		merged, moved := mergeSegments(old)
		x.writing.Lock()
		defer x.writing.Unlock()
		// Who was withdrawn meanwhile is withdrawn here as well.
		for i, s := range old {
			for p, to := range moved[i] {
				if to >= 0 && s.isDead(uint32(p)) {
					merged.kill(uint32(to))
				}
			}
		}
		v := x.view.Load()
		next := make([]*segment, 0, len(v.frozen))
		for _, s := range v.frozen {
			switch {
			case s == old[0]:
				next = append(next, merged)
			case !slices.Contains(old, s):
				next = append(next, s)
			}
		}
		x.view.Store(&view{next, v.head})
		x.busy.Store(false)
		x.merge()
	})
}

// mergeFrom returns from where on the segments are to be merged, or -1: a run at the end of which
// each is not larger than all that follow it together, times the fan.
func mergeFrom(frozen []*segment) int {
	sum, from := 0, -1
	for i := len(frozen) - 1; i >= 0; i-- {
		n := len(frozen[i].facts)
		if len(frozen)-1-i >= mergeFan-1 && n <= sum {
			from = i
		}
		sum += n
	}
	return from
}

// mergeSegments makes one frozen segment of the living of several, and says where each went.
func mergeSegments(old []*segment) (*segment, [][]int64) {
	out := newSegment()
	out.keys.bulk = true
	moved := make([][]int64, len(old))
	for i, s := range old {
		moved[i] = make([]int64, len(s.facts))
		for p := range s.facts {
			moved[i][p] = -1
			if !s.isDead(uint32(p)) {
				moved[i][p] = int64(out.add(s.person(uint32(p))))
			}
		}
	}
	return out.freeze(), moved
}

// person takes a person out of a segment, prepared.
func (s *segment) person(n uint32) *prepared {
	f := &s.facts[n]
	p := &prepared{facts: *f, births: s.birthsOf(f), distinct: s.distant[n]}
	for k := range uint32(f.names) {
		name := preparedName{flags: s.nameFlags[f.firstName+k]}
		for _, w := range s.wordsOf(f.firstName + k) {
			name.words = append(name.words, &s.words[w])
		}
		p.names = append(p.names, name)
	}
	return p
}

// freeze returns the segment in a form that is small and is never changed any more but for the
// marks of who was withdrawn. The segment itself stays readable as it is.
func (s *segment) freeze() *segment {
	out := &segment{
		words: slices.Clip(s.words), byText: s.byText, initials: slices.Clip(s.initials), roles: slices.Clip(s.roles),
		keys: s.keys.frozen(s.rank), near: s.near.clipped(), nameAt: slices.Clip(s.nameAt), nameWords: slices.Clip(s.nameWords),
		nameOwner: slices.Clip(s.nameOwner), nameFlags: slices.Clip(s.nameFlags), facts: slices.Clip(s.facts),
		births: slices.Clip(s.births), days: s.days.frozen(), distant: s.distant, byID: s.byID, dead: s.dead, bearers: s.bearers,
	}
	out.gone.Store(s.gone.Load())
	out.goneNames.Store(s.goneNames.Load())
	total := 0
	for _, list := range s.postings {
		total += len(list)
	}
	all := make([]uint32, 0, total)
	out.postings = make([][]uint32, len(s.postings))
	for i, list := range s.postings {
		from := len(all)
		all = append(all, list...)
		out.postings[i] = all[from:len(all):len(all)]
	}
	return out
}

// Result is what a search found.
type Result struct {
	// Found are the persons that may be meant, best first.
	Found []Ranked
	// Compared is how many names were compared for it.
	Compared int
}

// Search returns the persons that may be meant, best first, whether or not the score says that
// anybody should look. Those that score least or more say why.
func (x *Index) Search(q *Query, least float32, most int) Result {
	t := x.pool.Get().(*scratch)
	defer x.pool.Put(t)
	a := newAsked(q, x.known)
	if len(a.words) == 0 || most <= 0 {
		return Result{}
	}
	t.compared, t.read, t.tried = 0, 0, 0
	x.head.RLock()
	defer x.head.RUnlock()
	v := x.view.Load()
	segments := v.frozen
	if len(v.head.facts) > 0 {
		segments = append(slices.Clone(v.frozen), v.head)
	}
	out := t.ranked[:0]
	looks := a.lookUp(segments, t)
	for i := range looks {
		out = a.rank(&looks[i], t, least, out)
	}
	found := t.first(out, most)
	clear(out)
	t.ranked = out
	return Result{found, t.compared}
}

// Readable says whether a name has a word that can be compared.
func Readable(name string) bool {
	return slices.ContainsFunc(wordsOf(name), func(w string) bool { return newWord(w).readable() })
}

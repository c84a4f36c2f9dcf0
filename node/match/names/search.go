package names

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
)

// Bounds on what one search may cost, whatever was asked. What says most is looked up first, so
// what a bound cuts off is what says the least.
const (
	maxPostings = 60_000 // names read from the lists of words, and as many more of the last list
	// maxTerms is how many words are looked up: of the longest name all words, all neighbours as one,
	// and some of the words as two.
	maxTerms = 60
	// enoughPostings is after how many the lists that weigh less than leastShare of the best are left.
	enoughPostings = 8_000
	leastShare     = 0.35
	// nearMiss is the log-odds down to which a word may stand beside one that it is hardly like: that
	// says less against one person than two words that have nothing in common.
	nearMiss      = -3
	maxCandidates = 400 // names compared as a whole
	maxSameDay    = 300 // persons compared for their day of birth alone
	// maxSameDayNames is how many names of theirs are looked at.
	maxSameDayNames = 3000
)

// hit is one word of a segment that is like a term.
type hit struct {
	term   uint16
	next   uint16 // the next hit of the same word; 0: none
	weight float32
	cost   float32
}

// list is one word whose names are read.
type list struct {
	weight float32
	word   uint32
	term   int
}

// look is what one search knows of one segment.
type look struct {
	segment *segment
	terms   []termLikes
	hits    []hit // from 1
}

type termLikes struct {
	term  int
	likes []like
}

// lookUp finds the words like each term in every segment, and then what each is worth.
func (a *asked) lookUp(segments []*segment, t *scratch) []look {
	t.usualSet = 0
	looks := make([]look, len(segments))
	names := 0
	for i, s := range segments {
		looks[i].segment = s
		names += s.names()
	}
	a.names = names
	all := make([][][]like, len(a.terms))
	for k := range a.terms {
		a.lookUpTerm(k, segments, &all, t)
	}
	for i := 0; i < len(a.words) && !a.full(); i++ {
		a.split(i, segments, &all, t)
	}
	for i := 0; i+1 < len(a.words) && !a.full(); i++ {
		a.slide(i, segments, &all, t)
	}
	a.findHome(segments)
	together := t.together
	for k := range a.terms {
		together = together[:0]
		for i := range segments {
			for _, found := range all[k][i] {
				together = append(together, counted{found, atomic.LoadInt32(&segments[i].bearers[found.word])})
			}
			looks[i].terms = append(looks[i].terms, termLikes{k, all[k][i]})
		}
		a.terms[k].chance = newChances(a.terms[k].word, a.region, together, names)
	}
	t.together = together
	return looks
}

func (a *asked) lookUpTerm(k int, segments []*segment, all *[][][]like, t *scratch) {
	found, term := make([][]like, len(segments)), &a.terms[k]
	for i, s := range segments {
		found[i] = s.likesOf(term.word, t, term.prefix, bits.OnesCount32(term.mask) > 1)
	}
	if k < len(*all) {
		(*all)[k] = found
	} else {
		*all = append(*all, found)
	}
}

// collect returns the names of a segment that say most of what was asked.
func (a *asked) collect(l *look, t *scratch) []uint32 {
	s := l.segment
	t.begin(len(s.nameOwner), len(s.words))
	lists := t.lists[:0]
	// An article finds nobody, but where a name is nothing else it must be found by it.
	onlyMinor := !slices.ContainsFunc(a.words, func(w *word) bool { return !minor(byte(w.role)) })
	l.hits = append(t.hits[:0], hit{})
	for _, tl := range l.terms {
		term := &a.terms[tl.term]
		for _, k := range tl.likes {
			w := term.chance.weight(k.cost)
			isMinor := minor(s.roles[k.word]) || minor(byte(term.word.role))
			if isMinor {
				w = min(w*tuned.minorShare, tuned.minorMost)
			}
			if w <= nearMiss || len(l.hits) >= math.MaxUint16 {
				continue
			}
			l.hits = append(l.hits, hit{uint16(tl.term), t.slot[k.word], w, k.cost})
			if t.slot[k.word] == 0 {
				t.words = append(t.words, k.word)
			}
			t.slot[k.word] = uint16(len(l.hits) - 1)
			if w > 0 && (!isMinor || onlyMinor) {
				lists = append(lists, list{w, k.word, tl.term})
			}
		}
	}
	t.hits, t.lists = l.hits, lists
	// The best of a term first, so that a name gets the best of its words' likeness to it.
	slices.SortFunc(lists, func(x, y list) int {
		return cmp.Or(cmp.Compare(y.weight, x.weight), cmp.Compare(x.term, y.term), cmp.Compare(x.word, y.word))
	})
	read := 0
	for _, k := range lists {
		// What many bear adds little to those that are found already.
		if read > maxPostings || read > enoughPostings && k.weight < lists[0].weight*leastShare {
			break
		}
		post := s.postings[k.word]
		post = post[:min(len(post), 2*maxPostings-read)]
		read += len(post)
		bit := uint32(1) << (uint(k.term) % 32)
		for _, n := range post {
			t.count(n, bit, k.weight)
		}
	}
	t.read += read
	return t.best(maxCandidates)
}

package names

import (
	"cmp"
	"math"
	"slices"
)

// scratch is the memory of one search, which is used again by the next.
type scratch struct {
	known *lexicon
	likes []like
	near  []uint32
	probe probe
	// usuals are the probes of the words asked, by their usual readings; those in usualSet are made.
	usuals   [maxWords]probeForm
	usualSet uint32
	together []counted
	seen     marks
	// Of names: whether one has a cell, as bits; which cell is theirs, where it has one; and what
	// their words are worth so far. The bits fit a cache that the cells of all names do not.
	counted []uint64
	cell    []uint32
	cells   []cell
	// Of words: the first hit; and which words have one.
	slot  []uint16
	words []uint32
	hits  []hit
	lists []list

	place   map[uint32]int // of persons among those ranked
	options []option
	order   []float32
	// compared counts the names that were compared, read those that were read from the lists of words,
	// and tried the words that were compared.
	compared, read, tried int
	found                 []uint32
	ranked                []Ranked
	touched               uint32
	text, sounds          []byte // of words written as one
}

// cell is a name that holds some word that is like one asked.
type cell struct {
	name  uint32
	sum   float32
	terms uint32 // bits
}

// begin empties what the last segment left.
func (t *scratch) begin(names, words int) {
	if len(t.cell) < names {
		t.cell = make([]uint32, names+names/4)
		t.counted = make([]uint64, len(t.cell)/64+1)
	} else if len(t.cells) > len(t.counted)/8 {
		clear(t.counted)
	} else {
		for i := range t.cells {
			t.counted[t.cells[i].name/64] = 0
		}
	}
	t.cells = t.cells[:0]
	if len(t.slot) < words {
		t.slot = make([]uint16, words+words/4)
	} else {
		for _, w := range t.words {
			t.slot[w] = 0
		}
	}
	t.words = t.words[:0]
}

// count adds what a word is worth to a name, once a term.
func (t *scratch) count(name uint32, term uint32, weight float32) {
	set, bit := &t.counted[name/64], uint64(1)<<(name%64)
	if *set&bit == 0 {
		*set |= bit
		t.cell[name] = uint32(len(t.cells))
		t.cells = append(t.cells, cell{name, weight, term})
		return
	}
	if c := &t.cells[t.cell[name]]; c.terms&term == 0 {
		c.terms |= term
		c.sum += weight
	}
}

// touch reads what is known of some names, and of who bears them, so that it is fetched from memory
// for many at a time; compared one by one, each would be waited for.
func (t *scratch) touch(s *segment, names []uint32) {
	sum := uint32(0)
	for _, n := range names {
		sum += uint32(s.nameFlags[n]) + s.nameWords[s.nameAt[n]] + uint32(s.facts[s.nameOwner[n]].sex)
	}
	for _, n := range names {
		if f := &s.facts[s.nameOwner[n]]; f.births > 0 {
			sum += uint32(s.births[f.birthAt].From)
		}
	}
	t.touched += sum
}

// best returns the names of the highest sums; of those that tie, the first.
func (t *scratch) best(most int) []uint32 {
	t.found = t.found[:0]
	if len(t.cells) <= most {
		for i := range t.cells {
			t.found = append(t.found, t.cells[i].name)
		}
		return t.found
	}
	t.order = t.order[:0]
	for i := range t.cells {
		t.order = append(t.order, t.cells[i].sum)
	}
	least := nthLargest(t.order, most)
	for i := range t.cells {
		if t.cells[i].sum > least {
			t.found = append(t.found, t.cells[i].name)
		}
	}
	at := len(t.found)
	for i := range t.cells {
		if t.cells[i].sum == least {
			t.found = append(t.found, t.cells[i].name)
		}
	}
	slices.Sort(t.found[at:])
	t.found = t.found[:max(at, min(len(t.found), most))]
	return t.found
}

// first returns the persons of the highest scores, best first; of those that tie, by their ids.
func (t *scratch) first(all []Ranked, most int) []Ranked {
	t.order = t.order[:0]
	for i := range all {
		t.order = append(t.order, all[i].Score)
	}
	least := float32(math.Inf(-1))
	if len(all) > most {
		least = nthLargest(t.order, most)
	}
	t.found = t.found[:0]
	for i := range all {
		if all[i].Score >= least {
			t.found = append(t.found, uint32(i))
		}
	}
	slices.SortFunc(t.found, func(i, j uint32) int {
		a, b := &all[i], &all[j]
		if a.Score != b.Score {
			return cmp.Compare(b.Score, a.Score)
		}
		return cmp.Compare(a.ID, b.ID)
	})
	out := make([]Ranked, min(len(t.found), most))
	for i := range out {
		out[i] = all[t.found[i]]
	}
	return out
}

// nthLargest returns the n-th largest of some numbers, which it puts into another order.
func nthLargest(v []float32, n int) float32 {
	lo, hi := 0, len(v)-1
	k := n - 1
	for lo < hi {
		pivot := v[lo+(hi-lo)/2]
		i, j := lo, hi
		for i <= j {
			for v[i] > pivot {
				i++
			}
			for v[j] < pivot {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return v[k]
		}
	}
	return v[k]
}

// marks is a set of numbers that is emptied at once.
type marks struct {
	at  []uint32
	now uint32
}

func (m *marks) next(n int) {
	if len(m.at) < n {
		m.at = make([]uint32, n+n/4)
		m.now = 0
	}
	m.now++
	if m.now == 0 {
		clear(m.at)
		m.now = 1
	}
}

// mark adds a number, and says whether it was new.
func (m *marks) mark(n uint32) bool {
	if m.at[n] == m.now {
		return false
	}
	m.at[n] = m.now
	return true
}

package names

import (
	"cmp"
	"slices"
)

// keyTable finds the words under a key: in a map while it grows, in sorted arrays once frozen.
type keyTable struct {
	growing map[uint64][]uint32
	bulk    bool // grows by pairs, and is not asked before it is frozen
	pairs   []keyPair
	sorted  []uint64
	at      []uint32
	words   []uint32
}

type keyPair struct {
	key  uint64
	word uint32
}

// add puts a word under a key. Of more words than are compared those come first whose rank is the
// lowest, whatever the order in which they came.
func (t *keyTable) add(key uint64, w uint32, rank func(w uint32) uint64) {
	if t.bulk {
		t.pairs = append(t.pairs, keyPair{key, w})
		return
	}
	if t.growing == nil {
		t.growing = make(map[uint64][]uint32)
	}
	list := t.growing[key]
	if len(list) == maxPerKey {
		sortByRank(list, rank)
	}
	at := len(list)
	if at >= maxPerKey {
		at, _ = slices.BinarySearchFunc(list, rank(w), func(have uint32, r uint64) int { return cmp.Compare(rank(have), r) })
	}
	t.growing[key] = slices.Insert(list, at, w)
}

func sortByRank(list []uint32, rank func(w uint32) uint64) {
	ranked := make([]keyPair, len(list))
	for i, w := range list {
		ranked[i] = keyPair{rank(w), w}
	}
	slices.SortFunc(ranked, func(a, b keyPair) int { return cmp.Compare(a.key, b.key) })
	for i, r := range ranked {
		list[i] = r.word
	}
}

// find returns the words under a key. Frozen, it looks first where a hash of that size must be.
func (t *keyTable) find(key uint64) []uint32 {
	if t.growing != nil {
		return t.growing[key]
	}
	n := len(t.sorted)
	if n == 0 {
		return nil
	}
	at := min(int(float64(key)/(1<<64)*float64(n)), n-1)
	lo, hi := at, at+1
	for step := 8; lo > 0 && t.sorted[lo] > key; step *= 2 {
		hi = lo
		lo = max(0, lo-step)
	}
	for step := 8; hi < n && t.sorted[hi-1] < key; step *= 2 {
		lo = hi - 1
		hi = min(n, hi+step)
	}
	i, ok := slices.BinarySearch(t.sorted[lo:hi], key)
	if !ok {
		return nil
	}
	i += lo
	return t.words[t.at[i]:t.at[i+1]]
}

// frozen returns the table in sorted arrays.
func (t *keyTable) frozen(rank func(w uint32) uint64) keyTable {
	pairs := t.pairs
	for k, list := range t.growing {
		for _, w := range list {
			pairs = append(pairs, keyPair{k, w})
		}
	}
	slices.SortFunc(pairs, func(a, b keyPair) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.word, b.word))
	})
	out := keyTable{at: []uint32{0}, words: make([]uint32, 0, len(pairs))}
	distinct := 0
	for i := range pairs {
		if i == 0 || pairs[i].key != pairs[i-1].key {
			distinct++
		}
	}
	out.sorted, out.at = make([]uint64, 0, distinct), make([]uint32, 1, distinct+1)
	for i, p := range pairs {
		if i == 0 || p.key != pairs[i-1].key {
			if i > 0 {
				out.at = append(out.at, uint32(i))
			}
			out.sorted = append(out.sorted, p.key)
		}
		out.words = append(out.words, p.word)
	}
	if len(pairs) > 0 {
		out.at = append(out.at, uint32(len(pairs)))
	}
	for i := range out.sorted {
		if list := out.words[out.at[i]:out.at[i+1]]; len(list) > maxPerKey {
			sortByRank(list, rank)
		}
	}
	return out
}

// dayTable finds persons by a day of birth.
type dayTable struct {
	growing map[int32][]uint32
	pairs   []dayPair // sorted once frozen
}

type dayPair struct {
	day    int32
	person uint32
}

func (t *dayTable) add(day int32, person uint32) {
	if t.growing == nil {
		t.growing = make(map[int32][]uint32)
	}
	t.growing[day] = append(t.growing[day], person)
}

// each calls yield with the persons born on a day.
func (t *dayTable) each(day int32, yield func(person uint32) bool) {
	if t.growing != nil {
		for _, p := range t.growing[day] {
			if !yield(p) {
				return
			}
		}
		return
	}
	i, _ := slices.BinarySearchFunc(t.pairs, day, func(p dayPair, d int32) int { return cmp.Compare(p.day, d) })
	for ; i < len(t.pairs) && t.pairs[i].day == day; i++ {
		if !yield(t.pairs[i].person) {
			return
		}
	}
}

func (t *dayTable) frozen() dayTable {
	pairs := slices.Clone(t.pairs)
	for d, list := range t.growing {
		for _, p := range list {
			pairs = append(pairs, dayPair{d, p})
		}
	}
	slices.SortFunc(pairs, func(a, b dayPair) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.person, b.person))
	})
	return dayTable{pairs: pairs}
}

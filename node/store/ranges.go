package store

import (
	"strconv"
)

// maxWidth is how many digits a range's numbers can have: what a 64-bit integer holds whatever
// the digits are.
const maxWidth = 18

// probe is a normal form seen as a number: the digits at its end, and what stands before them.
// Two normal forms can be compared as numbers if prefix and width are the same.
type probe struct {
	prefix string
	width  int
	num    int64
}

// newProbe takes a normal form apart. One that does not end in a digit, or in more than 18, lies
// in no range.
func newProbe(key string) (probe, bool) {
	at := len(key)
	for at > 0 && '0' <= key[at-1] && key[at-1] <= '9' {
		at--
	}
	width := len(key) - at
	if width == 0 || width > maxWidth {
		return probe{}, false
	}
	num, err := strconv.ParseInt(key[at:], 10, 64)
	if err != nil {
		return probe{}, false
	}
	return probe{prefix: key[:at], width: width, num: num}, true
}

// hashes are those of all blocks that hold the number. There are as many as the number has
// digits, and one more, whatever ranges the store holds: what a look-up costs depends on what is
// asked, not on what is there.
func (p probe) hashes(h *hasher, list [][hashSize]byte) [][hashSize]byte {
	for level, block := 0, p.num; level <= p.width; level, block = level+1, block/10 {
		list = append(list, h.block(p.prefix, p.width, level, block))
	}
	return list
}

// span is a range of numbers, both ends included.
type span struct {
	prefix   string
	width    int
	from, to int64
}

// newSpan makes the range between two normal forms. What it refuses could not be looked up; it
// must not become a range that silently contains nothing, or a single document.
func newSpan(fromKey, toKey string) (span, error) {
	from, ok := newProbe(fromKey)
	if !ok {
		return span{}, invalid("the first number of a range must end in 1 to %d digits", maxWidth)
	}
	to, ok := newProbe(toKey)
	if !ok {
		return span{}, invalid("the last number of a range must end in 1 to %d digits", maxWidth)
	}
	if from.prefix != to.prefix || from.width != to.width {
		return span{}, invalid("first and last number must have the same length, and the same characters before their digits")
	}
	if from.num > to.num {
		return span{}, invalid("the last number comes before the first")
	}
	return span{prefix: from.prefix, width: from.width, from: from.num, to: to.num}, nil
}

func (s span) holds(p probe) bool {
	return p.prefix == s.prefix && p.width == s.width && s.from <= p.num && p.num <= s.to
}

// cover is the fewest blocks of 10^level numbers that hold the span and nothing else: at most 18
// on each level.
func (s span) cover(each func(level int, block int64)) {
	lo, hi := s.from, s.to
	for level := 0; lo <= hi; level++ {
		for ; lo <= hi && lo%10 != 0; lo++ {
			each(level, lo)
		}
		for ; lo <= hi && hi%10 != 9; hi-- {
			each(level, hi)
		}
		if lo <= hi {
			lo, hi = lo/10, hi/10
		}
	}
}

func (s span) hashes(h *hasher) [][hashSize]byte {
	var list [][hashSize]byte
	s.cover(func(level int, block int64) {
		list = append(list, h.block(s.prefix, s.width, level, block))
	})
	return list
}

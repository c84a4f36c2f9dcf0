package names

import (
	"slices"
	"strings"
)

// holds says whether some segment has a word of just these sounds, or nearly.
func holds(segments []*segment, text string) bool {
	key := hashKey(keySound, string(appendSounds(nil, text)), -1)
	return slices.ContainsFunc(segments, func(s *segment) bool { return len(s.keys.find(key)) > 0 })
}

// halfHeld is how many splits are tried of which the list has but one half: the other was mistyped.
const halfHeld = 2

// split reads a word as two that were written as one, where the list has both: LINARESANGEL. Where it
// has but one of them, the longest is tried, if the word is long. A short word is read so only where
// nothing else is known of it.
func (a *asked) split(i int, segments []*segment, all *[][][]like, t *scratch) {
	latin := a.words[i].latin
	if len(latin) < 2*leastPart || a.words[i].text != latin || len(latin) < leastSplit && !a.words[i].strange() {
		return
	}
	s := split{mask: 1 << i, cost: splitCost, kind: Joined}
	var half [halfHeld][2]string
	var held [halfHeld]int // letters
	for at := leastPart; at <= len(latin)-leastPart; at++ {
		left, right := latin[:at], latin[at:]
		leftHeld, rightHeld := holds(segments, left), holds(segments, right)
		if leftHeld {
			for _, article := range articles {
				if rest, ok := strings.CutPrefix(right, article); ok && len(rest) >= leastPart && holds(segments, rest) {
					right, rightHeld = rest, true
					break
				}
			}
		}
		if leftHeld && rightHeld {
			if a.addSplit(s, left, right, segments, all, t); a.full() {
				return
			}
			continue
		}
		if len(latin) < leastSplit {
			continue
		}
		most := 0
		if leftHeld {
			most = len(left)
		} else if rightHeld {
			most = len(right)
		}
		for k := range held {
			if most > held[k] {
				copy(half[k+1:], half[k:])
				copy(held[k+1:], held[k:])
				half[k], held[k] = [2]string{left, right}, most
				break
			}
		}
	}
	for k, h := range half {
		if held[k] == 0 || a.full() {
			return
		}
		a.addSplit(s, h[0], h[1], segments, all, t)
	}
}

// slide reads two neighbours with the blank a letter to the left or to the right of where it stands,
// where the list has one of what they are then: MAKHLU FMUHAMMAD.
func (a *asked) slide(i int, segments []*segment, all *[][][]like, t *scratch) {
	left, right := a.words[i].latin, a.words[i+1].latin
	if left != a.words[i].text || right != a.words[i+1].text {
		return
	}
	s := split{mask: 3 << i, cost: slideCost, kind: Spelling}
	both := left + right
	for _, at := range [2]int{len(left) - 1, len(left) + 1} {
		if at < leastSlid || len(both)-at < leastSlid || a.full() {
			continue
		}
		left, right := both[:at], both[at:]
		if leftHeld, rightHeld := holds(segments, left), holds(segments, right); leftHeld && (rightHeld || len(right) >= leastPart) || rightHeld && len(left) >= leastPart {
			a.addSplit(s, left, right, segments, all, t)
		}
	}
}

// full says that no more splits are tried.
func (a *asked) full() bool { return len(a.splits) == maxSplits || len(a.terms) >= maxTerms }

// addSplit looks up both parts.
func (a *asked) addSplit(s split, left, right string, segments []*segment, all *[][][]like, t *scratch) {
	s.left, s.right = len(a.terms), len(a.terms)+1
	a.splits = append(a.splits, s)
	for k, part := range [2]string{left, right} {
		a.terms = append(a.terms, term{word: t.known.word(part), mask: s.mask, part: len(a.splits)})
		a.lookUpTerm(s.left+k, segments, all, t)
	}
}

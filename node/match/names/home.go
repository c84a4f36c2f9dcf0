package names

import (
	"math/bits"
	"slices"
	"sync/atomic"

	"github.com/entente-mesh/entente/node/match/people"
)

// findHome says in which region the name is at home, by its words as the list parts or joins them: a
// word that only the lost blank made rare tells nothing of it, and must not let the others pass for
// rarer than they are where they are at home.
func (a *asked) findHome(segments []*segment) {
	latin, read := make([]string, 0, len(a.words)+2), uint32(0)
	for i := range a.terms {
		t := &a.terms[i]
		if bits.OnesCount32(t.mask) > 1 && t.part < 0 && t.mask&read == 0 && borne(segments, t.word.text) && a.strange(t.mask) {
			latin, read = append(latin, t.word.latin), read|t.mask
		}
	}
	for i := range a.splits {
		s := &a.splits[i]
		left, right := a.terms[s.left].word.text, a.terms[s.right].word.text
		if s.kind == Joined && s.mask&read == 0 && borne(segments, left) && borne(segments, right) && a.strange(s.mask) {
			latin, read = append(latin, left, right), read|s.mask
		}
	}
	for i, w := range a.words {
		if read&(1<<i) == 0 {
			latin = append(latin, w.latin)
		}
	}
	a.region = people.RegionOf(latin)
}

// borne says that somebody who can be found bears a word.
func borne(segments []*segment, text string) bool {
	return slices.ContainsFunc(segments, func(s *segment) bool {
		w, ok := s.byText[text]
		return ok && atomic.LoadInt32(&s.bearers[w]) > 0
	})
}

// strange says that some of the words are known nowhere.
func (a *asked) strange(mask uint32) bool {
	for ; mask != 0; mask &= mask - 1 {
		if a.words[bits.TrailingZeros32(mask)].strange() {
			return true
		}
	}
	return false
}

// strange says that no table of travellers has the word.
func (w *word) strange() bool { return people.RegionOf([]string{w.latin}) == "" }

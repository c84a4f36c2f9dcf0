package names

import "math/bits"

// lateOptions compares the words of both sides that no key brought together, where another word did:
// a short word with a slip in it shares no key with what it was.
func (a *asked) lateOptions(s *segment, words []uint32, t *scratch) {
	asked, listed, sum := uint32(0), uint32(0), float32(0)
	var best [maxWords]float32
	for i := range t.options {
		o := &t.options[i]
		at := min(bits.TrailingZeros32(o.asked), maxWords-1)
		if o.weight > best[at] {
			sum += o.weight - best[at]
			best[at] = o.weight
		}
		if bits.OnesCount32(o.asked) == 1 && bits.OnesCount32(o.listed) == 1 && o.kind != Initial {
			asked |= o.asked
			listed |= o.listed
		}
	}
	enough := sum >= lateFrom
	for i, q := range a.words {
		if asked&(1<<i) != 0 || minor(byte(q.role)) || len(q.latin) < 2 {
			continue
		}
		if a.runs(i, s, words, listed, t); !enough {
			continue
		}
		most := min(tuned.lateMost, a.terms[i].chance.farthest(lateLeast))
		f := &q.forms[0]
		for j, w := range words {
			if listed&(1<<j) != 0 || s.near.lead[w].size < 2 || minor(s.roles[w]) {
				continue
			}
			// The usual readings alone: keys bring the others together.
			sound, set, bare := s.near.usual(w)
			if d := len(f.sound) - len(sound); d > lateLetters || -d > lateLetters || lossOf(f.set&^set) > most {
				continue
			}
			if c := t.usual(i, q).compare(sound, bare, most); c <= most {
				t.options = append(t.options, option{asked: 1 << i, listed: 1 << j, weight: a.terms[i].chance.beyond(c), cost: c, kind: Spelling})
			}
		}
	}
}

// runs compares a word with neighbours of the list that nothing was like, written as one.
func (a *asked) runs(i int, s *segment, words []uint32, listed uint32, t *scratch) {
	q := a.words[i]
	if len(q.latin) < leastSplit || q.text != q.latin {
		return
	}
	for from := 0; from+1 < len(words); from++ {
		// Of two words written as one the first letter is the last to be lost.
		if s.near.lead[words[from]].letter != q.latin[0] {
			continue
		}
		size, mask := 0, uint32(0)
		for j := from; j < len(words) && listed&(1<<j) == 0; j++ {
			next := int(s.near.lead[words[j]].size)
			if size += next; next == 0 || size > min(len(q.latin)+2, maxSounds) {
				break
			}
			if mask |= 1 << j; j == from || size+2 < len(q.latin) {
				continue
			}
			if c := t.usual(i, q).compare(t.soundsOf(s, words[from:j+1]), 0, tuned.joinMost); c < costUnrelated {
				t.options = append(t.options, option{asked: 1 << i, listed: mask, weight: min(a.terms[i].chance.beyond(c), a.asListed(s, words, mask)) - joinCost, cost: c, kind: Joined})
			}
		}
	}
}

// soundsOf are the sounds of words written as one, until it is called again.
func (t *scratch) soundsOf(s *segment, words []uint32) []byte {
	t.text = t.text[:0]
	for _, w := range words {
		t.text = append(t.text, s.words[w].latin...)
	}
	t.sounds = appendSounds(t.sounds[:0], string(t.text))
	return t.sounds
}

// asListed is what words of the list say at the most, asked as they are: a join of them is rarer than
// they are, and no better proof.
func (a *asked) asListed(s *segment, words []uint32, mask uint32) float32 {
	sum := float32(0)
	for j, n := range words {
		if mask&(1<<j) == 0 {
			continue
		}
		w := &s.words[n]
		c := newChances(w, a.region, nil, a.names)
		info := min(c.none, tuned.exactInfo*float32(w.size()))
		if minor(s.roles[n]) {
			info = min(info*tuned.minorShare, tuned.minorMost)
		}
		sum += info
	}
	return sum
}

// lateFrom is what the words that keys brought together must weigh: what many bear, with another word
// that is hardly like, tells of nobody.
const lateFrom = 4.5

// lateLeast is the log-odds under which two words have nothing in common.
const lateLeast = -4

// lateLetters is by how many sounds such words may differ in length.
const lateLetters = 2

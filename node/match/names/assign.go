package names

import (
	"cmp"
	"math/bits"
	"slices"
)

// option is one way in which words of both names go together.
type option struct {
	asked, listed uint32 // the words, as bits
	weight        float32
	gain          float32 // the weight, and that the words are not missing
	cost          float32
	kind          Kind
}

// Kind is how a word of the traveller met one of the list.
type Kind uint8

// How words meet.
const (
	Same            Kind = iota
	Spelling             // written otherwise, or mistyped
	Sound                // spellings of one name that sound alike
	Transliteration      // from another script
	Initial
	CutOff // a document's field cut the end off
	Joined // two words written as one on one side
	NotListed
	NotAsked
)

// maxSteps bounds the search for the best assignment: beyond, the best so far is taken.
const maxSteps = 2000

// assignment is how the words of two names go together.
type assignment struct {
	weight float32 // log-odds of the names
	chosen []option
	// of words without a like
	missAsked, missListed uint32
}

// assign finds the options that go together and gain the most. It is exact but for the bound.
func (a *asked) assign(s *segment, name uint32, l *look, t *scratch, keep *assignment) float32 {
	words := s.wordsOf(name)
	t.options = t.options[:0]
	a.options(s, words, l, t)
	a.lateOptions(s, words, t)
	askedMiss, listedMiss := a.missing(), listedMissing(s, words, a.truncated)
	for i := range t.options {
		o := &t.options[i]
		o.gain = o.weight + missSum(&askedMiss, o.asked) + missSum(&listedMiss, o.listed)
	}
	r := a.resolve(s, words, &askedMiss, &listedMiss, t)
	if r.leftAsked > 0 && r.leftListed > 0 && r.strained {
		// A word that is hardly like may be better than none at all.
		for i := range t.options {
			if o := &t.options[i]; o.weight < 0 && left(&askedMiss, ^o.asked) > 0 && left(&listedMiss, ^o.listed) > 0 {
				o.gain += tuned.contradict
			}
		}
		if other := a.resolve(s, words, &askedMiss, &listedMiss, t); other.total > r.total {
			r = other
		}
	}
	total := r.total
	if len(words) == 1 && len(a.words) > 1 {
		total -= tuned.single
	}
	if total > 0 {
		total -= a.relatives(s, name, words, r)
	}
	if a.otherSurname(s, words, &r) {
		total -= tuned.otherSurname
	}
	switch Trust(s.nameFlags[name] & flagTrust) {
	case Weak:
		total -= tuned.weakName
	case NomDeGuerre:
		total -= tuned.nomDeGuerre
	}
	if keep != nil {
		for i := range r.options {
			if r.bestSet[0]&(1<<i) != 0 {
				keep.chosen = append(keep.chosen, r.options[i])
			}
		}
		keep.weight = total
		keep.missAsked = ^r.usedAsked & (1<<len(a.words) - 1)
		keep.missListed = ^r.usedListed & (1<<len(words) - 1)
	}
	return total
}

// resolved is what a choice of options comes to.
type resolved struct {
	resolver
	total                 float32
	usedAsked, usedListed uint32
	leftAsked, leftListed int
	strained              bool // there are options that were left because they weigh less than nothing
}

// resolve chooses among the options by what they gain, and says what the choice weighs.
func (a *asked) resolve(s *segment, words []uint32, askedMiss, listedMiss *misses, t *scratch) resolved {
	slices.SortFunc(t.options, func(x, y option) int {
		return cmp.Or(cmp.Compare(y.gain, x.gain), cmp.Compare(x.asked, y.asked), cmp.Compare(x.listed, y.listed))
	})
	r := resolved{resolver: resolver{options: t.options[:min(len(t.options), maxOptions)]}}
	r.search(0, 0, 0, 0, 0)
	worst, hardly := float32(0), false
	for i := range r.options {
		o := &r.options[i]
		if r.bestSet[0]&(1<<i) == 0 {
			r.strained = r.strained || o.weight < 0
			continue
		}
		r.total += o.weight
		hardly = hardly || o.weight < 0
		r.usedAsked |= o.asked
		r.usedListed |= o.listed
		switch {
		case o.kind == Initial:
			worst = tuned.typo
		case o.cost >= soundsAlike || !a.oneName(o, s, words):
			worst = max(worst, o.cost)
		}
	}
	r.total -= missSum(askedMiss, ^r.usedAsked) + missSum(listedMiss, ^r.usedListed)
	r.leftAsked, r.leftListed = left(askedMiss, r.usedAsked), left(listedMiss, r.usedListed)
	r.total -= tuned.contradict * float32(min(r.leftAsked, r.leftListed))
	if (r.leftAsked > 0 && r.leftListed > 0 || hardly) && matched(r.options, r.bestSet[0], s, words) < 2 {
		r.total -= tuned.lone
	}
	if r.leftAsked == 0 && r.leftListed == 0 && worst < nearlySame {
		r.total += tuned.complete
	}
	return r
}

// oneName says that two words are known as spellings of one name: MUHAMMAD is MOHAMMED.
func (a *asked) oneName(o *option, s *segment, words []uint32) bool {
	if bits.OnesCount32(o.asked) != 1 || bits.OnesCount32(o.listed) != 1 {
		return false
	}
	group := a.words[bits.TrailingZeros32(o.asked)].group
	return group != 0 && group == s.words[words[bits.TrailingZeros32(o.listed)]].group
}

// matched counts the words of the list that matter and have a like that speaks for the person.
func matched(options []option, set uint64, s *segment, words []uint32) int {
	n := 0
	for i := range options {
		if set&(1<<i) == 0 || options[i].kind == Initial || options[i].weight < 0 {
			continue
		}
		for j, w := range words {
			if options[i].listed&(1<<j) != 0 && !minor(s.roles[w]) {
				n++
			}
		}
	}
	return n
}

const (
	maxOptions = 48
	// nearlySame is the cost under which two words are one but for how they are written down.
	nearlySame = 0.4
)

// misses are what it costs that a word has no like, by word.
type misses [maxWords]float32

func (a *asked) missing() misses {
	var m misses
	for i, w := range a.words {
		m[i] = tuned.missAsked
		if minor(byte(w.role)) {
			m[i] = tuned.missMinor
		} else if len(w.latin) == 1 {
			m[i] = tuned.missAsked / 2
		}
	}
	return m
}

func listedMissing(s *segment, words []uint32, truncated bool) misses {
	var m misses
	for i, w := range words {
		m[i] = tuned.missListed
		switch {
		case minor(s.roles[w]):
			m[i] = tuned.missMinor
		case truncated, s.initials[w]&initialBit != 0:
			m[i] = tuned.missListed / 2
		}
	}
	return m
}

func missSum(m *misses, mask uint32) float32 {
	sum := float32(0)
	mask &= 1<<maxWords - 1
	for ; mask != 0; mask &= mask - 1 {
		sum += m[bits.TrailingZeros32(mask)]
	}
	return sum
}

// left counts the words that matter and have no like.
func left(m *misses, used uint32) int {
	n := 0
	for i, v := range m {
		if v > tuned.missMinor && used&(1<<i) == 0 {
			n++
		}
	}
	return n
}

// options lists how the words of the two names can go together.
func (a *asked) options(s *segment, words []uint32, l *look, t *scratch) {
	type part struct {
		split, side int
		at          int
		weight      float32
		cost        float32
	}
	var parts []part
	for j, w := range words {
		for h := t.slot[w]; h != 0; h = l.hits[h].next {
			hit := &l.hits[h]
			term := &a.terms[hit.term]
			if term.part > 0 {
				sp := &a.splits[term.part-1]
				side := 0
				if int(hit.term) == sp.right {
					side = 1
				}
				parts = append(parts, part{term.part - 1, side, j, hit.weight, hit.cost})
				continue
			}
			o := option{asked: term.mask, listed: 1 << j, weight: hit.weight, cost: hit.cost, kind: Spelling}
			if bits.OnesCount32(term.mask) > 1 {
				o.kind = Joined
				o.weight -= joinCost
			}
			t.options = append(t.options, o)
		}
		a.initialOptions(s, w, j, t)
	}
	for _, x := range parts {
		if x.side != 0 {
			continue
		}
		for _, y := range parts {
			if y.side == 1 && y.split == x.split && y.at != x.at {
				sp := &a.splits[x.split]
				o := option{asked: sp.mask, listed: 1<<x.at | 1<<y.at, weight: x.weight + y.weight - sp.cost, cost: x.cost + y.cost + sp.cost, kind: sp.kind}
				if y.at < x.at {
					o.weight -= tuned.reversed
				}
				if !asWritten(t.options, &o) {
					t.options = append(t.options, o)
				}
			}
		}
	}
}

// asWritten says that two words asked go with those two of the list as they are written, at no higher
// cost than with the blank between them elsewhere.
func asWritten(options []option, slid *option) bool {
	if bits.OnesCount32(slid.asked) != 2 {
		return false
	}
	first := slid.asked & -slid.asked
	for i := range options {
		a := &options[i]
		if a.asked != first || a.listed&slid.listed == 0 {
			continue
		}
		for j := range options {
			if b := &options[j]; b.asked == slid.asked^first && b.listed == slid.listed^a.listed && a.cost+b.cost <= slid.cost {
				return true
			}
		}
	}
	return false
}

// initialOptions pairs initials with words.
func (a *asked) initialOptions(s *segment, w uint32, j int, t *scratch) {
	listed := s.initials[w]
	for i, q := range a.words {
		if !q.readable() {
			continue
		}
		askedInitial := len(q.latin) == 1
		if !askedInitial && listed&initialBit == 0 || askedInitial && listed&initialBit != 0 {
			continue
		}
		if q.forms[0].sound[0]&31 == listed&^initialBit {
			t.options = append(t.options, option{asked: 1 << i, listed: 1 << j, weight: tuned.initial, kind: Initial})
		}
	}
}

// resolver picks options that do not share a word, by branch and bound.
type resolver struct {
	options []option
	best    float32
	bestSet [1]uint64
	steps   int
}

func (r *resolver) search(at int, asked, listed uint32, gain float32, set uint64) {
	if gain > r.best {
		r.best, r.bestSet[0] = gain, set
	}
	r.steps++
	if r.steps > maxSteps {
		return
	}
	// What is left cannot gain more than each option that is still free.
	bound := gain
	for i := at; i < len(r.options); i++ {
		o := &r.options[i]
		if o.asked&asked == 0 && o.listed&listed == 0 && o.gain > 0 {
			bound += o.gain
			if bound > r.best {
				break
			}
		}
	}
	if bound <= r.best {
		return
	}
	for i := at; i < len(r.options); i++ {
		o := &r.options[i]
		if o.asked&asked != 0 || o.listed&listed != 0 || o.gain <= 0 {
			continue
		}
		r.search(i+1, asked|o.asked, listed|o.listed, gain+o.gain, set|1<<i)
		if r.steps > maxSteps {
			return
		}
	}
}

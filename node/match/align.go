package match

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// alignment is how the words of two names go together.
type alignment struct {
	likeness float64 // 0 to 1
	same     bool    // every word has its like, letter by letter
	partial  bool    // a word that matters has no like, or an initial
	words    int     // full words that agree, for the rule on single words
	pairs    []pair  // the words that go together, best first
}

// Penalties in the likeness of two names.
const (
	// A word on each side that has no like is a contradiction (another given name), not an omission
	// (a patronymic left out), and costs so much beside the missing share.
	contradiction = 0.12
	// What a document's field cut off cannot be missed: so much of it counts.
	cutShare = 0.25
	// Particles are nearly free, so their loss is never told as a contradiction.
	leastContradiction = weightKunya
)

// pair is one word, or a few in a row, beside its like.
type pair struct {
	q, r     int // first word on either side
	nq, nr   int // how many words
	likeness float64
}

const kindInitial = "initial"

// maxJoin is how many words in a row may be written as one: ABD EL RAHMAN.
const maxJoin = 3

// align puts the words of two names side by side, in any order, each at most once, the most alike
// first. It is greedy: names have few words, and where greed errs the sum hardly changes.
func align(q, r *preparedName, truncated bool) alignment {
	if len(q.Tokens) == 0 || len(r.Tokens) == 0 {
		return alignment{}
	}
	pairs := q.pairs(r, truncated)
	var bufQ, bufR [maxNameTokens]bool
	usedQ, usedR := bufQ[:len(q.Tokens)], bufR[:len(r.Tokens)]
	got := alignment{same: true, pairs: pairs[:0]}
	var scoreQ, scoreR float64
	for _, p := range pairs {
		if anyUsed(usedQ[p.q:p.q+p.nq]) || anyUsed(usedR[p.r:p.r+p.nr]) {
			continue
		}
		wq, wr := take(q.Tokens[p.q:p.q+p.nq], usedQ[p.q:]), take(r.Tokens[p.r:p.r+p.nr], usedR[p.r:])
		scoreQ += wq * p.likeness
		scoreR += wr * p.likeness
		if min(wq, wr) >= weightName && p.likeness >= likeSkeleton {
			got.words++
		}
		got.same = got.same && p.likeness == likeSame
		got.partial = got.partial || p.kind() == kindInitial
		got.pairs = append(got.pairs, p)
	}
	missQ, mostQ, allQ := missing(q.Tokens, usedQ)
	missR, mostR, allR := missing(r.Tokens, usedR)
	got.same = got.same && allQ && allR
	got.partial = got.partial || max(mostQ, mostR) >= leastContradiction
	if got.same {
		got.likeness = 1
		return got
	}
	totalR := r.weight
	if truncated {
		totalR -= (1 - cutShare) * missR
		missR *= cutShare
	}
	got.likeness = (scoreQ/q.weight + scoreR/totalR) / 2
	if both := min(missQ, missR); both >= leastContradiction {
		got.likeness -= contradiction * both
	}
	got.likeness = max(0, min(1, got.likeness))
	return got
}

// describe tells an alignment word by word, and the same in numbers, without the words. It stands
// apart from align because most alignments come to nothing.
func (a alignment) describe(q, r *preparedName) (how, summary string) {
	if a.same {
		return "same", "same"
	}
	counts := make(map[string]int)
	var parts []string
	tell := func(kind, words string) {
		counts[kind]++
		parts = append(parts, kind+" "+words)
	}
	usedQ, usedR := make([]bool, len(q.Tokens)), make([]bool, len(r.Tokens))
	for _, p := range a.pairs {
		take(q.Tokens[p.q:p.q+p.nq], usedQ[p.q:])
		take(r.Tokens[p.r:p.r+p.nr], usedR[p.r:])
		tell(p.kind(), textOf(q.Tokens[p.q:p.q+p.nq])+"~"+textOf(r.Tokens[p.r:p.r+p.nr]))
	}
	for i, t := range q.Tokens {
		if !usedQ[i] {
			tell("not recorded", textOf([]Token{t}))
		}
	}
	for i, t := range r.Tokens {
		if !usedR[i] {
			tell("not asked", textOf([]Token{t}))
		}
	}
	return strings.Join(parts, ", "), summarise(counts)
}

func anyUsed(used []bool) bool { return slices.Contains(used, true) }

// take marks words as used and returns their weight.
func take(tokens []Token, used []bool) float64 {
	sum := 0.0
	for i, t := range tokens {
		used[i] = true
		sum += t.Weight
	}
	return sum
}

// missing returns the weight of the words that have no like, that of the heaviest of them, and
// whether there is none.
func missing(tokens []Token, used []bool) (sum, most float64, none bool) {
	none = true
	for i, t := range tokens {
		if !used[i] {
			sum, most, none = sum+t.Weight, max(most, t.Weight), false
		}
	}
	return sum, most, none
}

func textOf(tokens []Token) string {
	var words []string
	for _, t := range tokens {
		if len(t.Forms) == 0 {
			words = append(words, "?")
			continue
		}
		words = append(words, t.Forms[0].Text)
	}
	return strings.Join(words, " ")
}

func (p pair) kind() string {
	switch {
	case p.likeness == likeSame:
		return "same"
	case p.likeness == likeInitial:
		return kindInitial
	case p.nq > 1 || p.nr > 1:
		return "joined"
	}
	return "spelling"
}

// summarise tells counts in a fixed order: "2 same, 1 spelling, 1 not asked".
func summarise(counts map[string]int) string {
	var parts []string
	for _, kind := range []string{"same", "joined", "spelling", kindInitial, "not recorded", "not asked"} {
		if n := counts[kind]; n > 0 {
			parts = append(parts, strconv.Itoa(n)+" "+kind)
		}
	}
	return strings.Join(parts, ", ")
}

// preparedName is a name with its joined words.
type preparedName struct {
	Name
	weight float64
	joined []joinedWords
}

type joinedWords struct {
	at, n int
	token Token
}

func prepare(n Name) *preparedName {
	p := &preparedName{Name: n}
	for i, t := range n.Tokens {
		p.weight += t.Weight
		text := ""
		for k := 0; k < maxJoin && i+k < len(n.Tokens); k++ {
			next := n.Tokens[i+k]
			if len(next.Forms) == 0 || len(text)+len(next.Forms[0].Text) > maxTokenText {
				break
			}
			text += next.Forms[0].Text
			// Two initials are no word.
			if k > 0 && len(text) > maxJoin {
				p.joined = append(p.joined, joinedWords{i, k + 1, Token{Forms: []Form{newForm(text)}}})
			}
		}
	}
	return p
}

// pairs lists all words that are alike, best first; among equals in the order of the names, so that
// the same two names always give the same alignment.
func (p *preparedName) pairs(r *preparedName, truncated bool) []pair {
	var all []pair
	for i := range p.Tokens {
		for j := range r.Tokens {
			if l := likeness(p.Tokens[i], r.Tokens[j], truncated); l > 0 {
				all = append(all, pair{i, j, 1, 1, l})
			}
		}
	}
	for _, w := range p.joined {
		for j := range r.Tokens {
			if l := joinedLikeness(w.token, r.Tokens[j]); l > 0 {
				all = append(all, pair{w.at, j, w.n, 1, l})
			}
		}
	}
	for _, w := range r.joined {
		for i := range p.Tokens {
			if l := joinedLikeness(p.Tokens[i], w.token); l > 0 {
				all = append(all, pair{i, w.at, 1, w.n, l})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b pair) int {
		return cmp.Or(cmp.Compare(b.likeness, a.likeness), cmp.Compare(b.nq+b.nr, a.nq+a.nr),
			cmp.Compare(a.q, b.q), cmp.Compare(a.r, b.r))
	})
	return all
}

// joinedLikeness compares words that were written as one with a word. A skeleton is not enough
// here: the join has lost what told the words apart.
func joinedLikeness(a, b Token) float64 {
	// Spellings of one sound differ in length, but not by more: most joins end here.
	if len(a.Forms) == 0 || len(b.Forms) == 0 {
		return 0
	}
	la, lb := len(a.Forms[0].Text), len(b.Forms[0].Text)
	if 10*min(la, lb) < 6*max(la, lb) {
		return 0
	}
	l := likeJoined * likeness(a, b, false)
	if l < likeSkeleton {
		return 0
	}
	return l
}

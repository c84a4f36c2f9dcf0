package names

import (
	"slices"
	"strings"

	"github.com/entente-mesh/entente/node/match/script"
)

// Ranked is one person found.
type Ranked struct {
	ID    string
	Score float32 // log-odds, in nats: of the name and all the rest
	// Name is what the name tells of it.
	Name float32
	// At is which of the person's names it was, as they were put.
	At int
	// Met says word by word how the names go together; only where the score is high enough to be told.
	Met []Met
	// Same says that every word is the same, whatever the order.
	Same bool
	// Swapped says that the words stand in another order.
	Swapped bool

	Birth       BirthMatch
	BirthAt     int // which statement of the record it was; -1: none
	BirthWeight float32
	Nationality float32
	Sex         float32
	Born        float32 // what the country of birth tells

	person, name uint32
}

// Met is one word, or a few in a row, beside its like.
type Met struct {
	Kind          Kind
	Asked, Listed string // in Latin capitals; empty where the word is missing
	Weight        float32
	Moved         bool // it stands elsewhere in the name, beside the others
}

// touchFrom is how many names a segment has that no cache of a processor holds.
const touchFrom = 50_000

// rank compares the names of a segment that were collected, and adds the persons, each by the name
// that says most.
func (a *asked) rank(l *look, t *scratch, least float32, out []Ranked) []Ranked {
	s := l.segment
	at := len(out)
	clear(t.place)
	names := a.collect(l, t)
	if len(s.nameOwner) > touchFrom {
		t.touch(s, names)
	}
	for _, n := range names {
		if p := s.nameOwner[n]; !s.isDead(p) {
			out = a.compare(l, t, p, n, out)
		}
	}
	if a.birthKnown && a.birth.From == a.birth.To {
		out = a.rankDay(l, t, out)
	}
	kept := out[:at]
	for _, r := range out[at:] {
		if !a.weigh(&r, s) {
			continue
		}
		if r.Score >= least {
			a.explain(&r, l, t)
		}
		kept = append(kept, r)
	}
	return kept
}

// weigh adds what is known beside the name. It is false for somebody whom the owner knows not to be
// the person.
func (a *asked) weigh(r *Ranked, s *segment) bool {
	if s.distant != nil && a.isDistinct(s.distant[r.person]) {
		return false
	}
	f := &s.facts[r.person]
	r.Birth, r.BirthAt, r.BirthWeight = bestBirth(a.birth, a.birthKnown, s.birthsOf(f))
	r.Nationality, r.Sex = nationalityWeight(a.nationality, f.nationalities), sexWeight(a.sex, f.sex)
	r.Born = bornWeight(a.born, f.born, a.nationality, r.Nationality)
	r.Score = r.Name + r.BirthWeight + r.Nationality + r.Sex + r.Born
	return true
}

// compare compares one name and keeps the best of its person.
func (a *asked) compare(l *look, t *scratch, p, n uint32, out []Ranked) []Ranked {
	t.compared++
	s := l.segment
	sum := a.assign(s, n, l, t, nil)
	f := &s.facts[p]
	i, ok := t.place[p]
	if !ok {
		t.place[p] = len(out)
		return append(out, Ranked{ID: f.id, person: p, name: n, At: int(n - f.firstName), Name: sum})
	}
	if sum > out[i].Name || sum == out[i].Name && n < out[i].name {
		out[i].name, out[i].At, out[i].Name = n, int(n-f.firstName), sum
	}
	return out
}

// rankDay compares the persons born on the day that was asked, of whom some word is like: a name that
// thousands share is found by it.
func (a *asked) rankDay(l *look, t *scratch, out []Ranked) []Ranked {
	s := l.segment
	read, names := 0, 0
	s.days.each(a.birth.From, func(p uint32) bool {
		read++
		if _, ok := t.place[p]; ok || s.isDead(p) {
			return read < maxSameDay
		}
		f := &s.facts[p]
		names += int(f.names)
		for k := range uint32(f.names) {
			n := f.firstName + k
			if slices.ContainsFunc(s.wordsOf(n), func(w uint32) bool { return t.slot[w] != 0 }) {
				out = a.compare(l, t, p, n, out)
			}
		}
		return read < maxSameDay && names < maxSameDayNames
	})
	return out
}

// isDistinct says that the owner knows of somebody with this name and birth date that they are not
// the person.
func (a *asked) isDistinct(all []distinction) bool {
	if !a.birthKnown || a.birth.From != a.birth.To {
		return false
	}
	return slices.ContainsFunc(all, func(d distinction) bool {
		if d.born != a.birth.From || len(d.words) != len(a.words) {
			return false
		}
		mine := make([]string, 0, len(a.words))
		for _, w := range a.words {
			mine = append(mine, w.latin)
		}
		slices.Sort(mine)
		return slices.Equal(mine, d.words)
	})
}

// explain says word by word how the best name went together with the one asked.
func (a *asked) explain(r *Ranked, l *look, t *scratch) {
	var keep assignment
	s := l.segment
	a.assign(s, r.name, l, t, &keep)
	words := s.wordsOf(r.name)
	slices.SortFunc(keep.chosen, func(x, y option) int { return int(x.asked) - int(y.asked) })
	r.Same = keep.missAsked == 0 && keep.missListed == 0
	elsewhere := moved(keep.chosen)
	for i, o := range keep.chosen {
		m := Met{Kind: o.kind, Weight: o.weight, Moved: elsewhere[i]}
		m.Asked = joinBits(o.asked, len(a.words), func(i int) string { return a.words[i].shown() })
		m.Listed = joinBits(o.listed, len(words), func(i int) string { return s.words[words[i]].shown() })
		if o.kind == Spelling {
			m.Kind = a.kindOf(o, s, words)
		}
		// What another script writes for the very word is the same.
		r.Same = r.Same && (m.Kind == Same || m.Kind == Transliteration && m.Asked == m.Listed && m.Asked != unreadable)
		r.Swapped = r.Swapped || m.Moved
		r.Met = append(r.Met, m)
	}
	askedMiss, listedMiss := a.missing(), listedMissing(s, words, a.truncated)
	for i, w := range a.words {
		if keep.missAsked&(1<<i) != 0 {
			r.Met = append(r.Met, Met{Kind: NotListed, Asked: w.shown(), Weight: -askedMiss[i]})
		}
	}
	for i, w := range words {
		if keep.missListed&(1<<i) != 0 {
			r.Met = append(r.Met, Met{Kind: NotAsked, Listed: s.words[w].shown(), Weight: -listedMiss[i]})
		}
	}
}

// kindOf says how a pair of single words met.
func (a *asked) kindOf(o option, s *segment, words []uint32) Kind {
	var q, r *word
	for i, w := range a.words {
		if o.asked == 1<<i {
			q = w
		}
	}
	for i, w := range words {
		if o.listed == 1<<i {
			r = &s.words[w]
		}
	}
	switch {
	case q == nil || r == nil:
		return Spelling
	case q.text == r.text:
		return Same
	case script.Of(q.text) != script.Of(r.text):
		return Transliteration
	case q.latin == r.latin && q.latin != "":
		return Same
	case a.isCutOff(q, r):
		return CutOff
	case o.cost < soundsAlike:
		return Sound
	}
	return Spelling
}

// soundsAlike is the cost under which two words are told as sounding alike.
const soundsAlike = 1.0

// shown is a word as evidence tells it.
func (w *word) shown() string {
	if w.latin == "" {
		return unreadable
	}
	return strings.ToUpper(w.latin)
}

// unreadable stands for a word that no table covers.
const unreadable = "?"

func joinBits(mask uint32, n int, text func(i int) string) string {
	var parts []string
	for i := range n {
		if mask&(1<<i) != 0 {
			parts = append(parts, text(i))
		}
	}
	return strings.Join(parts, " ")
}

func nationalityWeight(asked uint16, listed [3]uint16) float32 {
	if asked == 0 || listed[0] == 0 {
		return 0
	}
	best := float32(nationalityOther)
	for _, n := range listed {
		switch {
		case n == asked:
			return nationalitySame
		case n == asked|formerBit:
			best = nationalityFormer
		}
	}
	return best
}

func sexWeight(asked, listed byte) float32 {
	switch {
	case asked == 0 || listed == 0:
		return 0
	case asked == listed:
		return sexSame
	}
	return sexOther
}

// Log-odds of what agrees and what does not. One traveller in a dozen holds a given nationality of
// those that lists are full of; who is listed often travels on another.
const (
	nationalitySame   = 2.5
	nationalityFormer = 1.0
	nationalityOther  = -1.5
	sexSame           = 0.6
	sexOther          = -4
)

package names

import (
	"cmp"
	"math"
	"slices"
)

// Nearest are the persons whose names are the nearest to one that is asked, best first: of many
// travellers of one name, for measuring, the name is searched once.
type Nearest []near

// near is a person, what the name tells of it, and what a list says beside the name.
type near struct {
	name          float32
	births        []Span
	nationalities [3]uint16
	sex           byte
}

// Nearest returns the persons whose names tell at least so much of the one that is asked. Whatever
// else the query says is left out; whoever is found by the day of birth and hardly by the name is
// not among them.
func (x *Index) Nearest(q *Query, least float32) Nearest {
	t := x.pool.Get().(*scratch)
	defer x.pool.Put(t)
	a := newAsked(&Query{Name: q.Name, Primary: q.Primary, Secondary: q.Secondary, Truncated: q.Truncated}, x.known)
	if len(a.words) == 0 {
		return nil
	}
	x.head.RLock()
	defer x.head.RUnlock()
	v := x.view.Load()
	segments := v.frozen
	if len(v.head.facts) > 0 {
		segments = append(slices.Clone(v.frozen), v.head)
	}
	var out Nearest
	ranked := t.ranked[:0]
	looks := a.lookUp(segments, t)
	for i := range looks {
		l := &looks[i]
		s, at := l.segment, len(ranked)
		clear(t.place)
		for _, n := range a.collect(l, t) {
			if p := s.nameOwner[n]; !s.isDead(p) {
				ranked = a.compare(l, t, p, n, ranked)
			}
		}
		for _, r := range ranked[at:] {
			if r.Name >= least {
				f := &s.facts[r.person]
				out = append(out, near{r.Name, s.birthsOf(f), f.nationalities, f.sex})
			}
		}
	}
	clear(ranked)
	t.ranked = ranked
	slices.SortFunc(out, func(a, b near) int { return cmp.Compare(b.name, a.name) })
	return out
}

// Besides is in how many ways there are to know of nationality and sex: neither, one of both, both.
const (
	BesideNationality = 1 << iota // as bits
	BesideSex
	Besides = 4
)

// Best is the score of the best of them for a traveller of that name, of whom the birth date is known
// that the query tells; by what else of it is known beside.
func (n Nearest) Best(q *Query) [Besides]float32 {
	var best [Besides]float32
	for i := range best {
		best[i] = float32(math.Inf(-1))
	}
	nationality := codeNumber(q.Nationality)
	for i := range n {
		p := &n[i]
		if p.name+mostBeside <= best[0] && p.name+mostBeside <= best[BesideNationality|BesideSex] {
			break
		}
		m, _, birth := bestBirth(q.Birth, q.BirthKnown, p.births)
		if m == BirthConflict {
			continue
		}
		score := p.name + birth
		of, sex := nationalityWeight(nationality, p.nationalities), sexWeight(q.Sex, p.sex)
		best[0] = max(best[0], score)
		best[BesideNationality] = max(best[BesideNationality], score+of)
		best[BesideSex] = max(best[BesideSex], score+sex)
		best[BesideNationality|BesideSex] = max(best[BesideNationality|BesideSex], score+of+sex)
	}
	return best
}

// mostBeside is the most that birth date, nationality and sex add.
const mostBeside = 9.4 + nationalitySame + sexSame

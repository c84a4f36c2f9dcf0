package names

// Decoy compares what is asked with somebody invented who bears the name and the birth date that
// were asked, by so many names: as much work as is done for somebody found. It says how many names
// it compared, and false for a query without a name.
func (x *Index) Decoy(q *Query, count int) (Ranked, int, bool) {
	t := x.pool.Get().(*scratch)
	defer x.pool.Put(t)
	a := newAsked(q, x.known)
	if len(a.words) == 0 {
		return Ranked{}, 0, false
	}
	s := newSegment()
	p := &prepared{facts: facts{sex: q.Sex}}
	if q.BirthKnown {
		p.births, p.facts.births = []Span{q.Birth}, 1
	}
	for range min(count, maxNames) {
		p.names = append(p.names, preparedName{words: a.words})
	}
	p.facts.names = uint8(len(p.names))
	s.add(p)
	looks := a.lookUp([]*segment{s}, t)
	t.compared = 0
	found := a.rank(&looks[0], t, 0, nil)
	if len(found) == 0 {
		return Ranked{}, t.compared, false
	}
	return found[0], t.compared, true
}

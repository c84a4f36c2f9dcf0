package names

import "slices"

// Beside compares who is asked for with one person of the index, however unlike their names are, and
// says why: for somebody to whom something else points, such as a document. It is false for a query
// without a name, for a person who is not in the index, and for one whom the owner knows to be
// somebody else.
func (x *Index) Beside(q *Query, id string) (Ranked, bool) {
	t := x.pool.Get().(*scratch)
	defer x.pool.Put(t)
	a := newAsked(q, x.known)
	if len(a.words) == 0 {
		return Ranked{}, false
	}
	x.head.RLock()
	defer x.head.RUnlock()
	v := x.view.Load()
	segments := append(slices.Clone(v.frozen), v.head)
	looks := a.lookUp(segments, t)
	for i := range looks {
		l := &looks[i]
		s := l.segment
		p, ok := s.byID[id]
		if !ok || s.isDead(p) {
			continue
		}
		a.collect(l, t)
		clear(t.place)
		var found []Ranked
		f := &s.facts[p]
		for n := range uint32(f.names) {
			found = a.compare(l, t, p, f.firstName+n, found)
		}
		if len(found) == 0 || !a.weigh(&found[0], s) {
			return Ranked{}, false
		}
		a.explain(&found[0], l, t)
		return found[0], true
	}
	return Ranked{}, false
}

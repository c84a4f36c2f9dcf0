package names

import "iter"

// With returns an index of those who are in x now and of some more, for measuring: who searches
// it finds what x would find if they were in it. What x has frozen is shared and not copied; who is
// put into x later is not in it, and nothing may be put into it or removed.
func (x *Index) With(more iter.Seq[*Person]) *Index {
	out := NewIndex()
	own := newSegment()
	own.keys.bulk = true
	for p := range more {
		if ready := prepare(p, out.known); ready.some {
			own.add(ready)
		}
	}
	x.head.RLock()
	v := x.view.Load()
	frozen := append([]*segment(nil), v.frozen...)
	if len(v.head.facts) > 0 {
		head, _ := mergeSegments([]*segment{v.head})
		frozen = append(frozen, head)
	}
	x.head.RUnlock()
	out.view.Store(&view{frozen: append(frozen, own.freeze()), head: newSegment()})
	return out
}

package names

import "slices"

// Snapshot returns the index as it is now, to be saved: who is put afterwards is not in it, and who is
// withdrawn afterwards is in it no longer. It takes as long as to copy the head; the segments are
// shared.
func (x *Index) Snapshot() *Index {
	x.writing.Lock()
	defer x.writing.Unlock()
	v := x.view.Load()
	frozen := slices.Clone(v.frozen)
	if len(v.head.facts) > 0 {
		head, _ := mergeSegments([]*segment{v.head})
		frozen = append(frozen, head)
	}
	y := NewIndex()
	y.view.Store(&view{frozen, newSegment()})
	return y
}

// Has says whether a person is in the index.
func (x *Index) Has(id string) bool {
	x.head.RLock()
	defer x.head.RUnlock()
	found := false
	x.view.Load().each(func(s *segment) {
		if n, ok := s.byID[id]; ok && !s.isDead(n) {
			found = true
		}
	})
	return found
}

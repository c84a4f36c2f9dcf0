package journal

import (
	"cmp"
	"slices"

	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// class is what the passages of one message are counted by.
type class struct {
	kind      auditv1.EntryKind
	direction auditv1.EntryDirection
	peer      identity.Bureau
}

// selection is what Find keeps of the passages of one message, however many there are.
type selection struct {
	count  map[class]int
	newest map[class]Located // of those that were not kept
	kept   []Located
	left   int
}

func newSelection() *selection {
	return &selection{count: map[class]int{}, newest: map[class]Located{}}
}

// take takes up the next passage, in the journal's order.
func (s *selection) take(l Located) {
	of := class{l.Leaf.Kind, l.Leaf.Direction, l.Leaf.Peer}
	if l.Entry != nil { // local passages share a leaf, which names neither kind nor bureau
		of.kind = l.Entry.GetKind()
	}
	if s.count[of]++; s.count[of] > MaxFound {
		if _, before := s.newest[of]; before {
			s.left++
		}
		s.newest[of] = l
		return
	}
	if asked, answers := askOf(of); answers {
		s.keepNewest(asked)
	}
	s.kept = append(s.kept, l)
}

// keepNewest keeps the newest passage of a class too.
func (s *selection) keepNewest(of class) {
	if l, ok := s.newest[of]; ok {
		s.kept = append(s.kept, l)
		delete(s.newest, of)
	}
}

// all returns what was kept, oldest first, and how many passages were not.
func (s *selection) all() (kept []Located, left int) {
	for of := range s.newest {
		s.keepNewest(of)
	}
	slices.SortFunc(s.kept, func(a, b Located) int { return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Place, b.Place)) })
	return s.kept, s.left
}

// askOf is the class of the asks that a class of answers belongs to. Who gets an answer has sent the
// ask.
func askOf(of class) (asked class, answers bool) {
	asked = class{kind: auditv1.EntryKind_ENTRY_KIND_ASK, direction: auditv1.EntryDirection_ENTRY_DIRECTION_OUT, peer: of.peer}
	if of.direction == auditv1.EntryDirection_ENTRY_DIRECTION_OUT {
		asked.direction = auditv1.EntryDirection_ENTRY_DIRECTION_IN
	}
	return asked, of.kind == auditv1.EntryKind_ENTRY_KIND_ANSWER || of.kind == auditv1.EntryKind_ENTRY_KIND_NO_ANSWER
}

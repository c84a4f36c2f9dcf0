package policy

import (
	"iter"
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/entente-mesh/entente/pki/identity"
)

// actionIndex holds the policies that can concern an action. Cedar evaluates every policy that
// it is given; with treaties with 195 bureaus all but a handful name somebody else.
type actionIndex struct {
	// anybody are the policies that name no counterpart.
	anybody candidates
	// named are, for each bureau that a policy names, anybody and those that name it.
	named map[identity.Bureau]candidates
	// sight is what any of them looks at.
	sight sight
}

// sightOf is what the policies on an action look at.
func (x *actionIndex) sightOf() sight {
	if x == nil {
		return sight{}
	}
	return x.sight
}

// candidates are policies in the order of files and lines. It is a cedar.PolicyIterator.
type candidates []*rule

// All yields the policies with their ids.
func (c candidates) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, r := range c {
			if !yield(cedar.PolicyID(r.id), r.policy) {
				return
			}
		}
	}
}

// permits tells whether any of them could permit. Where none is, the decision is no, whatever the
// others say.
func (c candidates) permits() bool {
	return slices.ContainsFunc(c, func(r *rule) bool { return r.permit })
}

// forBureau are the policies that can concern a request with this counterpart.
func (x *actionIndex) forBureau(b identity.Bureau) candidates {
	if x == nil {
		return nil
	}
	if named, ok := x.named[b]; ok {
		return named
	}
	return x.anybody
}

// counterpart is the part of a policy's head in which an action's counterpart stands: the one
// that is asked is the resource's bureau, the one that asks, is sent to or sends is the
// principal's. The own bureau alone takes part in the others.
func counterpart(action string, s scope) anchor {
	switch action {
	case actionAsk:
		return s.resource
	case actionAnswer, actionDisclose, actionPoint, actionPush, actionAccept:
		return s.principal
	default:
		return anchor{}
	}
}

func (s *Set) buildIndex() {
	s.index = map[string]*actionIndex{}
	for _, action := range []string{
		actionCheck, actionAsk, actionAnswer, actionDisclose, actionPoint, actionPush,
		actionAccept, actionAdminister,
	} {
		s.index[action] = s.indexOf(action)
	}
	slices.Sort(s.changes)
	s.changes = slices.Compact(s.changes)
}

func (s *Set) indexOf(action string) *actionIndex {
	x := &actionIndex{named: map[identity.Bureau]candidates{}}
	concerned := func(a anchor) []identity.Bureau {
		if a.bureau != "" {
			return []identity.Bureau{a.bureau}
		}
		var members []identity.Bureau
		for b, groups := range s.communities {
			if slices.Contains(groups, a.community) {
				members = append(members, b)
			}
		}
		return members
	}
	// Names first, so that each named bureau's list keeps the order of files and lines.
	for _, r := range s.rules {
		for _, b := range concerned(counterpart(action, r.scope)) {
			x.named[b] = nil
		}
	}
	for _, id := range s.order {
		r := s.rules[id]
		if len(r.scope.actions) > 0 && !slices.Contains(r.scope.actions, action) {
			continue
		}
		x.sight = x.sight.or(r.sight)
		if action == actionDisclose {
			r.compiled = compile((*ast.Policy)(r.policy.AST()))
		}
		a := counterpart(action, r.scope)
		if a == (anchor{}) {
			x.anybody = append(x.anybody, r)
			for b := range x.named {
				x.named[b] = append(x.named[b], r)
			}
			continue
		}
		for _, b := range concerned(a) {
			x.named[b] = append(x.named[b], r)
		}
	}
	return x
}

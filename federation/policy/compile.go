package policy

import (
	"slices"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Policies on disclose are decided upon for every record that matches a question, and for decoys.
// Cedar's evaluator wants all that a policy could look at as Cedar records, sorted and hashed;
// to make them costs ten times what the policies cost. So what such policies are mostly made of
// is compiled here to tests that look at the record itself. None of these can fail. A policy that
// uses anything else is left to Cedar, alone, and a test holds the two against each other.
// Nothing is remembered of a record, and every policy is evaluated whatever the others say: one
// that is withheld costs what one costs that is told.

// test says whether a policy, or a part of it that is true or false, holds.
type test func(*disclosing) bool

// term is a part of a policy that has another value.
type term func(*disclosing) types.Value

// compile returns the test of a policy on disclose, nil if Cedar must evaluate it. That its action
// is disclose is known.
func compile(p *ast.Policy) test {
	principal, ok := compileScope(sidePrincipal, p.Principal)
	if !ok {
		return nil
	}
	resource, ok := compileScope(sideResource, p.Resource)
	if !ok {
		return nil
	}
	all := []test{principal, resource}
	for _, c := range p.Conditions {
		holds, ok := compileTest(c.Body)
		if !ok {
			return nil
		}
		if c.Condition == ast.ConditionUnless {
			holds = not(holds)
		}
		all = append(all, holds)
	}
	all = slices.DeleteFunc(all, func(t test) bool { return t == nil })
	return func(d *disclosing) bool {
		for _, holds := range all {
			if !holds(d) {
				return false
			}
		}
		return true
	}
}

// compileScope compiles a part of a policy's head: nil if it holds for everything.
func compileScope(of side, n ast.IsScopeNode) (t test, ok bool) {
	switch n := n.(type) {
	case ast.ScopeTypeAll:
		return nil, true
	case ast.ScopeTypeEq:
		return func(d *disclosing) bool { return d.thing(of).uid == n.Entity }, true
	case ast.ScopeTypeIn:
		return func(d *disclosing) bool { return d.in(of, n.Entity) }, true
	case ast.ScopeTypeIs:
		return func(d *disclosing) bool { return d.thing(of).uid.Type == n.Type }, true
	case ast.ScopeTypeIsIn:
		return func(d *disclosing) bool { return d.thing(of).uid.Type == n.Type && d.in(of, n.Entity) }, true
	default:
		return nil, false
	}
}

func not(t test) test { return func(d *disclosing) bool { return !t(d) } }

// compileTest compiles what is true or false.
func compileTest(n ast.IsNode) (t test, ok bool) {
	switch n := n.(type) {
	case ast.NodeValue:
		b, ok := n.Value.(types.Boolean)
		return func(*disclosing) bool { return bool(b) }, ok
	case ast.NodeTypeAnd:
		a, b, ok := compileTests(n.BinaryNode)
		return func(d *disclosing) bool { return a(d) && b(d) }, ok
	case ast.NodeTypeOr:
		a, b, ok := compileTests(n.BinaryNode)
		return func(d *disclosing) bool { return a(d) || b(d) }, ok
	case ast.NodeTypeNot:
		a, ok := compileTest(n.Arg)
		return not(a), ok
	case ast.NodeTypeEquals:
		a, b, ok := compileTerms(n.BinaryNode)
		return func(d *disclosing) bool { return a(d).Equal(b(d)) }, ok
	case ast.NodeTypeNotEquals:
		a, b, ok := compileTerms(n.BinaryNode)
		return func(d *disclosing) bool { return !a(d).Equal(b(d)) }, ok
	case ast.NodeTypeLessThan:
		return compileOrder(n.Left, n.Right, func(a, b int64) bool { return a < b })
	case ast.NodeTypeLessThanOrEqual:
		return compileOrder(n.Left, n.Right, func(a, b int64) bool { return a <= b })
	case ast.NodeTypeGreaterThan:
		return compileOrder(n.Left, n.Right, func(a, b int64) bool { return a > b })
	case ast.NodeTypeGreaterThanOrEqual:
		return compileOrder(n.Left, n.Right, func(a, b int64) bool { return a >= b })
	case ast.NodeTypeContains:
		contains, okSet := compileMember(n.Left)
		v, ok := compileTerm(n.Right)
		return func(d *disclosing) bool { return contains(d, v(d)) }, okSet && ok
	case ast.NodeTypeContainsAny:
		contains, okSet := compileMember(n.Left)
		values, ok := written(n.Right)
		return func(d *disclosing) bool {
			return slices.ContainsFunc(values, func(v types.Value) bool { return contains(d, v) })
		}, okSet && ok
	case ast.NodeTypeIsEmpty:
		a := attributeOf(n.Arg)
		if a == nil || a.list == nil {
			return nil, false
		}
		return func(d *disclosing) bool { return a.list(d).size() == 0 }, true
	case ast.NodeTypeAccess:
		a := attributeOf(n)
		if a == nil || a.truth == nil {
			return nil, false
		}
		return test(a.truth), true
	case ast.NodeTypeIn:
		of, ok := sideOf(n.Left)
		e, entity := entityOf(n.Right)
		return func(d *disclosing) bool { return d.in(of, e) }, ok && entity
	case ast.NodeTypeIs:
		of, ok := sideOf(n.Left)
		return func(d *disclosing) bool { return d.thing(of).uid.Type == n.EntityType }, ok
	default:
		return nil, false
	}
}

func compileTests(n ast.BinaryNode) (a, b test, ok bool) {
	a, okA := compileTest(n.Left)
	b, okB := compileTest(n.Right)
	return a, b, okA && okB
}

// compileTerm compiles what has a value, lists apart.
func compileTerm(n ast.IsNode) (t term, ok bool) {
	switch n := n.(type) {
	case ast.NodeValue:
		return func(*disclosing) types.Value { return n.Value }, true
	case ast.NodeTypeVariable:
		of, ok := sideOf(n)
		return func(d *disclosing) types.Value { return d.thing(of).uid }, ok
	case ast.NodeTypeAccess:
		a := attributeOf(n)
		if a == nil || a.list != nil {
			return nil, false
		}
		return a.value, true
	default:
		return nil, false
	}
}

func compileTerms(n ast.BinaryNode) (a, b term, ok bool) {
	a, okA := compileTerm(n.Left)
	b, okB := compileTerm(n.Right)
	return a, b, okA && okB
}

// compileOrder compiles the comparison of two moments.
func compileOrder(a, b ast.IsNode, holds func(a, b int64) bool) (t test, ok bool) {
	l, okL := compileMoment(a)
	r, okR := compileMoment(b)
	return func(d *disclosing) bool { return holds(l(d), r(d)) }, okL && okR
}

func compileMoment(n ast.IsNode) (moment func(*disclosing) int64, ok bool) {
	if ms, ok := momentOf(n); ok {
		return func(*disclosing) int64 { return ms }, true
	}
	if a := attributeOf(n); a != nil && a.moment != nil {
		return a.moment, true
	}
	return nil, false
}

// compileMember compiles whether a list that is written out, or of a record, contains a value.
func compileMember(n ast.IsNode) (contains func(*disclosing, types.Value) bool, ok bool) {
	if a := attributeOf(n); a != nil && a.list != nil {
		return func(d *disclosing, v types.Value) bool { return a.list(d).contains(v) }, true
	}
	values, ok := written(n)
	return func(_ *disclosing, v types.Value) bool { return slices.ContainsFunc(values, v.Equal) }, ok
}

// written are the values of a list that is written out.
func written(n ast.IsNode) (values []types.Value, ok bool) {
	set, ok := n.(ast.NodeTypeSet)
	if !ok {
		return nil, false
	}
	for _, e := range set.Elements {
		v, ok := e.(ast.NodeValue)
		if !ok {
			return nil, false
		}
		values = append(values, v.Value)
	}
	return values, true
}

// side is the principal or the resource.
type side int

const (
	sidePrincipal side = iota
	sideResource
)

func sideOf(n ast.IsNode) (of side, ok bool) {
	v, ok := n.(ast.NodeTypeVariable)
	switch {
	case ok && v.Name == "principal":
		return sidePrincipal, true
	case ok && v.Name == "resource":
		return sideResource, true
	default:
		return 0, false
	}
}

func entityOf(n ast.IsNode) (e types.EntityUID, ok bool) {
	v, ok := n.(ast.NodeValue)
	if !ok {
		return types.EntityUID{}, false
	}
	e, ok = v.Value.(types.EntityUID)
	return e, ok
}

// attributeOf is the attribute of the resource or of the context that a part of a policy is, nil
// if it is none.
func attributeOf(n ast.IsNode) *attribute {
	access, ok := n.(ast.NodeTypeAccess)
	if !ok {
		return nil
	}
	v, ok := access.Arg.(ast.NodeTypeVariable)
	if !ok {
		return nil
	}
	for i := range disclosed {
		if a := &disclosed[i]; a.of == v.Name && a.name == access.Value {
			return a
		}
	}
	return nil
}

package policy

import (
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// sight is what the policies on questions look at, of that which few of them look at.
type sight struct {
	// clients says that a policy names a client: all others are told apart by agency and role.
	clients bool
	// issuingState and nationality say that a policy looks at what is asked about.
	issuingState, nationality bool
	// clock says that a policy does more with the time than to compare it with a moment that it
	// names.
	clock bool
}

func (s sight) or(o sight) sight {
	return sight{
		clients: s.clients || o.clients, clock: s.clock || o.clock,
		issuingState: s.issuingState || o.issuingState, nationality: s.nationality || o.nationality,
	}
}

// sightOf is what a policy looks at.
func sightOf(p *ast.Policy, m *mentions) sight {
	s := sight{clients: m.clients}
	for _, c := range p.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			switch n := n.(type) {
			case ast.NodeTypeLessThan:
				return !comparesNow(n.BinaryNode)
			case ast.NodeTypeLessThanOrEqual:
				return !comparesNow(n.BinaryNode)
			case ast.NodeTypeGreaterThan:
				return !comparesNow(n.BinaryNode)
			case ast.NodeTypeGreaterThanOrEqual:
				return !comparesNow(n.BinaryNode)
			case ast.NodeTypeEquals:
				return !comparesNow(n.BinaryNode)
			case ast.NodeTypeNotEquals:
				return !comparesNow(n.BinaryNode)
			case ast.NodeTypeAccess:
				name, ok := ofContext(n)
				if !ok {
					return true
				}
				s.issuingState = s.issuingState || name == "issuing_state"
				s.nationality = s.nationality || name == "nationality"
				s.clock = s.clock || name == "now"
				return false
			case ast.NodeTypeVariable:
				if n.Name == "context" { // the whole of it
					s.issuingState, s.nationality, s.clock = true, true, true
				}
			}
			return true
		})
	}
	return s
}

// comparesNow says whether the two sides of a comparison are the time and a moment that is
// written out.
func comparesNow(n ast.BinaryNode) bool {
	return isNow(n.Left) && isMoment(n.Right) || isMoment(n.Left) && isNow(n.Right)
}

func isNow(n ast.IsNode) bool {
	name, ok := ofContext(n)
	return ok && name == "now"
}

func isMoment(n ast.IsNode) bool {
	_, ok := momentOf(n)
	return ok
}

// ofContext is the name of an attribute of the context.
func ofContext(n ast.IsNode) (name types.String, ok bool) {
	access, ok := n.(ast.NodeTypeAccess)
	if !ok {
		return "", false
	}
	v, ok := access.Arg.(ast.NodeTypeVariable)
	return access.Value, ok && v.Name == "context"
}

// momentOf is a moment that is written out, datetime("2027-01-01"), in milliseconds.
func momentOf(n ast.IsNode) (ms int64, ok bool) {
	call, ok := n.(ast.NodeTypeExtensionCall)
	if !ok || call.Name != "datetime" || len(call.Args) != 1 {
		return 0, false
	}
	v, ok := call.Args[0].(ast.NodeValue)
	if !ok {
		return 0, false
	}
	text, ok := v.Value.(types.String)
	if !ok {
		return 0, false
	}
	d, err := types.ParseDatetime(string(text))
	return d.Milliseconds(), err == nil
}

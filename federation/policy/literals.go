package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/entente-mesh/entente/pki/identity"
)

// mentions are the literals of a policy: what it distinguishes by. Offers tries them.
type mentions struct {
	agencies    []string // entity ids, "BGR/border-police"
	roles       []string
	states      []string // texts of three capital letters
	communities []string
	instants    []int64 // milliseconds
	clients     bool    // some client is named
}

// scope is what a policy's head pins: which actions it can be about (empty: all), and which
// bureaus or communities its principal and its resource are in.
type scope struct {
	actions   []string
	principal anchor
	resource  anchor
}

// anchor is a bureau or a community that an entity must be in. Neither: any.
type anchor struct {
	bureau    identity.Bureau
	community string
}

func scopeOf(p *ast.Policy) scope {
	s := scope{principal: anchorOf(p.Principal), resource: anchorOf(p.Resource)}
	switch a := p.Action.(type) {
	case ast.ScopeTypeEq:
		s.actions = []string{string(a.Entity.ID)}
	case ast.ScopeTypeIn:
		s.actions = []string{string(a.Entity.ID)}
	case ast.ScopeTypeInSet:
		for _, e := range a.Entities {
			s.actions = append(s.actions, string(e.ID))
		}
	}
	return s
}

func anchorOf(s ast.IsScopeNode) anchor {
	var e types.EntityUID
	switch s := s.(type) {
	case ast.ScopeTypeEq:
		e = s.Entity
	case ast.ScopeTypeIn:
		e = s.Entity
	case ast.ScopeTypeIsIn:
		e = s.Entity
	default:
		return anchor{}
	}
	switch e.Type {
	case typeBureau, typeAgency, typeClient, typeRequester, typeCollection, typeRecord, typeAlert:
		country, _, _ := strings.Cut(string(e.ID), "/")
		return anchor{bureau: identity.Bureau(country)}
	case typeCommunity:
		return anchor{community: string(e.ID)}
	}
	return anchor{} // the federation is everybody
}

// The forms of entity ids. A literal that cannot name anything is a slip of the pen that would
// silently keep a forbid from applying, so it is refused.
var idForms = map[cedar.EntityType]*regexp.Regexp{
	typeFederation: regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`),
	typeCommunity:  communityPattern,
	typeBureau:     regexp.MustCompile(`^[A-Z]{3}$`),
	typeAgency:     regexp.MustCompile(`^[A-Z]{3}/[^/]{1,64}$`),
	typeClient:     regexp.MustCompile(`^[A-Z]{3}/[^/]{1,64}/[^/]{1,32}/[^/]{1,64}$`),
	typeRequester:  regexp.MustCompile(`^[A-Z]{3}/[^/]{1,64}/[^/]{1,32}$`),
	typeCollection: regexp.MustCompile(`^[A-Z]{3}/(persons|documents)$`),
	typeRecord:     regexp.MustCompile(`^[A-Z]{3}/(persons|documents)/.{1,128}$`),
	typeAlert:      regexp.MustCompile(`^[A-Z]{3}/.{1,128}$`),
}

var statePattern = regexp.MustCompile(`^[A-Z]{3}$`)

// literals checks every entity that a policy names, which the schema's types do not, and
// collects what the policy distinguishes by.
func (l *loader) literals(p *ast.Policy, m *mentions) []error {
	var errs []error
	entity := func(e types.EntityUID) {
		if err := l.entity(e); err != nil {
			errs = append(errs, err)
		}
		switch e.Type {
		case typeAgency:
			m.agencies = add(m.agencies, string(e.ID))
		case typeRequester:
			parts := strings.SplitN(string(e.ID), "/", 3)
			if len(parts) == 3 {
				m.agencies = add(m.agencies, parts[0]+"/"+parts[1])
				m.roles = add(m.roles, parts[2])
			}
		case typeClient:
			m.clients = true
		case typeRole:
			m.roles = add(m.roles, string(e.ID))
		case typeCommunity:
			m.communities = add(m.communities, string(e.ID))
		}
	}
	for _, s := range []ast.IsScopeNode{p.Principal, p.Action, p.Resource} {
		switch s := s.(type) {
		case ast.ScopeTypeEq:
			entity(s.Entity)
		case ast.ScopeTypeIn:
			entity(s.Entity)
		case ast.ScopeTypeIsIn:
			entity(s.Entity)
		case ast.ScopeTypeInSet:
			for _, e := range s.Entities {
				entity(e)
			}
		}
	}
	for _, c := range p.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			switch n := n.(type) {
			case ast.NodeValue:
				switch v := n.Value.(type) {
				case types.EntityUID:
					entity(v)
				case types.String:
					if statePattern.MatchString(string(v)) {
						m.states = add(m.states, string(v))
					}
				}
			case ast.NodeTypeExtensionCall:
				if ms, ok := momentOf(n); ok {
					m.instants = append(m.instants, ms)
				}
			}
			return true
		})
	}
	return errs
}

func (l *loader) entity(e types.EntityUID) error {
	if enum, ok := l.vocabulary.Enums[e.Type]; ok {
		if slices.Contains(enum.Values, e) {
			return nil
		}
		names := make([]string, 0, len(enum.Values))
		for _, v := range enum.Values {
			names = append(names, string(v.ID))
		}
		return fmt.Errorf("%s is not in the vocabulary: give one of %s", e, strings.Join(names, ", "))
	}
	form, ok := idForms[e.Type]
	if !ok || form.MatchString(string(e.ID)) {
		return nil // actions and unknown types are the validator's
	}
	return fmt.Errorf("%s names nothing: the id must be of the form %s", e, form)
}

func add(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

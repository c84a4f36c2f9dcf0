package policy

import (
	"fmt"

	"github.com/cedar-policy/cedar-go/types"

	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// disclosing is one decision on a record: its facts, and what follows from them.
type disclosing struct {
	*DiscloseFacts
	world   world
	beyond  bool
	context *types.Record // for Cedar, once it is needed
}

func (d *disclosing) thing(of side) *thing {
	if of == sidePrincipal {
		return &d.world.principal
	}
	return &d.world.resource
}

// in says whether the principal or the resource is an entity or is in it. Parents are given in
// full, so one look is enough.
func (d *disclosing) in(of side, e types.EntityUID) bool {
	t := d.thing(of)
	return t.uid == e || d.world.set.parentsOf(t).Contains(e)
}

// attribute is one that a policy on disclose can look at.
type attribute struct {
	of, name types.String
	// value is what Cedar sees of it.
	value term
	// truth, moment in milliseconds or list are what compiled policies see, where it is one.
	truth  func(*disclosing) bool
	moment func(*disclosing) int64
	list   func(*disclosing) list
}

func truth(of, name types.String, f func(*disclosing) bool) attribute {
	return attribute{of: of, name: name, truth: f, value: func(d *disclosing) types.Value { return types.Boolean(f(d)) }}
}

func moment(of, name types.String, f func(*disclosing) int64) attribute {
	return attribute{of: of, name: name, moment: f, value: func(d *disclosing) types.Value { return types.NewDatetimeFromMillis(f(d)) }}
}

func listed(of, name types.String, f func(*disclosing) list) attribute {
	return attribute{of: of, name: name, list: f, value: func(d *disclosing) types.Value { return f(d).set() }}
}

// list is a list of a record as it stands there.
type list interface {
	size() int
	contains(v types.Value) bool
	set() types.Set
}

type bureaus []string

func (l bureaus) size() int { return len(l) }

func (l bureaus) contains(v types.Value) bool {
	e, ok := v.(types.EntityUID)
	if !ok || e.Type != typeBureau {
		return false
	}
	for _, id := range l {
		if id == string(e.ID) {
			return true
		}
	}
	return false
}

func (l bureaus) set() types.Set {
	values := make([]types.Value, len(l))
	for i, id := range l {
		values[i] = bureauUID(identity.Bureau(id))
	}
	return types.NewSet(values...)
}

type purposes []recordv1.Purpose

func (l purposes) size() int { return len(l) }

func (l purposes) contains(v types.Value) bool {
	e, ok := v.(types.EntityUID)
	if !ok || e.Type != typePurpose {
		return false
	}
	for _, p := range l {
		if namedPurposeUID(p) == e {
			return true
		}
	}
	return false
}

func (l purposes) set() types.Set { return purposeSet(l) }

type texts []string

func (l texts) size() int { return len(l) }

func (l texts) contains(v types.Value) bool {
	s, ok := v.(types.String)
	if !ok {
		return false
	}
	for _, text := range l {
		if text == string(s) {
			return true
		}
	}
	return false
}

func (l texts) set() types.Set {
	values := make([]types.Value, len(l))
	for i, t := range l {
		values[i] = types.String(t)
	}
	return types.NewSet(values...)
}

// named returns the entities of an enumeration's values, made once. A value that this version does
// not know has its number for a name.
func named[E interface {
	~int32
	fmt.Stringer
}](known map[int32]string, of func(E) types.EntityUID) func(E) types.Value {
	made := make([]types.Value, len(known))
	for i := range made {
		made[i] = of(E(i))
	}
	return func(e E) types.Value {
		if e >= 0 && int(e) < len(made) {
			return made[e]
		}
		return of(e)
	}
}

// wholly makes a Cedar record of all attributes of a record, or of the context.
func wholly(of types.String, d *disclosing) types.Record {
	all := types.RecordMap{}
	for i := range disclosed {
		if a := &disclosed[i]; a.of == of {
			all[a.name] = a.value(d)
		}
	}
	return types.NewRecord(all)
}

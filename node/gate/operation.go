package gate

import (
	"context"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// Operation is something that somebody of the own country does on the node.
type Operation struct {
	ID     string // a UUID
	Client identity.Identity
	Name   string // one of policy.Operations
	// Object is on what: "documents/ref:AB12", never a name or a number. Optional.
	Object string
	// Second is the second person, as SPIFFE ID, of an act that needs two. Optional.
	Second string
	// Why is the reason that the client gave. Optional.
	Why string
	// Count is how many it concerns, where it counts. Optional.
	Count uint64
}

// Administer decides whether a client may do an operation of the own node, and records it.
func (g *Gate) Administer(ctx context.Context, operationID string, client identity.Identity, operation string) error {
	return g.Operate(ctx, Operation{ID: operationID, Client: client, Name: operation})
}

// Operate decides whether an operation may be done, and records it, allowed or denied.
func (g *Gate) Operate(ctx context.Context, o Operation) error {
	set := g.cfg.Policy()
	d := enforced(set.Administer(policy.AdministerFacts{Client: o.Client, Operation: o.Name}))
	g.tell(ctx, set.Version(), d)
	e := g.operation(o, decided(d.Allow))
	e.Rules, e.PolicyVersion = ruleList(d.Rules, maxRules), set.Version()
	if !d.Allow {
		e.Reason = string(fault.RoleNotPermitted)
	}
	if err := g.record(ctx, journal.Passage{Entry: e}); err != nil {
		return err
	}
	if !d.Allow {
		return fault.New(codes.PermissionDenied, fault.RoleNotPermitted, "",
			"your role "+string(o.Client.Role)+" does not permit "+o.Name+": use an identity whose role does")
	}
	return nil
}

// Operated records what became of an operation that was permitted, where that is known only when
// it is done: on what it was, how many it concerned, who was the second person. reason is why it
// was not done; empty: it was.
func (g *Gate) Operated(ctx context.Context, o Operation, reason fault.Reason) error {
	decision := allowed
	if reason != "" {
		decision = failed
	}
	e := g.operation(o, decision)
	e.Reason, e.PolicyVersion = string(reason), g.PolicyVersion()
	return g.record(ctx, journal.Passage{Entry: e})
}

// Began records something that the node does by itself. object is on what; optional.
func (g *Gate) Began(ctx context.Context, operation, object string) error {
	e := g.entry(kindOperation, local, g.cfg.Self, uuid.NewString())
	e.Decision, e.Operation, e.Object, e.PolicyVersion = allowed, operation, object, g.PolicyVersion()
	return g.record(ctx, journal.Passage{Entry: e})
}

func (g *Gate) operation(o Operation, d auditv1.Decision) *auditv1.Entry {
	e := g.entry(kindOperation, local, g.cfg.Self, o.ID)
	e.Client, e.Decision, e.Operation, e.Object, e.Second, e.Count = who(o.Client, ""), d, o.Name, o.Object, o.Second, o.Count
	if o.Why != "" {
		e.Justification = &queryv1.Justification{Text: o.Why}
	}
	e.Requester = &queryv1.Requester{Bureau: string(o.Client.Bureau), Agency: o.Client.Agency, Role: string(o.Client.Role)}
	return e
}

// Package gate is the door of a node. Everything that comes in or goes out passes it: policy
// decides, the gate enforces and records, in both directions.
//
// It decides nothing itself (federation/policy does), finds nothing (a Searcher does) and keeps
// no books of its own: it writes a Passage to Books before anything leaves.
//
// One flow, an ask from abroad: Answer asks policy whether the asking bureau may ask this
// collection for this purpose, lets the Searcher look, asks policy for every record found
// whether it may be told, cuts what is told down to what crosses a border, records the passage,
// and only then returns the answer. A record that is withheld goes the whole way before it is
// dropped, so that it looks like no record.
package gate

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Books keeps what passed. Record returns only when the passage is durable; if it fails,
// nothing may leave.
type Books interface {
	Record(ctx context.Context, p Passage) error
}

// Direction of a passage.
type Direction string

// The directions.
const (
	In    Direction = "in"    // from another bureau
	Out   Direction = "out"   // to another bureau
	Local Direction = "local" // from the own country's people
)

// Passage is one way through the gate, allowed or denied. It holds nothing of the person or the
// document: the message id leads to the signed bytes where they are kept.
type Passage struct {
	MessageID     string // check_id or ask_id: the same in both countries' books
	Kind          string // "check", "ask", "answer", "administer"
	Direction     Direction
	Bureau        identity.Bureau // the counterpart; the own bureau for local passages
	Agency        string          // who asked, down to the agency
	Purpose       string
	Decision      string   // "allow" or "deny"
	Rules         []string // the policies that decided
	PolicyVersion string
	At            time.Time
	// Outcome lists what became of it: "documents=NO_HIT", "BEL=TIMEOUT".
	Outcome []string
	// Digest is the SHA-256 of the signed bytes that this passage is about. Nil for local ones.
	Digest []byte
}

// Config is what a gate is made of.
type Config struct {
	Self       identity.Bureau
	Federation identity.Federation
	Policy     func() *policy.Set // the set in force; it changes when the operator reloads
	Books      Books
	Now        func() time.Time
	Logger     *slog.Logger
}

// Gate is the door. It is safe for concurrent use.
type Gate struct {
	cfg Config
}

// New returns a gate.
func New(cfg Config) *Gate {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Gate{cfg: cfg}
}

// PolicyVersion is the version of the policy set in force.
func (g *Gate) PolicyVersion() string { return g.cfg.Policy().Version() }

// enforced is a decision as the gate carries it out: an error in a policy means no, and what a
// person must look at first does not pass by itself, whatever the verdict says.
func enforced(d policy.Decision) policy.Decision {
	d.Allow = d.Allow && d.Err == nil && !d.Obligations.Hold
	return d
}

// tell logs a decision that could not be made: the operator finds the policy, nobody else does.
func (g *Gate) tell(ctx context.Context, d policy.Decision) {
	if d.Err != nil {
		g.cfg.Logger.ErrorContext(ctx, "a policy could not be evaluated; denied", slog.String("action", d.Action), slog.Any("error", d.Err))
	}
}

// needsCase tells the purposes that need a case reference: all but the two counters where there
// is none.
func needsCase(p recordv1.Purpose) bool {
	return p != recordv1.Purpose_PURPOSE_BORDER_CONTROL && p != recordv1.Purpose_PURPOSE_POLICE_CHECK
}

// Permit is a check that may be made: by which rules, of which version of the policies.
type Permit struct {
	decision policy.Decision
	version  string
}

// Advice is what policy advises the officer to do when the check is not complete.
func (p Permit) Advice() string { return p.decision.Obligations.Advice }

// Check decides whether a client of the own country may make a check for a purpose. A denial is
// recorded and returned as an error whose text is for the own side; what is permitted is recorded
// by Checked, when it has been made.
func (g *Gate) Check(ctx context.Context, checkID string, client identity.Identity, just *queryv1.Justification) (Permit, error) {
	set := g.cfg.Policy()
	hasCase := just.GetCaseRef() != ""
	d := enforced(set.Check(policy.CheckFacts{Client: client, Purpose: just.GetPurpose(), HasCase: hasCase}))
	g.tell(ctx, d)
	if d.Allow {
		return Permit{d, set.Version()}, nil
	}
	p := g.passage(checkID, "check", client.Agency, just.GetPurpose(), d, set.Version())
	if err := g.record(ctx, p); err != nil {
		return Permit{}, err
	}
	word := identity.PurposeName(just.GetPurpose())
	switch {
	case !slices.Contains(client.Purposes, just.GetPurpose()):
		return Permit{}, fault.New(codes.PermissionDenied, fault.PurposeNotHeld, "justification.purpose",
			"your certificate does not hold the purpose "+word+": ask your PKI administrator for one that does")
	case needsCase(just.GetPurpose()) && !hasCase:
		return Permit{}, fault.New(codes.InvalidArgument, fault.CaseRequired, "justification.case_ref",
			"the purpose "+word+" needs a case reference: give it (--case)")
	default:
		return Permit{}, fault.New(codes.PermissionDenied, fault.PolicyDenied, "justification.purpose",
			"your country's policy does not permit you a check for "+word+": ask your operator (entente policy explain)")
	}
}

// Asking are the facts of a question that may go abroad.
type Asking struct {
	Client       identity.Identity
	To           identity.Bureau
	Collection   string
	Purpose      recordv1.Purpose
	IssuingState string // of the document, as bureau id; empty if unknown or none
	Nationality  string // of the person, where known
}

// Ask decides whether a question may go to another bureau. It is not recorded here: what is
// asked is recorded when it is signed (Leaving), and what is not asked leaves no trace abroad.
func (g *Gate) Ask(ctx context.Context, a Asking) policy.Decision {
	set := g.cfg.Policy()
	if !set.MightAsk(a.To) {
		return policy.Decision{} // most members of the roster no permit names, and every check comes by
	}
	d := enforced(set.Ask(policy.AskFacts{
		Self:         g.cfg.Self,
		Client:       a.Client,
		To:           a.To,
		Collection:   a.Collection,
		Purpose:      a.Purpose,
		IssuingState: a.IssuingState,
		Nationality:  a.Nationality,
		Now:          g.cfg.Now(),
	}))
	g.tell(ctx, d)
	return d
}

// Administer decides whether a client may do an operation of the own node, and records it.
func (g *Gate) Administer(ctx context.Context, operationID string, client identity.Identity, operation string) error {
	set := g.cfg.Policy()
	d := enforced(set.Administer(policy.AdministerFacts{Client: client, Operation: operation}))
	g.tell(ctx, d)
	p := g.passage(operationID, "administer", client.Agency, recordv1.Purpose_PURPOSE_UNSPECIFIED, d, set.Version())
	p.Outcome = []string{operation}
	if err := g.record(ctx, p); err != nil {
		return err
	}
	if !d.Allow {
		return fault.New(codes.PermissionDenied, fault.RoleNotPermitted, "",
			"your role "+string(client.Role)+" does not permit "+operation+": use an identity whose role does")
	}
	return nil
}

// Leaving records an ask before it leaves. The asker calls it between signing and sending, and
// does not send if it fails: nothing leaves that is not in the books.
func (g *Gate) Leaving(ctx context.Context, ask *queryv1.Ask, digest []byte) error {
	return g.record(ctx, Passage{
		MessageID: ask.GetAskId(), Kind: "ask", Direction: Out,
		Bureau: identity.Bureau(ask.GetAudience()), Agency: ask.GetRequester().GetAgency(),
		Purpose:  identity.PurposeName(ask.GetJustification().GetPurpose()),
		Decision: "allow", PolicyVersion: g.PolicyVersion(), At: g.cfg.Now(), Digest: digest,
	})
}

// Checked records a check that was made, before its answer goes to the officer.
func (g *Gate) Checked(ctx context.Context, checkID string, client identity.Identity, purpose recordv1.Purpose, permit Permit, outcome []string) error {
	p := g.passage(checkID, "check", client.Agency, purpose, permit.decision, permit.version)
	p.Outcome = outcome
	return g.record(ctx, p)
}

// passage is one of the own country's people.
func (g *Gate) passage(id, kind, agency string, purpose recordv1.Purpose, d policy.Decision, version string) Passage {
	decision := "deny"
	if d.Allow {
		decision = "allow"
	}
	name := ""
	if purpose != recordv1.Purpose_PURPOSE_UNSPECIFIED {
		name = identity.PurposeName(purpose)
	}
	return Passage{
		MessageID: id, Kind: kind, Direction: Local, Bureau: g.cfg.Self, Agency: agency, Purpose: name,
		Decision: decision, Rules: d.Rules, PolicyVersion: version, At: g.cfg.Now(),
	}
}

// record writes a passage into the books. If that fails, nothing may pass.
func (g *Gate) record(ctx context.Context, p Passage) error {
	err := g.cfg.Books.Record(ctx, p)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err() // who asked has gone or has no time left; the books are not to blame
	}
	g.cfg.Logger.ErrorContext(ctx, "the books cannot be written; nothing passes", slog.Any("error", err))
	return fault.New(codes.Unavailable, fault.BooksUnavailable, "",
		"the node cannot write its books, so nothing may pass: try again, and tell the node's operator if it lasts")
}

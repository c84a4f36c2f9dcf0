package gate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// needsCase tells the purposes that need a case reference: all but the two counters where there
// is none.
func needsCase(p recordv1.Purpose) bool {
	return p != recordv1.Purpose_PURPOSE_BORDER_CONTROL && p != recordv1.Purpose_PURPOSE_POLICE_CHECK
}

// Checking is a check that somebody of the own country wants to make.
type Checking struct {
	ID     string // a UUID
	Client identity.Identity
	// Requester is who asks as the node writes it: what the certificate says stands above what the
	// client does. Its officer is the pseudonym that the own books use, or empty.
	Requester *queryv1.Requester
	// Officer is whom the client says to be, in clear, where several share a certificate. It stands
	// in the own books as a part of the client's name, and nowhere else.
	Officer       string
	Justification *queryv1.Justification
	// Document and Person are what is checked. They are counted, by keyed hashes, and not kept.
	Document *queryv1.DocumentQuery
	Person   *queryv1.PersonQuery
}

// Permit is a check that may be made, and its page in the books: AskLeaves for every ask of it
// that leaves, then Checked or Failed, once. It is safe for concurrent use.
type Permit struct {
	gate     *Gate
	check    Checking
	decision policy.Decision
	version  string
	began    time.Time

	mu      sync.Mutex
	open    map[string]ask.Target // the asks that left and have no end in the books, by their ids
	ended   map[string]bool       // those that have one
	checked bool                  // the check itself stands in the books
}

// Advice is what policy advises the officer to do when the check is not complete.
func (p *Permit) Advice() string { return p.decision.Obligations.Advice }

// Check decides whether a client of the own country may make a check for a purpose. A denial is
// recorded and returned as an error whose text is for the own side.
func (g *Gate) Check(ctx context.Context, c Checking) (*Permit, error) {
	set, just := g.cfg.Policy(), c.Justification
	hasCase := just.GetCaseRef() != ""
	d := enforced(set.Check(policy.CheckFacts{Client: c.Client, Purpose: just.GetPurpose(), HasCase: hasCase}))
	g.tell(ctx, set.Version(), d)
	p := &Permit{gate: g, check: c, decision: d, version: set.Version(), began: g.cfg.Now()}
	if d.Allow {
		if g.cfg.Limits != nil {
			// Turned away, it is counted in the books by the Limits: a line each is what a storm wants.
			if err := g.cfg.Limits.Checked(ctx, c.Client.Agency, g.cfg.Marker.Question(c.Document, c.Person)...); err != nil {
				return nil, err
			}
		}
		return p, nil
	}
	err := refused(c.Client, just)
	e := p.entry(denied)
	e.Reason = reasonOf(err)
	if err := g.record(ctx, journal.Passage{Entry: e, Officer: c.Requester.GetOfficer()}); err != nil {
		return nil, err
	}
	return nil, err
}

// refused is why a check was denied, for who wanted to make it.
func refused(client identity.Identity, just *queryv1.Justification) error {
	word := identity.PurposeName(just.GetPurpose())
	switch {
	case !slices.Contains(client.Purposes, just.GetPurpose()):
		return fault.New(codes.PermissionDenied, fault.PurposeNotHeld, "justification.purpose",
			"your certificate does not hold the purpose "+word+": ask your PKI administrator for one that does")
	case needsCase(just.GetPurpose()) && just.GetCaseRef() == "":
		return fault.New(codes.InvalidArgument, fault.CaseRequired, "justification.case_ref",
			"the purpose "+word+" needs a case reference: give it (--case)")
	default:
		return fault.New(codes.PermissionDenied, fault.PolicyDenied, "justification.purpose",
			"your country's policy does not permit you a check for "+word+": ask your operator (entente policy explain)")
	}
}

// reasonOf is why something was not done, in the catalogue's words.
func reasonOf(err error) string {
	reason, _ := fault.ReasonOf(fault.From(err))
	return cutText(string(reason), maxReason)
}

// entry is the check's own entry.
func (p *Permit) entry(d auditv1.Decision) *auditv1.Entry {
	e := p.gate.entry(kindCheck, local, p.gate.cfg.Self, p.check.ID)
	e.Requester, e.Justification, e.Client = p.check.Requester, p.check.Justification, who(p.check.Client, p.check.Officer)
	e.Decision, e.Rules, e.PolicyVersion = d, ruleList(p.decision.Rules, maxRules), p.version
	e.Elapsed = lasted(p.gate.cfg.Now().Sub(p.began))
	return e
}

// abroad is an entry about an ask of the check, in either direction.
func (p *Permit) abroad(kind auditv1.EntryKind, direction auditv1.EntryDirection, to ask.Target, askID string) *auditv1.Entry {
	e := p.gate.entry(kind, direction, to.Bureau, askID)
	e.Requester, e.Justification, e.Client, e.CheckId = p.check.Requester, p.check.Justification, who(p.check.Client, p.check.Officer), p.check.ID
	e.Decision, e.Rules, e.PolicyVersion = allowed, ruleList(to.Rules, maxRules), p.version
	return e
}

// AskLeaves implements ask.Books: it records an ask before it leaves.
func (p *Permit) AskLeaves(ctx context.Context, to ask.Target, a *queryv1.Ask, signed *signedv1.Signed) error {
	e := p.abroad(kindAsk, out, to, a.GetAskId())
	e.Requester = a.GetRequester() // as that bureau knows them
	if err := p.gate.record(ctx, journal.Passage{Entry: e, Evidence: signed, Officer: a.GetRequester().GetOfficer()}); err != nil {
		return err
	}
	p.leaves(a.GetAskId(), to)
	return nil
}

// Checked records a check that was made, and the end of every ask that left for it, before its
// answer goes to the officer: in one write where it fits into one, and also if the officer has
// gone. A *NotBooked says that the books do not take some answers: the asks have an end, and the
// check has none yet. Take those answers out, and call it again.
func (p *Permit) Checked(ctx context.Context, resp *screeningv1.CheckResponse, results []ask.Result) error {
	e := p.entry(allowed)
	bureaus := resp.GetBureaus()
	for _, b := range bureaus[:min(len(bureaus), maxOutcomes)] {
		e.Outcomes = append(e.Outcomes, &auditv1.Outcome{
			Bureau: b.GetBureau(), Status: b.GetStatus(), Elapsed: lasted(b.GetElapsed().AsDuration()), AskId: b.GetAskId(),
			Rules: ruleList(b.GetRules(), maxOutcomeRules),
		})
	}
	if err := p.conclude(ctx, e, results); err != nil {
		return err
	}
	p.checked = true
	if l := p.gate.cfg.Limits; l != nil {
		l.Found(p.check.Client.Agency, len(resp.GetHits()))
	}
	return nil
}

// Failed records a check that was permitted and could not be made, and why, and the end of every
// ask that left for it. After Checked it does nothing.
func (p *Permit) Failed(ctx context.Context, cause error, results ...ask.Result) error {
	if p.checked {
		return nil
	}
	e := p.entry(failed)
	e.Reason = reasonOf(cause)
	err := p.conclude(ctx, e, results)
	var refused *NotBooked
	if errors.As(err, &refused) { // they are shown to nobody anyway
		return p.conclude(ctx, e, nil)
	}
	return err
}

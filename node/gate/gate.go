// Package gate is the door of a node. Everything that comes in or goes out passes it: policy
// decides, the gate enforces and records, in both directions.
//
// It decides nothing itself (federation/policy does), finds nothing (a Searcher does), counts
// nothing (Limits do) and keeps no books of its own: it says what stands in them, and lets nothing
// leave before Books have it.
//
// One flow, an ask from abroad: Answer has the Limits count what is asked about, asks policy
// whether the asking bureau may ask this collection for this purpose, lets the Searcher look, asks
// policy for every record found whether it may be told, and cuts what is told down to what crosses
// a border. The mesh listener signs the answer; Commit writes question, answer and memory down in
// one; then the answer leaves. A record that is withheld goes the whole way before it is dropped,
// and where nothing is found decoys go that way, so that it looks like no record in time too.
package gate

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/limits"
	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Books keep what passed. node/journal is one.
type Books interface {
	// Record writes passages down together. It returns when they are durable; if it fails,
	// nothing may leave.
	Record(ctx context.Context, passages ...journal.Passage) error
	// RecordAnswered does the same, and remembers the answer to an ask.
	RecordAnswered(ctx context.Context, m journal.Memory, passages ...journal.Passage) error
}

// Limits count who asks about how many, and turn away who asks about too many. node/limits is one.
type Limits interface {
	// Asked counts what another bureau asks about. A fault that it returns reaches the asker.
	Asked(ctx context.Context, from identity.Bureau, subjects ...limits.Subject) error
	// Told counts how many records another bureau was told of.
	Told(from identity.Bureau, hits int)
	// Checked counts what an own agency checks. A fault that it returns reaches its client.
	Checked(ctx context.Context, agency string, subjects ...limits.Subject) error
	// Found counts how many records a check of an own agency found.
	Found(agency string, hits int)
}

// DefaultSlots is how many candidates are carried through the gate for every question, be there as
// many or none: more records than that under one number, or of one name and birth date, that are
// all withheld from one bureau are rare enough to show.
const DefaultSlots = 4

// Config is what a gate is made of.
type Config struct {
	Self       identity.Bureau
	Federation identity.Federation
	Policy     func() *policy.Set // the set in force; it changes when the operator reloads
	Books      Books
	// Limits. Optional: nothing is counted.
	Limits Limits
	// Marker makes the marks by which Limits know what was asked about. Needed with Limits.
	Marker *limits.Marker
	// Slots is how many candidates are carried at least. 0: DefaultSlots.
	Slots int
	// Budget is what one question from abroad may cost: of each collection the best records are
	// looked at, as many as it says, and if it takes longer there is no answer. What is 0 is
	// limits.DefaultBudget's.
	Budget limits.Budget
	Now    func() time.Time
	Logger *slog.Logger
}

// Gate is the door. It is safe for concurrent use.
type Gate struct {
	cfg    Config
	decoys map[string]Found // by collection
	work   work
	failed sync.Map // policies whose failure was told, so that it is told once
}

// New returns a gate. It panics if Limits are given without a Marker: a node must not start that
// would count nothing.
func New(cfg Config) *Gate {
	if cfg.Limits != nil && cfg.Marker == nil {
		panic("gate: Config.Limits without Config.Marker")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Slots <= 0 {
		cfg.Slots = DefaultSlots
	}
	usual := limits.DefaultBudget()
	if cfg.Budget.Candidates <= 0 {
		cfg.Budget.Candidates = usual.Candidates
	}
	if cfg.Budget.Time <= 0 {
		cfg.Budget.Time = usual.Time
	}
	cfg.Budget.Candidates = max(cfg.Budget.Candidates, cfg.Slots)
	return &Gate{cfg: cfg, decoys: decoys(cfg.Self)}
}

// PolicyVersion is the version of the policy set in force.
func (g *Gate) PolicyVersion() string { return g.cfg.Policy().Version() }

// enforced is a decision as the gate carries it out: an error in a policy means no, and what a
// person must look at first does not pass by itself, whatever the verdict says.
func enforced(d policy.Decision) policy.Decision {
	d.Allow = d.Allow && d.Err == nil && !d.Obligations.Hold
	return d
}

// tell logs a policy that could not be evaluated: the operator finds it, nobody else does. It is
// told once for each set of policies: a line for each time would tell who reads the log, or counts
// its bytes, which questions met a record.
func (g *Gate) tell(ctx context.Context, version string, d policy.Decision) {
	if d.Err == nil {
		return
	}
	key := version + " " + d.Action + " " + strings.Join(d.Rules, " ")
	if _, before := g.failed.LoadOrStore(key, true); !before {
		g.cfg.Logger.ErrorContext(ctx, "a policy could not be evaluated; denied, as it will be each time", slog.String("action", d.Action), slog.Any("error", d.Err))
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
// asked is recorded when it is signed (Permit.AskLeaves), and what is not asked leaves no trace
// abroad.
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
	g.tell(ctx, set.Version(), d)
	return d
}

// record writes passages into the books. If that fails, nothing may pass. They are written also
// for who has gone meanwhile: what passed, passed.
func (g *Gate) record(ctx context.Context, passages ...journal.Passage) error {
	g.work.booked(passages)
	return g.booked(ctx, g.cfg.Books.Record(context.WithoutCancel(ctx), passages...))
}

// booked turns a failure of the books into what a caller may see.
func (g *Gate) booked(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, journal.ErrAskAnswered), errors.Is(err, journal.ErrAskReused):
		return err // not a failure: the listener looks at what was answered
	case ctx.Err() != nil:
		return ctx.Err() // who asked has gone or has no time left
	}
	g.cfg.Logger.ErrorContext(ctx, "the books cannot be written; nothing passes", slog.Any("error", err))
	return fault.New(codes.Unavailable, fault.BooksUnavailable, "",
		"the node cannot write its books, so nothing may pass: try again, and tell the node's operator if it lasts")
}

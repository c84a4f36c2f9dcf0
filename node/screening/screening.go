// Package screening is the check: may this traveller, with this document, pass?
//
// It parses what the post read, asks the gate whether the agency may check this for this
// purpose, looks at home, asks the bureaus concerned and nobody else, merges what comes back and
// gives a verdict. It also is what answers when another bureau asks (Holdings). It decides no
// permission (node/gate), scores nothing (node/match) and speaks no network (federation/ask).
//
// One flow: Check > read > gate.Check > Holdings > concerned > Asker.Ask > merge > Permit.Checked >
// answer. A bureau's failure is a status, never an error; silence never looks like "no hit".
package screening

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/pki/identity"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// Asker asks other bureaus, in parallel, and returns one result a target.
type Asker interface {
	Ask(ctx context.Context, q ask.Question) []ask.Result
}

// Mesh is what screening needs to know of the other bureaus.
type Mesh interface {
	// Bureaus are the other members of the roster, also those that cannot be asked now.
	Bureaus() []identity.Bureau
	// RosterVersion is the version of the roster in force; 0 without one.
	RosterVersion() uint64
	// Offer is what a bureau last said that it offers; known is false if it has not said so, or
	// no longer holds to it.
	Offer(b identity.Bureau) (offer *queryv1.Offer, known bool)
}

// Officers keep the names of the own people at home.
type Officers interface {
	// Pseudonym is the name under which a bureau may know who asks: the same for the same client,
	// and the same officer where the client names one of several, and another for each bureau, so
	// that two bureaus cannot put together what one officer asked of both. The own bureau's is for
	// the own books. At most 128 characters.
	Pseudonym(client identity.Identity, officer string, bureau identity.Bureau) string
}

// Config is what screening is made of.
type Config struct {
	Self     identity.Bureau
	Gate     *gate.Gate
	Holdings *Holdings
	Asker    Asker
	Mesh     Mesh
	// Officers. Optional: no bureau is told anything of who asks below the agency's role.
	Officers Officers
	// Patience is how long a check waits for other bureaus, unless the caller says less.
	Patience time.Duration
	// MaxCandidates is how many hits a collection returns at the most.
	MaxCandidates int
	Now           func() time.Time
	Logger        *slog.Logger
}

// Screening makes checks. It is safe for concurrent use.
type Screening struct {
	cfg Config
}

// New returns a Screening.
func New(cfg Config) *Screening {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxCandidates <= 0 {
		cfg.MaxCandidates = 10
	}
	if cfg.Patience <= 0 {
		cfg.Patience = 2 * time.Second
	}
	return &Screening{cfg: cfg}
}

// Check makes one check for a client of the own country. Its errors are gRPC status errors:
// INVALID_ARGUMENT if there is nothing to check, PERMISSION_DENIED by policy, UNAVAILABLE if the
// own node cannot search or keep its books.
func (s *Screening) Check(ctx context.Context, client identity.Identity, req *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
	began := s.cfg.Now()
	subject, err := s.read(req)
	if err != nil {
		return nil, err
	}
	checking, err := s.checking(client, req, subject)
	if err != nil {
		return nil, err
	}
	permit, err := s.cfg.Gate.Check(ctx, checking)
	if err != nil {
		return nil, err
	}
	resp := &screeningv1.CheckResponse{
		CheckId:   checking.ID,
		Reference: req.GetReference(),
		Problems:  subject.problems,
		CheckedAt: timestamppb.New(began),
		Traveller: subject.traveller,
	}
	var results []ask.Result
	defer func() {
		if v := recover(); v != nil {
			// What left has an end in the books, and the check its entry, also if this node failed.
			_ = permit.Failed(ctx, errors.New("panic"), results...)
			panic(v)
		}
	}()
	local, err := s.home(ctx, subject)
	if err != nil {
		if booked := permit.Failed(ctx, err); booked != nil {
			return nil, booked
		}
		return nil, err
	}
	concerned := s.concerned(ctx, client, req.GetJustification(), subject)
	if len(concerned) > 0 {
		askCtx, cancel := context.WithTimeout(ctx, s.patience(req))
		results = s.cfg.Asker.Ask(askCtx, s.question(permit, checking, concerned))
		cancel()
	}
	answer := func() error {
		resp.Hits, resp.Bureaus = slices.Clone(local.hits), []*screeningv1.BureauStatus{local.status}
		merge(resp, concerned, results)
		sortHits(resp.GetHits(), s.cfg.Self)
		resp.Verdict = Verdict(resp.GetBureaus())
		resp.Advice = advice(resp, byPolicy(permit.Advice(), concerned, resp))
		resp.Elapsed = durationpb.New(s.cfg.Now().Sub(began))
		return permit.Checked(ctx, resp, results)
	}
	err = answer()
	var unbooked *gate.NotBooked
	if errors.As(err, &unbooked) {
		withdraw(results, unbooked.Bureaus)
		err = answer()
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// withdraw takes back what bureaus answered: what the books do not take is shown to nobody.
func withdraw(results []ask.Result, of []identity.Bureau) {
	for i := range results {
		if r := &results[i]; slices.Contains(of, r.Bureau) {
			r.Status, r.Hits, r.Reason = queryv1.Status_STATUS_UNAVAILABLE, nil, "its answer could not be written into the own books"
		}
	}
}

// agencyName is what an agency may be called: on_behalf_of names one, and crosses the border as it
// is, so that no officer's or traveller's name may stand there.
var agencyName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)

// checking is what the gate is asked to permit: the check, and who makes it.
func (s *Screening) checking(client identity.Identity, req *screeningv1.CheckRequest, subject *subject) (gate.Checking, error) {
	given := req.GetRequester()
	if behalf := given.GetOnBehalfOf(); behalf != "" && !agencyName.MatchString(behalf) {
		return gate.Checking{}, fault.New(codes.InvalidArgument, fault.MalformedRequest, "requester.on_behalf_of",
			"for whom you ask is no name of an agency: give 1 to 64 lower-case letters, digits, dots, dashes or underscores, as certificates have it")
	}
	requester := &queryv1.Requester{
		Bureau:      string(client.Bureau),
		Agency:      client.Agency,
		Role:        string(client.Role),
		Unit:        given.GetUnit(),
		Workstation: given.GetWorkstation(),
		OnBehalfOf:  given.GetOnBehalfOf(),
	}
	if s.cfg.Officers != nil {
		requester.Officer = s.cfg.Officers.Pseudonym(client, given.GetOfficer(), s.cfg.Self)
	}
	return gate.Checking{
		ID: uuid.NewString(), Client: client, Requester: requester, Officer: given.GetOfficer(), Justification: req.GetJustification(),
		Document: subject.traveller.GetDocument(), Person: subject.traveller.GetPerson(),
	}, nil
}

// patience is how long other bureaus are waited for: what the caller says, but no longer than
// the node's own bound.
func (s *Screening) patience(req *screeningv1.CheckRequest) time.Duration {
	if p := req.GetPatience(); p != nil && p.AsDuration() > 0 {
		return min(p.AsDuration(), s.cfg.Patience)
	}
	return s.cfg.Patience
}

func (s *Screening) question(permit *gate.Permit, c gate.Checking, all []concerned) ask.Question {
	targets := make([]ask.Target, 0, len(all))
	for _, t := range all {
		if s.cfg.Officers != nil {
			t.Officer = s.cfg.Officers.Pseudonym(c.Client, c.Officer, t.Bureau)
		}
		targets = append(targets, t.Target)
	}
	return ask.Question{
		Books:         permit,
		Requester:     c.Requester,
		Justification: c.Justification,
		Document:      c.Document,
		Person:        c.Person,
		MaxCandidates: uint32(s.cfg.MaxCandidates),
		RosterVersion: s.cfg.Mesh.RosterVersion(),
		Targets:       targets,
	}
}

// merge adds what the other bureaus said. A bureau concerned of which nothing came back is listed
// all the same: it was not heard.
func merge(resp *screeningv1.CheckResponse, all []concerned, results []ask.Result) {
	for _, c := range all {
		i := slices.IndexFunc(results, func(r ask.Result) bool { return r.Bureau == c.Bureau })
		if i < 0 {
			results = append(results, ask.Result{Bureau: c.Bureau, Rules: c.Rules, Optional: c.Optional})
			i = len(results) - 1
		}
		if results[i].Status == queryv1.Status_STATUS_UNSPECIFIED {
			results[i].Status, results[i].Reason = queryv1.Status_STATUS_UNAVAILABLE, "this node failed to ask it"
		}
	}
	for _, r := range results {
		status := &screeningv1.BureauStatus{
			Bureau:      string(r.Bureau),
			Status:      r.Status,
			Settled:     screeningv1.Settled_SETTLED_ASK,
			Elapsed:     durationpb.New(r.Elapsed),
			Rules:       r.Rules,
			Collections: r.Collections,
			Reason:      atMost(r.Reason, maxReason),
			Optional:    r.Optional,
			AskId:       r.AskID,
		}
		if !r.Since.IsZero() {
			status.Since = timestamppb.New(r.Since)
		}
		resp.Bureaus = append(resp.Bureaus, status)
		resp.Hits = append(resp.Hits, r.Hits...)
	}
	slices.SortStableFunc(resp.GetBureaus()[1:], func(a, b *screeningv1.BureauStatus) int {
		return strings.Compare(a.GetBureau(), b.GetBureau())
	})
}

// sortHits puts the surest first; among equals the own records, then those of the other bureaus
// by their ids, each bureau's in the order in which it gave them: the same check gives the same
// order.
func sortHits(hits []*hitv1.Hit, self identity.Bureau) {
	slices.SortStableFunc(hits, func(a, b *hitv1.Hit) int {
		if a.GetBand() != b.GetBand() {
			return int(b.GetBand()) - int(a.GetBand())
		}
		if own := a.GetBureau() == string(self); own != (b.GetBureau() == string(self)) {
			if own {
				return -1
			}
			return 1
		}
		return strings.Compare(a.GetBureau(), b.GetBureau()) // and within a bureau in its own order
	})
}

package gate

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Found is a record that a search found, with the hit as the own side would see it.
type Found struct {
	Record *recordv1.Record
	Hit    *hitv1.Hit
	// Untold says that it is carried for the work's sake and told to nobody: a record that has
	// expired, or a decoy.
	Untold bool
}

// Depth is how far a search goes.
type Depth struct {
	// Most is how many records it returns at the most, the best first. If there are more, those
	// beyond are not looked at.
	Most int
	// Least is how many candidates it works on at least, with decoys for those that are missing,
	// which come last and are Untold. 0 is for the own side: it returns what may be used, and
	// nothing else.
	Least int
}

// Searcher looks into the own collections, and knows nothing of who asks.
type Searcher interface {
	SearchDocuments(ctx context.Context, q *queryv1.DocumentQuery, depth Depth) ([]Found, error)
	SearchPersons(ctx context.Context, q *queryv1.PersonQuery, depth Depth) ([]Found, error)
}

// The collections that can be asked.
const (
	Documents = policy.CollectionDocuments
	Persons   = policy.CollectionPersons
)

// Answering answers what other bureaus ask. It is the mesh listener's Answerer.
type Answering struct {
	gate   *Gate
	search Searcher
}

// Answering returns the gate's side towards the mesh, over the own records.
func (g *Gate) Answering(search Searcher) *Answering { return &Answering{g, search} }

// Answer implements server.Answerer. The ask's signature, audience and time have been checked by
// the mesh listener. A refusal is an answer and depends on the request alone. Nothing is recorded
// until Commit of the reply, or Unanswered.
func (a *Answering) Answer(ctx context.Context, asked server.Asked) (server.Reply, error) {
	g, question := a.gate, asked.Ask
	from := asked.From.Bureau
	if question.GetDocument() == nil && question.GetPerson() == nil {
		return server.Reply{}, fault.New(codes.InvalidArgument, fault.NothingAsked, "ask",
			"the ask holds neither a document nor a person: give at least one")
	}
	if g.cfg.Limits != nil {
		if err := g.cfg.Limits.Asked(ctx, from, g.cfg.Marker.Question(question.GetDocument(), question.GetPerson())...); err != nil {
			return server.Reply{}, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Budget.Time)
	defer cancel()
	// One set and one moment for the whole answer, also if the operator reloads meanwhile.
	set, now := g.cfg.Policy(), g.cfg.Now()
	page := &page{
		gate: g, asked: asked, version: set.Version(), began: now,
		answer: &queryv1.Answer{DataAsOf: timestamppb.New(now)},
	}
	depth := Depth{Most: g.cfg.Budget.Candidates, Least: g.cfg.Slots}
	answer := func(collection string, search func() ([]Found, error)) error {
		q := &inquiry{set: set, from: from, ask: question, collection: collection, now: now}
		q.decision = enforced(set.Answer(g.answerFacts(q)))
		g.tell(ctx, page.version, q.decision)
		result, rules, err := g.collection(ctx, q, search)
		if err != nil {
			return err
		}
		page.add(q.decision, result, rules)
		return nil
	}
	if d := question.GetDocument(); d != nil {
		if err := answer(Documents, func() ([]Found, error) { return a.search.SearchDocuments(ctx, d, depth) }); err != nil {
			return server.Reply{}, err
		}
	}
	if p := question.GetPerson(); p != nil {
		if err := answer(Persons, func() ([]Found, error) { return a.search.SearchPersons(ctx, p, depth) }); err != nil {
			return server.Reply{}, err
		}
	}
	lighten(page.answer)
	return server.Reply{Answer: page.answer, Commit: page.commit}, nil
}

// Again implements server.Answerer: it records that an ask came once more and gets the answer that
// it got. It is no second ask: in both countries' books there is one of the id.
func (a *Answering) Again(ctx context.Context, asked server.Asked) error {
	g := a.gate
	e := g.entry(kindOperation, local, g.cfg.Self, asked.Ask.GetAskId())
	e.Decision, e.PolicyVersion, e.Operation, e.Object = allowed, g.PolicyVersion(), answerAgain, string(asked.From.Bureau)
	e.Requester, e.Justification = asked.Ask.GetRequester(), asked.Ask.GetJustification()
	return g.record(ctx, journal.Passage{Entry: e})
}

// answerAgain is the operation of giving an answer once more.
const answerAgain = "answer-again"

// Unanswered implements server.Answerer.
func (a *Answering) Unanswered(ctx context.Context, asked server.Asked, code codes.Code, reason fault.Reason) error {
	g := a.gate
	e := g.asked(asked)
	e.Decision, e.Reason, e.PolicyVersion = failed, cutText(string(reason), maxReason), g.PolicyVersion()
	switch code {
	case codes.Unauthenticated, codes.PermissionDenied, codes.InvalidArgument, codes.Aborted, codes.FailedPrecondition:
		e.Decision = denied
	}
	return g.record(ctx, journal.Passage{Entry: e, Evidence: asked.Signed})
}

// asked is the entry of an ask that came in.
func (g *Gate) asked(asked server.Asked) *auditv1.Entry {
	e := g.entry(kindAsk, in, asked.From.Bureau, asked.Ask.GetAskId())
	e.Requester, e.Justification = asked.Ask.GetRequester(), asked.Ask.GetJustification()
	return e
}

// page is what the books hold of one ask that is answered.
type page struct {
	gate     *Gate
	asked    server.Asked
	version  string
	began    time.Time
	answer   *queryv1.Answer
	passed   bool // something was answered
	rules    []string
	outcomes []*auditv1.Outcome
	hits     int
}

// add adds what became of the question at one collection. rules are those by which its hits are
// told: of what is withheld the books say nothing, as they can be read.
func (p *page) add(d policy.Decision, r *queryv1.CollectionAnswer, rules []string) {
	p.answer.Results = append(p.answer.Results, r)
	p.passed = p.passed || d.Allow
	p.rules = add(p.rules, d.Rules)
	p.hits += len(r.GetHits())
	o := outcome(p.gate.cfg.Self, r.GetCollection(), r.GetStatus())
	o.Rules = ruleList(add(add(nil, d.Rules), rules), maxOutcomeRules)
	p.outcomes = append(p.outcomes, o)
}

// commit writes the question, its answer and the memory of both, in one.
func (p *page) commit(ctx context.Context, signed *signedv1.Signed, forgetAfter time.Time) error {
	g := p.gate
	question := g.asked(p.asked)
	question.At = timestamppb.New(p.began)
	answer := g.entry(kindAnswer, out, p.asked.From.Bureau, p.asked.Ask.GetAskId())
	answer.Requester, answer.Justification = question.GetRequester(), question.GetJustification()
	answer.Outcomes, answer.Elapsed = p.outcomes, lasted(g.cfg.Now().Sub(p.began))
	for _, e := range []*auditv1.Entry{question, answer} {
		e.Decision, e.Rules, e.PolicyVersion = decided(p.passed), ruleList(p.rules, maxRules), p.version
		if !p.passed {
			e.Reason = string(fault.PolicyDenied)
		}
	}
	passages := []journal.Passage{
		{Entry: question, Evidence: p.asked.Signed},
		{Entry: answer, Evidence: signed, Quotes: p.quotes()},
	}
	g.work.booked(passages)
	err := g.cfg.Books.RecordAnswered(ctx, journal.Memory{
		Asker: string(p.asked.From.Bureau), AskID: p.asked.Ask.GetAskId(), Digest: p.asked.Digest, ForgetAfter: forgetAfter,
	}, passages...)
	if err != nil {
		return g.booked(ctx, err)
	}
	if g.cfg.Limits != nil {
		g.cfg.Limits.Told(p.asked.From.Bureau, p.hits)
	}
	return nil
}

// quotes are the records that the answer names.
func (p *page) quotes() []journal.Quote {
	var all []journal.Quote
	for _, r := range p.answer.GetResults() {
		for _, h := range r.GetHits() {
			all = append(all, journal.Quote{Owner: h.GetBureau(), RecordID: h.GetRecordId()})
		}
	}
	return all
}

// inquiry is an ask as far as it concerns one collection.
type inquiry struct {
	set        *policy.Set
	from       identity.Bureau
	ask        *queryv1.Ask
	collection string
	now        time.Time
	decision   policy.Decision // whether it is answered
}

func (g *Gate) answerFacts(q *inquiry) policy.AnswerFacts {
	return policy.AnswerFacts{
		Self:       g.cfg.Self,
		From:       q.from,
		Federation: g.cfg.Federation,
		Agency:     q.ask.GetRequester().GetAgency(),
		Role:       q.ask.GetRequester().GetRole(),
		Collection: q.collection,
		Mode:       policy.ModeAsk,
		Purpose:    q.ask.GetJustification().GetPurpose(),
		HasCase:    q.ask.GetJustification().GetCaseRef() != "",
		// Both are told of both collections: a rule about a state's nationals or its documents
		// holds for the whole question, as it does when this bureau asks.
		IssuingState: q.ask.GetDocument().GetIssuer(),
		Nationality:  q.ask.GetPerson().GetNationality(),
		Now:          q.now,
	}
}

// collection answers for one collection. It also returns the rules by which its hits are told.
func (g *Gate) collection(ctx context.Context, q *inquiry, search func() ([]Found, error)) (*queryv1.CollectionAnswer, []string, error) {
	result := &queryv1.CollectionAnswer{Collection: q.collection, Status: queryv1.Status_STATUS_NO_HIT}
	if !q.decision.Allow {
		result.Status = queryv1.Status_STATUS_REFUSED
		return result, nil, nil
	}
	g.work.searches.Add(1)
	found, err := search()
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		g.cfg.Logger.ErrorContext(ctx, "search failed", slog.String("collection", q.collection), slog.Any("error", err))
		return nil, nil, fault.New(codes.Unavailable, fault.SearchFailed, "", "the bureau cannot search its records now: ask again later")
	}
	limit := int(q.ask.GetMaxCandidates())
	var rules []string
	for _, f := range g.carried(q.collection, found) {
		if err := ctx.Err(); err != nil {
			return nil, nil, err // half an answer would pass for a whole one
		}
		told, by, err := g.disclose(ctx, q, f)
		if err != nil {
			return nil, nil, err
		}
		if told != nil && len(result.Hits) < limit {
			result.Hits = append(result.Hits, told)
			rules = add(rules, by)
		}
	}
	if len(result.Hits) > 0 {
		result.Status = queryv1.Status_STATUS_HIT
	}
	return result, rules, nil
}

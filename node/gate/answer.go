package gate

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/pki/identity"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Found is a record that a search found, with the hit as the own side would see it.
type Found struct {
	Record *recordv1.Record
	Hit    *hitv1.Hit
}

// Searcher looks into the own collections. It returns the best first and no more than limit,
// and knows nothing of who asks.
type Searcher interface {
	SearchDocuments(ctx context.Context, q *queryv1.DocumentQuery, limit int) ([]Found, error)
	SearchPersons(ctx context.Context, q *queryv1.PersonQuery, limit int) ([]Found, error)
}

// The collections that can be asked.
const (
	Documents = "documents"
	Persons   = "persons"
)

// searchDepth is how many candidates are looked at for one question: all that a search can find
// (match.MaxHits persons, as many documents as one look-up gives). With less, withheld records
// would push told ones out of the answer, and what is told would tell how much is not.
const searchDepth = 1000

// Answer answers one verified ask of another bureau. The ask's signature, audience and time
// have been checked by the mesh listener. A refusal is an answer and depends on the request
// alone. The passage is durable before Answer returns. What ties the answer to the signed ask
// (in_reply_to, signatures) is the listener's to fill.
func (g *Gate) Answer(ctx context.Context, from identity.Identity, ask *queryv1.Ask, search Searcher) (*queryv1.Answer, error) {
	if ask.GetDocument() == nil && ask.GetPerson() == nil {
		return nil, fault.New(codes.InvalidArgument, fault.NothingAsked, "ask",
			"the ask holds neither a document nor a person: give at least one")
	}
	// One set and one moment for the whole answer, also if the operator reloads meanwhile.
	set, now := g.cfg.Policy(), g.cfg.Now()
	answer := &queryv1.Answer{
		AskId:      ask.GetAskId(),
		Bureau:     string(g.cfg.Self),
		Audience:   string(from.Bureau),
		AnsweredAt: timestamppb.New(now),
		DataAsOf:   timestamppb.New(now),
	}
	passage := Passage{
		MessageID: ask.GetAskId(), Kind: "answer", Direction: In, Bureau: from.Bureau,
		Agency: ask.GetRequester().GetAgency(), Purpose: identity.PurposeName(ask.GetJustification().GetPurpose()),
		Decision: "deny", PolicyVersion: set.Version(), At: now,
	}
	type part struct {
		collection string
		search     func() ([]Found, error)
	}
	var parts []part
	if ask.GetDocument() != nil {
		parts = append(parts, part{Documents, func() ([]Found, error) { return search.SearchDocuments(ctx, ask.GetDocument(), searchDepth) }})
	}
	if ask.GetPerson() != nil {
		parts = append(parts, part{Persons, func() ([]Found, error) { return search.SearchPersons(ctx, ask.GetPerson(), searchDepth) }})
	}
	for _, p := range parts {
		q := &question{set: set, from: from.Bureau, ask: ask, collection: p.collection, now: now}
		q.decision = enforced(set.Answer(g.answerFacts(q)))
		g.tell(ctx, q.decision)
		result, err := g.collection(ctx, q, p.search)
		if err != nil {
			return nil, err
		}
		answer.Results = append(answer.Results, result)
		passage.note(q.decision, result)
	}
	if err := g.record(ctx, passage); err != nil {
		return nil, err
	}
	return answer, nil
}

// note adds what became of the question at one collection. A passage is allowed if anything was
// answered.
func (p *Passage) note(d policy.Decision, r *queryv1.CollectionAnswer) {
	if d.Allow {
		p.Decision = "allow"
	}
	for _, rule := range d.Rules {
		if !slices.Contains(p.Rules, rule) {
			p.Rules = append(p.Rules, rule)
		}
	}
	p.Outcome = append(p.Outcome, r.GetCollection()+"="+strings.TrimPrefix(r.GetStatus().String(), "STATUS_"))
}

// question is an ask as far as it concerns one collection.
type question struct {
	set        *policy.Set
	from       identity.Bureau
	ask        *queryv1.Ask
	collection string
	now        time.Time
	decision   policy.Decision // whether it is answered
}

func (g *Gate) answerFacts(q *question) policy.AnswerFacts {
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

// collection answers for one collection.
func (g *Gate) collection(ctx context.Context, q *question, search func() ([]Found, error)) (*queryv1.CollectionAnswer, error) {
	result := &queryv1.CollectionAnswer{Collection: q.collection, Status: queryv1.Status_STATUS_NO_HIT}
	if !q.decision.Allow {
		result.Status = queryv1.Status_STATUS_REFUSED
		return result, nil
	}
	found, err := search()
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		g.cfg.Logger.ErrorContext(ctx, "search failed", slog.String("collection", q.collection), slog.Any("error", err))
		return nil, fault.New(codes.Unavailable, fault.SearchFailed, "", "the bureau cannot search its records now: ask again later")
	}
	limit := int(q.ask.GetMaxCandidates())
	for _, f := range found {
		told, err := g.disclose(ctx, q, f)
		if err != nil {
			return nil, err
		}
		if told != nil && len(result.Hits) < limit {
			result.Hits = append(result.Hits, told)
		}
	}
	if len(result.Hits) > 0 {
		result.Status = queryv1.Status_STATUS_HIT
	}
	return result, nil
}

// disclose returns the hit as it may cross the border, or nil. A record that is withheld goes
// the same way as one that is told, to the last byte, and is dropped only then.
func (g *Gate) disclose(ctx context.Context, q *question, f Found) (*hitv1.Hit, error) {
	d := enforced(q.set.Disclose(policy.DiscloseFacts{
		Self:       g.cfg.Self,
		From:       q.from,
		Federation: g.cfg.Federation,
		Collection: q.collection,
		Purpose:    q.ask.GetJustification().GetPurpose(),
		Record:     f.Record,
		Agency:     q.ask.GetRequester().GetAgency(),
		Role:       q.ask.GetRequester().GetRole(),
		HasCase:    q.ask.GetJustification().GetCaseRef() != "",
		Now:        q.now,
	}))
	g.tell(ctx, d)
	told := cut(f, q.decision.Obligations.With(d.Obligations))
	_, err := proto.Marshal(told)
	switch {
	case !d.Allow:
		return nil, nil
	case err != nil:
		// One that may be told and cannot be: silence would look like no record.
		return nil, fmt.Errorf("a hit in %s cannot be marshalled: %w", q.collection, err)
	}
	return told, nil
}

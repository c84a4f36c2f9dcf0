package gate

import (
	"context"
	"log/slog"
	"strings"

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

// searchDepth is how many candidates are looked at for one question, so that withheld records
// do not push told ones out: with it, what is told does not depend on how many are withheld as
// long as these are fewer than the difference to max_candidates.
const searchDepth = 64

// Answer answers one verified ask of another bureau. The ask's signature, audience and time
// have been checked by the mesh listener. A refusal is an answer and depends on the request
// alone. The passage is durable before Answer returns. What ties the answer to the signed ask
// (in_reply_to, signatures) is the listener's to fill.
func (g *Gate) Answer(ctx context.Context, from identity.Identity, ask *queryv1.Ask, search Searcher) (*queryv1.Answer, error) {
	set := g.cfg.Policy()
	now := g.cfg.Now()
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
		Decision: "allow", PolicyVersion: set.Version(), At: now,
	}
	limit := int(ask.GetMaxCandidates())
	if ask.GetDocument() != nil {
		d := set.Answer(g.answerFacts(from, ask, Documents))
		result, err := g.collection(ctx, set, d, from, ask, Documents, limit, func() ([]Found, error) {
			return search.SearchDocuments(ctx, ask.GetDocument(), searchDepth)
		})
		if err != nil {
			return nil, err
		}
		answer.Results = append(answer.Results, result)
		passage.note(d, result)
	}
	if ask.GetPerson() != nil {
		d := set.Answer(g.answerFacts(from, ask, Persons))
		result, err := g.collection(ctx, set, d, from, ask, Persons, limit, func() ([]Found, error) {
			return search.SearchPersons(ctx, ask.GetPerson(), searchDepth)
		})
		if err != nil {
			return nil, err
		}
		answer.Results = append(answer.Results, result)
		passage.note(d, result)
	}
	if len(answer.Results) == 0 {
		return nil, fault.New(codes.InvalidArgument, fault.NothingAsked, "ask",
			"the ask holds neither a document nor a person: give at least one")
	}
	if err := g.cfg.Books.Record(ctx, passage); err != nil {
		return nil, g.unrecorded(ctx, err)
	}
	return answer, nil
}

func (p *Passage) note(d policy.Decision, r *queryv1.CollectionAnswer) {
	if !d.Allow {
		p.Decision = "deny"
	}
	p.Rules = append(p.Rules, d.Rules...)
	p.Outcome = append(p.Outcome, r.GetCollection()+"="+strings.TrimPrefix(r.GetStatus().String(), "STATUS_"))
}

func (g *Gate) answerFacts(from identity.Identity, ask *queryv1.Ask, collection string) policy.AnswerFacts {
	f := policy.AnswerFacts{
		Self:       g.cfg.Self,
		From:       from.Bureau,
		Federation: g.cfg.Federation,
		Agency:     ask.GetRequester().GetAgency(),
		Role:       ask.GetRequester().GetRole(),
		Collection: collection,
		Mode:       policy.ModeAsk,
		Purpose:    ask.GetJustification().GetPurpose(),
		HasCase:    ask.GetJustification().GetCaseRef() != "",
		Now:        g.cfg.Now(),
	}
	if collection == Documents {
		f.IssuingState = ask.GetDocument().GetIssuer()
	} else {
		f.Nationality = ask.GetPerson().GetNationality()
	}
	return f
}

// collection answers for one collection.
func (g *Gate) collection(ctx context.Context, set *policy.Set, d policy.Decision, from identity.Identity, ask *queryv1.Ask,
	collection string, limit int, search func() ([]Found, error),
) (*queryv1.CollectionAnswer, error) {
	result := &queryv1.CollectionAnswer{Collection: collection, Status: queryv1.Status_STATUS_NO_HIT}
	if d.Err != nil {
		g.cfg.Logger.ErrorContext(ctx, "policy evaluation failed; denied", slog.Any("error", d.Err))
	}
	if !d.Allow {
		result.Status = queryv1.Status_STATUS_REFUSED
		return result, nil
	}
	found, err := search()
	if err != nil {
		g.cfg.Logger.ErrorContext(ctx, "search failed", slog.String("collection", collection), slog.Any("error", err))
		return nil, fault.New(codes.Unavailable, fault.SearchFailed, "", "the bureau cannot search its records now. Ask again later")
	}
	for _, f := range found {
		told := g.disclose(set, d, from, ask, collection, f)
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
func (g *Gate) disclose(set *policy.Set, answer policy.Decision, from identity.Identity, ask *queryv1.Ask, collection string, f Found) *hitv1.Hit {
	d := set.Disclose(policy.DiscloseFacts{
		Self:       g.cfg.Self,
		From:       from.Bureau,
		Federation: g.cfg.Federation,
		Collection: collection,
		Purpose:    ask.GetJustification().GetPurpose(),
		Record:     f.Record,
		Agency:     ask.GetRequester().GetAgency(),
		Role:       ask.GetRequester().GetRole(),
		HasCase:    ask.GetJustification().GetCaseRef() != "",
		Now:        g.cfg.Now(),
	})
	told := cut(f, answer.Obligations.With(d.Obligations))
	if _, err := proto.Marshal(told); err != nil || !d.Allow {
		return nil
	}
	return told
}

package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"buf.build/go/protovalidate"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// maxLife is the longest life of an ask, by the treaty.
const maxLife = 2 * time.Minute

// query is QueryService.
type query struct {
	queryv1.UnimplementedQueryServiceServer
	server *Server
	asking *keyedLock // one ask under an id at a time
}

// Ask answers one signed question, once.
func (q *query) Ask(ctx context.Context, request *queryv1.AskRequest) (*queryv1.AskResponse, error) {
	from, ok := Caller(ctx)
	if !ok {
		return nil, errors.New("an ask without a caller")
	}
	ask, err := q.accept(ctx, from, request.GetAsk())
	if err != nil {
		return nil, err
	}
	// A retry that overtakes its first attempt waits for that one's answer and gets the same.
	unlock, err := q.asking.lock(ctx, string(from.Bureau)+"/"+ask.GetAskId())
	if err != nil {
		return nil, err
	}
	defer unlock()
	digest := sha256.Sum256(request.GetAsk().GetPayload())
	if answer, err := q.recall(ctx, from, ask, digest[:]); answer != nil || err != nil {
		return answer, err
	}
	signed, err := q.answer(ctx, from, ask, digest[:])
	if err != nil {
		return nil, err
	}
	return q.commit(ctx, from, ask, digest[:], signed)
}

// accept returns the ask if the caller may have sent it, to us, now.
func (q *query) accept(ctx context.Context, from identity.Identity, signed *signedv1.Signed) (*queryv1.Ask, error) {
	cfg := &q.server.cfg
	ask, err := cfg.Verifier.Ask(signed, from.Bureau)
	if err != nil {
		cfg.Logger.WarnContext(ctx, "an ask could not be verified", "peer", string(from.Bureau), "error", err.Error())
		var invalid *protovalidate.ValidationError
		if errors.As(err, &invalid) {
			return nil, err
		}
		return nil, fault.New(codes.Unauthenticated, fault.SignatureInvalid, "ask.signatures", "the ask is not signed by a message key of the bureau that sends it: check the key in the roster and that the bytes were not changed")
	}
	issued, until := ask.GetIssuedAt().AsTime(), ask.GetNotAfter().AsTime()
	now := cfg.Now()
	switch {
	case ask.GetRequester().GetBureau() != string(from.Bureau):
		return nil, fault.New(codes.Unauthenticated, fault.RequesterMismatch, "ask.requester.bureau", "the ask names another requester than the bureau that sends it: nobody asks for another")
	case ask.GetAudience() != string(cfg.Self):
		return nil, fault.New(codes.Unauthenticated, fault.WrongAudience, "ask.audience", "the ask is meant for another bureau: make an ask of its own for each")
	case !until.After(issued) || until.Sub(issued) > maxLife:
		return nil, fault.New(codes.Unauthenticated, fault.AskLifetime, "ask.not_after", "an ask lives two minutes at the most: set not_after accordingly")
	case issued.After(now.Add(cfg.MaxSkew)):
		return nil, fault.New(codes.Unauthenticated, fault.AskFromFuture, "ask.issued_at", "the ask is dated in this bureau's future: measure its clock by Describe and ask anew")
	case now.After(until.Add(cfg.MaxSkew)):
		return nil, fault.New(codes.Unauthenticated, fault.AskExpired, "ask.not_after", "the ask is past its time in this bureau's clock: measure it by Describe and ask anew")
	case ask.GetDocument() == nil && ask.GetPerson() == nil:
		return nil, fault.New(codes.InvalidArgument, fault.NothingAsked, "ask", "the ask names neither a document nor a person: give one or both")
	}
	return ask, nil
}

// recall returns the answer that was given to these very bytes before, or an error if others came
// under the same id, or neither.
func (q *query) recall(ctx context.Context, from identity.Identity, ask *queryv1.Ask, digest []byte) (*queryv1.AskResponse, error) {
	cfg := &q.server.cfg
	before, kept, found, err := cfg.Memory.RecallAsk(ctx, string(from.Bureau), ask.GetAskId())
	switch {
	case err != nil:
		return nil, q.booksFailed(ctx, from, ask, err)
	case !found:
		return nil, nil
	case !bytes.Equal(before, digest):
		cfg.Logger.WarnContext(ctx, "an ask's id came again with other bytes", "peer", string(from.Bureau), "ask_id", ask.GetAskId())
		return nil, fault.New(codes.Aborted, fault.AskIDReused, "ask.ask_id", "this id was used before for another question: give every ask a new id")
	}
	signed := &signedv1.Signed{}
	if err := proto.Unmarshal(kept, signed); err != nil {
		return nil, q.booksFailed(ctx, from, ask, fmt.Errorf("the answer that was kept cannot be read: %w", err))
	}
	cfg.Logger.InfoContext(ctx, "an ask came again and got the same answer", "peer", string(from.Bureau), "ask_id", ask.GetAskId())
	return &queryv1.AskResponse{Answer: signed}, nil
}

// answer has the question answered, and fills, checks and signs what comes.
func (q *query) answer(ctx context.Context, from identity.Identity, ask *queryv1.Ask, digest []byte) (*signedv1.Signed, error) {
	cfg := &q.server.cfg
	given, err := cfg.Answerer.Answer(ctx, from, ask)
	if err != nil {
		return nil, ownFailure("answer", err)
	}
	answer := &queryv1.Answer{
		InReplyTo:     digest,
		AskId:         ask.GetAskId(),
		Bureau:        string(cfg.Self),
		Audience:      string(from.Bureau),
		Results:       given.GetResults(),
		DataAsOf:      given.GetDataAsOf(),
		AnsweredAt:    timestamppb.New(cfg.Now()),
		KeyId:         cfg.Signer.KeyID(),
		LogCheckpoint: given.GetLogCheckpoint(),
	}
	if err := fits(answer, ask); err != nil {
		return nil, fmt.Errorf("the own answer is not one to this ask: %w", err)
	}
	fill(answer)
	signed, err := cfg.Signer.Answer(answer)
	if err != nil {
		return nil, ownFailure("sign the answer", err)
	}
	return signed, nil
}

// ownFailure is an error of the own house. That something of its own is malformed must not be
// told to the asker as if the ask were.
func ownFailure(what string, err error) error {
	var invalid *protovalidate.ValidationError
	if errors.As(err, &invalid) {
		return fmt.Errorf("%s: %v", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// commit makes the answer durable, and only then lets it go.
func (q *query) commit(ctx context.Context, from identity.Identity, ask *queryv1.Ask, digest []byte, signed *signedv1.Signed) (*queryv1.AskResponse, error) {
	cfg := &q.server.cfg
	kept, err := proto.Marshal(signed)
	if err != nil {
		return nil, fmt.Errorf("marshal the answer: %w", err)
	}
	forgetAfter := ask.GetNotAfter().AsTime().Add(cfg.MaxSkew)
	if err := cfg.Memory.CommitAsk(ctx, string(from.Bureau), ask.GetAskId(), digest, kept, forgetAfter); err != nil {
		// Another replica may have answered meanwhile: its answer is the answer then.
		answer, recallErr := q.recall(ctx, from, ask, digest)
		if answer == nil && recallErr == nil {
			recallErr = q.booksFailed(ctx, from, ask, err)
		}
		return answer, recallErr
	}
	return &queryv1.AskResponse{Answer: signed}, nil
}

func (q *query) booksFailed(ctx context.Context, from identity.Identity, ask *queryv1.Ask, err error) error {
	if ctx.Err() != nil {
		return ctx.Err() // the caller went away or ran out of time; the books are not to blame
	}
	q.server.cfg.Logger.ErrorContext(ctx, "the memory of asks failed", "peer", string(from.Bureau), "ask_id", ask.GetAskId(), "error", err.Error())
	return fault.New(codes.Unavailable, fault.BooksUnavailable, "", "the node could not write its books, and nothing passes unrecorded: try again in a moment")
}

// fits checks that an answer is about what was asked, in the bounds that were asked. A slip of
// the own house stops here and not at another country's door.
func fits(answer *queryv1.Answer, ask *queryv1.Ask) error {
	var asked, answered []string
	if ask.GetDocument() != nil {
		asked = append(asked, "documents")
	}
	if ask.GetPerson() != nil {
		asked = append(asked, "persons")
	}
	for _, c := range answer.GetResults() {
		answered = append(answered, c.GetCollection())
		hit := c.GetStatus() == queryv1.Status_STATUS_HIT
		switch {
		case hit != (len(c.GetHits()) > 0):
			return fmt.Errorf("%s with %d hits", c.GetStatus(), len(c.GetHits()))
		case len(c.GetHits()) > int(ask.GetMaxCandidates()):
			return fmt.Errorf("%d hits, asked for %d at the most", len(c.GetHits()), ask.GetMaxCandidates())
		}
		for _, h := range c.GetHits() {
			if h.GetBureau() != answer.GetBureau() || h.GetCollection() != c.GetCollection() || h.GetConfirmed() {
				return errors.New("a hit of another bureau or collection, or one that is confirmed already")
			}
		}
	}
	slices.Sort(answered)
	if !slices.Equal(asked, answered) {
		return fmt.Errorf("it answers about %v, asked was %v", answered, asked)
	}
	return nil
}

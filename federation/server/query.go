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
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"buf.build/go/protovalidate"
	"github.com/google/uuid"

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
	seldom *seldom
}

// Ask answers one signed question, once.
func (q *query) Ask(ctx context.Context, request *queryv1.AskRequest) (_ *queryv1.AskResponse, err error) {
	from, ok := Caller(ctx)
	if !ok {
		return nil, errors.New("an ask without a caller")
	}
	asked, err := q.verify(ctx, from, request.GetAsk())
	if err != nil && asked.Ask == nil {
		return nil, err // not shown to be anybody's: there is nothing to write down but its sender's name
	}
	defer func() {
		if v := recover(); v != nil {
			_ = q.unanswered(ctx, asked, errors.New("panic"))
			panic(v)
		}
		if err != nil {
			err = q.unanswered(ctx, asked, err)
		}
	}()
	if err != nil {
		return nil, err
	}
	if err := q.accept(asked); err != nil {
		return nil, err
	}
	// A retry that overtakes its first attempt waits for that one's answer and gets the same.
	unlock, err := q.asking.lock(ctx, string(from.Bureau)+"/"+asked.Ask.GetAskId())
	if err != nil {
		return nil, err
	}
	defer unlock()
	if answer, err := q.recall(ctx, asked); answer != nil || err != nil {
		return answer, err
	}
	return q.answer(ctx, asked)
}

// verify returns the question if the caller signed it. With an error it returns what is to be
// written down of it: nothing, if it is not shown to be the caller's.
func (q *query) verify(ctx context.Context, from identity.Identity, signed *signedv1.Signed) (Asked, error) {
	cfg := &q.server.cfg
	if err := plain(signed); err != nil {
		return Asked{}, err
	}
	ask, err := cfg.Verifier.Ask(signed, from.Bureau)
	if err != nil {
		q.seldom.warn(ctx, from.Bureau, "an ask could not be verified", "error", err.Error())
		var invalid *protovalidate.ValidationError
		if errors.As(err, &invalid) {
			return Asked{}, err
		}
		return Asked{}, fault.New(codes.Unauthenticated, fault.SignatureInvalid, "ask.signatures", "the ask is not signed by a message key of the bureau that sends it: check the key in the roster and that the bytes were not changed")
	}
	digest := sha256.Sum256(signed.GetPayload())
	asked := Asked{From: from, Ask: ask, Signed: signed, Digest: digest[:]}
	err = nil
	if unknown(ask.ProtoReflect()) {
		// It is written down without what nobody here can read: the books are no place for ballast.
		asked.Signed, asked.Ask = nil, &queryv1.Ask{}
		if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(signed.GetPayload(), asked.Ask); err != nil {
			return Asked{}, err
		}
		err = fault.New(codes.InvalidArgument, fault.MalformedRequest, "ask", "the ask holds fields that are not an ask's: leave out what the published proto files do not name")
	}
	if id, parseErr := uuid.Parse(ask.GetAskId()); parseErr != nil || id.String() != ask.GetAskId() {
		// Under an id of its own: the books know asks by ids in their normal form alone.
		asked.Ask = proto.CloneOf(asked.Ask)
		asked.Ask.AskId = uuid.NewString()
		err = fault.New(codes.InvalidArgument, fault.MalformedRequest, "ask.ask_id", "the ask's id is not a UUID in its one normal form: write it in 36 characters, letters small")
	}
	if err != nil {
		return asked, err
	}
	if cfg.Witness != nil { // also of one that shows none: who has a log does not leave it out
		cfg.Witness.Saw(from.Bureau, ask.GetLogCheckpoint(), signed, ask.GetIssuedAt().AsTime())
	}
	return asked, nil
}

// accept says whether the caller may send this ask, to us, now.
func (q *query) accept(asked Asked) error {
	cfg := &q.server.cfg
	ask := asked.Ask
	issued, until := ask.GetIssuedAt().AsTime(), ask.GetNotAfter().AsTime()
	now := cfg.Now()
	switch {
	case ask.GetRequester().GetBureau() != string(asked.From.Bureau):
		return fault.New(codes.Unauthenticated, fault.RequesterMismatch, "ask.requester.bureau", "the ask names another requester than the bureau that sends it: nobody asks for another")
	case ask.GetAudience() != string(cfg.Self):
		return fault.New(codes.Unauthenticated, fault.WrongAudience, "ask.audience", "the ask is meant for another bureau: make an ask of its own for each")
	case !until.After(issued) || until.Sub(issued) > maxLife:
		return fault.New(codes.Unauthenticated, fault.AskLifetime, "ask.not_after", "an ask lives two minutes at the most: set not_after accordingly")
	case issued.After(now.Add(cfg.MaxSkew)):
		return fault.New(codes.Unauthenticated, fault.AskFromFuture, "ask.issued_at", "the ask is dated in this bureau's future: measure its clock by Describe and ask anew")
	case now.After(until.Add(cfg.MaxSkew)):
		return fault.New(codes.Unauthenticated, fault.AskExpired, "ask.not_after", "the ask is past its time in this bureau's clock: measure it by Describe and ask anew")
	case ask.GetDocument() == nil && ask.GetPerson() == nil:
		return fault.New(codes.InvalidArgument, fault.NothingAsked, "ask", "the ask names neither a document nor a person: give one or both")
	}
	return nil
}

// unanswered books that a question gets no answer, and returns the error that its sender gets.
func (q *query) unanswered(ctx context.Context, asked Asked, cause error) error {
	seen := fault.From(cause)
	reason, _ := fault.ReasonOf(seen)
	code := status.Code(seen)
	switch {
	case code == codes.ResourceExhausted:
		return cause // counted by who turned it away: to write each down would be what a storm wants
	case reason == fault.BooksUnavailable:
		return cause
	}
	// Also for a caller that has gone: what it asked, it asked.
	if err := q.server.cfg.Answerer.Unanswered(context.WithoutCancel(ctx), asked, code, reason); err != nil {
		return q.booksFailed(ctx, asked, err)
	}
	return cause
}

// recall returns the answer that was given to these very bytes before, or an error if others came
// under the same id, or neither.
func (q *query) recall(ctx context.Context, asked Asked) (*queryv1.AskResponse, error) {
	cfg := &q.server.cfg
	peer, id := string(asked.From.Bureau), asked.Ask.GetAskId()
	before, kept, found, err := cfg.Memory.RecallAsk(ctx, peer, id)
	switch {
	case err != nil && !found:
		return nil, q.booksFailed(ctx, asked, err)
	case !found:
		return nil, nil
	case !bytes.Equal(before, asked.Digest):
		q.seldom.warn(ctx, asked.From.Bureau, "an ask's id came again with other bytes", "ask_id", id)
		return nil, fault.New(codes.Aborted, fault.AskIDReused, "ask.ask_id", "this id was used before for another question: give every ask a new id")
	}
	if err != nil {
		cfg.Logger.InfoContext(ctx, "an ask came again whose answer cannot be given again", "peer", peer, "ask_id", id, "error", err.Error())
		return nil, fault.New(codes.Aborted, fault.AskIDReused, "ask.ask_id", "this question was answered before, and its answer has been erased since: ask anew, under a new id")
	}
	signed := &signedv1.Signed{}
	if err := proto.Unmarshal(kept, signed); err != nil {
		return nil, q.booksFailed(ctx, asked, fmt.Errorf("the answer that was kept cannot be read: %w", err))
	}
	if err := cfg.Answerer.Again(context.WithoutCancel(ctx), asked); err != nil {
		return nil, q.booksFailed(ctx, asked, err)
	}
	cfg.Logger.InfoContext(ctx, "an ask came again and got the same answer", "peer", peer, "ask_id", id)
	return &queryv1.AskResponse{Answer: signed}, nil
}

// answer has the question answered; fills, checks and signs what comes; and commits it before it
// lets it go.
func (q *query) answer(ctx context.Context, asked Asked) (*queryv1.AskResponse, error) {
	cfg := &q.server.cfg
	reply, err := cfg.Answerer.Answer(ctx, asked)
	if err != nil {
		return nil, ownFailure("answer", err)
	}
	answer := &queryv1.Answer{
		InReplyTo:  asked.Digest,
		AskId:      asked.Ask.GetAskId(),
		Bureau:     string(cfg.Self),
		Audience:   string(asked.From.Bureau),
		Results:    reply.Answer.GetResults(),
		DataAsOf:   reply.Answer.GetDataAsOf(),
		AnsweredAt: timestamppb.New(cfg.Now()),
		KeyId:      cfg.Signer.KeyID(),
	}
	if cfg.Witness != nil {
		answer.LogCheckpoint = cfg.Witness.Newest()
	}
	if err := fits(answer, asked.Ask); err != nil {
		return nil, fmt.Errorf("the own answer is not one to this ask: %w", err)
	}
	fill(answer)
	signed, err := cfg.Signer.Answer(answer)
	if err != nil {
		return nil, ownFailure("sign the answer", err)
	}
	// The question is answered: that is written down also if its caller has gone meanwhile.
	forgetAfter := asked.Ask.GetNotAfter().AsTime().Add(cfg.MaxSkew)
	if err := reply.Commit(context.WithoutCancel(ctx), signed, forgetAfter); err != nil {
		// Another replica may have answered meanwhile: its answer is the answer then.
		response, recallErr := q.recall(ctx, asked)
		if response == nil && recallErr == nil {
			recallErr = q.booksFailed(ctx, asked, err)
		}
		return response, recallErr
	}
	return &queryv1.AskResponse{Answer: signed}, nil
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

func (q *query) booksFailed(ctx context.Context, asked Asked, err error) error {
	if ctx.Err() != nil {
		return ctx.Err() // the caller went away or ran out of time; the books are not to blame
	}
	q.server.cfg.Logger.ErrorContext(ctx, "the books of asks failed", "peer", string(asked.From.Bureau), "ask_id", asked.Ask.GetAskId(), "error", err.Error())
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

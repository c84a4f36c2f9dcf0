// Package ask puts one question to many bureaus at once, each in an ask of its own, and says of
// every one of them what became of it: a hit, no hit, a refusal, or why there is no answer.
//
// It decides neither whom to ask (federation/policy and the peers' offers do) nor what is shown
// (node/screening merges), keeps no connections (federation/peers does) and holds no keys.
//
// One flow: a check concerns BEL and LBN. For each, Ask builds a question that only that bureau
// can answer and only for two minutes at most, has it written into the own books, sends it, and
// believes the answer only if that bureau signed it as the reply to these very bytes. LBN is down:
// its result says UNAVAILABLE, and since when; BEL's answer is not kept waiting for it.
package ask

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/identity"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// The collections that can be asked.
const (
	Documents = "documents"
	Persons   = "persons"
)

const (
	// DefaultPerPeer is how long one bureau is waited for where nothing else is said.
	DefaultPerPeer = 3 * time.Second
	// ownReport is what is kept of the caller's time for the own report: an answer that comes in
	// the last moment is of no use if its caller has gone.
	ownReport = 20 * time.Millisecond
	// maxLife is the longest life of an ask, by the treaty.
	maxLife = 2 * time.Minute
	// lifeMargin is what an ask lives longer than its caller waits, for clocks that were measured
	// over a slow line.
	lifeMargin = 15 * time.Second
	// MaxAnswer is how large a response may be, in bytes: every answer that comes is kept, and a
	// stranger's answer must not fill the disk.
	MaxAnswer = 1 << 20
	// defaultCandidates and maxCandidates bound the hits of one collection.
	defaultCandidates = 10
	maxCandidates     = 50
)

// Peers are the connections to the other bureaus. federation/peers' Pool is one.
type Peers interface {
	// Ready returns the peer's clock less ours. It waits only for a peer that is being reached
	// for the first time; for one that is known not to answer it fails at once.
	Ready(ctx context.Context, bureau identity.Bureau) (time.Duration, error)
	// Do makes an idempotent call, a second time if the connection breaks.
	Do(ctx context.Context, bureau identity.Bureau, call func(context.Context, grpc.ClientConnInterface) error) error
	// Remeasure measures the peer's clock again.
	Remeasure(ctx context.Context, bureau identity.Bureau) error
}

// Signer signs asks with the own bureau's message key.
type Signer interface {
	Ask(*queryv1.Ask) (*signedv1.Signed, error)
}

// Verifier returns the answer in a Signed if a message key of the bureau signed it, and it is
// well formed.
type Verifier interface {
	Answer(signed *signedv1.Signed, from identity.Bureau) (*queryv1.Answer, error)
}

// Books are the books of one question.
type Books interface {
	// AskLeaves writes down an ask before it leaves. No ask leaves if it fails.
	AskLeaves(ctx context.Context, to Target, ask *queryv1.Ask, signed *signedv1.Signed) error
}

// Witness keeps what other bureaus show of their logs, and says what this bureau shows of its own.
// Neither method waits for anything. federation/witness is one.
type Witness interface {
	// Newest is the own newest checkpoint, as a signed note; nil before the first.
	Newest() []byte
	// Saw hands over another bureau's checkpoint, with the message of it that carried it and the
	// time at which that was signed. Empty: the message carried none.
	Saw(from identity.Bureau, checkpoint []byte, carrier *signedv1.Signed, at time.Time)
}

// Config is what an Asker needs.
type Config struct {
	// Self is the own bureau.
	Self identity.Bureau
	// Peers are the connections.
	Peers Peers
	// Signer signs the asks.
	Signer Signer
	// Verifier verifies the answers.
	Verifier Verifier
	// Witness. Optional: no checkpoint is sent, and none is kept.
	Witness Witness
	// PerPeer bounds how long one bureau is waited for. Optional: DefaultPerPeer.
	PerPeer time.Duration
	// Now is the clock. Optional: time.Now.
	Now func() time.Time
	// Logger. Optional: nothing is logged.
	Logger *slog.Logger
}

// Asker asks.
type Asker struct{ cfg Config }

// New returns an Asker.
func New(cfg Config) (*Asker, error) {
	var missing []error
	for name, absent := range map[string]bool{
		"Self": cfg.Self == "", "Peers": cfg.Peers == nil, "Signer": cfg.Signer == nil, "Verifier": cfg.Verifier == nil,
	} {
		if absent {
			missing = append(missing, fmt.Errorf("ask: Config.%s is missing", name))
		}
	}
	if cfg.PerPeer < 0 || cfg.PerPeer > maxLife-lifeMargin {
		missing = append(missing, fmt.Errorf("ask: Config.PerPeer is %s: give at most %s, an ask lives no longer", cfg.PerPeer, maxLife-lifeMargin))
	}
	if err := errors.Join(missing...); err != nil {
		return nil, err
	}
	cfg.PerPeer = cmp.Or(cfg.PerPeer, DefaultPerPeer)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Asker{cfg: cfg}, nil
}

// Question is what is asked, of every target the parts that the target is for.
type Question struct {
	// Books are written before an ask leaves. Optional: for a program that keeps none.
	Books         Books
	Requester     *queryv1.Requester // its bureau is set by the Asker, its officer by the target
	Justification *queryv1.Justification
	Document      *queryv1.DocumentQuery
	Person        *queryv1.PersonQuery
	MaxCandidates uint32 // hits a collection; 0: 10, at most 50
	RosterVersion uint64
	Targets       []Target
}

// Target is one bureau to be asked, and why.
type Target struct {
	Bureau    identity.Bureau
	Documents bool     // it is asked about the document
	Persons   bool     // it is asked about the person
	Optional  bool     // the check is complete without it
	Rules     []string // the rules of the own policy that oblige the ask
	Officer   string   // the pseudonym under which this bureau may know the officer; empty: none
}

// Result is what became of the question at one bureau.
type Result struct {
	Bureau identity.Bureau
	Status queryv1.Status
	// Hits, best first, as far as they are believed. Never confirmed.
	Hits    []*hitv1.Hit
	Elapsed time.Duration
	// Since when the bureau does not answer; zero where it does.
	Since time.Time
	// Reason is for the own officer: why there is no answer, or what of it is not believed.
	Reason string
	// AskID is the last ask's id in both bureaus' books; empty if none was sent.
	AskID       string
	Collections []string
	Optional    bool
	Rules       []string
	// Sent are the asks that left, in their order: one, or two if the bureau's clock had to be
	// measured again.
	Sent []Sent
	// DataAsOf is how fresh the data is that was searched; zero if it was not said.
	DataAsOf time.Time
}

// Sent is an ask that left, and what became of it: an answer that is believed, or a Fault.
type Sent struct {
	AskID string
	// Ask is the evidence of what was asked, as it was sent.
	Ask *signedv1.Signed
	// Answer is the evidence of what was answered, as it was received. It is there only if a
	// message key of the bureau signed it, also if it is not believed.
	Answer *signedv1.Signed
	// Fault is why no answer is believed: a reason of federation/fault, or one of this package's.
	// Empty: the answer is believed.
	Fault string
	// Told are the ids of the bureau's records that the answer names, believed or not.
	Told []string
	// Answered is what the answer says of each collection.
	Answered []CollectionStatus
	Elapsed  time.Duration
}

// CollectionStatus is what an answer says of one collection.
type CollectionStatus struct {
	Collection string
	Status     queryv1.Status
}

// Why no answer is believed, where the catalogue of faults has no word for it, as nobody is told
// but the own books.
const (
	Unreachable = "UNREACHABLE"
	NotBelieved = "ANSWER_NOT_BELIEVED"
)

// Ask asks the targets and nobody else, all at once, and returns a result for each, in their
// order, before ctx ends. It never fails as a whole: one bureau's failure costs its own answer.
func (a *Asker) Ask(ctx context.Context, q Question) []Result {
	results := make([]Result, len(q.Targets))
	if len(q.Targets) == 1 { // most often: it needs no goroutine
		results[0] = a.askOne(ctx, &q, q.Targets[0])
		return results
	}
	var wg sync.WaitGroup
	for i, target := range q.Targets {
		wg.Go(func() { results[i] = a.askOne(ctx, &q, target) })
	}
	wg.Wait()
	return results
}

// askOne asks one bureau, within its share of the time.
func (a *Asker) askOne(ctx context.Context, q *Question, t Target) (r Result) {
	began := a.cfg.Now()
	r = Result{Bureau: t.Bureau, Status: queryv1.Status_STATUS_UNAVAILABLE, Optional: t.Optional, Rules: t.Rules}
	defer func() {
		if v := recover(); v != nil {
			a.cfg.Logger.ErrorContext(ctx, "asking a bureau panicked", "peer", string(t.Bureau), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			r.Status, r.Hits, r.Reason = queryv1.Status_STATUS_UNAVAILABLE, nil, "this node failed on its answer"
			if last := r.last(); last != nil {
				last.Fault = string(fault.Internal)
			}
		}
		r.Elapsed = a.cfg.Now().Sub(began)
	}()
	r.Collections = collectionsFor(q, t)
	switch {
	case t.Bureau == a.cfg.Self:
		r.Reason = "the own bureau is not asked across the border"
		return r
	case len(r.Collections) == 0:
		r.Reason = "there is nothing to ask of it"
		return r
	}
	wait := a.cfg.PerPeer
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)-ownReport)
	}
	if wait <= 0 {
		r.Status, r.Reason = queryv1.Status_STATUS_TIMEOUT, "there was no time left to ask it"
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := a.exchange(ctx, q, t, wait, &r)
	if clockDisagrees(err) {
		// The clocks have moved since they were measured. The refused ask stays refused: the
		// second is another one.
		if a.cfg.Peers.Remeasure(ctx, t.Bureau) == nil {
			err = a.exchange(ctx, q, t, wait, &r)
		}
	}
	if err != nil {
		a.settle(ctx, err, &r)
	}
	return r
}

// collectionsFor returns what the target is asked about.
func collectionsFor(q *Question, t Target) []string {
	var names []string
	if t.Documents && q.Document != nil {
		names = append(names, Documents)
	}
	if t.Persons && q.Person != nil {
		names = append(names, Persons)
	}
	return names
}

// exchange sends one ask and takes its answer into r. An error leaves r's status to settle.
func (a *Asker) exchange(ctx context.Context, q *Question, t Target, wait time.Duration, r *Result) error {
	// Known not to answer: no ask is made, signed and written for nobody.
	skew, err := a.cfg.Peers.Ready(ctx, t.Bureau)
	if err != nil {
		return err
	}
	ask := a.build(q, t, skew, wait)
	signed, err := a.cfg.Signer.Ask(ask)
	if err != nil {
		return &ownError{"the ask could not be signed", err}
	}
	if q.Books != nil {
		// Whole or not at all: what is in the books gets its end there, also if nobody waits.
		if err := q.Books.AskLeaves(context.WithoutCancel(ctx), t, ask, signed); err != nil {
			return &ownError{"the own books could not be written, and nothing leaves unrecorded", err}
		}
	}
	began := a.cfg.Now()
	r.AskID = ask.GetAskId()
	r.Sent = append(r.Sent, Sent{AskID: r.AskID, Ask: signed, Fault: string(fault.Internal)})
	sent := r.last()
	defer func() { sent.Elapsed = a.cfg.Now().Sub(began) }()
	var response *queryv1.AskResponse
	err = a.cfg.Peers.Do(ctx, t.Bureau, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		var err error
		response, err = queryv1.NewQueryServiceClient(conn).Ask(ctx, &queryv1.AskRequest{Ask: signed}, grpc.MaxCallRecvMsgSize(MaxAnswer))
		return err
	})
	if err == nil {
		err = a.take(ctx, ask, response.GetAnswer(), r, sent)
	}
	sent.Fault = ""
	if err != nil {
		sent.Fault = faultOf(ctx, err)
	}
	return err
}

// last is the last ask that left, or nil.
func (r *Result) last() *Sent {
	if len(r.Sent) == 0 {
		return nil
	}
	return &r.Sent[len(r.Sent)-1]
}

// build makes the ask for one bureau: its own id and nonce, dated in that bureau's time, with no
// more of the question than it is to answer.
func (a *Asker) build(q *Question, t Target, skew, wait time.Duration) *queryv1.Ask {
	requester := &queryv1.Requester{}
	if q.Requester != nil {
		requester = proto.CloneOf(q.Requester)
	}
	requester.Bureau, requester.Officer = string(a.cfg.Self), t.Officer
	nonce := make([]byte, 16)
	rand.Read(nonce) // never fails, by its contract
	issued := a.cfg.Now().Add(skew)
	ask := &queryv1.Ask{
		AskId:         uuid.NewString(),
		Nonce:         nonce,
		Audience:      string(t.Bureau),
		IssuedAt:      timestamppb.New(issued),
		NotAfter:      timestamppb.New(issued.Add(min(wait+lifeMargin, maxLife))),
		Requester:     requester,
		Justification: q.Justification,
		RosterVersion: q.RosterVersion,
		MaxCandidates: min(cmp.Or(q.MaxCandidates, defaultCandidates), maxCandidates),
	}
	if a.cfg.Witness != nil {
		ask.LogCheckpoint = a.cfg.Witness.Newest()
	}
	if t.Documents {
		ask.Document = q.Document
	}
	if t.Persons {
		ask.Person = q.Person
	}
	return ask
}

package policy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Decision is what the policies say to one request. The zero value denies.
type Decision struct {
	// Allow says that it may be done, with the obligations.
	Allow bool
	// Rules are the ids of the policies that decided: the permits of a decision that allows,
	// the forbids of one that denies, those that failed when one failed. None: no policy
	// permits it. For the own side alone.
	Rules []string
	// Err says why the request could not be decided, and so is denied. For the own side alone.
	Err error
	// Obligations bind whoever carries the decision out. Of a denial: its advice alone.
	Obligations Obligations
	// Action is the action decided upon.
	Action string
	// Considered is how many policies were evaluated.
	Considered int
}

// decide evaluates the policies that can concern a counterpart.
func (s *Set) decide(action string, with identity.Bureau, principal, resource thing, context types.RecordMap) Decision {
	relevant := s.index[action].forBureau(with)
	d := Decision{Action: action, Considered: len(relevant)}
	if len(relevant) == 0 {
		return d
	}
	w := world{set: s, principal: principal, resource: resource}
	verdict, diagnostic := cedar.Authorize(relevant, &w, cedar.Request{
		Principal: principal.uid,
		Action:    uid(typeAction, action),
		Resource:  resource.uid,
		Context:   types.NewRecord(context),
	})
	d.Allow = verdict == cedar.Allow
	deciding := make([]*rule, 0, 4)
	for _, reason := range diagnostic.Reasons {
		deciding = append(deciding, s.rules[string(reason.PolicyID)])
	}
	return s.conclude(d, deciding, diagnostic.Errors)
}

// conclude completes a decision by the policies that decided it and those that failed.
func (s *Set) conclude(d Decision, deciding []*rule, failed []cedar.DiagnosticError) Decision {
	// Cedar skips a policy that fails, a forbid too: never trust the verdict alone.
	if len(failed) > 0 {
		d.Allow = false
		var errs []error
		for _, e := range failed {
			source := s.rules[string(e.PolicyID)].source
			d.Rules = append(d.Rules, source.ID)
			errs = append(errs, fmt.Errorf("policy %q (%s:%d) failed: %s", source.ID, source.File, source.Line, e.Message))
		}
		d.Err = errors.Join(errs...)
		return d
	}
	for _, r := range deciding {
		d.Rules = append(d.Rules, r.id)
	}
	if d.Allow {
		d.Obligations = combine(deciding)
		return d
	}
	for _, r := range deciding {
		d.Obligations.Advice = joinAdvice(d.Obligations.Advice, r.obligations.Advice)
	}
	return d
}

// undecidable denies a request whose facts do not hold together.
func undecidable(action, format string, args ...any) Decision {
	return Decision{Action: action, Err: fmt.Errorf(format, args...)}
}

// CheckFacts are what is known of a check before it is made.
type CheckFacts struct {
	// Client is who checks, from the certificate.
	Client identity.Identity
	// Purpose is what for.
	Purpose recordv1.Purpose
	// HasCase says that a case reference is given.
	HasCase bool
}

// Check decides whether a client of the own bureau may make a check.
func (s *Set) Check(f CheckFacts) Decision {
	key, keyed := keyOfCheck(&f)
	if !keyed {
		return s.checkAnew(f)
	}
	if d, ok := s.checks.find(key); ok {
		return d
	}
	d := clipped(s.checkAnew(f))
	s.checks.keep(key, d)
	return d
}

func (s *Set) checkAnew(f CheckFacts) Decision {
	purpose, ok := purposeUID(f.Purpose)
	if !ok {
		return undecidable(actionCheck, "purpose: not said, or not known here; name the purpose of the check")
	}
	if err := clientOf(f.Client); err != nil {
		return undecidable(actionCheck, "%w", err)
	}
	return s.decide(actionCheck, f.Client.Bureau,
		clientThing(&f.Client), bureauThing(f.Client.Bureau, f.Client.Federation),
		types.RecordMap{"purpose": purpose, "has_case": types.Boolean(f.HasCase)})
}

// AskFacts are what is known of a question to another bureau before it is asked.
type AskFacts struct {
	// Self is the own bureau.
	Self identity.Bureau
	// Client is for whom it asks, from the certificate.
	Client identity.Identity
	// To is the bureau that would be asked, a member of the roster.
	To identity.Bureau
	// Collection is the collection that would be asked.
	Collection string
	// Purpose is what for.
	Purpose recordv1.Purpose
	// IssuingState is the bureau of the state that issued the document asked about; empty if
	// not known or none.
	IssuingState string
	// Nationality of the person asked about; empty if not known or none.
	Nationality string
	// Now is the moment at which the policies must hold.
	Now time.Time
}

// MightAsk tells whether there is a permit at all by which a bureau could be asked. Without one Ask
// says no whatever is asked, so that a check need not decide about every member of the roster. Ask
// still tells which rule forbids it besides.
func (s *Set) MightAsk(to identity.Bureau) bool {
	return s.index[actionAsk].forBureau(to).permits()
}

// Ask decides whether another bureau may be asked.
func (s *Set) Ask(f AskFacts) Decision {
	return s.ask(&f, true)
}

// ask decides upon a question. Remembered is false for questions that nobody puts: they would drive
// out those that are put.
func (s *Set) ask(f *AskFacts, remembered bool) Decision {
	purpose, err := questionOf(f.Self, f.To, f.Collection, f.Purpose, f.Now)
	if err != nil {
		return undecidable(actionAsk, "%w", err)
	}
	if err := clientOf(f.Client); err != nil {
		return undecidable(actionAsk, "%w", err)
	}
	if f.Client.Bureau != f.Self {
		return undecidable(actionAsk, "client: of %s, but only clients of %s ask from here", f.Client.Bureau, f.Self)
	}
	return s.recall(remembered, func() (questionKey, bool) { return s.keyOfAsk(f) }, func() Decision {
		return s.decide(actionAsk, f.To,
			clientThing(&f.Client), collectionThing(f.To, f.Client.Federation, f.Collection),
			types.RecordMap{
				"purpose":       purpose,
				"issuing_state": types.String(f.IssuingState),
				"nationality":   types.String(f.Nationality),
				"now":           types.NewDatetime(f.Now),
			})
	})
}

// recall decides upon a question whose facts hold together, or remembers what was decided.
func (s *Set) recall(remembered bool, keyOf func() (questionKey, bool), decide func() Decision) Decision {
	if !remembered {
		return decide()
	}
	key, keyed := keyOf()
	if !keyed {
		return decide()
	}
	if d, ok := s.questions.find(key); ok {
		return d
	}
	d := decide()
	if d.Err == nil { // an error may tell more of the question than its key does
		d = clipped(d)
		s.questions.keep(key, d)
	}
	return d
}

// AnswerFacts are what another bureau's question says of itself. No record is looked at.
type AnswerFacts struct {
	// Self is the own bureau, From the one that asks, proven to be a member of the roster.
	Self, From identity.Bureau
	// Federation is the federation of both. Needed only by policies that name it.
	Federation identity.Federation
	// Agency and Role of the requester, as its bureau says.
	Agency, Role string
	// Collection is the own collection that is asked.
	Collection string
	// Purpose is what for.
	Purpose recordv1.Purpose
	// Mode is how the collection is used: ModeAsk (also if empty), ModePointer or ModePush.
	Mode string
	// IssuingState and Nationality are as in AskFacts.
	IssuingState, Nationality string
	// HasCase says that a case reference is given.
	HasCase bool
	// Now is the moment at which the policies must hold.
	Now time.Time
}

// Answer decides whether another bureau may use an own collection in the mode that it wants: be
// answered (action answer), hold a pointer over it (point) or copies of it (push).
func (s *Set) Answer(f AnswerFacts) Decision {
	return s.answer(&f, true)
}

// answer is the same of a question from another bureau.
func (s *Set) answer(f *AnswerFacts, remembered bool) Decision {
	purpose, err := questionOf(f.Self, f.From, f.Collection, f.Purpose, f.Now)
	if err != nil {
		return undecidable(actionAnswer, "%w", err)
	}
	now := types.NewDatetime(f.Now)
	switch f.Mode {
	case ModePointer, ModePush:
		action := actionPoint
		if f.Mode == ModePush {
			action = actionPush
		}
		return s.decide(action, f.From,
			bureauThing(f.From, f.Federation), collectionThing(f.Self, f.Federation, f.Collection),
			types.RecordMap{"purpose": purpose, "now": now})
	case ModeAsk, "":
	default:
		return undecidable(actionAnswer, "mode %q: give %s, %s or %s", f.Mode, ModeAsk, ModePointer, ModePush)
	}
	if !validSegment(f.Agency) || !validSegment(f.Role) {
		return undecidable(actionAnswer, "requester: agency and role are names of at most 64 characters without a stroke")
	}
	return s.recall(remembered, func() (questionKey, bool) { return s.keyOfAnswer(f) }, func() Decision {
		return s.decide(actionAnswer, f.From,
			requesterThing(f.From, f.Federation, f.Agency, f.Role),
			collectionThing(f.Self, f.Federation, f.Collection),
			types.RecordMap{
				"purpose":       purpose,
				"has_case":      types.Boolean(f.HasCase),
				"issuing_state": types.String(f.IssuingState),
				"nationality":   types.String(f.Nationality),
				"now":           now,
			})
	})
}

// AcceptFacts are what is known of something that another bureau sends.
type AcceptFacts struct {
	// Self is the own bureau, From the one that sends, proven to be a member of the roster.
	Self, From identity.Bureau
	// Federation is the federation of both. Needed only by policies that name it.
	Federation identity.Federation
	// Mode is how it comes: ModePointer or ModePush, with Collection; ModeAlert, with Colour.
	Mode string
	// Collection is the sender's collection.
	Collection string
	// Colour is the alert's, "red".
	Colour string
	// Demand is what the alert asks for.
	Demand recordv1.Action
	// Now is the moment at which the policies must hold.
	Now time.Time
}

// Accept decides whether what another bureau sends is taken in.
func (s *Set) Accept(f AcceptFacts) Decision {
	if err := counterpartsOf(f.Self, f.From, f.Now); err != nil {
		return undecidable(actionAccept, "%w", err)
	}
	var resource thing
	switch f.Mode {
	case ModePointer, ModePush:
		if !slices.Contains(Collections(), f.Collection) {
			return undecidable(actionAccept, "collection %q: give one of %v", f.Collection, Collections())
		}
		resource = collectionThing(f.From, f.Federation, f.Collection)
	case ModeAlert:
		if !validSegment(f.Colour) || f.Colour == "" {
			return undecidable(actionAccept, "colour: name the alert's colour")
		}
		resource = alertThing(f.From, f.Federation, f.Colour, f.Demand)
	default:
		return undecidable(actionAccept, "mode %q: give %s, %s or %s", f.Mode, ModePointer, ModePush, ModeAlert)
	}
	return s.decide(actionAccept, f.From, bureauThing(f.From, f.Federation), resource,
		types.RecordMap{"mode": uid(typeMode, f.Mode), "now": types.NewDatetime(f.Now)})
}

// AdministerFacts are what is known of an operation on the own node.
type AdministerFacts struct {
	// Client is who operates, from the certificate.
	Client identity.Identity
	// Operation is one of Operations.
	Operation string
}

// Administer decides whether a client may operate the own node.
func (s *Set) Administer(f AdministerFacts) Decision {
	if !slices.Contains(Operations(), f.Operation) {
		return undecidable(actionAdminister, "operation %q: give one of %v", f.Operation, Operations())
	}
	if err := clientOf(f.Client); err != nil {
		return undecidable(actionAdminister, "%w", err)
	}
	return s.decide(actionAdminister, f.Client.Bureau,
		clientThing(&f.Client), bureauThing(f.Client.Bureau, f.Client.Federation),
		types.RecordMap{"operation": uid(typeOperation, f.Operation)})
}

func clientOf(id identity.Identity) error {
	switch {
	case id.Kind != identity.KindClient:
		return errors.New("client: no client's identity")
	case len(id.Bureau) != 3:
		return errors.New("client: of no bureau")
	case !validSegment(id.Agency) || !validSegment(string(id.Role)) || !validSegment(id.Name):
		return errors.New("client: agency, role and name are at most 64 characters without a stroke")
	}
	return nil
}

// counterpartsOf checks who deals with whom, and when.
func counterpartsOf(self, other identity.Bureau, now time.Time) error {
	switch {
	case len(self) != 3:
		return errors.New("own bureau: not said")
	case len(other) != 3:
		return errors.New("other bureau: not said")
	case self == other:
		return fmt.Errorf("%s deals with itself: what stays at home passes no border", self)
	case now.IsZero():
		// The zero time lies before every end that a permit has.
		return errors.New("now: not said; a permit with an end cannot be decided without it")
	}
	return nil
}

func questionOf(self, other identity.Bureau, collection string, p recordv1.Purpose, now time.Time) (types.EntityUID, error) {
	if err := counterpartsOf(self, other, now); err != nil {
		return types.EntityUID{}, err
	}
	if !slices.Contains(Collections(), collection) {
		return types.EntityUID{}, fmt.Errorf("collection %q: give one of %v", collection, Collections())
	}
	purpose, ok := purposeUID(p)
	if !ok {
		return types.EntityUID{}, errors.New("purpose: not said, or not known here")
	}
	return purpose, nil
}

package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// NotBooked says that the books do not take what some bureaus answered. Their asks have an end in
// the books, without the answer, so it is not to be shown to anybody.
type NotBooked struct{ Bureaus []identity.Bureau }

// Error implements error.
func (e *NotBooked) Error() string {
	names := make([]string, 0, len(e.Bureaus))
	for _, b := range e.Bureaus {
		names = append(names, string(b))
	}
	return fmt.Sprintf("the books do not take the answers of %s", strings.Join(names, ", "))
}

// maxWrite is how many bytes of ends go into one write: what others answer must not grow into more
// than the books take at once. passageRoom is what a passage takes beside its messages.
const (
	maxWrite    = 4 << 20
	passageRoom = 4 << 10
)

// leaves notes that an ask has left.
func (p *Permit) leaves(askID string, to ask.Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = map[string]ask.Target{}
	}
	p.open[askID] = to
}

// conclude writes the ends of the asks that left, and the check's own entry last. What another
// bureau answered must not cost the check, nor the other asks their ends: an end that the books do
// not take becomes one without the answer.
func (p *Permit) conclude(ctx context.Context, e *auditv1.Entry, results []ask.Result) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	check := journal.Passage{Entry: e, Officer: p.check.Requester.GetOfficer()}
	ends := p.ends(results)
	for {
		part := ends[:fitting(ends)]
		last := len(part) == len(ends)
		if last {
			part = append(part, check)
		}
		switch err := p.book(ctx, part...); {
		case errors.Is(err, journal.ErrInvalid) && len(ends) > 0:
			if err := p.oneByOne(ctx, ends); err != nil {
				return err
			}
			return p.gate.booked(ctx, p.book(ctx, check))
		case err != nil:
			return p.gate.booked(ctx, err)
		case last:
			return nil
		}
		ends = ends[len(part):]
	}
}

// book writes passages, and takes note of the asks that have their end with them.
func (p *Permit) book(ctx context.Context, passages ...journal.Passage) error {
	p.gate.work.booked(passages)
	if err := p.gate.cfg.Books.Record(context.WithoutCancel(ctx), passages...); err != nil {
		return err
	}
	if p.ended == nil {
		p.ended = make(map[string]bool, len(passages))
	}
	for _, passage := range passages {
		id := passage.Entry.GetMessageId()
		delete(p.open, id)
		p.ended[id] = true
	}
	return nil
}

// oneByOne writes each end by itself. It returns a *NotBooked if there are answers that the books
// do not take.
func (p *Permit) oneByOne(ctx context.Context, ends []journal.Passage) error {
	refused := &NotBooked{}
	for _, end := range ends {
		err := p.book(ctx, end)
		if errors.Is(err, journal.ErrInvalid) {
			e := end.Entry
			p.gate.cfg.Logger.WarnContext(ctx, "the books do not take an answer; it is not let in",
				slog.String("peer", e.GetBureau()), slog.String("ask_id", e.GetMessageId()), slog.Any("error", err))
			if e.GetKind() == kindAnswer {
				refused.Bureaus = append(refused.Bureaus, identity.Bureau(e.GetBureau()))
			}
			err = p.book(ctx, withoutAnswer(e))
		}
		if err != nil {
			return p.gate.booked(ctx, err)
		}
	}
	if len(refused.Bureaus) > 0 {
		return refused
	}
	return nil
}

// withoutAnswer is the end of an ask whose answer cannot be written down.
func withoutAnswer(e *auditv1.Entry) journal.Passage {
	e = proto.CloneOf(e)
	e.Kind, e.Decision, e.Outcomes = kindNoAnswer, denied, nil
	if e.GetReason() == "" {
		e.Reason = ask.NotBelieved
	}
	return journal.Passage{Entry: e}
}

// fitting is how many of the passages go into one write: at least one, if there is any.
func fitting(passages []journal.Passage) int {
	size := 0
	for i, p := range passages {
		size += proto.Size(p.Entry) + proto.Size(p.Evidence) + passageRoom
		if i > 0 && size > maxWrite {
			return i
		}
	}
	return len(passages)
}

// ends are the ends, as far as they are not written, of the asks that left: for each either its
// answer or that there was none. An ask of which no result tells was lost by this node.
func (p *Permit) ends(results []ask.Result) []journal.Passage {
	passages := make([]journal.Passage, 0, len(results)+1)
	lost := maps.Clone(p.open)
	for _, r := range results {
		to := ask.Target{Bureau: r.Bureau, Rules: r.Rules}
		for _, s := range r.Sent {
			delete(lost, s.AskID)
			if !p.ended[s.AskID] {
				passages = append(passages, p.end(to, s))
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(lost)) {
		passages = append(passages, p.end(lost[id], ask.Sent{AskID: id, Fault: string(fault.Internal)}))
	}
	return passages
}

func (p *Permit) end(to ask.Target, s ask.Sent) journal.Passage {
	kind := kindAnswer
	if s.Fault != "" {
		kind = kindNoAnswer
	}
	e := p.abroad(kind, in, to, s.AskID)
	e.Elapsed, e.Reason = lasted(s.Elapsed), cutText(s.Fault, maxReason)
	if s.Fault != "" {
		e.Decision = failed
		if s.Answer != nil {
			e.Decision = denied // it came, and was not let in
		}
	}
	for _, c := range s.Answered[:min(len(s.Answered), maxOutcomes)] {
		e.Outcomes = append(e.Outcomes, outcome(to.Bureau, c.Collection, c.Status))
	}
	passage := journal.Passage{Entry: e, Evidence: s.Answer}
	for _, id := range s.Told {
		passage.Quotes = append(passage.Quotes, journal.Quote{Owner: string(to.Bureau), RecordID: id})
	}
	return passage
}

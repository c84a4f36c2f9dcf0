package audit

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// maxTried bounds how many signed messages are read while the exchange is looked for that stands
// under a message id: a peer may have sent any number of asks under one.
const maxTried = 64

// exchange is an ask and what came of it, as the own books have them.
type exchange struct {
	ask, answer *signedv1.Signed // answer is nil if none came, or it was erased
	passages    []Passage        // of what the exchange holds
}

// side is what the books have under one message id between the own bureau and one other, in one
// role: asks that one of them sent, and their ends. The asker chooses the id, so that a peer may use
// the id of an ask of the own bureau's for one of its own, or one id for several asks.
type side struct {
	peer  identity.Bureau
	asked bool // the own bureau asked
	// asks, answers and ends (that no answer came) whose leaves can be opened, in the log's order.
	asks, answers, ends []Passage
	closed              []uint64 // indexes of answers whose leaves cannot be opened
}

// sides sorts passages by other bureau and role, the own asks first.
func sides(passages []Passage) ([]*side, error) {
	type role struct {
		peer  identity.Bureau
		asked bool
	}
	known := map[role]*side{}
	var own, others []*side
	for _, p := range passages {
		leaf, err := evidence.ParseLeaf(p.Leaf[:])
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", p.Index, err)
		}
		ask := leaf.Kind == auditv1.EntryKind_ENTRY_KIND_ASK
		out := leaf.Direction == auditv1.EntryDirection_ENTRY_DIRECTION_OUT
		at := role{leaf.Peer, ask == out} // who asks sends asks and gets the rest
		s := known[at]
		if s == nil {
			s = &side{peer: at.peer, asked: at.asked}
			known[at] = s
			if at.asked {
				own = append(own, s)
			} else {
				others = append(others, s)
			}
		}
		switch {
		case p.Opening == nil && leaf.Kind == auditv1.EntryKind_ENTRY_KIND_ANSWER:
			s.closed = append(s.closed, p.Index)
		case p.Opening == nil:
		case ask:
			s.asks = append(s.asks, p)
		case leaf.Kind == auditv1.EntryKind_ENTRY_KIND_ANSWER:
			s.answers = append(s.answers, p)
		default:
			s.ends = append(s.ends, p)
		}
	}
	return append(own, others...), nil
}

// choose returns the exchange that a message id stands for: the own ask's if there is one of which
// something is left; else a peer's, one that was answered before one that was not. It returns
// nil if nothing is left of any.
func choose(ctx context.Context, passages []Passage) (*exchange, error) {
	all, err := sides(passages)
	if err != nil {
		return nil, err
	}
	var best *exchange
	for _, s := range all {
		x, err := s.exchange(ctx)
		switch {
		case err != nil:
			return nil, err
		case x == nil:
		case s.asked || x.answer != nil:
			return x, nil
		case best == nil:
			best = x
		}
	}
	return best, nil
}

// exchange pairs an answer with the ask whose bytes it names. Without an answer it takes an ask.
func (s *side) exchange(ctx context.Context) (*exchange, error) {
	erased := s.closed
	for _, p := range s.answers[:min(len(s.answers), maxTried)] {
		answer, err := p.read(ctx)
		if err != nil {
			return nil, err
		}
		if answer == nil {
			erased = append(erased, p.Index)
			continue
		}
		var m queryv1.Answer
		if err := proto.Unmarshal(answer.GetPayload(), &m); err != nil {
			continue // the bundle would not hold
		}
		asked, ok := s.before(p.Index, func(ask Passage) bool {
			return string(ask.Opening.GetEvidenceDigest()) == string(m.GetInReplyTo())
		})
		if !ok {
			continue
		}
		ask, err := asked.read(ctx)
		if err != nil {
			return nil, err
		}
		if ask != nil {
			return &exchange{ask: ask, answer: answer, passages: []Passage{asked, p}}, nil
		}
	}
	return s.unanswered(ctx, erased)
}

// before returns the last ask before an index that is one: an ask that came again is answered
// when it comes.
func (s *side) before(index uint64, is func(Passage) bool) (found Passage, ok bool) {
	for _, ask := range s.asks {
		if ask.Index < index && is(ask) {
			found, ok = ask, true
		}
	}
	return found, ok
}

// unanswered takes an ask without its answer: the one before an answer that was erased, else the
// first of which something is left.
func (s *side) unanswered(ctx context.Context, erased []uint64) (*exchange, error) {
	var tried []Passage
	for _, index := range erased {
		if ask, ok := s.before(index, func(Passage) bool { return true }); ok {
			tried = append(tried, ask)
		}
	}
	tried = append(tried, s.asks...)
	for _, p := range tried[:min(len(tried), maxTried)] {
		ask, err := p.read(ctx)
		if err != nil {
			return nil, err
		}
		if ask == nil {
			continue
		}
		x := &exchange{ask: ask, passages: []Passage{p}}
		if len(s.answers) == 0 && len(s.closed) == 0 && len(s.ends) > 0 {
			x.passages = append(x.passages, s.ends[0])
		}
		return x, nil
	}
	return nil, nil
}

// read returns what was signed: nil if nothing was, or it was erased.
func (p Passage) read(ctx context.Context) (*signedv1.Signed, error) {
	if p.Evidence == nil {
		return nil, nil
	}
	return p.Evidence(ctx)
}

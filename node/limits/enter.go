package limits

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// class is how a method is limited.
type class int

const (
	call     class = iota // everything that is not below: the other bucket; on the mesh a worker
	question              // a question: the bucket of questions, and a worker
	stream                // a stream: the other bucket and a bounded number; no worker
)

func classOf(method string) class {
	switch method {
	case queryv1.QueryService_Ask_FullMethodName, screeningv1.ScreeningService_Check_FullMethodName:
		return question
	case queryv1.QueryService_Describe_FullMethodName, gossipv1.GossipService_Gossip_FullMethodName,
		screeningv1.ScreeningService_CheckBatch_FullMethodName, recordv1.RecordService_Import_FullMethodName,
		auditv1.AuditService_List_FullMethodName, auditv1.AuditService_Verify_FullMethodName, auditv1.AuditService_Export_FullMethodName:
		return stream
	default:
		return call
	}
}

// The operations, as they stand in the books.
const (
	operationAsk   = "ask"
	operationCheck = "check"
	operationCall  = "call"
)

// Enter lets a call in, or turns it away with RESOURCE_EXHAUSTED and a RetryInfo: TOO_SOON,
// THROTTLED, QUOTA_EXCEEDED or QUEUE_FULL. It may wait for a worker, at most two seconds. leave
// gives back what the call holds and must be called when it ends; a second call does nothing.
// Call it as soon as the caller's certificate is known, before anything that is dear.
func (l *Limits) Enter(ctx context.Context, from identity.Identity, method string) (leave func(), err error) {
	s, err := l.enter(ctx, from, method)
	if err != nil {
		return nil, err
	}
	return s.leave, nil
}

// Admit is Enter with a context for Aside.
func (l *Limits) Admit(ctx context.Context, from identity.Identity, method string) (within context.Context, leave func(), err error) {
	s, err := l.enter(ctx, from, method)
	if err != nil {
		return nil, nil, err
	}
	return context.WithValue(ctx, seatKey{}, s), s.leave, nil
}

// whose returns the account of a caller, and its quota.
func (l *Limits) whose(from identity.Identity) (*account, quota, error) {
	switch from.Kind {
	case identity.KindNode:
		const scope = adminv1.QuotaScope_QUOTA_SCOPE_BUREAU
		return l.account(scope, string(from.Bureau)), l.fallback(scope), nil
	case identity.KindClient:
		const scope = adminv1.QuotaScope_QUOTA_SCOPE_AGENCY
		return l.account(scope, from.Agency), l.fallback(scope), nil
	default:
		return nil, quota{}, fault.New(codes.Unauthenticated, fault.IdentityUnverified, "", "the caller of this connection is not known: connect again with a certificate")
	}
}

func (l *Limits) enter(ctx context.Context, from identity.Identity, method string) (*seat, error) {
	a, fallback, err := l.whose(from)
	if err != nil {
		return nil, err
	}
	switch classOf(method) {
	case question:
		return l.enterQuestion(ctx, a, fallback)
	case stream:
		return l.enterStream(ctx, a)
	default:
		return l.enterCall(ctx, a)
	}
}

func (l *Limits) enterQuestion(ctx context.Context, a *account, fallback quota) (*seat, error) {
	mesh := a.key.scope == adminv1.QuotaScope_QUOTA_SCOPE_BUREAU
	if mesh && l.noRoom.Load() {
		return nil, l.refuse(ctx, a, operationAsk, refusal{fault.QueueFull, "the node takes no questions of other bureaus for now, as it has no room for their entries in its books: try again later", noRoomPause})
	}
	if no := l.takeQuestion(a, fallback); no != nil {
		return nil, l.refuse(ctx, a, a.operation(), *no)
	}
	if mesh {
		s, err := l.seatIn(ctx, l.mesh, a, operationAsk)
		if err != nil {
			return nil, err
		}
		s.yields, s.began = l, l.cfg.Now()
		return s, nil
	}
	l.atWork()
	s, err := l.seatIn(ctx, l.local, a, operationCheck)
	if err != nil {
		return nil, err
	}
	s.onExit = l.atWork
	return s, nil
}

// noRoomPause is when a bureau may try again that was turned away for want of room.
const noRoomPause = time.Minute

// NoRoom turns the questions of other bureaus away as long as it holds: each takes room in the
// books, and what is left is the own border's.
func (l *Limits) NoRoom(holds bool) { l.noRoom.Store(holds) }

// atWork notes that the own border is at work: the mesh yields to it.
func (l *Limits) atWork() { l.checked.Store(l.cfg.Now().UnixNano()) }

// Row lets one check of a batch in. A batch is paced and not turned away: Row waits until the
// agency's bucket has a token and a worker is free, or until the context ends. It waits in a queue
// of its own, so that a batch does not hold up the counters of its own agency. It fails like
// Enter if the agency is throttled or its day's quota is used up.
func (l *Limits) Row(ctx context.Context, from identity.Identity) (within context.Context, leave func(), err error) {
	a, fallback, err := l.whose(from)
	if err != nil {
		return nil, nil, err
	}
	for {
		no := l.takeQuestion(a, fallback)
		if no == nil {
			break
		}
		if no.reason != fault.TooSoon {
			return nil, nil, l.refuse(ctx, a, a.operation(), *no)
		}
		if err := pause(ctx, no.after); err != nil {
			return nil, nil, err
		}
	}
	for {
		l.atWork()
		err := l.local.enter(ctx, a.key.name+" (batch)")
		switch {
		case err == nil:
			s := &seat{pool: l.local, held: true, onExit: l.atWork}
			return context.WithValue(ctx, seatKey{}, s), s.leave, nil
		case errors.Is(err, errQueueFull):
			if err := pause(ctx, rowPause); err != nil {
				return nil, nil, err
			}
		case !errors.Is(err, errPatience):
			return nil, nil, err
		}
	}
}

// rowPause is how long a batch pauses whose agency has as many rows waiting as it may.
const rowPause = 50 * time.Millisecond

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// takeQuestion takes a token for a question, or says why there is none.
func (l *Limits) takeQuestion(a *account, fallback quota) *refusal {
	now := l.cfg.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.roll(now)
	q := a.own.over(fallback)
	if what, wait := a.usedUp(now, q); what != "" {
		return &refusal{fault.QuotaExceeded, "the day's quota of " + what + " is used up", wait}
	}
	if wait, over := a.overAsked(now, q); over {
		return &refusal{fault.QuotaExceeded, "the day's quota of questions is used up", wait}
	}
	rate, burst := a.pace(now, q)
	if wait, ok := a.ask.take(now, rate, burst); !ok {
		if now.Before(a.throttle.until) {
			return &refusal{fault.Throttled, "what was asked looks like one who empties a collection question by question, so that few questions pass for a time: have the operators of both sides speak", wait}
		}
		return &refusal{fault.TooSoon, "more is asked than was granted: ask less often, or have the operators agree on more", wait}
	}
	a.hour().questions++
	a.dirty = true
	l.note(false)
	return nil
}

func (a *account) operation() string {
	if a.key.scope == adminv1.QuotaScope_QUOTA_SCOPE_BUREAU {
		return operationAsk
	}
	return operationCheck
}

// takeOther takes a token for what is no question, or says why there is none.
func (l *Limits) takeOther(a *account) *refusal {
	rate, burst := float64(otherRate), float64(otherBurst)
	if a.key.scope == adminv1.QuotaScope_QUOTA_SCOPE_AGENCY {
		rate, burst = otherRateLocal, otherBurstLocal
	}
	now := l.cfg.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.roll(now)
	if wait, ok := a.other.take(now, rate, burst); !ok {
		return &refusal{fault.TooSoon, "more calls are made than anybody needs: make fewer", wait}
	}
	a.dirty = true
	l.note(false)
	return nil
}

func (l *Limits) enterCall(ctx context.Context, a *account) (*seat, error) {
	if no := l.takeOther(a); no != nil {
		return nil, l.refuse(ctx, a, operationCall, *no)
	}
	if a.key.scope == adminv1.QuotaScope_QUOTA_SCOPE_BUREAU {
		return l.seatIn(ctx, l.meshOther, a, operationCall)
	}
	return &seat{}, nil // an operator gets through, however busy the counters are
}

func (l *Limits) enterStream(ctx context.Context, a *account) (*seat, error) {
	if no := l.takeOther(a); no != nil {
		return nil, l.refuse(ctx, a, operationCall, *no)
	}
	most := streamsMesh
	if a.key.scope == adminv1.QuotaScope_QUOTA_SCOPE_AGENCY {
		most = streamsLocal
	}
	a.mu.Lock()
	full := a.streams >= most
	if !full {
		a.streams++
	}
	a.mu.Unlock()
	if full {
		return nil, l.refuse(ctx, a, operationCall, refusal{fault.QueueFull, fmt.Sprintf("%d streams are open, and that is all that one may: close some", most), time.Second})
	}
	return &seat{onExit: func() {
		a.mu.Lock()
		a.streams--
		a.mu.Unlock()
	}}, nil
}

// seatIn takes a worker of a pool.
func (l *Limits) seatIn(ctx context.Context, p *pool, a *account, operation string) (*seat, error) {
	err := p.enter(ctx, a.key.name)
	switch {
	case err == nil:
		return &seat{pool: p, held: true}, nil
	case errors.Is(err, errQueueFull):
		return nil, l.refuse(ctx, a, operation, refusal{fault.QueueFull, "too many calls wait already: make fewer at once", p.patience})
	case errors.Is(err, errPatience):
		return nil, l.refuse(ctx, a, operation, refusal{fault.QueueFull, "the node is busy and the call waited too long: try again", p.patience})
	default:
		return nil, err // the caller gave up, or has no time left
	}
}

// refusalDelay is how long a refusal is held now: half to one and a half times the usual, at random.
// Who is turned away together would else come back together, each time, as a wave that the own
// border's checks have to wait out.
func (l *Limits) refusalDelay() time.Duration {
	return l.cfg.RefusalDelay/2 + rand.N(max(l.cfg.RefusalDelay, 1))
}

// refusal is why a call is turned away.
type refusal struct {
	reason fault.Reason
	text   string
	after  time.Duration
}

// maxHeld bounds how many refusals are held at once, each with its call's memory.
const maxHeld = 2048

// refuse counts a call that is turned away, for the books, and returns its error after a while: a
// caller that tries again at once waits here, where it costs nothing.
func (l *Limits) refuse(ctx context.Context, a *account, operation string, r refusal) error {
	l.turnAway(a, operation, r.reason)
	if l.held.Add(1) <= maxHeld {
		_ = pause(ctx, l.refusalDelay()) // who is gone needs no answer
	}
	l.held.Add(-1)
	return r.fault()
}

func (r refusal) fault() error {
	after := r.after.Round(100 * time.Millisecond)
	if after < r.after {
		after += 100 * time.Millisecond
	}
	return fault.NewRetry(codes.ResourceExhausted, r.reason, "", fmt.Sprintf("%s (again after %s)", r.text, after), r.after)
}

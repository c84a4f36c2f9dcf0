package peers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// What an UnreachableError is, by errors.Is.
var (
	// ErrUnreachable is every one of them.
	ErrUnreachable = errors.New("not reachable")
	// ErrNotAPeer is one for a bureau that is not in the roster, and for the own one.
	ErrNotAPeer = errors.New("not a peer of this node")
	// ErrDistrusted is one for a bureau that this one has cut off.
	ErrDistrusted = errors.New("cut off by this bureau")
)

// UnreachableError says that a bureau is known not to answer. It is given without any wait.
type UnreachableError struct {
	Bureau identity.Bureau
	Since  time.Time // when it was first found so; zero for ErrNotAPeer
	Kind   error     // ErrUnreachable, ErrNotAPeer or ErrDistrusted
	Cause  string    // the last error, for the own operator
}

// Error says since when, and why.
func (e *UnreachableError) Error() string {
	text := fmt.Sprintf("%s is %s", e.Bureau, e.Kind)
	if !e.Since.IsZero() {
		text += " since " + e.Since.UTC().Format(time.RFC3339)
	}
	if e.Cause != "" {
		text += ": " + e.Cause
	}
	return text
}

// Is makes every UnreachableError ErrUnreachable, and what its Kind says.
func (e *UnreachableError) Is(target error) bool { return target == ErrUnreachable || target == e.Kind }

// Outage says for the own officer since when the bureau does not answer, and why, without the
// network's words.
func (e *UnreachableError) Outage() (since time.Time, why string) {
	switch e.Kind {
	case ErrNotAPeer:
		return e.Since, "it is not in the roster"
	case ErrDistrusted:
		return e.Since, "this bureau has cut it off"
	default:
		return e.Since, "it is not reachable"
	}
}

func notAPeer(bureau identity.Bureau) error {
	return &UnreachableError{Bureau: bureau, Kind: ErrNotAPeer}
}

const (
	// patienceFloor is the shortest wait that says something of the peer: whoever gives up after
	// less was in a hurry, and must not cut the peer off for everybody.
	patienceFloor = 50 * time.Millisecond
	// firstHold and maxHold bound how long a peer whose calls time out is spared although it
	// still answers the probe: its process lives and its data does not. Doubled each time in a
	// row. Together with the probe, a peer is used again within 15 s of its return.
	firstHold = 2 * time.Second
	maxHold   = 8 * time.Second
	// maxOverdue is after how many answers in a row that a question took too long the peer is spared
	// all the same: one such answer is of one hard question, and must not cut the peer off for
	// everybody; nothing but such answers is of a peer whose data does not come.
	maxOverdue = 3
	// redialGrace is how long a new call waits for the one attempt that is made at once after a
	// working connection broke: a peer that merely closed it (a new roster, an update) is back in
	// milliseconds, and must not be missing from the answers that fall between.
	redialGrace = 200 * time.Millisecond
)

// do is Pool.Do for this peer.
func (p *peer) do(ctx context.Context, call func(context.Context, grpc.ClientConnInterface) error) error {
	s, err := p.await(ctx)
	if err != nil {
		return err
	}
	err = p.try(ctx, s, call)
	if !broken(ctx, err) {
		return err
	}
	// The connection broke below a call that may or may not have arrived. The peer's goroutine
	// dials again without a pause; what comes of that one attempt decides. The caller learns the
	// first error if the peer stays away.
	next, again := p.awaitNext(ctx, s)
	if again != nil {
		return err
	}
	return p.try(ctx, next, call)
}

func (p *peer) try(ctx context.Context, s *session, call func(context.Context, grpc.ClientConnInterface) error) error {
	defer p.release(s)
	began := p.cfg.Now()
	err := call(ctx, s.conn)
	switch {
	case err == nil:
		p.answered(s)
	case broken(ctx, err):
		p.tripBroken(s, err)
	case overdue(ctx, err):
		p.tellOverdue(s)
	case timedOut(ctx, err):
		if p.cfg.Now().Sub(began) >= patienceFloor {
			p.tripSlow(s, errors.New("a call was not answered in time"))
		}
	default:
		if _, spoke := fault.ReasonOf(err); spoke {
			p.answered(s)
		}
	}
	return err
}

// broken reports whether the connection failed below the call. An UNAVAILABLE that the peer's
// program itself gave is an answer: it says that the way there and back works.
func broken(ctx context.Context, err error) bool {
	if err == nil || ctx.Err() != nil || status.Code(err) != codes.Unavailable {
		return false
	}
	_, spoke := fault.ReasonOf(err)
	return !spoke
}

// overdue reports whether the peer's program itself gave the call up, which had time left.
func overdue(ctx context.Context, err error) bool {
	_, spoke := fault.ReasonOf(err)
	return spoke && ctx.Err() == nil && status.Code(err) == codes.DeadlineExceeded
}

// timedOut reports whether the caller's own deadline passed. A caller that goes away by itself
// says nothing of the peer.
func timedOut(ctx context.Context, err error) bool {
	if errors.Is(ctx.Err(), context.Canceled) {
		return false
	}
	return status.Code(err) == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded)
}

// await returns the working session, held for the caller. It waits only while the peer is being
// dialled for the first time, and for a moment while a connection that broke is dialled again.
func (p *peer) await(ctx context.Context) (*session, error) {
	began := p.cfg.Now()
	grace := time.NewTimer(redialGrace)
	defer grace.Stop()
	for {
		p.mu.Lock()
		s, err, changed, redialing := p.session, p.unreachable(), p.changed, p.redialing
		if s != nil {
			s.refs++
			p.mu.Unlock()
			return s, nil
		}
		p.mu.Unlock()
		if err != nil && !redialing {
			return nil, err
		}
		var graceOver <-chan time.Time
		if redialing {
			graceOver = grace.C
		}
		select {
		case <-changed:
		case <-graceOver:
			return nil, err
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) && p.cfg.Now().Sub(began) >= patienceFloor {
				p.giveUpFirst()
			}
			return nil, ctx.Err()
		}
	}
}

// awaitNext returns the session that follows one that broke, if the attempt that is made at once
// succeeds.
func (p *peer) awaitNext(ctx context.Context, after *session) (*session, error) {
	for {
		p.mu.Lock()
		s, err, changed, redialing := p.session, p.unreachable(), p.changed, p.redialing
		if s != nil && s != after {
			s.refs++
			p.mu.Unlock()
			return s, nil
		}
		p.mu.Unlock()
		if err != nil && !redialing {
			return nil, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// unreachable returns the error for a peer that is known not to answer, or nil. p.mu is held.
func (p *peer) unreachable() error {
	down := &UnreachableError{Bureau: p.member.Bureau, Since: p.since, Cause: p.lastError}
	switch p.state {
	case adminv1.PeerState_PEER_STATE_UNREACHABLE:
		down.Kind = ErrUnreachable
	case adminv1.PeerState_PEER_STATE_DISTRUSTED:
		down.Kind = ErrDistrusted
	default:
		return nil
	}
	return down
}

// tripBroken opens the breaker because the connection broke: the peer is unreachable from now on
// until the next probe succeeds. The first one is made at once.
func (p *peer) tripBroken(s *session, cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session != s {
		return // somebody else tripped it, or it is back already
	}
	p.open(s, cause)
	p.redialing = true
}

// tripSlow opens the breaker because a call timed out, and holds it open for a while even if the
// probe succeeds.
func (p *peer) tripSlow(s *session, cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session == s {
		p.hold(s, cause)
	}
}

// tellOverdue counts an answer that a question took too long. What a session before this one
// answers late says nothing of this one.
func (p *peer) tellOverdue(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session != s {
		return
	}
	if p.overdueInARow++; p.overdueInARow >= maxOverdue {
		p.hold(s, errors.New("the peer answers that it takes too long, call after call"))
	}
}

// hold opens the breaker and holds it open. p.mu is held.
func (p *peer) hold(s *session, cause error) {
	p.heldUntil = p.cfg.Now().Add(min(firstHold<<min(p.slowInARow, 4), maxHold))
	p.slowInARow++
	p.open(s, cause)
}

// open ends the session: calls that are under way in it come to their own end. p.mu is held.
func (p *peer) open(s *session, cause error) {
	p.session, p.overdueInARow = nil, 0
	s.end()
	p.enter(adminv1.PeerState_PEER_STATE_UNREACHABLE, describe(cause))
}

// giveUpFirst ends the wait of everybody for a peer that is still being dialled for the first
// time: one has waited its whole patience, that is enough.
func (p *peer) giveUpFirst() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == adminv1.PeerState_PEER_STATE_CONNECTING {
		p.enter(adminv1.PeerState_PEER_STATE_UNREACHABLE, "the first attempt to connect has not come to an end")
	}
}

// answered notes that the peer answers calls, so that the next slow one is the first in a row.
func (p *peer) answered(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session == s {
		p.slowInARow, p.overdueInARow = 0, 0
	}
}

// release gives a session back that await held.
func (p *peer) release(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.refs--
	s.closeIfDone()
}

// connection is Pool.Conn for this peer.
func (p *peer) connection() (grpc.ClientConnInterface, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session != nil {
		return p.session.conn, nil
	}
	if err := p.unreachable(); err != nil {
		return nil, err
	}
	return nil, &UnreachableError{Bureau: p.member.Bureau, Since: p.since, Kind: ErrUnreachable, Cause: "it is being dialled for the first time"}
}

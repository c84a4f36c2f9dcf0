package peers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
	"unicode"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

const (
	// firstPause and maxPause bound the pause between two attempts to reach a peer. With
	// probeTimeout, maxPause keeps the promise that a peer is used again within 15 s of its
	// return.
	firstPause = 250 * time.Millisecond
	maxPause   = 5 * time.Second
	pauseGrows = 1.6
	// steadyAfter is how long a connection must have held to be dialled again without a pause.
	steadyAfter = time.Second
	// kickPause is the least pause before an attempt that a hint asks for, so that a flood of
	// hints is no flood of connections.
	kickPause = 250 * time.Millisecond
	// maxOfferLife bounds how long an offer is believed, whatever it says: an offer for ever would
	// make "not known" impossible.
	maxOfferLife = time.Hour
	// maxErrorText is how much of an error an operator is shown.
	maxErrorText = 500
)

// peer is one bureau as seen from here. Its goroutine, run, owns the dialling; everything that
// others read is guarded by mu.
type peer struct {
	cfg    *Config
	member Member
	cancel context.CancelFunc // set before run starts
	kicked chan struct{}      // holds one hint

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced whenever something below changes
	state     adminv1.PeerState
	since     time.Time
	lastError string
	session   *session              // the one that calls use; nil unless CONNECTED
	sessions  map[*session]struct{} // also those whose last calls are under way
	redialing bool                  // a working connection broke; the attempt made at once has not ended

	heldUntil  time.Time // the breaker stays open until then
	slowInARow int
	// overdueInARow counts the answers that a question took too long, since one that did not.
	overdueInARow int

	offer        *queryv1.Offer
	offerExpires time.Time // by our clock
	skew         time.Duration
	measured     uint64 // counts measurements of the skew
}

func newPeer(cfg *Config, m Member, old *peer) *peer {
	p := &peer{
		cfg: cfg, member: m,
		kicked:   make(chan struct{}, 1),
		changed:  make(chan struct{}),
		sessions: make(map[*session]struct{}),
		state:    adminv1.PeerState_PEER_STATE_CONNECTING,
		since:    cfg.Now(),
	}
	if m.Distrusted {
		p.state = adminv1.PeerState_PEER_STATE_DISTRUSTED
	}
	if old != nil {
		old.mu.Lock()
		p.offer, p.offerExpires, p.skew = old.offer, old.offerExpires, old.skew
		old.mu.Unlock()
	}
	return p
}

// run reaches the peer and keeps reaching it until ctx ends.
func (p *peer) run(ctx context.Context) {
	pause := time.Duration(0)
	for p.sleep(ctx, pause) {
		began := time.Now()
		worked, err := p.attempt(ctx)
		if ctx.Err() != nil {
			return
		}
		// A connection that held for a while and broke is dialled again at once. One that breaks
		// as soon as it stands is no better than none, and gets the same pauses.
		atOnce := worked && time.Since(began) >= steadyAfter
		switch {
		case atOnce:
			pause = 0
		case pause == 0:
			pause = firstPause
		default:
			pause = min(time.Duration(float64(pause)*pauseGrows), maxPause)
		}
		p.failed(atOnce, err)
	}
}

// sleep waits for the pause, less up to a fifth of it so that a whole federation does not knock
// at the same moment, or for a hint. It returns false when ctx has ended.
func (p *peer) sleep(ctx context.Context, pause time.Duration) bool {
	if pause == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(pause - rand.N(pause/5+1))
	defer timer.Stop()
	least := time.NewTimer(min(kickPause, pause))
	defer least.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	case <-least.C:
	}
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-p.kicked:
	}
	return true
}

func (p *peer) kickNow() {
	select {
	case p.kicked <- struct{}{}:
	default: // a hint is waiting already
	}
}

// connected closes the breaker: the probe went there and back.
func (p *peer) connected(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.ended {
		return // cut off while the offer was on its way
	}
	p.session, p.redialing = s, false
	p.enter(adminv1.PeerState_PEER_STATE_CONNECTED, "")
	select {
	case <-p.kicked: // a hint from before is of no use any more
	default:
	}
}

// failed notes how an attempt ended. atOnce says that the next one follows without a pause.
func (p *peer) failed(atOnce bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.redialing = p.redialing && atOnce
	p.enter(adminv1.PeerState_PEER_STATE_UNREACHABLE, describe(err))
}

// enter changes the state, and wakes whoever waits. since stays if the state does: it says how
// long the trouble lasts and not how long the last attempt is over. p.mu is held.
func (p *peer) enter(state adminv1.PeerState, lastError string) {
	if lastError != "" {
		p.lastError = lastError
	}
	if p.state != state {
		p.state, p.since = state, p.cfg.Now()
		p.cfg.Logger.Info("peer changed state", "peer", string(p.member.Bureau), "state", state.String(), "error", lastError)
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// described takes over a verified offer. It refuses one that is of somebody else, for somebody
// else, or of another time.
func (p *peer) described(offer *queryv1.Offer, skew time.Duration) error {
	switch {
	case offer.GetBureau() != string(p.member.Bureau):
		return fmt.Errorf("its offer is one of %s", offer.GetBureau())
	case offer.GetAudience() != string(p.cfg.Self):
		return fmt.Errorf("its offer is meant for %s", offer.GetAudience())
	}
	now := p.cfg.Now()
	// The offer's times are in the peer's clock, whatever its error.
	expires := offer.GetNotAfter().AsTime().Add(-skew)
	if !expires.After(now) {
		return errors.New("its offer has expired")
	}
	if latest := now.Add(maxOfferLife); expires.After(latest) {
		expires = latest
	}
	p.mu.Lock()
	p.offer, p.offerExpires, p.skew = offer, expires, skew
	p.measured++
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	if p.cfg.Described != nil {
		p.cfg.Described(p.member.Bureau, offer)
	}
	return nil
}

func (p *peer) offerNow() (*queryv1.Offer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// A bureau that was cut off offers nothing that this one would take.
	if p.offer == nil || p.member.Distrusted || !p.cfg.Now().Before(p.offerExpires) {
		return nil, false
	}
	return p.offer, true
}

func (p *peer) skewNow() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.skew
}

// remeasure has the stream of offers opened again, whose first message is a measurement.
func (p *peer) remeasure(ctx context.Context) error {
	s, err := p.await(ctx)
	if err != nil {
		return err
	}
	defer p.release(s)
	p.mu.Lock()
	before := p.measured
	p.mu.Unlock()
	select {
	case s.again <- struct{}{}:
	default: // asked for already
	}
	for {
		p.mu.Lock()
		done, err, changed := p.measured != before, p.unreachable(), p.changed
		p.mu.Unlock()
		switch {
		case done:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *peer) snapshot() *adminv1.Peer {
	offer, known := p.offerNow()
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := &adminv1.Peer{
		Bureau:    string(p.member.Bureau),
		Address:   p.member.Address,
		State:     p.state,
		Since:     timestamppb.New(p.since),
		LastError: p.lastError,
	}
	if p.state == adminv1.PeerState_PEER_STATE_CONNECTED {
		seen.LastError = "" // what was wrong is mended
	}
	if known {
		seen.Offers = offer.GetCollections()
		seen.RosterVersion = offer.GetRosterVersion()
	}
	if p.measured > 0 {
		seen.ClockSkew = durationpb.New(p.skew)
	}
	return seen
}

// cut ends everything at once: the peer left the roster, moved or is distrusted.
func (p *peer) cut() {
	p.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session, p.redialing = nil, false
	for s := range p.sessions {
		s.end()
		s.close()
	}
	state := adminv1.PeerState_PEER_STATE_UNREACHABLE
	if p.member.Distrusted {
		state = adminv1.PeerState_PEER_STATE_DISTRUSTED
	}
	// Nobody may go on waiting for a peer that will not be dialled again.
	p.enter(state, "the connection was closed by this node")
}

// describe renders an error for the own operator: what a peer wrote is a stranger's text.
func describe(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if s, ok := status.FromError(err); ok {
		text = s.Message()
		if reason, spoke := fault.ReasonOf(err); spoke {
			text = "it answered " + string(reason) + ": " + text
		}
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, text)
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "")
	}
	return text
}

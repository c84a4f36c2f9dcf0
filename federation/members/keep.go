package members

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
)

const (
	// firstRejoin is how long after the start those who are missing are joined again, for the
	// first time; the pause then doubles up to Intervals.Rejoin.
	firstRejoin = time.Second
	// joiners is how many bureaus are joined at once.
	joiners = 8
	// restateTimeout bounds how long a new statement waits for somebody to hear it.
	restateTimeout = time.Second
)

// keep joins who is missing, again and again: memberlist forgets the dead and never looks for
// them, so that a node that was cut off would stay so. It also renews the own statement.
func (m *Members) keep(ctx context.Context) {
	pause := min(firstRejoin, m.cfg.Intervals.Rejoin)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.stopping:
			return
		case <-m.nudge:
		case <-timer.C:
		}
		if m.said.due() {
			if err := m.list.UpdateNode(restateTimeout); err != nil {
				m.cfg.Logger.Debug("gossip: nobody has heard the new statement yet", "error", err)
			}
		}
		m.joinMissing()
		timer.Reset(pause)
		pause = min(2*pause, m.cfg.Intervals.Rejoin)
	}
}

// joinMissing joins every bureau of the roster that is not alive and has a connection. Whether it
// worked is seen in who is alive: memberlist's Join succeeds also with one who refuses us.
func (m *Members) joinMissing() {
	var wg sync.WaitGroup
	slots := make(chan struct{}, joiners)
	for b := range m.roster.members() {
		if b == m.cfg.Self || m.living.any(b) {
			continue
		}
		if _, err := m.carrier.connection(b, "dial"); err != nil {
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-m.stopping:
			wg.Wait()
			return
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if _, err := m.list.Join([]string{joinAddress(m.cfg.Federation, b)}); err != nil {
				m.cfg.Logger.Debug("gossip: join", "bureau", string(b), "error", clean(err.Error()))
			}
		})
	}
	wg.Wait()
}

// The words of Hint.
const (
	HintAlive   = "alive"
	HintSuspect = "suspect"
	HintDead    = "dead"
	HintLeft    = "left"
)

const (
	// hintsAge is how long a look at all members serves: a list of peers asks for each.
	hintsAge = 200 * time.Millisecond
	// hintsTimeout bounds the look.
	hintsTimeout = time.Second
)

// Hint says how a bureau seems: "alive", "suspect", "dead", "left", or nothing if there is no
// rumour of it. Of several replicas the best counts. It is a hint for people and a reason to try,
// never a reason not to.
func (m *Members) Hint(b identity.Bureau) string {
	if _, member := m.roster.address(b); !member || b == m.cfg.Self {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.started || m.stopped {
		return ""
	}
	if age := time.Since(m.hintsAt); m.hints == nil || age > hintsAge {
		hints, err := m.look()
		if err != nil {
			m.cfg.Logger.Debug("gossip: look at the members", "error", err)
			return ""
		}
		m.hints, m.hintsAt = hints, time.Now()
	}
	return m.hints[b]
}

// look asks the own memberlist for a comparison, as a peer would: only there does the library say
// whom it suspects and who has left.
func (m *Members) look() (map[identity.Bureau]string, error) {
	request, err := askForStates(string(m.cfg.Federation))
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	defer near.Close()
	if err := near.SetDeadline(time.Now().Add(hintsTimeout)); err != nil {
		return nil, err
	}
	if err := m.carrier.accept(far, request, gossipAddr(m.name), hintsTimeout); err != nil {
		far.Close()
		return nil, err
	}
	answer, err := readReply(near)
	if err != nil {
		return nil, err
	}
	hints := make(map[identity.Bureau]string)
	for _, s := range answer.states {
		b := bureauOfName(s.Name)
		if better(s.State.hint(), hints[b]) {
			hints[b] = s.State.hint()
		}
	}
	return hints, nil
}

func (s memberState) hint() string {
	switch s {
	case stateAlive:
		return HintAlive
	case stateSuspect:
		return HintSuspect
	case stateLeft:
		return HintLeft
	default:
		return HintDead
	}
}

// better says whether of two replicas' hints the first speaks for the bureau.
func better(a, b string) bool {
	rank := map[string]int{"": 0, HintDead: 1, HintLeft: 2, HintSuspect: 3, HintAlive: 4}
	return rank[a] > rank[b]
}

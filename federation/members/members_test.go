package members

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/pki/identity"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
)

const packets = gossipv1.GossipKind_GOSSIP_KIND_PACKETS

// alive is memberlist's message, which only a liar writes by hand.
type alive struct {
	Incarnation uint32
	Node        string
	Addr        []byte
	Port        uint16
	Meta        []byte
	Vsn         []uint8
}

var versions = []uint8{1, 5, 2, 0, 0, 0}

func converged(t *testing.T, bureaus ...identity.Bureau) *mesh {
	t.Helper()
	m := newMesh(t, bureaus...)
	m.start(bureaus...)
	for _, a := range bureaus {
		for _, b := range bureaus {
			if a != b {
				m.nodes[a].sees(b, HintAlive)
			}
		}
	}
	return m
}

func TestThreeBureausConverge(t *testing.T) {
	m := converged(t, bel, esp, lbn)
	for _, b := range []identity.Bureau{esp, lbn} {
		m.nodes[bel].hears(b, 0)
	}
	if got := m.nodes[bel].members.Hint(bel); got != "" {
		t.Errorf("BEL has the hint %q about itself", got)
	}
	if got := m.nodes[bel].members.Hint(bgr); got != "" {
		t.Errorf("BEL has the hint %q about BGR, which is not in the roster", got)
	}
	if got := m.nodes[esp].members.RosterVersion(bel); got != 1 {
		t.Errorf("ESP knows BEL's roster version as %d, want 1", got)
	}

	m.install(func(roster []Member) []Member { return roster })
	eventually(t, "ESP hears that BEL has roster 2", func() bool { return m.nodes[esp].members.RosterVersion(bel) == 2 })
	for _, n := range m.nodes {
		if refused := n.members.Stats().Refused; len(refused) > 0 {
			t.Errorf("among the honest %s has refused %v", n.bureau, refused)
		}
	}
}

func TestWhoStopsLeavesAndWhoReturnsIsAlive(t *testing.T) {
	m := converged(t, bel, esp, lbn)
	m.nodes[esp].hears(bel, 0)
	m.nodes[bel].members.Stop()
	for _, b := range []identity.Bureau{esp, lbn} {
		eventually(t, string(b)+" sees that BEL has left", func() bool {
			hint := m.nodes[b].members.Hint(bel)
			return hint == HintLeft || hint == "" // the left are forgotten after a while
		})
	}

	// BEL's process begins anew. Its numbers begin at one again; its statement's does not.
	old := m.nodes[bel]
	old.server.Stop()
	m.mu.Lock()
	conns := old.conns
	m.mu.Unlock()
	for _, cc := range conns {
		_ = cc.Close()
	}
	before := m.nodes[esp].rises(bel)
	again := m.add(bel)
	m.start(bel)
	m.nodes[esp].hears(bel, before)
	m.nodes[esp].sees(bel, HintAlive)
	again.sees(esp, HintAlive)
}

func TestForgedDeathChangesAHintAndIsRefuted(t *testing.T) {
	m := converged(t, bel, esp, lbn)
	m.nodes[esp].hears(bel, 0)
	liar := m.lie("LBN/2", esp)
	kind := packets
	for _, forged := range []rumour{
		{Incarnation: 1000, Node: "BEL/1", From: "LBN/2"}, // "BEL is dead"
		{Incarnation: 2000, Node: "BEL/1", From: "BEL/1"}, // "BEL says that it leaves"
	} {
		before := m.nodes[esp].rises(bel)
		liar.send(kind, label(message(t, kindDead, forged)))
		kind = 0
		// BEL is told, refutes, and rises again: the event that proves the one before it.
		m.nodes[esp].hears(bel, before)
		m.nodes[esp].sees(bel, HintAlive)
		if address, ok := m.nodes[esp].members.roster.address(bel); !ok || address != addressOf(bel) {
			t.Errorf("after %+v BEL stands in ESP's roster with %q, %v", forged, address, ok)
		}
	}
	if deaths := m.nodes[esp].members.Stats().Deaths[lbn]; deaths < 2 {
		t.Errorf("ESP has counted %d dead messages of LBN, want both", deaths)
	}
	if strings.Contains(m.nodes[esp].log.String(), "declares many members dead") {
		t.Error("two dead messages are logged as many")
	}

	for range deathsAlways + deathsEach*3 {
		liar.send(0, label(message(t, kindDead, rumour{Incarnation: 1, Node: "BEL/1", From: "LBN/2"})))
	}
	eventually(t, "ESP logs who declares many dead", func() bool {
		return strings.Contains(m.nodes[esp].log.String(), `declares many members dead; hints that concern them are not to be relied on" bureau=LBN`)
	})
	m.nodes[esp].sees(bel, HintAlive)
	if n := strings.Count(m.nodes[esp].log.String(), "declares many members dead"); n != 1 {
		t.Errorf("logged %d times, want once a minute", n)
	}
}

func TestForgedDeathInAComparisonIsCountedAndRefuted(t *testing.T) {
	m := converged(t, bel, esp, lbn)
	m.nodes[esp].hears(bel, 0)
	risen := m.nodes[esp].rises(bel)
	gone := pushNodeState{Name: "BEL/1", Addr: placeholder(demo, bel), Port: gossipPort, Incarnation: 1000, State: stateLeft, Vsn: versions}
	body := message(t, kindPushPull, pushPullHeader{Nodes: 1})
	body = append(body, message(t, 0, gone)[1:]...)
	before := m.nodes[esp].members.Stats().Deaths[lbn]
	liar := m.lie("LBN/2", esp)
	liar.send(gossipv1.GossipKind_GOSSIP_KIND_STREAM, label(body))
	if answer, err := readReply(&frames{receive: func() ([]byte, error) {
		response, err := liar.stream.Recv()
		return response.GetData(), err
	}}); err != nil || len(answer.states) != 3 {
		t.Fatalf("the comparison is answered with %+v, %v", answer, err)
	}
	if got := m.nodes[esp].members.Stats().Deaths[lbn]; got <= before {
		t.Errorf("ESP has counted %d dead messages of LBN, before %d", got, before)
	}
	m.nodes[esp].hears(bel, risen)
	m.nodes[esp].sees(bel, HintAlive)
}

func TestNoMessageMovesAnAddress(t *testing.T) {
	m := converged(t, bel, esp, lbn)
	m.nodes[esp].hears(bel, 0)
	risen := m.nodes[esp].rises(bel)
	said := m.nodes[bel].members.said
	said.mu.Lock()
	genuine := said.own
	said.mu.Unlock()
	liar := m.lie("LBN/2", esp)

	// BEL's own statement, replayed from another address.
	before := m.nodes[esp].members.Stats()
	liar.send(packets, label(message(t, kindAlive, alive{Incarnation: 1000, Node: "BEL/1", Addr: []byte{192, 0, 2, 66}, Port: 7443, Meta: genuine, Vsn: versions})))
	m.nodes[esp].counts(CauseAddress, before)

	// A statement that BEL has not signed.
	before = m.nodes[esp].members.Stats()
	forged, err := m.nodes[lbn].signer.MemberMeta(&gossipv1.MemberMeta{Name: "LBN/1", Address: "lbn.demo.entente:1", Sequence: 1 << 60, IssuedAt: time.Now().Unix()})
	if err != nil {
		t.Fatal(err)
	}
	liar.send(0, label(message(t, kindAlive, alive{Incarnation: 1000, Node: "BEL/1", Addr: placeholder(demo, bel), Port: gossipPort, Meta: marshal(t, forged), Vsn: versions})))
	m.nodes[esp].counts(CauseSignature, before)

	// A statement that LBN has signed, for another address than its own in the roster.
	before = m.nodes[esp].members.Stats()
	liar.send(0, label(message(t, kindAlive, alive{Incarnation: 1000, Node: "LBN/1", Addr: placeholder(demo, lbn), Port: gossipPort, Meta: marshal(t, forged), Vsn: versions})))
	m.nodes[esp].counts(CauseAddress, before)

	m.nodes[esp].sees(bel, HintAlive)
	m.nodes[esp].sees(lbn, HintAlive)
	for _, b := range []identity.Bureau{bel, lbn} {
		if address, _ := m.nodes[esp].members.roster.address(b); address != addressOf(b) {
			t.Errorf("%s is at %q for ESP", b, address)
		}
	}
	if m.nodes[esp].rises(bel) != risen {
		t.Error("BEL was dead for a moment: a refused message had an effect")
	}
}

func TestUnknownBureauIsRefused(t *testing.T) {
	m := converged(t, bel, esp)
	for name, c := range map[string]struct {
		caller string
		want   codes.Code
	}{
		"a bureau that is not in the roster": {"BGR/1", codes.PermissionDenied},
		"an agency of a member":              {"spiffe://bel.demo.entente/agency/border-police/officer/jansen", codes.PermissionDenied},
		"nobody":                             {"", codes.Unauthenticated},
		"one in the node's own name":         {"ESP/1", codes.PermissionDenied},
	} {
		t.Run(name, func(t *testing.T) {
			l := m.lie(c.caller, esp)
			if got := status.Code(l.refusal()); got != c.want {
				t.Errorf("refused with %v, want %v", got, c.want)
			}
		})
	}

	// A member that vouches for it changes nothing.
	before := m.nodes[esp].members.Stats()
	stranger := m.add(bgr)
	statement, err := stranger.signer.MemberMeta(&gossipv1.MemberMeta{Name: "BGR/1", Address: addressOf(bgr), Sequence: 1, IssuedAt: time.Now().Unix()})
	if err != nil {
		t.Fatal(err)
	}
	m.lie("BEL/2", esp).send(packets, label(message(t, kindAlive, alive{Incarnation: 1, Node: "BGR/1", Addr: placeholder(demo, bgr), Port: gossipPort, Meta: marshal(t, statement), Vsn: versions})))
	m.nodes[esp].counts(CauseNotMember, before)
	if hint := m.nodes[esp].members.Hint(bgr); hint != "" {
		t.Errorf("ESP has the hint %q about BGR", hint)
	}

	// Nobody speaks to it either.
	if _, err := m.nodes[esp].members.carrier.connection(bgr, "dial"); err == nil || !strings.Contains(err.Error(), "not in the roster") {
		t.Errorf("ESP would dial BGR: %v", err)
	}
}

func TestWhoLeavesTheRosterIsForgotten(t *testing.T) {
	m := converged(t, bel, esp, lbn)
	m.install(func(roster []Member) []Member { return roster[:2] })
	for _, b := range []identity.Bureau{bel, esp} {
		m.nodes[b].sees(lbn, "")
		eventually(t, string(b)+" holds LBN for alive no more", func() bool { return !m.nodes[b].members.living.any(lbn) })
	}
	m.nodes[bel].sees(esp, HintAlive)
}

func TestIsolatedMemberRejoins(t *testing.T) {
	m := converged(t, bel, esp, lbn)
	m.isolate(bel)
	for _, b := range []identity.Bureau{esp, lbn} {
		eventually(t, string(b)+" holds BEL for dead", func() bool { return !m.nodes[b].members.living.any(bel) })
		// Forgotten: from here on memberlist by itself never looks for it again.
		m.nodes[b].sees(bel, "")
		m.nodes[bel].sees(b, "")
	}
	m.nodes[esp].sees(lbn, HintAlive)

	m.heal(bel)
	for _, b := range []identity.Bureau{esp, lbn} {
		m.nodes[b].sees(bel, HintAlive)
		m.nodes[bel].sees(b, HintAlive)
	}
}

func TestStartAndStop(t *testing.T) {
	m := newMesh(t, bel, esp)
	if got := status.Code(m.lie("BEL/1", esp).refusal()); got != codes.Unavailable {
		t.Errorf("before its start ESP refuses with %v, want Unavailable", got)
	}
	if hint := m.nodes[esp].members.Hint(bel); hint != "" {
		t.Errorf("before its start ESP has the hint %q", hint)
	}
	m.start(esp)
	if err := m.nodes[esp].members.Start(t.Context()); err == nil {
		t.Error("ESP was started twice")
	}
	waiting := m.lie("BEL/1", esp)
	waiting.send(packets, label(message(t, kindAck, struct{ SeqNo uint32 }{1})))
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.nodes[esp].members.Stop()
	}()
	m.nodes[esp].members.Stop()
	<-done
	if got := status.Code(waiting.refusal()); got != codes.Unavailable {
		t.Errorf("a stream that was open at the stop ends with %v, want Unavailable", got)
	}
	// What waits for its streams has nothing left to wait for.
	m.nodes[esp].server.GracefulStop()
	if err := m.nodes[esp].members.Start(t.Context()); err == nil {
		t.Error("ESP was started after its stop")
	}
	m.nodes[bel].members.Stop() // never started
}

package members

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/pki/identity"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
)

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// says is what memberlist shows of a member.
func says(t testing.TB, n *node, edit func(*gossipv1.MemberMeta)) *memberlist.Node {
	t.Helper()
	meta := &gossipv1.MemberMeta{Name: nodeName(n.bureau, "1"), Address: addressOf(n.bureau), Sequence: 10, RosterVersion: 1, IssuedAt: time.Now().Unix()}
	if edit != nil {
		edit(meta)
	}
	signed, err := n.signer.MemberMeta(meta)
	if err != nil {
		t.Fatal(err)
	}
	return &memberlist.Node{Name: meta.GetName(), Addr: placeholder(demo, n.bureau), Port: gossipPort, Meta: marshal(t, signed),
		PMin: 1, PMax: 5, PCur: 2}
}

func TestStatements(t *testing.T) {
	for name, c := range map[string]struct {
		first  func(*gossipv1.MemberMeta)                                             // edits what BEL said before; nil: as says has it
		second func(t *testing.T, m *mesh, genuine *memberlist.Node) *memberlist.Node // what is then heard
		want   Cause                                                                  // empty: accepted
	}{
		"the same again": {second: func(t *testing.T, m *mesh, n *memberlist.Node) *memberlist.Node { return n }},
		"a newer one": {second: func(t *testing.T, m *mesh, _ *memberlist.Node) *memberlist.Node {
			return says(t, m.nodes[bel], func(s *gossipv1.MemberMeta) { s.Sequence = 11 })
		}},
		"an older one": {want: CauseSequence, second: func(t *testing.T, m *mesh, _ *memberlist.Node) *memberlist.Node {
			return says(t, m.nodes[bel], func(s *gossipv1.MemberMeta) { s.Sequence = 9 })
		}},
		"another under the same number": {want: CauseSequence, second: func(t *testing.T, m *mesh, _ *memberlist.Node) *memberlist.Node {
			return says(t, m.nodes[bel], func(s *gossipv1.MemberMeta) { s.RosterVersion = 7 })
		}},
		"replayed from another address": {want: CauseAddress, second: func(t *testing.T, m *mesh, n *memberlist.Node) *memberlist.Node {
			moved := *n
			moved.Addr = net.IPv4(192, 0, 2, 66)
			return &moved
		}},
		"replayed from another port": {want: CauseAddress, second: func(t *testing.T, m *mesh, n *memberlist.Node) *memberlist.Node {
			moved := *n
			moved.Port = 7443
			return &moved
		}},
		"replayed under another replica's name": {want: CauseName, second: func(t *testing.T, m *mesh, n *memberlist.Node) *memberlist.Node {
			other := *n
			other.Name = "BEL/2"
			return &other
		}},
		"replayed under another bureau's name": {want: CauseSignature, second: func(t *testing.T, m *mesh, n *memberlist.Node) *memberlist.Node {
			other := *n
			other.Name, other.Addr = "LBN/1", placeholder(demo, lbn)
			return &other
		}},
		"for an address that is not the roster's": {want: CauseAddress, second: func(t *testing.T, m *mesh, _ *memberlist.Node) *memberlist.Node {
			return says(t, m.nodes[bel], func(s *gossipv1.MemberMeta) { s.Sequence, s.Address = 11, "192.0.2.66:7443" })
		}},
		"with one changed byte": {want: CauseSignature, second: func(t *testing.T, m *mesh, n *memberlist.Node) *memberlist.Node {
			changed := *n
			changed.Meta = append([]byte(nil), n.Meta...)
			changed.Meta[10] ^= 1
			return &changed
		}},
		"no statement": {want: CauseSignature, second: func(t *testing.T, m *mesh, n *memberlist.Node) *memberlist.Node {
			bare := *n
			bare.Meta = nil
			return &bare
		}},
		"not readable": {want: CauseMalformed, second: func(t *testing.T, m *mesh, n *memberlist.Node) *memberlist.Node {
			garbled := *n
			garbled.Meta = []byte{0xff, 0xff}
			return &garbled
		}},
		"too old": {want: CauseTime, second: func(t *testing.T, m *mesh, _ *memberlist.Node) *memberlist.Node {
			return says(t, m.nodes[bel], func(s *gossipv1.MemberMeta) {
				s.Sequence, s.IssuedAt = 11, time.Now().Add(-statementLife-time.Hour).Unix()
			})
		}},
		"of tomorrow": {want: CauseTime, second: func(t *testing.T, m *mesh, _ *memberlist.Node) *memberlist.Node {
			return says(t, m.nodes[bel], func(s *gossipv1.MemberMeta) {
				s.Sequence, s.IssuedAt = 11, time.Now().Add(24*time.Hour).Unix()
			})
		}},
		"protocol versions that nobody else speaks": {want: CauseVersion, second: func(t *testing.T, m *mesh, n *memberlist.Node) *memberlist.Node {
			odd := *n
			odd.PMin, odd.PMax, odd.PCur = 5, 5, 5
			return &odd
		}},
		"a name without a replica": {want: CauseMalformed, second: func(t *testing.T, m *mesh, n *memberlist.Node) *memberlist.Node {
			odd := *n
			odd.Name = "BEL"
			return &odd
		}},
		"a bureau that has left the roster": {want: CauseNotMember, second: func(t *testing.T, m *mesh, n *memberlist.Node) *memberlist.Node {
			m.install(func(roster []Member) []Member { return roster[1:] })
			return n
		}},
		"a key that the next roster does not list": {want: CauseSignature, second: func(t *testing.T, m *mesh, n *memberlist.Node) *memberlist.Node {
			m.install(func(roster []Member) []Member { return roster })
			m.mu.Lock()
			defer m.mu.Unlock()
			delete(m.keys, bel)
			return n
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMesh(t, bel, esp, lbn)
			heard := m.nodes[esp].members
			genuine := says(t, m.nodes[bel], c.first)
			if err := heard.said.NotifyAlive(genuine); err != nil {
				t.Fatalf("BEL's own statement is refused: %v", err)
			}
			err := heard.said.NotifyAlive(c.second(t, m, genuine))
			if (err != nil) != (c.want != "") {
				t.Fatalf("heard with %v, want %q", err, c.want)
			}
			if got := heard.Stats().Refused; c.want != "" && got[c.want] != 1 {
				t.Errorf("refused %v, want one for %s", got, c.want)
			}
		})
	}
}

// A bureau can sign names without end. Only so many may be alive, and only so many are remembered.
func TestReplicasAreBounded(t *testing.T) {
	m := newMesh(t, bel, esp)
	heard := m.nodes[esp].members
	hear := func(i int) error {
		n := says(t, m.nodes[bel], func(s *gossipv1.MemberMeta) { s.Name, s.Sequence = fmt.Sprintf("BEL/r%d", i), uint64(i+1) })
		err := heard.said.NotifyAlive(n)
		if err == nil {
			heard.living.NotifyJoin(n)
		}
		return err
	}
	for i := range maxReplicas {
		if err := hear(i); err != nil {
			t.Fatalf("replica %d: %v", i, err)
		}
	}
	if err := hear(maxReplicas); err == nil {
		t.Errorf("a replica more than %d is alive", maxReplicas)
	}
	if err := hear(0); err != nil {
		t.Errorf("one of those that are alive: %v", err)
	}
	for i := range 3 * maxRemembered {
		heard.living.NotifyLeave(&memberlist.Node{Name: fmt.Sprintf("BEL/r%d", i)})
		if err := hear(i + 1000); err != nil {
			t.Fatalf("replica %d, when others have gone: %v", i+1000, err)
		}
		heard.living.NotifyLeave(&memberlist.Node{Name: fmt.Sprintf("BEL/r%d", i+1000)})
	}
	if n := len(heard.said.heard[bel]); n > maxRemembered {
		t.Errorf("%d statements are remembered, at most %d", n, maxRemembered)
	}
}

func TestOwnStatement(t *testing.T) {
	m := newMesh(t, bel)
	g := m.nodes[bel].members
	read := func() *gossipv1.MemberMeta {
		b := g.said.NodeMeta(memberlist.MetaMaxSize)
		signed, err := unmarshalSigned(b)
		if err != nil {
			t.Fatal(err)
		}
		meta, err := g.cfg.Verify(signed, bel)
		if err != nil {
			t.Fatal(err)
		}
		return meta
	}
	first := read()
	if first.GetName() != "BEL/1" || first.GetAddress() != addressOf(bel) || first.GetRosterVersion() != 1 {
		t.Errorf("BEL says %v", first)
	}
	// Many in one millisecond, and a clock that goes back: the number rises all the same.
	last := first.GetSequence()
	g.said.cfg.Now = func() time.Time { return time.Unix(1, 0) }
	for range 10 {
		next := read().GetSequence()
		if next <= last {
			t.Fatalf("sequence %d after %d", next, last)
		}
		last = next
	}
	g.said.cfg.Now = time.Now
	// A signer that fails does not stop the node: the last statement stands.
	before := read().GetSequence()
	sign := g.said.cfg.Sign
	g.said.cfg.Sign = func(*gossipv1.MemberMeta) (*gossipv1.SignedMeta, error) {
		return nil, errors.New("the signer is away")
	}
	if got := read().GetSequence(); got != before {
		t.Errorf("with the signer away the sequence is %d, want the last, %d", got, before)
	}
	g.said.cfg.Sign = sign
	if g.said.NodeMeta(10) != nil {
		t.Error("a statement longer than the limit would end the program")
	}
	if g.said.due() {
		t.Error("a statement just made is due again")
	}
	g.said.cfg.Now = func() time.Time { return time.Now().Add(restateEvery) }
	if !g.said.due() {
		t.Error("an old statement is not due")
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	m := newMesh(t, bel)
	for name, c := range map[string]struct {
		edit func(*Config)
		want string
	}{
		"nothing":      {func(c *Config) { *c = Config{} }, "Config.Verify is missing"},
		"no connector": {func(c *Config) { c.Conn = nil }, "Config.Conn is missing"},
		"bureau":       {func(c *Config) { c.Self = "Belgium" }, "bureau id"},
		"replica":      {func(c *Config) { c.Replica = "Eins/Zwei" }, "replica"},
		"long replica": {func(c *Config) { c.Replica = strings.Repeat("r", 62) }, "shorter name"},
		"address":      {func(c *Config) { c.Advertise = "bel.demo.entente" }, "host:port"},
		"long address": {func(c *Config) { c.Advertise = strings.Repeat("a", 400) + ":1" }, "address"},
		"no key": {func(c *Config) {
			c.Sign = func(*gossipv1.MemberMeta) (*gossipv1.SignedMeta, error) { return nil, errors.New("no key") }
		}, "no key"},
		"signer that says too much": {func(c *Config) {
			c.Sign = func(*gossipv1.MemberMeta) (*gossipv1.SignedMeta, error) {
				return &gossipv1.SignedMeta{Meta: make([]byte, 513)}, nil
			}
		}, "at most 512"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := m.config(m.nodes[bel])
			c.edit(&cfg)
			if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("New: %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestPlaceholderLeadsNowhere(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range []identity.Bureau{bel, esp, lbn, bgr} {
		ip := placeholder(demo, b)
		if !ip.IsPrivate() || ip.To4() != nil || seen[ip.String()] {
			t.Errorf("%s: %s is not a unique local address of its own", b, ip)
		}
		seen[ip.String()] = true
	}
	if placeholder("other.entente", bel).Equal(placeholder(demo, bel)) {
		t.Error("two federations share a placeholder")
	}
}

package members

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
)

func compound(parts ...[]byte) []byte {
	b := []byte{byte(kindCompound), byte(len(parts))}
	for _, p := range parts {
		b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
	}
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func checked(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{byte(kindCRC)}, crc32.ChecksumIEEE(b)), b...)
}

// inOrder is a message whose body is an array instead of a map, which memberlist reads as well.
func inOrder(t testing.TB, kind messageKind, fields ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteByte(byte(kind))
	if err := codec.NewEncoder(&b, &codec.MsgpackHandle{}).Encode(fields); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPacketsAreInspected(t *testing.T) {
	own := message(t, kindPing, ping{SeqNo: 1, Node: "ESP/1", SourceNode: "LBN/1"})
	stolen := message(t, kindPing, ping{SeqNo: 1, Node: "ESP/1", SourceNode: "BEL/1"})
	dead := message(t, kindDead, rumour{Incarnation: 1, Node: "BEL/1", From: "LBN/1"})
	for name, c := range map[string]struct {
		packet []byte
		deaths int
		err    bool
		sender bool // the error is of the claimed sender
	}{
		"a ping of its own":                     {packet: label(own)},
		"with a checksum":                       {packet: label(checked(own))},
		"in a compound":                         {packet: label(compound(own, dead, dead)), deaths: 2},
		"a suspicion":                           {packet: label(message(t, kindSuspect, rumour{Node: "BEL/1", From: "anybody"}))},
		"an acknowledgement":                    {packet: label(message(t, kindAck, struct{ SeqNo uint32 }{1}))},
		"a ping in another's name":              {packet: label(stolen), err: true, sender: true},
		"the same behind a checksum":            {packet: label(checked(stolen)), err: true, sender: true},
		"the same behind an honest one":         {packet: label(compound(own, stolen)), err: true, sender: true},
		"the same as an array":                  {packet: label(inOrder(t, kindPing, 1, "ESP/1", []byte{}, 1, "BEL/1")), err: true, sender: true},
		"its own as an array":                   {packet: label(inOrder(t, kindPing, 1, "ESP/1", []byte{}, 1, "LBN/1"))},
		"a ping in nobody's name":               {packet: label(message(t, kindPing, ping{Node: "ESP/1"})), err: true, sender: true},
		"an indirect ping in another's name":    {packet: label(message(t, kindIndirectPing, indirectPing{Node: "ESP/1", SourceNode: "BEL/1"})), err: true, sender: true},
		"an indirect ping of its own":           {packet: label(message(t, kindIndirectPing, indirectPing{Node: "BEL/1", SourceNode: "LBN/1", Nack: true}))},
		"of another federation":                 {packet: append([]byte{byte(kindLabel), 1, 'x'}, own...), err: true},
		"of no federation":                      {packet: own, err: true},
		"nothing":                               {packet: nil, err: true},
		"a label alone":                         {packet: label(nil), err: true},
		"a wrong checksum":                      {packet: label(append([]byte{byte(kindCRC), 0, 0, 0, 0}, own...)), err: true},
		"a compound in a compound":              {packet: label(compound(compound(own))), err: true},
		"a compound cut short":                  {packet: label(compound(own)[:8]), err: true},
		"an empty part":                         {packet: label(compound(nil)), err: true},
		"a user message":                        {packet: label([]byte{8, 1, 2, 3}), err: true},
		"a compressed message":                  {packet: label([]byte{9, 1, 2, 3}), err: true},
		"an encrypted message":                  {packet: label([]byte{10, 1, 2, 3}), err: true},
		"a dead message that cannot be read":    {packet: label([]byte{byte(kindDead), 0xc1}), deaths: 1, err: true},
		"a message of a kind that is not known": {packet: label([]byte{99}), err: true},
	} {
		t.Run(name, func(t *testing.T) {
			deaths, err := inspectPacket(string(demo), "LBN/1", c.packet)
			if (err != nil) != c.err || errors.Is(err, errClaimedSender) != c.sender {
				t.Fatalf("inspected with %v", err)
			}
			if err == nil && deaths != c.deaths {
				t.Errorf("%d deaths, want %d", deaths, c.deaths)
			}
		})
	}
}

func TestExchangesAreInspected(t *testing.T) {
	header := func(h pushPullHeader) []byte { return message(t, kindPushPull, h) }
	one := append(header(pushPullHeader{Nodes: 1}), message(t, 0, pushNodeState{Name: "BEL/1", State: stateDead})[1:]...)
	for name, c := range map[string]struct {
		stream []byte
		err    bool
	}{
		"a comparison":                        {stream: label(one)},
		"an empty comparison":                 {stream: label(header(pushPullHeader{}))},
		"a ping of its own":                   {stream: label(message(t, kindPing, ping{SourceNode: "LBN/1"}))},
		"a ping in another's name":            {stream: label(message(t, kindPing, ping{SourceNode: "BEL/1"})), err: true},
		"more states than come":               {stream: label(header(pushPullHeader{Nodes: 2})), err: true},
		"more states than a federation has":   {stream: label(header(pushPullHeader{Nodes: 1 << 20})), err: true},
		"fewer than none":                     {stream: label(header(pushPullHeader{Nodes: -1})), err: true},
		"a state of its own beside the nodes": {stream: label(header(pushPullHeader{UserStateLen: 1 << 20})), err: true},
		"an answer nobody asked for":          {stream: label(message(t, kindAck, struct{ SeqNo uint32 }{1})), err: true},
		"compressed":                          {stream: label([]byte{9, 0x80}), err: true},
		"another federation":                  {stream: append([]byte{byte(kindLabel), 1, 'x'}, one...), err: true},
		"no label":                            {stream: one, err: true},
		"a label cut short":                   {stream: label(nil)[:5], err: true},
		"nothing":                             {err: true},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := readRequest(bytes.NewReader(append(c.stream, "what comes after"...)), string(demo), "LBN/1")
			if len(c.stream) < 8 { // what comes after would be what comes
				e, err = readRequest(bytes.NewReader(c.stream), string(demo), "LBN/1")
			}
			if (err != nil) != c.err {
				t.Fatalf("read with %v", err)
			}
			if err == nil && !bytes.Equal(e.raw, c.stream) {
				t.Errorf("memberlist would be handed %d bytes, want the message's %d", len(e.raw), len(c.stream))
			}
		})
	}

	// However much comes, so much is read.
	endless := io.MultiReader(bytes.NewReader(label(header(pushPullHeader{Nodes: 4096}))), repeat(message(t, 0, pushNodeState{Name: "BEL/1", Meta: make([]byte, 4096)})[1:]))
	if _, err := readRequest(endless, string(demo), "LBN/1"); err == nil {
		t.Error("a comparison larger than the bound was read")
	}
}

type repeat []byte

func (r repeat) Read(p []byte) (int, error) { return copy(p, r), nil }

func TestStreamsAreBounded(t *testing.T) {
	m := converged(t, bel, esp)
	tooLarge := m.lie("BEL/2", esp)
	tooLarge.send(packets, make([]byte, maxFrame+1))
	if got := status.Code(tooLarge.refusal()); got != codes.ResourceExhausted {
		t.Errorf("a frame above the bound: %v, want ResourceExhausted", got)
	}
	if m.nodes[esp].members.Stats().Refused[CauseTooLarge] != 1 {
		t.Errorf("refused %v", m.nodes[esp].members.Stats().Refused)
	}
	unsaid := m.lie("BEL/2", esp)
	unsaid.send(gossipv1.GossipKind_GOSSIP_KIND_UNSPECIFIED, label(nil))
	if got := status.Code(unsaid.refusal()); got != codes.InvalidArgument {
		t.Errorf("a stream of no kind: %v, want InvalidArgument", got)
	}
	garbled := m.lie("BEL/2", esp)
	garbled.send(gossipv1.GossipKind_GOSSIP_KIND_STREAM, []byte("garbled"))
	if err := garbled.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if got := status.Code(garbled.refusal()); got != codes.InvalidArgument {
		t.Errorf("a stream that cannot be read: %v, want InvalidArgument", got)
	}

	// A packet in another's name is dropped; the stream, and who is named, stand.
	before := m.nodes[esp].members.Stats()
	l := m.lie("BEL/2", esp)
	l.send(packets, label(message(t, kindPing, ping{SeqNo: 1, Node: "ESP/1", SourceNode: "BEL/1"})))
	m.nodes[esp].counts(CauseClaimedSender, before)
	before = m.nodes[esp].members.Stats()
	l.send(0, label([]byte{9, 1, 2, 3}))
	m.nodes[esp].counts(CauseMalformed, before)
	m.nodes[esp].sees(bel, HintAlive)
}

func TestOneBureauCannotHoldStreamsWithoutEnd(t *testing.T) {
	m := newMesh(t, bel, esp)
	m.start(esp)
	// Which of so many and one comes last is not known. One is refused; the others stand.
	refused := make(chan error, maxStreams+1)
	for range maxStreams + 1 {
		l := m.lie("BEL/2", esp)
		l.send(packets, label(message(t, kindAck, struct{ SeqNo uint32 }{1})))
		go func() { refused <- l.refusal() }()
	}
	if got := status.Code(<-refused); got != codes.ResourceExhausted {
		t.Errorf("a stream more than a bureau may have: %v, want ResourceExhausted", got)
	}
	select {
	case err := <-refused:
		t.Errorf("another stream was ended as well: %v", err)
	default:
	}
}

func FuzzInspectPacket(f *testing.F) {
	own := message(f, kindPing, ping{SeqNo: 1, Node: "ESP/1", SourceNode: "LBN/1"})
	f.Add(label(own))
	f.Add(label(checked(compound(own, own))))
	f.Add(label(message(f, kindDead, rumour{Incarnation: 1, Node: "BEL/1", From: "LBN/1"})))
	f.Add(label(inOrder(f, kindIndirectPing, 1, []byte{1}, 2, "BEL/1", true, []byte{}, 1, "LBN/1")))
	f.Fuzz(func(t *testing.T, b []byte) {
		deaths, err := inspectPacket(string(demo), "LBN/1", b)
		if err == nil && (deaths < 0 || deaths > 255) {
			t.Errorf("%d deaths in one packet", deaths)
		}
	})
}

func FuzzReadExchange(f *testing.F) {
	one := append(message(f, kindPushPull, pushPullHeader{Nodes: 1}), message(f, 0, pushNodeState{Name: "BEL/1", Meta: []byte("meta"), State: stateLeft})[1:]...)
	f.Add(label(one))
	f.Add(label(message(f, kindPing, ping{SourceNode: "LBN/1"})))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := readRequest(bytes.NewReader(b), string(demo), "LBN/1")
		if err == nil && (!bytes.HasPrefix(b, e.raw) || e.deaths() > len(e.states)) {
			t.Errorf("read %+v, which is not what came", e)
		}
		_, _ = readReply(bytes.NewReader(b))
	})
}

package members

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// memberlist's wire format, as far as it must be read to know who says what. Numbers and structs
// are those of memberlist v0.7.0, net.go, to the last field and its place: a message may come as
// a map or as an array, and what is inspected must be what memberlist will read.

// messageKind is the first byte of a message.
type messageKind byte

const (
	kindPing         messageKind = 0
	kindIndirectPing messageKind = 1
	kindAck          messageKind = 2
	kindSuspect      messageKind = 3
	kindAlive        messageKind = 4
	kindDead         messageKind = 5
	kindPushPull     messageKind = 6
	kindCompound     messageKind = 7
	kindNack         messageKind = 11
	kindCRC          messageKind = 12
	kindErr          messageKind = 13
	kindLabel        messageKind = 244
)

const (
	// packetSize is how much memberlist puts into a packet.
	packetSize = 8192
	// maxFrame is the largest frame of a gossip stream, either way.
	maxFrame = 64 << 10
	// maxExchange is the largest comparison of all states: 512 bureaus with four replicas each
	// stay well below it.
	maxExchange = 2 << 20
	// maxStates is how many states a comparison may announce. memberlist makes room for as many
	// as the header says before it has read one.
	maxStates = 4096
)

type ping struct {
	SeqNo      uint32
	Node       string
	SourceAddr []byte `codec:",omitempty"`
	SourcePort uint16 `codec:",omitempty"`
	SourceNode string `codec:",omitempty"`
}

type indirectPing struct {
	SeqNo      uint32
	Target     []byte
	Port       uint16
	Node       string
	Nack       bool
	SourceAddr []byte `codec:",omitempty"`
	SourcePort uint16 `codec:",omitempty"`
	SourceNode string `codec:",omitempty"`
}

// rumour is memberlist's suspect and dead.
type rumour struct {
	Incarnation uint32
	Node        string
	From        string
}

type pushPullHeader struct {
	Nodes        int
	UserStateLen int
	Join         bool
}

// memberState is memberlist's NodeStateType.
type memberState int

const (
	stateAlive memberState = iota
	stateSuspect
	stateDead
	stateLeft
)

type pushNodeState struct {
	Name        string
	Addr        []byte
	Port        uint16
	Meta        []byte
	Incarnation uint32
	State       memberState
	Vsn         []uint8
}

func decodeMessage(b []byte, into any) error {
	if err := codec.NewDecoderBytes(b, &codec.MsgpackHandle{}).Decode(into); err != nil {
		return errors.New("the message cannot be read")
	}
	return nil
}

// errClaimedSender is the error of a packet that says it comes from somebody else.
var errClaimedSender = errors.New("the packet claims another sender than the connection's")

// inspectPacket reads a packet that came from a peer, and returns how many members it calls dead.
// An error means that memberlist must not see it.
func inspectPacket(label, from string, b []byte) (deaths int, err error) {
	b, err = cutLabel(label, b)
	if err != nil {
		return 0, err
	}
	if len(b) >= 5 && messageKind(b[0]) == kindCRC {
		if crc32.ChecksumIEEE(b[5:]) != binary.BigEndian.Uint32(b[1:5]) {
			return 0, errors.New("the checksum is wrong")
		}
		b = b[5:]
	}
	if len(b) == 0 {
		return 0, errors.New("the packet is empty")
	}
	if messageKind(b[0]) != kindCompound {
		return inspectMessage(from, b)
	}
	parts, err := cutCompound(b[1:])
	if err != nil {
		return 0, err
	}
	for _, part := range parts {
		n, err := inspectMessage(from, part)
		if err != nil {
			return 0, err
		}
		deaths += n
	}
	return deaths, nil
}

// inspectMessage reads one message. Kinds that this house does not send (user messages,
// compressed and encrypted ones, a compound in a compound) are refused.
func inspectMessage(from string, b []byte) (deaths int, err error) {
	if len(b) == 0 {
		return 0, errors.New("a message is empty")
	}
	switch kind, body := messageKind(b[0]), b[1:]; kind {
	case kindPing:
		var p ping
		return 0, errors.Join(decodeMessage(body, &p), sentBy(p.SourceNode, from))
	case kindIndirectPing:
		var p indirectPing
		return 0, errors.Join(decodeMessage(body, &p), sentBy(p.SourceNode, from))
	case kindSuspect:
		var r rumour
		return 0, decodeMessage(body, &r)
	case kindDead:
		var r rumour
		return 1, decodeMessage(body, &r)
	case kindAck, kindNack, kindAlive:
		return 0, nil
	default:
		return 0, fmt.Errorf("messages of kind %d are not spoken here", kind)
	}
}

func sentBy(claimed, from string) error {
	if claimed != from {
		return errClaimedSender
	}
	return nil
}

func cutLabel(label string, b []byte) ([]byte, error) {
	if len(b) < 2 || messageKind(b[0]) != kindLabel || len(b) < 2+int(b[1]) || string(b[2:2+int(b[1])]) != label {
		return nil, errors.New("the frame is of another federation")
	}
	return b[2+len(label):], nil
}

func cutCompound(b []byte) ([][]byte, error) {
	if len(b) == 0 || len(b) < 1+2*int(b[0]) {
		return nil, errors.New("a compound message is cut short")
	}
	n := int(b[0])
	lengths, rest := b[1:1+2*n], b[1+2*n:]
	parts := make([][]byte, 0, n)
	for i := range n {
		size := int(binary.BigEndian.Uint16(lengths[2*i:]))
		if size > len(rest) {
			return nil, errors.New("a compound message is cut short")
		}
		parts, rest = append(parts, rest[:size]), rest[size:]
	}
	return parts, nil
}

// exchange is what a stream carried: one message, read to its end.
type exchange struct {
	raw    []byte // as it came, for memberlist
	kind   messageKind
	states []pushNodeState
}

// deaths is how many members the exchange calls dead or gone.
func (e *exchange) deaths() int {
	n := 0
	for _, s := range e.states {
		if s.State == stateDead || s.State == stateLeft {
			n++
		}
	}
	return n
}

// readRequest reads the one message of a stream that a peer has opened.
func readRequest(r io.Reader, label, from string) (*exchange, error) {
	var raw bytes.Buffer
	in := bufio.NewReader(io.TeeReader(io.LimitReader(r, maxExchange), &raw))
	head, err := in.Peek(2)
	if err == nil {
		head, err = in.Peek(2 + int(head[1]))
	}
	if err != nil {
		return nil, fmt.Errorf("the stream ends in its label: %w", err)
	}
	if _, err := cutLabel(label, head); err != nil {
		return nil, err
	}
	if _, err := in.Discard(len(head)); err != nil {
		return nil, err
	}
	return readMessage(in, &raw, from, kindPushPull, kindPing)
}

// readReply reads the one message of an answer. It has no label.
func readReply(r io.Reader) (*exchange, error) {
	var raw bytes.Buffer
	in := bufio.NewReader(io.TeeReader(io.LimitReader(r, maxExchange), &raw))
	return readMessage(in, &raw, "", kindPushPull, kindAck, kindErr)
}

// readMessage reads a message to its end, so that memberlist is handed nothing that was not read
// before. raw is what in has consumed from its source.
func readMessage(in *bufio.Reader, raw *bytes.Buffer, from string, expected ...messageKind) (*exchange, error) {
	first, err := in.ReadByte()
	if err != nil {
		return nil, fmt.Errorf("the stream ends before it says anything: %w", err)
	}
	e := &exchange{kind: messageKind(first)}
	if !slices.Contains(expected, e.kind) {
		return nil, fmt.Errorf("messages of kind %d are not spoken here", e.kind)
	}
	decoder := codec.NewDecoder(in, &codec.MsgpackHandle{})
	switch e.kind {
	case kindPushPull:
		err = e.readStates(decoder)
	case kindPing:
		var p ping
		if err = decoder.Decode(&p); err == nil {
			err = sentBy(p.SourceNode, from)
		}
	case kindAck:
		var ack struct {
			SeqNo   uint32
			Payload []byte
		}
		err = decoder.Decode(&ack)
	case kindErr:
		var refusal struct{ Error string }
		err = decoder.Decode(&refusal)
	}
	if err != nil {
		return nil, err
	}
	e.raw = raw.Bytes()[:raw.Len()-in.Buffered()]
	return e, nil
}

func (e *exchange) readStates(decoder *codec.Decoder) error {
	var header pushPullHeader
	if err := decoder.Decode(&header); err != nil {
		return err
	}
	if header.Nodes < 0 || header.Nodes > maxStates || header.UserStateLen != 0 {
		return fmt.Errorf("the comparison announces %d states and %d bytes beside them: at most %d and none", header.Nodes, header.UserStateLen, maxStates)
	}
	for range header.Nodes {
		var s pushNodeState
		if err := decoder.Decode(&s); err != nil {
			return err
		}
		e.states = append(e.states, s)
	}
	return nil
}

// askForStates is a comparison that brings nothing: its answer is all that the other side knows.
func askForStates(label string) ([]byte, error) {
	b := bytes.NewBuffer([]byte{byte(kindLabel), byte(len(label))})
	b.WriteString(label)
	b.WriteByte(byte(kindPushPull))
	if err := codec.NewEncoder(b, &codec.MsgpackHandle{}).Encode(&pushPullHeader{}); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

package meshtest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Answers are a server.Answerer that says what a function says, and keeps its books in a Memory.
type Answers struct {
	Memory *Memory
	Say    func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error)
}

// Answer implements server.Answerer.
func (a Answers) Answer(ctx context.Context, asked server.Asked) (server.Reply, error) {
	given, err := a.Say(ctx, asked.From, asked.Ask)
	if err != nil {
		return server.Reply{}, err
	}
	return server.Reply{Answer: given, Commit: func(_ context.Context, signed *signedv1.Signed, _ time.Time) error {
		return a.Memory.commit(string(asked.From.Bureau), asked.Ask.GetAskId(), asked.Digest, signed)
	}}, nil
}

// Again implements server.Answerer.
func (a Answers) Again(_ context.Context, asked server.Asked) error {
	return a.Memory.note("again " + asked.Ask.GetAskId())
}

// Unanswered implements server.Answerer.
func (a Answers) Unanswered(_ context.Context, _ server.Asked, code codes.Code, reason fault.Reason) error {
	return a.Memory.note(code.String() + " " + string(reason))
}

// Memory is a memory of asks, and their books, that last as long as the test.
type Memory struct {
	mu     sync.Mutex
	asks   map[string][2][]byte
	noted  []string
	fail   error
	Commit int // how many were committed; read it when the node is quiet
}

// Fail makes every later call fail, until it is given nil.
func (m *Memory) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// Noted returns what was booked besides answers: "again ID", and the code and reason of what was
// not answered.
func (m *Memory) Noted() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.noted)
}

func (m *Memory) note(what string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail == nil {
		m.noted = append(m.noted, what)
	}
	return m.fail
}

// RecallAsk implements server.Memory.
func (m *Memory) RecallAsk(_ context.Context, asker, askID string) (digest, answer []byte, found bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept, found := m.asks[asker+"/"+askID]
	return kept[0], kept[1], found, m.fail
}

func (m *Memory) commit(asker, askID string, digest []byte, answer *signedv1.Signed) error {
	kept, err := proto.Marshal(answer)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.asks == nil {
		m.asks = make(map[string][2][]byte)
	}
	id := asker + "/" + askID
	if _, found := m.asks[id]; found {
		return errors.New("answered before")
	}
	m.asks[id] = [2][]byte{slices.Clone(digest), kept}
	m.Commit++
	return nil
}

// Seen is a checkpoint that a Witness was shown.
type Seen struct {
	From       identity.Bureau
	Checkpoint string
	Carrier    *signedv1.Signed
	At         time.Time
}

// Witness is a witness that remembers what it was shown.
type Witness struct {
	mu     sync.Mutex
	newest []byte
	seen   []Seen
}

// Publish sets the own newest checkpoint.
func (w *Witness) Publish(checkpoint string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.newest = []byte(checkpoint)
}

// Newest implements server.Witness and ask.Witness.
func (w *Witness) Newest() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.newest
}

// Saw implements server.Witness and ask.Witness.
func (w *Witness) Saw(from identity.Bureau, checkpoint []byte, carrier *signedv1.Signed, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, Seen{from, string(checkpoint), carrier, at})
}

// Seen returns what it was shown, in order.
func (w *Witness) Seen() []Seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

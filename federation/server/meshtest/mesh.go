package meshtest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Federation is the name of the federation of every mesh.
const Federation identity.Federation = "test.entente"

// Mesh is a federation in memory.
type Mesh struct {
	Net *Network

	mu   sync.Mutex
	keys map[identity.Bureau]ed25519.PrivateKey
}

// New returns a mesh without bureaus.
func New() *Mesh {
	return &Mesh{Net: NewNetwork(), keys: make(map[identity.Bureau]ed25519.PrivateKey)}
}

// Key implements signing.Keys: every bureau that was named has one key.
func (m *Mesh) Key(b identity.Bureau, keyID string, usage rosterv1.KeyUsage, _ time.Time) (signing.PublicKey, error) {
	public := m.Signer(b).PublicKey()
	if public.Usage != usage || public.ID() != keyID {
		return signing.PublicKey{}, fmt.Errorf("%s has no such key", b)
	}
	return public, nil
}

// Signer returns the signer of a bureau.
func (m *Mesh) Signer(b identity.Bureau) *signing.Signer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys[b] == nil {
		// Keys that follow from the name make every run the same.
		m.keys[b] = ed25519.NewKeyFromSeed(bytes.Repeat([]byte(b), ed25519.SeedSize)[:ed25519.SeedSize])
	}
	return signing.NewSigner(Federation, b, m.keys[b])
}

// Verifier returns the verifier that every bureau has.
func (m *Mesh) Verifier() *signing.Verifier { return signing.NewVerifier(Federation, m, nil) }

// Address is where a bureau listens.
func Address(b identity.Bureau) string { return strings.ToLower(string(b)) + ".test:4040" }

// DialOptions returns a bureau's options to dial a peer, as federation/peers takes them.
func (m *Mesh) DialOptions(self identity.Bureau) func(identity.Bureau) []grpc.DialOption {
	return func(to identity.Bureau) []grpc.DialOption {
		return []grpc.DialOption{grpc.WithTransportCredentials(Credentials{Self: identity.Node(Federation, self, "1"), Peer: to})}
	}
}

// Identity reads the caller from the connection, as the product's own function does from TLS.
func Identity(ctx context.Context) (identity.Identity, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return identity.Identity{}, errors.New("no peer")
	}
	info, ok := p.AuthInfo.(AuthInfo)
	if !ok {
		return identity.Identity{}, errors.New("no identity")
	}
	return info.Identity, nil
}

// Bureau is a bureau of the mesh whose node serves.
type Bureau struct {
	ID     identity.Bureau
	Memory *Memory
	Offers *Offers
	Config server.Config // as it was started; Start takes changes over

	mesh *Mesh
	mu   sync.Mutex
	// answer and offset are guarded by mu: tests change them while the node serves.
	answer func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error)
	offset time.Duration

	server *server.Server
	served chan error
}

// Join adds a bureau and starts its node. It is stopped when the test ends, unless Stop was
// called: inside a synctest bubble, it must be.
func (m *Mesh) Join(t testing.TB, id identity.Bureau) *Bureau {
	t.Helper()
	b := &Bureau{ID: id, Memory: &Memory{}, Offers: NewOffers(), mesh: m, answer: NoHit}
	b.Config = server.Config{
		Self:     id,
		Creds:    Credentials{Self: identity.Node(Federation, id, "1")},
		Identity: Identity,
		Verifier: m.Verifier(),
		Signer:   m.Signer(id),
		Answerer: b,
		Offerer:  b.Offers,
		Memory:   b.Memory,
		Rosters:  &Rosters{},
		Now:      b.Now,
	}
	b.Start(t)
	return b
}

// Start starts the node, again after Kill.
func (b *Bureau) Start(t testing.TB) {
	t.Helper()
	s, err := server.New(b.Config)
	if err != nil {
		t.Fatalf("start the node of %s: %v", b.ID, err)
	}
	listener := b.mesh.Net.Listen(Address(b.ID))
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	b.server, b.served = s, served
}

// Stop stops the node in order.
func (b *Bureau) Stop(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	b.server.Stop(ctx)
	if err := <-b.served; err != nil {
		t.Errorf("the node of %s: %v", b.ID, err)
	}
}

// Kill ends the node at once, as kill -9 does.
func (b *Bureau) Kill(t testing.TB) {
	t.Helper()
	b.mesh.Net.Kill(Address(b.ID))
	b.server.GRPC().Stop()
	<-b.served
}

// Now is the bureau's clock.
func (b *Bureau) Now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Add(b.offset)
}

// SetClock puts the bureau's clock forward or back.
func (b *Bureau) SetClock(offset time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.offset = offset
}

// Answers sets what the bureau answers.
func (b *Bureau) Answers(answer func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

// Answer implements server.Answerer.
func (b *Bureau) Answer(ctx context.Context, asked server.Asked) (server.Reply, error) {
	b.mu.Lock()
	answer := b.answer
	b.mu.Unlock()
	return Answers{b.Memory, answer}.Answer(ctx, asked)
}

// Again implements server.Answerer.
func (b *Bureau) Again(ctx context.Context, asked server.Asked) error {
	return Answers{Memory: b.Memory}.Again(ctx, asked)
}

// Unanswered implements server.Answerer.
func (b *Bureau) Unanswered(ctx context.Context, asked server.Asked, code codes.Code, reason fault.Reason) error {
	return Answers{Memory: b.Memory}.Unanswered(ctx, asked, code, reason)
}

// asked returns the collections of an ask.
func asked(ask *queryv1.Ask) []string {
	var names []string
	if ask.GetDocument() != nil {
		names = append(names, "documents")
	}
	if ask.GetPerson() != nil {
		names = append(names, "persons")
	}
	return names
}

// Every answers every collection that is asked with one status.
func Every(status queryv1.Status, hits ...*hitv1.Hit) func(context.Context, identity.Identity, *queryv1.Ask) (*queryv1.Answer, error) {
	return func(_ context.Context, _ identity.Identity, ask *queryv1.Ask) (*queryv1.Answer, error) {
		answer := &queryv1.Answer{}
		for _, name := range asked(ask) {
			c := &queryv1.CollectionAnswer{Collection: name, Status: status}
			for _, h := range hits {
				if h.GetCollection() == name {
					c.Hits = append(c.Hits, h)
				}
			}
			if status == queryv1.Status_STATUS_HIT && len(c.Hits) == 0 {
				c.Status = queryv1.Status_STATUS_NO_HIT
			}
			answer.Results = append(answer.Results, c)
		}
		return answer, nil
	}
}

// NoHit answers every collection that is asked with no hit.
func NoHit(ctx context.Context, from identity.Identity, ask *queryv1.Ask) (*queryv1.Answer, error) {
	return Every(queryv1.Status_STATUS_NO_HIT)(ctx, from, ask)
}

// Stolen is a hit of a bureau that says that a document is stolen.
func Stolen(owner identity.Bureau, issuer string) *hitv1.Hit {
	return &hitv1.Hit{
		Bureau: string(owner), Collection: "documents", RecordId: "doc-1",
		Kind: hitv1.HitKind_HIT_KIND_DOCUMENT, Band: hitv1.Band_BAND_EXACT,
		DocumentStatus: recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN, Issuer: issuer,
		Explanation: "number and issuer are the same",
	}
}

// Wanted is a hit of a bureau on a person.
func Wanted(owner identity.Bureau) *hitv1.Hit {
	return &hitv1.Hit{
		Bureau: string(owner), Collection: "persons", RecordId: "per-1",
		Kind: hitv1.HitKind_HIT_KIND_PERSON, Band: hitv1.Band_BAND_STRONG,
		Explanation: "name and birth date agree",
	}
}

// Offers are what a bureau offers to everybody.
type Offers struct {
	mu          sync.Mutex
	offer       *queryv1.Offer
	subscribers map[chan struct{}]struct{}
}

// NewOffers returns an offer of documents for border control.
func NewOffers() *Offers {
	return &Offers{subscribers: make(map[chan struct{}]struct{}), offer: &queryv1.Offer{
		RosterVersion: 1,
		Collections: []*queryv1.CollectionOffer{{
			Collection: "documents", Mode: queryv1.SharingMode_SHARING_MODE_ASK,
			Purposes: []recordv1.Purpose{recordv1.Purpose_PURPOSE_BORDER_CONTROL},
		}},
	}}
}

// Set changes what is offered.
func (o *Offers) Set(offer *queryv1.Offer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.offer = offer
	for c := range o.subscribers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Offer implements server.Offerer.
func (o *Offers) Offer(identity.Bureau) *queryv1.Offer {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.offer
}

// Changes implements server.Offerer.
func (o *Offers) Changes() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.subscribers[c] = struct{}{}
	return c, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.subscribers, c)
	}
}

// Rosters is a history of rosters in memory.
type Rosters struct {
	mu      sync.Mutex
	Signed  []*signedv1.Signed // Signed[i] is version i+1
	Refusal error              // of every proposal
}

// History implements server.Rosters.
func (r *Rosters) History(after uint64) []*signedv1.Signed {
	r.mu.Lock()
	defer r.mu.Unlock()
	if after >= uint64(len(r.Signed)) {
		return nil
	}
	return slices.Clone(r.Signed[after:])
}

// Propose implements server.Rosters.
func (r *Rosters) Propose(s *signedv1.Signed) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Refusal != nil {
		return 0, r.Refusal
	}
	r.Signed = append(r.Signed, s)
	return uint64(len(r.Signed)), nil
}

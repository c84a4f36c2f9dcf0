package nodetest

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/federation/server/meshtest"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	"github.com/entente-mesh/entente/pki/signing"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Answers is a function that answers asks, as a server.Answerer.
type Answers func(context.Context, *queryv1.Ask) (*queryv1.Answer, error)

// Answer implements server.Answerer. An impostor keeps no books.
func (f Answers) Answer(ctx context.Context, asked server.Asked) (server.Reply, error) {
	answer, err := f(ctx, asked.Ask)
	return server.Reply{Answer: answer, Commit: func(context.Context, *signedv1.Signed, time.Time) error { return nil }}, err
}

// Again implements server.Answerer.
func (Answers) Again(context.Context, server.Asked) error { return nil }

// Unanswered implements server.Answerer.
func (Answers) Unanswered(context.Context, server.Asked, codes.Code, fault.Reason) error { return nil }

// Impersonate puts a mesh listener in the place of the bureau's node, which is stopped: with the
// bureau's true certificate and key, and whatever else edit makes of it. It offers both
// collections to everybody for border control, and answers every question with no hit. It
// serves until the test ends or the function that is returned is called.
func (b *Bureau) Impersonate(edit func(*server.Config)) (stop func()) {
	b.t.Helper()
	b.Stop()
	book := b.Book()
	offers := meshtest.NewOffers()
	offers.Set(&queryv1.Offer{RosterVersion: book.Current().Version(), Collections: []*queryv1.CollectionOffer{
		{Collection: Documents, Mode: queryv1.SharingMode_SHARING_MODE_ASK, Purposes: []Purpose{Border}},
		{Collection: Persons, Mode: queryv1.SharingMode_SHARING_MODE_ASK, Purposes: []Purpose{Border}},
	}})
	cfg := server.Config{
		Self:      b.ID,
		Creds:     mtls.MeshServer(b.Leaf(), book, mtls.Options{Now: b.Clock.Now}),
		Admission: server.Admission{Unary: mtls.UnaryServerInterceptor(), Stream: mtls.StreamServerInterceptor()},
		Identity: func(ctx context.Context) (identity.Identity, error) {
			id, _ := mtls.FromContext(ctx)
			return id, nil
		},
		Verifier: signing.NewVerifier(Federation, book, b.Clock.Now),
		Signer:   b.Signer(),
		Answerer: Answers(func(ctx context.Context, ask *queryv1.Ask) (*queryv1.Answer, error) {
			return meshtest.NoHit(ctx, identity.Identity{}, ask)
		}),
		Offerer: offers,
		Memory:  &meshtest.Memory{},
		Rosters: &meshtest.Rosters{},
		Now:     b.Clock.Now,
		Logger:  b.Log.logger(),
	}
	if edit != nil {
		edit(&cfg)
	}
	srv, err := server.New(cfg)
	if err != nil {
		b.t.Fatalf("%s: impostor: %v", b.ID, err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatalf("%s: impostor: %v", b.ID, err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	b.Tap.Join(listener.Addr().String())
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		b.Tap.Cut()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		srv.Stop(ctx)
		if err := <-served; err != nil {
			b.t.Errorf("%s: impostor: %v", b.ID, err)
		}
	}
	b.t.Cleanup(stop)
	return stop
}

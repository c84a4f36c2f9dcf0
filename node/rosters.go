package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/api"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/roster"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

const (
	// fetchTimeout bounds the fetching of a newer roster.
	fetchTimeout = 10 * time.Second
	// fetchPause is how long a bureau that announced a newer roster and did not come up with one
	// is not believed again.
	fetchPause = time.Minute
)

// rosters lets rosters travel: it takes them from peers, and serves them to peers. Where one
// comes from does not matter, for each is verified against the one before it.
type rosters struct {
	book *roster.Book
	log  *slog.Logger
	now  func() time.Time

	mu       sync.Mutex                    // guards what follows
	fetching map[identity.Bureau]time.Time // until when no further fetch from a bureau begins
}

func newRosters(book *roster.Book, log *slog.Logger, now func() time.Time) *rosters {
	return &rosters{book: book, log: log, now: now, fetching: map[identity.Bureau]time.Time{}}
}

func (r *rosters) version() uint64 {
	if v := r.book.Current(); v != nil {
		return v.Version()
	}
	return 0
}

// wanted tells whether a bureau's word of a newer roster is to be followed now: one fetch a
// bureau at a time, and a pause after each that brought nothing.
func (r *rosters) wanted(b identity.Bureau, offer *queryv1.Offer) bool {
	if offer.GetRosterVersion() <= r.version() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now().Before(r.fetching[b]) {
		return false
	}
	r.fetching[b] = r.now().Add(fetchTimeout + fetchPause)
	return true
}

// fetch takes over the rosters that follow the installed one.
func (r *rosters) fetch(ctx context.Context, conn grpc.ClientConnInterface, b identity.Bureau) error {
	resp, err := rosterv1.NewRosterServiceClient(conn).Get(ctx, &rosterv1.GetRequest{AfterVersion: r.version()})
	if err != nil {
		return err
	}
	if len(resp.GetRosters()) == 0 {
		return errors.New("it has none")
	}
	for _, signed := range resp.GetRosters() {
		if _, err := r.take(signed); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.fetching, b)
	return nil
}

// take installs a roster that a peer has handed over. Signatures first: the rest of it costs more
// than a peer may make this node spend.
func (r *rosters) take(signed *signedv1.Signed) (uint64, error) {
	current := r.book.Current()
	if current == nil {
		return 0, fault.New(codes.FailedPrecondition, fault.NoRoster, "", "no roster is installed here: the first one is installed by the bureau's own operator")
	}
	if err := current.Endorsed(signed); err != nil {
		return current.Version(), api.RosterFault(err)
	}
	view, err := r.book.Install(signed, roster.InstallOptions{})
	if err != nil {
		return r.version(), api.RosterFault(err)
	}
	return view.Version(), nil
}

// History implements server.Rosters.
func (r *rosters) History(after uint64) []*signedv1.Signed { return r.book.History(after) }

// Propose implements server.Rosters.
func (r *rosters) Propose(s *signedv1.Signed) (uint64, error) { return r.take(s) }

// described learns from a peer's offer that it has a newer roster, and fetches it.
func (n *Node) described(b identity.Bureau, offer *queryv1.Offer) {
	if !n.rosters.wanted(b, offer) {
		return
	}
	n.run(func() {
		ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
		defer cancel()
		err := n.pool.Do(ctx, b, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			return n.rosters.fetch(ctx, conn, b)
		})
		if err != nil {
			n.log.WarnContext(ctx, "a newer roster was announced and could not be taken over",
				slog.String("from", string(b)), slog.Any("error", err))
		}
	})
}

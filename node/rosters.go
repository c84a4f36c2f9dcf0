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
	"github.com/entente-mesh/entente/federation/peers"
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
	// is not asked again, doubled each time in a row up to maxFetchPause.
	fetchPause    = time.Second
	maxFetchPause = time.Minute
)

// rosters lets rosters travel: it takes them from peers, and serves them to peers. Where one
// comes from does not matter, for each is verified against the one before it.
type rosters struct {
	book *roster.Book
	log  *slog.Logger

	mu        sync.Mutex // guards announced
	announced map[identity.Bureau]*announcement
}

// announcement is a bureau's last word of which roster it has.
type announcement struct {
	version  uint64
	count    uint64 // of its words
	followed bool   // somebody fetches, or waits to fetch again
}

func newRosters(book *roster.Book, log *slog.Logger) *rosters {
	return &rosters{book: book, log: log, announced: map[identity.Bureau]*announcement{}}
}

func (r *rosters) version() uint64 {
	if v := r.book.Current(); v != nil {
		return v.Version()
	}
	return 0
}

// announce notes a bureau's word of its roster. It tells whether the caller is to follow it: the
// word is of a newer one, and nobody follows that bureau yet.
func (r *rosters) announce(b identity.Bureau, version uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.announced[b]
	if a == nil {
		a = &announcement{}
		r.announced[b] = a
	}
	a.version = version
	a.count++
	if a.followed || version <= r.version() {
		return false
	}
	a.followed = true
	return true
}

// behind tells whether the bureau still has a newer roster, and which word of it that is. If not,
// it is not followed any more: what it announces next finds nobody who follows.
func (r *rosters) behind(b identity.Bureau) (word uint64, still bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.announced[b]
	a.followed = a.version > r.version()
	return a.count, a.followed
}

// leave follows a bureau no longer, unless it has said something since that word.
func (r *rosters) leave(b identity.Bureau, word uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.announced[b]
	a.followed = a.count != word
	return !a.followed
}

// follow has the rosters fetched that a bureau has announced until it has no newer one, however it
// goes: others may bring the same one meanwhile, the bureau may announce another, or break off.
// One that cannot be reached is left, for its next connection begins with a new announcement.
// Whoever announces what it does not have is asked less and less often. end ends it.
func (r *rosters) follow(end <-chan struct{}, b identity.Bureau, fetch func(context.Context) error) {
	pause := time.Duration(0)
	for {
		word, still := r.behind(b)
		if !still {
			return
		}
		before := r.version()
		err := bounded(fetch)
		switch {
		case r.version() > before:
			pause = 0
			continue
		case errors.Is(err, peers.ErrUnreachable):
			if r.leave(b, word) {
				return
			}
		case err != nil:
			r.log.Warn("a newer roster was announced and could not be taken over",
				slog.String("from", string(b)), slog.Any("error", err))
		}
		pause = min(max(2*pause, fetchPause), maxFetchPause)
		select {
		case <-end:
			return
		case <-time.After(pause):
		}
	}
}

func bounded(fetch func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	return fetch(ctx)
}

// fetch takes over the rosters that follow the installed one.
func (r *rosters) fetch(ctx context.Context, conn grpc.ClientConnInterface) error {
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
	if !n.rosters.announce(b, offer.GetRosterVersion()) {
		return
	}
	n.run(func() {
		n.rosters.follow(n.ending, b, func(ctx context.Context) error { return n.pool.Do(ctx, b, n.rosters.fetch) })
	})
}

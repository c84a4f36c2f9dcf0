package screening

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/store"
	"github.com/entente-mesh/entente/pki/identity"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// Records is what holdings need of the store.
type Records interface {
	FindDocuments(ctx context.Context, l store.DocumentLookup) ([]*recordv1.Record, error)
	Changes(ctx context.Context, after int64, limit int, collections ...string) ([]store.Change, error)
}

// Holdings searches the own records: documents in the store by their keys, persons in an index
// in memory that follows the store by its change sequence.
type Holdings struct {
	self    identity.Bureau
	records Records
	persons atomic.Pointer[match.Persons] // replaced by the first Load
	setting sync.Mutex                    // the point is set, or the index taken up at the point that is
	now     func() time.Time
	logger  *slog.Logger
	decoy   *match.Decoy // a person whom nobody holds
	scored  atomic.Uint64

	poke    chan struct{}
	waiting queue
	loading sync.Mutex // one Load at a time: changes are taken over in their order
	begun   bool       // the index has been read once; guarded by loading
	seq     int64      // of the newest change in the index; guarded by loading
	// failing is since when the store cannot be followed, as UnixNano; 0: it can.
	failing atomic.Int64
	changed atomic.Int64 // changes since the index was saved

	saved *Saved // nil: the index is not saved
	state State
	// saving is held by who saves the index, before loading.
	saving   sync.Mutex
	savedAt  time.Time // when it was tried last; guarded by saving
	measured atomic.Pointer[measurement]
	// measuring is held by who measures the thresholds.
	measuring sync.Mutex
	each      int         // innocents of each region that are measured with; 0: match.Innocents
	hurry     atomic.Bool // somebody waits for what is measured
}

// NewHoldings returns holdings over the own records, with an empty index: call Load.
func NewHoldings(self identity.Bureau, records Records, now func() time.Time, logger *slog.Logger) *Holdings {
	if now == nil {
		now = time.Now
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	h := &Holdings{
		self: self, records: records, now: now, logger: logger,
		poke: make(chan struct{}, 1), decoy: match.NewDecoy(gate.DecoyPerson(self)),
	}
	h.persons.Store(match.NewPersons(match.Options{}))
	return h
}

// held is the index as it is now.
func (h *Holdings) held() *match.Persons { return h.persons.Load() }

// hold takes an index up, at the point that was set meanwhile.
func (h *Holdings) hold(persons *match.Persons, seq int64) {
	h.setting.Lock()
	defer h.setting.Unlock()
	persons.SetPoint(h.held().Point())
	h.persons.Store(persons)
	h.seq = seq
}

// Point is the operating point: where an officer is told of a person.
func (h *Holdings) Point() match.OperatingPoint { return h.held().Point() }

// SetPoint sets the operating point. It holds at once, by the thresholds that follow from it alone;
// those of the list itself are measured in the background.
func (h *Holdings) SetPoint(o match.OperatingPoint) {
	h.setting.Lock()
	defer h.setting.Unlock()
	h.held().SetPoint(o)
}

// SearchDocuments implements gate.Searcher.
func (h *Holdings) SearchDocuments(ctx context.Context, q *queryv1.DocumentQuery, depth gate.Depth) ([]gate.Found, error) {
	keys := match.DocumentKeys(q.GetNumber())
	var recs []*recordv1.Record
	if len(keys) > 0 {
		var err error
		if recs, err = h.lookUp(ctx, keys, depth); err != nil {
			return nil, err
		}
	}
	now := h.now()
	// What is found and is none after all (another issuer's, expired) is carried on as a decoy, as is
	// what is missing: which of them it was does not show in the work.
	var decoy match.Candidate
	if depth.Least > 0 {
		decoy, _ = match.ScoreDocument(q, h.decoyOf(q))
		h.scored.Add(1)
	}
	var found, untold []gate.Found
	for i := range max(len(recs), depth.Least) {
		rec := decoy.Record
		if i < len(recs) {
			rec = recs[i]
		}
		c, ok := match.ScoreDocument(q, rec)
		h.scored.Add(1)
		if !ok || i >= len(recs) || expired(rec, now) {
			if depth.Least > 0 {
				untold = append(untold, gate.Found{Record: decoy.Record, Hit: hitOf(h.self, decoy, now), Untold: true})
			}
			continue
		}
		found = append(found, gate.Found{Record: rec, Hit: hitOf(h.self, c, now)})
	}
	slices.SortStableFunc(found, func(a, b gate.Found) int {
		return cmp.Or(cmp.Compare(b.Hit.GetScore(), a.Hit.GetScore()), cmp.Compare(a.Record.GetRecordId(), b.Record.GetRecordId()))
	})
	found = found[:min(depth.Most, len(found))]
	return append(found, untold...), nil
}

// mostDocuments is how many documents one look-up returns at the most.
const mostDocuments = 1000

// lookUp finds the documents under some keys. At home more than one look-up takes are an error:
// some of them would pass for all. Abroad they are cut, for the error would tell that there are
// many, also to who may know of none; and as many bodies are read where there are none.
func (h *Holdings) lookUp(ctx context.Context, keys []string, depth gate.Depth) ([]*recordv1.Record, error) {
	l := store.DocumentLookup{Keys: keys}
	if depth.Least > 0 {
		l.Limit, l.Slots = min(depth.Most, mostDocuments), min(depth.Least, mostDocuments)
	}
	return h.records.FindDocuments(ctx, l)
}

// decoyOf is a document such as the one asked about, which nobody holds.
func (h *Holdings) decoyOf(q *queryv1.DocumentQuery) *recordv1.Record {
	rec := gate.DecoyDocument(h.self)
	d := rec.GetDocument()
	d.Number, d.Issuer = q.GetNumber(), cmp.Or(q.GetIssuer(), string(h.self))
	d.Type = cmp.Or(q.GetType(), d.GetType())
	return rec
}

// SearchPersons implements gate.Searcher.
func (h *Holdings) SearchPersons(_ context.Context, q *queryv1.PersonQuery, depth gate.Depth) ([]gate.Found, error) {
	if h.lags() {
		return nil, errors.New("the index of persons lags behind the store")
	}
	now := h.now()
	// All are looked at: those that have expired must not push others out.
	var candidates, decoys []match.Candidate
	if depth.Least > 0 {
		candidates, decoys = h.held().SearchEvenly(q, match.MaxHits, depth.Least, h.decoy)
	} else { // at home nothing is withheld
		candidates = h.held().Search(q, match.MaxHits)
	}
	found := make([]gate.Found, 0, len(candidates)+len(decoys))
	var untold []gate.Found
	for _, c := range candidates {
		if len(found) == depth.Most {
			break
		}
		switch gone := expired(c.Record, now); {
		case !gone:
			found = append(found, gate.Found{Record: c.Record, Hit: hitOf(h.self, c, now)})
		case depth.Least > 0:
			untold = append(untold, gate.Found{Record: c.Record, Hit: hitOf(h.self, c, now), Untold: true})
		}
	}
	for _, c := range decoys {
		untold = append(untold, gate.Found{Record: c.Record, Hit: hitOf(h.self, c, now), Untold: true})
	}
	h.scored.Add(uint64(len(candidates) + len(decoys)))
	return append(found, untold...), nil
}

// Scored is how many candidates were compared so far, decoys among them.
func (h *Holdings) Scored() uint64 { return h.scored.Load() }

// Opened is how many bodies of persons were opened so far, those of decoys among them.
func (h *Holdings) Opened() uint64 { return h.held().Opened() }

// Persons is how many persons the index holds.
func (h *Holdings) Persons() int { return h.held().Len() }

// expired tells whether a record may not be used any more, at home or abroad.
func expired(rec *recordv1.Record, now time.Time) bool {
	until := rec.GetStewardship().GetExpiresAt()
	return until != nil && !now.Before(until.AsTime())
}

// atHome is what the own records say of a check.
type atHome struct {
	hits   []*hitv1.Hit
	status *screeningv1.BureauStatus
}

// home looks into the own records. If they cannot be searched, there is no answer at all.
func (s *Screening) home(ctx context.Context, subject *subject) (atHome, error) {
	began := s.cfg.Now()
	out := atHome{status: &screeningv1.BureauStatus{
		Bureau:  string(s.cfg.Self),
		Status:  queryv1.Status_STATUS_NO_HIT,
		Settled: screeningv1.Settled_SETTLED_LOCAL,
	}}
	var found []gate.Found
	if d := subject.traveller.GetDocument(); d != nil {
		docs, err := s.cfg.Holdings.SearchDocuments(ctx, d, gate.Depth{Most: s.cfg.MaxCandidates})
		if err != nil {
			return out, s.unsearchable(ctx, err)
		}
		found = append(found, docs...)
		out.status.Collections = append(out.status.Collections, gate.Documents)
	}
	if p := subject.traveller.GetPerson(); p != nil {
		persons, err := s.cfg.Holdings.SearchPersons(ctx, p, gate.Depth{Most: s.cfg.MaxCandidates})
		if err != nil {
			return out, s.unsearchable(ctx, err)
		}
		found = append(found, s.cfg.Holdings.linked(p, found, persons)...)
		out.status.Collections = append(out.status.Collections, gate.Persons)
	}
	for _, f := range found {
		out.hits = append(out.hits, f.Hit)
	}
	if len(out.hits) > 0 {
		out.status.Status = queryv1.Status_STATUS_HIT
	}
	out.status.Elapsed = durationpb.New(s.cfg.Now().Sub(began))
	return out, nil
}

func (s *Screening) unsearchable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err() // the caller has gone, or has no time left
	}
	s.cfg.Logger.ErrorContext(ctx, "the own records cannot be searched", slog.Any("error", err))
	return fault.New(codes.Unavailable, fault.SearchFailed, "",
		"the node cannot search its own records now. Tell your operator, and check by other means meanwhile")
}

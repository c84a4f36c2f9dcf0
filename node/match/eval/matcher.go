package eval

import (
	"context"
	"iter"
	"runtime"
	"time"

	"github.com/entente-mesh/entente/node/match"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Matcher is this project's matcher, asked with so much evidence.
type Matcher struct {
	persons  *match.Persons
	evidence Evidence
}

// Size is what an index takes.
type Size struct {
	Names   int
	PerName float64 // bytes
	Load    time.Duration
}

// NewMatcher builds an index of persons as it reads them, with the bodies that it keeps, and says what
// it took. Load is the whole way from the file, reading included. The tables of names are not of the
// list: they are read before. It ends with the first error.
func NewMatcher(e Evidence, persons iter.Seq2[*Person, error]) (Matcher, Size, error) {
	for p := range Listed(listSeed, 1) {
		other := match.NewPersons(match.Options{})
		other.Put(p.ID, p.Record())
		other.Rank((&Query{Text: p.Primary}).Ask(NameOnly), 1)
	}
	before := alive()
	var failed error
	began := time.Now()
	index := match.BuildPersons(match.Options{}, func(yield func(*recordv1.Record) bool) {
		for p, err := range persons {
			if err != nil {
				failed = err
				return
			}
			if !yield(p.Record()) {
				return
			}
		}
	})
	took := time.Since(began)
	if failed != nil {
		return Matcher{}, Size{}, failed
	}
	s := Size{Names: index.Names(), Load: took}
	s.PerName = float64(alive()-before) / float64(max(1, s.Names))
	return Matcher{index, e}, s, nil
}

// With is the same index asked with other evidence.
func (m Matcher) With(e Evidence) Matcher { return Matcher{m.persons, e} }

// Search ranks the persons by their log-odds.
func (m Matcher) Search(q Query, most int) []Found {
	ranked := m.persons.Rank(q.Ask(m.evidence), most)
	found := make([]Found, 0, len(ranked))
	for _, r := range ranked {
		found = append(found, Found{ID: r.ID, Score: r.LogOdds})
	}
	return found
}

// Calibrate sets the thresholds of the default operating point for this list, as a node does; with no
// more names of each region than so many times those that are asked for afterwards. It ends with ctx.
func (m Matcher) Calibrate(ctx context.Context, asked int) error {
	const times = 10
	held := m.persons.Names()
	if held < match.LeastMeasured {
		return nil
	}
	return m.persons.Calibrate(ctx, match.Measure{Seed: calibrationSeed, Each: min(match.Innocents(held), times*asked), Workers: runtime.GOMAXPROCS(0)})
}

// Threshold is the score from which on an officer is told.
func (m Matcher) Threshold(q *Query) float64 { return m.persons.Threshold(q.Ask(m.evidence)) }

// Measure compares labelled pairs of names by this project's matcher.
func (pairs Pairs) Measure() PairResult {
	return pairs.With(match.NewPersons(match.Options{}).Likeness, match.LikeFrom)
}

// alive is how many bytes are in use. What lies in a pool is let go by the second collection.
func alive() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

package match

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/entente-mesh/entente/node/match/names"
	"github.com/entente-mesh/entente/node/match/people"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// Measure is how the thresholds of a list are measured.
type Measure struct {
	// Seed is of the invented innocents: the same seed gives the same thresholds.
	Seed uint64
	// Each is how many names of each region are looked for. Optional: Innocents.
	Each int
	// Workers is how many look at once. Optional: one.
	Workers int
	// Pace is called before each name, and may take its time; an error ends the measurement. Optional.
	Pace func(context.Context) error
}

const (
	// datesEach is with how many birth dates each name is looked for: to compare dates takes little, and
	// a stranger who is like somebody and of one age is rare.
	datesEach = 16
	// complemented is how many names a list has for the measurement at the least: a shorter one is
	// measured among invented persons, as it will be searched among those of others. Of a few names alone
	// nothing could be counted.
	complemented = 2_000
	complementOf = 19 // the seed of those
	// leastName is the score of a name that no birth date makes worth an alert.
	leastName = -8
)

// LeastMeasured is how many names a list has that is worth measuring: a shorter one, among as many
// others as are searched together, is a list as any other, and the usual thresholds hold.
const LeastMeasured = 100

// Innocents is how many names of each region are looked for in a list of so many: as many as let
// three hundred alerts be counted at the default point, by name alone, where that takes some minutes of
// a processor. In a long list, where each takes longer, they are fewer, and so they are in a short one, which
// alerts seldom. Of few alerts chance decides, and of the thresholds with them.
func Innocents(held int) int {
	const counted, least, most, short, huge = 300, 100_000, 220_000, 40_000, 200_000
	switch {
	case held < complemented:
		return short
	case held > huge:
		return least / 2
	}
	return min(max(least, min(most, 1_500_000_000/held)), int(counted/DefaultPoint.share(ByName, held)))
}

// Calibrate measures the index with invented innocents, and sets the thresholds of the operating point
// from what it finds. Nothing is set if it ends before, with ctx or with an error of Pace. It is to be
// called again when the list has grown by a part of itself.
func (p *Persons) Calibrate(ctx context.Context, m Measure) error {
	index := p.index
	if lacks := complemented - index.Names(); lacks > 0 {
		world := people.NewPopulation(complementOf)
		index = index.With(func(yield func(*names.Person) bool) {
			for i := range lacks {
				if ctx.Err() != nil || !yield(entry(fmt.Sprintf("invented-%d", i), world.Next())) {
					return
				}
			}
		})
	}
	if m.Each <= 0 {
		m.Each = Innocents(p.index.Names())
	}
	i, err := m.innocents(ctx, index)
	if err != nil {
		return err
	}
	p.setting.Lock()
	defer p.setting.Unlock()
	p.innocents.Store(i)
	p.calibration.Store(i.calibration(p.Point()))
	return nil
}

// innocents looks for all of them, region by region.
func (m Measure) innocents(ctx context.Context, index *names.Index) (*innocents, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	regions := people.Regions()
	out := newInnocents(index.Names(), m.Each)
	next := make(chan int, len(regions))
	for r := range regions {
		next <- r
	}
	close(next)
	var all sync.WaitGroup
	for range max(1, m.Workers) {
		all.Go(func() {
			for r := range next {
				if err := m.region(ctx, index, regions[r], &out.regions[r]); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	out.sum()
	return out, nil
}

// region looks for those of one region, by the names and the dates that their passports carry.
func (m Measure) region(ctx context.Context, index *names.Index, region string, into *regionTally) error {
	// A region's travellers are the same whoever else is looked for.
	world := people.NewPopulation(m.Seed<<8 + uint64(slices.Index(people.Regions(), region)))
	var born [datesEach]names.Span
	for i := range born {
		born[i] = queryOf(world.From(region)).Birth
	}
	where := homes()
	for n := range m.Each {
		if err := step(ctx); err != nil {
			return err
		}
		if m.Pace != nil {
			if err := m.Pace(ctx); err != nil {
				return err
			}
		}
		q := queryOf(world.From(region))
		born[n%datesEach] = q.Birth
		home := names.Home(q)
		into.add(slices.Index(where, home), index.Nearest(q, leastName), q, borne(q, home), &born)
	}
	return nil
}

// Calibration are the thresholds of one list at one operating point, by what is known of the traveller
// and where the name is at home. One threshold for all would stop those the most whose names the list
// is full of.
type Calibration struct {
	least [allKnown]map[string]float32
}

// Calibration is what Calibrate has measured last; nil: nothing yet, or for another operating point.
func (p *Persons) Calibration() *Calibration { return p.calibration.Load() }

// Calibrated tells whether the thresholds of every operating point follow from what was measured,
// not those of one alone.
func (p *Persons) Calibrated() bool { return p.innocents.Load() != nil }

// Recall sets what was measured before, of a list that was much like this one, at the point that is
// set.
func (p *Persons) Recall(c *Calibration) {
	p.setting.Lock()
	defer p.setting.Unlock()
	p.innocents.Store(nil)
	p.calibration.Store(c)
}

type savedCalibration struct {
	Form  int                  `json:"form"`
	Least []map[string]float32 `json:"least"`
}

const calibrationForm = 2

// MarshalJSON implements json.Marshaler.
func (c *Calibration) MarshalJSON() ([]byte, error) {
	return json.Marshal(savedCalibration{calibrationForm, c.least[:]})
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *Calibration) UnmarshalJSON(b []byte) error {
	var s savedCalibration
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s.Form != calibrationForm || len(s.Least) != len(c.least) {
		return errors.New("the thresholds are of another version")
	}
	copy(c.least[:], s.Least)
	return nil
}

// threshold is the log-odds from which on an officer is told.
func (p *Persons) threshold(q *names.Query) float32 {
	k, home := knownOf(q), names.Home(q)
	if most := mostBorneWith(q); most < 1 && borne(q, home) > most {
		return unreachable
	}
	if c := p.calibration.Load(); c != nil {
		if least, ok := c.least[k][home]; ok {
			return least
		}
	}
	return p.Point().threshold(k, home, p.index.Names())
}

// mostBorne is what share of the travellers of its region may bear a name that tells of somebody by itself:
// one in a quarter of a million. Whoever has a more common one is told of nobody, however high it scores
// and however few names the list has.
const mostBorne = 4e-6

// bornWithin is over how many days the births of most travellers are spread: sixty years.
const bornWithin = 60 * 365.25

// mostBorneWith is mostBorne with what is known of the birth date: of those who bear a name one in sixty is
// of one year. With the day, which two strangers hardly share, every name counts.
func mostBorneWith(q *names.Query) float64 {
	days := float64(q.Birth.To-q.Birth.From) + 1
	switch {
	case !q.BirthKnown:
		return mostBorne
	case days <= 1:
		return 1
	}
	return mostBorne * max(1, bornWithin/days)
}

// CommonName says that so many bear a traveller's name that, with no more known of the birth date, nobody is
// told of, whoever is listed.
func CommonName(q *queryv1.PersonQuery) bool {
	asked := askedOf(q)
	return borne(asked, names.Home(asked)) > mostBorneWith(asked)
}

// borne is the share of the travellers of the region where it is at home who bear a name. One that is at
// home nowhere is rare.
func borne(q *names.Query, home string) float64 {
	if home == "" {
		return 0
	}
	return names.Borne(q, home)
}

// yearOf is the year in which a day lies: all of a birth date that some know.
func yearOf(day names.Span) names.Span {
	s, _ := askedSpan(time.Unix(int64(day.From)*86400, 0).UTC().Format("2006"))
	return s
}

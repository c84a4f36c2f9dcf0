package match

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"

	"github.com/entente-mesh/entente/node/match/names"
	"github.com/entente-mesh/entente/node/match/people"
	"github.com/entente-mesh/entente/node/match/script"
)

// Class is what is known of a traveller. Each class has an operating point of its own.
type Class uint8

// The classes of evidence.
const (
	// ByName is a name whose birth date is not known.
	ByName Class = iota
	// ByBirthDate is a name and a birth date; nationality and sex where they are known too.
	ByBirthDate
)

// Classes returns the classes of evidence.
func Classes() []Class { return []Class{ByName, ByBirthDate} }

// of returns as much of a query as the class knows.
func (c Class) of(q *names.Query) *names.Query {
	if c == ByBirthDate {
		return q
	}
	return &names.Query{Primary: q.Primary, Secondary: q.Secondary, Truncated: q.Truncated}
}

// PerThousand is the alerts in a thousand innocent travellers of a class.
func (o OperatingPoint) PerThousand(class Class) float64 {
	if class == ByBirthDate {
		return o.BirthPerThousand
	}
	return o.NamePerThousand
}

// With returns the point with other alerts for a class.
func (o OperatingPoint) With(class Class, perThousand float64) OperatingPoint {
	if class == ByBirthDate {
		o.BirthPerThousand = perThousand
	} else {
		o.NamePerThousand = perThousand
	}
	return o
}

// share is how many of the innocents an index of so many names may stop, where others search theirs
// too.
func (o OperatingPoint) share(class Class, held int) float64 {
	return o.PerThousand(class) / 1000 * float64(max(1, held)) / float64(max(1, o.Together, held))
}

// zoneRoom is how many characters a name has in the zone of a passport (Doc 9303-4, 4.2.2).
const zoneRoom = 39

// queryOf is a traveller as the zone of their passport describes them.
func queryOf(t people.Traveller) *names.Query {
	q := &names.Query{Nationality: t.Nationality}
	primary, secondary, truncated := script.FromMRZ(script.MRZ(t.Surname, t.Given, zoneRoom))
	q.Primary, q.Secondary, q.Truncated = strings.ToUpper(strings.Join(primary, " ")), strings.ToUpper(strings.Join(secondary, " ")), truncated
	q.Birth, q.BirthKnown = askedSpan(t.Born)
	if t.Sex == people.Male || t.Sex == people.Female {
		q.Sex = byte(t.Sex)
	}
	return q
}

// recalled are invented persons who are on the list, and what their passports scored.
type recalled struct {
	of    []meant
	names int // of the own list, among which they were looked for
}

// meant is one of them: the score of the right one, by class; minus infinity where that one was not
// among those compared.
type meant struct {
	home  string
	score [2]float64
}

// MeasureRecall looks for so many invented persons of each region of the world among those of the
// index, and keeps what their passports score: RecallAt tells what an operating point costs.
// Nobody else finds them. It takes as long as twice that many searches, lets others go first, and ends
// with ctx, and then what was kept before stays.
func (p *Persons) MeasureRecall(ctx context.Context, seed uint64, each int) error {
	world := people.NewPopulation(seed)
	var travellers []people.Traveller
	var persons []*names.Person
	for _, region := range people.Regions() {
		for range each {
			t := world.From(region)
			travellers = append(travellers, t)
			persons = append(persons, entry(fmt.Sprintf("invented-%d", len(persons)), world.Again(t)))
		}
	}
	held := p.index.Names()
	with := p.index.With(func(yield func(*names.Person) bool) {
		for _, person := range persons {
			if step(ctx) != nil || !yield(person) {
				return
			}
		}
	})
	out := &recalled{names: held}
	for i, t := range travellers {
		q := queryOf(t)
		m := meant{home: names.Home(q)}
		for _, class := range Classes() {
			if err := step(ctx); err != nil {
				return err
			}
			if m.score[class] = math.Inf(-1); borne(q, m.home) <= mostBorneWith(class.of(q)) {
				m.score[class] = oddsOf(with, class.of(q), persons[i].ID)
			}
		}
		out.of = append(out.of, m)
	}
	p.recall.Store(out)
	return nil
}

// step lets others go first, and says whether to go on.
func step(ctx context.Context) error {
	runtime.Gosched()
	return ctx.Err()
}

// entry is a person as a list has them.
func entry(id string, t people.Traveller) *names.Person {
	p := &names.Person{ID: id, Names: []names.Name{{Text: t.Name()}}, Nationalities: []names.Nationality{{Code: t.Nationality}}}
	if b, ok := askedSpan(t.Born); ok {
		p.Births = []names.Span{b}
	}
	if t.Sex == people.Male || t.Sex == people.Female {
		p.Sex = byte(t.Sex)
	}
	return p
}

// oddsOf is the score of one person; minus infinity if an officer is not told of them, whatever the
// point.
func oddsOf(x *names.Index, q *names.Query, id string) float64 {
	for _, r := range x.Search(q, unreachable, MaxHits).Found {
		if r.ID == id && r.Birth != names.BirthConflict {
			return float64(r.Score)
		}
	}
	return math.Inf(-1)
}

// LookedFor is how many invented persons were looked for when the recall was measured, and among how
// many names; 0 where it was not.
func (p *Persons) LookedFor() (persons, names int) {
	if l := p.recall.Load(); l != nil {
		return len(l.of), l.names
	}
	return 0, 0
}

// RecallAt is the share of the invented persons of whom an officer would be told if so many innocent
// travellers in a thousand were stopped; false where it was not measured.
func (p *Persons) RecallAt(class Class, perThousand float64) (float64, bool) {
	l := p.recall.Load()
	if l == nil || len(l.of) == 0 {
		return 0, false
	}
	least := p.ThresholdsAt(class, perThousand)
	told := 0
	for _, m := range l.of {
		if m.score[class] >= least.Of(m.home) {
			told++
		}
	}
	return float64(told) / float64(len(l.of)), true
}

// Thresholds are the log-odds from which on an officer is told of a person.
type Thresholds struct {
	// Formula is for a name that seems to be at home nowhere.
	Formula float64
	// Regions are for the others: measured, or else those of a usual list.
	Regions map[string]float64
}

// Of is the threshold of a name that is at home in a region.
func (t Thresholds) Of(region string) float64 {
	if least, ok := t.Regions[region]; ok {
		return least
	}
	return t.Formula
}

// ThresholdsAt are the thresholds of a class if so many innocent travellers in a thousand were
// stopped, with as many names searched together as the point says: by the name alone, and with all
// that a passport tells.
func (p *Persons) ThresholdsAt(class Class, perThousand float64) Thresholds {
	set, held, k := p.Point(), p.index.Names(), class.known()
	o := set.With(class, perThousand)
	var counted map[string]float32
	if i := p.innocents.Load(); i != nil {
		counted = i.thresholds(k, o.share(class, i.held))
	}
	recalled := p.calibration.Load()
	out := Thresholds{Regions: map[string]float64{}}
	for _, home := range homes() {
		least := o.threshold(k, home, held)
		if c, ok := counted[home]; ok {
			least = c
		} else if counted == nil && recalled != nil {
			// Of one point alone: from there as the formula goes.
			if r, ok := recalled.least[k][home]; ok {
				least += r - set.threshold(k, home, held)
			}
		}
		if home == "" {
			out.Formula = float64(least)
		} else {
			out.Regions[home] = max(leastThreshold, float64(least))
		}
	}
	return out
}

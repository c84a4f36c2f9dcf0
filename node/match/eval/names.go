package eval

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/entente-mesh/entente/node/match/people"
)

// Names is what the matcher is measured with.
type Names struct {
	// Persons reads the list from its beginning. It is called once, and once more for the union.
	Persons func() iter.Seq2[*Person, error]
	// Queries are the travellers; one with an empty ID is an innocent, unless Innocents are given.
	Queries   []Query
	Innocents []Query
	Evidence  Evidence
	// Union is how many names the list of the set union has: the persons' among invented ones. 0: none.
	Union int
	// Travellers is how many names of invented innocents of each region are asked, for the groups. 0: none;
	// TravellersBySize: as many as the list allows.
	Travellers int
	// Say tells how far it is, and what the figures do not say.
	Say func(format string, args ...any)
}

// Report is what was measured.
type Report struct {
	Sets     []Result
	Union    *Result
	Among    Summary // of the union
	Fairness Fairness
	Summary  Summary
}

// TravellersBySize are so many that at the default point, by name alone, more than two hundred of each
// region are stopped, in a list of five to ten thousand names: the regions then differ by a quarter by
// chance. In a list of more than a hundred thousand names, where each takes long, they are five thousand.
const TravellersBySize = -1

func (n Names) travellers(names int) int {
	if n.Travellers != TravellersBySize {
		return n.Travellers
	}
	return TravellersFor(names)
}

// TravellersFor is TravellersBySize in a list of so many names.
func TravellersFor(names int) int {
	if names > 100_000 {
		return 5_000
	}
	return min(230_000, 1_500_000_000/max(1, names))
}

// Seeds of the invented populations, so that the same call measures the same.
const (
	groupSeed = 11
	listSeed  = 12
)

// A node measures the thresholds of its list with innocents of this seed (node/screening).
const calibrationSeed = 13

// unionSet is the set that is asked among a million names.
const unionSet = "alias_variant"

// NotListedError is of a query about somebody who is not in the list.
type NotListedError struct{ Query *Query }

func (e NotListedError) Error() string {
	return fmt.Sprintf("line %d: id %q is nobody's in the list: add the person to it, or leave the id empty if the traveller is innocent", e.Query.Line, e.Query.ID)
}

// ErrUnreadable is of a list in which nobody has a name that can be compared.
var ErrUnreadable = errors.New("names: nobody's holds a word in a known script: write the list in UTF-8, one JSON object a line")

// Measure builds the index, asks everybody, and sums up. A query about somebody who is not in the
// list is a mistake in the labels, not a miss of the matcher: it ends with NotListedError.
func (n Names) Measure(ctx context.Context) (*Report, error) {
	if n.Say == nil {
		n.Say = func(string, ...any) {}
	}
	meant, innocents := n.split()
	n.Say("building the index")
	m, size, err := NewMatcher(n.Evidence, listed(n.Persons(), meant))
	if err != nil {
		return nil, err
	}
	if size.Names == 0 {
		return nil, ErrUnreadable
	}
	r := &Report{}
	n.Say("asking for %d persons and %d innocents among %d names", len(meant), len(innocents), size.Names)
	var answers, quiet []Answer
	answers, quiet, r.Summary = n.ask(m, size, meant, innocents)
	r.Sets = Results(answers, quiet)
	if each := n.travellers(size.Names); each > 0 {
		n.Say("measuring the thresholds of the default operating point")
		if err := m.Calibrate(ctx, each); err != nil {
			return nil, err
		}
		n.Say("asking for travellers of %d invented names of each region", each)
		r.Fairness = m.Fairness(each)
	}
	if n.Union > 0 && slices.ContainsFunc(meant, func(q Query) bool { return q.Set == unionSet }) {
		return r, n.union(r, meant, innocents, size.Names)
	}
	if n.Union > 0 {
		n.Say("no set union: it asks the queries of the set %s, and there are none", unionSet)
	}
	return r, nil
}

// split tells those who are meant from the innocent.
func (n Names) split() (meant, innocents []Query) {
	for _, q := range n.Queries {
		if q.ID == "" {
			innocents = append(innocents, q)
		} else {
			meant = append(meant, q)
		}
	}
	if n.Innocents != nil {
		innocents = n.Innocents
	}
	switch {
	case len(innocents) == 0:
		n.Say("no innocents: there are no thresholds, and their figures are null; give --negatives, or queries with an empty id")
	case len(innocents) < leastInnocents:
		n.Say("only %d innocents: 0.1 %% of them is nobody, and that threshold is the score of the one who scores the most; give --negatives with %d or more", len(innocents), 20*leastInnocents)
	}
	return meant, innocents
}

// leastInnocents is how many innocents there are one in a thousand of.
const leastInnocents = 1_000

// ask asks by as many workers as there are processors.
func (n Names) ask(m Matcher, size Size, meant, innocents []Query) (answers, quiet []Answer, s Summary) {
	workers := runtime.GOMAXPROCS(0)
	began := time.Now()
	answers, quiet = Ask(m, meant, workers), Ask(m, innocents, workers)
	s = Summarise(append(answers[:len(answers):len(answers)], quiet...), time.Since(began))
	s.Names, s.Innocents = size.Names, len(innocents)
	s.BytesPerName, s.Load = size.PerName, float64(size.Load.Microseconds())/1000
	return answers, quiet, s
}

// listed passes the persons on, and ends with an error if one who is meant was not among them.
func listed(persons iter.Seq2[*Person, error], meant []Query) iter.Seq2[*Person, error] {
	return func(yield func(*Person, error) bool) {
		missing := make(map[string]bool)
		for _, q := range meant {
			missing[q.ID] = true
		}
		for p, err := range persons {
			if err == nil {
				delete(missing, p.ID)
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
		for i := range meant {
			if missing[meant[i].ID] {
				yield(nil, NotListedError{&meant[i]})
				return
			}
		}
	}
}

// union measures the officer's view: the list among many other names, everything known.
func (n Names) union(r *Report, meant, innocents []Query, names int) error {
	n.Say("building a list of %d names, the persons' among invented ones", max(n.Union, names))
	m, size, err := NewMatcher(All, func(yield func(*Person, error) bool) {
		for p, err := range n.Persons() {
			if !yield(p, err) || err != nil {
				return
			}
		}
		for p := range Listed(listSeed, max(0, n.Union-names)) {
			p.ID = "\x00" + p.ID // nobody's in a file
			if !yield(&p, nil) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	n.Say("asking among %d names, loaded in %s", size.Names, size.Load.Round(time.Millisecond))
	answers, quiet, s := n.ask(m, size, meant, innocents)
	result, _ := Union(answers, quiet, unionSet)
	r.Union, r.Among = &result, s
	if len(innocents) < 1/oneTenThousth {
		n.Say("only %d innocents: one in ten thousand of them is nobody, and that threshold is the score of the one who scores the most", len(innocents))
	}
	return nil
}

// Fairness asks for travellers of so many names of each region, by the thresholds of Calibrate. Where the birth date is asked as well, so few are stopped that each name is asked for with several.
func (m Matcher) Fairness(each int) Fairness {
	dates := 1
	if m.evidence >= NameAndBirth {
		dates = datesEach
	}
	regions := people.Regions()
	groups := make([]Group, len(regions))
	next := make(chan int, len(regions))
	for i := range regions {
		next <- i
	}
	close(next)
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for i := range next {
				groups[i] = m.stopped(groupSeed<<8+uint64(i), regions[i], each, dates)
			}
		})
	}
	all.Wait()
	return NewFairness(groups)
}

// datesEach is with how many birth dates each name is asked for.
const datesEach = 8

// stopped counts for how many travellers of a region an officer is told of somebody.
func (m Matcher) stopped(seed uint64, region string, names, dates int) Group {
	world := people.NewPopulation(seed)
	g := Group{Group: region, N: names * dates}
	births := make([]string, dates)
	for i := range births {
		births[i] = world.From(region).Born
	}
	for i := range names {
		q := travellerQuery(world.From(region))
		births[i%dates] = q.Birth
		if m.evidence == NameOnly {
			births[0] = ""
		}
		alerts := m.persons.Alerts(q.Ask(m.evidence), births)
		g.Alerts, g.squares = g.Alerts+alerts, g.squares+alerts*alerts
	}
	g.Share = float64(g.Alerts) / float64(g.N)
	return g
}

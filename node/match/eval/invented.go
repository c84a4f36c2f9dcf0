package eval

import (
	"fmt"
	"iter"

	"github.com/entente-mesh/entente/node/match/people"
)

// Travellers yields innocents of the invented population, so many of each region of the world, by
// the names that their passports carry, region by region.
func Travellers(seed uint64, each int) iter.Seq[[]Query] {
	return func(yield func([]Query) bool) {
		p := people.NewPopulation(seed)
		for _, region := range people.Regions() {
			all := make([]Query, 0, each)
			for range each {
				all = append(all, travellerQuery(p.From(region)))
			}
			if !yield(all) {
				return
			}
		}
	}
}

// World are innocents of the invented population as the world has them.
func World(seed uint64, n int) []Query {
	p := people.NewPopulation(seed)
	all := make([]Query, 0, n)
	for range n {
		all = append(all, travellerQuery(p.Next()))
	}
	return all
}

func travellerQuery(t people.Traveller) Query {
	q := ZoneQuery(t.Surname, t.Given)
	q.Birth, q.Nationality, q.Group = t.Born, t.Nationality, t.Region
	if t.Sex == people.Male || t.Sex == people.Female {
		q.Sex = string(rune(t.Sex))
	}
	return q
}

// Listed yields so many invented persons of a list, with a name each.
func Listed(seed uint64, n int) iter.Seq[Person] {
	return func(yield func(Person) bool) {
		p := people.NewPopulation(seed)
		for i := range n {
			t := p.Next()
			name := t.Surname + " " + t.Given
			if !yield(Person{ID: fmt.Sprintf("invented-%d", i), Primary: name, Names: []string{name}, Birth: t.Born, Nationality: t.Nationality, Sex: string(rune(t.Sex))}) {
				return
			}
		}
	}
}

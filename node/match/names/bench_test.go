package names

import (
	"fmt"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/match/people"
)

// inventedIndex is an index of the invented population of lists.
func inventedIndex(n int) *Index {
	world := people.NewPopulation(12)
	return Build(func(yield func(*Person) bool) {
		for i := range n {
			t := world.Next()
			p := &Person{ID: fmt.Sprint(i), Names: []Name{{Text: t.Name()}}, Nationalities: []Nationality{{Code: t.Nationality}}, Sex: byte(t.Sex)}
			if day, err := time.Parse(time.DateOnly, t.Born); err == nil {
				p.Births = []Span{{From: Day(day), To: Day(day)}}
			}
			if !yield(p) {
				return
			}
		}
	})
}

// BenchmarkSearch asks travellers of the invented population, among few and among many names. A
// million names are the bar of speed; -short leaves them out.
func BenchmarkSearch(b *testing.B) {
	var byName, byAll []*Query
	world := people.NewPopulation(77)
	for range 4000 {
		t := world.Next()
		q := Query{Primary: t.Surname, Secondary: t.Given}
		byName = append(byName, &q)
		all := q
		if day, err := time.Parse(time.DateOnly, t.Born); err == nil {
			all.Birth, all.BirthKnown = Span{From: Day(day), To: Day(day)}, true
		}
		all.Nationality, all.Sex = t.Nationality, byte(t.Sex)
		byAll = append(byAll, &all)
	}
	for _, n := range []int{10_000, 1_000_000} {
		if testing.Short() && n > 10_000 {
			continue
		}
		x := inventedIndex(n)
		for _, known := range []struct {
			what    string
			queries []*Query
		}{{"name", byName}, {"all", byAll}} {
			b.Run(fmt.Sprintf("%d names/%s", n, known.what), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					x.Search(known.queries[i%len(known.queries)], 100, 10)
				}
			})
		}
	}
}

// BenchmarkChange puts and withdraws one person in a large index, and asks for them after each.
func BenchmarkChange(b *testing.B) {
	x := inventedIndex(100_000)
	p, q := &Person{ID: "new", Names: []Name{{Text: "Zerdalan Quistorivane"}}}, &Query{Name: "QUISTORIVANE ZERDALAN"}
	b.ReportAllocs()
	for b.Loop() {
		x.Put(p)
		if len(x.Search(q, 0, 1).Found) != 1 {
			b.Fatal("put, and not found")
		}
		x.Remove("new")
		if found := x.Search(q, 0, 1).Found; len(found) == 1 && found[0].ID == "new" {
			b.Fatal("withdrawn, and found")
		}
	}
}

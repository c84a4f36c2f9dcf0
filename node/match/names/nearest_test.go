package names

import (
	"fmt"
	"math"
	"testing"

	"github.com/entente-mesh/entente/node/match/people"
)

// Whoever scores as much as alerts is found by Nearest as by Search, with whatever is known beside.
func TestNearestIsAsSearch(t *testing.T) {
	world := people.NewPopulation(3)
	x := Build(func(yield func(*Person) bool) {
		for i := range 2000 {
			h := world.Next()
			if !yield(&Person{ID: fmt.Sprint(i), Names: []Name{{Text: h.Name()}}, Births: []Span{{From: int32(i * 9), To: int32(i * 9)}},
				Nationalities: []Nationality{{Code: h.Nationality}}, Sex: byte(h.Sex)}) {
				return
			}
		}
	})
	reached := 0
	for _, region := range people.Regions() {
		for i := range 80 {
			h := world.From(region)
			q := &Query{Primary: h.Surname, Secondary: h.Given}
			near := x.Nearest(q, -8)
			born := Span{From: int32(i * 450), To: int32(i * 450)}
			for beside := range Besides {
				for _, q.BirthKnown = range []bool{false, true} {
					q.Birth, q.Nationality, q.Sex = born, "", 0
					if beside&BesideNationality != 0 {
						q.Nationality = h.Nationality
					}
					if beside&BesideSex != 0 {
						q.Sex = byte(h.Sex)
					}
					want := float32(math.Inf(-1))
					if found := x.Search(q, 1e6, 1).Found; len(found) > 0 {
						want = found[0].Score
					}
					got := near.Best(q)[beside]
					if got != near.Best(q)[Besides-1] {
						t.Errorf("%v: what is not known tells something", q)
					}
					if want < 8 && got < 8 { // found by the day of birth, and told of by nobody
						continue
					}
					reached++
					if math.Abs(float64(got-want)) > 1e-3 {
						t.Errorf("%v: %.2f, by Search %.2f", q, got, want)
					}
				}
			}
		}
	}
	if reached < 25 {
		t.Errorf("%d are like somebody: too few to tell", reached)
	}
	if n := x.Nearest(&Query{Name: "<<<"}, -8); n != nil || !math.IsInf(float64(n.Best(&Query{})[0]), -1) {
		t.Error("somebody is near no name")
	}
}

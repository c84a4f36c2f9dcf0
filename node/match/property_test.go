package match

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/entente-mesh/entente/node/match/names"
	"github.com/entente-mesh/entente/node/match/people"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// The properties below hold for any names. They are tried on invented travellers of every region of
// the world, the same in each run.
const (
	propertySeed = 4711
	propertyEach = 25   // travellers of a region
	rounding     = 1e-3 // of sums in another order
	// mostGain is what another way of writing may add to the name as listed. It is no better proof; but
	// what is not looked up in the list, for two words were one, is not counted there either.
	mostGain = 0.5
)

func propertyTravellers() []people.Traveller {
	world := people.NewPopulation(propertySeed)
	var all []people.Traveller
	for _, region := range people.Regions() {
		for range propertyEach {
			all = append(all, world.From(region))
		}
	}
	return all
}

// recordOf is the record of a traveller under a name.
func recordOf(t people.Traveller, written string) *recordv1.Record {
	r := person(written, day(t.Born))
	r.GetPerson().Nationalities = []*recordv1.Nationality{{Code: t.Nationality}}
	return r
}

func indexOf(all []people.Traveller, order []int) *Persons {
	p := NewPersons(Options{})
	for _, i := range order {
		p.Put(fmt.Sprint(i), recordOf(all[i], all[i].Name()))
	}
	p.Wait()
	return p
}

func inOrder(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}

func byZone(t people.Traveller) *queryv1.PersonQuery {
	return &queryv1.PersonQuery{Primary: t.Surname, Secondary: t.Given}
}

func born(q *queryv1.PersonQuery, t people.Traveller) *queryv1.PersonQuery {
	q.BirthDate, q.Nationality = t.Born, t.Nationality
	return q
}

// odds is what the index says of one person, and the lowest there is if it does not find them.
func odds(p *Persons, q *queryv1.PersonQuery, id string) float64 {
	for _, r := range p.Rank(q, MaxHits) {
		if r.ID == id {
			return r.LogOdds
		}
	}
	return math.Inf(-1)
}

func TestWhoIsAskedAsListedIsTheSame(t *testing.T) {
	all := propertyTravellers()
	p := indexOf(all, inOrder(len(all)))
	for i, who := range all {
		id, found := fmt.Sprint(i), false
		result := p.index.Search(askedOf(born(byZone(who), who)), 0, MaxHits)
		for _, r := range result.Found {
			if r.ID == id {
				found = r.Same && r.Birth == names.BirthSameDay && r.Score == result.Found[0].Score
			}
		}
		if !found {
			t.Errorf("%s, asked as listed, is not the same and first", who.Name())
		}
	}
}

// Each change of how a name is written costs at most so many nats of log-odds.
func TestWritingCostsLittle(t *testing.T) {
	all := propertyTravellers()
	world := indexOf(all, inOrder(len(all)))
	for _, c := range []struct {
		name   string
		most   float64 // nats that it may cost
		but    float64 // share of the names whom it may cost more
		change func(q *queryv1.PersonQuery) *queryv1.PersonQuery
	}{
		{"small letters", 0, 0, eachName(strings.ToLower)},
		{"an acute on each vowel", 0, 0, eachName(acute)},
		{"marks apart from their letters", 0, 0, eachName(func(s string) string { return strings.ReplaceAll(s, "E", "E\u0301") })},
		{"fullwidth letters", 0, 0, eachName(fullwidth)},
		{"hyphens for blanks", 0, 0, eachName(func(s string) string { return strings.ReplaceAll(s, " ", "-") })},
		{"one field for both", 0, 0, func(q *queryv1.PersonQuery) *queryv1.PersonQuery {
			return &queryv1.PersonQuery{Name: q.GetSecondary() + " " + q.GetPrimary()}
		}},
		{"identifiers swapped", 3, 0, func(q *queryv1.PersonQuery) *queryv1.PersonQuery {
			return &queryv1.PersonQuery{Primary: q.GetSecondary(), Secondary: q.GetPrimary()}
		}},
		{"words in reverse", 3, 0, func(q *queryv1.PersonQuery) *queryv1.PersonQuery {
			words := strings.Fields(q.GetSecondary() + " " + q.GetPrimary())
			slices.Reverse(words)
			return &queryv1.PersonQuery{Name: strings.Join(words, " ")}
		}},
		{"the second and third word joined", 6, 0, func(q *queryv1.PersonQuery) *queryv1.PersonQuery {
			words := strings.Fields(q.GetSecondary() + " " + q.GetPrimary())
			if len(words) < 3 || len(words) > 4 || len(words[1]) < 3 || len(words[2]) < 3 {
				return nil // an end of two letters is not looked for
			}
			return &queryv1.PersonQuery{Name: words[0] + " " + strings.Join(words[1:3], "") + " " + strings.Join(words[3:], " ")}
		}},
		{"a surname split", 6, 0, func(q *queryv1.PersonQuery) *queryv1.PersonQuery {
			if w := q.GetPrimary(); len(w) >= 9 && !strings.ContainsAny(w, " -") && q.GetSecondary() != "" {
				return &queryv1.PersonQuery{Primary: w[:4] + " " + w[4:], Secondary: q.GetSecondary()}
			}
			return nil
		}},
	} {
		var costs []float64
		who, worst, gain := "", 0.0, 0.0
		for i, traveller := range all {
			plain := byZone(traveller)
			changed := c.change(byZone(traveller))
			if changed == nil {
				continue
			}
			id := fmt.Sprint(i)
			cost := odds(world, plain, id) - odds(world, changed, id)
			gain = max(gain, -cost)
			if costs = append(costs, cost); cost > worst {
				worst, who = cost, traveller.Name()
			}
		}
		slices.Sort(costs)
		dear := len(costs) - slices.IndexFunc(append(costs, math.Inf(1)), func(x float64) bool { return x > c.most+rounding })
		t.Logf("%-32s costs at most %5.2f nats (%s), gains at most %.2f; %d of %d names cost more than %.2f", c.name, worst, who, gain, dear, len(costs), c.most)
		if gain > mostGain {
			t.Errorf("%s gains %.2f nats", c.name, gain)
		}
		if len(costs) == 0 || float64(dear) > c.but*float64(len(costs)) {
			t.Errorf("%s costs %d of %d names more than %.2f nats, %s %.2f", c.name, dear, len(costs), c.most, who, worst)
		}
	}
}

func eachName(f func(string) string) func(*queryv1.PersonQuery) *queryv1.PersonQuery {
	return func(q *queryv1.PersonQuery) *queryv1.PersonQuery {
		return &queryv1.PersonQuery{Primary: f(q.GetPrimary()), Secondary: f(q.GetSecondary())}
	}
}

func acute(s string) string {
	return strings.NewReplacer("A", "Á", "E", "É", "I", "Í", "O", "Ó", "U", "Ú").Replace(s)
}

func fullwidth(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r - 'A' + 'Ａ'
		}
		return r
	}, s)
}

// The order in which a list was read is nothing that a score may depend on, nor how the index came
// about.
func TestScoresDoNotDependOnTheOrderOfTheList(t *testing.T) {
	all := propertyTravellers()
	order := inOrder(len(all))
	one := indexOf(all, order)
	shuffled := slices.Clone(order)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(order), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	two := indexOf(all, shuffled)
	three := BuildPersons(Options{}, func(yield func(*recordv1.Record) bool) {
		for i, who := range all {
			r := recordOf(who, who.Name())
			r.RecordId = fmt.Sprint(i)
			if !yield(r) {
				return
			}
		}
	})
	four := indexOf(all, order)
	for _, i := range shuffled[:len(all)/3] { // withdrawn and put again
		four.Remove(fmt.Sprint(i))
		four.Put(fmt.Sprint(i), recordOf(all[i], all[i].Name()))
	}
	for i, who := range all {
		for _, q := range []*queryv1.PersonQuery{byZone(who), born(byZone(who), who), {Name: who.Given}} {
			want := scores(one, q)
			for name, p := range map[string]*Persons{"shuffled": two, "built at once": three, "put again": four} {
				for id, s := range scores(p, q) {
					if math.Abs(s-want[id]) > rounding && s > 0 {
						t.Errorf("%s, %s: %s has %.3f, and %.3f in order", all[i].Name(), name, id, s, want[id])
					}
				}
			}
		}
	}
}

func scores(p *Persons, q *queryv1.PersonQuery) map[string]float64 {
	all := make(map[string]float64)
	for _, r := range p.Rank(q, 20) {
		all[r.ID] = r.LogOdds
	}
	return all
}

// Of the others on the list nothing counts but how common they make the words.
func TestScoresDoNotDependOnTheOthers(t *testing.T) {
	all := propertyTravellers()
	one := indexOf(all, inOrder(len(all)))
	// The same words, with other births and nationalities, and given names that go to the next person.
	others := slices.Clone(all)
	for i := range others {
		next := (i + 7) % len(all)
		others[i].Born, others[i].Nationality = all[next].Born, all[next].Nationality
		others[i].Given = all[next].Given
	}
	for i := 0; i < len(all); i += 5 {
		mixed := slices.Clone(others)
		// One stays who they are; who gave and who took a name with them exchange.
		before := (i - 7 + len(all)) % len(all)
		mixed[i] = all[i]
		mixed[before].Given = all[(i+7)%len(all)].Given
		p := indexOf(mixed, inOrder(len(mixed)))
		for _, q := range []*queryv1.PersonQuery{byZone(all[i]), born(byZone(all[i]), all[i])} {
			a, b := odds(one, q, fmt.Sprint(i)), odds(p, q, fmt.Sprint(i))
			if math.Abs(a-b) > rounding {
				t.Errorf("%s has %.4f, and %.4f among others with the same words", all[i].Name(), a, b)
			}
		}
	}
}

// A person more, with whom nobody shares a word, changes nobody's place.
func TestAStrangerChangesNothing(t *testing.T) {
	all := propertyTravellers()
	p := indexOf(all, inOrder(len(all)))
	before := make([]string, len(all))
	for i, who := range all {
		before[i] = p.Rank(born(byZone(who), who), 1)[0].ID
	}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 50 {
		p.Put(fmt.Sprintf("stranger %d", i), person(inventedWord(r)+" "+inventedWord(r)+" "+inventedWord(r), day(all[i].Born)))
	}
	for i, who := range all {
		if after := p.Rank(born(byZone(who), who), 1)[0].ID; after != before[i] {
			t.Errorf("%s: %s was first, and is %s since strangers came", who.Name(), before[i], after)
		}
	}
}

// Two names that cannot be read are not one name.
func TestUnreadableNamesAreNobodys(t *testing.T) {
	p := NewPersons(Options{})
	for i, text := range []string{"ᚠᚢᚦ ᚨᚱᚲ", "𐤀𐤁𐤂", "☃ ☃", "བསྟན་འཛིན", "12345"} {
		p.Put(fmt.Sprint(i), person(text, day("1980-05-05")))
		if l := p.Likeness(text, text); l != 0 {
			t.Errorf("%s is like itself by %.2f", text, l)
		}
		if found := p.Rank(ask(text, "1980-05-05"), MaxHits); len(found) > 0 {
			t.Errorf("%s finds %v", text, found)
		}
	}
	if p.Len() != 0 {
		t.Errorf("%d persons whom nobody can find are in the index", p.Len())
	}
}

package match

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/entente-mesh/entente/node/match/names"
	"github.com/entente-mesh/entente/node/match/people"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

var update = flag.Bool("update", false, "write the figures of docs/matching.md")

const matchingPage = "../../docs/matching.md"

// TestMatchingPage holds that the figures of the page are those that the matcher gives.
func TestMatchingPage(t *testing.T) {
	b, err := os.ReadFile(matchingPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	list := exampleList()
	for name, text := range map[string]string{
		"the worked example": workedExample(t, list), "the same person, asked otherwise": askedOtherwise(t, list),
		"names": nameRows(t, list), "birth dates": birthRows(t), "nationality and sex": otherRows(t),
	} {
		begin, end := "<!-- "+name+": made by the program -->\n", "<!-- end -->\n"
		before, rest, ok := strings.Cut(page, begin)
		if !ok {
			t.Fatalf("%s has no place for %s", matchingPage, name)
		}
		_, after, ok := strings.Cut(rest, end)
		if !ok {
			t.Fatalf("%s: %s has no end", matchingPage, name)
		}
		page = before + begin + "\n" + text + "\n" + end + after
	}
	switch {
	case *update:
		if err := os.WriteFile(matchingPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	case page != string(b):
		t.Error("docs/matching.md is not what the matcher says: go test ./node/match -run TestMatchingPage -update")
	}
}

// exampleOthers is how many invented persons stand on the list of the page beside the one of whom it
// tells.
const exampleOthers = 5000

func examplePerson() *recordv1.Record {
	r := person("Abd al-Rahman Khaled Zerouali|عبد الرحمن خالد الزروالي", day("1984-02-11"))
	r.GetPerson().Nationalities = []*recordv1.Nationality{{Code: "MAR"}}
	r.GetPerson().Sex = recordv1.Sex_SEX_MALE
	return r
}

func exampleList() *Persons {
	return BuildPersons(Options{}, func(yield func(*recordv1.Record) bool) {
		r := examplePerson()
		r.RecordId = "one"
		if !yield(r) {
			return
		}
		world := people.NewPopulation(1)
		for i := range exampleOthers {
			who := world.Next()
			r := recordOf(who, who.Name())
			r.RecordId = fmt.Sprint(i)
			if !yield(r) {
				return
			}
		}
	})
}

func exampleQuery() *queryv1.PersonQuery {
	return &queryv1.PersonQuery{Primary: "ZEROUALI", Secondary: "ABDELRAHMAN KHALID", BirthDate: "1984-11-02", Nationality: "MAR", Sex: recordv1.Sex_SEX_MALE}
}

// rankedAs is what the index says of the person of the page.
func rankedAs(t *testing.T, p *Persons, q *queryv1.PersonQuery) *names.Ranked {
	t.Helper()
	found := p.index.Search(askedOf(q), -1000, MaxHits).Found
	for i := range found {
		if found[i].ID == "one" {
			return &found[i]
		}
	}
	t.Fatalf("%v does not find the person of the page", q)
	return nil
}

var meetings = map[names.Kind]string{names.Same: "the same", names.Spelling: "another spelling", names.Sound: "sounds alike",
	names.Transliteration: "another script", names.Initial: "an initial", names.CutOff: "cut off", names.Joined: "written as one",
	names.NotListed: "not recorded", names.NotAsked: "not asked"}

func workedExample(t *testing.T, p *Persons) string {
	q := exampleQuery()
	r := rankedAs(t, p, q)
	var b strings.Builder
	b.WriteString("| evidence | asked | recorded | how | nats |\n|---|---|---|---|---|\n")
	row := func(what, asked, recorded, how string, nats float32) {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %+.1f |\n", what, asked, recorded, how, nats)
	}
	rest := r.Name
	for _, m := range r.Met {
		row("word", m.Asked, m.Listed, meetings[m.Kind], m.Weight)
		rest -= m.Weight
	}
	row("name as a whole", "", "", "", rest)
	var c *Candidate
	for _, found := range p.Search(q, MaxHits) {
		if found.RecordID == "one" {
			c = &found
		}
	}
	if c == nil {
		t.Fatal("nobody is told of the person of the page")
	}
	for _, e := range c.Evidence {
		if e.GetFeature() != hitv1.Feature_FEATURE_NAME {
			row(featureName(e.GetFeature()), e.GetAsked(), e.GetRecorded(), e.GetHow(), float32(e.GetWeight()*scale))
		}
	}
	fmt.Fprintf(&b, "| **sum** | | | | **%+.1f** |\n", r.Score)
	fmt.Fprintf(&b, "\nThe threshold for this traveller is %.1f nats, so the officer is told. Divided by %d, the sum is the score, %.2f;\nthe band is %s. In one line: `%s`.\n",
		p.Threshold(q), scale, c.Score, bandName(c.Band), c.Explanation)
	return b.String()
}

func bandName(b hitv1.Band) string {
	return strings.ToLower(strings.TrimPrefix(b.String(), "BAND_"))
}

func askedOtherwise(t *testing.T, p *Persons) string {
	var b strings.Builder
	b.WriteString("| asked | name | birth | nationality | sex | sum | threshold | told |\n|---|---|---|---|---|---|---|---|\n")
	for _, c := range []struct {
		what   string
		change func(q *queryv1.PersonQuery)
	}{
		{"as above", func(*queryv1.PersonQuery) {}},
		{"with the day as the record has it", func(q *queryv1.PersonQuery) { q.BirthDate = "1984-02-11" }},
		{"with the year only", func(q *queryv1.PersonQuery) { q.BirthDate = "1984" }},
		{"born five years later", func(q *queryv1.PersonQuery) { q.BirthDate = "1989-02-11" }},
		{"without a birth date", func(q *queryv1.PersonQuery) { q.BirthDate = "" }},
		{"without the second given name", func(q *queryv1.PersonQuery) { q.Secondary = "ABDELRAHMAN" }},
		{"from a zone in the escapes of Arabic", func(q *queryv1.PersonQuery) { q.Primary, q.Secondary = "ALZRWALY", "EBD ALRXHMN XKHALD" }},
		{"with another given name", func(q *queryv1.PersonQuery) { q.Secondary = "YOUSSEF KHALID" }},
		{"with another nationality", func(q *queryv1.PersonQuery) { q.Nationality = "FRA" }},
		{"as a woman", func(q *queryv1.PersonQuery) { q.Sex = recordv1.Sex_SEX_FEMALE }},
		{"by the name alone", func(q *queryv1.PersonQuery) { q.BirthDate, q.Nationality, q.Sex = "", "", 0 }},
		{"by the surname alone", func(q *queryv1.PersonQuery) { q.Secondary, q.BirthDate, q.Nationality, q.Sex = "", "", "", 0 }},
	} {
		q := exampleQuery()
		c.change(q)
		r := rankedAs(t, p, q)
		told := "no"
		for _, found := range p.Search(q, MaxHits) {
			if found.RecordID == "one" {
				told = bandName(found.Band)
			}
		}
		fmt.Fprintf(&b, "| %s | %+.1f | %+.1f | %+.1f | %+.1f | %+.1f | %.1f | %s |\n",
			c.what, r.Name, r.BirthWeight, r.Nationality, r.Sex, r.Score, p.Threshold(q), told)
	}
	return b.String()
}

// birthRows are what birth dates add, each by an example.
func birthRows(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| asked | recorded | nats |\n|---|---|---|\n")
	approximate := recordv1.DatePrecision_DATE_PRECISION_APPROXIMATE
	year := recordv1.DatePrecision_DATE_PRECISION_YEAR
	for _, c := range []struct {
		asked, told string
		recorded    *recordv1.Birth
	}{
		{"1984-02-11", "the same day", day("1984-02-11")},
		{"1984-11-02", "1984-02-11, day and month swapped", day("1984-02-11")},
		{"1984-02", "the same month, all that one side knows", day("1984-02-11")},
		{"1984-02-11", "1984, all that one side knows", years(year, 1984, 1984)},
		{"1984-02-11", "about 1984", years(approximate, 1984, 1984)},
		{"1984-02-11", "1981 to 1986", years(recordv1.DatePrecision_DATE_PRECISION_RANGE, 1981, 1986)},
		{"1984-01-01", "1984-02-11: 1 January often means some day of the year", day("1984-02-11")},
		{"1984-02-11", "1985-02-11, one year beside", day("1985-02-11")},
		{"1984-02-11", "about 1986", years(approximate, 1986, 1986)},
		{"1984-02-11", "1984-02-17, the same month", day("1984-02-17")},
		{"1984-02-11", "1994-02-11, one digit of the year", day("1994-02-11")},
		{"1984-02-11", "1984-09-30, the same year", day("1984-09-30")},
		{"1984-02-11", "1985-09-30, close by", day("1985-09-30")},
		{"1984-02-11", "1971-09-30", day("1971-09-30")},
		{"", "1984-02-11", day("1984-02-11")},
	} {
		p := NewPersons(Options{})
		p.Put("one", person("Karim Belhadj Zerouali", c.recorded))
		asked := c.asked
		r := rankedAs(t, p, ask("Karim Belhadj Zerouali", asked))
		if asked == "" {
			asked = "not known"
		}
		fmt.Fprintf(&b, "| %s | %s | %+.1f |\n", asked, c.told, r.BirthWeight+0)
	}
	return b.String()
}

// nameRows are what names say by themselves, among the names of the page's list.
func nameRows(t *testing.T, p *Persons) string {
	const recorded = "Karim Belhadj Zerouali"
	var b strings.Builder
	b.WriteString("| asked | recorded | | nats |\n|---|---|---|---|\n")
	for _, c := range []struct{ asked, recorded, what string }{
		{"KARIM BELHADJ ZEROUALI", recorded, "the same"},
		{"ZEROUALI BELHADJ KARIM", recorded, "in another order"},
		{"كريم بلحاج زروالي", recorded, "in another script"},
		{"KARIM BELHADJ ZERWALI", recorded, "another spelling of a word"},
		{"KARIM BELHADJ ZEROAULI", recorded, "a slip"},
		{"KARIMBELHADJ ZEROUALI", recorded, "two words as one"},
		{"KARIM B ZEROUALI", recorded, "an initial"},
		{"KARIM ZEROUALI", recorded, "a word left out"},
		{"KARIM BELHADJ BEN ZEROUALI", recorded, "a particle more"},
		{"KARIM BELHADJ MOURAD ZEROUALI", recorded, "a word more"},
		{"KARIM BELHADJ TERZIOVSKI", recorded, "another surname"},
		{"KARIM TERZIOVSKI MOURAD", recorded, "a common word only"},
		{"ZEROUALI", recorded, "one word only"},
		{"MOHAMED AHMED", "Mohamed Ahmed", "the same, and common"},
	} {
		p.Put("one", person(c.recorded))
		told := "not compared"
		for _, r := range p.index.Search(askedOf(ask(c.asked, "")), unreachable, MaxHits).Found {
			if r.ID == "one" {
				told = fmt.Sprintf("%+.1f", r.Name)
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c.asked, c.recorded, c.what, told)
	}
	return b.String()
}

// otherRows are what nationality and sex add.
func otherRows(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| evidence | nats |\n|---|---|\n")
	for _, c := range []struct {
		what   string
		change func(q *queryv1.PersonQuery, p *recordv1.Person)
		weight func(r *names.Ranked) float32
	}{
		{"the same nationality", func(*queryv1.PersonQuery, *recordv1.Person) {}, nationalityOf},
		{"one that the person held formerly", func(_ *queryv1.PersonQuery, p *recordv1.Person) {
			p.GetNationalities()[0].Status = recordv1.NationalityStatus_NATIONALITY_STATUS_FORMER
		}, nationalityOf},
		{"another nationality: who is listed often travels on one", func(q *queryv1.PersonQuery, _ *recordv1.Person) { q.Nationality = "BEL" }, nationalityOf},
		{"the same sex", func(*queryv1.PersonQuery, *recordv1.Person) {}, sexOf},
		{"the other sex", func(q *queryv1.PersonQuery, _ *recordv1.Person) { q.Sex = recordv1.Sex_SEX_FEMALE }, sexOf},
		{"X in the document", func(q *queryv1.PersonQuery, _ *recordv1.Person) { q.Sex = recordv1.Sex_SEX_OTHER }, sexOf},
	} {
		rec, q := examplePerson(), exampleQuery()
		c.change(q, rec.GetPerson())
		p := NewPersons(Options{})
		p.Put("one", rec)
		fmt.Fprintf(&b, "| %s | %+.1f |\n", c.what, c.weight(rankedAs(t, p, q))+0)
	}
	return b.String()
}

func nationalityOf(r *names.Ranked) float32 { return r.Nationality }

func sexOf(r *names.Ranked) float32 { return r.Sex }

package match

import (
	"testing"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// A stranger who shares a rare given name and the day of birth is not the person under whatever
// surname, for a man; who shares two may be. Who changed it, or bears none, is worth more.
func TestAnotherSurnameCountsAgainst(t *testing.T) {
	const man, woman = recordv1.Sex_SEX_MALE, recordv1.Sex_SEX_FEMALE
	for _, c := range []struct {
		what, listed, surname, given string
		sex                          recordv1.Sex
		more                         bool
	}{
		{"another surname", "Yorick Vandersmissen", "BRZEZICKI", "YORICK", man, false},
		{"another surname, and two given names", "Yorick Cuthbert Vandersmissen", "BRZEZICKI", "YORICK CUTHBERT", man, true},
		{"another surname, with a particle", "Yorick Vandersmissen", "VAN BRZEZICKI", "YORICK", man, false},
		{"a surname that was changed with a marriage", "Ottilie Vandersmissen", "BRZEZICKA", "OTTILIE", woman, true},
		{"one of two surnames", "Yorick Vandersmissen Quispe", "BRZEZICKI QUISPE", "YORICK", man, true},
		{"a surname and a father's name instead", "Yorick Anatolievich", "BRZEZICKI", "YORICK", man, true},
		{"no surname in the list", "Yorick", "BRZEZICKI", "YORICK", man, true},
		{"the given name as the surname", "Yorick Vandersmissen", "YORICK", "VANDERSMISSEN", man, true},
	} {
		rec := person(c.listed, day("1990-07-21"))
		rec.GetPerson().Sex, rec.GetPerson().Nationalities = c.sex, []*recordv1.Nationality{{Code: "BEL"}}
		p := index(rec)
		q := &queryv1.PersonQuery{Primary: c.surname, Secondary: c.given, BirthDate: "1990-07-21", Nationality: "BEL", Sex: c.sex}
		found := p.Rank(q, 1)
		if len(found) == 0 {
			t.Errorf("%s: not among the candidates", c.what)
			continue
		}
		const stranger = 9 // nats: less than is asked of who shows a passport and is at home where these names are
		if more := found[0].LogOdds > stranger; more != c.more {
			t.Errorf("%s: %.1f nats", c.what, found[0].LogOdds)
		}
		if told := len(p.Search(q, 1)) > 0; told && !c.more {
			t.Errorf("%s: told of, by %.1f of %.1f", c.what, found[0].LogOdds, p.Threshold(q))
		}
	}
}

package match

import (
	"testing"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// A common name alone says nothing, and a year that thousands share makes it no better.
func TestCommonNamesNeverAlertAlone(t *testing.T) {
	for _, c := range []struct{ recorded, asked string }{
		{"Mohamed Ahmed", "MOHAMED AHMED"}, {"Mohammed Ahmad", "AHMED MOHAMED"}, {"Wang Wei", "WANG WEI"}, {"José Silva", "SILVA JOSE"},
		{"John Smith", "SMITH JOHN"}, {"Kim Min-jun", "KIM MIN JUN"}, {"Nguyen Van Hung", "NGUYEN VAN HUNG"}, {"Gurpreet Singh", "SINGH GURPREET"},
		{"Ivan Ivanov", "IVANOV IVAN"}, {"Ahmet Yilmaz", "YILMAZ AHMET"}, {"Takashi Sato", "SATO TAKASHI"}, {"Abdullah Mohammed", "ABDULLAH MOHAMMED"},
	} {
		p := index(person(c.recorded, day("1981-05-14")))
		for _, birth := range []string{"", "1981"} {
			if got := p.Search(&queryv1.PersonQuery{Name: c.asked, BirthDate: birth}, 1); len(got) != 0 {
				t.Errorf("%s beside %s, born %q: told, %s", c.asked, c.recorded, birth, got[0].Explanation)
			}
		}
		if got := p.Search(ask(c.asked, "1981-05-14"), 1); len(got) != 1 {
			t.Errorf("%s beside %s is not told with the day of birth", c.asked, c.recorded)
		}
	}
}

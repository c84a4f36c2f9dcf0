package match

import (
	"testing"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// A common name alone says nothing; the most common are no better with a year that thousands share.
func TestCommonNamesNeverAlertAlone(t *testing.T) {
	for _, c := range []struct {
		recorded, asked string
		year            bool
	}{
		{"Mohamed Ahmed", "MOHAMED AHMED", true}, {"Mohammed Ahmad", "AHMED MOHAMED", true}, {"Wang Wei", "WANG WEI", true}, {"José Silva", "SILVA JOSE", true},
		{"John Smith", "SMITH JOHN", true}, {"Kim Min-jun", "KIM MIN JUN", false}, {"Nguyen Van Hung", "NGUYEN VAN HUNG", true}, {"Gurpreet Singh", "SINGH GURPREET", false},
		{"Ivan Ivanov", "IVANOV IVAN", true}, {"Ahmet Yilmaz", "YILMAZ AHMET", true}, {"Takashi Sato", "SATO TAKASHI", true}, {"Abdullah Mohammed", "ABDULLAH MOHAMMED", true},
		{"Juan García López", "GARCIA LOPEZ JUAN", false}, {"Maria da Silva Santos", "DA SILVA SANTOS MARIA", false}, {"Mamadou Diallo", "DIALLO MAMADOU", false},
		{"Thomas Müller", "MUELLER THOMAS", false}, {"Mehmet Yılmaz", "YILMAZ MEHMET", false}, {"Tanaka Hiroshi", "TANAKA HIROSHI", false}, {"Rajesh Kumar", "KUMAR RAJESH", false},
		{"Zhang Xiaoming", "ZHANG XIAOMING", false}, {"Sergei Ivanov", "IVANOV SERGEI", false}, {"Jean Dupont", "DUPONT JEAN", false}, {"Ana Santos Pereira", "SANTOS PEREIRA ANA", false},
	} {
		p := index(person(c.recorded, day("1981-05-14")))
		for _, birth := range []string{"", "1981"} {
			if birth != "" && !c.year {
				continue
			}
			if got := p.Search(&queryv1.PersonQuery{Name: c.asked, BirthDate: birth}, 1); len(got) != 0 {
				t.Errorf("%s beside %s, born %q: told, %s", c.asked, c.recorded, birth, got[0].Explanation)
			}
		}
		if got := p.Search(ask(c.asked, "1981-05-14"), 1); len(got) != 1 {
			t.Errorf("%s beside %s is not told with the day of birth", c.asked, c.recorded)
		}
	}
}

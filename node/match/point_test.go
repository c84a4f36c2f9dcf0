package match

import (
	"testing"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// A common name alone says nothing; the most common are no better with a year, which one in sixty shares.
func TestCommonNamesNeverAlertAlone(t *testing.T) {
	for _, c := range []struct {
		recorded, asked string
		year            bool
	}{
		{"Mohamed Ahmed", "MOHAMED AHMED", true}, {"Mohammed Ahmad", "AHMED MOHAMED", true}, {"Wang Wei", "WANG WEI", true}, {"José Silva", "SILVA JOSE", true},
		{"John Smith", "SMITH JOHN", true}, {"Kim Min-jun", "KIM MIN JUN", false}, {"Nguyen Van Hung", "NGUYEN VAN HUNG", true}, {"Gurpreet Singh", "SINGH GURPREET", false},
		{"Ivan Ivanov", "IVANOV IVAN", true}, {"Ahmet Yilmaz", "YILMAZ AHMET", true}, {"Takashi Sato", "SATO TAKASHI", true}, {"Abdullah Mohammed", "ABDULLAH MOHAMMED", true},
		{"Juan García López", "GARCIA LOPEZ JUAN", false}, {"Maria da Silva Santos", "DA SILVA SANTOS MARIA", false}, {"Mamadou Diallo", "DIALLO MAMADOU", false},
		{"Thomas Müller", "MUELLER THOMAS", false}, {"Mehmet Yılmaz", "YILMAZ MEHMET", true}, {"Tanaka Hiroshi", "TANAKA HIROSHI", false}, {"Rajesh Kumar", "KUMAR RAJESH", true},
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

// TestCommonName: what a check says of a name follows from the name and the birth date alone.
func TestCommonName(t *testing.T) {
	for _, c := range []struct {
		name                      string
		alone, year, month, whole bool
	}{
		{"MOHAMED AHMED", true, true, true, false},
		{"NGUYEN VAN HUNG", true, true, false, false},
		{"JOHN SMITH", true, false, false, false},
		{"KIM MIN JUN", true, false, false, false},
		{"GARCIA LOPEZ JUAN", true, false, false, false},
		{"AL MOHAMED B", true, true, true, false}, // a particle and an initial make no name rarer
		{"KARIM ZEROUALI", false, false, false, false},
		{"QUISTORIVANE ZERDALAN", false, false, false, false},
		{"محمد أحمد", true, true, true, false},
	} {
		for birth, want := range map[string]bool{"": c.alone, "1981": c.year, "1981-05": c.month, "1981-05-14": c.whole} {
			if got := CommonName(&queryv1.PersonQuery{Name: c.name, BirthDate: birth}); got != want {
				t.Errorf("%s, born %q: %v", c.name, birth, got)
			}
		}
	}
	cut := &queryv1.PersonQuery{Primary: "MARIA", Secondary: "QUISTORIVANEZ", Truncated: true}
	if CommonName(cut) {
		t.Error("a name of which the rare word was cut off is common")
	}
}

func TestInnocents(t *testing.T) {
	for held, want := range map[int]int{0: 40_000, 1_999: 40_000, 2_000: 220_000, 5_365: 220_000, 10_000: 150_000, 15_000: 100_000, 200_000: 100_000, 200_001: 50_000, 5_000_000: 50_000} {
		if got := Innocents(held); got != want {
			t.Errorf("among %d names: %d, want %d", held, got, want)
		}
	}
}

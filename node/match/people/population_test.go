package people

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func words(t Traveller) []string {
	return strings.FieldsFunc(strings.ToLower(t.Name()), func(r rune) bool { return r == ' ' || r == '-' })
}

func TestRegions(t *testing.T) {
	k := load()
	if n := len(Regions()); n < 8 {
		t.Fatalf("%d regions of names, want at least 8", n)
	}
	for _, name := range Regions() {
		var lists wordsOf
		for _, r := range k.regions {
			if r.group != name {
				continue
			}
			for i := range r.lists {
				lists[i].words = append(lists[i].words, r.lists[i].words...)
			}
		}
		distinct := func(lists ...[]string) int {
			all := map[string]bool{}
			for _, l := range lists {
				for _, w := range l {
					all[w] = true
				}
			}
			return len(all)
		}
		given, surnames := distinct(lists[listMen].words, lists[listWomen].words), distinct(lists[listSurnames].words)
		// Koreans and Vietnamese share few surnames: there are not more of them.
		least := 300
		if strings.Contains(name, "Korean") {
			least = 200
		}
		if given < 300 || surnames < least {
			t.Errorf("%s: %d given names and %d surnames, want at least 300 and %d", name, given, surnames, least)
		}
	}
}

func TestSameSeedSamePopulation(t *testing.T) {
	a, b, c := NewPopulation(7), NewPopulation(7), NewPopulation(8)
	other := 0
	for range 2000 {
		x, y, z := a.Next(), b.Next(), c.Next()
		if x != y {
			t.Fatalf("the same seed gave %v and %v", x, y)
		}
		if x != z {
			other++
		}
		if a.Again(x) != b.Again(y) {
			t.Fatal("the same seed described one person in two ways")
		}
		c.Again(z)
	}
	if other < 1990 {
		t.Errorf("another seed gave %d of 2000 travellers that differ", other)
	}
}

func TestTravellersAreWhole(t *testing.T) {
	p := NewPopulation(1)
	seen := map[string]int{}
	oneName := 0
	const n = 50_000
	for range n {
		x := p.Next()
		seen[x.Region]++
		if x.Name() == "" || strings.Contains(x.Name(), "  ") || strings.TrimSpace(x.Name()) != x.Name() && x.Surname != "" {
			t.Fatalf("a name of blanks: %+v", x)
		}
		if x.Surname == "" || x.Given == "" {
			oneName++
		}
		for _, c := range x.Name() {
			if (c < 'A' || c > 'Z') && c != ' ' && c != '-' {
				t.Fatalf("%q in %+v: a machine-readable zone has no such sign", c, x)
			}
		}
		born, err := time.Parse(time.DateOnly, x.Born)
		if err != nil || born.Year() < 1930 || born.Year() > 2026 {
			t.Fatalf("born: %+v: %v", x, err)
		}
		if x.Sex != Male && x.Sex != Female || len(x.Nationality) != 3 {
			t.Fatalf("sex or nationality: %+v", x)
		}
	}
	for _, r := range Regions() {
		if seen[r] < n/100 {
			t.Errorf("%s: %d of %d travellers", r, seen[r], n)
		}
		if got := p.From(r).Region; got != r {
			t.Errorf("From(%q) gave a traveller of %q", r, got)
		}
	}
	if oneName > n/20 {
		t.Errorf("%d of %d travellers have one name", oneName, n)
	}
}

// The frequencies are worked out from the tables, the travellers are drawn from them: they must
// agree, or a common name would count as a rare one.
func TestFrequencyIsWhatIsCounted(t *testing.T) {
	p := NewPopulation(2)
	const n = 200_000
	counted := map[string]int{}
	sexes := 0
	for range n {
		x := p.Next()
		all := words(x)
		slices.Sort(all)
		for _, w := range slices.Compact(all) {
			counted[w]++
		}
		if sex, share := SexOf(words(x)[0]); share > 0.9 && sex == x.Sex {
			sexes++
		}
	}
	most := slices.SortedFunc(maps.Keys(counted), func(a, b string) int {
		return cmp.Or(cmp.Compare(counted[b], counted[a]), cmp.Compare(a, b))
	})
	for _, w := range most[:400] {
		got, want := Frequency(w), float64(counted[w])/n
		if slack := 0.25*want + 5*math.Sqrt(want/n); math.Abs(got-want) > slack {
			t.Errorf("Frequency(%q) = %.5f, counted %.5f", w, got, want)
		}
	}
	t.Logf("%d distinct words among %d travellers; the most frequent: %v", len(counted), n, most[:20])
	if len(counted) < n/5 {
		t.Errorf("%d distinct words among %d travellers: too few rare names", len(counted), n)
	}
	once := 0
	for _, c := range counted {
		if c == 1 {
			once++
		}
	}
	if share := float64(once) / float64(len(counted)); share < 0.4 || share > 0.85 {
		t.Errorf("%.2f of the words are met with once: no distribution of names", share)
	}
	if sexes < n/2 {
		t.Errorf("the sex follows from the first name of %d of %d travellers", sexes, n)
	}
}

func TestFrequency(t *testing.T) {
	order := []string{"qzxwvplkj", "ouedraogo", "smith", "mohamed"}
	for i := 1; i < len(order); i++ {
		if Frequency(order[i]) <= Frequency(order[i-1]) {
			t.Errorf("%s is not more frequent than %s", order[i], order[i-1])
		}
	}
	for _, w := range []string{"", "a", "qqqqqqqqqqqqqqqqqqqqqqqqqqqq", "محمد", "Müller"} {
		if f := Frequency(w); f <= 0 || f >= 1 {
			t.Errorf("Frequency(%q) = %v", w, f)
		}
	}
	if NameFrequency("muhamed") < 10*Frequency("muhamed") {
		t.Error("a rare spelling of MOHAMED is not taken for the common name that it is")
	}
	if Frequency("mahoumed") > Frequency("mohamed") || FrequencyIn("Arabic", "mohamed") < Frequency("mohamed") {
		t.Error("MOHAMED is not at home in Arabic")
	}
}

func TestRegionOf(t *testing.T) {
	p := NewPopulation(3)
	right := map[string]int{}
	const n = 400
	for _, r := range Regions() {
		for range n {
			if RegionOf(words(p.From(r))) == r {
				right[r]++
			}
		}
		if right[r] < n*6/10 {
			t.Errorf("%s: %d of %d names are found at home", r, right[r], n)
		}
	}
	t.Log(right)
	if got := RegionOf([]string{"qqqq"}); got != "" {
		t.Errorf("a word of no table is at home in %q", got)
	}
}

func TestAgainIsTheSamePerson(t *testing.T) {
	p := NewPopulation(4)
	same, born := 0, 0
	const n = 5000
	for range n {
		x := p.Next()
		y := p.Again(x)
		if y.Name() == x.Name() {
			same++
		}
		if y.Born == x.Born {
			born++
		}
		if strings.TrimSpace(y.Name()) == "" || y.Sex != x.Sex || y.Nationality != x.Nationality {
			t.Fatalf("%+v became %+v", x, y)
		}
	}
	if same > n/5 {
		t.Errorf("%d of %d are described with the same name", same, n)
	}
	if born < n*7/10 || born > n*9/10 {
		t.Errorf("%d of %d have the same birth date", born, n)
	}
}

func BenchmarkNext(b *testing.B) {
	p := NewPopulation(1)
	b.ReportAllocs()
	for b.Loop() {
		p.Next()
	}
}

func BenchmarkFrequency(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Frequency("mohamed")
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		k := &knowledge{}
		for _, read := range []func(*knowledge) error{readRoles, readGroups, readNicknames, readEndings, readRegions} {
			if err := read(k); err != nil {
				b.Fatal(err)
			}
		}
		k.count()
	}
}

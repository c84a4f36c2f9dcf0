package limits

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// TestDistinct holds the error that the documentation names.
func TestDistinct(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	worst := 0.0
	for _, n := range []int{0, 1, 3, 20, 100, 1000, 5000, 6000, 50_000, 200_000} {
		var square float64
		const rounds = 20
		for range rounds {
			d := newDistinct()
			for range n {
				m := Mark(r.Uint64())
				d.add(m)
				d.add(m) // a repetition is none
			}
			if n > 0 {
				e := (float64(d.count()) - float64(n)) / float64(n)
				square += e * e
			} else if d.count() != 0 {
				t.Errorf("nothing counts %d", d.count())
			}
			again, err := decodeDistinct(d.encode())
			if err != nil {
				t.Fatal(err)
			}
			if *again != *d {
				t.Errorf("%d: what was saved is not what is read", n)
			}
		}
		e := math.Sqrt(square / rounds)
		worst = max(worst, e)
		if e > 0.04 {
			t.Errorf("%d: the error is %.1f %%", n, e*100)
		}
	}
	t.Logf("worst root mean square error %.1f %%", worst*100)
}

// TestNear holds how many different questions make a pattern, on a busy asker's background.
func TestNear(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := rand.New(rand.NewPCG(2, 2))
	least, most := 1<<30, 0
	for range 300 {
		n := &near{sample: nearSample}
		for range 8000 { // an hour of a large bureau
			if n.add(now, Subject{Exact: Mark(r.Uint64()), Near: []Mark{Mark(r.Uint64())}}) {
				t.Fatal("the background is a pattern")
			}
		}
		place := Mark(r.Uint64())
		for i := 1; ; i++ {
			m := Mark(r.Uint64())
			n.add(now, Subject{Exact: m, Near: []Mark{place}}) // asked twice is asked once
			if n.add(now, Subject{Exact: m, Near: []Mark{place}}) {
				least, most = min(least, i), max(most, i)
				break
			}
		}
	}
	if least < 60 || most > 250 {
		t.Errorf("a pattern after %d to %d questions, want about %d", least, most, nearDistinct)
	}
	t.Logf("a pattern after %d to %d questions", least, most)

	n := &near{sample: nearSample}
	for i := range 10_000 { // slowly
		if n.add(now.Add(time.Duration(i)*time.Minute), Subject{Exact: Mark(r.Uint64()), Near: []Mark{7}}) {
			t.Fatalf("one a minute is a pattern after %d", i)
		}
	}
}

func TestNearIsSaved(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	now := time.Unix(1_800_000_000, 0)
	n := &near{sample: 4}
	for i := range 400 {
		n.add(now.Add(time.Duration(i)*5*time.Second), Subject{Exact: Mark(r.Uint64()) &^ 0xff << 8, Near: []Mark{1 << 40}})
		n.add(now, Subject{Exact: Mark(r.Uint64()), Near: []Mark{Mark(r.Uint64())}})
	}
	saved := n.encode(nearSaved)
	again, err := decodeNear(saved)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(saved, again.encode(nearSaved)); diff != "" {
		t.Error(diff)
	}
}

func TestMarks(t *testing.T) {
	m := NewMarker([]byte("one"))
	doc := func(number, issuer string) Subject {
		return m.Question(&queryv1.DocumentQuery{Number: number, Issuer: issuer}, nil)[0]
	}
	person := func(q *queryv1.PersonQuery) Subject { return m.Question(nil, q)[0] }
	shares := func(a, b Subject) bool {
		for _, x := range a.Near {
			for _, y := range b.Near {
				if x == y {
					return true
				}
			}
		}
		return false
	}
	if a, b := doc("EH-123456<", "BEL"), doc("eh 123456", "BEL"); a.Exact != b.Exact {
		t.Error("two spellings of one number are two")
	}
	if a, b := doc("EH123456", "BEL"), doc("EH123999", "BEL"); a.Exact == b.Exact || !shares(a, b) {
		t.Error("neighbours do not lie next to each other")
	}
	if a, b := doc("EH123456", "BEL"), doc("EH123456", "FRA"); a.Exact == b.Exact || shares(a, b) {
		t.Error("two states' numbers are one")
	}
	peeters := &queryv1.PersonQuery{Name: "Jan Peeters", BirthDate: "1984-03-11"}
	if a, b := person(peeters), person(&queryv1.PersonQuery{Primary: "PEETERS", Secondary: "JAN", BirthDate: "1984-03-11"}); a.Exact != b.Exact {
		t.Error("the order of the names makes two questions")
	}
	for _, same := range [][2]string{
		{"Jürgen Müller-Lüdenscheidt", "MUELLER LUEDENSCHEIDT JUERGEN"},
		{"Sa`id O’Neil", "SAID ONEIL"},
		{"Алексей Хрущёв", "KHRUSHCHEV ALEKSEI"},
		{"مُحَمَّد الحسيني", "الحسيني محمد"},
		{"محمد الحسيني", "ALXHSYNY MXHMD"},
		{"王小明", "Wang Xiaoming"},
		{"ＪＡＮ  peeters", "Peeters, Jan"},
		{"𐐀𐐁", "𐐨𐐩"}, // a script that nothing reads, in two cases
	} {
		if a, b := person(&queryv1.PersonQuery{Name: same[0]}), person(&queryv1.PersonQuery{Name: same[1]}); a.Exact != b.Exact {
			t.Errorf("%s and %s are two questions", same[0], same[1])
		}
	}
	for name, q := range map[string]*queryv1.PersonQuery{
		"another name":       {Name: "Piet Claes", BirthDate: "1984-03-11"},
		"another date":       {Name: "Jan Peeters", BirthDate: "1971-01-01"},
		"another spelling":   {Name: "Yan Pieterz", BirthDate: "1984-03-11"},
		"another sex":        {Name: "Jan Peeters", BirthDate: "1984-03-11", Sex: 1},
		"another birthplace": {Name: "Jan Peeters", BirthDate: "1984-03-11", BirthCountry: "COD"},
	} {
		if a, b := person(peeters), person(q); a.Exact == b.Exact || !shares(a, b) {
			t.Errorf("%s: a step away is not near", name)
		}
	}
	if shares(person(peeters), person(&queryv1.PersonQuery{Name: "Piet Claes", BirthDate: "1971-01-01"})) {
		t.Error("two strangers are near")
	}
	if a, b := person(&queryv1.PersonQuery{Name: "محمد"}), person(&queryv1.PersonQuery{Name: "ᚠᚢᚦ"}); a.Exact == b.Exact {
		t.Error("names in other scripts are one")
	}
	if other := NewMarker([]byte("two")).Question(&queryv1.DocumentQuery{Number: "EH123456", Issuer: "BEL"}, nil)[0]; other.Exact == doc("EH123456", "BEL").Exact {
		t.Error("the marks do not depend on the key")
	}
	if len(m.Question(nil, nil)) != 0 {
		t.Error("nothing asked is something")
	}
}

func TestReasons(t *testing.T) {
	for _, r := range Reasons() {
		if r.What == "" || r.Bureau == "" || r.Agency == "" || len(r.Why) < 20 {
			t.Errorf("%+v is not complete", r)
		}
	}
	if got := number(1234567.0); got != "1,234,567" {
		t.Errorf("number %q", got)
	}
}

func FuzzDecode(f *testing.F) {
	d := newDistinct()
	d.add(12345)
	n := &near{sample: 2}
	f.Add(d.encode(), n.encode(nearSaved))
	f.Add([]byte{formDense}, []byte("x"))
	f.Fuzz(func(t *testing.T, seen, nearby []byte) {
		if d, err := decodeDistinct(seen); err == nil {
			d.count()
			if again, err := decodeDistinct(d.encode()); err != nil || *again != *d {
				t.Error("a count does not survive")
			}
		}
		if n, err := decodeNear(nearby); err == nil && n != nil {
			n.add(time.Unix(1_800_000_000, 0), Subject{Exact: 1, Near: []Mark{2}})
		}
	})
}

func FuzzRestore(f *testing.F) {
	f.Add(`{"scope":1,"name":"ESP","hour":495000,"hours":[{"hour":494999,"questions":3}],"pending":[{"operation":"ask","count":3}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var s savedAccount
		if json.Unmarshal([]byte(text), &s) != nil {
			return
		}
		now := time.Unix(1_800_000_000, 0)
		a, err := restore(s, now, false)
		if err != nil {
			return
		}
		a.unite()
		a.roll(now)
		if _, err := a.saved(false); err != nil && !strings.Contains(err.Error(), "Time.MarshalJSON") && !strings.Contains(err.Error(), "unsupported value") {
			t.Errorf("what was restored cannot be saved: %v", err)
		}
	})
}

// nowhere keeps nothing.
type nowhere struct{}

func (nowhere) PutState(context.Context, string, string, []byte) error { return nil }
func (nowhere) ListState(context.Context, string) (map[string][]byte, error) {
	return nil, nil
}
func (nowhere) DeleteState(context.Context, string, string) error { return nil }

func benchmarked(b *testing.B) *Limits {
	l, err := New(b.Context(), Config{
		Self: "BEL", State: nowhere{}, Bureau: &adminv1.Quota{PerSecond: 1e6, Burst: 1e6, SubjectsPerDay: 1 << 40, PositivesPerDay: 1 << 40},
		Book:  func(context.Context, *auditv1.Entry) error { return nil },
		Raise: func(context.Context, adminv1.AlarmKind, string, string) {},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done })
	return l
}

func BenchmarkAsk(b *testing.B) {
	l := benchmarked(b)
	from := identity.Node("demo.entente", "ESP", "1")
	r := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	for b.Loop() {
		leave, err := l.Enter(b.Context(), from, queryv1.QueryService_Ask_FullMethodName)
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Asked(b.Context(), "ESP", Subject{Kind: Person, Exact: Mark(r.Uint64()), Near: []Mark{Mark(r.Uint64()), Mark(r.Uint64())}}); err != nil {
			b.Fatal(err)
		}
		l.Told("ESP", 1)
		leave()
	}
}

func BenchmarkMarks(b *testing.B) {
	m := NewMarker([]byte("secret"))
	b.Run("document", func(b *testing.B) {
		keys := []string{"EH123456"}
		for b.Loop() {
			m.Documents("BEL", keys)
		}
	})
	b.Run("person", func(b *testing.B) {
		q := &queryv1.PersonQuery{Name: "Mohammed al-Rashidi", BirthDate: "1984-03-11", Nationality: "BEL"}
		for b.Loop() {
			m.Person(q)
		}
	})
}

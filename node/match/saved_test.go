package match

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/node/match/people"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// invented are persons of all the world, with as many bytes of body as a list has of one.
func invented(seed uint64, n int) []*recordv1.Record {
	world := people.NewPopulation(seed)
	all := make([]*recordv1.Record, n)
	regions := people.Regions()
	for i := range all {
		t := world.From(regions[i%len(regions)])
		all[i] = person(t.Given+" "+t.Surname+"|"+t.Surname, day(t.Born))
		all[i].RecordId = fmt.Sprintf("un:%07d", i)
		all[i].GetPerson().Remarks = "Last seen where the road meets the river; said to travel with two others, and to know the pass"
		all[i].Stewardship = &recordv1.Stewardship{OwnerBureau: "ESP", OriginAgency: "ncb", NationalRef: all[i].RecordId, Version: 1}
	}
	return all
}

func saved(t testing.TB, p *Persons) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.Snapshot().Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSavedIndexAnswersAlike(t *testing.T) {
	records := invented(1, 3000) // more than the head holds
	p := NewPersons(Options{})
	for _, r := range records {
		p.Put(r.GetRecordId(), r)
	}
	for _, r := range records[:100] {
		p.Remove(r.GetRecordId())
	}
	p.Put("un:0000100", records[0]) // replaced
	q, err := LoadPersons(Options{}, bytes.NewReader(saved(t, p)))
	if err != nil {
		t.Fatal(err)
	}
	if q.Len() != p.Len() || q.Names() != p.Names() || len(q.bodies.byID) != p.Len() {
		t.Errorf("%d persons, %d names; saved %d and %d", p.Len(), p.Names(), q.Len(), q.Names())
	}
	hits := 0
	for _, r := range records[:400] {
		asked := ask(textOf(r.GetPerson().GetNames()[0]), r.GetPerson().GetBirths()[0].GetFrom())
		want, got := p.Search(asked, 10), q.Search(asked, 10)
		if len(got) != len(want) {
			t.Fatalf("%s: %d hits, saved %d", r.GetRecordId(), len(want), len(got))
		}
		for i := range got {
			hits++
			if got[i].RecordID != want[i].RecordID || got[i].Score != want[i].Score || !proto.Equal(got[i].Record, want[i].Record) {
				t.Errorf("%s: %+v, saved %+v", r.GetRecordId(), want[i], got[i])
			}
		}
	}
	if hits < 300 {
		t.Errorf("%d hits: nothing was compared", hits)
	}
	// What comes after a snapshot is not in it.
	s := q.Snapshot()
	q.Put("un:later", heldAs("un:later", "Zerdalan Quistori", 0))
	if s.Persons() != p.Len() {
		t.Errorf("%d in the snapshot, want %d", s.Persons(), p.Len())
	}
}

func TestSavedIndexIsWholeOrNone(t *testing.T) {
	p := index(person("Karim Zerouali", day("1989-04-17")), person("Ivan Petrov"))
	whole := saved(t, p)
	for n := range len(whole) {
		if _, err := LoadPersons(Options{}, bytes.NewReader(whole[:n])); err == nil {
			t.Fatalf("%d of %d bytes are an index", n, len(whole))
		}
	}
	// A body that is missing would be a person who is found and cannot be told of.
	s := p.Snapshot()
	delete(s.bodies, "esp:1")
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadPersons(Options{}, &b); err == nil {
		t.Error("a person without a body was taken")
	}
}

func TestBuildPersonsTakesTheLatest(t *testing.T) {
	first, second := heldAs("a", "Zerdalan Quistori", 0), heldAs("a", "Vermondo Halvekin", 0)
	gone := &recordv1.Record{RecordId: "b"}
	back := heldAs("c", "Pelgrino Ontemarr", 0)
	p := BuildPersons(Options{}, func(yield func(*recordv1.Record) bool) {
		for _, r := range []*recordv1.Record{
			first, heldAs("b", "Brustaldi Ferrandes", 0), back, heldAs("d", "1234 …", 0), second, gone, {RecordId: "c"}, {RecordId: "nobody"}, back,
		} {
			if !yield(r) {
				return
			}
		}
	})
	for text, want := range map[string]int{"Zerdalan Quistori": 0, "Brustaldi Ferrandes": 0, "Vermondo Halvekin": 1, "Pelgrino Ontemarr": 1} {
		if got := p.Search(ask(text, "1980-05-06"), 10); len(got) != want {
			t.Errorf("%s: %d found, want %d", text, len(got), want)
		}
	}
	if p.Len() != 2 || len(p.bodies.byID) != 2 {
		t.Errorf("%d persons, %d bodies, want 2", p.Len(), len(p.bodies.byID))
	}
	p.Keep(func(id string) bool { return id == "c" })
	if p.Len() != 1 || len(p.bodies.byID) != 1 {
		t.Errorf("%d persons, %d bodies, want 1", p.Len(), len(p.bodies.byID))
	}
}

func TestCalibrationIsRecalled(t *testing.T) {
	p := index(person("Karim Zerouali", day("1989-04-17")), person("Mohamed Ahmed"))
	if err := p.Calibrate(t.Context(), Measure{Seed: 1, Each: 300}); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(p.Calibration())
	if err != nil {
		t.Fatal(err)
	}
	c := &Calibration{}
	if err := json.Unmarshal(b, c); err != nil {
		t.Fatal(err)
	}
	q := index(person("Karim Zerouali", day("1989-04-17")), person("Mohamed Ahmed"))
	q.Recall(c)
	for _, asked := range []string{"KARIM ZEROUALI", "IVAN PETROV", "PARK MIN JUN"} {
		for _, born := range []string{"", "1989-04-17"} {
			if want, got := p.Threshold(ask(asked, born)), q.Threshold(ask(asked, born)); got != want {
				t.Errorf("%s %s: %.3f, recalled %.3f", asked, born, want, got)
			}
		}
	}
}

// BenchmarkBuild is what an index of 100,000 persons costs, by name, with what is said of each: built at
// once, put one by one, and loaded from where it was saved.
//
//	go test ./node/match -run xxx -bench Build -benchtime 1x
func BenchmarkBuild(b *testing.B) {
	const persons = 100_000
	alive := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	var whole []byte
	bodies := 0
	each := func(yield func(*recordv1.Record) bool) {
		for from := range persons / 1000 { // not all at once in memory
			for i, r := range invented(uint64(from), 1000) {
				r.RecordId = fmt.Sprintf("un:%07d", from*1000+i)
				if !yield(r) {
					return
				}
			}
		}
	}
	for _, way := range []struct {
		name string
		make func() *Persons
	}{
		{"at once", func() *Persons { return BuildPersons(Options{}, each) }},
		{"one by one", func() *Persons {
			p := NewPersons(Options{})
			for r := range each {
				p.Put(r.GetRecordId(), r)
			}
			p.Wait()
			return p
		}},
		{"saved", func() *Persons {
			p, err := LoadPersons(Options{}, bytes.NewReader(whole))
			if err != nil {
				b.Fatal(err)
			}
			return p
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			var p *Persons
			before := alive()
			for b.Loop() {
				p = nil
				p = way.make()
			}
			b.ReportMetric(float64(alive()-before)/float64(p.Names()), "B/name")
			b.ReportMetric(float64(p.Names())/persons, "names/person")
			if whole == nil {
				for _, body := range p.bodies.byID {
					bodies += len(body)
				}
				var w bytes.Buffer
				if err := p.Snapshot().Save(&w); err != nil {
					b.Fatal(err)
				}
				whole = w.Bytes()
			}
			b.ReportMetric(float64(bodies)/float64(p.Names()), "B-of-body/name")
			runtime.KeepAlive(p)
		})
	}
}

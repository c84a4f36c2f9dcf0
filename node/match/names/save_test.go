package names

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestSavedIndexAnswersTheSame(t *testing.T) {
	all := people4(3000, 21)
	all[7].NotSame = []NotSame{{Name: "Karim Zerouali", Born: 3000}}
	all[8].Names = append(all[8].Names, Name{Text: "..."}, Name{Text: "خالد الحسيني"})
	x := Build(slices.Values(all))
	x.Put(&Person{ID: "later", Names: []Name{{Text: "Zerdalan Quistorivane"}}})
	x.Remove("p3")
	loaded, err := Unmarshal(x.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(all[:300:300], &Person{Names: []Name{{Text: "QUISTORIVANE ZERDALAN"}}, Births: []Span{{}}}) {
		q := &Query{Name: p.Names[0].Text, Birth: p.Births[0], BirthKnown: true, Sex: 'M'}
		told := func(x *Index) string {
			found := x.Search(q, 5, 10).Found
			for i := range found {
				found[i].person, found[i].name = 0, 0 // where they lie is not told
			}
			return fmt.Sprintf("%+v", found)
		}
		if a, b := told(x), told(loaded); a != b {
			t.Fatalf("%q: %s, after it was saved and loaded %s", q.Name, a, b)
		}
	}
	if loaded.Len() != x.Len() || loaded.Names() != x.Names() {
		t.Errorf("%d persons with %d names, saved were %d with %d", loaded.Len(), loaded.Names(), x.Len(), x.Names())
	}
}

// An index that another form, other tables or other rules made is refused, and so is one that was
// changed since.
func TestSavedByOthersIsRefused(t *testing.T) {
	x := Build(slices.Values(people4(50, 22)))
	good := x.Marshal()
	by := madeBy()
	at := func(i int) []byte {
		b := slices.Clone(good)
		b[i] ^= 1
		return b
	}
	s := x.view.Load().frozen[0]
	s.words[0].share /= 2
	var other writer
	s.save(&other)
	for what, c := range map[string]struct {
		b    []byte
		want error
	}{
		"another form":                 {at(len(magic) - 2), ErrStale},
		"other tables":                 {at(len(magic)), ErrStale},
		"another share of a word":      {seal(other.b, by), ErrStale},
		"a bit of its sum":             {at(sealed - 1), ErrDamaged},
		"a bit of its content":         {at(len(good) - 1), ErrDamaged},
		"a part":                       {good[:len(good)-1], ErrDamaged},
		"a part with the sum of it":    {seal(good[sealed:len(good)-1], by), ErrDamaged},
		"nothing":                      {nil, ErrStale},
		"more with the sum of it":      {seal(append(slices.Clone(good[sealed:]), 0), by), ErrDamaged},
		"a length beyond what is left": {seal([]byte("\xff\xff\xff\x7f"), by), ErrDamaged},
	} {
		if _, err := Unmarshal(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

// What a saved index says of lengths is believed only as far as there are bytes: a short file that
// claims millions of words or persons takes no memory for them.
func TestLengthsAreHeldAgainstWhatIsLeft(t *testing.T) {
	var many writer
	many.u32(1 << 30)
	many.b = append(many.b, make([]byte, 1000)...)
	var persons writer
	for range 7 { // no words, keys and names
		persons.u32(0)
	}
	persons.u32(1 << 30)
	persons.b = append(persons.b, make([]byte, 1000)...)
	for _, body := range [][]byte{many.b, persons.b} {
		b := seal(body, madeBy())
		if got := testing.AllocsPerRun(1, func() {
			r := reader{b: b[sealed:]}
			if loadSegment(&r); !r.failed {
				t.Error("a length beyond what is left is believed")
			}
		}); got > 100 {
			t.Errorf("%v allocations", got)
		}
	}
}

// FuzzUnmarshal hands in what carries the right head and sum, so that what is taken apart is not
// what stops it.
func FuzzUnmarshal(f *testing.F) {
	all := people4(3, 1)
	all[0].NotSame = []NotSame{{Name: "Karim Zerouali", Born: 3000}}
	all[1].Names = append(all[1].Names, Name{Text: "خالد الحسيني"})
	b := Build(slices.Values(all)).Marshal()
	f.Add(b[sealed:], 0, byte(0))
	f.Add(b[sealed:], len(b)/2, byte(0xff))
	f.Add(b[sealed:sealed+(len(b)-sealed)/2], 3, byte(0x80))
	f.Add([]byte(magic), 1, byte(1))
	by := madeBy()
	f.Fuzz(func(t *testing.T, body []byte, at int, change byte) {
		body = slices.Clone(body)
		if len(body) > 0 {
			body[uint(at)%uint(len(body))] ^= change
		}
		if _, err := unmarshal(body, by); err == nil {
			t.Error("no head and no error")
		}
		r := reader{b: body}
		s := loadSegment(&r)
		if r.failed || len(r.b) > 0 || !s.link() {
			if _, err := unmarshal(seal(body, by), by); !errors.Is(err, ErrDamaged) {
				t.Errorf("%v, want that it is damaged", err)
			}
			return
		}
		// Whole enough to be searched, whatever the words are.
		x := NewIndex()
		x.view.Store(&view{frozen: []*segment{s}, head: newSegment()})
		for i := range s.words[:min(len(s.words), 20)] {
			for _, r := range x.Search(&Query{Name: s.words[i].text, Birth: Span{From: 3000, To: 3000}, BirthKnown: true}, -100, 400).Found {
				if r.At < 0 || r.Score != r.Score {
					t.Fatalf("%+v", r)
				}
				x.Remove(r.ID)
			}
		}
		x.Put(&Person{ID: "p0", Names: []Name{{Text: "Karim Zerouali"}}})
		mergeSegments(x.allFrozen())
	})
}

// A saved index is loaded in a part of the time that it takes to build it.
func BenchmarkSaved(b *testing.B) {
	all := people4(50_000, 23)
	saved := Build(slices.Values(all)).Marshal()
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			Build(slices.Values(all))
		}
	})
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, err := Unmarshal(saved); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(saved))/float64(2*len(all)), "B/name")
	})
}

package names

import (
	"slices"
	"testing"
)

func TestMoved(t *testing.T) {
	for _, c := range []struct {
		listed []uint32
		want   []bool
	}{
		{nil, []bool{}},
		{[]uint32{1}, []bool{false}},
		{[]uint32{1, 2, 4}, []bool{false, false, false}},
		{[]uint32{4, 1, 2}, []bool{true, false, false}},
		{[]uint32{2, 4, 1}, []bool{false, false, true}},
		{[]uint32{1, 8, 2, 4}, []bool{false, true, false, false}},
		{[]uint32{2, 1}, []bool{false, true}},
		{[]uint32{12, 3}, []bool{false, true}}, // joined words
	} {
		var chosen []option
		for _, l := range c.listed {
			chosen = append(chosen, option{listed: l})
		}
		if got := moved(chosen); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.listed, got, c.want)
		}
	}
}

func TestCutOffIsToldOfACutNameAlone(t *testing.T) {
	long, begin, letter := newWord("papandropoulou"), newWord("papandro"), newWord("p")
	cut, whole := &asked{truncated: true}, &asked{}
	if !cut.isCutOff(begin, long) {
		t.Error("the beginning of a word is not cut off")
	}
	if whole.isCutOff(begin, long) || cut.isCutOff(letter, long) || cut.isCutOff(long, begin) || cut.isCutOff(long, long) {
		t.Error("cut off: of a whole name, a letter, what goes on, or the same")
	}
}

func TestBornWeight(t *testing.T) {
	mar, dza, fra := codeNumber("MAR"), codeNumber("DZA"), codeNumber("FRA")
	two := newBornSet([]string{"MAR", "", "MAR", "DZA"})
	if two != (bornSet{mar, dza}) || newBornSet([]string{"MAR", "DZA", "FRA"}) != (bornSet{}) {
		t.Errorf("%v", two)
	}
	for _, c := range []struct {
		asked, nationality uint16
		says               float32
		listed             bornSet
		want               float32
	}{
		{0, mar, nationalitySame, two, 0},
		{mar, 0, 0, bornSet{}, 0},
		{mar, 0, 0, two, bornSame},
		{dza, mar, nationalitySame, two, bornSame},
		{mar, mar, nationalitySame, two, bornAgain},
		{mar, mar, nationalityOther, two, bornSame},
		{fra, fra, nationalitySame, two, bornOther},
	} {
		if got := bornWeight(c.asked, c.listed, c.nationality, c.says); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestBornIsKept holds that the country of birth stands in a saved index and in merged segments.
func TestBornIsKept(t *testing.T) {
	x := NewIndex()
	x.Put(&Person{ID: "a", Names: []Name{{Text: "Karim Belhadj Zerouali"}}, Born: []string{"MAR"}})
	loaded, err := Unmarshal(x.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	for what, x := range map[string]*Index{"head": x, "saved": loaded} {
		for born, want := range map[string]float32{"MAR": bornSame, "FRA": bornOther, "": 0} {
			q := &Query{Name: "Karim Belhadj Zerouali", Born: born}
			found := x.Search(q, 0, 1).Found
			if len(found) != 1 || found[0].Born != want || found[0].Score != found[0].Name+want {
				t.Errorf("%s, born in %q: %+v", what, born, found)
			}
		}
	}
}

func TestBesideTellsOfWhoIsUnlike(t *testing.T) {
	x := NewIndex()
	x.Put(&Person{ID: "a", Names: []Name{{Text: "Karim Zerouali"}}, Sex: 'M', NotSame: []NotSame{{Name: "Anna Petrova", Born: 4000}}})
	got, ok := x.Beside(&Query{Name: "Anna Petrova", Sex: 'F'}, "a")
	if !ok || got.ID != "a" || got.Name >= 0 || got.Sex >= 0 || len(got.Met) != 4 {
		t.Errorf("%v, %+v", ok, got)
	}
	if _, ok := x.Beside(&Query{Name: "Anna Petrova", Birth: Span{From: 4000, To: 4000}, BirthKnown: true}, "a"); ok {
		t.Error("the owner knows that she is somebody else")
	}
	for _, q := range []*Query{{}, {Name: "Anna"}} {
		if _, ok := x.Beside(q, "b"); ok {
			t.Errorf("%q is beside nobody", q.Name)
		}
	}
}

package names

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func invented(r *rand.Rand) string {
	const consonants, vowels = "bcdfghjklmnprstvyz", "aeiou"
	var b strings.Builder
	for range 2 + r.IntN(3) {
		b.WriteByte(consonants[r.IntN(len(consonants))])
		b.WriteByte(vowels[r.IntN(len(vowels))])
	}
	return b.String()
}

func inventedName(r *rand.Rand) string {
	return invented(r) + " " + invented(r) + " " + invented(r)
}

func people4(n int, seed uint64) []*Person {
	r := rand.New(rand.NewPCG(seed, 1))
	var all []*Person
	for i := range n {
		born := int32(r.IntN(20000))
		all = append(all, &Person{ID: fmt.Sprintf("p%d", i), Names: []Name{{Text: inventedName(r)}, {Text: inventedName(r), Trust: Weak}},
			Births: []Span{{From: born, To: born}}, Nationalities: []Nationality{{Code: "BEL"}}, Sex: 'M'})
	}
	return all
}

func answers(x *Index, all []*Person) []string {
	var out []string
	for _, p := range all {
		q := &Query{Name: p.Names[0].Text, Birth: p.Births[0], BirthKnown: true, Nationality: "BEL", Sex: 'M'}
		for _, f := range x.Search(q, 0, 5).Found {
			// What says nothing may be cut off at another place.
			if f.Score > 5 {
				out = append(out, fmt.Sprintf("%s %.5f %v", f.ID, f.Score, f.Met))
			}
		}
	}
	return out
}

// However an index came about, it says the same: the order of the list, what was withdrawn before,
// and how the segments lie make no difference.
func TestAnswersDoNotDependOnHistory(t *testing.T) {
	all := people4(3*headMost, 1)
	some := all[:50]
	want := answers(Build(slices.Values(all)), some)

	backward := NewIndex()
	for _, p := range slices.Backward(all) {
		backward.Put(p)
	}
	backward.Wait()
	if got := answers(backward, some); !slices.Equal(got, want) {
		t.Errorf("put backward, one by one: %q, want %q", got, want)
	}
	others := NewIndex()
	for i, p := range people4(3*headMost, 2) {
		p.ID = "other" + p.ID
		others.Put(p)
		others.Put(all[i])
		others.Remove(p.ID)
	}
	others.Wait()
	if got := answers(others, some); !slices.Equal(got, want) || others.Len() != len(all) || others.Names() != 2*len(all) {
		t.Errorf("among others, withdrawn since: %d persons, %q, want %q", others.Len(), got, want)
	}
	saved, err := Unmarshal(others.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if got := answers(saved, some); !slices.Equal(got, want) {
		t.Errorf("saved and loaded: %q, want %q", got, want)
	}
	saved.Remove("p0")
	if found := saved.Search(&Query{Name: all[0].Names[0].Text}, 0, 5).Found; len(found) > 0 && found[0].ID == "p0" {
		t.Error("withdrawn from a loaded index and still found")
	}
}

func TestMergesKeepFewSegments(t *testing.T) {
	x := NewIndex()
	all := people4(8*headMost, 3)
	for _, p := range all {
		x.Put(p)
	}
	x.Wait()
	if n := len(x.view.Load().frozen); n > 2*mergeFan || x.Len() != len(all) {
		t.Errorf("%d segments of %d persons", n, x.Len())
	}
}

// The order of the words, case, marks and an apostrophe never lower a score below a bound.
func TestWritingLowersNoScore(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for range 200 {
		words := strings.Fields(inventedName(r))
		x := NewIndex()
		x.Put(&Person{ID: "p", Names: []Name{{Text: strings.Join(words, " ")}}})
		score := func(text string) float32 {
			found := x.Search(&Query{Name: text}, 0, 1).Found
			if len(found) == 0 {
				return 0
			}
			return found[0].Score
		}
		whole := score(strings.Join(words, " "))
		for what, text := range map[string]string{
			"order":      words[2] + " " + words[0] + " " + words[1],
			"case":       strings.ToUpper(strings.Join(words, " ")),
			"separators": words[0] + "<<" + words[1] + "<" + words[2] + "<<<",
			"a mark":     strings.Replace(strings.Join(words, " "), "a", "a\u0300", 1),
			"apostrophe": words[0][:2] + "'" + words[0][2:] + " " + words[1] + " " + words[2],
		} {
			if got := score(text); got < 0.95*whole {
				t.Errorf("%s: %q scores %.2f beside %q, which scores %.2f with itself", what, text, got, words, whole)
			}
		}
	}
}

func FuzzSearch(f *testing.F) {
	x := NewIndex()
	for i, n := range []string{"Karim Belhadj Zerouali", "خالد الحسيني", "Jürgen Müller", "Al", "王小明", "김정은", "Алексей Хрущёв", "J. R. Quistori"} {
		x.Put(&Person{ID: fmt.Sprint(i), Names: []Name{{Text: n}}, Births: []Span{{From: int32(i * 1000), To: int32(i*1000 + i)}}})
	}
	for _, s := range []string{"KARIM ZEROUALI", "ALXHSYNY XKHALD", "\xff", "ﷺ", "ǅ", "A\u0301\u0302", "a b c d e f g h i j k l m n o p", "王", "UXX"} {
		f.Add(s, int32(3000), true)
	}
	f.Fuzz(func(t *testing.T, text string, born int32, truncated bool) {
		q := &Query{Name: text, Truncated: truncated, Birth: Span{From: born, To: born}, BirthKnown: true}
		for _, r := range x.Search(q, -100, 400).Found {
			if r.ID == "" || r.Score != r.Score {
				t.Fatalf("%+v", r)
			}
		}
		x.Likeness(text, "Karim Zerouali")
		own := NewIndex()
		if own.Put(&Person{ID: "own", Names: []Name{{Text: text}}}) && len(own.Search(&Query{Name: text}, 0, 1).Found) == 0 {
			t.Fatalf("%q is not found by itself", text)
		}
	})
}

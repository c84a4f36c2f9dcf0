package names

import (
	"fmt"
	"slices"
	"testing"
)

// Of a key that more words share than are compared, the order of the list does not choose.
func TestTheOrderOfTheListDoesNotChooseWhatIsCompared(t *testing.T) {
	var all []*Person
	const vowels = "aeiou"
	for i := range 2 * maxPerKey {
		// One skeleton, and each another word.
		word := fmt.Sprintf("k%cl%cr%ct%cm", vowels[i%5], vowels[i/5%5], vowels[i/25%5], vowels[i/125%5])
		all = append(all, &Person{ID: fmt.Sprint(i), Names: []Name{{Text: word}}})
	}
	back := slices.Clone(all)
	slices.Reverse(back)
	grown := NewIndex()
	for _, p := range back {
		grown.Put(p)
	}
	grown.Wait()
	for _, asked := range []string{"kylyrytym", "koularatem", "kiilirotaum", "qalaratam"} {
		q := &Query{Name: asked}
		want := Build(slices.Values(all)).Search(q, 1e9, 50).Found
		if len(want) == 0 {
			t.Fatalf("%s finds nobody", asked)
		}
		for how, x := range map[string]*Index{"the other way round": Build(slices.Values(back)), "one by one": grown} {
			got := x.Search(q, 1e9, 50).Found
			same := slices.EqualFunc(want, got, func(a, b Ranked) bool { return a.ID == b.ID && a.Score == b.Score })
			if !same {
				t.Errorf("%s, %s: %s first with %.3f, and %s with %.3f", asked, how, got[0].ID, got[0].Score, want[0].ID, want[0].Score)
			}
		}
	}
}

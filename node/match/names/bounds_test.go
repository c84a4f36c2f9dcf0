package names

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// crowd are persons of one birthday whose many names hold the same common words.
func crowd() []*Person {
	r := rand.New(rand.NewPCG(6, 6))
	var all []*Person
	for i := range 4000 {
		p := &Person{ID: fmt.Sprint(i), Births: []Span{{From: 3000, To: 3000}}}
		for range 20 {
			p.Names = append(p.Names, Name{Text: "Mohammed Ahmed Ali Hassan " + invented(r)[:4]})
		}
		all = append(all, p)
	}
	return all
}

// The worst that can be asked costs a bounded amount of work, whatever the list holds. It is
// counted, not timed.
func TestWorstQueriesAreBounded(t *testing.T) {
	x := Build(slices.Values(crowd()))
	r := rand.New(rand.NewPCG(8, 8))
	var many, common []string
	for i := range 100 {
		many = append(many, invented(r))
		common = append(common, []string{"mohammed", "ahmed", "ali", "hassan"}[i%4])
	}
	for what, text := range map[string]string{
		"100 words":                 strings.Join(many, " "),
		"100 common words":          strings.Join(common, " "),
		"1,000 letters":             strings.Repeat("mabelodinu", 100),
		"1,000 times a letter":      strings.Repeat("x", 1000),
		"long words":                strings.Join([]string{strings.Join(many[:9], ""), strings.Join(many[9:18], ""), strings.Join(many[18:27], "")}, " "),
		"words that may be two":     strings.Join([]string{"mohammedahmed", "ahmedali", "alihassan", "hassanmohammed", "ahmedhassan", "alimohammed", "mohammedali", "hassanali", "ahmedmohammed", "mohammedhassan", "aliahmed", "hassanahmed"}, " "),
		"a common word, 100 times":  strings.Repeat("mohammed ", 100),
		"an article, 300 times":     strings.Repeat("al ", 300),
		"letters":                   strings.Repeat("a b c d ", 60),
		"no words":                  strings.Repeat("\xff", 1000),
		"mixed scripts":             strings.Repeat("mohammed محمد мохаммед 王 모하메드 মোহাম্মদ ", 20),
		"one word of mixed scripts": strings.Repeat("mمм王모", 90),
		"marks":                     strings.Repeat("a\u0301\u0302", 300),
		"all that is common":        "mohammed ahmed ali hassan",
	} {
		s := x.view.Load().frozen[0]
		clear(s.kept.young)
		work := &scratch{known: x.known, place: make(map[uint32]int)}
		a := newAsked(&Query{Name: text, Birth: Span{From: 3000, To: 3000}, BirthKnown: true, Truncated: true}, x.known)
		looks := a.lookUp([]*segment{s}, work)
		a.rank(&looks[0], work, 1e6, nil)
		if len(a.terms) > maxTerms+1 || work.tried > (maxTerms+1)*maxCompared || work.read > 2*maxPostings ||
			work.compared > maxCandidates+maxSameDayNames+maxNames {
			t.Errorf("%s: %d look-ups, %d words compared, %d names read, %d compared", what, len(a.terms), work.tried, work.read, work.compared)
		}
		t.Logf("%s: %d words, %d look-ups, %d words compared, %d names read, %d compared", what, len(a.words), len(a.terms), work.tried, work.read, work.compared)
	}
}

// One person who is put or withdrawn costs as much in a large index as in a small one: the new one
// goes into the head, and of what is frozen nothing is copied.
func TestOneChangeCopiesNoSegment(t *testing.T) {
	x := Build(slices.Values(people4(3000, 4)))
	frozen := x.view.Load().frozen[0]
	p := &Person{ID: "new", Names: []Name{{Text: "Zerdalan Quistorivane"}}}
	found := func() bool {
		all := x.Search(&Query{Name: "QUISTORIVANE ZERDALAN"}, 0, 1).Found
		return len(all) == 1 && all[0].ID == "new"
	}
	x.Put(p)
	if !found() {
		t.Error("put, and not found at once")
	}
	x.Remove("new")
	if found() {
		t.Error("withdrawn, and still found")
	}
	x.Put(&Person{ID: "p1", Names: []Name{{Text: "Zerdalan Quistorivane"}}})
	if got := x.Search(&Query{Name: "Zerdalan Quistorivane"}, 0, 1).Found; len(got) != 1 || got[0].ID != "p1" || x.Len() != 3000 {
		t.Errorf("replaced: %v, %d persons", got, x.Len())
	}
	if now := x.view.Load().frozen; len(now) != 1 || now[0] != frozen {
		t.Error("what is frozen was replaced for one person")
	}
	// A copy of the segment would be as many allocated bytes as it has, thousands of times.
	if got := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			x.Put(p)
			x.Remove("new")
		}
	}); got.AllocedBytesPerOp() > 16<<10 {
		t.Errorf("%d bytes are allocated for one change of an index of 3,000 persons", got.AllocedBytesPerOp())
	}
}

package match

import (
	"testing"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// counting counts what is scored, and by how many names.
type counting struct{ scored, names int }

func (c *counting) Score(a *Asked, s *Subject) (Candidate, bool) {
	c.scored++
	c.names += len(s.Names())
	return Additive{}.Score(a, s)
}

func known(id, name string, aliases int) *recordv1.Record {
	p := &recordv1.Person{Births: []*recordv1.Birth{{From: "1980-05-06", To: "1980-05-06"}}}
	for i := range 1 + aliases {
		text := name
		if i > 0 {
			text += string(rune('A' + i%26))
		}
		p.Names = append(p.Names, &recordv1.Name{Parts: []*recordv1.NamePart{{Kind: recordv1.NamePartKind_NAME_PART_KIND_FULL, Text: text}}})
	}
	return &recordv1.Record{RecordId: id, Body: &recordv1.Record_Person{Person: p}}
}

func TestSearchEvenlyScoresAsMuchForNobody(t *testing.T) {
	decoy := known("decoy", "Nobody", 1)
	for _, c := range []struct{ held, aliases, scored, names int }{
		{0, 0, 5, 64}, {1, 0, 5, 64}, {1, 7, 5, 64}, {1, 31, 5, 64}, {3, 9, 5, 64}, {4, 0, 5, 64}, {6, 0, 7, 64},
		{2, 40, 5, 2*41 + 2 + 1}, // more than anybody has
	} {
		counter := &counting{}
		index := NewPersons(Options{Scorer: counter})
		for i := range c.held {
			index.Put(string(rune('a'+i)), known(string(rune('a'+i)), "Zerdalan Quistori", c.aliases))
		}
		found, decoys := index.SearchEvenly(&queryv1.PersonQuery{Name: "Zerdalan Quistori", BirthDate: "1980-05-06"}, MaxHits, 4, decoy)
		if len(found) != c.held || len(decoys) != max(0, 4-c.held) || counter.scored != c.scored || counter.names != c.names {
			t.Errorf("%d held with %d aliases: %d found, %d decoys, %d scored by %d names, want %d by %d",
				c.held, c.aliases, len(found), len(decoys), counter.scored, counter.names, c.scored, c.names)
		}
		for _, d := range decoys {
			if d.RecordID != "decoy" || d.Record != decoy || len(d.Evidence) != 4 || d.Score < StrongFrom {
				t.Errorf("decoy %+v", d)
			}
		}
	}
	if found, decoys := NewPersons(Options{}).SearchEvenly(&queryv1.PersonQuery{}, 10, 4, decoy); found != nil || decoys != nil {
		t.Error("something of nothing")
	}
}

// What a withheld person's names cost, beside nobody.
func BenchmarkSearchEvenly(b *testing.B) {
	for name, aliases := range map[string]int{"nobody": -1, "no alias": 0, "8 aliases": 8, "31 aliases": 31} {
		b.Run(name, func(b *testing.B) {
			index := NewPersons(Options{})
			if aliases >= 0 {
				index.Put("x", known("x", "Zerdalan Quistori", aliases))
			}
			q, decoy := &queryv1.PersonQuery{Name: "Zerdalan Quistori", BirthDate: "1980-05-06"}, known("decoy", "Nobody", 1)
			for b.Loop() {
				index.SearchEvenly(q, MaxHits, 4, decoy)
			}
		})
	}
}

package match

import (
	"testing"

	"google.golang.org/protobuf/proto"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func heldAs(id, name string, aliases int) *recordv1.Record {
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

func TestSearchEvenlyComparesAsMuchForNobody(t *testing.T) {
	nobody := heldAs("decoy", "Nobody", 1)
	decoy := NewDecoy(nobody)
	for _, c := range []struct{ held, aliases, names, opened int }{
		{0, 0, 64, 5}, {1, 0, 64, 5}, {1, 7, 64, 5}, {1, 31, 64, 5}, {3, 9, 64, 5}, {4, 0, 64, 5}, {6, 0, 64, 7},
		{2, 40, 2*41 + 2 + 1, 5}, // more than anybody has
	} {
		index := NewPersons(Options{})
		for i := range c.held {
			index.Put(string(rune('a'+i)), heldAs(string(rune('a'+i)), "Zerdalan Quistori", c.aliases))
		}
		found, decoys, took := index.searchEvenly(&queryv1.PersonQuery{Name: "Zerdalan Quistori", BirthDate: "1980-05-06"}, MaxHits, 4, decoy)
		if len(found) != c.held || len(decoys) != max(0, 4-c.held) || took.names != c.names || took.opened != c.opened {
			t.Errorf("%d held with %d aliases: %d found, %d decoys, %d names compared, want %d, %d bodies opened, want %d",
				c.held, c.aliases, len(found), len(decoys), took.names, c.names, took.opened, c.opened)
		}
		// Whole names are opened beyond what is needed, and no more.
		if took.bytes < evenBytes || took.bytes >= evenBytes+decoy.name {
			t.Errorf("%d held with %d aliases: %d bytes of bodies opened, want %d", c.held, c.aliases, took.bytes, evenBytes)
		}
		for _, d := range decoys {
			if d.RecordID != "decoy" || !proto.Equal(d.Record, nobody) || len(d.Evidence) != 4 || d.Score < StrongFrom {
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
				index.Put("x", heldAs("x", "Zerdalan Quistori", aliases))
			}
			q, decoy := &queryv1.PersonQuery{Name: "Zerdalan Quistori", BirthDate: "1980-05-06"}, NewDecoy(heldAs("decoy", "Nobody", 1))
			for b.Loop() {
				index.SearchEvenly(q, MaxHits, 4, decoy)
			}
		})
	}
}

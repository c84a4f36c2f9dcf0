package names

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// Readers search while writers put, replace and withdraw, and while segments are merged: who is in
// is found every time, also while they are replaced, and who was withdrawn is never found again.
func TestWritersAgainstReaders(t *testing.T) {
	x := Build(slices.Values(people4(1000, 5)))
	wanted := &Person{ID: "wanted", Names: []Name{{Text: "Zerdalan Quistorivane"}}}
	x.Put(wanted)
	x.Put(&Person{ID: "gone", Names: []Name{{Text: "Bolvarin Ketteruzana"}}})
	x.Remove("gone")
	changes := people4(3*headMost, 10)
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	var searched, merging atomic.Int64
	for w := range 2 {
		writers.Go(func() {
			for i, p := range changes {
				if i%2 != w {
					continue
				}
				put := *p
				put.ID = fmt.Sprintf("w%d", i%4000)
				switch {
				case i%50 == 0:
					x.Put(wanted)
				case i%5 == 4:
					x.Remove(put.ID)
				default:
					x.Put(&put)
				}
			}
		})
		readers.Go(func() {
			for !done.Load() {
				busy := x.busy.Load()
				if found := x.Search(&Query{Name: "QUISTORIVANE ZERDALAN"}, 0, 3).Found; len(found) == 0 || found[0].ID != "wanted" || len(found) > 1 && found[1].ID == "wanted" {
					t.Errorf("who is in is not found, or twice, while others change: %v", found)
					return
				}
				for _, f := range x.Search(&Query{Name: "BOLVARIN KETTERUZANA"}, 0, 3).Found {
					if f.ID == "gone" {
						t.Error("found, and withdrawn before")
						return
					}
				}
				searched.Add(1)
				if busy && x.busy.Load() {
					merging.Add(1)
				}
			}
		})
	}
	writers.Go(func() {
		for range 3 {
			if _, err := Unmarshal(x.Marshal()); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Wait()
	x.Wait()
	done.Store(true)
	readers.Wait()
	t.Logf("%d rounds of searches, %d of them while segments were merged", searched.Load(), merging.Load())
}

// A search needs nothing that a merge holds: it answers while one stands still half way.
func TestSearchesDoNotWaitForMerges(t *testing.T) {
	x := NewIndex()
	for _, p := range people4(mergeFan*headMost-1, 12) {
		x.Put(p)
	}
	x.Wait()
	// The merge begins, and ends by taking the writers' lock, which nobody gives it.
	x.writing.Lock()
	x.view.Load().head.add(prepare(&Person{ID: "wanted", Names: []Name{{Text: "Zerdalan Quistorivane"}}}, x.known))
	x.freezeHead()
	if !x.busy.Load() {
		t.Error("no merge began")
	}
	before := x.view.Load()
	for range 20 {
		if found := x.Search(&Query{Name: "QUISTORIVANE ZERDALAN"}, 0, 1).Found; len(found) != 1 || found[0].ID != "wanted" {
			t.Errorf("found %v while segments are merged", found)
		}
	}
	if x.view.Load() != before || !x.busy.Load() {
		t.Error("the merge ended meanwhile")
	}
	x.writing.Unlock()
	x.Wait()
	if found := x.Search(&Query{Name: "QUISTORIVANE ZERDALAN"}, 0, 1).Found; len(x.view.Load().frozen) != 1 || len(found) != 1 || found[0].ID != "wanted" {
		t.Errorf("after the merge: %d segments, found %v", len(x.view.Load().frozen), found)
	}
}

// FuzzIndex puts, replaces, withdraws and merges persons of arbitrary names; whoever is in and can be
// read is found by the own name, and who was withdrawn is not.
func FuzzIndex(f *testing.F) {
	f.Add("Karim Zerouali", "خالد الحسيني", "J. R. Quistori", []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add("a", "a", "\xff", []byte{0, 4, 0, 8, 0, 0, 4, 9})
	f.Add("王小明", "al", "KARIM<<ZEROUALI", []byte{1, 1, 5, 1, 12, 3})
	f.Fuzz(func(t *testing.T, a, b, c string, changes []byte) {
		x, names := NewIndex(), []string{a, b, c, a + " " + b}
		in := map[string]string{}
		for i, change := range changes[:min(len(changes), 24)] {
			id, name := fmt.Sprint(change%4), names[int(change/4)%4]
			switch change / 16 % 4 {
			case 0, 1:
				if delete(in, id); x.Put(&Person{ID: id, Names: []Name{{Text: name}}, Births: []Span{{From: int32(i), To: int32(i)}}}) {
					in[id] = name
				}
			case 2:
				x.Remove(id)
				delete(in, id)
			case 3:
				x.allFrozen()
			}
		}
		x.Wait()
		if x.Len() != len(in) {
			t.Fatalf("%d persons, want %d", x.Len(), len(in))
		}
		for id, name := range in {
			found := x.Search(&Query{Name: name}, -1000, 400).Found
			if !slices.ContainsFunc(found, func(r Ranked) bool { return r.ID == id }) {
				t.Fatalf("%q is in by the name %q and not found", id, name)
			}
			for _, r := range found {
				if _, ok := in[r.ID]; !ok {
					t.Fatalf("%q was withdrawn and is found", r.ID)
				}
			}
		}
	})
}

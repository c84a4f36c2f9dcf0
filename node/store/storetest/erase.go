package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/store"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func erase(t *testing.T, s *store.Store, collection, id string) time.Time {
	t.Helper()
	at, err := s.Erase(t.Context(), collection, id)
	if err != nil {
		t.Fatalf("Erase(%s): %v", id, err)
	}
	return at
}

func erased(t *testing.T, s *store.Store) {
	passportOf := passport("doc:own", "EH000001")
	passportOf.GetDocument().PersonRef = "p:1"
	put(t, s, in("manual", wanted("p:1", "Samir Aoun"), wanted("p:2", "Rima Khoury"), passportOf,
		passport("doc:shared", "EH000002"), passport("doc:beside", "EH000003"), blanks("doc:range", "EJ000000", "EJ000999")))
	last := changesAfter(t, s, 0)
	after := last[len(last)-1].Seq

	withdraw(t, s, store.Persons, 1, "p:2") // one is withdrawn before it is erased
	before := time.Now().Add(-time.Second)
	for _, e := range [][2]string{
		{store.Persons, "p:1"}, {store.Persons, "p:2"}, {store.Documents, "doc:own"}, {store.Documents, "doc:shared"}, {store.Documents, "doc:range"},
	} {
		at := erase(t, s, e[0], e[1])
		if at.Before(before) || at.After(time.Now()) {
			t.Errorf("%s erased at %v, not now", e[1], at)
		}
		if again := erase(t, s, e[0], e[1]); !again.Equal(at) {
			t.Errorf("%s erased at %v, and again at %v", e[1], at, again)
		}
		if _, err := s.Get(t.Context(), e[0], e[1]); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get of the erased %s: %v", e[1], err)
		}
	}
	for _, key := range []string{"EH000001", "EH000002", "EJ000500"} {
		if got := find(t, s, key); len(got) > 0 {
			t.Errorf("found by %s: %v", key, got)
		}
	}
	if got := find(t, s, "EH000003"); !slices.Equal(got, []string{"doc:beside"}) {
		t.Errorf("the document beside it, under the same key: %v", got)
	}
	var told []string
	for _, c := range changesAfter(t, s, after) {
		if c.Record != nil || c.WithdrawnAt.IsZero() {
			t.Errorf("change %d is no withdrawal", c.Seq)
		}
		told = append(told, c.RecordID)
	}
	slices.Sort(told)
	if !slices.Equal(told, []string{"doc:own", "doc:range", "doc:shared", "p:1", "p:2"}) {
		t.Errorf("followers learn of %v", told)
	}
	withdraw(t, s, store.Persons, 0, "p:1")

	// It can come back, as a new record that counts on.
	if r := put(t, s, in("manual", wanted("p:1", "Samir Aoun"))); r[0] != (store.PutResult{Outcome: store.Created, Version: 2}) {
		t.Errorf("after it was erased: %v", r[0])
	}
	get(t, s, store.Persons, "p:1")
	erase(t, s, store.Persons, "p:1")
}

func eraseRefused(t *testing.T, s *store.Store) {
	if _, err := s.Erase(t.Context(), store.Persons, "p:none"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no such record: %v", err)
	}
	held := wanted("p:held", "Omar Benali")
	held.Stewardship.DeletionHold = true
	put(t, s, in("manual", held))
	if _, err := s.Erase(t.Context(), store.Persons, "p:held"); !errors.Is(err, store.ErrDeletionHold) {
		t.Errorf("under a deletion hold: %v", err)
	}
	get(t, s, store.Persons, "p:held")
	held.Stewardship.DeletionHold = false
	put(t, s, in("manual", held))
	erase(t, s, store.Persons, "p:held")
}

func copies(t *testing.T, s *store.Store) {
	list := func(owner, id string) []store.Copy {
		t.Helper()
		list, err := s.Copies(t.Context(), owner, id)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	put(t, s, in("manual", wanted("x:1", "Nadia Haddad"), passport("x:1", "EH000001"), wanted("x:2", "Rima Khoury")))
	if got := list("ESP", "x:1"); len(got) != 1 || got[0].Collection != store.Persons || got[0].Record.GetRecordId() != "x:1" || got[0].Version != 1 || got[0].Since.IsZero() {
		t.Errorf("of Spain: %+v", got)
	}
	if got := list("BEL", "x:1"); len(got) != 1 || got[0].Collection != store.Documents {
		t.Errorf("of Belgium: %+v", got)
	}
	for _, q := range [][2]string{{"BGR", "x:1"}, {"BEL", "x:2"}, {"ESP", "x:"}} {
		if got := list(q[0], q[1]); len(got) != 0 {
			t.Errorf("of %s: %+v", q, got)
		}
	}
	withdraw(t, s, store.Persons, 1, "x:1")
	if got := list("ESP", "x:1"); len(got) != 1 || got[0].Record != nil || got[0].WithdrawnAt.IsZero() {
		t.Errorf("withdrawn: %+v", got)
	}
	erase(t, s, store.Persons, "x:1")
	if got := list("ESP", "x:1"); len(got) != 0 {
		t.Errorf("erased: %+v", got)
	}
}

// slots: the work of a look-up follows from the question and the slots, as long as no more is
// found than there are slots.
func slots(t *testing.T, s *store.Store) {
	work := func(slots int, keys ...string) (store.Work, []string) {
		t.Helper()
		before := s.Work()
		records, err := s.FindDocuments(t.Context(), store.DocumentLookup{Keys: keys, Slots: slots})
		if err != nil {
			t.Fatal(err)
		}
		after := s.Work()
		return store.Work{Hashes: after.Hashes - before.Hashes, Rows: after.Rows - before.Rows, Opened: after.Opened - before.Opened}, idsOf(records)
	}
	if w, ids := work(4, "EH000001"); len(ids) != 0 || w.Opened != 0 {
		t.Errorf("an empty store: %v, %v", w, ids)
	}
	put(t, s, in("sltd", passport("doc:1", "EH000001"), blanks("r:1", "EJ000000", "EJ000999")))
	put(t, s, in("sltd", sequenceOf(50, func(i int) *recordv1.Record { return passport(numbered("doc:more-", i), numbered("EK", i)) })...))
	put(t, s, in("manual", wanted("p:1", "Samir Aoun")))
	none, ids := work(4, "ZZ999999")
	if len(ids) != 0 || none.Opened != 4 || none.Rows != 4 {
		t.Errorf("finding nothing: %+v, %v", none, ids)
	}
	for key, want := range map[string]string{"EH000001": "doc:1", "EJ000500": "r:1", "EK000007": "doc:more-000007"} {
		hit, ids := work(4, key)
		if !slices.Equal(ids, []string{want}) || hit != none {
			t.Errorf("%s: %+v, %v; nothing: %+v", key, hit, ids, none)
		}
	}
	two, _ := work(4, "EH000001", "EK000007")
	if nothing, _ := work(4, "ZZ000001", "ZY000007"); nothing != two {
		t.Errorf("two found: %+v, nothing: %+v", two, nothing)
	}
	if w, ids := work(1, "EH000001", "EK000007", "EK000008"); len(ids) != 3 || w.Opened != 3 {
		t.Errorf("more found than slots: %+v, %v", w, ids)
	}
	if w, _ := work(0, "ZZ999999"); w.Opened != 0 {
		t.Errorf("without slots: %+v", w)
	}
	// A store of one document fills with that one.
	for _, c := range changesAfter(t, s, 0, store.Documents) {
		if c.RecordID != "r:1" {
			withdraw(t, s, store.Documents, 1, c.RecordID)
		}
	}
	hit, ids := work(3, "EJ000001")
	if miss, _ := work(3, "ZZ000001"); miss != hit || len(ids) != 1 {
		t.Errorf("one document: %+v, %v; nothing: %+v", hit, ids, miss)
	}
}

package storetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/store"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func putAndGet(t *testing.T, s *store.Store) {
	before := time.Now()
	for _, given := range []*recordv1.Record{passport("doc:1", "EH123456"), wanted("p:1", "Ramón Alcázar Viejo")} {
		// What a caller claims about versions is not believed, and not touched either.
		given.Stewardship.Version = 99
		given.Stewardship.PreviousDigest = bytes.Repeat([]byte{7}, 32)
		given.Stewardship.RecordedAt = timestamppb.New(time.Unix(1, 0))
		untouched := proto.CloneOf(given)

		puts := in("manual", given)
		results := put(t, s, puts)
		if want := []store.PutResult{{Outcome: store.Created, Version: 1}}; !slices.Equal(results, want) {
			t.Errorf("got %v, want %v", results, want)
		}
		if diff := cmp.Diff(untouched, given, protocmp.Transform()); diff != "" {
			t.Errorf("Put changed its argument:\n%s", diff)
		}
		got := get(t, s, puts[0].Collection, given.RecordId)
		at := got.Stewardship.RecordedAt.AsTime()
		if at.Before(before) || at.After(time.Now()) {
			t.Errorf("recorded at %v, not now", at)
		}
		want := proto.CloneOf(given)
		want.Stewardship.Version = 1
		want.Stewardship.PreviousDigest = nil
		want.Stewardship.RecordedAt = got.Stewardship.RecordedAt
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("not as it was put:\n%s", diff)
		}
	}
	if _, err := s.Get(t.Context(), store.Persons, "doc:1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a document among the persons: %v", err)
	}
	if _, err := s.Get(t.Context(), store.Documents, "doc:2"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no such record: %v", err)
	}
	if results, err := s.Put(t.Context(), nil); err != nil || len(results) != 0 {
		t.Errorf("an empty batch: %v, %v", results, err)
	}
}

func unchanged(t *testing.T, s *store.Store) {
	bare := passport("doc:2", "EH222222")
	bare.Stewardship = nil // comes back with one
	records := []*recordv1.Record{passport("doc:1", "EH123456"), bare, wanted("p:1", "Inés Robledo")}
	put(t, s, in("manual", records...))
	seen := changesAfter(t, s, 0)
	last := seen[len(seen)-1].Seq

	again := in("manual", records...)
	for _, r := range records {
		collection := store.Persons
		if r.GetDocument() != nil {
			collection = store.Documents
		}
		again = append(again, in("manual", get(t, s, collection, r.RecordId))...)
	}
	for i, r := range put(t, s, again) {
		if r != (store.PutResult{Outcome: store.Unchanged, Version: 1}) {
			t.Errorf("%s: got %v", again[i].Record.RecordId, r)
		}
	}
	if more := changesAfter(t, s, last); len(more) > 0 {
		t.Errorf("%d changes though nothing changed", len(more))
	}
}

func updated(t *testing.T, s *store.Store) {
	first := passport("doc:1", "EH123456")
	put(t, s, in("manual", first))
	second := proto.CloneOf(first)
	second.GetDocument().Remarks = "seen at the post of Kapitan Andreevo"
	if r := put(t, s, in("manual", second)); r[0] != (store.PutResult{Outcome: store.Updated, Version: 2}) {
		t.Errorf("got %v", r[0])
	}
	// Who owns a record is content: a new owner is a new version.
	third := proto.CloneOf(second)
	third.Stewardship.OwnerBureau = "BGR"
	if r := put(t, s, in("manual", third)); r[0] != (store.PutResult{Outcome: store.Updated, Version: 3}) {
		t.Errorf("got %v", r[0])
	}
	got := get(t, s, store.Documents, "doc:1")
	want, err := store.Digest(second)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Stewardship.PreviousDigest, want) {
		t.Error("version 3 does not refer to version 2")
	}
	if got.GetDocument().Remarks != second.GetDocument().Remarks || got.Stewardship.OwnerBureau != "BGR" || got.Stewardship.Version != 3 {
		t.Errorf("not the newest: %v", got)
	}
}

func mixedBatch(t *testing.T, s *store.Store) {
	corrected := passport("doc:1", "EH123457")
	results := put(t, s, in("manual",
		passport("doc:1", "EH123456"), wanted("p:1", "Nadia Haddad"), corrected, corrected, wanted("doc:1", "Georgi Iliev")))
	want := []store.PutResult{
		{Outcome: store.Created, Version: 1}, {Outcome: store.Created, Version: 1},
		{Outcome: store.Updated, Version: 2}, {Outcome: store.Unchanged, Version: 2}, {Outcome: store.Created, Version: 1},
	}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Error(diff)
	}
	if got := get(t, s, store.Documents, "doc:1").GetDocument().Number; got != "EH123457" {
		t.Errorf("the last of the batch does not stand: %s", got)
	}
	if got := find(t, s, "EH123456"); len(got) > 0 {
		t.Errorf("found by the number before: %v", got)
	}
}

func allOrNone(t *testing.T, s *store.Store) {
	bad := passport("doc:bad", "EH000003")
	bad.Body = nil
	batch := in("manual", passport("doc:1", "EH000001"), passport("doc:2", "EH000002"))
	batch = append(batch, store.Put{Collection: store.Documents, Source: "manual", Record: bad})
	_, err := s.Put(t.Context(), batch)
	var refused *store.BatchError
	if !errors.As(err, &refused) || len(refused.Rows) != 1 || refused.Rows[0].Index != 2 {
		t.Fatalf("got %v", err)
	}
	if n, err := s.Count(t.Context(), store.Documents); n != 0 || err != nil {
		t.Errorf("%d kept of a refused batch (%v)", n, err)
	}
	// A batch of several strides, refused by its very last record after all others were written.
	many := in("manual", sequenceOf(1500, func(i int) *recordv1.Record { return passport(numbered("doc:", i), numbered("AA", i)) })...)
	put(t, s, in("other", passport("doc:taken", "EH000004")))
	many = append(many, in("manual", passport("doc:taken", "EH000005"))...)
	if _, err := s.Put(t.Context(), many); !errors.As(err, &refused) || refused.Rows[0].Index != 1500 {
		t.Fatalf("got %v", err)
	}
	if n, _ := s.Count(t.Context(), store.Documents); n != 1 {
		t.Errorf("%d documents, want the one that was there", n)
	}
	if got := find(t, s, "AA000000"); len(got) > 0 {
		t.Errorf("found by a key of a refused batch: %v", got)
	}
	if results := put(t, s, many[:1500]); results[1499].Outcome != store.Created {
		t.Errorf("the good ones alone: %v", results[1499])
	}
}

func refusedRecords(t *testing.T, s *store.Store) {
	good := func() store.Put { return in("manual", passport("doc:1", "EH123456"))[0] }
	cases := []struct {
		name, field string
		spoil       func(p *store.Put)
	}{
		{"no record", "record", func(p *store.Put) { p.Record = nil }},
		{"unknown collection", "collection", func(p *store.Put) { p.Collection = "vehicles" }},
		{"a document among the persons", "collection", func(p *store.Put) { p.Collection = store.Persons }},
		{"no body", "body", func(p *store.Put) { p.Record.Body = nil }},
		{"no id", "record_id", func(p *store.Put) { p.Record.RecordId = "" }},
		{"id with a space", "record_id", func(p *store.Put) { p.Record.RecordId = "doc 1" }},
		{"id too long", "record_id", func(p *store.Put) { p.Record.RecordId = strings.Repeat("x", 129) }},
		{"no source", "source", func(p *store.Put) { p.Source = "" }},
		{"source with capitals", "source", func(p *store.Put) { p.Source = "SLTD" }},
		{"key too long", "document.number_key", func(p *store.Put) { p.Record.GetDocument().NumberKey = strings.Repeat("9", 65) }},
		{"empty further key", "document.more_keys", func(p *store.Put) { p.Record.GetDocument().MoreKeys = []string{""} }},
		{"too many keys", "document.more_keys", func(p *store.Put) {
			p.Record.GetDocument().MoreKeys = sequenceOf(17, func(i int) string { return numbered("K", i) })
		}},
		{"text that is not UTF-8", "record", func(p *store.Put) { p.Record.GetDocument().Remarks = "\xff" }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := good()
			c.spoil(&p)
			_, err := s.Put(t.Context(), []store.Put{p})
			var refused *store.BatchError
			if !errors.As(err, &refused) || !errors.Is(err, store.ErrInvalid) || refused.Rows[0].Field != c.field {
				t.Fatalf("got %v, want field %s refused", err, c.field)
			}
			if strings.Contains(err.Error(), "EH123456") {
				t.Errorf("the error tells the document's number: %v", err)
			}
		})
	}
	put(t, s, []store.Put{good()})
}

func otherSource(t *testing.T, s *store.Store) {
	put(t, s, in("sltd", passport("doc:1", "EH123456")))
	for _, r := range []*recordv1.Record{passport("doc:1", "EH123456"), passport("doc:1", "EH999999")} {
		_, err := s.Put(t.Context(), in("manual", r))
		if !errors.Is(err, store.ErrOtherSource) || !strings.Contains(err.Error(), `"sltd"`) {
			t.Fatalf("got %v", err)
		}
	}
	if got := get(t, s, store.Documents, "doc:1").GetDocument().Number; got != "EH123456" {
		t.Errorf("overwritten: %s", got)
	}
	withdraw(t, s, store.Documents, 1, "doc:1")
	if r := put(t, s, in("manual", passport("doc:1", "EH999999"))); r[0] != (store.PutResult{Outcome: store.Created, Version: 2}) {
		t.Errorf("after it was withdrawn: %v", r[0])
	}
	if n, _ := s.CountSource(t.Context(), store.Documents, "sltd"); n != 0 {
		t.Errorf("source sltd still has %d", n)
	}
	if n, _ := s.CountSource(t.Context(), store.Documents, "manual"); n != 1 {
		t.Errorf("source manual has %d", n)
	}
}

func mustBeNew(t *testing.T, s *store.Store) {
	p := in("manual", wanted("p:1", "Tarek Nassar"))
	p[0].New = true
	put(t, s, p)
	if _, err := s.Put(t.Context(), p); !errors.Is(err, store.ErrExists) {
		t.Errorf("got %v", err)
	}
	twice := in("manual", wanted("p:2", "Rima Khoury"), wanted("p:2", "Rima Khoury"))
	twice[1].New = true
	if _, err := s.Put(t.Context(), twice); !errors.Is(err, store.ErrExists) {
		t.Errorf("taken by the same batch: %v", err)
	}
	withdraw(t, s, store.Persons, 1, "p:1")
	if r := put(t, s, p); r[0] != (store.PutResult{Outcome: store.Created, Version: 2}) {
		t.Errorf("after it was withdrawn: %v", r[0])
	}
}

func withdrawn(t *testing.T, s *store.Store) {
	r := passport("doc:1", "EH123456")
	r.GetDocument().MoreKeys = []string{"123456"}
	put(t, s, in("sltd", r, passport("doc:2", "EH222222"), blanks("doc:3", "EH300000", "EH300099")))
	r.GetDocument().Remarks = "the second version"
	put(t, s, in("sltd", r))
	before := time.Now()
	withdraw(t, s, store.Documents, 2, "doc:1", "doc:3", "doc:1", "doc:unknown")
	withdraw(t, s, store.Documents, 0, "doc:1")
	withdraw(t, s, store.Persons, 0, "doc:2")

	for _, id := range []string{"doc:1", "doc:3"} {
		if _, err := s.Get(t.Context(), store.Documents, id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get of the withdrawn %s: %v", id, err)
		}
	}
	for _, key := range []string{"EH123456", "123456", "EH300000", "EH300050"} {
		if got := find(t, s, key); len(got) > 0 {
			t.Errorf("found by %s: %v", key, got)
		}
	}
	list, err := s.List(t.Context(), store.Documents, "", "", 10)
	if err != nil || !slices.Equal(idsOf(list), []string{"doc:2"}) {
		t.Errorf("listed %v, %v", idsOf(list), err)
	}
	var told []string
	for _, c := range changesAfter(t, s, 0) {
		if c.Record != nil {
			continue
		}
		told = append(told, c.RecordID)
		if c.WithdrawnAt.Before(before.Add(-time.Millisecond)) || c.WithdrawnAt.After(time.Now()) {
			t.Errorf("%s withdrawn at %v, not now", c.RecordID, c.WithdrawnAt)
		}
		if want := map[string]uint64{"doc:1": 2, "doc:3": 1}[c.RecordID]; c.Version != want {
			t.Errorf("%s keeps version %d, want %d", c.RecordID, c.Version, want)
		}
	}
	if !slices.Equal(told, []string{"doc:1", "doc:3"}) {
		t.Errorf("followers learn of %v", told)
	}
}

func comesBack(t *testing.T, s *store.Store) {
	put(t, s, in("sltd", passport("doc:1", "EH123456")))
	withdraw(t, s, store.Documents, 1, "doc:1")
	if r := put(t, s, in("sltd", passport("doc:1", "EH123456"))); r[0] != (store.PutResult{Outcome: store.Created, Version: 2}) {
		t.Fatalf("got %v", r[0])
	}
	st := get(t, s, store.Documents, "doc:1").Stewardship
	if st.Version != 2 || len(st.PreviousDigest) != 0 {
		t.Errorf("version %d refers to what was erased: %x", st.Version, st.PreviousDigest)
	}
	if got := find(t, s, "EH123456"); !slices.Equal(got, []string{"doc:1"}) {
		t.Errorf("found %v", got)
	}
	if list := changesAfter(t, s, 0); len(list) != 1 || list[0].Record == nil {
		t.Errorf("followers see %v", list)
	}
}

func deletionHold(t *testing.T, s *store.Store) {
	held := wanted("p:held", "Omar Benali")
	held.Stewardship.DeletionHold = true
	put(t, s, in("manual", wanted("p:1", "Lucía Serrano"), held))
	_, err := s.Withdraw(t.Context(), store.Persons, []string{"p:1", "p:held"})
	var refused *store.BatchError
	if !errors.As(err, &refused) || !errors.Is(err, store.ErrDeletionHold) || refused.Rows[0].Index != 1 || refused.Rows[0].RecordID != "p:held" {
		t.Fatalf("got %v", err)
	}
	get(t, s, store.Persons, "p:1")
	get(t, s, store.Persons, "p:held")
	held.Stewardship.DeletionHold = false
	put(t, s, in("manual", held))
	withdraw(t, s, store.Persons, 2, "p:1", "p:held")
}

func lists(t *testing.T, s *store.Store) {
	ids := []string{"B", "a", "a-1", "a1", "b"}
	for i, id := range ids {
		put(t, s, in([]string{"sltd", "manual"}[i%2], passport(id, numbered("EH", i))))
	}
	whole, err := s.List(t.Context(), store.Documents, "", "", 100)
	order := idsOf(whole)
	if err != nil || !slices.Equal(slices.Sorted(slices.Values(order)), ids) {
		t.Fatalf("got %v, %v", order, err)
	}
	var paged []string
	for after := ""; ; {
		page, err := s.List(t.Context(), store.Documents, "", after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		paged = append(paged, idsOf(page)...)
		after = page[len(page)-1].RecordId
	}
	if !slices.Equal(paged, order) {
		t.Errorf("page by page: %v, in one: %v", paged, order)
	}
	ofSource := func(source string) []string { // in the order of the whole list
		return slices.DeleteFunc(slices.Clone(order), func(id string) bool { return slices.Index(ids, id)%2 == map[string]int{"sltd": 1}[source] })
	}
	for _, source := range []string{"sltd", "manual"} {
		want := ofSource(source)
		list, err := s.List(t.Context(), store.Documents, source, want[0], 100)
		if err != nil || !slices.Equal(idsOf(list), want[1:]) {
			t.Errorf("of source %s after the first: %v, %v; want %v", source, idsOf(list), err, want[1:])
		}
	}
	// A page goes on after a record that is gone meanwhile.
	withdraw(t, s, store.Documents, 1, order[1])
	list, err := s.List(t.Context(), store.Documents, "", order[1], 100)
	if err != nil || !slices.Equal(idsOf(list), order[2:]) {
		t.Errorf("after one that is gone: %v, %v", idsOf(list), err)
	}
	if list, err := s.List(t.Context(), store.Persons, "", "", 100); err != nil || len(list) != 0 {
		t.Errorf("of the persons: %v, %v", idsOf(list), err)
	}
	if list, err := s.List(t.Context(), store.Documents, "nobody", "", 100); err != nil || len(list) != 0 {
		t.Errorf("of a source that nothing came from: %v, %v", idsOf(list), err)
	}
}

func keysOfSource(t *testing.T, s *store.Store) {
	const n = 4_500 // several pages
	all := sequenceOf(n, func(i int) *recordv1.Record { return passport(numbered("doc:", i), numbered("EH", i)) })
	put(t, s, in("sltd", all...))
	put(t, s, in("manual", passport("doc:000000-a", "AA000001")))
	withdraw(t, s, store.Documents, 1, "doc:000007")
	want := map[store.RecordKey]string{}
	for i, r := range all {
		if i == 7 {
			continue
		}
		want[s.KeyOf(store.Documents, r.RecordId)] = r.RecordId
	}
	seen := map[store.RecordKey]bool{}
	for key, err := range s.SourceKeys(t.Context(), store.Documents, "sltd") {
		if err != nil {
			t.Fatal(err)
		}
		if want[key] == "" || seen[key] {
			t.Fatalf("a key that is none of the source's, or twice")
		}
		seen[key] = true
		if len(seen)%500 == 0 { // the store can be used, and written to, between two keys
			r, err := s.GetByKey(t.Context(), store.Documents, key)
			if err != nil || r.RecordId != want[key] {
				t.Fatalf("got %v, %v; want %s", r, err, want[key])
			}
			withdraw(t, s, store.Documents, 1, want[key])
			if _, err := s.GetByKey(t.Context(), store.Documents, key); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("withdrawn: %v", err)
			}
		}
	}
	if len(seen) != n-1 {
		t.Errorf("%d keys, want %d", len(seen), n-1)
	}
	first := 0
	for range s.SourceKeys(t.Context(), store.Documents, "sltd") {
		if first++; first == 3 {
			break
		}
	}
	if s.KeyOf(store.Persons, "doc:000001") == s.KeyOf(store.Documents, "doc:000001") {
		t.Error("one key for both collections")
	}
	if _, err := s.GetByKey(t.Context(), store.Documents, s.KeyOf("vehicles", "doc:000001")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("found by the key of no collection: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range s.SourceKeys(ctx, store.Documents, "sltd") {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after the end of its context: %v", err)
		}
	}
}

func counts(t *testing.T, s *store.Store) {
	check := func(what string, documents, sltd, persons uint64) {
		t.Helper()
		d, err1 := s.Count(t.Context(), store.Documents)
		b, err2 := s.CountSource(t.Context(), store.Documents, "sltd")
		p, err3 := s.Count(t.Context(), store.Persons)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		if d != documents || b != sltd || p != persons {
			t.Errorf("%s: %d documents, %d of sltd, %d persons; want %d, %d, %d", what, d, b, p, documents, sltd, persons)
		}
	}
	check("empty", 0, 0, 0)
	put(t, s, in("sltd", passport("doc:1", "EH1"), passport("doc:2", "EH2")))
	put(t, s, in("manual", passport("doc:3", "EH3"), wanted("p:1", "Samir Aoun")))
	check("after three documents and a person", 3, 2, 1)
	put(t, s, in("sltd", passport("doc:1", "EH1"), passport("doc:2", "EH22")))
	check("after one the same and one changed", 3, 2, 1)
	withdraw(t, s, store.Documents, 2, "doc:1", "doc:3")
	check("after two withdrawals", 1, 1, 1)
	put(t, s, in("sltd", passport("doc:1", "EH1")))
	check("after one came back", 2, 2, 1)
}

func badArguments(t *testing.T, s *store.Store) {
	ctx := t.Context()
	errs := map[string]error{}
	_, errs["Get"] = s.Get(ctx, "vehicles", "x")
	_, errs["Withdraw"] = s.Withdraw(ctx, "vehicles", []string{"x"})
	_, errs["List"] = s.List(ctx, "vehicles", "", "", 1)
	_, errs["List limit"] = s.List(ctx, store.Persons, "", "", 0)
	_, errs["Count"] = s.Count(ctx, "")
	_, errs["CountSource"] = s.CountSource(ctx, "vehicles", "x")
	_, errs["Changes"] = s.Changes(ctx, 0, 1, store.Persons, "vehicles")
	_, errs["Changes limit"] = s.Changes(ctx, 0, -1)
	_, errs["FindDocuments keys"] = s.FindDocuments(ctx, store.DocumentLookup{Keys: sequenceOf(65, func(i int) string { return numbered("K", i) })})
	_, errs["FindDocuments limit"] = s.FindDocuments(ctx, store.DocumentLookup{Keys: []string{"K"}, Limit: -1})
	_, errs["FindDocuments slots"] = s.FindDocuments(ctx, store.DocumentLookup{Keys: []string{"K"}, Slots: 1001})
	_, errs["Erase"] = s.Erase(ctx, "vehicles", "x")
	_, errs["Copies"] = s.Copies(ctx, "", "x")
	_, errs["GetByKey"] = s.GetByKey(ctx, "vehicles", store.RecordKey{})
	errs["PutState room"] = s.PutState(ctx, "Alarms!", "k", nil)
	errs["PutState key"] = s.PutState(ctx, "alarms", "", nil)
	errs["PutState value"] = s.PutState(ctx, "alarms", "k", make([]byte, 1<<20+1))
	_, _, errs["GetState"] = s.GetState(ctx, "", "k")
	_, errs["ListState"] = s.ListState(ctx, "")
	errs["DeleteState"] = s.DeleteState(ctx, "alarms", "")
	for _, err := range s.SourceKeys(ctx, "vehicles", "x") {
		errs["SourceKeys"] = err
	}
	for name, err := range errs {
		if !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func changesInOrder(t *testing.T, s *store.Store) {
	put(t, s, in("manual", wanted("p:1", "A"), wanted("p:2", "B"), passport("doc:1", "EH1")))
	put(t, s, in("manual", wanted("p:1", "A Two")))
	ids := func(list []store.Change) (ids []string) {
		for i, c := range list {
			if i > 0 && c.Seq <= list[i-1].Seq {
				t.Errorf("change %d comes after %d", c.Seq, list[i-1].Seq)
			}
			ids = append(ids, c.Collection+"/"+c.RecordID)
		}
		return ids
	}
	all := changesAfter(t, s, 0)
	if got := ids(all); !slices.Equal(got, []string{"persons/p:2", "documents/doc:1", "persons/p:1"}) {
		t.Errorf("got %v", got)
	}
	if c := all[2]; c.Version != 2 || c.Record.GetPerson().Names[0].Parts[0].Text != "A Two" || !c.WithdrawnAt.IsZero() {
		t.Errorf("got %+v", c)
	}
	if got := ids(changesAfter(t, s, all[0].Seq)); !slices.Equal(got, []string{"documents/doc:1", "persons/p:1"}) {
		t.Errorf("after the first: %v", got)
	}
	if got := ids(changesAfter(t, s, 0, store.Persons, store.Persons)); !slices.Equal(got, []string{"persons/p:2", "persons/p:1"}) {
		t.Errorf("of the persons: %v", got)
	}
	if got := ids(changesAfter(t, s, 0, store.Documents, store.Persons)); len(got) != 3 {
		t.Errorf("of both: %v", got)
	}
	if got := ids(changesAfter(t, s, all[1].Seq, store.Documents)); len(got) != 0 {
		t.Errorf("of the documents after the last: %v", got)
	}
	one, err := s.Changes(t.Context(), 0, 1)
	if err != nil || len(one) != 1 || one[0].Seq != all[0].Seq {
		t.Errorf("with limit 1: %v, %v", one, err)
	}
	withdraw(t, s, store.Documents, 1, "doc:1")
	if got := changesAfter(t, s, all[2].Seq); len(got) != 1 || got[0].RecordID != "doc:1" || got[0].Record != nil {
		t.Errorf("after a withdrawal: %v", got)
	}
}

// follower writes from several sides while a follower keeps a copy by Changes alone. In the end
// the copy is the store.
func follower(t *testing.T, s *store.Store) {
	const writers, rounds = 4, 40
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			source := numbered("source-", w)
			for i := range rounds {
				puts := in(source, wanted(numbered(source+":", i), "First"), wanted(numbered(source+":", i/2), numbered("Then", i)))
				if _, err := s.Put(t.Context(), puts); err != nil {
					t.Error(err)
				}
				if i%5 == 4 {
					if _, err := s.Withdraw(t.Context(), store.Persons, []string{numbered(source+":", i-1)}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	copied := map[string]*recordv1.Record{}
	var last int64
	follow := func() int {
		list, err := s.Changes(t.Context(), last, 7, store.Persons)
		if err != nil {
			t.Error(err)
		}
		for _, c := range list {
			if c.Seq <= last {
				t.Errorf("change %d after %d", c.Seq, last)
			}
			last = c.Seq
			if c.Record == nil {
				delete(copied, c.RecordID)
			} else {
				copied[c.RecordID] = c.Record
			}
		}
		return len(list)
	}
	var following sync.WaitGroup
	following.Go(func() {
		for {
			select {
			case <-stop:
				for follow() > 0 {
				}
				return
			default:
				follow()
			}
		}
	})
	wg.Wait()
	close(stop)
	following.Wait()
	kept, err := s.List(t.Context(), store.Persons, "", "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	if len(kept) != len(copied) {
		t.Errorf("the copy has %d records, the store %d", len(copied), len(kept))
	}
	for _, r := range kept {
		if diff := cmp.Diff(r, copied[r.RecordId], protocmp.Transform()); diff != "" {
			t.Errorf("%s in the copy:\n%s", r.RecordId, diff)
		}
	}
}

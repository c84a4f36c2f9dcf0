// Package storetest says what every store must do, whatever engine is under it: run it on a new
// engine before anything else is.
//
// It is not about one engine's files, locks and crashes; those are tested beside the engine.
//
// One flow: a test of package store calls Run with a function that opens an empty store. Each
// scene plays between invented records of named bureaus, and ends with Store.Check, so that no
// scene leaves something wrong behind that it did not look at.
package storetest

import (
	"fmt"
	"testing"

	"github.com/entente-mesh/entente/node/store"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Run runs the suite. open returns an empty store, and closes it when its test is over.
func Run(t *testing.T, open func(t *testing.T) *store.Store) {
	scenes := []struct {
		name string
		play func(t *testing.T, s *store.Store)
	}{
		{"a record comes back as it was put", putAndGet},
		{"the same record again changes nothing", unchanged},
		{"a changed record counts up and refers to the one before", updated},
		{"a batch may hold a record twice and both collections", mixedBatch},
		{"a batch is kept whole or not at all", allOrNone},
		{"records that cannot be kept are named with their field", refusedRecords},
		{"one source does not touch another's records", otherSource},
		{"a rehearsal foretells and keeps nothing", rehearsal},
		{"a new record must be new", mustBeNew},
		{"a withdrawn record is gone, and followers learn of it", withdrawn},
		{"a withdrawn record can come back", comesBack},
		{"a deletion hold keeps a record", deletionHold},
		{"lists go in one order, page by page", lists},
		{"the keys of a source", keysOfSource},
		{"counts follow every change", counts},
		{"arguments out of bounds are refused", badArguments},
		{"changes come in order, each record once", changesInOrder},
		{"a follower misses nothing while others write", follower},
		{"documents are found by their keys", findByKey},
		{"documents are found by the range they are in", findByRange},
		{"ranges of every size are found, and nothing beside them", findByRandomRange},
		{"ranges that cannot be looked up are refused", badRanges},
		{"better keys replace the old ones without a new version", betterKeys},
		{"too many documents are no answer", tooMany},
		{"fillers cost what documents cost, and are not returned", slots},
		{"an erased record leaves nothing, and followers learn of it", erased},
		{"what cannot be erased is refused", eraseRefused},
		{"copies are found by owner and id", copies},
		{"state is kept, replaced and removed", state},
		{"much state at once is all kept", manyStates},
		{"a caller that has gone away writes nothing", goneAway},
	}
	for _, sc := range scenes {
		t.Run(sc.name, func(t *testing.T) {
			s := open(t)
			sc.play(t, s)
			if err := s.Check(t.Context(), nil); err != nil {
				t.Errorf("after the scene: %v", err)
			}
		})
	}
}

// passport is a stolen Belgian passport of an invented number, whose key is the number.
func passport(id, number string) *recordv1.Record {
	return &recordv1.Record{
		RecordId: id,
		Stewardship: &recordv1.Stewardship{
			OwnerBureau: "BEL",
			Audience:    &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED},
		},
		Body: &recordv1.Record_Document{Document: &recordv1.Document{
			Number: number, NumberKey: number, Issuer: "BEL",
			Type:   recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT,
			Status: recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN,
		}},
	}
}

// blanks is a range of stolen Belgian blanks.
func blanks(id, from, to string) *recordv1.Record {
	r := passport(id, from)
	r.GetDocument().RangeEnd = to
	r.GetDocument().Status = recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN_BLANK
	return r
}

// wanted is an invented person whom Spain looks for.
func wanted(id, name string) *recordv1.Record {
	return &recordv1.Record{
		RecordId:    id,
		Stewardship: &recordv1.Stewardship{OwnerBureau: "ESP"},
		Body: &recordv1.Record_Person{Person: &recordv1.Person{
			Names: []*recordv1.Name{{
				Parts: []*recordv1.NamePart{{Kind: recordv1.NamePartKind_NAME_PART_KIND_FULL, Text: name}},
				Type:  recordv1.NameType_NAME_TYPE_PRIMARY,
			}},
			Role: recordv1.PersonRole_PERSON_ROLE_WANTED,
		}},
	}
}

// in puts records of one source, each in the collection of its body.
func in(source string, records ...*recordv1.Record) []store.Put {
	puts := make([]store.Put, len(records))
	for i, r := range records {
		collection := store.Persons
		if r.GetDocument() != nil {
			collection = store.Documents
		}
		puts[i] = store.Put{Collection: collection, Source: source, Record: r}
	}
	return puts
}

func put(t *testing.T, s *store.Store, puts []store.Put) []store.PutResult {
	t.Helper()
	results, err := s.Put(t.Context(), puts)
	if err != nil {
		t.Fatalf("Put: %v", err)
	}
	if len(results) != len(puts) {
		t.Fatalf("Put gave %d results for %d records", len(results), len(puts))
	}
	return results
}

func withdraw(t *testing.T, s *store.Store, collection string, want int, ids ...string) {
	t.Helper()
	n, err := s.Withdraw(t.Context(), collection, ids)
	if err != nil || n != want {
		t.Fatalf("Withdraw(%v) = %d, %v; want %d", ids, n, err, want)
	}
}

func get(t *testing.T, s *store.Store, collection, id string) *recordv1.Record {
	t.Helper()
	r, err := s.Get(t.Context(), collection, id)
	if err != nil {
		t.Fatalf("Get(%s): %v", id, err)
	}
	return r
}

func changesAfter(t *testing.T, s *store.Store, after int64, collections ...string) []store.Change {
	t.Helper()
	list, err := s.Changes(t.Context(), after, 1000, collections...)
	if err != nil {
		t.Fatalf("Changes: %v", err)
	}
	return list
}

func find(t *testing.T, s *store.Store, keys ...string) []string {
	t.Helper()
	records, err := s.FindDocuments(t.Context(), store.DocumentLookup{Keys: keys})
	if err != nil {
		t.Fatalf("FindDocuments(%v): %v", keys, err)
	}
	return idsOf(records)
}

func idsOf(records []*recordv1.Record) []string {
	ids := make([]string, len(records))
	for i, r := range records {
		ids[i] = r.RecordId
	}
	return ids
}

func sequenceOf[T any](n int, make func(i int) T) []T {
	list := []T{}
	for i := range n {
		list = append(list, make(i))
	}
	return list
}

func numbered(prefix string, i int) string { return fmt.Sprintf("%s%06d", prefix, i) }

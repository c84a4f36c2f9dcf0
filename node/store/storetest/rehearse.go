package storetest

import (
	"errors"
	"testing"

	"github.com/entente-mesh/entente/node/store"
)

// rehearsal: what Rehearse foretells, Put does; and Rehearse leaves nothing behind.
func rehearsal(t *testing.T, s *store.Store) {
	put(t, s, in("sltd", passport("doc:1", "EH123456")))
	before := len(changesAfter(t, s, 0))
	batch := in("sltd", passport("doc:1", "EH123456"), passport("doc:2", "EH123457"))
	results, err := s.Rehearse(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	if results[0].Outcome != store.Unchanged || results[1].Outcome != store.Created {
		t.Errorf("foretold %v", results)
	}
	if after := len(changesAfter(t, s, 0)); after != before {
		t.Errorf("%d changes before the rehearsal, %d after it", before, after)
	}
	if _, err := s.Get(t.Context(), store.Documents, "doc:2"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a rehearsed record is there: %v", err)
	}
	var refused *store.BatchError
	if _, err := s.Rehearse(t.Context(), in("elsewhere", passport("doc:1", "EH999999"))); !errors.As(err, &refused) || !errors.Is(err, store.ErrOtherSource) {
		t.Errorf("another source's record: %v", err)
	}
	if got := put(t, s, batch); got[0].Outcome != store.Unchanged || got[1].Outcome != store.Created {
		t.Errorf("put %v after the rehearsal", got)
	}
}

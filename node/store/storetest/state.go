package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/entente-mesh/entente/node/store"
	"github.com/google/go-cmp/cmp"
)

func state(t *testing.T, s *store.Store) {
	ctx := t.Context()
	get := func(room, key string) string {
		t.Helper()
		value, found, err := s.GetState(ctx, room, key)
		if err != nil {
			t.Fatal(err)
		}
		if !found {
			return "none"
		}
		return string(value)
	}
	if got := get("alarms", "enumeration LBN"); got != "none" {
		t.Errorf("before it was put: %q", got)
	}
	for _, p := range [][3]string{
		{"alarms", "enumeration LBN", "first"}, {"alarms", "enumeration LBN", "second"}, {"alarms", "clock", ""},
		{"limits", "enumeration LBN", strings.Repeat("x", 100_000)},
	} {
		if err := s.PutState(ctx, p[0], p[1], []byte(p[2])); err != nil {
			t.Fatal(err)
		}
	}
	if got := get("alarms", "enumeration LBN"); got != "second" {
		t.Errorf("got %q", got)
	}
	list, err := s.ListState(ctx, "alarms")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]byte{"enumeration LBN": []byte("second"), "clock": {}}, list); diff != "" {
		t.Error(diff)
	}
	for range 2 { // what is not there is no error
		if err := s.DeleteState(ctx, "alarms", "enumeration LBN"); err != nil {
			t.Fatal(err)
		}
	}
	if got := get("alarms", "enumeration LBN"); got != "none" {
		t.Errorf("removed: %q", got)
	}
	if got := get("limits", "enumeration LBN"); len(got) != 100_000 {
		t.Errorf("another room's has %d bytes", len(got))
	}
	if list, err := s.ListState(ctx, "pins"); err != nil || len(list) != 0 {
		t.Errorf("an empty room: %v, %v", list, err)
	}
}

func manyStates(t *testing.T, s *store.Store) {
	const callers, each = 32, 20
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				if err := s.PutState(t.Context(), "limits", fmt.Sprintf("%d-%d", c, i), []byte{byte(i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() { // an import meanwhile
		for i := range 10 {
			if _, err := s.Put(t.Context(), in("sltd", passport(numbered("doc:", i), numbered("EH", i)))); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if list, err := s.ListState(t.Context(), "limits"); err != nil || len(list) != callers*each {
		t.Errorf("%d values, %v", len(list), err)
	}
}

func goneAway(t *testing.T, s *store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, putErr := s.Put(ctx, in("manual", passport("doc:1", "EH1")))
	_, withdrawErr := s.Withdraw(ctx, store.Documents, []string{"doc:1"})
	_, eraseErr := s.Erase(ctx, store.Documents, "doc:1")
	_, findErr := s.FindDocuments(ctx, store.DocumentLookup{Keys: []string{"EH1"}})
	errs := []error{putErr, withdrawErr, eraseErr, findErr, s.PutState(ctx, "limits", "x", nil), s.DeleteState(ctx, "limits", "x")}
	for i, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	// Others are not disturbed, and the next group has no trace of those.
	if err := s.PutState(t.Context(), "limits", "y", nil); err != nil {
		t.Fatal(err)
	}
	if list, err := s.ListState(t.Context(), "limits"); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if n, err := s.Count(t.Context(), store.Documents); n != 0 || err != nil {
		t.Errorf("%d documents, %v", n, err)
	}
}

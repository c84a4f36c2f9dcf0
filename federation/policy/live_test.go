package policy_test

import (
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/entente-mesh/entente/federation/policy"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func signalled(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestLive(t *testing.T) {
	live := policy.NewLive(spain(t, nil))
	changes, stop := live.Changes()
	other, stopOther := live.Changes()
	defer stopOther()
	before := live.Set()
	ask := policy.AnswerFacts{Self: esp, From: bgr, Collection: policy.CollectionPersons, Purpose: border, Now: noon}
	denied(t, live.Set().Answer(ask))

	// A folder that does not load changes nothing.
	err := live.Reload(spainFolder(t, map[string]string{"bad.cedar": "permit"}))
	if err == nil || !strings.Contains(err.Error(), "bad.cedar:1") || live.Set() != before || signalled(changes) {
		t.Fatalf("after a bad folder: %v", err)
	}
	// Nor does the same folder.
	if err := live.Reload(spainFolder(t, nil)); err != nil || live.Set().Version() != before.Version() || signalled(changes) {
		t.Fatalf("after the same folder: %v", err)
	}
	permits := permit(t, policy.PermitOptions{Bureau: "BGR", Collection: policy.CollectionPersons, Purposes: []recordv1.Purpose{border}})
	if err := live.Reload(spainFolder(t, permits)); err != nil {
		t.Fatal(err)
	}
	allowed(t, live.Set().Answer(ask), "permit-BGR-persons-ask/answer")
	if !signalled(changes) || !signalled(other) || signalled(changes) {
		t.Error("a change is signalled to each, once")
	}
	// Who took the old set is served by it to the end.
	denied(t, before.Answer(ask))

	// Several changes may be one signal; nobody who does not look holds up a reload.
	for _, files := range []map[string]string{nil, permits, nil} {
		if err := live.Reload(spainFolder(t, files)); err != nil {
			t.Fatal(err)
		}
	}
	if !signalled(changes) || signalled(changes) {
		t.Error("changes not looked at are one signal")
	}
	stop()
	stop()
	if err := live.Reload(spainFolder(t, permits)); err != nil || signalled(changes) || !signalled(other) {
		t.Errorf("after the end of a subscription: %v", err)
	}
}

func TestLiveConcurrently(t *testing.T) {
	permits := permit(t, policy.PermitOptions{Bureau: "BGR", Collection: policy.CollectionPersons, Purposes: []recordv1.Purpose{border}})
	folders := []fstest.MapFS{spainFolder(t, nil), spainFolder(t, permits)}
	live := policy.NewLive(spain(t, nil))
	ask := policy.AnswerFacts{Self: esp, From: bgr, Collection: policy.CollectionPersons, Purpose: border, Now: noon}
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			_, stop := live.Changes()
			defer stop()
			for i := range 5 {
				if err := live.Reload(folders[(n+i)%2]); err != nil {
					t.Error(err)
				}
				if d := live.Set().Answer(ask); d.Err != nil {
					t.Error(d.Err)
				}
				live.Set().Offers(esp, bgr, noon)
			}
		})
	}
	wg.Wait()
}

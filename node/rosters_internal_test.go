package node

import (
	"log/slog"
	"testing"
	"time"

	"github.com/entente-mesh/entente/pki/roster"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// A bureau that announces a newer roster over and over, and does not come up with one, makes this
// node ask it once, and again only after a pause. It does not keep others from being asked.
func TestAnnouncedRostersAreFetchedOneAtATime(t *testing.T) {
	now := time.Date(2026, 6, 1, 8, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	book, err := roster.OpenBook(t.TempDir(), "demo.entente", "BEL", clock)
	if err != nil {
		t.Fatal(err)
	}
	r := newRosters(book, slog.New(slog.DiscardHandler), clock)
	newer := &queryv1.Offer{RosterVersion: 1 << 63}
	if !r.wanted("ESP", newer) {
		t.Fatal("a newer roster is not asked for")
	}
	for range 1000 {
		if r.wanted("ESP", newer) {
			t.Fatal("asked again while the first fetch may be under way")
		}
	}
	if !r.wanted("BGR", newer) {
		t.Error("another bureau is not asked")
	}
	now = now.Add(fetchTimeout + fetchPause)
	if !r.wanted("ESP", newer) {
		t.Error("not asked again after the pause")
	}
	if r.wanted("LBN", &queryv1.Offer{RosterVersion: 0}) {
		t.Error("an older roster is asked for")
	}
}

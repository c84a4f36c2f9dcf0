package node

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entente-mesh/entente/federation/peers"
	"github.com/entente-mesh/entente/pki/roster"
)

// followed is a node without a roster: everything that is announced is newer, and nothing comes.
func followed(t *testing.T) *rosters {
	t.Helper()
	book, err := roster.OpenBook(t.TempDir(), "demo.entente", "BEL", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return newRosters(book, slog.New(slog.DiscardHandler))
}

// A bureau that announces a newer roster over and over, and does not come up with one, is asked by
// one at a time, and less and less often. It does not keep others from being asked.
func TestWhoAnnouncesWhatItHasNotIsAskedLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := followed(t)
		if !r.announce("ESP", 1<<63) {
			t.Fatal("a newer roster is not followed")
		}
		end, asked := make(chan struct{}), 0
		go r.follow(end, "ESP", func(context.Context) error {
			asked++
			return errors.New("it has none")
		})
		for range time.Hour / time.Second {
			time.Sleep(time.Second)
			if r.announce("ESP", 1<<63) {
				t.Fatal("followed by a second one")
			}
		}
		synctest.Wait()
		if asked < 60 || asked > 70 {
			t.Errorf("asked %d times in an hour, want about once a minute", asked)
		}
		if !r.announce("BGR", 2) {
			t.Error("another bureau is not followed")
		}
		if r.announce("LBN", 0) {
			t.Error("an older roster is followed")
		}
		r.announce("ESP", 0) // it takes its word back
		time.Sleep(maxFetchPause)
		synctest.Wait()
		if !r.announce("ESP", 2) {
			t.Error("not followed after it has taken its word back")
		}
		close(end)
	})
}

// What a bureau announces on its next connection is followed, also while the call on the one before
// is still on its way to fail.
func TestAnUnreachableBureauIsFollowedFromItsNextWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := followed(t)
		gone := &peers.UnreachableError{Bureau: "ESP", Kind: peers.ErrUnreachable}
		end := make(chan struct{})
		r.announce("ESP", 2)
		r.follow(end, "ESP", func(context.Context) error { return gone })
		if !r.announce("ESP", 2) {
			t.Fatal("its next word is not followed")
		}
		asked := 0
		go r.follow(end, "ESP", func(context.Context) error {
			if asked++; asked == 1 && r.announce("ESP", 3) {
				t.Error("followed by a second one")
			}
			return gone
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if asked != 2 {
			t.Errorf("asked %d times, want once for each of its words", asked)
		}
		close(end)
	})
}

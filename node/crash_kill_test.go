package node_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/journal"
)

// roundsVariable sets how many rounds TestKilledAtRandom plays: 1000 for what the federation
// promises, some tens for everyday.
//
//	ENTENTE_CRASH_ROUNDS=1000 go test ./node -run TestKilledAtRandom -v -timeout 2h
const roundsVariable = "ENTENTE_CRASH_ROUNDS"

// auditPoints are those at which the tree's own failpoints lie, between what stands in the journal and
// the checkpoint that is given out.
var auditPoints = []string{"audit: before the tree", "audit: in the tree", "audit: signed", "audit: checkpoint kept"}

// TestKilledAtEveryPoint kills a node, by its own hand, at each point from the request to the
// answer and on into the tree, while it asks and answers; then the one that it asks; then again at
// each point while it starts after such a death.
func TestKilledAtEveryPoint(t *testing.T) {
	w := newWreck(t)
	all := journal.Points()
	border := slices.Index(all, "before-roll")
	points := slices.Concat(all[:border], auditPoints)
	for i, point := range points {
		v := w.nodes[i%2]
		w.play(3, func(l *load) {
			l.underWay(3)
			if said := v.tell("arm %d %s", 1+w.random.IntN(3), point); said != "ok" {
				t.Fatalf("%s: arm: %q", v.ID, said)
			}
			v.gone()
		})
		// Killed with asks under way, and killed again at the same point while it mends that.
		w.play(3, w.strike(v))
		reached := false
		w.play(3, func(l *load) {
			w.strike(v)(l)
			if reached = v.tryUp("1 "+point) == ""; reached {
				return
			}
			v.connect() // it comes to the points of the tree when it serves
			patience := time.NewTimer(2 * time.Second)
			defer patience.Stop()
			select {
			case <-v.died:
				reached = true
			case <-patience.C:
			}
			v.kill()
		})
		if !reached {
			t.Errorf("%s did not come to %q again when it was started", v.ID, point)
		}
		t.Logf("%s was killed at %q, and again when it was started", v.ID, point)
	}
	w.verify()
	w.finish()
	t.Log(w)
}

// TestKilledAtRandom kills one node, the other, or both, under load, at moments that nobody chose.
// After each round every answer that reached a client stands in both books under its id, every
// record that was acknowledged is there, and nobody raised an alarm; now and then the books are
// verified whole, and in the end both are read beside each other.
func TestKilledAtRandom(t *testing.T) {
	rounds := 40
	if s := os.Getenv(roundsVariable); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("%s: %v", roundsVariable, err)
		}
		rounds = n
	} else if testing.Short() {
		rounds = 8
	}
	w := newWreck(t)
	began := time.Now()
	for n := range rounds {
		victims := [][]*victim{w.nodes[:1], w.nodes[1:], w.nodes}[w.random.IntN(3)]
		w.play(3, w.strike(victims...))
		if n%50 == 49 {
			w.verify()
			t.Logf("%s: %s", time.Since(began).Round(time.Second), w)
		}
	}
	w.verify()
	w.finish()
	t.Logf("%s: %s", time.Since(began).Round(time.Second), w)
}

// TestKilledWhileTheBooksAreErased kills a node at each point of a segment's end, of an erasure and
// of a retention. That something passed stays, in both books.
func TestKilledWhileTheBooksAreErased(t *testing.T) {
	w := newWreck(t)
	all := journal.Points()
	for i, point := range all[slices.Index(all, "before-roll"):] {
		v := w.nodes[i%2]
		told := ""
		w.play(2, func(l *load) {
			l.underWay(10)
			// The other node may be back for longer than this one knows.
			w.mesh.Eventually(fmt.Sprintf("%s is told of somebody by %s in round %d", v.ID, w.other(v).ID, w.round), func() bool {
				told = w.hit(v)
				return told != ""
			})
		})
		leaves := w.leaves()
		work := "retain"
		if strings.HasSuffix(point, "-erase") {
			work = fmt.Sprintf("erase %s %s", w.other(v).ID, told)
		}
		v.tell("arm 1 %s", point)
		if said := v.tell("%s", work); said != "" {
			t.Fatalf("%s: %s: it says %q, and was to be killed at %s", v.ID, work, said, point)
		}
		v.gone()
		v.up()
		if now := w.leaves(); now[0] < leaves[0] || now[1] < leaves[1] {
			t.Errorf("killed at %s: %v leaves were there, and now %v", point, leaves, now)
		}
		if said := v.tell("%s", work); !strings.HasSuffix(said, "<nil>") {
			t.Errorf("%s again: %s", work, said)
		}
		w.verify()
		w.wantNoAlarm(v)
	}
	w.finish()
	t.Log(w)
}

// hit is a record of the other bureau that was told to clients of one in this round; empty: none yet.
func (w *wreck) hit(v *victim) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.checks {
		if c.at != v {
			continue
		}
		for _, h := range c.resp.GetHits() {
			if h.GetBureau() == string(w.other(v).ID) {
				return h.GetRecordId()
			}
		}
	}
	return ""
}

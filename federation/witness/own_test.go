package witness_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/entente-mesh/entente/federation/witness"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// toldOfItself has BGR tell BEL what it was shown of BEL's own log.
func (s *stage) toldOfItself(notes ...[]byte) {
	s.tells(func() []*auditv1.Witnessed {
		var list []*auditv1.Witnessed
		for _, n := range notes {
			list = append(list, &auditv1.Witnessed{Bureau: "BEL", Checkpoint: n})
		}
		return list
	})
}

// Somebody has BEL's log key, and shows LBN a log of BEL that BEL never wrote.
func TestSomebodyElseSignsWithTheOwnKey(t *testing.T) {
	for name, size := range map[string]uint64{"as many leaves": 150, "fewer": 101} {
		t.Run(name, func(t *testing.T) {
			countries(t, func(t *testing.T, c *trial, bel, lbn *node) {
				forger := newChronicle("BEL", "1")
				forger.key = c.fed.Countries["BEL"].Log
				lbn.lines.mu.Lock()
				lbn.lines.to["BEL"] = &line{served: []grpcService{serve(t, forger)}}
				lbn.lines.mu.Unlock()
				c.pass(time.Second)
				bel.log.growTo(150, "leaf")
				lbn.log.growTo(10, "leaf")
				lbn.hears("BEL", forger.growTo(size, "a forger's leaf"))
				c.pass(10 * time.Minute)
				a := c.finds(bel, "BEL")
				if n := len(bel.siren.all()); n != 1 {
					t.Errorf("%d alarms in ten minutes", n)
				}
				if a.Text == "" || len(a.Text) > 512 || !bytes.Contains([]byte(a.Text), []byte("LBN tells")) {
					t.Errorf("the alarm's text: %q", a.Text)
				}
				if known := bel.Known(); len(known) != 1 || known[0].Bureau != "LBN" {
					t.Errorf("BEL watches its own log as another's: %+v", known)
				}
				c.pass(3 * time.Hour)
				if n := len(bel.siren.all()); n < 3 || n > 4 {
					t.Errorf("what goes on for three hours was told %d times", n)
				}
			})
		})
	}
}

func TestTheOwnLogIsKnownToOthersAsItIs(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		s.roster.list("BEL", bel.log.key)
		other := newChronicle("BEL", "2") // a replica of BEL has a log of its own
		empty := bel.log.at(0)
		early := bel.log.growTo(3, "leaf")
		older, newer := bel.log.growTo(64, "leaf"), bel.log.growTo(101, "leaf")
		s.toldOfItself(empty, early, older, newer, other.growTo(101, "another replica's leaf"), bel.log.at(77), []byte("made up"))
		for range 60 {
			bel.log.grow("more")
			s.pass(time.Minute)
		}
		s.quiet(bel)
		if st := bel.Stats()["BGR"]; st.Worthless == 0 || st.Told != 0 {
			t.Errorf("stats: %+v", st)
		}
	})
}

// After a crash the tree is built again, and is for a while behind what it has signed.
func TestTheOwnLogCatchesUp(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		s.roster.list("BEL", bel.log.key)
		ahead := newChronicle("BEL", "1")
		s.toldOfItself(ahead.growTo(150, "leaf"))
		s.pass(20 * time.Minute) // it has no checkpoint at all yet
		bel.log.growTo(100, "leaf")
		s.pass(8 * time.Minute)
		s.quiet(bel)
		bel.log.growTo(151, "leaf")
		s.pass(20 * time.Minute)
		s.quiet(bel)
		// It is behind once more, much later: that is another time.
		s.toldOfItself(ahead.growTo(200, "leaf"))
		s.pass(8 * time.Minute)
		bel.log.growTo(220, "leaf")
		s.pass(time.Hour)
		s.quiet(bel)
	})
}

// The own log was restored from a backup: others know of leaves that it does not have.
func TestTheOwnLogIsRestored(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		s.roster.list("BEL", bel.log.key)
		before := newChronicle("BEL", "1")
		restored := bel.log.growTo(100, "leaf")
		newest := before.growTo(150, "leaf")
		s.toldOfItself(newest)
		s.pass(9 * time.Minute)
		s.quiet(bel)
		bel.files.Lock()
		bel.files.fail = errDown
		bel.files.Unlock()
		s.pass(10 * time.Minute)
		if all := bel.siren.all(); len(all) == 0 || all[0].Kind != forkAlarm || all[0].Subject != "BEL" || all[0].Evidence != "" {
			t.Fatalf("alarms without a file: %+v", all)
		}
		bel.files.Lock()
		bel.files.fail = nil
		bel.files.Unlock()
		s.pass(5 * time.Minute)
		all := bel.siren.all()
		e := s.read(bel, all[len(all)-1])
		if !bytes.Equal(e.GetKnown(), restored) || !bytes.Equal(e.GetPresented(), newest) {
			t.Errorf("evidence: %v", e)
		}
		// It goes on from there with other leaves: now that is a fork that is shown.
		bel.siren.mu.Lock()
		bel.siren.raised = nil
		bel.siren.mu.Unlock()
		bel.log.growTo(160, "after the restoring")
		s.pass(2 * time.Hour)
		var last witness.Alarm
		for _, last = range bel.siren.all() {
		}
		if e := s.read(bel, last); last.Kind != forkAlarm || e.GetGiven().GetFrom() != 150 || e.GetGiven().GetTo() != 160 {
			t.Errorf("alarm: %+v, evidence: %v", last, e)
		}
	})
}

// FuzzWhatIsTold: whatever is told of a bureau, its honest log stays honest.
func FuzzWhatIsTold(f *testing.F) {
	esp, bel := newChronicle("ESP", "1"), newChronicle("BEL", "1")
	f.Add("ESP", esp.growTo(50, "leaf"))
	f.Add("BEL", bel.growTo(30, "leaf"))
	f.Add("BGR", esp.Newest())
	f.Add("ESP", newChronicle("BGR", "1").grow("leaf"))
	f.Add("", []byte("\n\n\n\u2014 a b\n"))
	f.Add("esp", []byte{0xff})
	f.Fuzz(func(t *testing.T, of string, note []byte) {
		scene(t, func(t *testing.T, s *stage, bel *node) {
			s.roster.list("BEL", bel.log.key)
			bel.log.growTo(60, "leaf")
			bel.hears("ESP", s.logs["ESP"].growTo(101, "leaf"))
			s.tells(func() []*auditv1.Witnessed { return []*auditv1.Witnessed{{Bureau: of, Checkpoint: note}} })
			s.pass(5 * time.Minute)
			s.quiet(bel)
			s.knows(bel, "ESP", 101)
			for _, k := range bel.Known() {
				if k.Bureau != identity.Bureau("ESP") {
					t.Errorf("known: %+v", k)
				}
			}
		})
	})
}

package witness_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/witness"
	"github.com/entente-mesh/entente/pki/identity"
)

var errDown = status.Error(codes.Unavailable, "the line is cut")

func TestAnHonestLogGrows(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		s.knows(bel, "ESP", 0)
		for _, size := range []uint64{1, 2, 3, 64, 65, 1000, 1024, 5000} {
			checkpoint := esp.growTo(size, "leaf")
			for range 100 {
				bel.hears("ESP", checkpoint)
			}
			s.pass(5 * time.Second)
			s.knows(bel, "ESP", size)
		}
		s.quiet(bel)
		if got := bel.Stats()["ESP"]; got.Seen != 8 || got.Proven != 7 || got.Unproven != 0 || got.Invalid+got.Dropped+got.Alarms != 0 {
			t.Errorf("stats: %+v", got)
		}
		if k := bel.Known()[0]; len(k.Findings) != 0 || k.Signed != 5000 || k.Checkpoint != s.open("ESP", k.Note) {
			t.Errorf("known: %+v", k)
		}
	})
}

// Many messages a second, each with a newer checkpoint than the one before, in any order.
func TestABusyLogIsAskedAboutOnceASecond(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp, began := s.logs["ESP"], time.Now()
		var last [][]byte
		for range 600 {
			last = append(last, esp.grow("one", "two", "three"))
			bel.hears("ESP", last[len(last)-1])
			bel.hears("ESP", last[max(len(last)-7, 0)]) // overtaken by six
			s.later(100 * time.Millisecond)
		}
		s.pass(2 * time.Minute)
		s.knows(bel, "ESP", 1800)
		s.quiet(bel)
		if asks, most := s.lines["ESP"].asks(), int(time.Since(began)/time.Second)+1; asks > most {
			t.Errorf("ESP was called %d times in %s, at most %d", asks, time.Since(began), most)
		}
		if bel.shelf.writes() > s.lines["ESP"].asks()+1 {
			t.Errorf("%d durable writes for %d questions", bel.shelf.writes(), s.lines["ESP"].asks())
		}
		if st := bel.Stats()["ESP"]; st.Unproven != 0 {
			t.Errorf("%d checkpoints were never proven", st.Unproven)
		}
	})
}

func TestAMessageThatWasOvertakenIsNoShrinking(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		older, newer := esp.growTo(100, "leaf"), esp.growTo(120, "leaf")
		sent := time.Now()
		bel.Saw("ESP", newer, answer("ESP", "2", newer, sent.Add(time.Second)), sent.Add(time.Second))
		s.pass(2 * time.Minute) // the longest life of an ask
		bel.Saw("ESP", older, asked("ESP", "1", "Jansen", older, sent), sent)
		s.pass(time.Minute)
		s.knows(bel, "ESP", 120)
		s.quiet(bel)
		if st := bel.Stats()["ESP"]; st.Proven != 1 {
			t.Errorf("the older one was not proven to be the beginning: %+v", st)
		}
	})
}

// A bureau whose clock is an hour off dates its answers by it, and its asks by ours.
func TestAWrongClockIsNoShrinking(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		older, newer := esp.growTo(100, "leaf"), esp.growTo(120, "leaf")
		now := time.Now()
		bel.Saw("ESP", newer, asked("ESP", "2", "Jansen", newer, now), now)
		s.pass(time.Second)
		bel.Saw("ESP", older, answer("ESP", "1", older, now.Add(time.Hour)), now.Add(time.Hour))
		s.pass(time.Minute)
		s.quiet(bel)
	})
}

func TestWhatIsKnownOutlivesARestart(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		bel.hears("ESP", esp.growTo(100, "leaf"))
		s.pass(3 * time.Second)
		s.restart(bel)
		s.knows(bel, "ESP", 100)
		bel.hears("ESP", esp.growTo(150, "leaf"))
		s.pass(3 * time.Second)
		s.knows(bel, "ESP", 150)
		s.quiet(bel)
	})
}

// What was signed and could not be proven yet is not forgotten with the process either.
func TestWhatIsNotProvenOutlivesARestart(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		bel.hears("ESP", esp.growTo(100, "leaf"))
		s.pass(3 * time.Second)
		s.lines["ESP"].set(errDown, nil)
		bel.hears("ESP", esp.growTo(150, "leaf"))
		s.pass(3 * time.Second)
		s.restart(bel)
		s.lines["ESP"].set(nil, nil)
		s.pass(10 * time.Second)
		s.knows(bel, "ESP", 150)
		s.quiet(bel)
	})
}

func TestABureauThatIsDownOwesNoProof(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		bel.hears("ESP", esp.growTo(100, "leaf"))
		s.pass(3 * time.Second)
		s.lines["ESP"].set(errDown, nil)
		bel.hears("ESP", esp.growTo(150, "leaf"))
		s.pass(24 * time.Hour)
		s.knows(bel, "ESP", 100)
		s.quiet(bel)
		s.lines["ESP"].set(nil, nil)
		s.pass(6 * time.Minute)
		s.knows(bel, "ESP", 150)
		s.quiet(bel)
	})
}

func TestAKeyRotatesBeforeItsRosterArrives(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		first := esp.growTo(100, "leaf")
		bel.hears("ESP", first)
		s.pass(3 * time.Second)
		old := esp.key
		esp.key = keyOf("ESP's second key")
		var newest []byte
		for i := range uint64(240) { // four minutes without the new roster
			newest = esp.growTo(101+i, "leaf")
			bel.hears("ESP", newest)
			s.pass(time.Second)
		}
		s.knows(bel, "ESP", 100)
		s.roster.list("ESP", esp.key) // and without the old key
		for range 120 {               // the log is quiet now: the same bytes come again
			bel.hears("ESP", newest)
			s.pass(time.Second)
		}
		s.knows(bel, "ESP", 340)
		s.quiet(bel)

		// A message with the old key's signature, of a size that was known then, tells nothing new.
		esp.key = old
		bel.hears("ESP", first)
		s.pass(time.Minute)
		if st := bel.Stats()["ESP"]; st.Alarms != 0 {
			t.Errorf("alarms: %+v", bel.siren.all())
		}
	})
}

func TestTwoReplicasBehindOneAddress(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		one, two := s.logs["ESP"], newChronicle("ESP", "2")
		s.lines["ESP"].served = append(s.lines["ESP"].served, serve(t, two))
		for i := range uint64(50) {
			bel.hears("ESP", one.growTo(10+3*i, "one"))
			bel.hears("ESP", two.growTo(500+7*i, "two"))
			s.pass(20 * time.Second)
		}
		s.pass(10 * time.Minute)
		s.quiet(bel)
		known := bel.Known()
		if len(known) != 2 || known[0].Checkpoint.Size != 157 || known[1].Checkpoint.Size != 843 {
			t.Errorf("known: %+v", known)
		}
	})
}

func TestAQuietLogIsWitnessedToo(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		s.alone(bel)
		esp := s.logs["ESP"]
		esp.growTo(10, "leaf")
		s.pass(10 * time.Minute) // it had none when BEL started; BEL has asked then
		s.pass(time.Hour)
		s.knows(bel, "ESP", 10)
		esp.growTo(20, "leaf")
		s.pass(2 * time.Hour)
		s.knows(bel, "ESP", 20)
		if asks := s.lines["ESP"].asks(); asks > 40 {
			t.Errorf("a quiet bureau was called %d times in three hours", asks)
		}
		s.quiet(bel)
	})
}

// Nothing is known before it is durable.
func TestKeptBeforeKnown(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		bel.hears("ESP", esp.growTo(100, "leaf"))
		s.pass(3 * time.Second)
		bel.shelf.mu.Lock()
		bel.shelf.fail = errors.New("no space")
		bel.shelf.mu.Unlock()
		bel.hears("ESP", esp.growTo(150, "leaf"))
		s.pass(time.Minute)
		s.knows(bel, "ESP", 100)
		bel.shelf.mu.Lock()
		bel.shelf.fail = nil
		bel.shelf.mu.Unlock()
		s.pass(10 * time.Minute)
		s.knows(bel, "ESP", 150)
		s.quiet(bel)
	})
}

func TestABureauWithoutALogIsNothing(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		for range 100 {
			bel.hears("ESP", nil)
			bel.hears("BEL", bel.log.grow("own"))
			bel.hears("", []byte("x"))
			bel.hears("not a bureau", []byte("x"))
			s.pass(time.Minute)
		}
		bel.hears("BGR", s.logs["BGR"].at(0))
		s.pass(time.Minute)
		if k := bel.Known(); len(k) != 0 {
			t.Errorf("known: %+v", k)
		}
		s.quiet(bel)
	})
}

func TestNewSaysWhatIsMissing(t *testing.T) {
	_, err := witness.New(t.Context(), witness.Config{Tries: -1, Exchange: -1})
	for _, want := range []string{"Self", "Federation", "Keys", "Peers", "Bureaus", "State", "Alarms", "Log", "WriteEvidence", "Rosters", "Caller", "Tries", "Exchange"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not name Config.%s", err, want)
		}
	}
}

func TestADamagedStateIsNotForgotten(t *testing.T) {
	for name, value := range map[string]string{
		"not JSON":       "{",
		"another format": `{"format":2,"origin":"esp.test.entente/log/1"}`,
		"another log":    `{"format":1,"origin":"bgr.test.entente/log/1"}`,
		"no log":         `{"format":1,"origin":"esp"}`,
		"a bad note":     `{"format":1,"origin":"esp.test.entente/log/1","known":{"note":"AAAA"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			n := &node{bureau: "BEL", roster: &roster{}, lines: &lines{to: map[identity.Bureau]*line{}}, siren: &siren{}, log: newChronicle("BEL", "1"),
				shelf: &shelf{kept: map[string][]byte{witness.Room + "|ESP/1": []byte(value)}}}
			if _, err := witness.New(t.Context(), n.config()); err == nil || !strings.Contains(err.Error(), `"ESP/1"`) {
				t.Errorf("New: %v", err)
			}
		})
	}
}

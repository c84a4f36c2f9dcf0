package witness_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/evidence"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
)

// rewrite puts another log in the place of a bureau's: the first keep leaves are the same.
func (c *chronicle) rewrite(keep, size uint64, mark string) []byte {
	old := c.tree
	other := newChronicle("ESP", "1")
	c.mu.Lock()
	c.tree = other.tree
	for i := range keep {
		c.tree.Append(old.LeafHash(i))
	}
	c.mu.Unlock()
	return c.growTo(size, mark)
}

// ESP answers, and then rewrites its log so that the answer is not in it. What it proves, it
// proves against itself.
func TestALogThatIsRewrittenAfterAnAnswer(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		before := esp.growTo(101, "leaf")
		bel.hears("ESP", before)
		s.pass(3 * time.Second)
		after := esp.rewrite(99, 150, "another leaf")
		bel.hears("ESP", after)
		s.pass(3 * time.Second)
		e := s.alarmed(bel, forkAlarm, "ESP")
		if e.GetFinding() != "fork" || !bytes.Equal(e.GetKnown(), before) || !bytes.Equal(e.GetPresented(), after) {
			t.Fatalf("evidence: %v", e)
		}
		// An outsider checks: with any root but the signed one for the beginning, the proof that
		// ESP gave leads to the newer checkpoint. Its newer log begins otherwise, by its own word.
		known, presented := s.open("ESP", e.GetKnown()), s.open("ESP", e.GetPresented())
		if e.GetGiven().GetFrom() != known.Size || e.GetGiven().GetTo() != presented.Size {
			t.Fatalf("given: %v", e.GetGiven())
		}
		if err := evidence.VerifyConsistency(known, presented, e.GetGiven().GetProof()); err == nil {
			t.Fatal("the proof holds")
		}
		rewritten := known
		rewritten.Root = [32]byte(esp.tree.HashAt(known.Size))
		if err := evidence.VerifyConsistency(rewritten, presented, e.GetGiven().GetProof()); err != nil {
			t.Fatalf("the proof does not show the other beginning: %v", err)
		}
		s.knows(bel, "ESP", 101)
	})
}

// Where the size that is known is a power of two, the proof does not show the other beginning. It
// fails all the same.
func TestALogThatIsRewrittenAtAPowerOfTwo(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		bel.hears("ESP", esp.growTo(128, "leaf"))
		s.pass(3 * time.Second)
		bel.hears("ESP", esp.rewrite(99, 150, "another leaf"))
		s.pass(10 * time.Second)
		e := s.alarmed(bel, unprovenAlarm, "ESP")
		if e.GetFinding() != "unproven" || len(e.GetGiven().GetProof()) == 0 {
			t.Fatalf("evidence: %v", e)
		}
		s.knows(bel, "ESP", 128)
	})
}

// The rewriting happens between two checkpoints that come within one second, so that the later
// one could be proven and the earlier one forgotten.
func TestARewritingBetweenTwoLooks(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		bel.hears("ESP", esp.growTo(101, "leaf"))
		s.pass(3 * time.Second)
		bel.hears("ESP", esp.growTo(111, "the answer"))
		bel.hears("ESP", esp.rewrite(101, 112, "as if nothing had been"))
		s.pass(10 * time.Second)
		s.alarmed(bel, forkAlarm, "ESP")
	})
}

func TestTwoLogsOfOneSize(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		one := esp.growTo(100, "leaf")
		bel.hears("ESP", one)
		s.pass(3 * time.Second)
		s.lines["ESP"].set(errDown, nil) // nobody has to be asked
		other := esp.rewrite(99, 100, "another leaf")
		bel.hears("ESP", other)
		s.pass(time.Second)
		e := s.alarmed(bel, forkAlarm, "ESP")
		x, y := s.open("ESP", e.GetKnown()), s.open("ESP", e.GetPresented())
		if e.GetFinding() != "fork" || x.Size != y.Size || x.Root == y.Root || x.Origin != y.Origin || len(e.GetCarriers()) != 2 {
			t.Fatalf("evidence: %v", e)
		}
	})
}

// The first two that are ever seen contradict each other.
func TestTwoLogsFromTheBeginning(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		one := esp.growTo(100, "leaf")
		bel.hears("ESP", one)
		bel.hears("ESP", esp.rewrite(99, 100, "another leaf"))
		s.pass(3 * time.Second)
		s.alarmed(bel, forkAlarm, "ESP")
		s.restart(bel)
		if k := bel.Known(); len(k) != 1 || !slices.Equal(k[0].Findings, []string{"fork"}) || k[0].Checkpoint.Size != 100 {
			t.Errorf("known: %+v", k)
		}
	})
}

func TestAForkStays(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		s.alone(bel)
		esp := s.logs["ESP"]
		bel.hears("ESP", esp.growTo(101, "leaf"))
		s.pass(3 * time.Second)
		bel.hears("ESP", esp.rewrite(99, 150, "another leaf"))
		s.pass(3 * time.Second)
		s.alarmed(bel, forkAlarm, "ESP")
		asks := s.lines["ESP"].asks()
		for i := range uint64(10) {
			bel.hears("ESP", esp.growTo(200+i, "another leaf"))
			s.pass(time.Minute)
		}
		latest := esp.Newest()
		s.restart(bel)
		k := bel.Known()
		if len(k) != 1 || k[0].Checkpoint.Size != 101 || !slices.Equal(k[0].Findings, []string{"fork"}) || !bytes.Equal(k[0].Latest, latest) {
			t.Errorf("after a restart: %+v", k)
		}
		s.pass(time.Minute)
		s.alarmed(bel, forkAlarm, "ESP") // it is open at the alarms, and not raised anew
		if more := s.lines["ESP"].asks() - asks; more > 2 {
			t.Errorf("a forked log was asked for %d proofs", more)
		}
	})
}

// ESP takes an entry out of its log: the leaves after it move up.
func TestAnEntryIsDropped(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		bel.hears("ESP", esp.growTo(101, "leaf"))
		s.pass(5 * time.Minute)
		old := esp.tree
		esp.rewrite(50, 50, "")
		for i := uint64(51); i < 101; i++ {
			esp.tree.Append(old.LeafHash(i))
		}
		bel.hears("ESP", esp.grow()) // 100 leaves
		s.pass(3 * time.Second)
		shrunk := bel.siren.all()
		if len(shrunk) == 0 || shrunk[0].Kind != shrinkAlarm {
			t.Fatalf("alarms: %+v", shrunk)
		}
		// 100 to 101 of two logs: its own proof shows that too.
		bel.hears("ESP", esp.growTo(130, "later"))
		s.pass(10 * time.Second)
		all := bel.siren.all()
		if last := all[len(all)-1]; last.Kind != forkAlarm {
			t.Fatalf("alarms: %+v", all)
		}
	})
}

func TestALogThatShrinks(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		older := esp.growTo(100, "leaf")
		bel.hears("ESP", older)
		s.pass(3 * time.Second)
		newer := esp.growTo(120, "leaf")
		first := time.Now()
		bel.hears("ESP", newer)
		s.pass(10 * time.Minute)
		s.quiet(bel)
		again := time.Now()
		bel.hears("ESP", older)
		s.pass(3 * time.Second)
		e := s.alarmed(bel, shrinkAlarm, "ESP")
		if e.GetFinding() != "shrink" || !bytes.Equal(e.GetKnown(), newer) || !bytes.Equal(e.GetPresented(), older) {
			t.Fatalf("evidence: %v", e)
		}
		want := [][]byte{answer("ESP", first.String(), newer, first).GetPayload(), answer("ESP", again.String(), older, again).GetPayload()}
		if len(e.GetCarriers()) != 2 || !bytes.Equal(e.GetCarriers()[0].GetPayload(), want[0]) || !bytes.Equal(e.GetCarriers()[1].GetPayload(), want[1]) {
			t.Errorf("the carriers, whose times prove it, are %v", e.GetCarriers())
		}
		// It goes on, and is not told with every message.
		for range 90 {
			bel.hears("ESP", older)
			s.pass(time.Minute)
		}
		if n := len(bel.siren.all()); n != 2 {
			t.Errorf("%d alarms in an hour and a half, want 2", n)
		}
		s.knows(bel, "ESP", 120)
	})
}

// The log's whole past is gone, not only for the messages: it says so when asked, too.
func TestALogThatShrinksQuietly(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		s.alone(bel)
		esp := s.logs["ESP"]
		esp.growTo(120, "leaf")
		s.pass(70 * time.Minute)
		s.knows(bel, "ESP", 120)
		esp.mu.Lock()
		esp.newest = esp.sign(100, esp.tree.HashAt(100))
		esp.mu.Unlock()
		s.pass(55 * time.Minute)
		s.alarmed(bel, shrinkAlarm, "ESP")
	})
}

// A message that is dated back does not make an old checkpoint look overtaken for long.
func TestAMessageThatIsDatedBack(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		older := esp.growTo(100, "leaf")
		bel.hears("ESP", older)
		s.pass(time.Second)
		when := time.Now()
		bel.hears("ESP", esp.growTo(120, "leaf"))
		for i := range 30 {
			s.pass(time.Minute)
			bel.Saw("ESP", older, answer("ESP", fmt.Sprint(i), older, when), when)
		}
		s.pass(time.Second)
		s.alarmed(bel, unprovenAlarm, "ESP")
	})
}

func TestALogThatGivesNoProof(t *testing.T) {
	refusals := map[string]error{
		"refuses":           fault.New(codes.ResourceExhausted, fault.QuotaExceeded, "", "not now"),
		"does not serve it": status.Error(codes.Unimplemented, "no such method"),
		"is never reached":  errDown,
		"does not answer":   status.Error(codes.DeadlineExceeded, "too late"),
	}
	for name, refusal := range refusals {
		t.Run(name, func(t *testing.T) {
			scene(t, func(t *testing.T, s *stage, bel *node) {
				esp := s.logs["ESP"]
				first := esp.growTo(100, "leaf")
				bel.hears("ESP", first)
				s.pass(3 * time.Second)
				s.lines["ESP"].set(nil, func(string, any, error) error { return refusal })
				began := time.Now()
				var checkpoint []byte
				for len(bel.siren.all()) == 0 && time.Since(began) < time.Hour {
					// It never stops talking, and shows a new checkpoint each time.
					checkpoint = esp.grow("another")
					bel.hears("ESP", checkpoint)
					s.pass(10 * time.Second)
				}
				if took := time.Since(began); took < 10*time.Minute || took > 30*time.Minute {
					t.Errorf("the alarm took %s", took)
				}
				e := s.alarmed(bel, unprovenAlarm, "ESP")
				if e.GetFinding() != "unproven" || !bytes.Equal(e.GetKnown(), first) || e.GetGiven() != nil {
					t.Errorf("evidence: %v", e)
				}
				s.knows(bel, "ESP", 100)
				if asks := s.lines["ESP"].asks(); asks > 40 {
					t.Errorf("%d calls: it does not rest between them", asks)
				}

				// It gives way: what is known goes on, and nothing is found any more. The alarm is a
				// person's to close.
				s.lines["ESP"].set(nil, nil)
				s.pass(40 * time.Minute)
				s.knows(bel, "ESP", s.open("ESP", esp.Newest()).Size)
				if k := bel.Known(); len(k[0].Findings) != 0 {
					t.Errorf("findings: %v", k[0].Findings)
				}
			})
		})
	}
}

func TestAWorthlessProof(t *testing.T) {
	forgeries := map[string]func(*auditv1.Consistency){
		"of other hashes": func(c *auditv1.Consistency) {
			for i := range c.Proof {
				c.Proof[i] = make([]byte, 32)
			}
		},
		"too short": func(c *auditv1.Consistency) { c.Proof = c.Proof[1:] },
		"none":      func(c *auditv1.Consistency) { c.Proof = nil },
		"too long":  func(c *auditv1.Consistency) { c.Proof = append(c.Proof, make([]byte, 32)) },
	}
	for name, forge := range forgeries {
		t.Run(name, func(t *testing.T) {
			scene(t, func(t *testing.T, s *stage, bel *node) {
				esp := s.logs["ESP"]
				bel.hears("ESP", esp.growTo(101, "leaf"))
				s.pass(3 * time.Second)
				s.lines["ESP"].set(nil, func(_ string, reply any, err error) error {
					if r, ok := reply.(*auditv1.GetConsistencyResponse); ok {
						forge(r.Consistency)
					}
					return err
				})
				bel.hears("ESP", esp.growTo(150, "leaf"))
				s.pass(10 * time.Second)
				// The log may well be whole: nothing proves a fork, and none is claimed.
				if e := s.alarmed(bel, unprovenAlarm, "ESP"); e.GetGiven() == nil {
					t.Errorf("evidence: %v", e)
				}
				s.knows(bel, "ESP", 101)
			})
		})
	}
	misshapen := map[string]func(*auditv1.GetConsistencyResponse){
		"of other sizes": func(r *auditv1.GetConsistencyResponse) { r.Consistency.From++ },
		"short hashes":   func(r *auditv1.GetConsistencyResponse) { r.Consistency.Proof[0] = []byte("short") },
		"no proof":       func(r *auditv1.GetConsistencyResponse) { r.Consistency = nil },
		"endless":        func(r *auditv1.GetConsistencyResponse) { r.Consistency.Proof = make([][]byte, 100000) },
	}
	for name, forge := range misshapen {
		t.Run(name, func(t *testing.T) {
			scene(t, func(t *testing.T, s *stage, bel *node) {
				esp := s.logs["ESP"]
				bel.hears("ESP", esp.growTo(101, "leaf"))
				s.pass(3 * time.Second)
				s.lines["ESP"].set(nil, func(_ string, reply any, err error) error {
					if r, ok := reply.(*auditv1.GetConsistencyResponse); ok {
						forge(r)
					}
					return err
				})
				bel.hears("ESP", esp.growTo(150, "leaf"))
				s.pass(time.Hour)
				s.alarmed(bel, unprovenAlarm, "ESP")
			})
		})
	}
}

// A proof that fails once is nobody's fault.
func TestAProofThatFailsOnce(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		bel.hears("ESP", esp.growTo(101, "leaf"))
		s.pass(3 * time.Second)
		failed := false
		s.lines["ESP"].set(nil, func(_ string, reply any, err error) error {
			if r, ok := reply.(*auditv1.GetConsistencyResponse); ok && !failed {
				failed = true
				r.Consistency.Proof[0] = make([]byte, 32)
			}
			return err
		})
		bel.hears("ESP", esp.growTo(150, "leaf"))
		s.pass(time.Minute)
		s.knows(bel, "ESP", 150)
		s.quiet(bel)
	})
}

func TestWhatIsNoCheckpoint(t *testing.T) {
	esp := newChronicle("ESP", "1")
	good := esp.growTo(100, "leaf")
	stolen := newChronicle("ESP", "1") // the right name under another's key
	stolen.key = keyOf("a thief")
	foreign := newChronicle("BGR", "1")
	elsewhere := newChronicle("ESP", "1")
	elsewhere.origin = strings.Replace(elsewhere.origin, "test.entente", "drill.entente", 1)
	odd := map[string]func(i int) []byte{
		"garbage":               func(i int) []byte { return fmt.Appendf(nil, "garbage %d", i) },
		"too long":              func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 1<<20) },
		"cut short":             func(i int) []byte { return good[:len(good)-1-i] },
		"another bureau's":      func(int) []byte { return foreign.grow("leaf") },
		"under another's key":   func(int) []byte { return stolen.grow("leaf") },
		"of another federation": func(int) []byte { return elsewhere.grow("leaf") },
		"an empty tree's lie":   func(i int) []byte { return esp.sign(0, bytes.Repeat([]byte{byte(i)}, 32)) },
	}
	for name, next := range odd {
		t.Run(name, func(t *testing.T) {
			scene(t, func(t *testing.T, s *stage, bel *node) {
				s.alone(bel)
				bel.hears("ESP", good)
				for i := range 9 {
					bel.hears("ESP", next(i))
					s.pass(3 * time.Minute)
				}
				s.quiet(bel)
				bel.hears("ESP", next(9))
				s.pass(time.Second)
				e := s.alarmed(bel, unprovenAlarm, "ESP")
				if name != "too long" && len(e.GetPresented()) == 0 {
					t.Errorf("evidence: %v", e)
				}
				if st := bel.Stats()["ESP"]; st.Invalid != 10 {
					t.Errorf("stats: %+v", st)
				}
				if text := bel.siren.all()[0].Text; strings.Contains(text, "garbage") || strings.Contains(text, "drill") {
					t.Errorf("the alarm repeats what it was sent: %q", text)
				}
				s.knows(bel, "ESP", 100)
			})
		})
	}
}

func TestALogThatIsNotShownAnyMore(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		bel.hears("ESP", esp.growTo(100, "leaf"))
		s.pass(time.Minute)
		for range 20 { // a restart
			bel.hears("ESP", nil)
			s.pass(time.Second)
		}
		bel.hears("ESP", esp.Newest())
		s.pass(time.Hour)
		for range 9 {
			bel.hears("ESP", nil)
			s.pass(time.Minute)
		}
		s.quiet(bel)
		for range 9 {
			bel.hears("ESP", nil)
			s.pass(time.Minute)
		}
		s.alarmed(bel, unprovenAlarm, "ESP")
	})
}

// ESP sends a different checkpoint with every message, 2,000 a second, most of them signed.
func TestAFloodOfCheckpoints(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		bel.hears("ESP", esp.growTo(100, "leaf"))
		bel.hears("BGR", s.logs["BGR"].growTo(10, "leaf"))
		s.pass(3 * time.Second)
		signed := make([][]byte, 500)
		for i := range signed {
			signed[i] = esp.grow("another")
		}
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		asks, puts := s.lines["ESP"].asks(), bel.shelf.writes()
		padding := bytes.Repeat([]byte("x"), 7000)
		for second := range 10 {
			for i := range 2000 {
				note := signed[(second*2000+i)%len(signed)]
				if i%4 == 0 {
					note = fmt.Appendf(nil, "%d %d %s", second, i, padding)
				}
				bel.Saw("ESP", note, nil, time.Now())
				s.later(500 * time.Microsecond)
			}
			bel.hears("BGR", s.logs["BGR"].grow("leaf"))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if more := int64(after.HeapAlloc) - int64(before.HeapAlloc); more > 8<<20 {
			t.Errorf("the flood holds %d KiB", more>>10)
		}
		if got := s.lines["ESP"].asks() - asks; got > 12 {
			t.Errorf("%d calls in 10 s of flood", got)
		}
		if got := bel.shelf.writes() - puts; got > 25 {
			t.Errorf("%d durable writes in 10 s of flood", got)
		}
		if st := bel.Stats()["ESP"]; st.Dropped == 0 || st.Unproven > 32 {
			t.Errorf("stats: %+v", st)
		}
		s.pass(5 * time.Second)
		s.knows(bel, "BGR", 20) // and the others are attended to
		s.quiet(bel)
	})
}

// A bureau that signs a new checkpoint with every message and forks among them is found, whichever
// of them are looked at.
func TestAForkInAFlood(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		bel.hears("ESP", esp.growTo(101, "leaf"))
		s.pass(3 * time.Second)
		esp.rewrite(90, 102, "rewritten")
		for range 5000 {
			bel.hears("ESP", esp.grow("another"))
			s.later(time.Millisecond)
		}
		s.pass(5 * time.Second)
		s.alarmed(bel, forkAlarm, "ESP")
	})
}

// The evidence cannot be written and the alarm not be raised at first; and the node is restarted
// in between.
func TestAnAlarmIsNotLost(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		bel.hears("ESP", esp.growTo(101, "leaf"))
		s.pass(3 * time.Second)
		bel.files.fail = errors.New("no space")
		bel.siren.fail = errors.New("no space either")
		bel.hears("ESP", esp.rewrite(99, 150, "another leaf"))
		s.pass(3 * time.Second)
		s.restart(bel)
		s.pass(3 * time.Second)
		bel.siren.mu.Lock()
		bel.siren.fail = nil
		bel.siren.mu.Unlock()
		s.pass(2 * time.Minute)
		without := bel.siren.all()
		if len(without) == 0 || without[0].Kind != forkAlarm || without[0].Evidence != "" {
			t.Fatalf("alarms without a file: %+v", without)
		}
		bel.files.Lock()
		bel.files.fail = nil
		bel.files.Unlock()
		s.pass(2 * time.Minute)
		all := bel.siren.all()
		if e := s.read(bel, all[len(all)-1]); e.GetGiven() == nil || e.GetFinding() != "fork" {
			t.Errorf("evidence: %v", e)
		}
		s.pass(time.Hour)
		if more := len(bel.siren.all()) - len(all); more != 0 {
			t.Errorf("%d more alarms after it was told", more)
		}
	})
}

// What the carriers tell of people is in no file and in no state.
func TestNothingOfAPersonIsKept(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		older := esp.growTo(100, "leaf")
		now := time.Now()
		bel.Saw("ESP", older, asked("ESP", "1", "JANSEN<<PIET", older, now), now)
		s.pass(time.Second)
		now = time.Now()
		newer := esp.growTo(120, "leaf")
		bel.Saw("ESP", newer, answer("ESP", "2", newer, now, &hitv1.Hit{RecordId: "JANSEN-RECORD"}), now)
		s.pass(10 * time.Minute)
		now = time.Now()
		bel.Saw("ESP", older, asked("ESP", "3", "JANSEN<<PIET", older, now), now)
		s.pass(3 * time.Second)
		e := s.alarmed(bel, shrinkAlarm, "ESP")
		if len(e.GetCarriers()) != 0 {
			t.Errorf("carriers: %v", e.GetCarriers())
		}
		if text := bel.siren.all()[0].Text; !strings.Contains(text, messageID("2")) || !strings.Contains(text, messageID("3")) {
			t.Errorf("the alarm does not name the messages, which the books hold: %q", text)
		}
		raw, err := proto.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, kept := range append([][]byte{raw}, bel.shelf.kept["witness|ESP/1"]) {
			if bytes.Contains(kept, []byte("JANSEN")) {
				t.Errorf("a name is kept: %q", kept)
			}
		}
	})
}

func TestMoreLogsThanReplicas(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		for i := range 1000 {
			bel.hears("ESP", newChronicle("ESP", fmt.Sprintf("r%d", i)).grow("leaf"))
			s.pass(2 * time.Second)
		}
		s.alarmed(bel, unprovenAlarm, "ESP")
		if n := len(bel.Known()); n != 8 {
			t.Errorf("%d logs are watched, want 8", n)
		}
	})
}

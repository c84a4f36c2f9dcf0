package witness_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/witness"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
)

// opener is what an auditor with the roster opens checkpoints with.
func (s *stage) opener() witness.Open {
	return func(note []byte, of identity.Bureau) (evidence.Checkpoint, error) {
		keys, err := s.roster.KeysOf(of, rosterv1.KeyUsage_KEY_USAGE_LOG, time.Now())
		if err != nil {
			return evidence.Checkpoint{}, err
		}
		return evidence.VerifyCheckpoint(note, federation, of, keys)
	}
}

// viewOf returns a node's only view, as it travels: as a file.
func (s *stage) viewOf(n *node) *auditv1.LogEvidence {
	s.t.Helper()
	views := n.Views()
	if len(views) != 1 {
		s.t.Fatalf("%s has %d views", n.bureau, len(views))
	}
	text, err := evidence.EncodeLogEvidence(views[0])
	if err != nil {
		s.t.Fatal(err)
	}
	read, err := evidence.DecodeLogEvidence(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return read
}

// split makes ESP show BEL one log and LBN another: what it proves to each holds. bel and lbn are
// how many leaves each has seen; the first 90 are the same.
func (s *stage) split(bel, lbn *node, belSees, lbnSees uint64) (one, other *chronicle) {
	s.t.Helper()
	one, other = s.logs["ESP"], newChronicle("ESP", "1")
	one.growTo(90, "leaf")
	other.growTo(90, "leaf")
	lbn.lines.mu.Lock()
	lbn.lines.to["ESP"] = &line{served: []grpcService{serve(s.t, other)}}
	lbn.lines.mu.Unlock()
	for _, n := range []uint64{90, 101} {
		bel.hears("ESP", one.growTo(n, "leaf"))
		lbn.hears("ESP", other.growTo(n, "another leaf"))
		s.pass(3 * time.Second)
		if n == 90 {
			one.growTo(belSees-1, "leaf")
			other.growTo(lbnSees-1, "another leaf")
		}
	}
	bel.hears("ESP", one.growTo(belSees, "leaf"))
	lbn.hears("ESP", other.growTo(lbnSees, "another leaf"))
	s.pass(3 * time.Second)
	s.knows(bel, "ESP", belSees)
	s.knows(lbn, "ESP", lbnSees)
	s.quiet(bel)
	s.quiet(lbn)
	return one, other
}

// Two bureaus have been shown two logs of one size. Their views alone prove it, offline.
func TestASplitViewOfOneSize(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		lbn := s.join("LBN")
		s.split(bel, lbn, 151, 151)
		all, err := witness.Compare(s.viewOf(bel), s.viewOf(lbn), s.opener())
		if err != nil || len(all) != 1 || all[0].Verdict != witness.Forked {
			t.Fatalf("Compare: %+v, %v", all, err)
		}
		e := all[0].Evidence
		x, y := s.open("ESP", e.GetKnown()), s.open("ESP", e.GetPresented())
		if e.GetFinding() != "fork" || x.Size != 151 || y.Size != 151 || x.Root == y.Root || len(e.GetCarriers()) != 2 || len(e.GetRosters()) == 0 {
			t.Errorf("evidence: %v", e)
		}
		if _, err := evidence.EncodeLogEvidence(e); err != nil {
			t.Error(err)
		}

		// Belgium's node comes to the same by itself, and raises the alarm.
		all, err = bel.Examine(t.Context(), s.viewOf(lbn))
		if err != nil || len(all) != 1 || all[0].Verdict != witness.Forked {
			t.Fatalf("Examine: %+v, %v", all, err)
		}
		s.alarmed(bel, forkAlarm, "ESP")
	})
}

// They have been shown two logs of different sizes: ESP is asked for the proof that it owes.
func TestASplitViewOfTwoSizes(t *testing.T) {
	for name, sees := range map[string][2]uint64{"the other saw more": {151, 180}, "the other saw less": {180, 151}} {
		t.Run(name, func(t *testing.T) {
			scene(t, func(t *testing.T, s *stage, bel *node) {
				lbn := s.join("LBN")
				one, _ := s.split(bel, lbn, sees[0], sees[1])
				all, err := witness.Compare(s.viewOf(bel), s.viewOf(lbn), s.opener())
				if err != nil || len(all) != 1 || all[0].Verdict != witness.Unsettled || all[0].Older.Size != 151 || all[0].Newer.Size != 180 {
					t.Fatalf("Compare: %+v, %v", all, err)
				}
				one.growTo(200, "leaf")
				all, err = bel.Examine(t.Context(), s.viewOf(lbn))
				if err != nil || len(all) != 1 {
					t.Fatalf("Examine: %+v, %v", all, err)
				}
				if sees[0] > sees[1] {
					// BEL's log proves of its own beginning that it is not what LBN was shown.
					if all[0].Verdict != witness.Forked {
						t.Fatalf("Examine: %+v", all[0])
					}
					s.alarmed(bel, forkAlarm, "ESP")
					return
				}
				// The proof that ESP can give from BEL's log does not lead to LBN's newer root.
				if all[0].Verdict != witness.Unproven || all[0].Evidence.GetGiven() == nil {
					t.Fatalf("Examine: %+v", all[0])
				}
				s.pass(time.Minute)
				s.alarmed(bel, unprovenAlarm, "ESP")
			})
		})
	}
}

// LBN settles what BEL could not: ESP proves to LBN against itself.
func TestAProofThatSomebodyElseWasGiven(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		lbn := s.join("LBN")
		_, other := s.split(bel, lbn, 151, 180)
		all, err := witness.Compare(s.viewOf(bel), s.viewOf(lbn), s.opener())
		if err != nil {
			t.Fatal(err)
		}
		proof, err := other.Consistency(t.Context(), 151, 180)
		if err != nil {
			t.Fatal(err)
		}
		unfit := all[0]
		unfit.Settle(s.viewOf(bel), &auditv1.Consistency{From: 150, To: 180, Proof: proof.GetProof()})
		if unfit.Verdict != witness.Unproven {
			t.Errorf("a proof of other sizes: %+v", unfit)
		}
		all[0].Settle(s.viewOf(bel), proof)
		if all[0].Verdict != witness.Forked || all[0].Evidence.GetFinding() != "fork" {
			t.Errorf("Settle: %+v", all[0])
		}
	})
}

func TestTwoViewsOfAnHonestLog(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		lbn := s.join("LBN")
		esp := s.logs["ESP"]
		checkpoint := esp.growTo(100, "leaf")
		bel.hears("ESP", checkpoint)
		lbn.hears("ESP", checkpoint)
		s.pass(3 * time.Second)
		all, err := witness.Compare(s.viewOf(bel), s.viewOf(lbn), s.opener())
		if err != nil || all[0].Verdict != witness.Same {
			t.Errorf("Compare: %+v, %v", all, err)
		}
		lbn.hears("ESP", esp.growTo(150, "leaf"))
		s.pass(3 * time.Second)
		all, err = bel.Examine(t.Context(), s.viewOf(lbn))
		if err != nil || len(all) != 1 || all[0].Verdict != witness.Consistent || all[0].Evidence != nil {
			t.Errorf("BEL examines: %+v, %v", all, err)
		}
		all, err = lbn.Examine(t.Context(), s.viewOf(bel)) // which LBN remembers
		if err != nil || len(all) != 1 || all[0].Verdict != witness.Same || all[0].Evidence != nil {
			t.Errorf("LBN examines: %+v, %v", all, err)
		}
		// ESP is down: the comparison waits, and nothing is claimed.
		bel.lines.to["ESP"].set(errDown, nil)
		all, err = bel.Examine(t.Context(), s.viewOf(lbn))
		if err != nil || all[0].Verdict != witness.Unsettled || all[0].Reason == "" {
			t.Errorf("Examine: %+v, %v", all, err)
		}
		s.quiet(bel)
		s.quiet(lbn)
	})
}

// What somebody else tells of a log can be newer than what the log has shown here.
func TestWhatIsToldIsProvenToo(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		older := esp.growTo(100, "leaf")
		bel.hears("ESP", older)
		s.pass(3 * time.Second)
		bel.Told("ESP", esp.growTo(150, "leaf"))
		s.pass(3 * time.Second)
		s.knows(bel, "ESP", 150)
		s.pass(time.Hour)
		bel.Told("ESP", older) // it was signed once, nobody says when
		bel.Told("ESP", []byte("made up"))
		s.pass(3 * time.Second)
		s.quiet(bel)
	})
}

func TestViewsThatSayNothingOfEachOther(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		bel.hears("ESP", s.logs["ESP"].growTo(100, "leaf"))
		s.pass(3 * time.Second)
		good := s.viewOf(bel)
		change := func(do func(*auditv1.LogEvidence)) *auditv1.LogEvidence {
			e := proto.CloneOf(good)
			do(e)
			return e
		}
		forged := newChronicle("ESP", "1")
		forged.key = keyOf("LBN made it up")
		views := map[string]*auditv1.LogEvidence{
			"another federation": change(func(e *auditv1.LogEvidence) { e.Federation = "drill.entente" }),
			"another bureau":     change(func(e *auditv1.LogEvidence) { e.Bureau = "BGR" }),
			"no bureau":          change(func(e *auditv1.LogEvidence) { e.Bureau = "" }),
			"the own bureau":     change(func(e *auditv1.LogEvidence) { e.Bureau = "BEL" }),
			"no checkpoint":      change(func(e *auditv1.LogEvidence) { e.Known = nil }),
			"another replica":    change(func(e *auditv1.LogEvidence) { e.Known = newChronicle("ESP", "2").grow("leaf") }),
			"made up":            change(func(e *auditv1.LogEvidence) { e.Known = forged.grow("leaf") }),
			"garbage":            change(func(e *auditv1.LogEvidence) { e.Known = bytes.Repeat([]byte("x"), 100) }),
			"nothing":            {},
		}
		for name, view := range views {
			if all, err := witness.Compare(good, view, s.opener()); err == nil {
				t.Errorf("%s: Compare: %+v", name, all)
			}
			if all, err := bel.Examine(t.Context(), view); err == nil {
				t.Errorf("%s: Examine: %+v", name, all)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.logs["ESP"].growTo(120, "leaf")
		later := change(func(e *auditv1.LogEvidence) { e.Known = s.logs["ESP"].Newest() })
		if all, err := bel.Examine(ctx, later); err != nil || all[0].Verdict != witness.Unsettled {
			t.Errorf("Examine without time: %+v, %v", all, err)
		}
		if _, err := witness.Compare(good, views["another replica"], s.opener()); !errors.Is(err, witness.ErrOtherLog) {
			t.Errorf("Compare: %v", err)
		}
		s.quiet(bel)
	})
}

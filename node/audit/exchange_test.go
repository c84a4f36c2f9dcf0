package audit_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/evidence/evidencetest"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// stage is BEL's log over a real journal, with the passages of one message id in it.
type stage struct {
	*house
	*running
	j  *journal.Journal
	at time.Time
	id string
}

func newStage(t *testing.T) *stage {
	h, _ := newHouse(t)
	j := h.books()
	return &stage{h, h.open(), j, time.Now().Add(-30 * time.Minute), messageID(1)}
}

// book writes a passage between BEL and a peer into BEL's books.
func (s *stage) book(k auditv1.EntryKind, d auditv1.EntryDirection, peer identity.Bureau, at time.Time, about *signedv1.Signed) {
	s.house.t.Helper()
	if err := s.j.Record(s.house.t.Context(), journal.Passage{Entry: entry(k, d, peer, s.id, at), Evidence: about}); err != nil {
		s.house.t.Fatal(err)
	}
}

// asks is a peer's ask to BEL, and BEL's answer.
func (s *stage) asks(peer identity.Bureau, at time.Time) (ask, answer *signedv1.Signed) {
	ask = s.f.Countries[peer].Ask(s.house.t, bel, s.id, at, nil)
	return ask, s.f.Countries[bel].Answer(s.house.t, ask, peer, s.id, at, nil)
}

// proves demands that the id stands for an exchange of these bytes, in a bundle that holds.
func (s *stage) proves(asker identity.Bureau, ask, answer *signedv1.Signed) *auditv1.Bundle {
	s.house.t.Helper()
	b, err := s.Prove(s.house.t.Context(), s.id)
	if err != nil {
		s.house.t.Fatal(err)
	}
	r := evidence.VerifyBundle(b, evidence.Trust{Fingerprint: s.f.Fingerprint()})
	if !r.OK() || r.Asker != asker || r.AnsweredAt.IsZero() != (answer == nil) {
		s.house.t.Errorf("asker %s, answered %s: %+v", r.Asker, r.AnsweredAt, r.Steps)
	}
	if !bytes.Equal(b.GetAsk().GetPayload(), ask.GetPayload()) || !bytes.Equal(b.GetAnswer().GetPayload(), answer.GetPayload()) {
		s.house.t.Error("the bundle is of another exchange")
	}
	return b
}

// TestAPeerThatTakesOurIDSpoilsNoProof has ESP, which BEL has asked, and BGR send asks of their own
// under the id of BEL's.
func TestAPeerThatTakesOurIDSpoilsNoProof(t *testing.T) {
	for name, early := range map[string]bool{"after ours": false, "before ours": true} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			ours := s.f.Countries[bel].Ask(t, esp, s.id, s.at, nil)
			answer := s.f.Countries[esp].Answer(t, ours, bel, s.id, s.at, nil)
			hostile := func() {
				denied, _ := s.asks(esp, s.at)
				s.book(evidencetest.Ask, evidencetest.In, esp, s.at, denied)
				for _, peer := range []identity.Bureau{esp, bgr} {
					theirs, told := s.asks(peer, s.at)
					s.book(evidencetest.Ask, evidencetest.In, peer, s.at, theirs)
					s.book(evidencetest.Answer, evidencetest.Out, peer, s.at, told)
				}
			}
			if early {
				hostile()
			}
			s.book(evidencetest.Ask, evidencetest.Out, esp, s.at, ours)
			s.book(evidencetest.Answer, evidencetest.In, esp, s.at, answer)
			if !early {
				hostile()
			}
			if b := s.proves(bel, ours, answer); len(b.GetProofs()) != 2 {
				t.Errorf("%d proofs", len(b.GetProofs()))
			}
			for peer, want := range map[identity.Bureau]int{esp: 5, bgr: 2} {
				if proofs, err := s.ProofsFor(t.Context(), peer, s.id); err != nil || len(proofs) != want {
					t.Errorf("%s is given %d proofs, expected %d: %v", peer, len(proofs), want, err)
				}
			}
		})
	}
}

// TestOurAskWithoutAnswerIsProvenUnderATakenID is lost on its way, and its id taken for another.
func TestOurAskWithoutAnswerIsProvenUnderATakenID(t *testing.T) {
	s := newStage(t)
	ours := s.f.Countries[bel].Ask(t, esp, s.id, s.at, nil)
	s.book(evidencetest.Ask, evidencetest.Out, esp, s.at, ours)
	theirs, told := s.asks(esp, s.at)
	s.book(evidencetest.Ask, evidencetest.In, esp, s.at, theirs)
	s.book(evidencetest.Answer, evidencetest.Out, esp, s.at, told)
	s.book(evidencetest.NoAnswer, evidencetest.In, esp, s.at, nil)
	if b := s.proves(bel, ours, nil); len(b.GetProofs()) != 2 {
		t.Errorf("%d proofs", len(b.GetProofs()))
	}
}

// TestAnAskerSpoilsNotTheProofOfItsOwnAsk has BGR send other asks, and the same ask too early, under the
// id of one that BEL answers; and the same again when it is answered.
func TestAnAskerSpoilsNotTheProofOfItsOwnAsk(t *testing.T) {
	s := newStage(t)
	ask, answer := s.asks(bgr, s.at)
	another := func() {
		other := s.f.Countries[bgr].Ask(t, esp, s.id, s.at, nil) // for another audience
		s.book(evidencetest.Ask, evidencetest.In, bgr, s.at, other)
	}
	another()
	s.book(evidencetest.Ask, evidencetest.In, bgr, s.at.Add(-20*time.Minute), ask) // dated ahead: denied
	another()
	s.book(evidencetest.Ask, evidencetest.In, bgr, s.at, ask)
	s.book(evidencetest.Answer, evidencetest.Out, bgr, s.at, answer)
	another()
	for range 5 {
		s.book(evidencetest.Ask, evidencetest.In, bgr, s.at.Add(time.Second), ask)
		s.book(evidencetest.Answer, evidencetest.Out, bgr, s.at.Add(time.Second), answer)
	}
	s.proves(bgr, ask, answer)
	if proofs, err := s.ProofsFor(t.Context(), bgr, s.id); err != nil || len(proofs) != 8 {
		t.Errorf("%d proofs: %v", len(proofs), err)
	}

	// Once the answer is erased, the ask that it was given to is still the one.
	found, err := s.j.Find(t.Context(), s.id)
	if err != nil {
		t.Fatal(err)
	}
	var answers []journal.Located
	for _, l := range found {
		if l.Leaf.Kind == evidencetest.Answer {
			answers = append(answers, l)
		}
	}
	if _, err := s.j.EraseEvidence(t.Context(), answers); err != nil {
		t.Fatal(err)
	}
	s.proves(bgr, ask, nil)
}

// TestAnErasedAskLeavesTheOtherUnderItsID proves what is left.
func TestAnErasedAskLeavesTheOtherUnderItsID(t *testing.T) {
	s := newStage(t)
	s.book(evidencetest.Ask, evidencetest.Out, esp, s.at, s.f.Countries[bel].Ask(t, esp, s.id, s.at, nil))
	found, err := s.j.Find(t.Context(), s.id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.j.EraseEvidence(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	denied, _ := s.asks(bgr, s.at)
	s.book(evidencetest.Ask, evidencetest.In, bgr, s.at, denied)
	theirs, told := s.asks(esp, s.at)
	s.book(evidencetest.Ask, evidencetest.In, esp, s.at, theirs)
	s.book(evidencetest.Answer, evidencetest.Out, esp, s.at, told)
	s.proves(esp, theirs, told)
}

// TestAStormUnderAnIDHidesNoExchange has BGR send hundreds of asks under the id of the one that BEL
// answers, before and after it, and ESP under the same id too.
func TestAStormUnderAnIDHidesNoExchange(t *testing.T) {
	s := newStage(t)
	storm := func(peer identity.Bureau) {
		var all []journal.Passage
		for i := range 3 * journal.MaxFound {
			about := s.f.Countries[peer].Ask(t, bel, s.id, s.at.Add(-time.Duration(i)*time.Second), nil)
			all = append(all, journal.Passage{Entry: entry(evidencetest.Ask, evidencetest.In, peer, s.id, s.at), Evidence: about})
		}
		if err := s.j.Record(t.Context(), all...); err != nil {
			t.Fatal(err)
		}
	}
	ask, answer := s.asks(bgr, s.at)
	storm(esp)
	storm(bgr)
	s.book(evidencetest.Ask, evidencetest.In, bgr, s.at, ask)
	s.book(evidencetest.Answer, evidencetest.Out, bgr, s.at, answer)
	storm(bgr)
	storm(esp)
	s.proves(bgr, ask, answer)
	for _, peer := range []identity.Bureau{bgr, esp} {
		if proofs, err := s.ProofsFor(t.Context(), peer, s.id); err != nil || len(proofs) != 8 {
			t.Errorf("%s is given %d proofs: %v", peer, len(proofs), err)
		}
	}

	// Nor that of an ask of BEL's own under the id.
	ours := s.f.Countries[bel].Ask(t, esp, s.id, s.at, nil)
	told := s.f.Countries[esp].Answer(t, ours, bel, s.id, s.at, nil)
	s.book(evidencetest.Ask, evidencetest.Out, esp, s.at, ours)
	storm(esp)
	s.book(evidencetest.Answer, evidencetest.In, esp, s.at, told)
	s.proves(bel, ours, told)
}

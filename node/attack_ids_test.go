package node_test

import (
	"testing"

	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// provenBy demands that a bureau's bundle of a message holds, with the other side's proofs.
func provenBy(t *testing.T, m *nodetest.Mesh, by *nodetest.Bureau, askID string, asker identity.Bureau) {
	t.Helper()
	for _, otherSide := range []bool{false, true} {
		bundle, missing := by.Prove(askID, otherSide)
		r := evidence.VerifyBundle(bundle, trusted(m))
		if !r.OK() || r.Asker != asker || r.AnsweredAt.IsZero() || missing != "" {
			t.Errorf("%s's bundle, other side %v: asker %s, missing %q: %+v", by.ID, otherSide, r.Asker, missing, r.Steps)
		}
	}
}

// TestAPeerTakesTheIDOfAnAsk has BEL use the id of an ask that it got from BGR for asks of its own: one
// that is answered, and one that is turned away. What BGR asked stays proven.
func TestAPeerTakesTheIDOfAnAsk(t *testing.T) {
	m := belgium(t, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	m.WaitConnected()
	m.WaitOffers("BGR", "BEL", nodetest.Persons)
	id := checkYorick(t, bgr)
	provenBy(t, m, bgr, id, "BGR")
	conn := bel.DialMesh(bgr)
	for _, audience := range []string{"ESP", "BGR"} {
		a := bel.Ask("BGR")
		a.AskId, a.Audience = id, audience
		a.Person = &queryv1.PersonQuery{Primary: "Nobody", Secondary: "Atall", BirthDate: "1971-01-02"}
		_, err := sendAsk(t, conn, sign(t, bel.Signer(), a))
		t.Logf("BEL's ask for %s under BGR's id: %v", audience, err)
		provenBy(t, m, bgr, id, "BGR")
	}
}

// TestAnAskerSendsTwoAsksUnderOneID has BGR send an ask that is turned away before the true one.
func TestAnAskerSendsTwoAsksUnderOneID(t *testing.T) {
	m := belgium(t, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	m.WaitConnected()
	conn := bgr.DialMesh(bel)
	good, bad := askYorick(bgr, "BEL"), askYorick(bgr, "BEL")
	bad.AskId, bad.Audience = good.GetAskId(), "ESP"
	if _, err := sendAsk(t, conn, sign(t, bgr.Signer(), bad)); err == nil {
		t.Fatal("BEL answers an ask for ESP")
	}
	if _, err := sendAsk(t, conn, sign(t, bgr.Signer(), good)); err != nil {
		t.Fatal(err)
	}
	bundle, _ := bel.Prove(good.GetAskId(), false)
	if r := evidence.VerifyBundle(bundle, trusted(m)); !r.OK() || r.Asker != "BGR" || r.AnsweredAt.IsZero() {
		t.Errorf("BEL cannot prove what BGR asked: %+v", r.Steps)
	}
	// BGR's node has booked neither: the hostile side has nothing to give, and that spoils nothing.
	bundle, missing := bel.Prove(good.GetAskId(), true)
	if r := evidence.VerifyBundle(bundle, trusted(m)); !r.OK() || missing == "" {
		t.Errorf("missing %q: %+v", missing, r.Steps)
	}
}

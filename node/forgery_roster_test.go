package node_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/roster"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// TestRostersThatAreNotTheNext brings BEL what is no next roster, by both ways: its operator's
// service, and a proposal of ESP's over the mesh.
func TestRostersThatAreNotTheNext(t *testing.T) {
	m := nodetest.FoundWith(t, nodetest.Setup{Threshold: 3}, "BEL", "ESP", "BGR", "LBN")
	bel, esp, bgr, lbn := m.Bureau("BEL"), m.Bureau("ESP"), m.Bureau("BGR"), m.Bureau("LBN")
	all := []*nodetest.Bureau{bel, esp, bgr, lbn}
	first := m.View()
	second := m.Next(first, roster.Threshold(3))
	stranger := m.Stranger("FRA")
	changed := proto.CloneOf(m.Sign(second, all...))
	changed.Payload[len(changed.Payload)-1] ^= 1
	otherType := proto.CloneOf(m.Sign(second, all...))
	otherType.PayloadType = "application/vnd.entente.roster.v1+proto; federation=other.entente"

	ways := map[string]func(*signedv1.Signed) error{
		"by the operator": bel.Install,
		"over the mesh": func(s *signedv1.Signed) error {
			_, err := rosterv1.NewRosterServiceClient(esp.DialMesh(bel)).Propose(t.Context(), &rosterv1.ProposeRequest{Roster: s})
			return err
		},
	}
	refused := func(name string, signed *signedv1.Signed, code codes.Code, reason fault.Reason, installed uint64) {
		t.Helper()
		for way, install := range ways {
			err := install(signed)
			got, _ := fault.ReasonOf(err)
			if status.Code(err) != code || got != reason {
				t.Errorf("%s, %s: %v (%s), want %v %s", name, way, err, got, code, reason)
			}
			if v := bel.RosterVersion(); v != installed {
				t.Fatalf("%s, %s: version %d is installed, want %d", name, way, v, installed)
			}
		}
	}
	refused("one fewer than the threshold", m.Sign(second, bel, esp), codes.PermissionDenied, fault.RosterSignatures, 1)
	refused("the same bureau twice", m.Sign(second, bel, esp, esp), codes.PermissionDenied, fault.RosterSignatures, 1)
	refused("a bureau that is not in it", m.Sign(second, bel, esp, stranger), codes.PermissionDenied, fault.RosterSignatures, 1)
	refused("a changed byte", changed, codes.PermissionDenied, fault.RosterSignatures, 1)
	refused("of another federation", otherType, codes.FailedPrecondition, fault.RosterNotNext, 1)

	good := m.Sign(second, bel, esp, bgr)
	if err := bel.Install(good); err != nil {
		t.Fatalf("the next roster: %v", err)
	}
	for way, install := range ways {
		if err := install(good); err != nil {
			t.Errorf("the same roster again, %s: %v", way, err)
		}
	}
	third := m.Next(bel.Book().Current(), roster.Threshold(4))
	refused("older than the one installed", m.Roster, codes.FailedPrecondition, fault.RosterNotNext, 2)
	refused("another second one, as well signed", m.Sign(m.Next(first, roster.Threshold(4)), all...), codes.FailedPrecondition, fault.RosterNotNext, 2)
	if forks, err := bel.Book().Forks(); err != nil || len(forks) == 0 {
		t.Errorf("no evidence of the fork is kept: %v %v", forks, err)
	}
	// The new one must reach its own, higher threshold as well.
	refused("the threshold of the new one missed", m.Sign(third, bel, esp, bgr), codes.PermissionDenied, fault.RosterSignatures, 2)
	if err := bel.Install(m.Sign(third, all...)); err != nil {
		t.Errorf("the third, signed by all: %v", err)
	}
	fifth := m.Next(bel.Book().Current())
	fifthRoster := &rosterv1.Roster{}
	if err := proto.Unmarshal(fifth, fifthRoster); err != nil {
		t.Fatal(err)
	}
	fifthRoster.Version = 5
	gap, err := roster.MarshalDraft(fifthRoster)
	if err != nil {
		t.Fatal(err)
	}
	refused("a version left out", m.Sign(gap, all...), codes.FailedPrecondition, fault.RosterNotNext, 3)
}

// TestTheFirstRosterIsTheOperators: no peer can give it, and no other than the one compared.
func TestTheFirstRosterIsTheOperators(t *testing.T) {
	m := nodetest.FoundWith(t, nodetest.Setup{}, "BEL", "ESP")
	bel := m.Bureau("BEL")
	late := m.Newcomer("BGR")
	late.MustStart()
	err := late.Install(m.Roster)
	if reason, _ := fault.ReasonOf(err); status.Code(err) != codes.FailedPrecondition || reason != fault.RosterNotNext {
		t.Errorf("a first roster without its fingerprint: %v", err)
	}
	// Without a roster it trusts nobody, so that nobody can bring it one.
	if err := getRoster(t, bel.DialMesh(late)); status.Code(err) != codes.Unavailable {
		t.Errorf("a node without a roster let BEL in: %v", err)
	}
	resp := late.Check(nodetest.CheckDocument("EH482913", "BEL"))
	if resp.GetVerdict() != screeningv1.Verdict_VERDICT_NO_HIT || len(resp.GetBureaus()) != 1 {
		t.Errorf("a check without a roster: %v %v", resp.GetVerdict(), resp.GetBureaus())
	}
}

// TestRostersInARowTravel installs versions at one node faster than the others fetch them: what is
// announced while an earlier one is being fetched is not forgotten.
func TestRostersInARowTravel(t *testing.T) {
	m := nodetest.Found(t, "BEL", "ESP", "BGR")
	m.WaitConnected()
	bel := m.Bureau("BEL")
	const last = 24
	for range last - 1 {
		if err := bel.Install(m.Sign(m.Next(bel.Book().Current()), m.Bureaus()...)); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range m.Bureaus() {
		m.Eventually(string(b.ID)+" has the newest roster", func() bool { return b.RosterVersion() == last })
	}
}

// TestANewerRosterTravels installs versions at one node alone.
func TestANewerRosterTravels(t *testing.T) {
	m := nodetest.Found(t, "BEL", "ESP", "BGR", "LBN")
	m.WaitConnected()
	bel, lbn := m.Bureau("BEL"), m.Bureau("LBN")
	all := m.Bureaus()
	everywhere := func(version uint64) {
		t.Helper()
		for _, b := range all {
			m.Eventually(string(b.ID)+" has the newer roster", func() bool { return b.Node == nil || b.RosterVersion() == version })
		}
	}
	if err := bel.Install(m.Sign(m.Next(m.View()), all...)); err != nil {
		t.Fatal(err)
	}
	everywhere(2)
	lbn.Stop()
	for version := uint64(3); version <= 4; version++ {
		if err := bel.Install(m.Sign(m.Next(bel.Book().Current()), all...)); err != nil {
			t.Fatal(err)
		}
	}
	everywhere(4)
	lbn.MustStart() // it follows the whole chain
	everywhere(4)
}

// openStream is a stream of offers as a peer that keeps no rules holds it open.
func openStream(t *testing.T, from, to *nodetest.Bureau) (next func() error, call func() error) {
	t.Helper()
	conn := from.DialMesh(to)
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	t.Cleanup(cancel)
	stream, err := queryv1.NewQueryServiceClient(conn).Describe(ctx, &queryv1.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatalf("%s is not served by %s: %v", from.ID, to.ID, err)
	}
	next = func() error {
		for {
			if _, err := stream.Recv(); err != nil {
				return err
			}
		}
	}
	return next, func() error { return getRoster(t, conn) }
}

// TestConnectionsThatWereOpen are of no use when their bureau is distrusted, has left the
// roster, or its leaf is past.
func TestConnectionsThatWereOpen(t *testing.T) {
	m := nodetest.Found(t, "BEL", "ESP", "BGR", "LBN")
	bel, esp, bgr, lbn := m.Bureau("BEL"), m.Bureau("ESP"), m.Bureau("BGR"), m.Bureau("LBN")
	m.WaitConnected()
	bel.Create(nodetest.Person("bel:1", "Vandersmissen", "Yorick", "1990-07-21"))
	m.PermitBoth("BEL", "ESP", nodetest.Persons, nodetest.Border)
	who := func() *screeningv1.CheckRequest { return nodetest.CheckPerson("Vandersmissen", "Yorick", "1990-07-21") }
	// cut waits for the end of a stream, and proves that no call goes through after it.
	cut := func(why string, next, call func() error) {
		t.Helper()
		if err := next(); status.Code(err) != codes.Unavailable && status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: the open stream ended with %v", why, err)
		}
		if err := call(); err == nil {
			t.Errorf("%s: a call went through", why)
		}
	}

	next, call := openStream(t, esp, bel)
	if resp := esp.Check(who()); resp.GetVerdict() != screeningv1.Verdict_VERDICT_HIT {
		t.Fatalf("before: %v", resp.GetVerdict())
	}
	distrust(t, bel, "ESP")
	cut("distrusted", next, call)
	if resp := esp.Check(who()); resp.GetVerdict() != screeningv1.Verdict_VERDICT_INCOMPLETE || len(resp.GetHits()) != 0 {
		t.Errorf("ESP, distrusted by BEL: %v with %d hits", resp.GetVerdict(), len(resp.GetHits()))
	}
	if resp := bel.Check(who()); nodetest.Status(resp, "ESP").GetStatus() != queryv1.Status_STATUS_UNAVAILABLE {
		t.Errorf("BEL does not ask whom it distrusts, and says so: %v", resp.GetBureaus())
	}
	trust(t, bel, "ESP")
	m.WaitConnected()
	m.Eventually("ESP is answered again", func() bool { return esp.Check(who()).GetVerdict() == screeningv1.Verdict_VERDICT_HIT })

	// A bureau leaves the roster: those that stay sign the next one.
	next, call = openStream(t, lbn, bel)
	if err := bel.Install(m.Sign(m.Next(m.View(), roster.Remove("LBN"), roster.Threshold(2)), bel, esp, bgr)); err != nil {
		t.Fatal(err)
	}
	cut("not in the roster any more", next, call)
	if bel.Peer("LBN") != nil {
		t.Error("LBN is a peer of BEL's still")
	}

	// A leaf comes to its end by BEL's clock, while the connection stands.
	next, call = openStream(t, bgr, bel)
	bel.Clock.Set(25 * time.Hour)
	err := call()
	if reason, _ := fault.ReasonOf(err); status.Code(err) != codes.Unauthenticated || reason != fault.CertificateExpired {
		t.Errorf("a call over a connection whose leaf is past: %v (%s)", err, reason)
	}
	// The register of connections is looked through at every change. BEL's own leaf is past as
	// well by this clock, so the operator must look away.
	operator := adminv1.NewAdminServiceClient(bel.Intrude(bel.Config.LocalListen, bel.ClientLeaf(node.OperatorClient)))
	if _, err := operator.DistrustPeer(t.Context(), &adminv1.DistrustPeerRequest{Bureau: "ESP", Reason: "a scene"}); err != nil {
		t.Fatal(err)
	}
	cut("a leaf that is past", next, call)
}

// TestARestartedNodeRenewsItself: a node that was off for longer than its leaf's life.
func TestARestartedNodeRenewsItself(t *testing.T) {
	m := nodetest.Found(t, "BEL", "ESP")
	m.WaitConnected()
	bel, esp := m.Bureau("BEL"), m.Bureau("ESP")
	before := bel.Leaf().X509().NotAfter
	bel.Stop()
	for _, b := range m.Bureaus() {
		b.Clock.Set(30 * time.Hour)
	}
	esp.Restart()
	bel.MustStart()
	if after := bel.Leaf().X509().NotAfter; after.Sub(before) < 20*time.Hour {
		t.Errorf("the leaf is good until %s, before it was until %s", after, before)
	}
	m.WaitConnected()
}

func distrust(t *testing.T, at *nodetest.Bureau, other identity.Bureau) {
	t.Helper()
	_, err := at.Admin().DistrustPeer(t.Context(), &adminv1.DistrustPeerRequest{Bureau: string(other), Reason: "a scene"})
	if err != nil {
		t.Fatal(err)
	}
}

func trust(t *testing.T, at *nodetest.Bureau, other identity.Bureau) {
	t.Helper()
	if _, err := at.Admin().TrustPeer(t.Context(), &adminv1.TrustPeerRequest{Bureau: string(other)}); err != nil {
		t.Fatal(err)
	}
}

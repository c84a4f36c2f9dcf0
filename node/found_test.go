package node_test

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"github.com/entente-mesh/entente/node/audit"
	"github.com/entente-mesh/entente/node/nodetest"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// TestMain proves that no goroutine is left when every node of every scene has stopped.
func TestMain(m *testing.M) {
	audit.LogTessera(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m,
		// A library of the certificate authority starts it when it is imported.
		goleak.IgnoreAnyFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
		// memberlist does not wait for a probe that is under way; it ends by itself, seconds later.
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
}

// TestACheckCrossesTheMesh is the plain story, with what the wire sees of it.
func TestACheckCrossesTheMesh(t *testing.T) {
	m := nodetest.Found(t, "ESP", "BGR", "LBN")
	esp, bgr := m.Bureau("ESP"), m.Bureau("BGR")
	esp.Create(nodetest.Person("esp:1", "Belhadj Soriano", "Karim", "1989-03-14"))
	m.WaitConnected()
	m.PermitBoth("ESP", "BGR", nodetest.Persons, nodetest.Border)
	before := m.Traffic()
	resp := bgr.Check(nodetest.CheckPerson("Belhadj Soriano", "Karim", "1989-03-14"))
	if resp.GetVerdict() != screeningv1.Verdict_VERDICT_HIT || len(resp.GetHits()) != 1 || resp.GetHits()[0].GetRecordId() != "esp:1" {
		t.Fatalf("verdict %v, hits %v", resp.GetVerdict(), resp.GetHits())
	}
	if s := nodetest.Status(resp, "ESP"); s.GetStatus() != queryv1.Status_STATUS_HIT || s.GetSettled() != screeningv1.Settled_SETTLED_ASK {
		t.Errorf("ESP: %v", s)
	}
	if len(resp.GetBureaus()) != 2 {
		t.Errorf("bureaus concerned: %v, want BGR and ESP alone", resp.GetBureaus())
	}
	if asks := m.Traffic().Since(before).Asks; asks != 1 {
		t.Errorf("%d asks on the wire, want 1", asks)
	}
}

package node_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/nodetest"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// TestFewerSecondPersonsAreTold: whoever can write entente.yaml is one person, so a list that got
// shorter between two starts is in the books and in an alarm, each time; a longer one is not.
func TestFewerSecondPersonsAreTold(t *testing.T) {
	bel := nodetest.Found(t, "BEL").Bureau("BEL")
	told := func() []string {
		t.Helper()
		var all []string
		for _, l := range bel.Entries(&auditv1.ListRequest{Kind: auditv1.EntryKind_ENTRY_KIND_OPERATION}) {
			if e := l.GetEntry(); e.GetOperation() == "change-two-persons" {
				all = append(all, e.GetObject())
			}
		}
		return all
	}
	alarm := func() *adminv1.Alarm {
		t.Helper()
		i := slices.IndexFunc(bel.Status().GetAlarms(), func(a *adminv1.Alarm) bool {
			return a.GetKind() == adminv1.AlarmKind_ALARM_KIND_POLICY_CHANGED && a.GetSubject() == "two_persons"
		})
		if i < 0 {
			return nil
		}
		return bel.Status().GetAlarms()[i]
	}
	restart := func(rows int, operations ...string) {
		t.Helper()
		bel.Stop()
		bel.Config.TwoPersons, bel.Config.MassRows = operations, rows
		bel.MustStart()
	}
	restart(1000, policy.OperationEraseRecord, policy.OperationUnmaskOfficer, policy.OperationImportRecords)
	restart(10, policy.OperationImportRecords, policy.OperationUnmaskOfficer, policy.OperationEraseRecord)
	if got := told(); len(got) != 0 || alarm() != nil {
		t.Fatalf("more second persons: %q, %v", got, alarm())
	}
	restart(11, policy.OperationEraseRecord, policy.OperationReloadPolicy)
	const less = "two_persons without import-records, unmask-officer; mass_rows from 10 to 11"
	if got := told(); !slices.Equal(got, []string{less}) || !strings.Contains(alarm().GetText(), less) {
		t.Fatalf("fewer second persons: %q, %v", got, alarm())
	}
	restart(11, policy.OperationReloadPolicy, policy.OperationEraseRecord)
	if got := told(); len(got) != 1 {
		t.Errorf("the same list once more: %q", got)
	}
	restart(11)
	if got := told(); len(got) != 2 || got[1] != "two_persons without erase-record, reload-policy" || alarm().GetCount() != 2 {
		t.Errorf("the empty list: %q, %v", got, alarm())
	}
}

// TestOfflineIsOnePerson: whoever has the folder does not bring or take a mass alone, be it in small
// parts or with another entente.yaml; and what they take is in the books too.
func TestOfflineIsOnePerson(t *testing.T) {
	bel := nodetest.Found(t, "BEL").Bureau("BEL")
	bel.Stop()
	bel.Config.TwoPersons, bel.Config.MassRows = []string{policy.OperationImportRecords, policy.OperationDeleteRecord}, 4
	bel.MustStart()
	bel.Stop()
	cfg := bel.Config
	imports := func(complete bool, numbers ...string) (*recordv1.ImportReport, error) {
		t.Helper()
		off, err := node.OpenOffline(t.Context(), cfg, bel.Clock.Now)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := off.Close(); err != nil {
				t.Error(err)
			}
		}()
		file := "number,issuing_country,type,status\n"
		for _, n := range numbers {
			file += n + ",BEL,passport,stolen\n"
		}
		return off.Import(t.Context(), &recordv1.ImportHeader{
			Collection: nodetest.Documents, Format: "csv", Source: "scene", Complete: complete, ConfirmWithdrawals: true,
		}, strings.NewReader(file), nil)
	}
	refused := func(what string, complete bool, numbers ...string) {
		t.Helper()
		if _, err := imports(complete, numbers...); err == nil || !strings.Contains(err.Error(), "need two persons (two_persons: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("a mass", false, "EH1", "EH2", "EH3", "EH4")
	if _, err := imports(false, "EH1", "EH2"); err != nil {
		t.Fatal(err)
	}
	if report, err := imports(true, "EH1"); err != nil || report.GetWithdrawn() != 1 {
		t.Fatalf("%v, %v", report, err)
	}
	refused("the fourth row of the day", false, "EH5")
	cfg.TwoPersons, cfg.MassRows = nil, 1000
	refused("with another configuration than the node last ran with", false, "EH5")

	bel.MustStart()
	booked := map[string]uint64{}
	for _, l := range bel.Entries(&auditv1.ListRequest{Kind: auditv1.EntryKind_ENTRY_KIND_OPERATION}) {
		if e := l.GetEntry(); strings.HasPrefix(e.GetClient(), "offline: ") {
			booked[e.GetOperation()] += e.GetCount()
		}
	}
	if booked[policy.OperationImportRecords] != 3 || booked[policy.OperationDeleteRecord] != 1 {
		t.Errorf("in the books: %v", booked)
	}
}

package node_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// The scenes in this file are about the own people: somebody has taken over one certificate, or
// wants alone what needs two.

// is compares an error with the reason that it must have; "" for none.
func is(t *testing.T, what string, err error, want fault.Reason) {
	t.Helper()
	reason, _ := fault.ReasonOf(err)
	if reason != want || (want == "") != (err == nil) {
		t.Errorf("%s: %v, want reason %q", what, err, want)
	}
}

// TestUnmaskingNeedsTwo: who an officer is, one auditor alone does not learn, whatever certificates it
// comes with.
func TestUnmaskingNeedsTwo(t *testing.T) {
	m := nodetest.Found(t, "BEL")
	bel := m.Bureau("BEL")
	bel.Check(nodetest.CheckPerson("Somebody", "Else", "1970-01-01"))
	checks := bel.Entries(&auditv1.ListRequest{Kind: auditv1.EntryKind_ENTRY_KIND_CHECK})
	if len(checks) != 1 {
		t.Fatalf("%d checks in the books", len(checks))
	}
	officer := checks[0].GetEntry().GetRequester().GetOfficer()
	if officer == "" || checks[0].GetEntry().GetClient() != "" || strings.Contains(officer, node.OfficerClient) {
		t.Fatalf("an auditor reads of the officer %q, client %q: want a pseudonym and no client", officer, checks[0].GetEntry().GetClient())
	}

	const reason = "complaint 2026/17"
	auditor := func(name string) *grpc.ClientConn { return bel.ClientNamed(identity.RoleAuditor, name) }
	unmask := func(as *grpc.ClientConn, why string) (*auditv1.UnmaskResponse, string, error) {
		resp, err := auditv1.NewAuditServiceClient(as).Unmask(t.Context(), &auditv1.UnmaskRequest{Officer: officer, Reason: why})
		return resp, fault.Value(err, fault.ActIDKey), err
	}
	approve := func(as *grpc.ClientConn, act string) error {
		_, err := adminv1.NewAdminServiceClient(as).ApproveAct(t.Context(), &adminv1.ApproveActRequest{ActId: act})
		return err
	}
	anna, bert, carla := auditor("anna"), auditor("bert"), auditor("carla")
	_, act, err := unmask(anna, reason)
	is(t, "anna alone", err, fault.SecondPersonNeeded)
	is(t, "anna approves her own act", approve(anna, act), fault.SamePerson)
	is(t, "anna approves it with a second certificate", approve(auditor("anna"), act), fault.SamePerson)
	is(t, "an operator of anna's name and agency approves it", approve(bel.ClientNamed(identity.RoleOperator, "anna"), act), fault.SamePerson)
	is(t, "the operator approves it", approve(bel.Operator(), act), fault.RoleNotPermitted)
	is(t, "an officer approves it", approve(bel.Officer(), act), fault.RoleNotPermitted)
	is(t, "bert approves what nobody wants", approve(bert, "2a1c5f0e-7d57-4b8e-9a43-0c6f4f8f0b11"), fault.ActNotFound)
	_, _, err = unmask(anna, reason)
	is(t, "anna again, with no approval", err, fault.SecondPersonNeeded)

	// Bert approves, and is revoked before the act is done: his word is worth nothing any more.
	is(t, "bert approves it", approve(bert, act), "")
	_, other, err := unmask(anna, "another complaint")
	is(t, "anna asks for another reason than was approved", err, fault.SecondPersonNeeded)
	if other == act {
		t.Error("another request is the same act")
	}
	_, _, err = unmask(carla, reason)
	is(t, "carla does what was approved for anna", err, fault.SecondPersonNeeded)
	_, err = pkiv1.NewEnrolmentServiceClient(bel.DialLocal(node.PKIAdminClient)).Revoke(t.Context(), &pkiv1.RevokeRequest{
		Agency: nodetest.Agency, Role: string(identity.RoleAuditor), Name: "bert", Reason: "card stolen",
	})
	is(t, "the PKI administrator revokes bert", err, "")
	resp, act, err := unmask(anna, reason)
	is(t, "anna, with the approval of a revoked bert", err, fault.SecondPersonNeeded)
	if resp != nil {
		t.Fatal("an officer is unmasked")
	}
	if err := approve(auditor("bert"), act); err == nil {
		t.Error("a revoked bert approves with a certificate that nobody has seen yet")
	}

	// Carla approves, and it passes once.
	is(t, "carla approves it", approve(carla, act), "")
	resp, _, err = unmask(anna, reason)
	is(t, "anna, with the approval of carla", err, "")
	if !strings.HasSuffix(resp.GetClient(), "/"+node.OfficerClient) && !strings.Contains(resp.GetClient(), "/officer/") {
		t.Errorf("the officer is %q", resp.GetClient())
	}
	_, _, err = unmask(anna, reason)
	is(t, "anna once more", err, fault.SecondPersonNeeded)

	// All of it is in the books: what was done with both names, what was refused with its reason.
	done, refused := 0, map[string]int{}
	for _, l := range bel.Entries(&auditv1.ListRequest{Kind: auditv1.EntryKind_ENTRY_KIND_OPERATION}) {
		e := l.GetEntry()
		switch {
		case e.GetOperation() == policy.OperationUnmaskOfficer && e.GetSecond() != "":
			done++
			if e.GetObject() != officer || !strings.HasSuffix(e.GetClient(), "/anna") || !strings.HasSuffix(e.GetSecond(), "/carla") {
				t.Errorf("the books say %v", e)
			}
		case e.GetReason() != "" && e.GetDecision() != auditv1.Decision_DECISION_ALLOW:
			refused[e.GetOperation()+" "+e.GetReason()]++
		}
	}
	t.Logf("in the books: unmasked %d times, refused %v", done, refused)
	if done != 1 {
		t.Errorf("%d acts of two persons in the books, want one", done)
	}
	for what, least := range map[string]int{
		policy.OperationUnmaskOfficer + " " + string(fault.SecondPersonNeeded): 5,
		policy.OperationApproveAct + " " + string(fault.SamePerson):            3,
		policy.OperationApproveAct + " " + string(fault.RoleNotPermitted):      2,
		policy.OperationApproveAct + " " + string(fault.ActNotFound):           1,
	} {
		if refused[what] < least {
			t.Errorf("%s is %d times in the books, want %d", what, refused[what], least)
		}
	}
}

// TestErasingNeedsTwo: an approval is for this record, and for no other.
func TestErasingNeedsTwo(t *testing.T) {
	m := nodetest.Found(t, "BEL")
	bel := m.Bureau("BEL")
	bel.Create(nodetest.Person("bel:1", "Vandersmissen", "Yorick", "1990-07-21"), nodetest.Person("bel:2", "Okonkwo", "Adaeze", "1990-07-21"))
	rosa, stijn := bel.ClientNamed(identity.RoleRecordsOfficer, "rosa"), bel.ClientNamed(identity.RoleRecordsOfficer, "stijn")
	erase := func(id, why string) (string, error) {
		_, err := recordv1.NewRecordServiceClient(rosa).Erase(t.Context(), &recordv1.EraseRequest{Collection: nodetest.Persons, RecordId: id, Reason: why})
		return fault.Value(err, fault.ActIDKey), err
	}
	act, err := erase("bel:1", "court order 7")
	is(t, "rosa alone", err, fault.SecondPersonNeeded)
	_, err = adminv1.NewAdminServiceClient(stijn).ApproveAct(t.Context(), &adminv1.ApproveActRequest{ActId: act})
	is(t, "stijn approves", err, "")
	_, err = erase("bel:2", "court order 7")
	is(t, "rosa erases another record", err, fault.SecondPersonNeeded)
	_, err = erase("bel:1", "court order 8")
	is(t, "rosa erases it for another reason", err, fault.SecondPersonNeeded)
	bel.Restart() // an approval outlives it, and is still good once
	rosa = bel.ClientNamed(identity.RoleRecordsOfficer, "rosa")
	_, err = erase("bel:1", "court order 7")
	is(t, "rosa erases what was approved", err, "")
	if resp := bel.Check(nodetest.CheckPerson("Vandersmissen", "Yorick", "1990-07-21")); len(resp.GetHits()) != 0 {
		t.Errorf("the erased record is found: %v", resp.GetHits())
	}
	if resp := bel.Check(nodetest.CheckPerson("Okonkwo", "Adaeze", "1990-07-21")); len(resp.GetHits()) != 1 {
		t.Errorf("the other record is not found: %v", resp.GetVerdict())
	}
	erased := slices.DeleteFunc(bel.Entries(&auditv1.ListRequest{Kind: auditv1.EntryKind_ENTRY_KIND_OPERATION}), func(l *auditv1.Located) bool {
		e := l.GetEntry()
		return e.GetOperation() != policy.OperationEraseRecord || e.GetDecision() != auditv1.Decision_DECISION_ALLOW || e.GetSecond() == ""
	})
	if len(erased) != 1 || !strings.HasSuffix(erased[0].GetEntry().GetSecond(), "/stijn") || strings.Contains(erased[0].GetEntry().GetObject(), "bel:1") {
		t.Errorf("the books say of the erasure %v", erased)
	}
}

// TestOneCertificateIsOneRole: whoever has the operator's certificate does not read the books, and
// who reads the books searches and changes nothing. Each try is in the books.
func TestOneCertificateIsOneRole(t *testing.T) {
	m := nodetest.Found(t, "BEL", "BGR")
	bel := m.Bureau("BEL")
	stream := func(recv func() error, err error) error {
		for err == nil {
			err = recv()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	const some = "2a1c5f0e-7d57-4b8e-9a43-0c6f4f8f0b11"
	books := func(as *grpc.ClientConn) map[string]error {
		c, all := auditv1.NewAuditServiceClient(as), map[string]error{}
		list, err := c.List(t.Context(), &auditv1.ListRequest{})
		all["list"] = stream(func() error { _, err := list.Recv(); return err }, err)
		verify, err := c.Verify(t.Context(), &auditv1.VerifyRequest{})
		all["verify"] = stream(func() error { _, err := verify.Recv(); return err }, err)
		export, err := c.Export(t.Context(), &auditv1.ExportRequest{Peer: "BGR"})
		all["export"] = stream(func() error { _, err := export.Recv(); return err }, err)
		_, all["show"] = c.Get(t.Context(), &auditv1.GetRequest{MessageId: some})
		_, all["prove"] = c.Prove(t.Context(), &auditv1.ProveRequest{MessageId: some})
		_, all["unmask"] = c.Unmask(t.Context(), &auditv1.UnmaskRequest{Officer: "o-some", Reason: "curious"})
		return all
	}
	work := func(as *grpc.ClientConn) map[string]error {
		r, all := recordv1.NewRecordServiceClient(as), map[string]error{}
		check := nodetest.CheckPerson("Somebody", "Else", "1970-01-01")
		check.Justification = &queryv1.Justification{Purpose: nodetest.Border}
		_, all["check"] = screeningv1.NewScreeningServiceClient(as).Check(t.Context(), check)
		_, all["create"] = r.Create(t.Context(), &recordv1.CreateRequest{Record: nodetest.Person("bel:9", "A", "B", "1970-01-01")})
		_, all["list records"] = r.List(t.Context(), &recordv1.ListRequest{Collection: nodetest.Persons})
		_, all["read a record"] = r.Get(t.Context(), &recordv1.GetRequest{Collection: nodetest.Persons, RecordId: "bel:9"})
		_, all["withdraw"] = r.Delete(t.Context(), &recordv1.DeleteRequest{Collection: nodetest.Persons, RecordId: "bel:9"})
		_, all["erase"] = r.Erase(t.Context(), &recordv1.EraseRequest{Collection: nodetest.Persons, RecordId: "bel:9", Reason: "none"})
		imports, err := r.Import(t.Context())
		if err == nil {
			_ = imports.Send(&recordv1.ImportRequest{Part: &recordv1.ImportRequest_Header{Header: &recordv1.ImportHeader{
				Collection: nodetest.Persons, Format: "entente-json", Source: "scene",
			}}}) // why it is refused comes with Recv
			_ = imports.CloseSend()
		}
		all["import"] = stream(func() error { _, err := imports.Recv(); return err }, err)
		_, all["reload policy"] = adminv1.NewAdminServiceClient(as).ReloadPolicy(t.Context(), &adminv1.ReloadPolicyRequest{})
		_, all["set a quota"] = adminv1.NewAdminServiceClient(as).SetQuota(t.Context(), &adminv1.SetQuotaRequest{Quota: &adminv1.Quota{Scope: adminv1.QuotaScope_QUOTA_SCOPE_BUREAU, Name: "BGR"}})
		return all
	}
	tried := 0
	refused := func(who string, all map[string]error) {
		t.Helper()
		for what, err := range all {
			tried++
			if reason, _ := fault.ReasonOf(err); status.Code(err) != codes.PermissionDenied || !slices.Contains([]fault.Reason{fault.RoleNotPermitted, fault.PurposeNotHeld, fault.PolicyDenied}, reason) {
				t.Errorf("%s: %s: %v", who, what, err)
			}
		}
	}
	auditor := bel.Client(identity.RoleAuditor)
	refused("the operator's certificate", books(bel.Operator()))
	refused("the officer's certificate", books(bel.Officer()))
	refused("a records officer's certificate", books(bel.Client(identity.RoleRecordsOfficer)))
	refused("a PKI administrator's certificate", books(bel.Client(identity.RolePKIAdmin)))
	refused("an auditor's certificate", work(auditor))
	refused("an auditor's certificate that claims a purpose", work(bel.Client(identity.RoleAuditor, nodetest.Border)))
	denied := 0
	for _, l := range bel.Entries(&auditv1.ListRequest{Decision: auditv1.Decision_DECISION_DENY}) {
		if k := l.GetEntry().GetKind(); k == auditv1.EntryKind_ENTRY_KIND_OPERATION || k == auditv1.EntryKind_ENTRY_KIND_CHECK {
			denied++
		}
	}
	t.Logf("%d tries, %d denials in the books", tried, denied)
	if denied != tried {
		t.Errorf("%d tries were denied, and %d are in the books", tried, denied)
	}
}

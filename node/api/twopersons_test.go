package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// wanted is the act that a refused call has left for a second person.
func wanted(t *testing.T, what string, err error) string {
	t.Helper()
	isFault(t, what, err, codes.FailedPrecondition, fault.SecondPersonNeeded)
	id := fault.Value(err, fault.ActIDKey)
	if id == "" {
		t.Fatalf("%s: %v names no act", what, err)
	}
	return id
}

func approve(t *testing.T, conn *grpc.ClientConn, id string) error {
	t.Helper()
	_, err := adminv1.NewAdminServiceClient(conn).ApproveAct(t.Context(), &adminv1.ApproveActRequest{ActId: id})
	return err
}

// answered is a passage that crossed the border: an answer of Belgium's that quotes a record.
func answered(id string, quotes ...journal.Quote) journal.Passage {
	return journal.Passage{
		Entry: &auditv1.Entry{
			MessageId: id, Kind: auditv1.EntryKind_ENTRY_KIND_ANSWER, Direction: auditv1.EntryDirection_ENTRY_DIRECTION_OUT,
			Bureau: "ESP", At: timestamppb.Now(), Decision: auditv1.Decision_DECISION_ALLOW, Client: "spiffe://bel.demo.entente/agency/x/officer/y",
			Requester: &queryv1.Requester{Bureau: "ESP", Agency: "guardia", Officer: "o-abc"},
		},
		Evidence: &signedv1.Signed{PayloadType: "application/x", Payload: []byte("Peeters")}, Quotes: quotes,
	}
}

// TestTwoPersonsErase: the record, its key, and what the books quote of it.
func TestTwoPersonsErase(t *testing.T) {
	h := belgium(t)
	ann, bob := h.as(t, staff(identity.RoleRecordsOfficer, "ann")), h.as(t, staff(identity.RoleRecordsOfficer, "bob"))
	auditor := h.as(t, staff(identity.RoleAuditor, "dpo"))
	api := recordv1.NewRecordServiceClient(ann)
	for _, id := range []string{"doc-1", "doc-2"} {
		if _, err := api.Create(t.Context(), &recordv1.CreateRequest{Record: stolen(id, "EH482913")}); err != nil {
			t.Fatal(err)
		}
	}
	message := uuid.NewString()
	if err := h.books.Record(t.Context(), answered(message, journal.Quote{Owner: "BEL", RecordID: "doc-1"})); err != nil {
		t.Fatal(err)
	}
	copies := func() int {
		t.Helper()
		resp, err := recordv1.NewRecordServiceClient(auditor).ListCopies(t.Context(), &recordv1.ListCopiesRequest{Owner: "BEL", RecordId: "doc-1"})
		if err != nil {
			t.Fatal(err)
		}
		return len(resp.GetCopies())
	}
	if n := copies(); n != 2 {
		t.Errorf("%d copies, want the record and the answer", n)
	}
	erase := func(id, reason string) (*recordv1.EraseResponse, error) {
		return api.Erase(t.Context(), &recordv1.EraseRequest{Collection: "documents", RecordId: id, Reason: reason})
	}
	_, err := erase("doc-1", "court order 4/2026")
	id := wanted(t, "erased by one", err)
	if n := copies(); n != 2 {
		t.Errorf("%d copies after a first person wanted it erased", n)
	}
	isFault(t, "approved by herself", approve(t, ann, id), codes.PermissionDenied, fault.SamePerson)
	isFault(t, "approved by an auditor", approve(t, auditor, id), codes.PermissionDenied, fault.RoleNotPermitted)
	if err := approve(t, bob, id); err != nil {
		t.Fatal(err)
	}
	_, err = erase("doc-2", "court order 4/2026")
	wanted(t, "another record", err)
	_, err = erase("doc-1", "another reason")
	wanted(t, "for another reason", err)
	resp, err := erase("doc-1", "court order 4/2026")
	if err != nil || resp.GetEvidence() != 1 || resp.GetCompleteAt().AsTime().Sub(resp.GetErasedAt().AsTime()) != 24*time.Hour {
		t.Fatalf("erased: %v, %v", resp, err)
	}
	if n := copies(); n != 0 {
		t.Errorf("%d copies are left", n)
	}
	_, err = api.Get(t.Context(), &recordv1.GetRequest{Collection: "documents", RecordId: "doc-1"})
	isFault(t, "the erased record", err, codes.NotFound, fault.RecordNotFound)
	did := h.scribe.last(t)
	if did.Operation != policy.OperationEraseRecord || did.Second != staff(identity.RoleRecordsOfficer, "bob").String() ||
		did.Reason != "court order 4/2026" || strings.Contains(did.Object, "doc-1") {
		t.Errorf("in the books: %+v", did)
	}
	// That it passed stays in the books, with its leaf; what was signed does not.
	got, err := auditv1.NewAuditServiceClient(auditor).Get(t.Context(), &auditv1.GetRequest{MessageId: message})
	if err != nil || len(got.GetEntries()) != 1 || got.GetEntries()[0].GetEntry().GetMessageId() != message {
		t.Errorf("the passage: %v, %v", got, err)
	}
	_, err = erase("doc-1", "court order 4/2026")
	isFault(t, "again: there is nothing left to approve", err, codes.NotFound, fault.RecordNotFound)
}

// TestTwoPersonsMass: an import, and the withdrawals in one, from so many rows on.
func TestTwoPersonsMass(t *testing.T) {
	h := belgium(t, policy.OperationImportRecords, policy.OperationDeleteRecord)
	ann, bob := h.as(t, staff(identity.RoleOperator, "ann")), h.as(t, staff(identity.RoleOperator, "bob"))
	rows := func(numbers ...string) string {
		text := csvHead
		for _, n := range numbers {
			text += n + ",BEL,passport,stolen\n"
		}
		return text
	}
	send := func(h *recordv1.ImportHeader, file string) (*recordv1.ImportReport, error) {
		t.Helper()
		report, _, err := importFile(t.Context(), ann, header(h), chunk(file))
		return report, err
	}
	if report, err := send(csv(), rows("EH1", "EH2")); err != nil || report.GetCreated() != 2 {
		t.Fatalf("a few: %v, %v", report, err)
	}
	many := rows("EH1", "EH2", "EH3", "EH4")
	_, err := send(csv(), many)
	id := wanted(t, "a mass", err)
	if n, err := h.store.Count(t.Context(), "documents"); err != nil || n != 2 {
		t.Errorf("%d documents before anybody approved, %v", n, err)
	}
	if err := approve(t, bob, id); err != nil {
		t.Fatal(err)
	}
	_, err = send(csv(), rows("EH1", "EH2", "EH3", "EH5"))
	wanted(t, "another file", err)
	other := csv()
	other.Audience = &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_NONE}
	_, err = send(other, many)
	wanted(t, "the same file for another audience", err)
	report, err := send(csv(), many)
	if err != nil || report.GetCreated() != 2 || report.GetUnchanged() != 2 {
		t.Fatalf("approved: %v, %v", report, err)
	}
	if did := h.scribe.last(t); did.Operation != policy.OperationImportRecords || did.Count != 4 || did.Second != staff(identity.RoleOperator, "bob").String() {
		t.Errorf("in the books: %+v", did)
	}

	// One row that takes three away is a mass of withdrawals, and with it the day of who brings it
	// becomes a mass of imports: both are approved, or neither is done.
	complete := csv()
	complete.Complete, complete.ConfirmWithdrawals = true, true
	_, err = send(complete, rows("EH1"))
	wanted(t, "a mass withdrawal", err)
	list, err := adminv1.NewAdminServiceClient(bob).ListActs(t.Context(), &adminv1.ListActsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(rows("EH1")))
	about := ": file SHA-256 " + hex.EncodeToString(sum[:])[:16] + ", complete, replaces its source, audience all whom policy permits"
	seen := 0
	for _, a := range list.GetActs() {
		for _, part := range []string{
			"import 1 records of documents from bel-sltd" + about + "; after 2 by the same person within 24 hours",
			"withdraw 3 records of documents from bel-sltd" + about,
		} {
			if strings.HasPrefix(a.GetSummary(), part) {
				seen++
				if _, err := send(complete, rows("EH1")); err == nil {
					t.Fatal("done before all of it was approved")
				}
				if err := approve(t, bob, a.GetActId()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if seen != 2 {
		t.Errorf("the second person sees %v", list)
	}
	if report, err := send(complete, rows("EH1")); err != nil || report.GetWithdrawn() != 3 {
		t.Fatalf("approved: %v, %v", report, err)
	}
	if did := h.scribe.last(t); did.Operation != policy.OperationDeleteRecord || did.Count != 3 || did.Second == "" {
		t.Errorf("in the books: %+v", did)
	}
	h.empty(t)
}

// TestTwoPersonsOneByOne: a mass that comes in single records is one.
func TestTwoPersonsOneByOne(t *testing.T) {
	h := belgium(t, policy.OperationImportRecords, policy.OperationDeleteRecord)
	ann, bob := h.as(t, staff(identity.RoleRecordsOfficer, "ann")), h.as(t, staff(identity.RoleRecordsOfficer, "bob"))
	create := func(as *grpc.ClientConn, id, number string) error {
		_, err := recordv1.NewRecordServiceClient(as).Create(t.Context(), &recordv1.CreateRequest{Record: stolen(id, number)})
		return err
	}
	withdraw := func(as *grpc.ClientConn, id string) error {
		_, err := recordv1.NewRecordServiceClient(as).Delete(t.Context(), &recordv1.DeleteRequest{Collection: "documents", RecordId: id})
		return err
	}
	passes := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	passes("the first", create(ann, "doc-1", "EH1"))
	passes("the second", create(ann, "doc-2", "EH2"))
	passes("the second, sent again", create(ann, "doc-2", "EH2"))
	id := wanted(t, "the third", create(ann, "doc-3", "EH3"))
	passes("somebody else's first", create(bob, "doc-4", "EH4"))
	passes("approved", approve(t, bob, id))
	passes("the third", create(ann, "doc-3", "EH3"))
	if did := h.scribe.last(t); did.Operation != policy.OperationCreateRecord || did.Second != staff(identity.RoleRecordsOfficer, "bob").String() || strings.Contains(did.Object, "doc-3") {
		t.Errorf("in the books: %+v", did)
	}

	passes("taken", withdraw(ann, "doc-1"))
	isFault(t, "what is not there", withdraw(ann, "doc-1"), codes.NotFound, fault.RecordNotFound)
	passes("taken", withdraw(ann, "doc-2"))
	id = wanted(t, "the third", withdraw(ann, "doc-3"))
	wanted(t, "another third", withdraw(ann, "doc-4"))
	passes("approved", approve(t, bob, id))
	passes("the third", withdraw(ann, "doc-3"))
	wanted(t, "approved for another", withdraw(ann, "doc-4"))
}

// TestNoApprovalWithoutBooks: an approval that cannot be booked does not stand.
func TestNoApprovalWithoutBooks(t *testing.T) {
	h := belgium(t, policy.OperationReloadPolicy)
	ann, bob := h.as(t, staff(identity.RoleOperator, "ann")), h.as(t, staff(identity.RoleOperator, "bob"))
	h.folder.put("the second version")
	reload := func() error {
		_, err := adminv1.NewAdminServiceClient(ann).ReloadPolicy(t.Context(), &adminv1.ReloadPolicyRequest{})
		return err
	}
	id := wanted(t, "reloaded by one", reload())
	h.scribe.breaks(errors.New("disk full"))
	if err := approve(t, bob, id); err == nil {
		t.Error("approved without books")
	}
	h.scribe.breaks(nil)
	if again := wanted(t, "not approved", reload()); again != id {
		t.Error("it is another act")
	}
}

// TestReasonsAreLegible: what stands in the books, and what a second person decides by, commands no
// screen.
func TestReasonsAreLegible(t *testing.T) {
	h := belgium(t)
	officer, auditor, operator := h.as(t, staff(identity.RoleRecordsOfficer, "ann")), h.as(t, staff(identity.RoleAuditor, "dpo")), h.as(t, staff(identity.RoleOperator, "eve"))
	administrator := h.as(t, staff(identity.RolePKIAdmin, "pat"))
	for _, text := range []string{"court\x1b[2K order", "one\nwanted by bob", "a\u202eb", "a\u2028b", "\u009b31m", "a\x00"} {
		for what, call := range map[string]func() error{
			"erase": func() error {
				_, err := recordv1.NewRecordServiceClient(officer).Erase(t.Context(), &recordv1.EraseRequest{Collection: "documents", RecordId: "doc-1", Reason: text})
				return err
			},
			"unmask": func() error {
				_, err := auditv1.NewAuditServiceClient(auditor).Unmask(t.Context(), &auditv1.UnmaskRequest{Officer: "o-1", Reason: text})
				return err
			},
			"distrust": func() error {
				_, err := adminv1.NewAdminServiceClient(operator).DistrustPeer(t.Context(), &adminv1.DistrustPeerRequest{Bureau: "BGR", Reason: text})
				return err
			},
			"revoke": func() error {
				_, err := pkiv1.NewEnrolmentServiceClient(administrator).Revoke(t.Context(), &pkiv1.RevokeRequest{Agency: "x", Role: "officer", Name: "y", Reason: text})
				return err
			},
			"clear": func() error {
				_, err := adminv1.NewAdminServiceClient(operator).ClearAlarm(t.Context(), &adminv1.ClearAlarmRequest{AlarmId: uuid.NewString(), Note: text})
				return err
			},
		} {
			err := call()
			isFault(t, what, err, codes.InvalidArgument, fault.MalformedRequest)
			if field := fault.FieldOf(err); field != "reason" && (field != "note" || what != "clear") {
				t.Errorf("%s of %q names the field %q", what, text, field)
			}
		}
	}
}

// TestTwoPersonsReload: who approves, approves these very policies.
func TestTwoPersonsReload(t *testing.T) {
	h := belgium(t, policy.OperationReloadPolicy)
	ann, bob := h.as(t, staff(identity.RoleOperator, "ann")), h.as(t, staff(identity.RoleOperator, "bob"))
	reload := func() (*adminv1.ReloadPolicyResponse, error) {
		return adminv1.NewAdminServiceClient(ann).ReloadPolicy(t.Context(), &adminv1.ReloadPolicyRequest{})
	}
	_, err := reload()
	isFault(t, "policies that cannot be read", err, codes.FailedPrecondition, fault.PolicyInvalid)
	h.folder.put("the second version")
	_, err = reload()
	id := wanted(t, "reloaded by one", err)
	if v, _ := h.folder.current(); v != "the first version" {
		t.Errorf("%q is in force before anybody approved", v)
	}
	if err := approve(t, bob, id); err != nil {
		t.Fatal(err)
	}
	// Changed under the approval.
	h.folder.put("a third version")
	_, err = reload()
	wanted(t, "another version", err)
	h.folder.put("the second version")
	resp, err := reload()
	if v, _ := h.folder.current(); err != nil || resp.GetVersion() != "the second version" || v != resp.GetVersion() {
		t.Fatalf("%v, %v; in force %q", resp, err, v)
	}
	did := h.scribe.last(t)
	if did.Second != staff(identity.RoleOperator, "bob").String() || did.Object != "the first version to the second version" {
		t.Errorf("in the books: %+v", did)
	}
}

// TestTwoPersonsUnmask: an officer's pseudonym is resolved by two auditors, and by nobody else.
func TestTwoPersonsUnmask(t *testing.T) {
	h := belgium(t)
	dpo, deputy, operator := h.as(t, staff(identity.RoleAuditor, "dpo")), h.as(t, staff(identity.RoleAuditor, "deputy")), h.as(t, staff(identity.RoleOperator, "ann"))
	const officer = "spiffe://bel.demo.entente/agency/border-police/officer/post-9"
	check := uuid.NewString()
	if err := h.books.Record(t.Context(), journal.Passage{Officer: "o-1", Entry: &auditv1.Entry{
		MessageId: check, Kind: auditv1.EntryKind_ENTRY_KIND_CHECK, Direction: auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL, Bureau: "BEL",
		At: timestamppb.Now(), Decision: auditv1.Decision_DECISION_ALLOW, Client: officer, Requester: &queryv1.Requester{Bureau: "BEL", Officer: "o-1"},
	}}); err != nil {
		t.Fatal(err)
	}
	// The books themselves show the pseudonym alone.
	got, err := auditv1.NewAuditServiceClient(dpo).Get(t.Context(), &auditv1.GetRequest{MessageId: check})
	if err != nil || strings.Contains(got.String(), "post-9") || got.GetEntries()[0].GetEntry().GetRequester().GetOfficer() != "o-1" {
		t.Errorf("an auditor is shown %v, %v", got, err)
	}
	unmask := func(conn *grpc.ClientConn, pseudonym string) (*auditv1.UnmaskResponse, error) {
		return auditv1.NewAuditServiceClient(conn).Unmask(t.Context(), &auditv1.UnmaskRequest{Officer: pseudonym, Reason: "complaint 2026/17"})
	}
	_, err = unmask(operator, "o-1")
	isFault(t, "by an operator", err, codes.PermissionDenied, fault.RoleNotPermitted)
	_, err = unmask(dpo, "o-1")
	id := wanted(t, "by one", err)
	isFault(t, "approved by herself", approve(t, dpo, id), codes.PermissionDenied, fault.SamePerson)
	isFault(t, "approved by an operator", approve(t, operator, id), codes.PermissionDenied, fault.RoleNotPermitted)
	if err := approve(t, deputy, id); err != nil {
		t.Fatal(err)
	}
	resp, err := unmask(dpo, "o-1")
	if err != nil || resp.GetClient() != officer || resp.GetFirstSeen() == nil {
		t.Fatalf("%v, %v", resp, err)
	}
	did := h.scribe.last(t)
	if did.Object != "o-1" || did.Second != staff(identity.RoleAuditor, "deputy").String() || did.Reason != "complaint 2026/17" {
		t.Errorf("in the books: %+v", did)
	}
	_, err = unmask(dpo, "o-2")
	isFault(t, "nobody's", err, codes.NotFound, fault.NotInBooks)
	if fault.FieldOf(err) != "officer" {
		t.Errorf("%v names %q", err, fault.FieldOf(err))
	}
}

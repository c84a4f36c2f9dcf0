package api_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/alarms"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// all takes a stream in.
func all[M any](t *testing.T, stream grpc.ServerStreamingClient[M], err error) ([]*M, error) {
	t.Helper()
	var out []*M
	for err == nil {
		var m *M
		if m, err = stream.Recv(); err == nil {
			out = append(out, m)
		}
	}
	if errors.Is(err, io.EOF) {
		return out, nil
	}
	return out, err
}

// TestTheBooksAreForAuditors: who reads them, searches nothing, and what they show names nobody.
func TestTheBooksAreForAuditors(t *testing.T) {
	h := belgium(t)
	dpo := auditv1.NewAuditServiceClient(h.as(t, staff(identity.RoleAuditor, "dpo")))
	message := uuid.NewString()
	if err := h.books.Record(t.Context(), answered(message)); err != nil {
		t.Fatal(err)
	}
	stream, err := dpo.List(t.Context(), &auditv1.ListRequest{})
	listed, err := all(t, stream, err)
	if err != nil || len(listed) != 2 { // the answer, and that the auditor lists
		t.Fatalf("%v, %v", listed, err)
	}
	for _, l := range listed {
		e := l.GetLocated().GetEntry()
		operation := e.GetKind() == auditv1.EntryKind_ENTRY_KIND_OPERATION
		if operation != (e.GetClient() != "") || operation != (e.GetOperation() == policy.OperationReadBooks) || e.GetSalt() != nil || e.GetPadding() != nil {
			t.Errorf("an auditor is shown %v", e)
		}
	}
	got, err := dpo.Get(t.Context(), &auditv1.GetRequest{MessageId: message})
	if err != nil || len(got.GetEntries()) != 1 || got.GetEntries()[0].GetEntry().GetClient() != "" || strings.Contains(got.String(), "Peeters") {
		t.Errorf("one message: %v, %v", got, err)
	}
	_, err = dpo.Get(t.Context(), &auditv1.GetRequest{MessageId: someID})
	isFault(t, "no such message", err, codes.NotFound, fault.NotInBooks)
	_, err = dpo.Get(t.Context(), &auditv1.GetRequest{MessageId: "Peeters"})
	isFault(t, "no message id", err, codes.InvalidArgument, fault.MalformedRequest)

	// A bundle shows what was asked: that it was made is in the books first.
	proof, err := dpo.Prove(t.Context(), &auditv1.ProveRequest{MessageId: message, OtherSide: true})
	if err != nil || proof.GetBundle().GetAsk() == nil || proof.GetOtherSideMissing() == "" {
		t.Errorf("proven: %v, %v", proof, err)
	}
	if did := h.scribe.last(t); did.Operation != policy.OperationReadBooks || did.Object != "bundle of "+message {
		t.Errorf("in the books: %+v", did)
	}
	_, err = dpo.Prove(t.Context(), &auditv1.ProveRequest{MessageId: someID})
	isFault(t, "nothing to prove", err, codes.NotFound, fault.NotInBooks)
	h.scribe.broken = errors.New("disk full")
	if resp, err := dpo.Prove(t.Context(), &auditv1.ProveRequest{MessageId: message}); err == nil {
		t.Errorf("proven past the books: %v", resp)
	}
	h.scribe.broken = nil

	verification, err := dpo.Verify(t.Context(), &auditv1.VerifyRequest{})
	parts, err := all(t, verification, err)
	if err != nil || len(parts) == 0 || !parts[len(parts)-1].GetReport().GetWhole() {
		t.Errorf("verified: %v, %v", parts, err)
	}
	export, err := dpo.Export(t.Context(), &auditv1.ExportRequest{Peer: "ESP"})
	exported, err := all(t, export, err)
	if err != nil || len(exported) != 1 || exported[0].GetPart().GetPeer() != "ESP" {
		t.Errorf("exported: %v, %v", exported, err)
	}
	now := time.Now()
	export, err = dpo.Export(t.Context(), &auditv1.ExportRequest{Peer: "ESP", Since: timestamppb.New(now), Until: timestamppb.New(now.Add(-time.Hour))})
	_, err = all(t, export, err)
	isFault(t, "it ends before it begins", err, codes.InvalidArgument, fault.MalformedRequest)
	stream, err = dpo.List(t.Context(), &auditv1.ListRequest{Purpose: "curiosity"})
	_, err = all(t, stream, err)
	isFault(t, "no such purpose", err, codes.InvalidArgument, fault.MalformedRequest)

	// An operator has no business in the books, and that it tried stands in them.
	written := h.books.written()
	stream, err = auditv1.NewAuditServiceClient(h.as(t, staff(identity.RoleOperator, "ann"))).List(t.Context(), &auditv1.ListRequest{})
	if got, err := all(t, stream, err); len(got) != 0 {
		t.Errorf("an operator reads %v", got)
	} else {
		isFault(t, "by an operator", err, codes.PermissionDenied, fault.RoleNotPermitted)
	}
	last := h.books.passages[len(h.books.passages)-1].Entry
	if h.books.written() != written+1 || last.GetDecision() != auditv1.Decision_DECISION_DENY || last.GetOperation() != policy.OperationReadBooks {
		t.Errorf("in the books: %v", last)
	}
}

// TestQuotasHold: who is over the quota waits, until somebody lifts it.
func TestQuotasHold(t *testing.T) {
	h := belgium(t)
	h.checker.check = echo
	operator := adminv1.NewAdminServiceClient(h.as(t, staff(identity.RoleOperator, "ann")))
	officer := h.as(t, client(identity.RoleOfficer))
	set := func(q *adminv1.Quota) *adminv1.QuotaState {
		t.Helper()
		resp, err := operator.SetQuota(t.Context(), &adminv1.SetQuotaRequest{Quota: q})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetQuota()
	}
	const agency = adminv1.QuotaScope_QUOTA_SCOPE_AGENCY
	heard(t, "before", officer)
	state := set(&adminv1.Quota{Scope: agency, Name: "federal-police", PerSecond: 0.001, Burst: 2})
	if !state.GetOwn() || state.GetQuota().GetBurst() != 2 {
		t.Errorf("set to %v", state)
	}
	if did := h.scribe.last(t); did.Operation != policy.OperationSetQuota || !strings.Contains(did.Object, "federal-police") {
		t.Errorf("in the books: %+v", did)
	}
	var err error
	for range 4 { // as many as there may have been tokens, and more
		err = checks(t, officer)
	}
	if _, retry := fault.RetryAfter(err); !retry {
		t.Errorf("turned away without a word on when to come again: %v", err)
	}
	isFault(t, "too many", err, codes.ResourceExhausted, fault.TooSoon)
	list, err := operator.ListQuotas(t.Context(), &adminv1.ListQuotasRequest{Scope: agency, Name: "federal-police"})
	if err != nil || len(list.GetQuotas()) != 1 || list.GetQuotas()[0].GetTurnedAway() == 0 {
		t.Errorf("%v, %v", list, err)
	}
	set(&adminv1.Quota{Scope: agency, Name: "federal-police"})
	_, err = operator.SetQuota(t.Context(), &adminv1.SetQuotaRequest{Quota: &adminv1.Quota{Scope: agency, Name: "federal-police", PerSecond: -1}})
	isFault(t, "no such quota", err, codes.InvalidArgument, fault.MalformedRequest)
}

// TestAlarmsAreClosedWithANote that stands in the books.
func TestAlarmsAreClosedWithANote(t *testing.T) {
	h := belgium(t)
	operator := adminv1.NewAdminServiceClient(h.as(t, staff(identity.RoleOperator, "ann")))
	h.alarms.Raise(context.Background(), alarms.Alarm{Kind: adminv1.AlarmKind_ALARM_KIND_LOG_FORK, Subject: "ESP", Text: "its log forked", Evidence: "books/evidence/x.pem"})
	status, err := operator.GetStatus(t.Context(), &adminv1.GetStatusRequest{})
	if err != nil || len(status.GetAlarms()) != 1 || status.GetBooks().GetLeaves() == 0 {
		t.Fatalf("%v, %v", status, err)
	}
	id := status.GetAlarms()[0].GetAlarmId()
	_, err = operator.ClearAlarm(t.Context(), &adminv1.ClearAlarmRequest{AlarmId: id})
	isFault(t, "without a note", err, codes.InvalidArgument, fault.MalformedRequest)
	_, err = operator.ClearAlarm(t.Context(), &adminv1.ClearAlarmRequest{AlarmId: someID, Note: "looked into"})
	isFault(t, "no such alarm", err, codes.NotFound, fault.AlarmNotFound)
	if _, err := operator.ClearAlarm(t.Context(), &adminv1.ClearAlarmRequest{AlarmId: id, Note: "a test of ESP, agreed by phone"}); err != nil {
		t.Fatal(err)
	}
	if did := h.scribe.last(t); did.Operation != policy.OperationClearAlarm || did.Reason != "a test of ESP, agreed by phone" {
		t.Errorf("in the books: %+v", did)
	}
	if open := h.alarms.Open(); len(open) != 0 {
		t.Errorf("still open: %v", open)
	}
}

// TestAnAuditorSearchesNothing, whatever the certificate claims: a check is for officers and systems.
func TestAnAuditorSearchesNothing(t *testing.T) {
	h := belgium(t)
	door := h.gate(t)
	h.checker.check = func(ctx context.Context, who identity.Identity, req *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
		_, err := door.Check(ctx, gate.Checking{ID: uuid.NewString(), Client: who, Justification: req.GetJustification()})
		return &screeningv1.CheckResponse{}, err
	}
	heard(t, "an officer", h.as(t, client(identity.RoleOfficer)))
	isFault(t, "an auditor", checks(t, h.as(t, client(identity.RoleAuditor))), codes.PermissionDenied, fault.PolicyDenied)
	isFault(t, "an auditor without purposes", checks(t, h.as(t, staff(identity.RoleAuditor, "dpo"))), codes.PermissionDenied, fault.PurposeNotHeld)
}

package api_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// permitted is which roles may call which method by the policies that init writes. "all": the
// service itself decides, by the purpose or the certificate.
var permitted = map[string]string{
	screeningv1.ScreeningService_Check_FullMethodName:      "all",
	screeningv1.ScreeningService_CheckBatch_FullMethodName: "all",
	pkiv1.EnrolmentService_Renew_FullMethodName:            "all",
	pkiv1.EnrolmentService_Enrol_FullMethodName:            "pki-admin",
	pkiv1.EnrolmentService_Revoke_FullMethodName:           "pki-admin",
	pkiv1.EnrolmentService_ListClients_FullMethodName:      "operator pki-admin auditor",
	recordv1.RecordService_Create_FullMethodName:           "operator system records-officer",
	recordv1.RecordService_Import_FullMethodName:           "operator system",
	recordv1.RecordService_Get_FullMethodName:              "operator system records-officer",
	recordv1.RecordService_List_FullMethodName:             "operator system records-officer",
	recordv1.RecordService_Delete_FullMethodName:           "operator system records-officer",
	recordv1.RecordService_Erase_FullMethodName:            "operator records-officer",
	recordv1.RecordService_ListCopies_FullMethodName:       "operator records-officer auditor",
	adminv1.AdminService_GetStatus_FullMethodName:          "operator pki-admin auditor",
	adminv1.AdminService_ListPeers_FullMethodName:          "operator pki-admin auditor",
	adminv1.AdminService_DistrustPeer_FullMethodName:       "operator",
	adminv1.AdminService_TrustPeer_FullMethodName:          "operator",
	adminv1.AdminService_InstallRoster_FullMethodName:      "operator pki-admin",
	adminv1.AdminService_ReloadPolicy_FullMethodName:       "operator",
	adminv1.AdminService_ClearAlarm_FullMethodName:         "operator",
	adminv1.AdminService_ListQuotas_FullMethodName:         "operator auditor",
	adminv1.AdminService_SetQuota_FullMethodName:           "operator",
	adminv1.AdminService_GetOperatingPoint_FullMethodName:  "operator auditor",
	adminv1.AdminService_SetOperatingPoint_FullMethodName:  "operator",
	adminv1.AdminService_ListActs_FullMethodName:           "operator pki-admin records-officer auditor",
	adminv1.AdminService_ApproveAct_FullMethodName:         "operator pki-admin records-officer auditor",
	adminv1.AdminService_RefuseAct_FullMethodName:          "operator pki-admin records-officer auditor",
	auditv1.AuditService_List_FullMethodName:               "auditor",
	auditv1.AuditService_Get_FullMethodName:                "auditor",
	auditv1.AuditService_Verify_FullMethodName:             "auditor",
	auditv1.AuditService_Prove_FullMethodName:              "auditor",
	auditv1.AuditService_Export_FullMethodName:             "auditor",
	auditv1.AuditService_Unmask_FullMethodName:             "auditor",
}

// someID is the id of nothing.
const someID = "2a1c5f0e-7d57-4b8e-9a43-0c6f4f8f0b11"

// requests are well-formed requests and room for the answers.
func requests() map[string][2]proto.Message {
	signed := &signedv1.Signed{PayloadType: "application/vnd.entente.roster.v1+proto; federation=demo.entente", Payload: []byte("x"),
		Signatures: []*signedv1.Signature{{KeyId: strings.Repeat("a", 64), Algorithm: "ed25519", Value: make([]byte, 64)}}}
	return map[string][2]proto.Message{
		screeningv1.ScreeningService_Check_FullMethodName:     {&screeningv1.CheckRequest{Mrz: "P<", Justification: &queryv1.Justification{Purpose: border}}, &screeningv1.CheckResponse{}},
		pkiv1.EnrolmentService_Renew_FullMethodName:           {&pkiv1.RenewRequest{Csr: make([]byte, 100)}, &pkiv1.RenewResponse{}},
		pkiv1.EnrolmentService_Enrol_FullMethodName:           {&pkiv1.EnrolRequest{Agency: "customs", Role: "officer", Name: "post-1", Csr: make([]byte, 100)}, &pkiv1.EnrolResponse{}},
		pkiv1.EnrolmentService_Revoke_FullMethodName:          {&pkiv1.RevokeRequest{Agency: "customs", Role: "officer", Name: "nobody", Reason: "card stolen"}, &pkiv1.RevokeResponse{}},
		pkiv1.EnrolmentService_ListClients_FullMethodName:     {&pkiv1.ListClientsRequest{}, &pkiv1.ListClientsResponse{}},
		recordv1.RecordService_Create_FullMethodName:          {&recordv1.CreateRequest{Record: stolen("doc-1", "EH482913")}, &recordv1.CreateResponse{}},
		recordv1.RecordService_Get_FullMethodName:             {&recordv1.GetRequest{Collection: "documents", RecordId: "none"}, &recordv1.GetResponse{}},
		recordv1.RecordService_List_FullMethodName:            {&recordv1.ListRequest{Collection: "documents"}, &recordv1.ListResponse{}},
		recordv1.RecordService_Delete_FullMethodName:          {&recordv1.DeleteRequest{Collection: "documents", RecordId: "none"}, &recordv1.DeleteResponse{}},
		recordv1.RecordService_Erase_FullMethodName:           {&recordv1.EraseRequest{Collection: "documents", RecordId: "none", Reason: "court order"}, &recordv1.EraseResponse{}},
		recordv1.RecordService_ListCopies_FullMethodName:      {&recordv1.ListCopiesRequest{Owner: "BEL", RecordId: "none"}, &recordv1.ListCopiesResponse{}},
		adminv1.AdminService_GetStatus_FullMethodName:         {&adminv1.GetStatusRequest{}, &adminv1.GetStatusResponse{}},
		adminv1.AdminService_ListPeers_FullMethodName:         {&adminv1.ListPeersRequest{}, &adminv1.ListPeersResponse{}},
		adminv1.AdminService_DistrustPeer_FullMethodName:      {&adminv1.DistrustPeerRequest{Bureau: "LBN", Reason: "stolen keys"}, &adminv1.DistrustPeerResponse{}},
		adminv1.AdminService_TrustPeer_FullMethodName:         {&adminv1.TrustPeerRequest{Bureau: "LBN"}, &adminv1.TrustPeerResponse{}},
		adminv1.AdminService_InstallRoster_FullMethodName:     {&adminv1.InstallRosterRequest{Roster: signed}, &adminv1.InstallRosterResponse{}},
		adminv1.AdminService_ReloadPolicy_FullMethodName:      {&adminv1.ReloadPolicyRequest{}, &adminv1.ReloadPolicyResponse{}},
		adminv1.AdminService_ClearAlarm_FullMethodName:        {&adminv1.ClearAlarmRequest{AlarmId: someID, Note: "a test"}, &adminv1.ClearAlarmResponse{}},
		adminv1.AdminService_ListQuotas_FullMethodName:        {&adminv1.ListQuotasRequest{}, &adminv1.ListQuotasResponse{}},
		adminv1.AdminService_SetQuota_FullMethodName:          {&adminv1.SetQuotaRequest{Quota: &adminv1.Quota{Scope: adminv1.QuotaScope_QUOTA_SCOPE_BUREAU, Name: "LBN"}}, &adminv1.SetQuotaResponse{}},
		adminv1.AdminService_GetOperatingPoint_FullMethodName: {&adminv1.GetOperatingPointRequest{}, &adminv1.GetOperatingPointResponse{}},
		adminv1.AdminService_SetOperatingPoint_FullMethodName: {&adminv1.SetOperatingPointRequest{EvidenceClass: adminv1.EvidenceClass_EVIDENCE_CLASS_NAME, AlertsPerThousand: 1}, &adminv1.SetOperatingPointResponse{}},
		adminv1.AdminService_ListActs_FullMethodName:          {&adminv1.ListActsRequest{}, &adminv1.ListActsResponse{}},
		adminv1.AdminService_ApproveAct_FullMethodName:        {&adminv1.ApproveActRequest{ActId: someID}, &adminv1.ApproveActResponse{}},
		adminv1.AdminService_RefuseAct_FullMethodName:         {&adminv1.RefuseActRequest{ActId: someID}, &adminv1.RefuseActResponse{}},
		auditv1.AuditService_Get_FullMethodName:               {&auditv1.GetRequest{MessageId: someID}, &auditv1.GetResponse{}},
		auditv1.AuditService_Prove_FullMethodName:             {&auditv1.ProveRequest{MessageId: someID}, &auditv1.ProveResponse{}},
		auditv1.AuditService_Unmask_FullMethodName:            {&auditv1.UnmaskRequest{Officer: "o-none", Reason: "a complaint"}, &auditv1.UnmaskResponse{}},
	}
}

// downloads are well-formed requests of the methods that answer with a stream, and room for one
// answer.
func downloads() map[string][2]proto.Message {
	return map[string][2]proto.Message{
		auditv1.AuditService_List_FullMethodName:   {&auditv1.ListRequest{}, &auditv1.ListResponse{}},
		auditv1.AuditService_Verify_FullMethodName: {&auditv1.VerifyRequest{}, &auditv1.VerifyResponse{}},
		auditv1.AuditService_Export_FullMethodName: {&auditv1.ExportRequest{Peer: "LBN"}, &auditv1.ExportResponse{}},
	}
}

func stolen(id, number string) *recordv1.Record {
	return &recordv1.Record{RecordId: id, Body: &recordv1.Record_Document{Document: &recordv1.Document{
		Number: number, Issuer: "BEL", Status: recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN,
	}}}
}

func TestEveryMethodForEveryRole(t *testing.T) {
	h := belgium(t)
	h.checker.check = func(context.Context, identity.Identity, *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
		return &screeningv1.CheckResponse{}, nil
	}
	for _, role := range identity.Roles() {
		conn := h.as(t, client(role))
		for _, method := range h.methods {
			may, known := permitted[method]
			if !known {
				t.Errorf("%s has no row in the table", method)
				continue
			}
			recorded := h.books.written()
			err := call(t, conn, method)
			reason, _ := fault.ReasonOf(err)
			allowed := may == "all" || strings.Contains(" "+may+" ", " "+string(role)+" ")
			if denied := reason == fault.RoleNotPermitted; denied == allowed || denied && status.Code(err) != codes.PermissionDenied {
				t.Errorf("%s as %s: %v, permitted to %s", method, role, err, may)
			}
			if reason == fault.Internal || err != nil && reason == "" {
				t.Errorf("%s as %s: %v", method, role, err)
			}
			if may != "all" && h.books.written() != recorded+1 {
				t.Errorf("%s as %s left %d passages", method, role, h.books.written()-recorded)
			}
		}
	}
}

// call calls a method once, streams with one message.
func call(t *testing.T, conn *grpc.ClientConn, method string) error {
	t.Helper()
	if r, unary := requests()[method]; unary {
		return conn.Invoke(t.Context(), method, r[0], r[1])
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if r, ok := downloads()[method]; ok {
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
		if err != nil {
			return err
		}
		if err := errors.Join(stream.SendMsg(r[0]), stream.CloseSend()); err != nil {
			return err
		}
		for {
			if err := stream.RecvMsg(r[1]); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	if method == recordv1.RecordService_Import_FullMethodName {
		_, _, err := importFile(ctx, conn, header(&recordv1.ImportHeader{Collection: "documents", Format: "csv", Source: "x"}), chunk("number,issuing_country,type,status\n"))
		return err
	}
	stream, err := screeningv1.NewScreeningServiceClient(conn).CheckBatch(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&screeningv1.CheckBatchRequest{Check: requests()[screeningv1.ScreeningService_Check_FullMethodName][0].(*screeningv1.CheckRequest)}); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	_, err = stream.Recv()
	return err
}

func TestWhoIsNotAClientGetsNothing(t *testing.T) {
	h := belgium(t)
	other := belgium(t) // another authority of the same name
	for name, conn := range map[string]*grpc.ClientConn{
		"a client without TLS":          h.dial(t),
		"the bureau's own node":         h.as(t, identity.Node(fed, bel, "node-2")),
		"a client of another authority": h.dial(t, mtls.LocalClient(other.leaf(t, client(identity.RoleOperator)), h.own, bel, mtls.Options{}).DialOptions()...),
	} {
		err := conn.Invoke(t.Context(), adminv1.AdminService_GetStatus_FullMethodName, &adminv1.GetStatusRequest{}, &adminv1.GetStatusResponse{})
		if code := status.Code(err); code != codes.Unavailable && code != codes.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := h.books.written(); n != 0 {
		t.Errorf("%d passages", n)
	}
	// What peers may call is not here.
	err := h.as(t, client(identity.RoleOperator)).Invoke(t.Context(), queryv1.QueryService_Ask_FullMethodName, &queryv1.AskRequest{}, &queryv1.AskResponse{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("an ask at the local listener: %v", err)
	}
}

func TestMalformedRequestsNameTheFieldAndNotTheValue(t *testing.T) {
	h := belgium(t)
	conn := h.as(t, client(identity.RoleOperator))
	for field, c := range map[string]struct {
		method string
		req    proto.Message
	}{
		"justification":         {screeningv1.ScreeningService_Check_FullMethodName, &screeningv1.CheckRequest{Mrz: "Peeters"}},
		"justification.purpose": {screeningv1.ScreeningService_Check_FullMethodName, &screeningv1.CheckRequest{Justification: &queryv1.Justification{Text: "Peeters"}}},
		"record.record_id":      {recordv1.RecordService_Create_FullMethodName, &recordv1.CreateRequest{Record: stolen("Peeters!", "EH1")}},
		"page_size":             {recordv1.RecordService_List_FullMethodName, &recordv1.ListRequest{Collection: "persons", PageSize: 5000}},
		"collection":            {recordv1.RecordService_Get_FullMethodName, &recordv1.GetRequest{Collection: "Peeters", RecordId: "x"}},
	} {
		err := conn.Invoke(t.Context(), c.method, c.req, &recordv1.ListResponse{})
		reason, _ := fault.ReasonOf(err)
		if status.Code(err) != codes.InvalidArgument || reason != fault.MalformedRequest || fault.FieldOf(err) != field || strings.Contains(err.Error(), "Peeters") {
			t.Errorf("%s: %v (field %q)", field, err, fault.FieldOf(err))
		}
	}
}

func TestInnerErrorsAndPanicsTellNothing(t *testing.T) {
	h := belgium(t)
	conn := h.as(t, client(identity.RoleOfficer))
	req := requests()[screeningv1.ScreeningService_Check_FullMethodName][0].(*screeningv1.CheckRequest)
	for name, check := range map[string]func() error{
		"a panic":            func() error { panic("Jan Peeters at /var/lib/entente") },
		"a database's error": func() error { return errors.New("sqlite: Jan Peeters") },
		"a fault that is wrapped": func() error {
			return errors.Join(fault.New(codes.Unavailable, fault.SearchFailed, "", "try again"), errors.New("Jan Peeters"))
		},
	} {
		h.checker.check = func(context.Context, identity.Identity, *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
			return nil, check()
		}
		_, err := screeningv1.NewScreeningServiceClient(conn).Check(t.Context(), req)
		want := fault.Internal
		if strings.Contains(name, "wrapped") {
			want = fault.SearchFailed
		}
		if reason, _ := fault.ReasonOf(err); reason != want || strings.Contains(err.Error(), "Peeters") {
			t.Errorf("%s: %v", name, err)
		}
		// The same in a batch costs that check alone, and not the node.
		got := batch(t, conn, &screeningv1.CheckRequest{Reference: "r1", Mrz: "P<", Justification: req.GetJustification()})
		if f := got["r1"].GetFailure(); f.GetReason() != string(want) || strings.Contains(f.GetMessage(), "Peeters") {
			t.Errorf("%s in a batch: %v", name, f)
		}
	}
	if !strings.Contains(h.log.String(), "panic in a local call") || !strings.Contains(h.log.String(), "panic in a check of a batch") || !strings.Contains(h.log.String(), "sqlite") {
		t.Errorf("the operator finds no cause: %s", h.log)
	}
}

func TestOperatorIsTold(t *testing.T) {
	h := belgium(t)
	conn := h.as(t, client(identity.RoleOperator))
	for method, want := range map[string]struct {
		code   codes.Code
		reason fault.Reason
	}{
		adminv1.AdminService_DistrustPeer_FullMethodName:  {codes.FailedPrecondition, fault.NoRoster},
		adminv1.AdminService_TrustPeer_FullMethodName:     {codes.FailedPrecondition, fault.NoRoster},
		adminv1.AdminService_InstallRoster_FullMethodName: {codes.FailedPrecondition, fault.RosterNotNext},
		adminv1.AdminService_ReloadPolicy_FullMethodName:  {codes.FailedPrecondition, fault.PolicyInvalid},
		recordv1.RecordService_Get_FullMethodName:         {codes.NotFound, fault.RecordNotFound},
		recordv1.RecordService_Delete_FullMethodName:      {codes.NotFound, fault.RecordNotFound},
		pkiv1.EnrolmentService_Renew_FullMethodName:       {codes.InvalidArgument, fault.MalformedRequest},
		adminv1.AdminService_ApproveAct_FullMethodName:    {codes.NotFound, fault.ActNotFound},
		adminv1.AdminService_RefuseAct_FullMethodName:     {codes.NotFound, fault.ActNotFound},
	} {
		err := call(t, conn, method)
		if reason, _ := fault.ReasonOf(err); status.Code(err) != want.code || reason != want.reason {
			t.Errorf("%s: %v, want %v", method, err, want)
		}
	}
	got, err := adminv1.NewAdminServiceClient(conn).GetStatus(t.Context(), &adminv1.GetStatusRequest{})
	if err != nil || len(got.GetWarnings()) != 1 || !strings.Contains(got.GetWarnings()[0], "no roster") {
		t.Errorf("status %v, %v", got, err)
	}
}

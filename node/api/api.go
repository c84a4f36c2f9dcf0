// Package api is the local listener: what a bureau's own agencies, operators and administrators
// may call. It is not on the international network, and nothing of it is registered there.
//
// It authenticates the caller, bounds and validates the request, asks the gate, and hands over;
// it decides and searches nothing itself.
//
// One flow: an officer's client connects with its certificate, the credentials admit only
// clients of the own trust domain, the chain below verifies the identity again for this call,
// validates the message, and Check hands it to screening.
package api

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// maxRequest bounds one message: an import's chunk with room to spare.
const maxRequest = 4 << 20

const (
	maxHeaders       = 16 << 10
	handshakeTimeout = 10 * time.Second // how long a connection may take to say who it is
	connectionAge    = time.Hour
	pingEvery        = time.Minute
	// streamWorkers are goroutines that take one call after the other, so that its stack need not
	// grow anew in each. A call for which none is free gets one of its own.
	streamWorkers = 64
)

// Config is what the local listener is made of.
type Config struct {
	Creds     credentials.TransportCredentials
	Gate      Gate
	Screening screeningv1.ScreeningServiceServer
	Records   recordv1.RecordServiceServer
	Admin     adminv1.AdminServiceServer
	Enrolment pkiv1.EnrolmentServiceServer
	Audit     auditv1.AuditServiceServer
	// Limiter lets calls in. Optional: nothing is counted.
	Limiter Limiter
	Logger  *slog.Logger
}

// Gate decides whether a client may do an operation of the own node, and records it.
type Gate interface {
	Administer(ctx context.Context, operationID string, client identity.Identity, operation string) error
}

// Limiter lets calls in, as many as each agency was granted.
type Limiter interface {
	// Admit waits for the caller's turn, or says that it has none. leave gives the place back.
	Admit(ctx context.Context, from identity.Identity, method string) (within context.Context, leave func(), err error)
	// Row does the same for one check of a batch.
	Row(ctx context.Context, from identity.Identity) (within context.Context, leave func(), err error)
}

// The operations that policy knows, by method. A method that is not in the table does not
// exist here: NewServer refuses to start with one. An empty operation is decided by the service
// itself (a check by its purpose, a renewal by the certificate it renews).
func operations() map[string]string {
	return map[string]string{
		screeningv1.ScreeningService_Check_FullMethodName:      "",
		screeningv1.ScreeningService_CheckBatch_FullMethodName: "",
		pkiv1.EnrolmentService_Renew_FullMethodName:            "",
		pkiv1.EnrolmentService_Enrol_FullMethodName:            policy.OperationEnrolClient,
		pkiv1.EnrolmentService_Revoke_FullMethodName:           policy.OperationRevokeClient,
		pkiv1.EnrolmentService_ListClients_FullMethodName:      policy.OperationReadClients,
		recordv1.RecordService_Create_FullMethodName:           policy.OperationCreateRecord,
		recordv1.RecordService_Import_FullMethodName:           policy.OperationImportRecords,
		recordv1.RecordService_Get_FullMethodName:              policy.OperationReadRecords,
		recordv1.RecordService_List_FullMethodName:             policy.OperationReadRecords,
		recordv1.RecordService_Delete_FullMethodName:           policy.OperationDeleteRecord,
		recordv1.RecordService_Erase_FullMethodName:            policy.OperationEraseRecord,
		recordv1.RecordService_ListCopies_FullMethodName:       policy.OperationFindCopies,
		adminv1.AdminService_GetStatus_FullMethodName:          policy.OperationReadStatus,
		adminv1.AdminService_ListPeers_FullMethodName:          policy.OperationReadPeers,
		adminv1.AdminService_DistrustPeer_FullMethodName:       policy.OperationDistrustPeer,
		adminv1.AdminService_TrustPeer_FullMethodName:          policy.OperationTrustPeer,
		adminv1.AdminService_InstallRoster_FullMethodName:      policy.OperationInstallRoster,
		adminv1.AdminService_ReloadPolicy_FullMethodName:       policy.OperationReloadPolicy,
		adminv1.AdminService_ClearAlarm_FullMethodName:         policy.OperationClearAlarm,
		adminv1.AdminService_ListQuotas_FullMethodName:         policy.OperationReadQuotas,
		adminv1.AdminService_SetQuota_FullMethodName:           policy.OperationSetQuota,
		adminv1.AdminService_GetOperatingPoint_FullMethodName:  policy.OperationReadPoint,
		adminv1.AdminService_SetOperatingPoint_FullMethodName:  policy.OperationSetPoint,
		adminv1.AdminService_ListActs_FullMethodName:           policy.OperationReadActs,
		adminv1.AdminService_ApproveAct_FullMethodName:         policy.OperationApproveAct,
		adminv1.AdminService_RefuseAct_FullMethodName:          policy.OperationApproveAct,
		auditv1.AuditService_List_FullMethodName:               policy.OperationReadBooks,
		auditv1.AuditService_Get_FullMethodName:                policy.OperationReadBooks,
		auditv1.AuditService_Verify_FullMethodName:             policy.OperationReadBooks,
		auditv1.AuditService_Prove_FullMethodName:              policy.OperationReadBooks,
		auditv1.AuditService_Export_FullMethodName:             policy.OperationReadBooks,
		auditv1.AuditService_Unmask_FullMethodName:             policy.OperationUnmaskOfficer,
	}
}

// Caller is the identity of the call's client, verified for this call.
func Caller(ctx context.Context) identity.Identity {
	id, _ := mtls.FromContext(ctx)
	return id
}

// NewServer returns the local listener's gRPC server.
func NewServer(cfg Config) (*grpc.Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	validator, err := protovalidate.New()
	if err != nil {
		return nil, fmt.Errorf("request validation: %w", err)
	}
	c := &chain{cfg: cfg, validator: validator, operations: operations()}
	srv := grpc.NewServer(
		grpc.Creds(cfg.Creds),
		fault.Codec(),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ConnectionTimeout(handshakeTimeout),
		// A connection is made anew within the hour, so that a renewed certificate is taken up.
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: connectionAge, MaxConnectionAgeGrace: connectionAge, Time: pingEvery}),
		grpc.WaitForHandlers(true),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxConcurrentStreams(256),
		grpc.NumStreamWorkers(streamWorkers),
		// The order of the chain: recover outermost, then render, who is it, is it their turn, may they,
		// is it whole.
		grpc.ChainUnaryInterceptor(c.recoverUnary, c.renderUnary, mtls.UnaryServerInterceptor(), c.limitUnary, c.admitUnary, c.validateUnary),
		grpc.ChainStreamInterceptor(c.recoverStream, c.renderStream, mtls.StreamServerInterceptor(), c.limitStream, c.admitStream, c.validateStream),
	)
	to := fault.Registrar(srv)
	screeningv1.RegisterScreeningServiceServer(to, cfg.Screening)
	recordv1.RegisterRecordServiceServer(to, cfg.Records)
	adminv1.RegisterAdminServiceServer(to, cfg.Admin)
	pkiv1.RegisterEnrolmentServiceServer(to, cfg.Enrolment)
	auditv1.RegisterAuditServiceServer(to, cfg.Audit)
	for service, info := range srv.GetServiceInfo() {
		for _, m := range info.Methods {
			if _, ok := c.operations["/"+service+"/"+m.Name]; !ok {
				srv.Stop() // ends its workers
				return nil, fmt.Errorf("local listener: the method /%s/%s has no row in the table of operations", service, m.Name)
			}
		}
	}
	return srv, nil
}

type chain struct {
	cfg        Config
	operations map[string]string
	validator  protovalidate.Validator
}

func (c *chain) recoverUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	defer c.recovered(ctx, info.FullMethod, &err)
	return next(ctx, req)
}

func (c *chain) recoverStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer c.recovered(ss.Context(), info.FullMethod, &err)
	return next(srv, ss)
}

// recovered turns a panic into an error, so that one request does not end the node.
func (c *chain) recovered(ctx context.Context, method string, err *error) {
	if p := recover(); p != nil {
		c.cfg.Logger.ErrorContext(ctx, "panic in a local call", slog.String("method", method),
			slog.String("stack", string(debug.Stack())))
		*err = panicked()
	}
}

func panicked() error {
	return fault.New(codes.Internal, fault.Internal, "", "the node failed on this request: its operator finds the cause in its log")
}

func (c *chain) renderUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	resp, err := next(ctx, req)
	return resp, c.render(ctx, info.FullMethod, err)
}

func (c *chain) renderStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return c.render(ss.Context(), info.FullMethod, next(srv, ss))
}

// render lets a fault pass and hides every other error: internal text stays in the own log.
func (c *chain) render(ctx context.Context, method string, err error) error {
	if err == nil {
		return nil
	}
	told := fault.From(err)
	reason, _ := fault.ReasonOf(told)
	switch {
	case ctx.Err() != nil:
	case reason == fault.Internal:
		c.cfg.Logger.ErrorContext(ctx, "local call failed", slog.String("method", method), slog.Any("error", err))
	case reason != fault.MalformedRequest && err.Error() != told.Error():
		// The caller is told less than is known.
		c.cfg.Logger.InfoContext(ctx, "local call refused", slog.String("method", method), slog.String("reason", string(reason)), slog.Any("error", err))
	}
	return told
}

// admit asks the gate whether the caller may do what the method does.
func (c *chain) admit(ctx context.Context, method string) error {
	id, ok := mtls.FromContext(ctx)
	if !ok {
		return fault.New(codes.Unauthenticated, fault.IdentityUnverified, "",
			"your certificate does not identify a client of this bureau: enrol again")
	}
	operation, known := c.operations[method]
	if !known {
		return fault.New(codes.Unimplemented, fault.MethodNotServed, "", "this listener has no such method")
	}
	if operation == "" {
		return nil
	}
	return c.cfg.Gate.Administer(ctx, newOperationID(), id, operation)
}

func (c *chain) limitUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	id, ok := mtls.FromContext(ctx)
	if c.cfg.Limiter == nil || !ok {
		return next(ctx, req)
	}
	within, leave, err := c.cfg.Limiter.Admit(ctx, id, info.FullMethod)
	if err != nil {
		return nil, err
	}
	defer leave()
	return next(within, req)
}

func (c *chain) limitStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	id, ok := mtls.FromContext(ss.Context())
	if c.cfg.Limiter == nil || !ok {
		return next(srv, ss)
	}
	_, leave, err := c.cfg.Limiter.Admit(ss.Context(), id, info.FullMethod)
	if err != nil {
		return err
	}
	defer leave()
	return next(srv, ss)
}

func (c *chain) admitUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := c.admit(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (c *chain) admitStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := c.admit(ss.Context(), info.FullMethod); err != nil {
		return err
	}
	return next(srv, ss)
}

func (c *chain) validate(req any) error {
	m, ok := req.(proto.Message)
	if !ok {
		return nil
	}
	if err := c.validator.Validate(m); err != nil {
		return err // rendered outside, without the value
	}
	return legible(req)
}

func (c *chain) validateUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := c.validate(req); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (c *chain) validateStream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return next(srv, &stream{ServerStream: ss, validate: c.validate})
}

// stream is a server stream whose messages are validated as they come.
type stream struct {
	grpc.ServerStream
	validate func(any) error
}

// RecvMsg implements grpc.ServerStream.
func (s *stream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return s.validate(m)
}

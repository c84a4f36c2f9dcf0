// Package fault makes the errors that a node gives to those who call it, on both of its
// listeners: a canonical gRPC code, a google.rpc.ErrorInfo with a reason that programs can act
// on, and one sentence that says what to do. It is not for errors inside the node: those are
// plain Go errors, wrapped, logged where they are handled, and they never leave.
//
// One flow: a handler finds that an ask was meant for another bureau and returns
// New(codes.Unauthenticated, WrongAudience, "ask.audience", "the ask names another bureau: send
// it to the bureau that it names"). Whatever else a handler returns, a database's error or a
// panic, goes through From at the edge and comes out as INTERNAL without a word of its text: what
// a stranger reads must not depend on what lies inside.
package fault

import (
	"context"
	"errors"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// Domain is the domain of every ErrorInfo that a node gives.
const Domain = "entente"

// fieldKey is where ErrorInfo's metadata names the field at fault. It stands there and not only
// in BadRequest so that one place serves every code.
const fieldKey = "field"

// New returns the error for a caller. field is the path of the request's field at fault, or
// empty. message is one sentence in English that helps; it holds no name, number or date of a
// case, and nothing of the node's inside.
func New(code codes.Code, reason Reason, field, message string) error {
	info := &errdetails.ErrorInfo{Reason: string(reason), Domain: Domain}
	details := []protoadapt.MessageV1{info}
	if field != "" {
		info.Metadata = map[string]string{fieldKey: field}
		if code == codes.InvalidArgument {
			details = append(details, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
				{Field: field, Description: message, Reason: string(reason)},
			}})
		}
	}
	return withDetails(code, message, details...)
}

func withDetails(code codes.Code, message string, details ...protoadapt.MessageV1) error {
	s := status.New(code, message)
	detailed, err := s.WithDetails(details...)
	if err != nil {
		// Only an OK status or a detail that cannot be marshalled comes here; neither may turn an
		// error into a success.
		return status.Error(codes.Internal, "the error could not be described")
	}
	return detailed.Err()
}

// From returns the error that a caller may see for any error: a fault as it is; what the
// protocol library or the validator says, in the catalogue's words; everything else as INTERNAL.
// It returns nil for nil.
func From(err error) error {
	if err == nil {
		return nil
	}
	// The message that wraps a fault is the node's own and is dropped; the fault travels.
	if carried := carried(err); carried != nil {
		return carried
	}
	var invalid *protovalidate.ValidationError
	if errors.As(err, &invalid) {
		return fromViolations(invalid)
	}
	code := status.Code(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	}
	switch code {
	case codes.Unauthenticated:
		return unverified(err)
	case codes.DeadlineExceeded:
		return New(code, DeadlineExceeded, "", "the call's deadline passed before it was answered: allow more time or ask for less")
	case codes.Canceled:
		return New(code, Canceled, "", "the call was given up by its caller")
	default:
		return New(codes.Internal, Internal, "", "the node failed to answer; its operator finds the cause in its log")
	}
}

// carried returns the fault in an error's chain, without what wraps it, or nil.
func carried(err error) error {
	var s interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &s) || s.GRPCStatus() == nil {
		return nil
	}
	found := s.GRPCStatus()
	if infoOf(found) == nil || found.Code() == codes.OK {
		return nil
	}
	return found.Err()
}

// unverified is the error for a caller whose identity did not hold, be it at the beginning of the
// call or in the middle of a stream. That a certificate has run out is no secret, and its remedy
// lies with the caller; every other cause is the own side's business.
func unverified(err error) error {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetReason() == outdatedIdentity {
			return New(codes.Unauthenticated, CertificateExpired, "", "the certificate of this connection is outside its period of validity: renew it, check the clock, and connect again")
		}
	}
	return New(codes.Unauthenticated, IdentityUnverified, "", "the certificate of this connection is not accepted here: connect again with one that is valid for this listener")
}

// outdatedIdentity is the reason by which pki/mtls tells an expired certificate from every other
// that it refuses.
const outdatedIdentity = "IDENTITY_OUTDATED"

// fromViolations names the fields that break the schema, and the rule each breaks, and never the
// value: a malformed name is still somebody's name.
func fromViolations(invalid *protovalidate.ValidationError) error {
	const shown = 8
	bad := &errdetails.BadRequest{}
	var lines []string
	for _, v := range invalid.Violations {
		if len(lines) == shown {
			break
		}
		field := protovalidate.FieldPathString(v.Proto.GetField())
		if field == "" {
			field = "request"
		}
		rule := v.Proto.GetMessage()
		if rule == "" {
			rule = "breaks the rule " + v.Proto.GetRuleId()
		}
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: field, Description: rule, Reason: string(MalformedRequest),
		})
		lines = append(lines, field+": "+rule)
	}
	if len(lines) == 0 {
		lines, bad.FieldViolations = []string{"the request breaks its schema"}, nil
	}
	info := &errdetails.ErrorInfo{Reason: string(MalformedRequest), Domain: Domain}
	if len(bad.FieldViolations) > 0 {
		info.Metadata = map[string]string{fieldKey: bad.FieldViolations[0].Field}
	}
	return withDetails(codes.InvalidArgument, strings.Join(lines, "; "), info, bad)
}

// TooLarge returns the error for a request above the method's bound.
func TooLarge() error {
	return New(codes.ResourceExhausted, MessageTooLarge, "", "the request is larger than the method takes: split it or leave out what is not needed")
}

// ReasonOf returns the reason of a fault of this domain. It returns false for every other error:
// one that was made by the protocol library, or that never left another program as a fault.
func ReasonOf(err error) (Reason, bool) {
	if err == nil {
		return "", false
	}
	info := infoOf(status.Convert(err))
	if info == nil {
		return "", false
	}
	return Reason(info.GetReason()), true
}

// FieldOf returns the field that a fault names, or nothing.
func FieldOf(err error) string {
	if err == nil {
		return ""
	}
	return infoOf(status.Convert(err)).GetMetadata()[fieldKey]
}

func infoOf(s *status.Status) *errdetails.ErrorInfo {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return info
		}
	}
	return nil
}

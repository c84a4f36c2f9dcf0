package fault

import (
	"errors"
	"maps"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// ActIDKey is where ErrorInfo's metadata names the act that waits for a second person.
const ActIDKey = "act_id"

// With returns a fault with one more entry in its ErrorInfo's metadata, for programs that go on
// from there. Any other error is returned as it is. The value holds nothing of a case.
func With(err error, key, value string) error {
	found := statusOf(err)
	if found == nil {
		return err
	}
	var details []protoadapt.MessageV1
	for _, detail := range found.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			info := &errdetails.ErrorInfo{Reason: d.GetReason(), Domain: d.GetDomain(), Metadata: maps.Clone(d.GetMetadata())}
			if info.Metadata == nil {
				info.Metadata = map[string]string{}
			}
			info.Metadata[key] = value
			details = append(details, info)
		case protoadapt.MessageV1:
			details = append(details, d)
		}
	}
	return withDetails(found.Code(), found.Message(), details...)
}

// Value returns an entry of a fault's metadata, empty if there is none.
func Value(err error, key string) string {
	found := statusOf(err)
	if found == nil {
		return ""
	}
	return infoOf(found).GetMetadata()[key]
}

// statusOf returns the status of a fault, nil for any other error.
func statusOf(err error) *status.Status {
	var s interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &s) || s.GRPCStatus() == nil || infoOf(s.GRPCStatus()) == nil {
		return nil
	}
	return s.GRPCStatus()
}

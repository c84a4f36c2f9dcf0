package fault

import (
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// NewRetry returns the error for a caller who may do the same again after a time: New with a
// google.rpc.RetryInfo beside it. A time below a millisecond is told as one, so that nobody
// tries again at once.
func NewRetry(code codes.Code, reason Reason, field, message string, after time.Duration) error {
	info := &errdetails.ErrorInfo{Reason: string(reason), Domain: Domain}
	if field != "" {
		info.Metadata = map[string]string{fieldKey: field}
	}
	details := []protoadapt.MessageV1{info, &errdetails.RetryInfo{RetryDelay: durationpb.New(max(after, time.Millisecond))}}
	return withDetails(code, message, details...)
}

// RetryAfter returns after what time the caller of a fault may try again. It returns false if the
// fault does not say, or says nothing that a clock can wait for: what another bureau's node sends
// is a stranger's.
func RetryAfter(err error) (time.Duration, bool) {
	if err == nil {
		return 0, false
	}
	s := status.Convert(err)
	if infoOf(s) == nil {
		return 0, false
	}
	for _, detail := range s.Details() {
		retry, ok := detail.(*errdetails.RetryInfo)
		if !ok || proto.Size(retry.GetRetryDelay()) == 0 || !retry.GetRetryDelay().IsValid() {
			continue
		}
		if after := retry.GetRetryDelay().AsDuration(); after > 0 {
			return after, true
		}
	}
	return 0, false
}

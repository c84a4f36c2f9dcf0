package ask

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// ownError is a failure on this side: the bureau was not asked.
type ownError struct {
	text  string // for the own officer
	cause error  // for the log
}

func (e *ownError) Error() string { return e.text + ": " + e.cause.Error() }
func (e *ownError) Unwrap() error { return e.cause }

// badAnswer is an answer that cannot be believed.
type badAnswer struct {
	cause    error
	unsigned bool // it is not shown to be the bureau's
}

func (e *badAnswer) Error() string { return "its answer could not be verified: " + e.cause.Error() }
func (e *badAnswer) Unwrap() error { return e.cause }

// outage is the error of a connection that is known to be down: since when, and why in words for
// the own officer.
type outage interface {
	error
	Outage() (since time.Time, why string)
}

// faultOf is why an ask that left got no answer that is believed, in one word for the books.
func faultOf(ctx context.Context, err error) string {
	var bad *badAnswer
	reason, known := fault.ReasonOf(err)
	switch {
	case errors.As(err, &bad) && bad.unsigned:
		return string(fault.SignatureInvalid)
	case errors.As(err, &bad):
		return NotBelieved
	case errors.Is(ctx.Err(), context.Canceled):
		return string(fault.Canceled)
	case status.Code(err) == codes.DeadlineExceeded, errors.Is(err, context.DeadlineExceeded):
		return string(fault.DeadlineExceeded)
	case known && inCatalogue(reason):
		return string(reason)
	default:
		return Unreachable
	}
}

// clockDisagrees reports whether the bureau found the ask too old or too new.
func clockDisagrees(err error) bool {
	reason, ok := fault.ReasonOf(err)
	return ok && (reason == fault.AskExpired || reason == fault.AskFromFuture)
}

// settle turns a failure into the bureau's status. What goes into Reason is ours: nothing that
// another bureau wrote is repeated, but for a reason that the catalogue knows.
func (a *Asker) settle(ctx context.Context, err error, r *Result) {
	r.Hits = nil
	var down outage
	var own *ownError
	var bad *badAnswer
	switch {
	case errors.As(err, &own):
		r.Status, r.Reason = queryv1.Status_STATUS_UNAVAILABLE, own.text
	case errors.As(err, &bad):
		r.Status, r.Reason = queryv1.Status_STATUS_UNAVAILABLE, "its answer could not be verified"
	case errors.As(err, &down):
		r.Status = queryv1.Status_STATUS_UNAVAILABLE
		r.Since, r.Reason = down.Outage()
	case errors.Is(ctx.Err(), context.Canceled):
		r.Status, r.Reason = queryv1.Status_STATUS_UNAVAILABLE, "the check was given up"
	case status.Code(err) == codes.DeadlineExceeded, errors.Is(err, context.DeadlineExceeded):
		r.Status, r.Reason = queryv1.Status_STATUS_TIMEOUT, "it did not answer in time"
		r.Since = a.cfg.Now()
	default:
		r.Status, r.Reason = fromError(err)
		if status.Code(err) == codes.Unavailable {
			r.Since = a.cfg.Now()
		}
	}
	a.cfg.Logger.WarnContext(ctx, "no answer", "peer", string(r.Bureau), "ask_id", r.AskID,
		"status", r.Status.String(), "error", stripped(err.Error()))
}

// fromError is the status of a bureau that answered with an error, or whose connection failed.
func fromError(err error) (queryv1.Status, string) {
	reason, known := fault.ReasonOf(err)
	known = known && inCatalogue(reason)
	switch {
	case known && status.Code(err) == codes.PermissionDenied:
		return queryv1.Status_STATUS_REFUSED, "it does not answer this bureau (" + string(reason) + ")"
	case known:
		return queryv1.Status_STATUS_UNAVAILABLE, "it could not answer (" + string(reason) + ")"
	case status.Code(err) == codes.ResourceExhausted:
		return queryv1.Status_STATUS_UNAVAILABLE, "its answer was larger than an answer may be"
	default:
		return queryv1.Status_STATUS_UNAVAILABLE, "the connection to it failed"
	}
}

func inCatalogue(reason fault.Reason) bool {
	for _, entry := range fault.Catalogue() {
		if entry.Reason == reason {
			return true
		}
	}
	return false
}

package mtls

import (
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/pki/identity"
)

// Reason says in one word why a certificate was not accepted. The list is closed, and safe to
// log and to count: it holds nothing of what a stranger sent.
type Reason string

// The reasons.
const (
	ReasonNoCertificate Reason = "NO_CERTIFICATE"    // none was presented
	ReasonNoIdentity    Reason = "NO_IDENTITY"       // its name is not an identity of this federation
	ReasonWrongListener Reason = "WRONG_LISTENER"    // an agency on the mesh, a node or another bureau's agency on the local listener
	ReasonWrongPeer     Reason = "WRONG_PEER"        // not the bureau that was dialled
	ReasonNotTrusted    Reason = "NOT_TRUSTED"       // no roster, not in it, distrusted
	ReasonNotYetValid   Reason = "NOT_YET_VALID"     // before its life
	ReasonExpired       Reason = "EXPIRED"           // after its life
	ReasonBadChain      Reason = "BAD_CHAIN"         // does not end in a root of the bureau that it names
	ReasonWrongIssuer   Reason = "WRONG_ISSUER"      // from the intermediate of the other listener, or for another use
	ReasonRevoked       Reason = "REVOKED"           // withdrawn by its own authority
	ReasonNotVerified   Reason = "NOT_VERIFIED"      // the connection did not come through this package
	ReasonBadTransport  Reason = "BAD_TRANSPORT"     // not TLS 1.3, resumed, or not HTTP/2
	errorDomain                = "entente.mtls"      // of google.rpc.ErrorInfo
	outwardReason       Reason = "IDENTITY_REFUSED"  // what the other side is told, except for an expiry
	outwardExpired      Reason = "IDENTITY_OUTDATED" // an expiry is no secret, and its remedy lies with the other side
)

// Error is why a certificate was not accepted.
type Error struct {
	Reason Reason
	// Bureau is whom the certificate names, empty where it names nobody. It is a claim, not a
	// finding: with most reasons it was not proven.
	Bureau identity.Bureau
	// Err is the detail, for the own side alone.
	Err error
}

// Error says what is wrong, for the own side's logs.
func (e *Error) Error() string {
	who := string(e.Bureau)
	if who == "" {
		who = "nobody"
	}
	return fmt.Sprintf("certificate naming %s not accepted: %s: %v", who, e.Reason, e.Err)
}

// Unwrap returns the detail, for errors.Is: a roster's ErrDistrusted stays visible.
func (e *Error) Unwrap() error { return e.Err }

// ReasonOf returns the reason in an error of this package, and an empty one for any other.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

// refused is what the other side of a call learns. Why a bureau is not trusted is the own
// bureau's business; that a certificate has run out is not, and the caller can mend it.
func refused(err error) error {
	reason, text := outwardReason, "the certificate of this connection is not accepted here: connect again with one that is valid for this listener"
	switch ReasonOf(err) {
	case ReasonExpired, ReasonNotYetValid:
		reason, text = outwardExpired, "the certificate of this connection is outside its period of validity: renew it, check the clock, and connect again"
	}
	s, detailErr := status.New(codes.Unauthenticated, text).WithDetails(&errdetails.ErrorInfo{
		Reason: string(reason), Domain: errorDomain,
	})
	if detailErr != nil { // cannot be marshalled: the sentence alone still refuses
		return status.Error(codes.Unauthenticated, text)
	}
	return s.Err()
}

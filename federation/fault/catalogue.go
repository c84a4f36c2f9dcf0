package fault

import (
	"cmp"
	"slices"

	"google.golang.org/grpc/codes"
)

// Reason is why a call failed, for programs: upper case with underscores, never renamed, never
// used for two things.
type Reason string

// The reasons. Catalogue has the code, the meaning and the remedy of each.
const (
	IdentityUnverified   Reason = "IDENTITY_UNVERIFIED"
	CertificateExpired   Reason = "CERTIFICATE_EXPIRED"
	SignatureInvalid     Reason = "SIGNATURE_INVALID"
	WrongAudience        Reason = "WRONG_AUDIENCE"
	RequesterMismatch    Reason = "REQUESTER_MISMATCH"
	AskExpired           Reason = "ASK_EXPIRED"
	AskFromFuture        Reason = "ASK_FROM_FUTURE"
	AskLifetime          Reason = "ASK_LIFETIME"
	AskIDReused          Reason = "ASK_ID_REUSED"
	NotANode             Reason = "NOT_A_NODE"
	NotAMember           Reason = "NOT_A_MEMBER"
	PurposeNotHeld       Reason = "PURPOSE_NOT_HELD"
	RoleNotPermitted     Reason = "ROLE_NOT_PERMITTED"
	PolicyDenied         Reason = "POLICY_DENIED"
	MalformedRequest     Reason = "MALFORMED_REQUEST"
	UndecodableRequest   Reason = "UNDECODABLE_REQUEST"
	NothingAsked         Reason = "NOTHING_ASKED"
	MRZUnreadable        Reason = "MRZ_UNREADABLE"
	UnknownCountry       Reason = "UNKNOWN_COUNTRY"
	CaseRequired         Reason = "CASE_REQUIRED"
	MessageTooLarge      Reason = "MESSAGE_TOO_LARGE"
	QuotaExceeded        Reason = "QUOTA_EXCEEDED"
	MethodNotServed      Reason = "METHOD_NOT_SERVED"
	RecordNotFound       Reason = "RECORD_NOT_FOUND"
	PeerNotFound         Reason = "PEER_NOT_FOUND"
	NoRoster             Reason = "NO_ROSTER"
	RosterExpired        Reason = "ROSTER_EXPIRED"
	RosterNotNext        Reason = "ROSTER_NOT_NEXT"
	RosterSignatures     Reason = "ROSTER_SIGNATURES"
	PolicyInvalid        Reason = "POLICY_INVALID"
	CertificateRefused   Reason = "CERTIFICATE_REFUSED"
	BooksUnavailable     Reason = "BOOKS_UNAVAILABLE"
	NodeStopping         Reason = "NODE_STOPPING"
	DeadlineExceeded     Reason = "DEADLINE_EXCEEDED"
	Canceled             Reason = "CANCELED"
	Internal             Reason = "INTERNAL"
	MassWithdrawal       Reason = "MASS_WITHDRAWAL"
	BadRows              Reason = "BAD_ROWS"
	FormatMismatch       Reason = "FORMAT_MISMATCH"
	NotThisFormat        Reason = "NOT_THIS_FORMAT"
	RecordUnfit          Reason = "RECORD_UNFIT"
	RecordExists         Reason = "RECORD_EXISTS"
	DeletionHold         Reason = "DELETION_HOLD"
	SearchFailed         Reason = "SEARCH_FAILED"
	CollectionUnknown    Reason = "COLLECTION_UNKNOWN"
	PageTokenInvalid     Reason = "PAGE_TOKEN_INVALID"
	AuthorityUnavailable Reason = "AUTHORITY_UNAVAILABLE"
	Throttled            Reason = "THROTTLED"
	QueueFull            Reason = "QUEUE_FULL"
	TooSoon              Reason = "TOO_SOON"
	QuotaUnfit           Reason = "QUOTA_UNFIT"
	QuotaNotFound        Reason = "QUOTA_NOT_FOUND"
	OperatingPointUnfit  Reason = "OPERATING_POINT_UNFIT"
	AlarmNotFound        Reason = "ALARM_NOT_FOUND"
	SecondPersonNeeded   Reason = "SECOND_PERSON_NEEDED"
	SamePerson           Reason = "SAME_PERSON"
	ActNotFound          Reason = "ACT_NOT_FOUND"
	ClientRevoked        Reason = "CLIENT_REVOKED"
	ClientExists         Reason = "CLIENT_EXISTS"
	ClientNotFound       Reason = "CLIENT_NOT_FOUND"
	RegisterFull         Reason = "REGISTER_FULL"
	TooManyActs          Reason = "TOO_MANY_ACTS"
	NotInBooks           Reason = "NOT_IN_BOOKS"
	BooksDamaged         Reason = "BOOKS_DAMAGED"
	SignerUnavailable    Reason = "SIGNER_UNAVAILABLE"
)

// Entry describes one reason to the people who meet it.
type Entry struct {
	Reason  Reason
	Code    codes.Code
	Meaning string // what happened
	Remedy  string // what to do
}

// Catalogue returns every reason, sorted by its name. The table of errors in the documentation
// is made of it.
func Catalogue() []Entry {
	entries := []Entry{
		{IdentityUnverified, codes.Unauthenticated, "The caller's certificate does not verify against its own bureau's roots in the roster.", "Check that the roster is installed on both sides and that the certificate was issued by the bureau that it names."},
		{CertificateExpired, codes.Unauthenticated, "The caller's certificate is past its time.", "Enrol again; a certificate renews itself only while it is valid."},
		{SignatureInvalid, codes.Unauthenticated, "What was sent is not signed by a message key of the bureau that sends it.", "Check that the roster lists the key that signs, that it is not revoked, and that the bytes were not changed on the way."},
		{WrongAudience, codes.Unauthenticated, "The ask is meant for another bureau.", "Make an ask of its own for each bureau."},
		{RequesterMismatch, codes.Unauthenticated, "The ask names another bureau as its requester than the one that sends it.", "Set requester.bureau to the own bureau; nobody asks for another."},
		{AskExpired, codes.Unauthenticated, "The ask is past its not_after in the answerer's time.", "Measure the answerer's clock by Describe and make a new ask."},
		{AskFromFuture, codes.Unauthenticated, "The ask is dated in the answerer's future.", "Measure the answerer's clock by Describe and make a new ask."},
		{AskLifetime, codes.Unauthenticated, "The ask's not_after is not after its issued_at, or more than two minutes after it.", "Give the ask a life of at most two minutes."},
		{AskIDReused, codes.Aborted, "The ask's id was used before, for another question.", "Give every ask a new id; only the same bytes may be sent again."},
		{NotANode, codes.PermissionDenied, "The caller is not a node. The mesh listener serves nodes of other bureaus alone.", "Call the local listener of the own bureau's node."},
		{NotAMember, codes.PermissionDenied, "The caller's bureau is not in the roster, or this bureau does not deal with it.", "Have the operators of both bureaus compare their rosters."},
		{PurposeNotHeld, codes.PermissionDenied, "The client's certificate does not hold the purpose that it claims.", "Claim a purpose that the certificate holds, or have the PKI administrator enrol the client for it."},
		{RoleNotPermitted, codes.PermissionDenied, "The client's role may not call this method.", "Use a client of the role that the method's documentation names."},
		{PolicyDenied, codes.PermissionDenied, "The bureau's own policy does not permit this.", "Ask the operator; `entente policy explain` shows the rule."},
		{MalformedRequest, codes.InvalidArgument, "A field breaks its rule.", "Correct the field that the error names."},
		{UndecodableRequest, codes.InvalidArgument, "The request's bytes are not the message that the method takes.", "Build the request from the published proto files."},
		{NothingAsked, codes.InvalidArgument, "The request names neither a document nor a person.", "Give a document, a person, or a machine-readable zone."},
		{MRZUnreadable, codes.InvalidArgument, "The text is not a machine-readable zone of Doc 9303.", "Read the document again, or give number and name by hand."},
		{UnknownCountry, codes.InvalidArgument, "A country's code is neither of ISO 3166-1 alpha-3 nor of Doc 9303-3.", "Give the code as the document's machine-readable zone has it."},
		{CaseRequired, codes.InvalidArgument, "The purpose needs the reference of a case.", "Give justification.case_ref."},
		{CollectionUnknown, codes.InvalidArgument, "There is no such collection.", "Give \"documents\" or \"persons\"."},
		{PageTokenInvalid, codes.InvalidArgument, "The page token was not given by this list.", "Begin again without a token."},
		{MessageTooLarge, codes.ResourceExhausted, "The request is larger than the method takes.", "Split it, or leave out what is not needed."},
		{QuotaExceeded, codes.ResourceExhausted, "The caller's quota of the last 24 hours is used up: questions about distinct documents and persons, or positive answers.", "Wait as long as RetryInfo says, or have the operators agree on more (`entente quota set`)."},
		{TooSoon, codes.ResourceExhausted, "The caller asks faster than it was granted.", "Wait as long as RetryInfo says; if it lasts, have the operators agree on more (`entente quota set`)."},
		{QueueFull, codes.ResourceExhausted, "The node is busy, and the caller has as many calls waiting as it may, or one waited too long.", "Wait as long as RetryInfo says, and make fewer calls at once."},
		{Throttled, codes.ResourceExhausted, "The caller asked as one does who empties a collection question by question; for a time it gets a trickle.", "Have the operators of both sides speak; the answering side's can end it (`entente quota set`)."},
		{QuotaUnfit, codes.InvalidArgument, "The quota is not one that can hold.", "Correct the field that the error names."},
		{QuotaNotFound, codes.NotFound, "No bureau or agency of this name has asked or has limits of its own.", "Check the name with `entente quota show`."},
		{OperatingPointUnfit, codes.InvalidArgument, "The operating point is not one that can hold.", "Correct the field that the error names; `entente point show` tells what holds now."},
		{AlarmNotFound, codes.NotFound, "There is no such alarm, or it was cleared before.", "Check the id with `entente status`."},
		{SecondPersonNeeded, codes.FailedPrecondition, "The act needs two persons: it waits until another one approves it.", "Have another person with the role approve the act that the error names, then do it again."},
		{SamePerson, codes.PermissionDenied, "Who wants an act cannot approve it.", "Have another person, with a certificate of their own, approve it."},
		{ActNotFound, codes.NotFound, "There is no such act: it was carried out, was refused, or its time ran out.", "Check the id against the list of acts; want it again if it is still needed."},
		{ClientRevoked, codes.Unauthenticated, "The client's identity was revoked.", "Have the PKI administrator enrol the client again, with a new key, if it is to work here again."},
		{ClientExists, codes.AlreadyExists, "A client of this name is enrolled.", "Choose another name, or revoke the one that exists."},
		{ClientNotFound, codes.NotFound, "No client of this identity was enrolled here.", "Check the identity against the list of the clients that are enrolled."},
		{RegisterFull, codes.ResourceExhausted, "The register of clients is full.", "Let an agency's system serve its officers with one certificate."},
		{TooManyActs, codes.ResourceExhausted, "Too many acts wait for a second person.", "Have them approved or refused (`entente act list`), or let them expire."},
		{NotInBooks, codes.NotFound, "The books hold no such message.", "Check the id, and whether its time of retention has passed."},
		{BooksDamaged, codes.DataLoss, "The books are damaged where they were read.", "Run `entente audit verify`: it names file and place. Keep the files as they are."},
		{SignerUnavailable, codes.Unavailable, "The process that holds the keys does not answer.", "Try again; if it lasts, the node's operator looks at that process and its log."},
		{MethodNotServed, codes.Unimplemented, "The listener does not serve this method.", "Check the address: the mesh listener serves peers, the local one the bureau's own people."},
		{RecordNotFound, codes.NotFound, "There is no such record.", "Check collection and id; a withdrawn record is gone."},
		{PeerNotFound, codes.NotFound, "The bureau is not in the roster.", "Check the bureau's id with `entente peers`."},
		{NoRoster, codes.FailedPrecondition, "No roster is installed.", "Install one with `entente roster install`."},
		{RosterExpired, codes.FailedPrecondition, "The installed roster has expired.", "Have the bureaus sign the next one."},
		{RosterNotNext, codes.FailedPrecondition, "The roster does not follow from the one that is installed.", "Send the versions between them first, oldest first."},
		{RosterSignatures, codes.PermissionDenied, "The roster's signatures do not reach the threshold.", "Collect the signatures of more bureaus and merge them."},
		{PolicyInvalid, codes.FailedPrecondition, "The policy folder holds an error; the policy before stays in force.", "Correct the file and line that the error names."},
		{CertificateRefused, codes.PermissionDenied, "The certificate authority does not issue what was requested.", "Renew for the same identity, before the old certificate expires."},
		{MassWithdrawal, codes.FailedPrecondition, "The import would withdraw more than 5 % of its source.", "Check the file; confirm it (--yes) if it is right."},
		{BadRows, codes.FailedPrecondition, "Rows of the file are bad and the import is strict: nothing was kept.", "Mend the rows that the report names, or import without --strict."},
		{FormatMismatch, codes.InvalidArgument, "The format does not hold records of this collection.", "Name the collection that the format holds."},
		{NotThisFormat, codes.InvalidArgument, "The file is not of the format.", "Name the format that it is of, or fetch the file again."},
		{RecordUnfit, codes.FailedPrecondition, "The record may not be held at this bureau.", "Correct the field that the error names; a stolen document is listed by the state that issued it."},
		{RecordExists, codes.AlreadyExists, "A record with this id exists.", "Choose another id, or import the newer version."},
		{DeletionHold, codes.FailedPrecondition, "The record is under a deletion hold and may not be withdrawn.", "Import it without the hold first, once the complaint or the court that needs it is done with it."},
		{SearchFailed, codes.Unavailable, "The bureau cannot search its records now.", "Try again; if it lasts, the node's operator looks at its log."},
		{BooksUnavailable, codes.Unavailable, "The node could not write its books; nothing passes unrecorded.", "Try again; if it lasts, the node's operator looks at its disk."},
		{AuthorityUnavailable, codes.Unavailable, "The certificate authority does not answer.", "Try again; if it lasts, the node's operator looks at its log."},
		{NodeStopping, codes.Unavailable, "The node is being stopped.", "Try again in a moment."},
		{DeadlineExceeded, codes.DeadlineExceeded, "The call's deadline passed before it was answered.", "Allow more time, or ask for less."},
		{Canceled, codes.Canceled, "The caller gave the call up.", "Nothing."},
		{Internal, codes.Internal, "The node failed.", "Its operator finds the cause in its log."},
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Reason, b.Reason) })
	return entries
}

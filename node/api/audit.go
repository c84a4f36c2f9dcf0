package api

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// ErrNotInBooks says that the books hold no such message.
var ErrNotInBooks = errors.New("not in the books")

// ErrNotAbroad says that a message is in the books and has crossed no border.
var ErrNotAbroad = errors.New("no message between bureaus")

// ErrNotYet says that something is in the books and in no signed checkpoint yet.
var ErrNotYet = errors.New("not in a signed checkpoint yet")

// Books are the node's books, as their auditors need them.
type Books interface {
	// List yields the entries that a request asks for, oldest first.
	List(ctx context.Context, req *auditv1.ListRequest, do func(*auditv1.Located) error) error
	// Get returns the entries of one message. ErrNotInBooks: there is none.
	Get(ctx context.Context, messageID string) ([]*auditv1.Located, error)
	// Verify reads everything.
	Verify(ctx context.Context, progress func(leaves uint64)) (*auditv1.VerifyReport, error)
	// Prove makes a bundle, and says why the other side's proof is missing, if it was wanted.
	// ErrNotInBooks: there is no such exchange, or its evidence was erased.
	Prove(ctx context.Context, messageID string, otherSide bool) (bundle *auditv1.Bundle, missing string, err error)
	// Export yields an export in parts.
	Export(ctx context.Context, peer identity.Bureau, since, until time.Time, do func(*auditv1.Export) error) error
	// Officer returns the entries in which an officer's pseudonym stands, oldest first.
	Officer(ctx context.Context, pseudonym string) ([]*auditv1.Located, error)
}

// SecondPerson says whether an act that needs two persons may be done. It returns who the second
// one is, or the fault that tells the caller to find one; an act that needs none passes with "".
type SecondPerson interface {
	Need(ctx context.Context, client identity.Identity, operation string, request []byte, summary string) (second string, err error)
}

// Act is what an operation did, as the books say it.
type Act struct {
	Operation string
	Object    string // never a name or a number
	Reason    string // in the caller's words
	Second    string // the second person
	Count     uint64 // how many it concerned, where it counts
	// Failed is why what was booked was not done after all. Empty: it is about to be done.
	Failed fault.Reason
}

// Scribe books what an operation did, before its reply leaves.
type Scribe interface {
	Did(ctx context.Context, client identity.Identity, act Act) error
}

// AuditConfig is what the auditors' service is made of.
type AuditConfig struct {
	Self   identity.Bureau
	Books  Books
	Second SecondPerson
	Scribe Scribe
}

// AuditService serves auditors.
type AuditService struct {
	auditv1.UnimplementedAuditServiceServer
	cfg AuditConfig
}

// NewAuditService returns the auditors' service.
func NewAuditService(cfg AuditConfig) *AuditService { return &AuditService{cfg: cfg} }

// masked is an entry as an auditor sees it: who of the own people asked stands in it under the
// pseudonym alone. Who ran the node's own operations is no secret to its auditors.
func masked(l *auditv1.Located) *auditv1.Located {
	e := l.GetEntry()
	if e == nil {
		return l
	}
	e = proto.CloneOf(e)
	e.Salt, e.Padding = nil, nil
	if e.GetKind() != auditv1.EntryKind_ENTRY_KIND_OPERATION {
		e.Client = ""
	}
	return &auditv1.Located{
		Entry: e, Index: l.GetIndex(), Place: l.GetPlace(), Integrated: l.GetIntegrated(), Erased: l.GetErased(), Evidence: l.GetEvidence(),
	}
}

// List implements auditv1.AuditServiceServer.
func (s *AuditService) List(req *auditv1.ListRequest, stream grpc.ServerStreamingServer[auditv1.ListResponse]) error {
	if req.GetPurpose() != "" {
		if _, err := identity.ParsePurpose(req.GetPurpose()); err != nil {
			return fault.New(codes.InvalidArgument, fault.MalformedRequest, "purpose", "no such purpose: "+err.Error())
		}
	}
	return s.cfg.Books.List(stream.Context(), req, func(l *auditv1.Located) error {
		return stream.Send(&auditv1.ListResponse{Located: masked(l)})
	})
}

// maxEntries bounds the entries of one message: an ask has two or three, a check one.
const maxEntries = 4096

// Get implements auditv1.AuditServiceServer.
func (s *AuditService) Get(ctx context.Context, req *auditv1.GetRequest) (*auditv1.GetResponse, error) {
	entries, err := s.cfg.Books.Get(ctx, req.GetMessageId())
	if err != nil {
		return nil, notInBooks(err)
	}
	resp := &auditv1.GetResponse{}
	for _, l := range entries[:min(len(entries), maxEntries)] {
		resp.Entries = append(resp.Entries, masked(l))
	}
	return resp, nil
}

func notInBooks(err error) error {
	switch {
	case errors.Is(err, ErrNotInBooks):
		return fault.New(codes.NotFound, fault.NotInBooks, "message_id",
			"the books hold no such message, or what they said of it was erased in time: look it up with entente audit list")
	case errors.Is(err, ErrNotAbroad):
		return fault.New(codes.NotFound, fault.NotInBooks, "message_id",
			"this message did not cross a border, so there is nothing to prove to others: give an ask's id (entente audit list --kind ask)")
	case errors.Is(err, ErrNotYet):
		return errors.Join(fault.New(codes.Unavailable, fault.BooksUnavailable, "",
			"the log is behind the books and has not signed this yet: try again in a moment, and see entente status if it lasts"), err)
	}
	return err
}

// Verify implements auditv1.AuditServiceServer.
func (s *AuditService) Verify(_ *auditv1.VerifyRequest, stream grpc.ServerStreamingServer[auditv1.VerifyResponse]) error {
	report, err := s.cfg.Books.Verify(stream.Context(), func(leaves uint64) {
		// Progress is a courtesy: if it cannot be sent, the report cannot either.
		_ = stream.Send(&auditv1.VerifyResponse{Part: &auditv1.VerifyResponse_Progress{Progress: &auditv1.VerifyProgress{Leaves: leaves}}})
	})
	if err != nil {
		return err
	}
	return stream.Send(&auditv1.VerifyResponse{Part: &auditv1.VerifyResponse_Report{Report: report}})
}

// Prove implements auditv1.AuditServiceServer.
func (s *AuditService) Prove(ctx context.Context, req *auditv1.ProveRequest) (*auditv1.ProveResponse, error) {
	// A bundle shows what was asked: that it was made stands in the books before it leaves.
	if err := s.cfg.Scribe.Did(ctx, Caller(ctx), Act{Operation: policy.OperationReadBooks, Object: "bundle of " + req.GetMessageId()}); err != nil {
		return nil, err
	}
	bundle, missing, err := s.cfg.Books.Prove(ctx, req.GetMessageId(), req.GetOtherSide())
	if err != nil {
		return nil, notInBooks(err)
	}
	return &auditv1.ProveResponse{Bundle: bundle, OtherSideMissing: missing}, nil
}

// Export implements auditv1.AuditServiceServer.
func (s *AuditService) Export(req *auditv1.ExportRequest, stream grpc.ServerStreamingServer[auditv1.ExportResponse]) error {
	var since, until time.Time
	if req.GetSince() != nil {
		since = req.GetSince().AsTime()
	}
	if req.GetUntil() != nil {
		until = req.GetUntil().AsTime()
	}
	if !until.IsZero() && !since.Before(until) {
		return fault.New(codes.InvalidArgument, fault.MalformedRequest, "until", "the time ends before it begins: give an until after since")
	}
	if peer := req.GetPeer(); !identity.KnownCode(peer) || identity.Bureau(peer) == s.cfg.Self {
		return fault.New(codes.InvalidArgument, fault.MalformedRequest, "peer",
			"give another bureau: an ISO 3166-1 alpha-3 code, or one of Doc 9303-3")
	}
	return notInBooks(s.cfg.Books.Export(stream.Context(), identity.Bureau(req.GetPeer()), since, until, func(part *auditv1.Export) error {
		return stream.Send(&auditv1.ExportResponse{Part: part})
	}))
}

// Unmask implements auditv1.AuditServiceServer.
func (s *AuditService) Unmask(ctx context.Context, req *auditv1.UnmaskRequest) (*auditv1.UnmaskResponse, error) {
	request, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return nil, err
	}
	// Looked for first: nobody should approve what cannot be done.
	if _, err := s.cfg.Books.Officer(ctx, req.GetOfficer()); err != nil {
		return nil, nobody(err)
	}
	client := Caller(ctx)
	second, err := s.cfg.Second.Need(ctx, client, policy.OperationUnmaskOfficer, request, "unmask "+req.GetOfficer()+": "+req.GetReason())
	if err != nil {
		return nil, err
	}
	err = s.cfg.Scribe.Did(ctx, client, Act{
		Operation: policy.OperationUnmaskOfficer, Object: req.GetOfficer(), Reason: req.GetReason(), Second: second,
	})
	if err != nil {
		return nil, err
	}
	entries, err := s.cfg.Books.Officer(ctx, req.GetOfficer())
	if err != nil {
		return nil, nobody(err)
	}
	resp := &auditv1.UnmaskResponse{}
	for _, l := range entries {
		e := l.GetEntry()
		if e.GetClient() == "" {
			continue // erased, or booked by somebody else's hand
		}
		if resp.Client == "" {
			resp.Client, resp.FirstSeen = e.GetClient(), e.GetAt()
		}
		resp.LastSeen = timestamppb.New(e.GetAt().AsTime())
	}
	if resp.GetClient() == "" {
		return nil, nobody(ErrNotInBooks)
	}
	return resp, nil
}

func nobody(err error) error {
	if errors.Is(err, ErrNotInBooks) {
		return fault.New(codes.NotFound, fault.NotInBooks, "officer",
			"the books name nobody behind this pseudonym, or what they said was erased in time: give it as it stands in an entry or an ask of this bureau")
	}
	return err
}

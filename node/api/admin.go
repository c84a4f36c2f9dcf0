package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/roster"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Rosters is the bureau's own view of the federation.
type Rosters interface {
	Current() *roster.View
	Install(s *signedv1.Signed, o roster.InstallOptions) (*roster.View, error)
	Distrust(b identity.Bureau, reason string) error
	Trust(b identity.Bureau) error
	Distrusted(b identity.Bureau) (reason string, since time.Time, ok bool)
}

// Peers is how the other bureaus are seen from here.
type Peers interface {
	// Snapshot describes every peer but for gossip, distrust and permits.
	Snapshot() []*adminv1.Peer
	// CloseBureau closes every open connection with a bureau, of both directions.
	CloseBureau(b identity.Bureau) int
	// Gossip is the hint about a bureau.
	Gossip(b identity.Bureau) string
	// Permitted are the collections that the own policy permits to ask of a bureau.
	Permitted(b identity.Bureau) []*adminv1.PermittedAsk
}

// PolicyReloader reads the policy folder again.
type PolicyReloader interface {
	// Read reads the folder, puts nothing into force, and returns what Apply needs to do so.
	Read() (candidate PolicyCandidate, err error)
}

// PolicyCandidate is a set of policies that was read and is whole.
type PolicyCandidate interface {
	Version() string
	// Apply puts the set into force, durably: also after a restart.
	Apply(ctx context.Context) (policies int, err error)
}

// Alarms are what somebody must look into.
type Alarms interface {
	Open() []*adminv1.Alarm
	Clear(ctx context.Context, id, note string) error
}

// Quotas are the limits of bureaus and agencies.
type Quotas interface {
	List(scope adminv1.QuotaScope, name string) []*adminv1.QuotaState
	Set(ctx context.Context, q *adminv1.Quota, lift bool) (*adminv1.QuotaState, error)
}

// AdminConfig is what the operator's service is made of.
type AdminConfig struct {
	// Fixed is what does not change while the node runs: bureau, addresses, version, start.
	Fixed *adminv1.GetStatusResponse
	// Collections counts the records held.
	Collections func(ctx context.Context) ([]*adminv1.CollectionStatus, error)
	// CertificateNotAfter is until when the node's own certificate is good.
	CertificateNotAfter func() time.Time
	PolicyVersion       func() (version string, policies int)
	Rosters             Rosters
	Peers               Peers
	Policy              PolicyReloader
	Alarms              Alarms
	Quotas              Quotas
	Point               OperatingPoint
	BooksStatus         func() *adminv1.BooksStatus
	Second              SecondPerson
	Acts                Acts
	Scribe              Scribe
	Now                 func() time.Time
}

// AdminService serves operators.
type AdminService struct {
	adminv1.UnimplementedAdminServiceServer
	cfg AdminConfig
}

// NewAdminService returns the operator's service.
func NewAdminService(cfg AdminConfig) *AdminService {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &AdminService{cfg: cfg}
}

// rosterWarning is how long before its expiry a roster is warned of: gathering signatures from a
// threshold of states takes weeks.
const rosterWarning = 90 * 24 * time.Hour

// GetStatus implements adminv1.AdminServiceServer.
func (s *AdminService) GetStatus(ctx context.Context, _ *adminv1.GetStatusRequest) (*adminv1.GetStatusResponse, error) {
	f := s.cfg.Fixed
	now := s.cfg.Now()
	resp := &adminv1.GetStatusResponse{
		Bureau: f.GetBureau(), Replica: f.GetReplica(), Federation: f.GetFederation(), Version: f.GetVersion(),
		StartedAt: f.GetStartedAt(), MeshListen: f.GetMeshListen(), LocalListen: f.GetLocalListen(), Advertise: f.GetAdvertise(),
	}
	version, policies := s.cfg.PolicyVersion()
	resp.PolicyVersion, resp.Policies = version, uint32(policies)
	resp.Alarms, resp.Books = s.cfg.Alarms.Open(), s.cfg.BooksStatus()
	resp.ActsWaiting = uint32(s.cfg.Acts.Waiting())
	resp.OperatingPoint = s.cfg.Point.Show()
	collections, err := s.cfg.Collections(ctx)
	if err != nil {
		return nil, err
	}
	resp.Collections = collections
	notAfter := s.cfg.CertificateNotAfter()
	resp.CertificateNotAfter = timestamppb.New(notAfter)
	if !now.Before(notAfter) {
		resp.Warnings = append(resp.Warnings, "the node's certificate has expired: look into its log for why it was not renewed")
	}
	view := s.cfg.Rosters.Current()
	if view == nil {
		resp.Warnings = append(resp.Warnings, "no roster is installed: this node speaks to no other bureau (entente roster install)")
		return resp, nil
	}
	resp.RosterVersion, resp.RosterFingerprint = view.Version(), view.Fingerprint()
	resp.RosterExpiresAt = timestamppb.New(view.ExpiresAt())
	resp.Bureaus = uint32(len(view.Bureaus()))
	switch left := view.ExpiresAt().Sub(now); {
	case left <= 0:
		resp.Warnings = append(resp.Warnings, "the roster has expired: this node speaks to no other bureau until the next one is installed")
	case left < rosterWarning:
		resp.Warnings = append(resp.Warnings, "the roster expires on "+view.ExpiresAt().UTC().Format(time.DateOnly)+": have the bureaus sign the next one")
	}
	for _, p := range s.peers() {
		switch p.GetState() {
		case adminv1.PeerState_PEER_STATE_CONNECTED:
			resp.Connected++
		case adminv1.PeerState_PEER_STATE_DISTRUSTED:
			resp.Warnings = append(resp.Warnings, p.GetBureau()+" is distrusted")
		case adminv1.PeerState_PEER_STATE_UNREACHABLE:
			resp.Warnings = append(resp.Warnings, p.GetBureau()+" is not reachable since "+p.GetSince().AsTime().UTC().Format(time.RFC3339))
		}
	}
	return resp, nil
}

// peers lists the peers with what only this node knows of them.
func (s *AdminService) peers() []*adminv1.Peer {
	peers := s.cfg.Peers.Snapshot()
	for _, p := range peers {
		b := identity.Bureau(p.GetBureau())
		p.Gossip = s.cfg.Peers.Gossip(b)
		p.Permitted = s.cfg.Peers.Permitted(b)
		if reason, since, ok := s.cfg.Rosters.Distrusted(b); ok {
			p.State, p.DistrustReason, p.Since = adminv1.PeerState_PEER_STATE_DISTRUSTED, reason, timestamppb.New(since)
			p.Offers, p.Permitted, p.LastError = nil, nil, ""
		}
	}
	return peers
}

// ListPeers implements adminv1.AdminServiceServer.
func (s *AdminService) ListPeers(context.Context, *adminv1.ListPeersRequest) (*adminv1.ListPeersResponse, error) {
	return &adminv1.ListPeersResponse{Peers: s.peers()}, nil
}

// member refuses a bureau that is not another member of the roster.
func (s *AdminService) member(name string) (identity.Bureau, error) {
	b := identity.Bureau(name)
	view := s.cfg.Rosters.Current()
	if view == nil {
		return "", fault.New(codes.FailedPrecondition, fault.NoRoster, "", "no roster is installed: install one first (entente roster install)")
	}
	if _, ok := view.Member(b); !ok {
		return "", fault.New(codes.NotFound, fault.PeerNotFound, "bureau", name+" is not in the roster: see entente peers")
	}
	if name == s.cfg.Fixed.GetBureau() {
		return "", fault.New(codes.InvalidArgument, fault.MalformedRequest, "bureau", "a bureau cannot distrust itself: name another")
	}
	return b, nil
}

// DistrustPeer implements adminv1.AdminServiceServer.
func (s *AdminService) DistrustPeer(ctx context.Context, req *adminv1.DistrustPeerRequest) (*adminv1.DistrustPeerResponse, error) {
	b, err := s.member(req.GetBureau())
	if err != nil {
		return nil, err
	}
	act := Act{Operation: policy.OperationDistrustPeer, Object: string(b), Reason: req.GetReason()}
	if err := s.cfg.Scribe.Did(ctx, Caller(ctx), act); err != nil {
		return nil, err
	}
	if err := s.cfg.Rosters.Distrust(b, req.GetReason()); err != nil {
		return nil, err
	}
	return &adminv1.DistrustPeerResponse{ClosedConnections: uint32(s.cfg.Peers.CloseBureau(b))}, nil
}

// TrustPeer implements adminv1.AdminServiceServer.
func (s *AdminService) TrustPeer(ctx context.Context, req *adminv1.TrustPeerRequest) (*adminv1.TrustPeerResponse, error) {
	b, err := s.member(req.GetBureau())
	if err != nil {
		return nil, err
	}
	if _, _, ok := s.cfg.Rosters.Distrusted(b); !ok {
		return nil, fault.New(codes.NotFound, fault.PeerNotFound, "bureau", req.GetBureau()+" is not distrusted: see entente peers")
	}
	if err := s.cfg.Scribe.Did(ctx, Caller(ctx), Act{Operation: policy.OperationTrustPeer, Object: string(b)}); err != nil {
		return nil, err
	}
	if err := s.cfg.Rosters.Trust(b); err != nil {
		return nil, err
	}
	return &adminv1.TrustPeerResponse{}, nil
}

// InstallRoster implements adminv1.AdminServiceServer.
func (s *AdminService) InstallRoster(_ context.Context, req *adminv1.InstallRosterRequest) (*adminv1.InstallRosterResponse, error) {
	view, err := s.cfg.Rosters.Install(req.GetRoster(), roster.InstallOptions{Fingerprint: req.GetFingerprint()})
	if err != nil {
		return nil, RosterFault(err)
	}
	return &adminv1.InstallRosterResponse{Version: view.Version()}, nil
}

// RosterFault is the error for a roster that was not installed. What is wrong with a roster is
// no secret: every bureau sees the same. What is wrong with this node's own disk is.
func RosterFault(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	if errors.As(err, &path) || errors.As(err, &link) || errors.Is(err, roster.ErrTampered) {
		return err
	}
	if errors.Is(err, roster.ErrThreshold) {
		return fault.New(codes.PermissionDenied, fault.RosterSignatures, "roster", err.Error())
	}
	return fault.New(codes.FailedPrecondition, fault.RosterNotNext, "roster", err.Error())
}

// ReloadPolicy implements adminv1.AdminServiceServer.
func (s *AdminService) ReloadPolicy(ctx context.Context, _ *adminv1.ReloadPolicyRequest) (*adminv1.ReloadPolicyResponse, error) {
	invalid := func(err error) error {
		return fault.New(codes.FailedPrecondition, fault.PolicyInvalid, "", "the policies were not reloaded, the old ones stay in force: "+err.Error())
	}
	candidate, err := s.cfg.Policy.Read()
	if err != nil {
		return nil, invalid(err)
	}
	client := Caller(ctx)
	before, _ := s.cfg.PolicyVersion()
	// Who approves, approves these very policies in the place of those.
	second, err := s.cfg.Second.Need(ctx, client, policy.OperationReloadPolicy, []byte(before+" "+candidate.Version()),
		fmt.Sprintf("put the policies of version %.12s into force in the place of %.12s", candidate.Version(), before))
	if err != nil {
		return nil, err
	}
	act := Act{Operation: policy.OperationReloadPolicy, Object: before + " to " + candidate.Version(), Second: second}
	if err := s.cfg.Scribe.Did(ctx, client, act); err != nil {
		return nil, err
	}
	n, err := candidate.Apply(ctx)
	if err != nil {
		return nil, invalid(err)
	}
	return &adminv1.ReloadPolicyResponse{Version: candidate.Version(), Policies: uint32(n)}, nil
}

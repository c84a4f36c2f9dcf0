package nodetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/limits"
	"github.com/entente-mesh/entente/node/policies"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	"github.com/entente-mesh/entente/pki/roster"
	"github.com/entente-mesh/entente/pki/signing"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// The treaty's words that every scene needs.
type (
	Purpose       = recordv1.Purpose
	Offer         = queryv1.CollectionOffer
	PermitOptions = policy.PermitOptions
)

const (
	// Border is the purpose of a border post, which the first officer's certificate holds.
	Border = recordv1.Purpose_PURPOSE_BORDER_CONTROL
	// Police is the other one.
	Police = recordv1.Purpose_PURPOSE_POLICE_CHECK
	// Persons and Documents are the collections.
	Persons   = policy.CollectionPersons
	Documents = policy.CollectionDocuments
)

// Clock is a node's clock: the machine's, set forward or back.
type Clock struct{ offset atomic.Int64 }

// Now is the time by this clock.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

// Set sets the clock forward (or back) from the machine's.
func (c *Clock) Set(offset time.Duration) { c.offset.Store(int64(offset)) }

// Bureau is one bureau of a mesh.
type Bureau struct {
	ID     identity.Bureau
	Dir    string
	Config node.Config // taken up at every start
	// Exchange is node.Options.Exchange, taken up at every start.
	Exchange time.Duration
	Init     *node.InitResult
	Clock    *Clock
	Log      *Log
	// Tap stands before the mesh listener; nil in a direct mesh.
	Tap *Tap
	// Node is the running node; nil while there is none.
	Node *node.Node

	t        TB
	setup    Setup
	governor *signing.Governor
	conns    []*grpc.ClientConn
	officer  *grpc.ClientConn
	operator *grpc.ClientConn
	failed   error
}

func (m *Mesh) newBureau(id identity.Bureau) *Bureau {
	return &Bureau{
		ID: id, Dir: filepath.Join(m.dir, strings.ToLower(string(id))), Clock: &Clock{}, Log: &Log{}, t: m.t, setup: m.setup,
	}
}

// init makes the folder.
func (b *Bureau) init() {
	b.failed = b.tryInit()
}

func (b *Bureau) tryInit() (err error) {
	advertise := ""
	if !b.setup.Direct {
		if b.Tap, err = newTap(); err != nil {
			return err
		}
		advertise = b.Tap.Address()
	}
	made, err := templateOf(filepath.Base(b.Dir), b.ID)
	if err != nil {
		return err
	}
	b.governor = made.governor
	if b.Init, err = made.copyTo(b.Dir, advertise); err != nil {
		return err
	}
	b.Config = b.Init.Config
	b.Config.Gossip = b.setup.Gossip
	// A machine that runs many tests at once must not look like a bureau that is away.
	b.Config.AskTimeout = 20 * time.Second
	if b.setup.Config != nil {
		b.setup.Config(b.ID, &b.Config)
	}
	return nil
}

// Start starts the node, again after Stop or Kill.
func (b *Bureau) Start() {
	for range 20 {
		if b.failed = b.tryStart(); !errors.Is(b.failed, syscall.EADDRINUSE) || b.Tap == nil {
			return
		}
		// The port that was free is somebody else's by now. Peers dial the tap, so another will do.
		for _, listen := range []*string{&b.Config.MeshListen, &b.Config.LocalListen} {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.failed = err
				return
			}
			*listen = l.Addr().String()
			_ = l.Close()
		}
	}
}

func (b *Bureau) tryStart() error {
	ctx := context.Background() // the node outlives the test's own context, until the clean-up
	n, err := node.New(ctx, b.Config, node.Options{Version: "test", Now: b.Clock.Now, Logger: b.Log.logger(), Exchange: b.Exchange,
		Budget: limits.Budget{Time: Patience}}) // as AskTimeout
	if err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return errors.Join(err, n.Stop())
	}
	b.Node = n
	if b.officer, err = b.dialLocal(node.OfficerClient); err != nil {
		return err
	}
	if b.operator, err = b.dialLocal(node.OperatorClient); err != nil {
		return err
	}
	if b.Tap != nil {
		b.Tap.Join(b.Config.MeshListen)
	}
	return nil
}

// MustStart is Start that ends the test if the node does not start.
func (b *Bureau) MustStart() {
	b.t.Helper()
	b.Start()
	if b.failed != nil {
		b.t.Fatalf("%s: start: %v", b.ID, b.failed)
	}
}

// Stop stops the node in order.
func (b *Bureau) Stop() {
	b.t.Helper()
	if b.Node == nil {
		return
	}
	b.closeConns()
	if err := b.Node.Stop(); err != nil {
		b.t.Errorf("%s: stop: %v", b.ID, err)
	}
	b.Node = nil
	if b.Tap != nil {
		b.Tap.Cut()
	}
}

// Kill takes the node away as its peers see a crash: the lines break first, without a word.
func (b *Bureau) Kill() {
	b.t.Helper()
	if b.Tap == nil {
		b.t.Fatalf("%s: a node without a tap cannot be killed", b.ID)
	}
	b.Tap.Cut()
	b.Stop()
}

// Restart starts the node after Stop or Kill, or after one of its own if it runs.
func (b *Bureau) Restart() {
	b.t.Helper()
	b.Stop()
	b.MustStart()
}

func (b *Bureau) closeConns() {
	for _, c := range append(b.conns, b.officer, b.operator) {
		if c != nil {
			_ = c.Close() // closed twice is closed
		}
	}
	b.conns, b.officer, b.operator = nil, nil, nil
}

func (b *Bureau) close() {
	b.Stop()
	b.closeConns()
	if b.Tap != nil {
		b.Tap.close()
	}
}

// dialLocal connects to the own local listener with an identity that init left.
func (b *Bureau) dialLocal(client string) (*grpc.ClientConn, error) {
	leaf, err := mtls.LoadLeaf(node.ClientDir(b.Dir, client))
	if err != nil {
		return nil, err
	}
	creds := mtls.LocalClient(leaf, mtls.Own(Federation, b.ID, b.pool()), b.ID, mtls.Options{Now: b.Clock.Now})
	return grpc.NewClient("passthrough:///"+b.Config.LocalListen, creds.DialOptions()...)
}

// DialLocal connects to the own local listener with an identity that init left.
func (b *Bureau) DialLocal(client string) *grpc.ClientConn {
	b.t.Helper()
	conn, err := b.dialLocal(client)
	if err != nil {
		b.t.Fatalf("%s: %v", b.ID, err)
	}
	b.conns = append(b.conns, conn)
	return conn
}

// Officer is the connection of the first officer to the local listener.
func (b *Bureau) Officer() *grpc.ClientConn { return b.officer }

// Operator is the connection of the first operator to the local listener.
func (b *Bureau) Operator() *grpc.ClientConn { return b.operator }

// Admin is the operator's service.
func (b *Bureau) Admin() adminv1.AdminServiceClient { return adminv1.NewAdminServiceClient(b.operator) }

// Records is the operator's way to the own records.
func (b *Bureau) Records() recordv1.RecordServiceClient {
	return recordv1.NewRecordServiceClient(b.operator)
}

// Screening is the officer's service.
func (b *Bureau) Screening() screeningv1.ScreeningServiceClient {
	return screeningv1.NewScreeningServiceClient(b.officer)
}

// Check makes a check as the officer, for border control where the request says no purpose.
func (b *Bureau) Check(req *screeningv1.CheckRequest) *screeningv1.CheckResponse {
	b.t.Helper()
	if req.GetJustification() == nil {
		req.Justification = &queryv1.Justification{Purpose: Border}
	}
	resp, err := b.Screening().Check(b.t.Context(), req)
	if err != nil {
		b.t.Fatalf("%s: check: %v", b.ID, err)
	}
	return resp
}

// CheckBatch makes many checks as the officer, and returns the answers by their references,
// which it sets to the index where they are empty.
func (b *Bureau) CheckBatch(reqs []*screeningv1.CheckRequest) map[string]*screeningv1.CheckResponse {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	stream, err := b.Screening().CheckBatch(ctx)
	if err != nil {
		b.t.Fatalf("%s: batch: %v", b.ID, err)
	}
	go func() {
		for i, r := range reqs {
			if r.GetReference() == "" {
				r.Reference = fmt.Sprint(i)
			}
			if r.GetJustification() == nil {
				r.Justification = &queryv1.Justification{Purpose: Border}
			}
			if stream.Send(&screeningv1.CheckBatchRequest{Check: r}) != nil {
				return // the reason comes with Recv
			}
		}
		_ = stream.CloseSend()
	}()
	answers := make(map[string]*screeningv1.CheckResponse, len(reqs))
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return answers
		}
		if err != nil {
			b.t.Fatalf("%s: batch: %v", b.ID, err)
		}
		if f := resp.GetFailure(); f != nil {
			b.t.Fatalf("%s: check %s was not made: %s %s", b.ID, f.GetReference(), f.GetReason(), f.GetMessage())
		}
		answers[resp.GetResponse().GetReference()] = resp.GetResponse()
	}
}

// Import has the operator import a file, told to all whom policy permits, and returns the report.
func (b *Bureau) Import(collection, format string, file io.Reader) *recordv1.ImportReport {
	b.t.Helper()
	report, err := b.TryImport(&recordv1.ImportHeader{
		Collection: collection, Format: format, Source: "scene",
		Audience: &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED},
	}, file)
	if err != nil {
		b.t.Fatalf("%s: import: %v", b.ID, err)
	}
	return report
}

// TryImport is Import with a header of the caller's, and its error.
func (b *Bureau) TryImport(h *recordv1.ImportHeader, file io.Reader) (*recordv1.ImportReport, error) {
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	stream, err := b.Records().Import(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&recordv1.ImportRequest{Part: &recordv1.ImportRequest_Header{Header: h}})
	for buf := make([]byte, 256<<10); err == nil; {
		n, rerr := file.Read(buf)
		if n > 0 {
			err = stream.Send(&recordv1.ImportRequest{Part: &recordv1.ImportRequest_Chunk{Chunk: buf[:n]}})
		}
		if errors.Is(rerr, io.EOF) {
			break
		}
		if rerr != nil {
			return nil, rerr
		}
	}
	if err != nil && !errors.Is(err, io.EOF) { // of a stream that has ended, Recv has the reason
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	var report *recordv1.ImportReport
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return report, nil
		}
		if err != nil {
			return report, err
		}
		if r := resp.GetReport(); r != nil {
			report = r
		}
	}
}

// Create has the operator enter records one by one.
func (b *Bureau) Create(records ...*recordv1.Record) {
	b.t.Helper()
	for _, r := range records {
		if _, err := b.Records().Create(b.t.Context(), &recordv1.CreateRequest{Record: r}); err != nil {
			b.t.Fatalf("%s: create %s: %v", b.ID, r.GetRecordId(), err)
		}
	}
}

// Generous gives another bureau quotas that no test's questions use up.
func (b *Bureau) Generous(to ...identity.Bureau) {
	b.t.Helper()
	for _, other := range to {
		_, err := b.Admin().SetQuota(b.t.Context(), &adminv1.SetQuotaRequest{Quota: &adminv1.Quota{
			Scope: adminv1.QuotaScope_QUOTA_SCOPE_BUREAU, Name: string(other),
			PerSecond: 1e6, Burst: 1e6, SubjectsPerDay: 1e9, PositivesPerDay: 1e9,
		}})
		if err != nil {
			b.t.Fatalf("%s: quota of %s: %v", b.ID, other, err)
		}
	}
}

// Permit writes a permit and puts it in force. Self and mode need not be given.
func (b *Bureau) Permit(o PermitOptions) {
	b.t.Helper()
	o.Self = b.ID
	if _, _, err := policies.WritePermit(node.PoliciesDir(b.Dir), o); err != nil {
		b.t.Fatalf("%s: permit: %v", b.ID, err)
	}
	b.Reload()
}

// Policy writes a file of policies of its own and puts it in force; an empty text removes it.
func (b *Bureau) Policy(name, cedar string) {
	b.t.Helper()
	path := filepath.Join(node.PoliciesDir(b.Dir), name)
	var err error
	if cedar == "" {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, []byte(cedar), 0o644)
	}
	if err != nil {
		b.t.Fatalf("%s: policy: %v", b.ID, err)
	}
	b.Reload()
}

// Reload puts the policy folder in force, if the node runs.
func (b *Bureau) Reload() {
	b.t.Helper()
	if b.Node == nil {
		return
	}
	if _, err := b.Admin().ReloadPolicy(b.t.Context(), &adminv1.ReloadPolicyRequest{}); err != nil {
		b.t.Fatalf("%s: reload: %v", b.ID, err)
	}
}

// Peer is how another bureau is seen from here.
func (b *Bureau) Peer(other identity.Bureau) *adminv1.Peer {
	b.t.Helper()
	resp, err := b.Admin().ListPeers(b.t.Context(), &adminv1.ListPeersRequest{})
	if err != nil {
		b.t.Fatalf("%s: peers: %v", b.ID, err)
	}
	for _, p := range resp.GetPeers() {
		if p.GetBureau() == string(other) {
			return p
		}
	}
	return nil
}

// Connected tells whether the connection to another bureau stands.
func (b *Bureau) Connected(other identity.Bureau) bool {
	b.t.Helper()
	return b.Peer(other).GetState() == adminv1.PeerState_PEER_STATE_CONNECTED
}

// Offers is what another bureau offers, as it was heard here.
func (b *Bureau) Offers(other identity.Bureau) []*Offer {
	b.t.Helper()
	return b.Peer(other).GetOffers()
}

// Join is the bureau's wish to be in a roster, at the address of its tap. It is node.JoinRequest
// without its second and third unsealing of the governance key, which cost a test half a second.
func (b *Bureau) Join() *signedv1.Signed {
	b.t.Helper()
	root, err := node.ReadRoot(b.Dir)
	if err != nil {
		b.t.Fatalf("%s: join request: %v", b.ID, err)
	}
	join, err := roster.NewJoinRequest(Federation, &rosterv1.Bureau{
		Bureau: string(b.ID), Address: b.Config.Advertise, CaRoots: [][]byte{root.Raw},
		Keys: []*rosterv1.Key{
			{Usage: rosterv1.KeyUsage_KEY_USAGE_MESSAGE, Algorithm: "ed25519", Key: public(b.key("message"))},
			{Usage: rosterv1.KeyUsage_KEY_USAGE_LOG, Algorithm: "ed25519", Key: public(b.key("log"))},
			{Usage: rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE, Algorithm: "ed25519", Key: b.governor.PublicKey().Key},
		},
	}, b.Clock.Now(), b.governor)
	if err != nil {
		b.t.Fatalf("%s: join request: %v", b.ID, err)
	}
	return join
}

// Book opens the bureau's book of rosters, beside the node.
func (b *Bureau) Book() *roster.Book {
	b.t.Helper()
	book, err := roster.OpenBook(node.RosterDir(b.Dir), Federation, b.ID, b.Clock.Now)
	if err != nil {
		b.t.Fatalf("%s: roster: %v", b.ID, err)
	}
	return book
}

// InstallOffline installs a roster in the folder, as is done before the node first runs.
func (b *Bureau) InstallOffline(signed *signedv1.Signed) {
	b.t.Helper()
	if _, err := b.Book().Install(signed, roster.InstallOptions{TrustFirstUse: true}); err != nil {
		b.t.Fatalf("%s: install the roster: %v", b.ID, err)
	}
}

// Install installs a roster through the running node.
func (b *Bureau) Install(signed *signedv1.Signed) error {
	_, err := b.Admin().InstallRoster(b.t.Context(), &adminv1.InstallRosterRequest{Roster: signed})
	return err
}

// RosterVersion is the version that the running node has installed.
func (b *Bureau) RosterVersion() uint64 {
	b.t.Helper()
	resp, err := b.Admin().GetStatus(b.t.Context(), &adminv1.GetStatusRequest{})
	if err != nil {
		b.t.Fatalf("%s: status: %v", b.ID, err)
	}
	return resp.GetRosterVersion()
}

package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/policies"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	"github.com/entente-mesh/entente/pki/roster"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// The bureaus: one that deals with nobody, one that asks, three that answer.
const (
	home   identity.Bureau = "GRC"
	asker  identity.Bureau = "BGR"
	spain  identity.Bureau = "ESP"
	belg   identity.Bureau = "BEL"
	mortal identity.Bureau = "LBN" // dies on the way
)

const (
	benchFederation = identity.Federation("bench.entente")
	rosterLife      = 365 * 24 * time.Hour
	patience        = 60 * time.Second
)

// The asker's treaties differ by purpose, so that one federation serves all rows: with each
// purpose it asks other bureaus.
const (
	forOne   = recordv1.Purpose_PURPOSE_BORDER_CONTROL // Spain
	forTwo   = recordv1.Purpose_PURPOSE_VISA           // Spain and Belgium
	forThree = recordv1.Purpose_PURPOSE_POLICE_CHECK   // Spain, Belgium and Lebanon
)

func (m *mesh) treaties() map[identity.Bureau][]recordv1.Purpose {
	all := map[identity.Bureau][]recordv1.Purpose{
		spain:  {forOne, forTwo, forThree},
		belg:   {forTwo, forThree},
		mortal: {forThree},
	}
	maps.DeleteFunc(all, func(id identity.Bureau, _ []recordv1.Purpose) bool { return !m.has(id) })
	return all
}

// bureau is one bureau with its node in this process.
type bureau struct {
	id      identity.Bureau
	dir     string
	result  *node.InitResult
	secret  []byte
	node    *node.Node
	officer *grpc.ClientConn
	desk    *grpc.ClientConn // the operator's
	syncs   atomic.Int64     // of the books' journal, so far
}

// counts counts what the journal does.
func (b *bureau) counts(point string) error {
	if point == syncPoint {
		b.syncs.Add(1)
	}
	return nil
}

// mesh is the federation that is measured.
type mesh struct {
	bureaus  []*bureau
	unbooked bool // their gates write no books
}

func (m *mesh) has(id identity.Bureau) bool {
	return slices.ContainsFunc(m.bureaus, func(b *bureau) bool { return b.id == id })
}

func (m *mesh) at(id identity.Bureau) *bureau {
	for _, b := range m.bureaus {
		if b.id == id {
			return b
		}
	}
	panic("bench: no bureau " + string(id))
}

// newMesh makes bureaus, their roster and their treaties, starts their nodes, and returns when
// those who deal with each other have met. The asker must be the last: whom it dials then is there.
func newMesh(ctx context.Context, dir string, unbooked bool, ids ...identity.Bureau) (m *mesh, err error) {
	m = &mesh{unbooked: unbooked}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	for _, id := range ids {
		b := &bureau{id: id, dir: filepath.Join(dir, strings.ToLower(string(id)))}
		m.bureaus = append(m.bureaus, b)
		b.result, err = node.Init(ctx, node.InitOptions{
			Dir: b.dir, Bureau: id, Federation: benchFederation,
			OfficerPurposes: []recordv1.Purpose{forOne, forTwo, forThree},
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		secret, err := os.ReadFile(b.result.PassphraseFile)
		if err != nil {
			return nil, err
		}
		b.secret = []byte(strings.TrimSpace(string(secret)))
	}
	if err := m.form(); err != nil {
		return nil, err
	}
	for other, purposes := range m.treaties() {
		for self, with := range map[identity.Bureau]identity.Bureau{asker: other, other: asker} {
			_, _, err := policies.WritePermit(node.PoliciesDir(m.at(self).dir), policy.PermitOptions{
				Self: self, Bureau: string(with), Collection: policy.CollectionPersons, Mode: policy.ModeAsk, Purposes: purposes,
			})
			if err != nil {
				return nil, err
			}
		}
	}
	for _, b := range m.bureaus {
		if err := b.start(ctx, unbooked); err != nil {
			return nil, fmt.Errorf("%s: %w", b.id, err)
		}
	}
	for _, b := range m.bureaus {
		if err := b.beGenerous(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", b.id, err)
		}
	}
	return m, m.meet(ctx)
}

// unbound is a quota that no measurement reaches: what the limits cost is measured, where they
// cut is not.
func unbound(scope adminv1.QuotaScope) *adminv1.Quota {
	return &adminv1.Quota{Scope: scope, PerSecond: 1e6, Burst: 1e6, SubjectsPerDay: 1 << 40, PositivesPerDay: 1 << 40}
}

// beGenerous lifts what others and the own agencies may ask.
func (b *bureau) beGenerous(ctx context.Context) error {
	for _, scope := range []adminv1.QuotaScope{adminv1.QuotaScope_QUOTA_SCOPE_BUREAU, adminv1.QuotaScope_QUOTA_SCOPE_AGENCY} {
		if _, err := adminv1.NewAdminServiceClient(b.desk).SetQuota(ctx, &adminv1.SetQuotaRequest{Quota: unbound(scope)}); err != nil {
			return fmt.Errorf("its quotas: %w", err)
		}
	}
	return nil
}

// form makes the first roster: all ask to join, all sign, all install.
func (m *mesh) form() error {
	now := time.Now()
	var joins []*signedv1.Signed
	for _, b := range m.bureaus {
		join, _, err := node.JoinRequest(b.result.Config, b.result.Governance, b.secret, now)
		if err != nil {
			return fmt.Errorf("%s: %w", b.id, err)
		}
		joins = append(joins, join)
	}
	draft, err := roster.Found(benchFederation, roster.DefaultThreshold(len(joins)), joins, now, rosterLife)
	if err != nil {
		return err
	}
	payload, err := roster.MarshalDraft(draft)
	if err != nil {
		return err
	}
	var signatures []*signedv1.Signature
	for _, b := range m.bureaus {
		governor, err := node.Governor(b.result.Config, b.result.Governance, b.secret)
		if err != nil {
			return err
		}
		signature, err := governor.Roster(payload)
		if err != nil {
			return err
		}
		signatures = append(signatures, signature)
	}
	signed, err := roster.Merge(payload, signatures...)
	if err != nil {
		return err
	}
	for _, b := range m.bureaus {
		book, err := roster.OpenBook(node.RosterDir(b.dir), benchFederation, b.id, nil)
		if err != nil {
			return err
		}
		if _, err := book.Install(signed, roster.InstallOptions{Fingerprint: roster.Fingerprint(payload)}); err != nil {
			return fmt.Errorf("%s: %w", b.id, err)
		}
	}
	return nil
}

func (b *bureau) start(ctx context.Context, unbooked bool) error {
	n, err := node.New(ctx, b.result.Config, node.Options{Version: "bench", Unbooked: unbooked, Fail: b.counts})
	if err != nil {
		return err
	}
	b.node = n
	if err := n.Start(ctx); err != nil {
		return err
	}
	if b.officer, err = b.dial(node.OfficerClient); err != nil {
		return err
	}
	b.desk, err = b.dial(node.OperatorClient)
	return err
}

// own is what the bureau's own people trust.
func (b *bureau) own() (mtls.Trust, error) {
	root, err := node.ReadRoot(b.dir)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	return mtls.Own(benchFederation, b.id, pool), nil
}

// dial connects to the local listener, as the command line does.
func (b *bureau) dial(client string) (*grpc.ClientConn, error) {
	trust, err := b.own()
	if err != nil {
		return nil, err
	}
	leaf, err := mtls.LoadLeaf(node.ClientDir(b.dir, client))
	if err != nil {
		return nil, err
	}
	creds := mtls.LocalClient(leaf, trust, b.id, mtls.Options{})
	return grpc.NewClient("passthrough:///"+b.result.Config.LocalListen, creds.DialOptions()...)
}

// meet waits until the asker has heard the offers of all with whom it has treaties.
func (m *mesh) meet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		response, err := adminv1.NewAdminServiceClient(m.at(asker).desk).ListPeers(ctx, &adminv1.ListPeersRequest{})
		if err != nil {
			return fmt.Errorf("the bureaus did not meet: %w", err)
		}
		met := 0
		for _, p := range response.GetPeers() {
			for _, o := range p.GetOffers() {
				if o.GetCollection() == policy.CollectionPersons && p.GetState() == adminv1.PeerState_PEER_STATE_CONNECTED {
					met++
					break
				}
			}
		}
		if met == len(m.treaties()) {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("the bureaus did not meet: %w", err)
		}
	}
}

// pause lets time pass.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// stop ends one bureau's node.
func (b *bureau) stop() error {
	var errs []error
	for _, conn := range []*grpc.ClientConn{b.officer, b.desk} {
		if conn != nil {
			errs = append(errs, conn.Close())
		}
	}
	b.officer, b.desk = nil, nil
	if b.node != nil {
		errs = append(errs, b.node.Stop())
	}
	b.node = nil
	return errors.Join(errs...)
}

func (m *mesh) close() error {
	var errs []error
	for _, b := range m.bureaus {
		errs = append(errs, b.stop())
	}
	return errors.Join(errs...)
}

package node

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/node/api"
	"github.com/entente-mesh/entente/node/records"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

func (n *Node) newLocal(context.Context) error {
	pool := x509.NewCertPool()
	pool.AddCert(n.authority.Root())
	own := mtls.Own(n.cfg.Federation, n.cfg.Bureau, pool)
	options := n.tlsOptions()
	options.Revoked = func(leaf *x509.Certificate) bool { return n.authority.Revoked(leaf) || n.register.Revoked(leaf) }
	second := seconds{n}
	books := scribe{n.gate}
	srv, err := api.NewServer(api.Config{
		Creds:     mtls.LocalServer(n.leaf, own, n.cfg.Bureau, options),
		Gate:      n.gate,
		Screening: api.NewScreeningService(countedChecks{n.screening, n}).LogTo(n.log).LimitBy(n.limits).NarrowBy(n.register.Narrow),
		Limiter:   n.limits,
		Records: api.NewRecordService(n.rest.store, n.importer, n.layout.spool(), api.ActsConfig{
			Self: string(n.cfg.Bureau), Eraser: eraser{n}, Second: second, Mass: second, Scribe: books,
		}),
		Audit: api.NewAuditService(api.AuditConfig{Self: n.cfg.Bureau, Books: reading{n}, Second: second, Scribe: books}),
		Admin: api.NewAdminService(api.AdminConfig{
			Fixed: &adminv1.GetStatusResponse{
				Bureau: string(n.cfg.Bureau), Replica: n.cfg.Replica, Federation: string(n.cfg.Federation), Version: n.opts.Version,
				StartedAt: timestamppb.New(n.began), MeshListen: n.cfg.MeshListen, LocalListen: n.cfg.LocalListen, Advertise: n.cfg.Advertise,
			},
			Collections:         n.collections,
			CertificateNotAfter: func() time.Time { return n.leaf.X509().NotAfter },
			PolicyVersion:       func() (string, int) { s := n.policy.Set(); return s.Version(), s.Len() },
			Rosters:             watchedRosters{n.book, n},
			Peers:               peersView{n},
			Policy:              n,
			Alarms:              n.alarms,
			Quotas:              n.limits,
			Point:               n.point,
			BooksStatus:         n.booksStatus,
			Acts:                n.desk,
			Second:              second,
			Scribe:              books,
			Now:                 n.now,
		}),
		Enrolment: api.NewEnrolmentService(api.EnrolmentConfig{
			Federation: n.cfg.Federation, Bureau: n.cfg.Bureau, Issuer: n.authority, Register: n.register, Connections: n.connections,
			Second: second, Scribe: books,
		}),
		Logger: n.log,
	})
	n.local = srv
	return err
}

func (n *Node) collections(ctx context.Context) ([]*adminv1.CollectionStatus, error) {
	var all []*adminv1.CollectionStatus
	for _, c := range []string{records.Documents, records.Persons} {
		count, err := n.rest.store.Count(ctx, c)
		if err != nil {
			return nil, err
		}
		all = append(all, &adminv1.CollectionStatus{Collection: c, Records: count})
	}
	return all, nil
}

// peersView is what the operator sees of the other bureaus.
type peersView struct{ n *Node }

// Snapshot implements api.Peers.
func (p peersView) Snapshot() []*adminv1.Peer { return p.n.pool.Peers() }

// CloseBureau implements api.Peers.
func (p peersView) CloseBureau(b identity.Bureau) int { return p.n.connections.CloseBureau(b) }

// Gossip implements api.Peers.
func (p peersView) Gossip(b identity.Bureau) string {
	if p.n.members == nil {
		return ""
	}
	return p.n.members.Hint(b)
}

// Permitted implements api.Peers.
func (p peersView) Permitted(b identity.Bureau) []*adminv1.PermittedAsk {
	return p.n.policy.Set().Permitted(p.n.cfg.Bureau, b, p.n.now())
}

// ReadRoot reads the root certificate of the node in dir.
func ReadRoot(dir string) (*x509.Certificate, error) {
	path := layout{dir}.rootCert()
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s: not a PEM certificate: restore it from the backup", path)
	}
	return x509.ParseCertificate(block.Bytes)
}

func logLevel(name string) (slog.Level, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.ToUpper(name))); err != nil {
		return 0, fmt.Errorf("log_level %q: write debug, info, warn or error", name)
	}
	return level, nil
}

// Level is the configured level of the log.
func (c *Config) Level() slog.Level {
	level, _ := logLevel(c.LogLevel) // Validate has refused what is none
	return level
}

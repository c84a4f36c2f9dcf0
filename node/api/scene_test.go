package api_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/api"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/records"
	"github.com/entente-mesh/entente/node/store"
	"github.com/entente-mesh/entente/pki/authority"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	"github.com/entente-mesh/entente/pki/roster"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

func TestMain(m *testing.M) {
	// The authority's log library flushes for as long as the process lives.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

const (
	bel    identity.Bureau     = "BEL"
	fed    identity.Federation = "demo.entente"
	border                     = recordv1.Purpose_PURPOSE_BORDER_CONTROL
)

// checker does what the scene says.
type checker struct {
	check func(ctx context.Context, client identity.Identity, req *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error)
}

func (c *checker) Check(ctx context.Context, client identity.Identity, req *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
	return c.check(ctx, client, req)
}

type books struct {
	mu       sync.Mutex
	passages []gate.Passage
}

func (b *books) Record(_ context.Context, p gate.Passage) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.passages = append(b.passages, p)
	return nil
}

// operator's view of a bureau without a roster.
type rosters struct{ api.Rosters }

func (rosters) Current() *roster.View { return nil }
func (rosters) Install(*signedv1.Signed, roster.InstallOptions) (*roster.View, error) {
	return nil, roster.ErrRollback
}
func (rosters) Distrusted(identity.Bureau) (string, time.Time, bool) { return "", time.Time{}, false }

type peers struct{ api.Peers }

func (peers) Snapshot() []*adminv1.Peer { return nil }

type policies struct{}

func (policies) Reload() (string, int, error) {
	return "", 0, errors.New("check.cedar:3: not a policy")
}

// log keeps what is logged.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// house is Belgium's local listener: real TLS by Belgium's own authority, real policies, a real
// store.
type house struct {
	authority *authority.Authority
	store     *store.Store
	books     *books
	checker   *checker
	spool     string
	log       *log
	listener  *bufconn.Listener
	own       mtls.Trust
	importer  *records.Importer
}

func belgium(t *testing.T) *house {
	t.Helper()
	dir := t.TempDir()
	if err := authority.Create(t.Context(), authority.CreateOptions{
		Dir: filepath.Join(dir, "ca"), OfflineDir: filepath.Join(dir, "offline"), Bureau: bel, Federation: fed, Passphrase: []byte("a long passphrase"),
	}); err != nil {
		t.Fatal(err)
	}
	ca, err := authority.Open(t.Context(), authority.Options{Dir: filepath.Join(dir, "ca"), Bureau: bel, Federation: fed})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{authority: ca, books: &books{}, checker: &checker{}, spool: t.TempDir(), log: &log{}, listener: bufconn.Listen(1 << 20)}
	if h.store, err = store.Open(t.Context(), store.Config{Path: filepath.Join(dir, "store.db"), DocumentKey: match.DocumentKey}); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Root())
	h.own = mtls.Own(fed, bel, pool)
	logger := slog.New(slog.NewTextHandler(h.log, nil))
	fitter, err := records.NewFitter(bel)
	if err != nil {
		t.Fatal(err)
	}
	h.importer = &records.Importer{Store: h.store, Fitter: fitter}
	srv, err := api.NewServer(api.Config{
		Creds:     mtls.LocalServer(h.leaf(t, identity.Node(fed, bel, "node-1")), h.own, bel, mtls.Options{}),
		Gate:      h.gate(t),
		Screening: api.NewScreeningService(h.checker).LogTo(logger),
		Records:   api.NewRecordService(h.store, h.importer, h.spool),
		Admin: api.NewAdminService(api.AdminConfig{
			Fixed:               &adminv1.GetStatusResponse{Bureau: string(bel)},
			Collections:         func(context.Context) ([]*adminv1.CollectionStatus, error) { return nil, nil },
			CertificateNotAfter: func() time.Time { return time.Now().Add(time.Hour) },
			PolicyVersion:       func() (string, int) { return "v", 1 },
			Rosters:             rosters{}, Peers: peers{}, Policy: policies{},
		}),
		Enrolment: api.NewEnrolmentService(ca),
		Logger:    logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(h.listener) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := errors.Join(<-served, h.store.Close(), ca.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *house) gate(t *testing.T) *gate.Gate {
	t.Helper()
	files, err := policy.Defaults(bel, fed)
	if err != nil {
		t.Fatal(err)
	}
	folder := fstest.MapFS{}
	for name, text := range files {
		folder[name] = &fstest.MapFile{Data: text}
	}
	set, err := policy.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	return gate.New(gate.Config{Self: bel, Federation: fed, Policy: func() *policy.Set { return set }, Books: h.books})
}

func (h *house) leaf(t *testing.T, id identity.Identity) *mtls.Leaf {
	t.Helper()
	key, csr, err := mtls.NewRequest(id)
	if err != nil {
		t.Fatal(err)
	}
	var chain []*x509.Certificate
	if id.Kind == identity.KindNode {
		chain, err = h.authority.IssueNode(t.Context(), id.Replica, csr)
	} else {
		chain, err = h.authority.IssueClient(t.Context(), id, csr)
	}
	if err != nil {
		t.Fatal(err)
	}
	cert := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	return mtls.NewLeaf(cert)
}

func client(role identity.Role) identity.Identity {
	return identity.Client(fed, bel, "federal-police", role, "someone", []recordv1.Purpose{border})
}

// as dials the listener with a client's certificate.
func (h *house) as(t *testing.T, id identity.Identity) *grpc.ClientConn {
	t.Helper()
	return h.dial(t, mtls.LocalClient(h.leaf(t, id), h.own, bel, mtls.Options{}).DialOptions()...)
}

func (h *house) dial(t *testing.T, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	if len(options) == 0 {
		options = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	}
	conn, err := grpc.NewClient("passthrough:///node", append(options,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return h.listener.DialContext(ctx) }))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

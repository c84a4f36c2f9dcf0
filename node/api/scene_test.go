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
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/alarms"
	"github.com/entente-mesh/entente/node/api"
	"github.com/entente-mesh/entente/node/dualcontrol"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/limits"
	"github.com/entente-mesh/entente/node/records"
	"github.com/entente-mesh/entente/node/register"
	"github.com/entente-mesh/entente/node/screening"
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

// books are the journal, and what was written into it in this scene.
type books struct {
	*journal.Journal
	mu       sync.Mutex
	passages []journal.Passage
}

func (b *books) Record(ctx context.Context, passages ...journal.Passage) error {
	if err := b.Journal.Record(ctx, passages...); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.passages = append(b.passages, passages...)
	return nil
}

func (b *books) written() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.passages)
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

// folder is the policy folder: a version, or nothing that is whole.
type folder struct {
	mu      sync.Mutex
	version string // what lies in it; empty: not a policy
	inForce string
}

func (f *folder) put(version string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version = version
}

func (f *folder) current() (string, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inForce, 1
}

func (f *folder) Read() (api.PolicyCandidate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.version == "" {
		return nil, errors.New("check.cedar:3: not a policy")
	}
	return candidate{f, f.version}, nil
}

type candidate struct {
	folder  *folder
	version string
}

func (c candidate) Version() string { return c.version }
func (c candidate) Apply(context.Context) (int, error) {
	c.folder.mu.Lock()
	defer c.folder.mu.Unlock()
	c.folder.inForce = c.version
	return 1, nil
}

// state is the durable state: what is in it has been written.
type state struct {
	mu   sync.Mutex
	rows map[string][]byte
}

func (s *state) PutState(_ context.Context, room, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[room+"/"+key] = bytes.Clone(value)
	return nil
}

func (s *state) DeleteState(_ context.Context, room, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rows, room+"/"+key)
	return nil
}

func (s *state) ListState(_ context.Context, room string) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]byte{}
	for key, value := range s.rows {
		if rest, ok := strings.CutPrefix(key, room+"/"); ok {
			all[rest] = bytes.Clone(value)
		}
	}
	return all, nil
}

// scribe keeps what the operations did.
type scribe struct {
	mu     sync.Mutex
	acts   []api.Act
	broken error
}

func (s *scribe) last(t *testing.T) api.Act {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.acts) == 0 {
		t.Fatal("nothing was done by the books")
	}
	return s.acts[len(s.acts)-1]
}

// breaks has the books fail, or not any more.
func (s *scribe) breaks(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

func (s *scribe) Did(_ context.Context, _ identity.Identity, act api.Act) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.acts = append(s.acts, act)
	}
	return s.broken
}

// certifier is the bureau's authority. The scene may step in between the making of a renewed
// certificate and its handing over.
type certifier struct {
	*authority.Authority
	renewed func()
}

func (i *certifier) RenewClient(ctx context.Context, old *x509.Certificate, csr []byte) ([]*x509.Certificate, error) {
	chain, err := i.Authority.RenewClient(ctx, old, csr)
	if i.renewed != nil {
		i.renewed()
	}
	return chain, err
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
	// Who the own people are, and what needs two of them.
	register    *register.Register
	desk        *dualcontrol.Desk
	scribe      *scribe
	issuer      *certifier
	connections *mtls.Connections
	methods     []string // that the listener serves
	// What may be asked, and what somebody must look into.
	limits *limits.Limits
	alarms *alarms.Alarms
	point  *screening.Point
	folder *folder
}

// belgium opens the house. Operations are those that need two persons; erasing and unmasking do
// where none are named.
func belgium(t *testing.T, operations ...string) *house {
	t.Helper()
	if operations == nil {
		operations = dualcontrol.Defaults()
	}
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
	h := &house{authority: ca, checker: &checker{}, spool: t.TempDir(), log: &log{}, listener: bufconn.Listen(1 << 20),
		folder: &folder{inForce: "the first version"}}
	h.keep(t, dir)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Root())
	h.own = mtls.Own(fed, bel, pool)
	logger := slog.New(slog.NewTextHandler(h.log, nil))
	fitter, err := records.NewFitter(bel)
	if err != nil {
		t.Fatal(err)
	}
	h.importer = &records.Importer{Store: h.store, Fitter: fitter, IDKey: someKey(4)}
	h.people(t, operations)
	h.count(t)
	if h.point, err = screening.OpenPoint(t.Context(), screening.NewHoldings(bel, h.store, nil, logger), h.store); err != nil {
		t.Fatal(err)
	}
	second := dualcontrol.Requests{Desk: h.desk}
	srv, err := api.NewServer(api.Config{
		Creds: mtls.LocalServer(h.leaf(t, identity.Node(fed, bel, "node-1")), h.own, bel, mtls.Options{
			Connections: h.connections, Revoked: func(leaf *x509.Certificate) bool { return ca.Revoked(leaf) || h.register.Revoked(leaf) },
		}),
		Gate:      h.gate(t),
		Limiter:   h.limits,
		Screening: api.NewScreeningService(h.checker).LogTo(logger).LimitBy(h.limits).NarrowBy(h.register.Narrow),
		Records: api.NewRecordService(h.store, h.importer, h.spool, api.ActsConfig{
			Self: string(bel), Eraser: eraser{h}, Second: second, Mass: h.desk, Scribe: h.scribe,
		}),
		Audit: api.NewAuditService(api.AuditConfig{Books: library{h.books.Journal}, Second: second, Scribe: h.scribe}),
		Admin: api.NewAdminService(api.AdminConfig{
			Fixed:               &adminv1.GetStatusResponse{Bureau: string(bel)},
			Collections:         func(context.Context) ([]*adminv1.CollectionStatus, error) { return nil, nil },
			CertificateNotAfter: func() time.Time { return time.Now().Add(time.Hour) },
			PolicyVersion:       h.folder.current,
			Rosters:             rosters{}, Peers: peers{}, Policy: h.folder, Acts: h.desk, Second: second, Scribe: h.scribe,
			Alarms: h.alarms, Quotas: h.limits, Point: h.point, BooksStatus: func() *adminv1.BooksStatus { return &adminv1.BooksStatus{Leaves: h.books.Leaves()} },
		}),
		Enrolment: api.NewEnrolmentService(api.EnrolmentConfig{
			Federation: fed, Bureau: bel, Issuer: h.issuer, Register: h.register, Connections: h.connections,
			Second: second, Scribe: h.scribe,
		}),
		Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	for service, info := range srv.GetServiceInfo() {
		for _, m := range info.Methods {
			h.methods = append(h.methods, "/"+service+"/"+m.Name)
		}
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(h.listener) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := errors.Join(<-served, ca.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

// people opens the register and the desk.
func (h *house) people(t *testing.T, operations []string) {
	t.Helper()
	kept := &state{rows: map[string][]byte{}}
	h.scribe, h.issuer, h.connections = &scribe{}, &certifier{Authority: h.authority}, &mtls.Connections{}
	var err error
	h.register, err = register.Open(t.Context(), register.Config{
		Federation: fed, Bureau: bel, State: kept, Key: someKey(7), Issued: h.authority,
	})
	if err != nil {
		t.Fatal(err)
	}
	set := h.policies(t)
	h.desk, err = dualcontrol.Open(t.Context(), dualcontrol.Config{
		Federation: fed, State: kept, Operations: operations, MassRows: massRows,
		May: func(_ context.Context, who identity.Identity, operation string) bool {
			return h.register.Admit(who) == nil && set.Administer(policy.AdministerFacts{Client: who, Operation: operation}).Allow
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) policies(t *testing.T) *policy.Set {
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
	return set
}

func (h *house) gate(t *testing.T) *gate.Gate {
	t.Helper()
	set := h.policies(t)
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

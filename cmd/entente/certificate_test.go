package main

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// clock is one that the test turns.
type clock struct{ at atomic.Int64 }

func clockAt(t time.Time) *clock {
	c := &clock{}
	c.set(t)
	return c
}

func (c *clock) set(t time.Time) { c.at.Store(t.UnixNano()) }
func (c *clock) now() time.Time  { return time.Unix(0, c.at.Load()).UTC() }

// began is when the bureaus of these tests were set up.
var began = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// bureau is BEL with its node in this process, so that the time is the test's.
type bureau struct {
	t      *testing.T
	dir    string
	clock  *clock // the node's
	client *clock // the command line's
	node   *node.Node
	log    *lockedBuffer
}

func newBureau(t *testing.T) *bureau {
	t.Helper()
	b := &bureau{t: t, dir: filepath.Join(t.TempDir(), "bel"), clock: clockAt(began), client: clockAt(began), log: &lockedBuffer{}}
	_, err := node.Init(t.Context(), node.InitOptions{Dir: b.dir, Bureau: "BEL", Federation: "demo.entente", Now: b.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	persons := filepath.Join(t.TempDir(), "persons.jsonl")
	if err := os.WriteFile(persons, []byte(personLine("bel:1", "Claessens", "Ruben", "1983-02-17")), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := b.entente("import", "--dir", b.dir, "--collection", "persons", "--format", "entente-json", persons); o.code != exitDone {
		t.Fatalf("import: %s%s", o.stdout, o.stderr)
	}
	t.Cleanup(b.stop)
	return b
}

// start starts the node at a moment, after a time in which it was off.
func (b *bureau) start(at time.Time) {
	b.t.Helper()
	b.stop()
	b.clock.set(at)
	b.client.set(at)
	cfg, err := node.LoadConfig(b.dir, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	n, err := node.New(b.t.Context(), cfg, node.Options{Version: "test", Now: b.clock.now, Logger: slog.New(slog.NewTextHandler(b.log, nil))})
	if err != nil {
		b.t.Fatal(err)
	}
	b.node = n
	if err := n.Start(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bureau) stop() {
	b.t.Helper()
	if b.node == nil {
		return
	}
	if err := b.node.Stop(); err != nil {
		b.t.Error(err)
	}
	b.node = nil
}

// entente runs the command line in this process, by the client's clock.
func (b *bureau) entente(args ...string) outcome {
	b.t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &stdout, err: &stderr, now: b.client.now, environ: func() []string { return nil }}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	code := exitDone
	if err := root.ExecuteContext(b.t.Context()); err != nil {
		code = exitFailed
		stderr.WriteString(sentence(err))
	}
	return outcome{code, stdout.String(), stderr.String()}
}

func (b *bureau) checkArgs(more ...string) []string {
	return append([]string{"check", "--purpose", "border-control", "--json", "--name", "Ruben Claessens", "--birth-date", "1983-02-17"}, more...)
}

// check makes a check, which must hit, and returns what was said beside it.
func (b *bureau) check(more ...string) (beside string) {
	b.t.Helper()
	o := b.entente(b.checkArgs(more...)...)
	if o.code != exitDone {
		b.t.Fatalf("on %s: %s", b.client.now().Format(time.DateOnly), o.stderr)
	}
	wantCame(b.t, jsonInto(b.t, o.stdout, &screeningv1.CheckResponse{}), "HIT: BEL=HIT; BEL/persons/bel:1")
	return o.stderr
}

// pair is a certificate and its key as they lie in two files.
type pair struct {
	certFile, keyFile string
	leaf              *x509.Certificate
	cert, key         string
}

func (b *bureau) pair(certFile, keyFile string) pair {
	b.t.Helper()
	p := pair{certFile: certFile, keyFile: keyFile}
	l, err := mtls.LoadPair(certFile, keyFile)
	if err != nil {
		b.t.Fatal(err)
	}
	p.leaf = l.X509()
	for file, to := range map[string]*string{certFile: &p.cert, keyFile: &p.key} {
		text, err := os.ReadFile(file)
		if err != nil {
			b.t.Fatal(err)
		}
		*to = string(text)
	}
	return p
}

func (b *bureau) officer() pair {
	b.t.Helper()
	dir := node.ClientDir(b.dir, node.OfficerClient)
	return b.pair(filepath.Join(dir, mtls.CertFile), filepath.Join(dir, mtls.KeyFile))
}

// connect connects as a client that does not renew itself.
func (b *bureau) connect(p pair) *grpc.ClientConn {
	b.t.Helper()
	leaf, err := mtls.LoadPair(p.certFile, p.keyFile)
	if err != nil {
		b.t.Fatal(err)
	}
	roots, err := rootsOf(leaf)
	if err != nil {
		b.t.Fatal(err)
	}
	creds := mtls.LocalClient(leaf, mtls.Own("demo.entente", "BEL", roots), "BEL", mtls.Options{Now: b.client.now})
	conn, err := grpc.NewClient("passthrough:///"+b.node.Config().LocalListen, creds.DialOptions()...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestClientRenewsItself lets the command line work for two months: a certificate that is due is
// replaced by one with a new key, in the same files, and one that has expired is not.
func TestClientRenewsItself(t *testing.T) {
	t.Parallel()
	b := newBureau(t)
	b.start(began)
	first := b.officer()
	b.check("--dir", b.dir)

	b.start(began.Add(17 * day))
	b.check("--dir", b.dir)
	if now := b.officer(); now.cert != first.cert || now.key != first.key {
		t.Error("renewed before it is due")
	}

	// An agency keeps a copy of the two files elsewhere.
	elsewhere := t.TempDir()
	theirs := []string{filepath.Join(elsewhere, "agency.pem"), filepath.Join(elsewhere, "agency.key")}
	for i, text := range []string{first.cert, first.key} {
		if err := os.WriteFile(theirs[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	b.start(began.Add(21 * day))
	if beside := b.check("--dir", b.dir); beside != "" {
		t.Errorf("renewed with %q", beside)
	}
	renewed := b.officer()
	wantRenewed(t, b, first, renewed)
	b.check("--dir", b.dir)
	if again := b.officer(); again.cert != renewed.cert || again.key != renewed.key {
		t.Error("renewed again although it is not due")
	}
	// The same with the three flags, and with the operator's.
	b.check("--node", b.node.Config().LocalListen, "--cert", theirs[0], "--key", theirs[1])
	wantRenewed(t, b, first, b.pair(theirs[0], theirs[1]))
	dir := node.ClientDir(b.dir, node.OperatorClient)
	operator := b.pair(filepath.Join(dir, mtls.CertFile), filepath.Join(dir, mtls.KeyFile))
	o := b.entente("status", "--dir", b.dir, "--json")
	if o.code != exitDone {
		t.Fatalf("status: %s", o.stderr)
	}
	// The node was off for longer than its own certificate's life, and has helped itself.
	s := jsonInto(t, o.stdout, &adminv1.GetStatusResponse{})
	if left := s.GetCertificateNotAfter().AsTime().Sub(b.clock.now()); left < 20*time.Hour || left > day {
		t.Errorf("the node's own certificate is good for %s", left)
	}
	wantRenewed(t, b, operator, b.pair(operator.certFile, operator.keyFile))

	// The renewed one is one like the first: it works after the first's end, and is renewed too.
	b.start(began.Add(35 * day))
	b.check("--dir", b.dir)
	b.start(began.Add(42 * day))
	b.check("--dir", b.dir)
	last := b.officer()
	wantRenewed(t, b, renewed, last)

	// Whoever was away for too long must be enrolled anew.
	b.start(last.leaf.NotAfter.Add(time.Minute))
	o = b.entente(b.checkArgs("--dir", b.dir)...)
	if o.code != exitFailed || o.stdout != "" || !strings.Contains(o.stderr, "expired on") || !strings.Contains(o.stderr, "enrol you again") {
		t.Errorf("with an expired certificate: %d %s%s", o.code, o.stdout, o.stderr)
	}
	if now := b.officer(); now.cert != last.cert || now.key != last.key {
		t.Error("an expired certificate was renewed")
	}
}

// wantRenewed checks that both files hold something new for the same client.
func wantRenewed(t *testing.T, b *bureau, old, now pair) {
	t.Helper()
	if old.cert == now.cert || old.key == now.key {
		t.Fatalf("%s: the certificate or its key is the old one", now.certFile)
	}
	was, err := identity.FromCertificate(old.leaf, "demo.entente")
	if err != nil {
		t.Fatal(err)
	}
	is, err := identity.FromCertificate(now.leaf, "demo.entente")
	if err != nil {
		t.Fatal(err)
	}
	if was.String() != is.String() || len(was.Purposes) != len(is.Purposes) {
		t.Errorf("%v became %v", was, is)
	}
	if want := b.clock.now().Add(30 * day); now.leaf.NotAfter.Sub(want).Abs() > time.Minute {
		t.Errorf("good until %s, want %s", now.leaf.NotAfter, want)
	}
	if info, err := os.Stat(now.keyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the new key: %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(now.certFile))
	if err != nil || len(entries) != 2 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
}

// TestExpiredClientIsRefused shows that the node itself refuses a certificate whose time is over:
// on a new connection, and on one that was open before.
func TestExpiredClientIsRefused(t *testing.T) {
	t.Parallel()
	b := newBureau(t)
	officer := b.officer()
	end := officer.leaf.NotAfter
	b.start(end.Add(-time.Minute))
	ask := func(conn *grpc.ClientConn) error {
		_, err := screeningv1.NewScreeningServiceClient(conn).Check(t.Context(), &screeningv1.CheckRequest{
			Person:        &queryv1.PersonQuery{Name: "Ruben Claessens", BirthDate: "1983-02-17"},
			Justification: &queryv1.Justification{Purpose: recordv1.Purpose_PURPOSE_BORDER_CONTROL},
		})
		return err
	}
	open := b.connect(officer)
	if err := ask(open); err != nil {
		t.Fatal(err)
	}

	b.clock.set(end.Add(time.Minute)) // the client's own clock is behind
	err := ask(open)
	if reason, _ := fault.ReasonOf(err); status.Code(err) != codes.Unauthenticated || reason != fault.CertificateExpired {
		t.Errorf("on an open connection: %v", err)
	}
	_, err = pkiv1.NewEnrolmentServiceClient(open).Renew(t.Context(), &pkiv1.RenewRequest{Csr: []byte("none")})
	if status.Code(err) != codes.Unauthenticated && status.Code(err) != codes.Unavailable {
		t.Errorf("an expired certificate asks to be renewed on an open connection: %v", err)
	}
	if err := ask(b.connect(officer)); status.Code(err) != codes.Unavailable {
		t.Errorf("on a new connection: %v", err)
	}
	if o := b.entente(b.checkArgs("--dir", b.dir)...); o.code != exitFailed || o.stdout != "" {
		t.Errorf("the command line, by a clock that is behind: %d %s%s", o.code, o.stdout, o.stderr)
	}
	if log := b.log.String(); !strings.Contains(log, "certificate refused") || !strings.Contains(log, "listener=local") {
		t.Errorf("the operator is not told:\n%s", log)
	}
}

package authority_test

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
)

func TestMain(m *testing.M) {
	// smallstep's CEL brings glog, which starts this one when it is imported, for good.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

// members trusts the roots of some bureaus, each for itself.
type members map[identity.Bureau]*x509.CertPool

func (m members) Federation() identity.Federation { return demo }

func (m members) Roots(b identity.Bureau) (*x509.CertPool, error) {
	if p, ok := m[b]; ok {
		return p, nil
	}
	return nil, errors.New("not a member")
}

// shake lets two ends meet, and returns what each thinks of the other.
func shake(t *testing.T, server, client *mtls.Credentials) (atServer, atClient error) {
	t.Helper()
	here, there := net.Pipe()
	done := make(chan error, 1)
	go func() {
		conn, _, err := server.ServerHandshake(there)
		if err == nil {
			_, err = conn.Write([]byte("x"))
		}
		done <- err
		_ = there.Close()
	}()
	conn, _, atClient := client.ClientHandshake(t.Context(), "", here)
	if atClient == nil {
		_, atClient = conn.Read(make([]byte, 1)) // in TLS 1.3 a refusal comes after the handshake
	}
	_ = here.Close()
	return <-done, atClient
}

// TestOwnLeavesPassWhereTheyBelong: what the authority issues fits the locks of mtls, each leaf
// its own and no other.
func TestOwnLeavesPassWhereTheyBelong(t *testing.T) {
	bel, esp := open(t, "BEL"), open(t, "ESP")
	trust := members{"BEL": bel.Pool(), "ESP": esp.Pool()}
	own := mtls.Own(demo, "BEL", bel.Pool())
	var o mtls.Options
	o.Now = func() time.Time { return noon }
	o.Revoked = bel.Revoked
	peer := mtls.Options{Now: o.Now}

	belNode, espNode := bel.node(t, "1"), esp.node(t, "1")
	belOfficer, espOfficer := bel.client(t, officer("BEL", "desk-4")), esp.client(t, officer("ESP", "desk-4"))
	mesh := mtls.MeshServer(belNode, trust, peer)
	local := mtls.LocalServer(belNode, own, "BEL", o)

	for _, tt := range []struct {
		name           string
		server, client *mtls.Credentials
		good           bool
	}{
		{"ESP's node at BEL's mesh listener", mesh, mtls.MeshClient(espNode, trust, "BEL", peer), true},
		{"BEL's officer at its local listener", local, mtls.LocalClient(belOfficer, own, "BEL", peer), true},
		{"BEL's officer at its mesh listener", mesh, mtls.LocalClient(belOfficer, own, "BEL", peer), false},
		{"BEL's node at its local listener", local, mtls.LocalClient(belNode, own, "BEL", peer), false},
		{"ESP's officer at BEL's local listener", local, mtls.MeshClient(espOfficer, trust, "BEL", peer), false},
		{"ESP's node at BEL's local listener", local, mtls.MeshClient(espNode, trust, "BEL", peer), false},
		{"ESP's node at BEL's, dialling LBN", mesh, mtls.MeshClient(espNode, trust, "LBN", peer), false},
	} {
		atServer, atClient := shake(t, tt.server, tt.client)
		if good := atServer == nil && atClient == nil; good != tt.good {
			t.Errorf("%s: server %v, client %v", tt.name, atServer, atClient)
		}
	}

	if err := bel.Revoke(t.Context(), belOfficer.X509().SerialNumber.String(), ""); err != nil {
		t.Fatal(err)
	}
	if atServer, _ := shake(t, local, mtls.LocalClient(belOfficer, own, "BEL", peer)); mtls.ReasonOf(atServer) != mtls.ReasonRevoked {
		t.Errorf("a revoked officer: %v", atServer)
	}
}

// TestNodeThatWasOffHelpsItself: its leaf has run out long ago; it gets a new one from its own
// authority and speaks again, without anybody's help.
func TestNodeThatWasOffHelpsItself(t *testing.T) {
	bel := open(t, "BEL")
	dir := filepath.Join(t.TempDir(), "leaf")
	id := identity.Node(demo, "BEL", "1")
	issue := func(ctx context.Context, csr []byte) ([]*x509.Certificate, error) {
		return bel.IssueNode(ctx, "1", csr)
	}

	first := &mtls.Renewer{Leaf: mtls.NewLeaf(nil), Identity: id, Issue: issue, Dir: dir, Now: bel.now}
	if err := first.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}

	bel.set(noon.AddDate(0, 0, 30))
	leaf, err := mtls.LoadLeaf(dir)
	if err != nil {
		t.Fatal(err)
	}
	v := mtls.MeshServer(leaf, members{"BEL": bel.Pool()}, mtls.Options{Now: bel.now}).Verifier()
	if _, err := v.Verify(chainOf(t, leaf)); mtls.ReasonOf(err) != mtls.ReasonExpired {
		t.Fatalf("the old leaf: %v", err)
	}
	again := &mtls.Renewer{Leaf: leaf, Identity: id, Dir: dir, Now: bel.now, Issue: issue}
	ctx, cancel := context.WithCancel(t.Context())
	// The log is the event to wait for: it is written when the new leaf is in use.
	again.Logger = slog.New(onRecord(func(r slog.Record) {
		if r.Message == "certificate renewed" {
			cancel()
		}
	}))
	if err := again.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := v.Verify(chainOf(t, leaf)); err != nil {
		t.Errorf("the new leaf: %v", err)
	}
	saved, err := mtls.LoadLeaf(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !saved.X509().Equal(leaf.X509()) {
		t.Error("what is used is not what is saved")
	}
}

// onRecord is a log handler that is a function.
type onRecord func(slog.Record)

func (f onRecord) Enabled(context.Context, slog.Level) bool { return true }
func (f onRecord) Handle(_ context.Context, r slog.Record) error {
	f(r)
	return nil
}
func (f onRecord) WithAttrs([]slog.Attr) slog.Handler { return f }
func (f onRecord) WithGroup(string) slog.Handler      { return f }

func chainOf(t *testing.T, leaf *mtls.Leaf) []*x509.Certificate {
	t.Helper()
	var chain []*x509.Certificate
	for _, der := range leaf.Get().Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	return chain
}

package node_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// getRoster is the smallest call to the mesh listener.
func getRoster(t *testing.T, conn *grpc.ClientConn) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	_, err := rosterv1.NewRosterServiceClient(conn).Get(ctx, &rosterv1.GetRequest{})
	return err
}

// getStatus is the smallest call to the local listener.
func getStatus(t *testing.T, conn *grpc.ClientConn) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	_, err := adminv1.NewAdminServiceClient(conn).GetStatus(ctx, &adminv1.GetStatusRequest{})
	return err
}

// TestWhoIsLetIn shows every listener every kind of certificate.
func TestWhoIsLetIn(t *testing.T) {
	m := nodetest.Found(t, "BEL", "ESP", "BGR")
	bel, esp := m.Bureau("BEL"), m.Bureau("ESP")
	nodeOf := func(b identity.Bureau) identity.Identity { return identity.Node(nodetest.Federation, b, "1") }
	officer := func(b identity.Bureau) identity.Identity {
		return identity.Client(nodetest.Federation, b, "customs", identity.RoleOfficer, "o-1", []nodetest.Purpose{nodetest.Border})
	}
	operator := func(b identity.Bureau) identity.Identity {
		return identity.Client(nodetest.Federation, b, "bureau", identity.RoleOperator, "o-1", nil)
	}
	expired := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = c.NotBefore.Add(-48*time.Hour), c.NotBefore.Add(-24*time.Hour)
	}
	// A certificate that the mesh issuer signed for a client, or the local one for a node.
	fromOther := func(kind identity.Kind) func(*x509.Certificate) {
		other := nodeOf("BEL")
		if kind == identity.KindClient {
			other = operator("BEL")
		}
		return func(c *x509.Certificate) { c.URIs[0] = other.URI() }
	}
	stranger := m.Stranger("FRA", bel)
	namesake := m.Stranger("ESP", bel)

	for name, c := range map[string]struct {
		mesh   bool // which listener of BEL's is called
		cert   *tls.Certificate
		in     bool
		reason mtls.Reason // what BEL's own log says of a refusal
	}{
		"mesh: a node of the roster": {mesh: true, cert: esp.Leaf().Get(), in: true},
		"mesh: nobody":               {mesh: true, cert: nil},
		"mesh: a node whose authority is not in the roster":     {mesh: true, cert: stranger.Leaf().Get(), reason: mtls.ReasonNotTrusted},
		"mesh: a member's name from an authority of one's own":  {mesh: true, cert: namesake.Leaf().Get(), reason: mtls.ReasonBadChain},
		"mesh: BEL's name from ESP's authority":                 {mesh: true, cert: esp.Mint(nodeOf("BEL"), nil), reason: mtls.ReasonBadChain},
		"mesh: BGR's name from ESP's authority":                 {mesh: true, cert: esp.Mint(nodeOf("BGR"), nil), reason: mtls.ReasonBadChain},
		"mesh: an own agency":                                   {mesh: true, cert: bel.ClientLeaf(node.OfficerClient), reason: mtls.ReasonWrongListener},
		"mesh: an agency of another bureau":                     {mesh: true, cert: esp.ClientLeaf(node.OfficerClient), reason: mtls.ReasonWrongListener},
		"mesh: a node's name from ESP's issuer of clients":      {mesh: true, cert: esp.Mint(officer("ESP"), func(c *x509.Certificate) { c.URIs[0] = nodeOf("ESP").URI() }), reason: mtls.ReasonWrongIssuer},
		"mesh: an expired node":                                 {mesh: true, cert: esp.Mint(nodeOf("ESP"), expired), reason: mtls.ReasonExpired},
		"local: an own operator":                                {cert: bel.ClientLeaf(node.OperatorClient), in: true},
		"local: nobody":                                         {cert: nil},
		"local: an operator of another bureau":                  {cert: esp.ClientLeaf(node.OperatorClient), reason: mtls.ReasonWrongListener},
		"local: an own operator's name from ESP's authority":    {cert: esp.Mint(operator("BEL"), nil), reason: mtls.ReasonBadChain},
		"local: the own node":                                   {cert: bel.Leaf().Get(), reason: mtls.ReasonWrongListener},
		"local: a node of another bureau":                       {cert: esp.Leaf().Get(), reason: mtls.ReasonWrongListener},
		"local: an operator's name from the own mesh issuer":    {cert: bel.Mint(nodeOf("BEL"), fromOther(identity.KindClient)), reason: mtls.ReasonWrongIssuer},
		"local: an own operator whose certificate is past":      {cert: bel.Mint(operator("BEL"), expired), reason: mtls.ReasonExpired},
		"local: an own operator of an authority like the own's": {cert: namesake.Mint(operator("BEL"), nil), reason: mtls.ReasonBadChain},
	} {
		t.Run(name, func(t *testing.T) {
			address, call, listener := bel.Config.LocalListen, getStatus, "local"
			if c.mesh {
				address, call, listener = bel.Config.MeshListen, getRoster, "mesh"
			}
			before := bel.Log.Count("certificate refused", "reason="+string(c.reason))
			err := call(t, bel.Intrude(address, c.cert))
			if c.in {
				if err != nil {
					t.Fatalf("was not let in at the %s listener: %v", listener, err)
				}
				return
			}
			if err == nil {
				t.Fatalf("was let in at the %s listener", listener)
			}
			if code := status.Code(err); code != codes.Unavailable {
				t.Errorf("%v, want the handshake to fail", err)
			}
			if c.reason != "" {
				m.Eventually("BEL's log says why: "+string(c.reason), func() bool {
					return bel.Log.Count("certificate refused", "reason="+string(c.reason)) > before
				})
			}
		})
	}
}

// TestAWholeNodeThatIsNotInTheRoster runs FRA with a roster of its own making, in which BEL is.
func TestAWholeNodeThatIsNotInTheRoster(t *testing.T) {
	m := nodetest.Found(t, "BEL", "ESP")
	bel := m.Bureau("BEL")
	fra := m.Stranger("FRA", bel)
	bel.Create(nodetest.Person("bel:1", "Vandersmissen", "Yorick", "1990-07-21"))
	bel.Permit(nodetest.PermitOptions{Bureau: "FRA", Collection: nodetest.Persons, Purposes: []nodetest.Purpose{nodetest.Border}})
	fra.Permit(nodetest.PermitOptions{Bureau: "BEL", Collection: nodetest.Persons, Purposes: []nodetest.Purpose{nodetest.Border}})
	fra.MustStart()
	resp := fra.Check(nodetest.CheckPerson("Vandersmissen", "Yorick", "1990-07-21"))
	if resp.GetVerdict() != screeningv1.Verdict_VERDICT_INCOMPLETE || nodetest.Status(resp, "BEL").GetStatus() != queryv1.Status_STATUS_UNAVAILABLE {
		t.Errorf("%v, %v: want INCOMPLETE for BEL's silence", resp.GetVerdict(), resp.GetBureaus())
	}
	m.Eventually("BEL has refused FRA's certificate", func() bool {
		return bel.Log.Count("certificate refused", "reason="+string(mtls.ReasonNotTrusted), "claimed_bureau=FRA") > 0
	})
	if fra.Connected("BEL") || fra.RosterVersion() != 1 {
		t.Error("FRA is connected with BEL")
	}
}

// TestAServerInAnothersName answers at BEL's address with a certificate for BEL that ESP issued.
func TestAServerInAnothersName(t *testing.T) {
	m := nodetest.Found(t, "BEL", "ESP", "BGR")
	bel, esp, bgr := m.Bureau("BEL"), m.Bureau("ESP"), m.Bureau("BGR")
	m.PermitBoth("BEL", "BGR", nodetest.Persons, nodetest.Border)
	var asked atomic.Int64
	forged := esp.Mint(identity.Node(nodetest.Federation, "BEL", "1"), nil)
	bel.Impersonate(func(cfg *server.Config) {
		cfg.Creds = mtls.MeshServer(mtls.NewLeaf(forged), bel.Book(), mtls.Options{})
		cfg.Answerer = nodetest.Answers(func(context.Context, *queryv1.Ask) (*queryv1.Answer, error) {
			asked.Add(1)
			return nil, context.Canceled
		})
	})
	m.Eventually("BGR has refused the certificate", func() bool {
		return bgr.Log.Count("certificate refused", "reason="+string(mtls.ReasonBadChain), "claimed_bureau=BEL") > 0
	})
	resp := bgr.Check(nodetest.CheckPerson("Somebody", "Else", "1970-01-01"))
	if resp.GetVerdict() != screeningv1.Verdict_VERDICT_INCOMPLETE {
		t.Errorf("verdict %v, want INCOMPLETE", resp.GetVerdict())
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the server in BEL's name was asked %d times", n)
	}
}

// TestAClientDoesWhatItsCertificateSays claims more than the certificate holds.
func TestAClientDoesWhatItsCertificateSays(t *testing.T) {
	m := nodetest.Found(t, "BEL")
	bel := m.Bureau("BEL")
	check := func(conn *grpc.ClientConn, p nodetest.Purpose) error {
		req := nodetest.CheckPerson("Somebody", "Else", "1970-01-01")
		req.Justification = &queryv1.Justification{Purpose: p, CaseRef: "2026/1"}
		_, err := screeningv1.NewScreeningServiceClient(conn).Check(t.Context(), req)
		return err
	}
	visa := bel.Client(identity.RoleOfficer, recordv1.Purpose_PURPOSE_VISA)
	admin := func(conn *grpc.ClientConn) error {
		_, err := adminv1.NewAdminServiceClient(conn).ReloadPolicy(t.Context(), &adminv1.ReloadPolicyRequest{})
		return err
	}
	create := func(conn *grpc.ClientConn) error {
		_, err := recordv1.NewRecordServiceClient(conn).Create(t.Context(), &recordv1.CreateRequest{Record: nodetest.Person("bel:9", "A", "B", "1970-01-01")})
		return err
	}
	auditor := bel.Client(identity.RoleAuditor)
	for name, c := range map[string]struct {
		err    error
		reason fault.Reason // empty: permitted
	}{
		"border control with a certificate for it":      {check(bel.Officer(), nodetest.Border), ""},
		"a visa with a certificate for border control":  {check(bel.Officer(), recordv1.Purpose_PURPOSE_VISA), fault.PurposeNotHeld},
		"a visa with a certificate for it":              {check(visa, recordv1.Purpose_PURPOSE_VISA), ""},
		"border control with a certificate for visas":   {check(visa, nodetest.Border), fault.PurposeNotHeld},
		"an operator's certificate holds no purpose":    {check(bel.Operator(), nodetest.Border), fault.PurposeNotHeld},
		"an officer does not administer":                {admin(bel.Officer()), fault.RoleNotPermitted},
		"an auditor changes nothing":                    {admin(auditor), fault.RoleNotPermitted},
		"an auditor sees the status":                    {getStatus(t, auditor), ""},
		"an officer enters no records":                  {create(bel.Officer()), fault.RoleNotPermitted},
		"a system of an agency enters records":          {create(bel.Client(identity.RoleSystem)), ""},
		"a PKI administrator does not read the records": {create(bel.Client(identity.RolePKIAdmin)), fault.RoleNotPermitted},
	} {
		reason, _ := fault.ReasonOf(c.err)
		if reason != c.reason || (c.reason == "") != (c.err == nil) || c.err != nil && status.Code(c.err) != codes.PermissionDenied {
			t.Errorf("%s: %v, want reason %q", name, c.err, c.reason)
		}
	}
}

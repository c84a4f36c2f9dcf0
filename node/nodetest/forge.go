package nodetest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	"github.com/entente-mesh/entente/pki/signing"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// pool is the bureau's own root.
func (b *Bureau) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	root, err := node.ReadRoot(b.Dir)
	if err != nil {
		b.t.Fatalf("%s: %v", b.ID, err)
	}
	pool.AddCert(root)
	return pool
}

func (b *Bureau) readPEM(parts ...string) []byte {
	b.t.Helper()
	path := filepath.Join(append([]string{b.Dir}, parts...)...)
	text, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatalf("%s: %v", b.ID, err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		b.t.Fatalf("%s: %s is no PEM", b.ID, path)
	}
	return block.Bytes
}

// Mint makes a certificate with the bureau's own issuing keys, past all of the authority's
// checks: for whatever identity, in whatever bureau's name, edited as a test wants. Nodes come
// from the mesh intermediate and clients from the local one.
func (b *Bureau) Mint(id identity.Identity, edit func(*x509.Certificate)) *tls.Certificate {
	b.t.Helper()
	issuer, uses := "mesh", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if id.Kind == identity.KindClient {
		issuer, uses = "local", []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	must := func(err error) {
		b.t.Helper()
		if err != nil {
			b.t.Fatalf("%s: mint: %v", b.ID, err)
		}
	}
	parent, err := x509.ParseCertificate(b.readPEM("ca", issuer+".crt"))
	must(err)
	issuing, err := x509.ParsePKCS8PrivateKey(b.readPEM("ca", issuer+".key"))
	must(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	must(err)
	now := b.Clock.Now().Truncate(time.Second)
	leaf := &x509.Certificate{
		SerialNumber: serial, URIs: []*url.URL{id.URI()}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(12 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: uses, BasicConstraintsValid: true,
		Subject: pkix.Name{},
	}
	for _, p := range id.Purposes {
		leaf.Subject.OrganizationalUnit = append(leaf.Subject.OrganizationalUnit, identity.PurposeUnitPrefix+identity.PurposeName(p))
	}
	if edit != nil {
		edit(leaf)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, key.Public(), issuing)
	must(err)
	return &tls.Certificate{Certificate: [][]byte{der, parent.Raw}, PrivateKey: key}
}

// Leaf is the node's own certificate.
func (b *Bureau) Leaf() *mtls.Leaf {
	b.t.Helper()
	leaf, err := mtls.LoadLeaf(filepath.Join(b.Dir, "keys", "channel"))
	if err != nil {
		b.t.Fatalf("%s: %v", b.ID, err)
	}
	return leaf
}

// ClientLeaf is the certificate of an identity that init left.
func (b *Bureau) ClientLeaf(client string) *tls.Certificate {
	b.t.Helper()
	leaf, err := mtls.LoadLeaf(node.ClientDir(b.Dir, client))
	if err != nil {
		b.t.Fatalf("%s: %v", b.ID, err)
	}
	return leaf.Get()
}

// Agency is the agency of the clients that a test enrols.
const Agency = "customs"

// Client enrols a client with a role and purposes of the test's choice, and connects it to the
// local listener.
func (b *Bureau) Client(role identity.Role, purposes ...Purpose) *grpc.ClientConn {
	b.t.Helper()
	return b.ClientNamed(role, "client-"+uuid.NewString()[:8], purposes...)
}

// ClientNamed is Client with a name of the test's choice: the same name again is the same person with
// another certificate.
func (b *Bureau) ClientNamed(role identity.Role, name string, purposes ...Purpose) *grpc.ClientConn {
	b.t.Helper()
	cert := b.Mint(identity.Client(Federation, b.ID, Agency, role, name, purposes), nil)
	creds := mtls.LocalClient(mtls.NewLeaf(cert), mtls.Own(Federation, b.ID, b.pool()), b.ID, mtls.Options{Now: b.Clock.Now})
	conn, err := grpc.NewClient("passthrough:///"+b.Config.LocalListen, creds.DialOptions()...)
	if err != nil {
		b.t.Fatalf("%s: %v", b.ID, err)
	}
	b.conns = append(b.conns, conn)
	return conn
}

// key is one of the signing keys that lie on the node: "message" or "log".
func (b *Bureau) key(name string) ed25519.PrivateKey {
	b.t.Helper()
	key, err := signing.ReadKey(filepath.Join(b.Dir, "keys", name+".key"))
	if err != nil {
		b.t.Fatalf("%s: %v", b.ID, err)
	}
	return key
}

func public(key ed25519.PrivateKey) []byte { return key.Public().(ed25519.PublicKey) }

// Signer signs with the bureau's message key.
func (b *Bureau) Signer() *signing.Signer {
	return signing.NewSigner(Federation, b.ID, b.key("message"))
}

// Intrude connects to an address with a certificate, believing whoever answers, as somebody
// does who keeps no rules. A nil certificate shows none.
func (b *Bureau) Intrude(address string, cert *tls.Certificate) *grpc.ClientConn {
	b.t.Helper()
	conn, err := intrude(address, cert)
	if err != nil {
		b.t.Fatalf("%s: %v", b.ID, err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func intrude(address string, cert *tls.Certificate) (*grpc.ClientConn, error) {
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	return grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
}

// DialMesh connects to another bureau's mesh listener as this bureau's node, past the node.
func (b *Bureau) DialMesh(to *Bureau) *grpc.ClientConn {
	b.t.Helper()
	return b.Intrude(to.Config.MeshListen, b.Leaf().Get())
}

// Ask is a good ask of this bureau to another one, for border control and for the test to
// edit; the subject is still to be set.
func (b *Bureau) Ask(to identity.Bureau) *queryv1.Ask { return newAsk(b.ID, to, b.Clock.Now()) }

func newAsk(from, to identity.Bureau, now time.Time) *queryv1.Ask {
	nonce := make([]byte, 16)
	rand.Read(nonce) // never fails, by its contract
	return &queryv1.Ask{
		AskId: uuid.NewString(), Nonce: nonce, Audience: string(to),
		IssuedAt: timestamppb.New(now), NotAfter: timestamppb.New(now.Add(30 * time.Second)),
		Requester:     &queryv1.Requester{Bureau: string(from), Agency: "border-police", Role: string(identity.RoleOfficer)},
		Justification: &queryv1.Justification{Purpose: Border},
		MaxCandidates: 10, RosterVersion: 1,
	}
}

// SignRaw signs bytes as a message of any type, past the signer, which would not.
func (b *Bureau) SignRaw(payloadType string, payload []byte) *signedv1.Signed {
	b.t.Helper()
	return &signedv1.Signed{PayloadType: payloadType, Payload: payload, Signatures: []*signedv1.Signature{{
		KeyId: b.Signer().KeyID(), Algorithm: "ed25519",
		Value: ed25519.Sign(b.key("message"), signing.PAE(payloadType, payload)),
	}}}
}

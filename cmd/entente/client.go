package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
)

// connection are the flags that say which node to speak to, and as whom.
type connection struct {
	dir       string
	address   string
	cert, key string
	client    string // whose identity in the node's folder, for --dir
}

// flags adds the flags of a command that speaks to a node.
func (c *connection) flags(cmd *cobra.Command, client string) {
	c.client = client
	origin := "the " + client + "'s identity that init left there"
	if client == node.AuditorClient {
		// Who runs the node is not who audits it: init leaves none.
		origin = "the auditor's identity in clients/auditor, where somebody was enrolled there"
	}
	cmd.Flags().StringVar(&c.dir, "dir", "", "the node's folder: takes its address and "+origin)
	cmd.Flags().StringVar(&c.address, "node", "", "the node's local listener, host:port")
	cmd.Flags().StringVar(&c.cert, "cert", "", "the client's certificate chain (PEM), with the bureau's root at its end")
	cmd.Flags().StringVar(&c.key, "key", "", "the client's private key (PEM)")
}

// dial connects to the local listener. Certificates that are due are renewed on the way.
func (a *app) dial(ctx context.Context, c connection) (*grpc.ClientConn, error) {
	if c.dir == "" && (c.address == "" || c.cert == "" || c.key == "") {
		return nil, usagef("say which node: --dir DIR, or --node HOST:PORT with --cert FILE and --key FILE")
	}
	if c.dir != "" {
		cfg, err := node.LoadConfig(c.dir, a.environ())
		if err != nil {
			return nil, err
		}
		if c.address == "" {
			c.address = cfg.LocalListen
		}
		if c.cert == "" && c.key == "" {
			folder := node.ClientDir(c.dir, c.client)
			c.cert, c.key = filepath.Join(folder, mtls.CertFile), filepath.Join(folder, mtls.KeyFile)
			if !exists(c.cert) {
				return nil, missingClient(c.dir, c.client, folder)
			}
		}
	}
	if c.cert == "" || c.key == "" {
		return nil, usagef("--cert and --key belong together: give both, or with --dir none")
	}
	leaf, err := mtls.LoadPair(c.cert, c.key)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	own := leaf.X509()
	id, err := identityOf(own)
	if err != nil {
		return nil, fmt.Errorf("client certificate %s: %w", c.cert, err)
	}
	if !a.now().Before(own.NotAfter) {
		return nil, fmt.Errorf("the client certificate %s expired on %s: have your PKI administrator enrol you again",
			c.cert, own.NotAfter.UTC().Format(time.DateOnly))
	}
	roots, err := rootsOf(leaf)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.cert, err)
	}
	creds := mtls.LocalClient(leaf, mtls.Own(id.Federation, id.Bureau, roots), id.Bureau, mtls.Options{Now: a.now})
	conn, err := grpc.NewClient("passthrough:///"+c.address, creds.DialOptions()...)
	if err != nil {
		return nil, err
	}
	if !a.now().Before(mtls.RenewDue(own)) {
		if err := renewClient(ctx, conn, id, leaf, c); err != nil {
			fmt.Fprintf(a.err, "entente: the client certificate is due (it expires on %s) and was not renewed: %s\n",
				own.NotAfter.UTC().Format(time.DateOnly), sentence(err))
		}
	}
	return conn, nil
}

// missingClient says how to come by an identity that is not in the node's folder.
func missingClient(dir, client, folder string) error {
	if client == node.AuditorClient {
		return fmt.Errorf("there is no auditor's identity in %s: give your own with --cert and --key, or have your PKI administrator enrol one: "+
			"entente enrol --dir %s --agency bureau --role auditor --name auditor-1 --out %s", folder, dir, folder)
	}
	return fmt.Errorf("there is no %s's identity in %s: give one with --cert and --key", client, folder)
}

// callTimeout bounds a call to the own node that should answer at once.
const callTimeout = 15 * time.Second

// briefly makes calls to the own node that it should answer at once.
func (a *app) briefly(cmd *cobra.Command, c connection, call func(context.Context, *grpc.ClientConn) error) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), callTimeout)
	defer cancel()
	conn, err := a.dial(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close()
	return call(ctx, conn)
}

// identityOf reads the identity in a client's own certificate, whose federation it tells itself.
func identityOf(leaf *x509.Certificate) (identity.Identity, error) {
	if len(leaf.URIs) != 1 || len(leaf.URIs[0].Host) < 5 {
		return identity.Identity{}, errors.New("it holds no SPIFFE ID")
	}
	f, err := identity.ParseFederation(leaf.URIs[0].Host[4:])
	if err != nil {
		return identity.Identity{}, err
	}
	return identity.FromCertificate(leaf, f)
}

// rootsOf are the roots at the end of a client's chain: whom it trusts to be its node.
func rootsOf(leaf *mtls.Leaf) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	found := false
	for _, der := range leaf.Get().Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		if c.IsCA && c.CheckSignatureFrom(c) == nil {
			pool.AddCert(c)
			found = true
		}
	}
	if !found {
		return nil, errors.New("the chain does not end in the bureau's root: append root.crt to the file")
	}
	return pool, nil
}

// renewClient replaces a certificate by a fresh one with a new key, in the same files.
func renewClient(ctx context.Context, conn *grpc.ClientConn, id identity.Identity, leaf *mtls.Leaf, c connection) error {
	key, csr, err := mtls.NewRequest(id)
	if err != nil {
		return err
	}
	resp, err := pkiv1.NewEnrolmentServiceClient(conn).Renew(ctx, &pkiv1.RenewRequest{Csr: csr})
	if err != nil {
		return err
	}
	var chain []*x509.Certificate
	for _, der := range resp.GetChain() {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		chain = append(chain, cert)
	}
	old := leaf.Get().Certificate
	root, err := x509.ParseCertificate(old[len(old)-1])
	if err != nil {
		return err
	}
	chain = node.WithRoot(chain, root)
	bound, err := mtls.Bind(chain, key)
	if err != nil {
		return err
	}
	if err := mtls.SavePair(c.cert, c.key, chain, key); err != nil {
		return err
	}
	leaf.Set(bound)
	return nil
}

// exists tells whether a file is there.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

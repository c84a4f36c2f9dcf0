package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
)

// clientFlags name one of the own clients.
type clientFlags struct{ agency, role, name string }

func (f *clientFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.agency, "agency", "", "the client's agency: border-police")
	cmd.Flags().StringVar(&f.role, "role", "", "its role: "+roleWords())
	cmd.Flags().StringVar(&f.name, "name", "", "its name: a service number or a system's name, not a person's")
}

func (f *clientFlags) check() error {
	if f.agency == "" || f.role == "" || f.name == "" {
		return usagef("--agency, --role and --name are needed: which client")
	}
	for _, role := range identity.Roles() {
		if f.role == string(role) {
			return nil
		}
	}
	return usagef("--role %q: give one of %s", f.role, roleWords())
}

func (f *clientFlags) String() string { return f.agency + "/" + f.role + "/" + f.name }

func roleWords() string {
	var all []string
	for _, role := range identity.Roles() {
		all = append(all, string(role))
	}
	return strings.Join(all, ", ")
}

// enrolment makes one call to the node's enrolment service.
func (a *app) enrolment(cmd *cobra.Command, c connection, call func(context.Context, pkiv1.EnrolmentServiceClient) error) error {
	return a.briefly(cmd, c, func(ctx context.Context, conn *grpc.ClientConn) error {
		return call(ctx, pkiv1.NewEnrolmentServiceClient(conn))
	})
}

func (a *app) enrolCommand() *cobra.Command {
	var c connection
	var f clientFlags
	var purposes []string
	var out string
	cmd := &cobra.Command{
		Use: "enrol", Short: "Enrol a client: give one of the own people or systems its first certificate",
		Long: "Makes a key and has the node certify it. The folder then holds cert.pem and key.pem, for --cert and --key of\n" +
			"the other commands; hand it to its bearer and keep no copy. The certificate renews itself.",
		Example: "  entente enrol --dir bel --agency border-police --role officer --name post-9 --purpose border-control --out post-9\n" +
			"  entente enrol --dir bel --agency bureau --role auditor --name auditor-1 --out auditor-1",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if out == "" {
				return usagef("--out is missing: the folder for the new certificate and key")
			}
			for _, word := range purposes {
				if _, err := identity.ParsePurpose(word); err != nil {
					return usagef("--purpose: %w", err)
				}
			}
			return a.enrolment(cmd, c, func(ctx context.Context, client pkiv1.EnrolmentServiceClient) error {
				return a.enrol(ctx, client, f, purposes, out)
			})
		},
	}
	c.flags(cmd, node.PKIAdminClient)
	f.flags(cmd)
	cmd.Flags().StringSliceVar(&purposes, "purpose", nil, "what it may claim; may be given more than once")
	cmd.Flags().StringVar(&out, "out", "", "the folder for its certificate and key")
	return cmd
}

// enrol enrols a client with a key made here. The folder is made first: a client that is enrolled
// and whose key cannot be kept would have to be revoked.
func (a *app) enrol(ctx context.Context, client pkiv1.EnrolmentServiceClient, f clientFlags, purposes []string, out string) (err error) {
	made, err := emptyFor(out)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && made {
			_ = os.Remove(out) // takes an empty folder and nothing else
		}
	}()
	key, csr, err := mtls.NewNamelessRequest()
	if err != nil {
		return err
	}
	resp, err := client.Enrol(ctx, &pkiv1.EnrolRequest{Agency: f.agency, Role: f.role, Name: f.name, Purposes: purposes, Csr: csr})
	if err != nil {
		return err
	}
	chain, err := chainOf(resp.GetChain())
	if err == nil {
		err = mtls.SaveLeaf(out, chain, key)
	}
	if err != nil {
		return fmt.Errorf("%s is enrolled, but its certificate could not be kept (revoke it, then enrol it again): %w", &f, err)
	}
	id, err := identityOf(chain[0])
	if err != nil {
		return fmt.Errorf("the certificate in %s is not one of a client: %w", out, err)
	}
	return a.print(map[string]any{
		"client": id.String(), "purposes": purposeWords(id), "out": out, "notAfter": clockTime(resp.GetNotAfter().AsTime()),
	}, fmt.Sprintf("Enrolled %s\n  may claim        %s\n  certificate      %s, good until %s\n  key              %s: for its bearer alone",
		id, cmp.Or(strings.Join(purposeWords(id), ", "), "nothing"), filepath.Join(out, mtls.CertFile), clockTime(resp.GetNotAfter().AsTime()), filepath.Join(out, mtls.KeyFile)))
}

// emptyFor makes the folder for an identity, and refuses one that holds an identity already.
func emptyFor(out string) (made bool, err error) {
	for _, name := range []string{mtls.CertFile, mtls.KeyFile} {
		if _, err := os.Lstat(filepath.Join(out, name)); err == nil {
			return false, fmt.Errorf("%s holds an identity already: name another folder, nothing is overwritten", out)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	made = !exists(out)
	return made, os.MkdirAll(out, 0o700)
}

func chainOf(ders [][]byte) ([]*x509.Certificate, error) {
	if len(ders) == 0 {
		return nil, errors.New("the node sent no certificate")
	}
	var chain []*x509.Certificate
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	return chain, nil
}

func purposeWords(id identity.Identity) []string {
	words := []string{}
	for _, p := range id.Purposes {
		words = append(words, identity.PurposeName(p))
	}
	return words
}

func (a *app) revokeCommand() *cobra.Command {
	var c connection
	var f clientFlags
	var reason string
	cmd := &cobra.Command{
		Use: "revoke", Short: "Revoke a client: every certificate that it has, and its open connections",
		Example: "  entente revoke --dir bel --agency border-police --role officer --name post-9 --reason 'card stolen'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if reason == "" {
				return usagef("--reason is missing: say why, for the books")
			}
			return a.enrolment(cmd, c, func(ctx context.Context, client pkiv1.EnrolmentServiceClient) error {
				resp, err := client.Revoke(ctx, &pkiv1.RevokeRequest{Agency: f.agency, Role: f.role, Name: f.name, Reason: reason})
				if err != nil {
					return err
				}
				return a.print(resp, fmt.Sprintf("%s is revoked; %d open connections were closed", &f, resp.GetClosedConnections()))
			})
		},
	}
	c.flags(cmd, node.PKIAdminClient)
	f.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the books")
	return cmd
}

func (a *app) clientsCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "clients", Short: "List who is enrolled, and who was revoked", Example: "  entente clients --dir bel", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.enrolment(cmd, c, func(ctx context.Context, client pkiv1.EnrolmentServiceClient) error {
				resp, err := client.ListClients(ctx, &pkiv1.ListClientsRequest{})
				if err != nil {
					return err
				}
				for _, one := range resp.GetClients() {
					if err := a.print(one, clientText(one)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	c.flags(cmd, node.PKIAdminClient)
	return cmd
}

func clientText(c *pkiv1.Client) string {
	text := c.GetAgency() + "/" + c.GetRole() + "/" + c.GetName()
	if len(c.GetPurposes()) > 0 {
		text += "  " + strings.Join(c.GetPurposes(), ", ")
	}
	text += "\n     enrolled " + clockTime(c.GetEnrolledAt().AsTime())
	if c.GetEnrolledBy() != "" {
		text += " by " + c.GetEnrolledBy()
	}
	if c.GetRevokedAt() != nil {
		text += "\n     REVOKED  " + clockTime(c.GetRevokedAt().AsTime()) + ": " + c.GetRevokedReason()
	}
	return text
}

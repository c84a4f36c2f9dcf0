package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func (a *app) initCommand() *cobra.Command {
	var o node.InitOptions
	var country, federation, passphraseFile, purposes string
	cmd := &cobra.Command{
		Use: "init", Short: "Make a new node: certificate authority, keys, identities, configuration, policies, store",
		Example: "  entente init --country BEL --federation demo.entente --dir bel",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if country == "" || federation == "" || o.Dir == "" {
				return usagef("--country, --federation and --dir are needed: say whose node it is, in which federation, and where")
			}
			var err error
			if o.Bureau, err = identity.ParseBureau(country); err != nil {
				return usagef("--country: %w", err)
			}
			if !identity.KnownCode(country) {
				return usagef("--country %s: neither an ISO 3166-1 alpha-3 code nor one of Doc 9303-3", country)
			}
			if o.Federation, err = identity.ParseFederation(federation); err != nil {
				return usagef("--federation: %w", err)
			}
			for name := range strings.SplitSeq(purposes, ",") {
				p, err := identity.ParsePurpose(strings.TrimSpace(name))
				if err != nil {
					return usagef("--officer-purposes: %w", err)
				}
				o.OfficerPurposes = append(o.OfficerPurposes, p)
			}
			if o.Passphrase, err = a.newPassphrase(passphraseFile); err != nil {
				return err
			}
			res, err := node.Init(cmd.Context(), o)
			if err != nil {
				return err
			}
			return a.printInit(res)
		},
	}
	f := cmd.Flags()
	f.StringVar(&country, "country", "", "the bureau: ISO 3166-1 alpha-3, or an organisation's code of Doc 9303-3")
	f.StringVar(&federation, "federation", "", "the federation's name, for example demo.entente")
	f.StringVar(&o.Dir, "dir", "", "the folder to make")
	f.StringVar(&o.Replica, "replica", "1", "names this node among the bureau's")
	f.StringVar(&o.MeshListen, "mesh-listen", "", "where other bureaus connect, host:port (default: a free loopback port)")
	f.StringVar(&o.LocalListen, "local-listen", "", "where the own people connect, host:port (default: a free loopback port)")
	f.StringVar(&o.Advertise, "advertise", "", "what peers dial, host:port (default: --mesh-listen)")
	f.StringVar(&passphraseFile, "passphrase-file", "", "a file with the passphrase of the root and governance keys (default: asked at the terminal, else made)")
	f.StringVar(&o.OfficerAgency, "officer-agency", "border-police", "the first officer's agency")
	f.StringVar(&purposes, "officer-purposes", "border-control,police-check", "what the first officer may claim, separated by commas")
	return cmd
}

func (a *app) printInit(res *node.InitResult) error {
	c := res.Config
	var b strings.Builder
	fmt.Fprintf(&b, "%s is ready in %s\n", c.Bureau, c.Dir)
	fmt.Fprintf(&b, "  mesh listener    %s (peers dial %s)\n", c.MeshListen, c.Advertise)
	fmt.Fprintf(&b, "  local listener   %s\n", c.LocalListen)
	fmt.Fprintf(&b, "  fingerprint      %s\n", res.Fingerprint)
	fmt.Fprintf(&b, "  root and governance keys: %s\n", res.Governance)
	b.WriteString("    The node does not need this folder. Take it off the machine (two media, two places).\n")
	if res.PassphraseFile != "" {
		fmt.Fprintf(&b, "    Their passphrase was made and lies in %s: keep it apart from them.\n", res.PassphraseFile)
	}
	fmt.Fprintf(&b, "Next: entente roster join-request --dir %s > %s.join", c.Dir, strings.ToLower(string(c.Bureau)))
	return a.print(map[string]string{
		"bureau": string(c.Bureau), "dir": c.Dir, "meshListen": c.MeshListen, "localListen": c.LocalListen, "advertise": c.Advertise,
		"fingerprint": res.Fingerprint, "governance": res.Governance, "passphraseFile": res.PassphraseFile,
	}, b.String())
}

// newPassphrase is the passphrase for new keys: from a file, or typed twice; nil if one is to be
// made.
func (a *app) newPassphrase(file string) ([]byte, error) {
	if file != "" {
		return a.passphraseFrom(file)
	}
	if !terminal(a.in) {
		return nil, nil
	}
	first, err := a.typed("Passphrase for the root and governance keys (empty: one is made): ")
	if err != nil || len(first) == 0 {
		return nil, err
	}
	again, err := a.typed("Once more: ")
	if err != nil {
		return nil, err
	}
	if string(first) != string(again) {
		return nil, errors.New("the two passphrases differ: try again")
	}
	return first, nil
}

// passphrase is the passphrase of existing keys: from a file, from where init left it, or typed.
func (a *app) passphrase(file, governance string) ([]byte, error) {
	if file == "" && exists(node.PassphraseFile(governance)) {
		file = node.PassphraseFile(governance)
	}
	if file != "" {
		return a.passphraseFrom(file)
	}
	if !terminal(a.in) {
		return nil, usagef("the governance key is encrypted: give its passphrase with --passphrase-file")
	}
	return a.typed("Passphrase of the governance key: ")
}

func (a *app) passphraseFrom(file string) ([]byte, error) {
	b, err := a.readFile(file, 4096)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	text := strings.TrimRight(string(b), "\r\n")
	if text == "" {
		return nil, fmt.Errorf("passphrase: %s is empty", file)
	}
	return []byte(text), nil
}

func (a *app) typed(prompt string) ([]byte, error) {
	fmt.Fprint(a.err, prompt)
	f, ok := a.in.(*os.File)
	if !ok {
		return nil, errors.New("no terminal")
	}
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(a.err)
	return b, err
}

func (a *app) runCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "run", Short: "Run the node in a folder until it is told to stop (SIGINT, SIGTERM)",
		Example: "  entente run --dir bel", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return usagef("--dir is missing: name the node's folder")
			}
			cfg, err := node.LoadConfig(dir, a.environ())
			if err != nil {
				return err
			}
			var handler slog.Handler = slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: cfg.Level()})
			if a.json {
				handler = slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: cfg.Level()})
			}
			node.TuneProcess()
			n, err := node.New(cmd.Context(), cfg, node.Options{Version: version(), Logger: slog.New(handler)})
			if err != nil {
				return err
			}
			if err := n.Start(cmd.Context()); err != nil {
				return errors.Join(err, n.Stop())
			}
			// Whoever started the process may wait for this line.
			if err := a.print(map[string]string{
				"event": "started", "bureau": string(cfg.Bureau), "meshListen": cfg.MeshListen, "localListen": cfg.LocalListen,
			}, fmt.Sprintf("%s is running: mesh %s, local %s", cfg.Bureau, cfg.MeshListen, cfg.LocalListen)); err != nil {
				return errors.Join(err, n.Stop())
			}
			return n.Wait(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the node's folder")
	return cmd
}

func (a *app) statusCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "status", Short: "Say how the node is", Example: "  entente status --dir bel", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.admin(cmd, c, func(ctx context.Context, client adminv1.AdminServiceClient) error {
				s, err := client.GetStatus(ctx, &adminv1.GetStatusRequest{})
				if err != nil {
					return err
				}
				return a.print(s, statusText(s))
			})
		},
	}
	c.flags(cmd, node.OperatorClient)
	return cmd
}

// admin makes one call to the node's operator service.
func (a *app) admin(cmd *cobra.Command, c connection, call func(context.Context, adminv1.AdminServiceClient) error) error {
	return a.briefly(cmd, c, func(ctx context.Context, conn *grpc.ClientConn) error {
		return call(ctx, adminv1.NewAdminServiceClient(conn))
	})
}

func statusText(s *adminv1.GetStatusResponse) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, replica %s of %s, entente %s, running since %s\n", s.GetBureau(), s.GetReplica(), s.GetFederation(),
		s.GetVersion(), clockTime(s.GetStartedAt().AsTime()))
	fmt.Fprintf(&b, "  mesh listener    %s (peers dial %s)\n", s.GetMeshListen(), s.GetAdvertise())
	fmt.Fprintf(&b, "  local listener   %s\n", s.GetLocalListen())
	if s.GetRosterVersion() == 0 {
		b.WriteString("  roster           none\n")
	} else {
		fmt.Fprintf(&b, "  roster           version %d, %d bureaus, %d connected, expires %s\n", s.GetRosterVersion(), s.GetBureaus(),
			s.GetConnected(), s.GetRosterExpiresAt().AsTime().UTC().Format(time.DateOnly))
		fmt.Fprintf(&b, "                   %s\n", s.GetRosterFingerprint())
	}
	fmt.Fprintf(&b, "  certificate      good until %s\n", clockTime(s.GetCertificateNotAfter().AsTime()))
	fmt.Fprintf(&b, "  policies         %d, version %.12s\n", s.GetPolicies(), s.GetPolicyVersion())
	for _, c := range s.GetCollections() {
		fmt.Fprintf(&b, "  %-16s %d records\n", c.GetCollection(), c.GetRecords())
	}
	fmt.Fprintf(&b, "  books            %s\n", booksText(s.GetBooks()))
	fmt.Fprintf(&b, "  operating point  %s\n", pointLine(s.GetOperatingPoint()))
	if n := s.GetActsWaiting(); n > 0 {
		fmt.Fprintf(&b, "  acts             %d wait for a second person (entente act list)\n", n)
	}
	for _, w := range s.GetWarnings() {
		fmt.Fprintf(&b, "  WARNING: %s\n", w)
	}
	for _, al := range s.GetAlarms() {
		fmt.Fprintf(&b, "  ALARM: %s\n", strings.ReplaceAll(alarmText(al), "\n", "\n  "))
	}
	return strings.TrimRight(b.String(), "\n")
}

// booksLag is from when on it is said that the tree is behind the journal: it follows within a second.
const booksLag = 2 * time.Second

// booksText is how the books stand, on one line.
func booksText(s *adminv1.BooksStatus) string {
	text := fmt.Sprintf("%d leaves, %d in the tree", s.GetLeaves(), s.GetIntegrated())
	if s.GetCheckpointAt() != nil {
		text += ", checkpoint of " + clockTime(s.GetCheckpointAt().AsTime())
	}
	if lag := s.GetLag().AsDuration(); lag >= booksLag {
		text += fmt.Sprintf(", %s behind", lag.Round(time.Second))
	}
	return text
}

func clockTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (a *app) peersCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "peers", Short: "List the other bureaus as this node sees them", Example: "  entente peers --dir bel", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.admin(cmd, c, func(ctx context.Context, client adminv1.AdminServiceClient) error {
				resp, err := client.ListPeers(ctx, &adminv1.ListPeersRequest{})
				if err != nil {
					return err
				}
				for _, p := range resp.GetPeers() {
					if err := a.print(p, peerText(p)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	c.flags(cmd, node.OperatorClient)
	cmd.AddCommand(a.distrustCommand(), a.trustCommand())
	return cmd
}

func peerText(p *adminv1.Peer) string {
	var b strings.Builder
	state := strings.ToLower(strings.TrimPrefix(p.GetState().String(), "PEER_STATE_"))
	fmt.Fprintf(&b, "%s  %-12s %s", p.GetBureau(), state, p.GetAddress())
	if p.GetSince() != nil {
		fmt.Fprintf(&b, "  since %s", clockTime(p.GetSince().AsTime()))
	}
	if p.GetGossip() != "" {
		fmt.Fprintf(&b, "  gossip: %s", p.GetGossip())
	}
	if p.GetDistrustReason() != "" {
		fmt.Fprintf(&b, "\n     distrusted: %s", p.GetDistrustReason())
	}
	if p.GetLastError() != "" {
		fmt.Fprintf(&b, "\n     last error: %s", p.GetLastError())
	}
	for _, o := range p.GetOffers() {
		limit := ""
		if o.GetOwnIssuedOnly() {
			limit = " (those it issued)"
		}
		fmt.Fprintf(&b, "\n     offers %s%s for %s", o.GetCollection(), limit, purposeList(o.GetPurposes()))
	}
	for _, m := range p.GetPermitted() {
		fmt.Fprintf(&b, "\n     may be asked about %s for %s", m.GetCollection(), purposeList(m.GetPurposes()))
	}
	return b.String()
}

func purposeList(all []recordv1.Purpose) string {
	if len(all) == len(identity.Purposes()) {
		return "every purpose"
	}
	names := make([]string, 0, len(all))
	for _, p := range all {
		names = append(names, identity.PurposeName(p))
	}
	return strings.Join(names, ", ")
}

func (a *app) distrustCommand() *cobra.Command {
	var c connection
	var reason string
	cmd := &cobra.Command{
		Use: "distrust BUREAU", Short: "Cut a bureau off at once, alone: it is neither asked nor answered",
		Example: "  entente peers distrust XYZ --reason 'message key stolen' --dir bel", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason == "" {
				return usagef("--reason is missing: say why, for the books")
			}
			b, err := identity.ParseBureau(strings.ToUpper(args[0]))
			if err != nil {
				return usageError{err}
			}
			return a.admin(cmd, c, func(ctx context.Context, client adminv1.AdminServiceClient) error {
				resp, err := client.DistrustPeer(ctx, &adminv1.DistrustPeerRequest{Bureau: string(b), Reason: reason})
				if err != nil {
					return err
				}
				return a.print(resp, fmt.Sprintf("%s is distrusted; %d open connections were closed", b, resp.GetClosedConnections()))
			})
		},
	}
	c.flags(cmd, node.OperatorClient)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the books")
	return cmd
}

func (a *app) trustCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "trust BUREAU", Short: "Take a distrust back", Example: "  entente peers trust XYZ --dir bel", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := identity.ParseBureau(strings.ToUpper(args[0]))
			if err != nil {
				return usageError{err}
			}
			return a.admin(cmd, c, func(ctx context.Context, client adminv1.AdminServiceClient) error {
				resp, err := client.TrustPeer(ctx, &adminv1.TrustPeerRequest{Bureau: string(b)})
				if err != nil {
					return err
				}
				return a.print(resp, string(b)+" is trusted again")
			})
		},
	}
	c.flags(cmd, node.OperatorClient)
	return cmd
}

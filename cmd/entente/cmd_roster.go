package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/roster"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

func (a *app) rosterCommand() *cobra.Command {
	return group("roster", "Form and change the list of the federation's bureaus",
		a.joinCommand(), a.foundCommand(), a.nextCommand(), a.signCommand(), a.mergeCommand(), a.installCommand(), a.showRosterCommand())
}

// governanceFlags say where the governance key lies.
type governanceFlags struct{ dir, governance, passphraseFile string }

func (g *governanceFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&g.dir, "dir", "", "the node's folder")
	cmd.Flags().StringVar(&g.governance, "governance", "", "the folder of the governance key, where it was taken away (default: governance in --dir)")
	cmd.Flags().StringVar(&g.passphraseFile, "passphrase-file", "", "a file with the key's passphrase (default: as init left it, else asked)")
}

func (a *app) openGovernance(g governanceFlags) (cfg node.Config, folder string, passphrase []byte, err error) {
	if g.dir == "" {
		return cfg, "", nil, usagef("--dir is missing: name the node's folder")
	}
	if cfg, err = node.LoadConfig(g.dir, a.environ()); err != nil {
		return cfg, "", nil, err
	}
	if folder = g.governance; folder == "" {
		folder = node.GovernanceFolder(g.dir)
	}
	if !exists(node.GovernanceKey(folder)) {
		return cfg, "", nil, fmt.Errorf("there is no governance key in %s: name the folder it was taken to with --governance", folder)
	}
	passphrase, err = a.passphrase(g.passphraseFile, folder)
	return cfg, folder, passphrase, err
}

func (a *app) joinCommand() *cobra.Command {
	var g governanceFlags
	cmd := &cobra.Command{
		Use: "join-request", Short: "Write this bureau's wish to be in the roster, signed by itself",
		Example: "  entente roster join-request --dir bel > bel.join", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, folder, passphrase, err := a.openGovernance(g)
			if err != nil {
				return err
			}
			signed, fingerprint, err := node.JoinRequest(cfg, folder, passphrase, a.now())
			if err != nil {
				return err
			}
			text, err := roster.EncodeJoinRequest(signed)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "Join request of %s (%s). Tell its fingerprint to the others by another channel:\n  %s\n",
				cfg.Bureau, cfg.Advertise, fingerprint)
			_, err = a.out.Write(text)
			return err
		},
	}
	g.flags(cmd)
	return cmd
}

// rosterLife is how long a new roster is valid where nothing else is said.
const rosterLife = 180 * 24 * time.Hour

func (a *app) foundCommand() *cobra.Command {
	var name string
	var threshold uint32
	var days int
	cmd := &cobra.Command{
		Use: "found FILE...", Short: "Draft the first roster from the join requests of its founders",
		Example: "  entente roster found --name demo.entente --threshold 3 bel.join esp.join bgr.join lbn.join > roster.draft",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := identity.ParseFederation(name)
			if err != nil {
				return usagef("--name: %w", err)
			}
			if days < 1 {
				return usagef("--days %d: give at least 1", days)
			}
			var joins []*signedv1.Signed
			for _, file := range args {
				b, err := a.readFile(file, maxTextFile)
				if err != nil {
					return err
				}
				join, signed, err := roster.ReadJoinRequest(b)
				if err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
				joins = append(joins, signed)
				fmt.Fprintf(a.err, "%s  %-22s %s\n", join.GetBureau().GetBureau(), join.GetBureau().GetAddress(),
					roster.BureauFingerprint(join.GetBureau()))
			}
			if threshold == 0 {
				threshold = roster.DefaultThreshold(len(joins))
			}
			r, err := roster.Found(f, threshold, joins, a.now(), time.Duration(days)*24*time.Hour)
			if err != nil {
				return err
			}
			payload, err := roster.MarshalDraft(r)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "Compare each fingerprint with its bureau by another channel before anybody signs.\nThe roster's own fingerprint: %s\n",
				roster.Fingerprint(payload))
			_, err = a.out.Write(roster.EncodeDraft(payload))
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the federation's name")
	cmd.Flags().Uint32Var(&threshold, "threshold", 0, "how many bureaus must sign later rosters (default: two thirds, rounded up)")
	cmd.Flags().IntVar(&days, "days", int(rosterLife/(24*time.Hour)), "for how many days the roster is valid")
	return cmd
}

func (a *app) nextCommand() *cobra.Command {
	var dir string
	var admit, remove []string
	var threshold uint32
	var days int
	cmd := &cobra.Command{
		Use: "next", Short: "Draft the roster after the one that is installed: to admit, to remove, or to prolong",
		Example: "  entente roster next --dir bel --admit fra.join > roster.draft\n  entente roster next --dir bel --remove XYZ > roster.draft",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if dir == "" {
				return usagef("--dir is missing: name the node's folder")
			}
			if days < 1 {
				return usagef("--days %d: give at least 1", days)
			}
			cfg, err := node.LoadConfig(dir, a.environ())
			if err != nil {
				return err
			}
			book, err := roster.OpenBook(node.RosterDir(dir), cfg.Federation, cfg.Bureau, a.now)
			if err != nil {
				return err
			}
			current := book.Current()
			if current == nil {
				return errors.New("no roster is installed here: the first one is made with entente roster found")
			}
			var changes []roster.Change
			for _, file := range admit {
				b, err := a.readFile(file, maxTextFile)
				if err != nil {
					return err
				}
				_, join, err := roster.ReadJoinRequest(b)
				if err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
				changes = append(changes, roster.Admit(join))
			}
			for _, name := range remove {
				b, err := identity.ParseBureau(name)
				if err != nil {
					return usagef("--remove: %w", err)
				}
				changes = append(changes, roster.Remove(b))
			}
			if threshold > 0 {
				changes = append(changes, roster.Threshold(threshold))
			}
			r, err := roster.Next(current, a.now(), time.Duration(days)*24*time.Hour, changes...)
			if err != nil {
				return err
			}
			payload, err := roster.MarshalDraft(r)
			if err != nil {
				return err
			}
			showRoster(a.err, r, roster.Fingerprint(payload))
			fmt.Fprintf(a.err, "To be signed by %d bureaus of version %d, and by %d of this one.\n", current.Threshold(), current.Version(), r.GetThreshold())
			_, err = a.out.Write(roster.EncodeDraft(payload))
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the node's folder")
	cmd.Flags().StringSliceVar(&admit, "admit", nil, "a join request: of a new bureau, or a newer one of a member; may be given more than once")
	cmd.Flags().StringSliceVar(&remove, "remove", nil, "a bureau that leaves; may be given more than once")
	cmd.Flags().Uint32Var(&threshold, "threshold", 0, "how many bureaus must sign later rosters (default: as it is)")
	cmd.Flags().IntVar(&days, "days", int(rosterLife/(24*time.Hour)), "for how many days the roster is valid")
	return cmd
}

func (a *app) signCommand() *cobra.Command {
	var g governanceFlags
	cmd := &cobra.Command{
		Use: "sign DRAFT", Short: "Show a draft and sign it with this bureau's governance key",
		Example: "  entente roster sign --dir bel roster.draft > bel.sig", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := a.readFile(args[0], maxTextFile)
			if err != nil {
				return err
			}
			payload, r, err := roster.DecodeDraft(b)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			cfg, folder, passphrase, err := a.openGovernance(g)
			if err != nil {
				return err
			}
			showRoster(a.err, r, roster.Fingerprint(payload))
			governor, err := node.Governor(cfg, folder, passphrase)
			if err != nil {
				return err
			}
			sig, err := governor.Roster(payload)
			if err != nil {
				return err
			}
			text, err := roster.EncodeSignature(sig)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "Signed by %s.\n", cfg.Bureau)
			_, err = a.out.Write(text)
			return err
		},
	}
	g.flags(cmd)
	return cmd
}

func showRoster(w io.Writer, r *rosterv1.Roster, fingerprint string) {
	fmt.Fprintf(w, "Roster version %d of %s, threshold %d, valid until %s\n  fingerprint %s\n", r.GetVersion(), r.GetFederation(),
		r.GetThreshold(), r.GetExpiresAt().AsTime().UTC().Format(time.DateOnly), fingerprint)
	for _, b := range r.GetBureaus() {
		fmt.Fprintf(w, "  %s  %-22s %s\n", b.GetBureau(), b.GetAddress(), roster.BureauFingerprint(b))
	}
}

func (a *app) mergeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "merge DRAFT SIGNATURE...", Short: "Join a draft and its signatures into a roster",
		Example: "  entente roster merge roster.draft bel.sig esp.sig bgr.sig lbn.sig > roster.1", Args: cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := a.readFile(args[0], maxTextFile)
			if err != nil {
				return err
			}
			payload, r, err := roster.DecodeDraft(b)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			var sigs []*signedv1.Signature
			for _, file := range args[1:] {
				b, err := a.readFile(file, maxTextFile)
				if err != nil {
					return err
				}
				found, err := roster.DecodeSignatures(b)
				if err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
				sigs = append(sigs, found...)
			}
			signed, err := roster.Merge(payload, sigs...)
			if err != nil {
				return err
			}
			if r.GetVersion() == 1 {
				// A founding roster that lacks a founder is of no use to anybody: say so here.
				if _, err := roster.VerifyFirst(signed, identity.Federation(r.GetFederation()), a.now()); err != nil {
					return err
				}
			}
			text, err := roster.EncodeRoster(signed)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "Roster version %d with %d signatures. Its fingerprint:\n  %s\n", r.GetVersion(), len(sigs), roster.Fingerprint(payload))
			_, err = a.out.Write(text)
			return err
		},
	}
}

func (a *app) installCommand() *cobra.Command {
	var dir, fingerprint string
	var trustFirst bool
	cmd := &cobra.Command{
		Use: "install FILE", Short: "Install a roster at the node in a folder",
		Example: "  entente roster install --dir bel roster.1 --fingerprint '3F2A ...'", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" {
				return usagef("--dir is missing: name the node's folder")
			}
			cfg, err := node.LoadConfig(dir, a.environ())
			if err != nil {
				return err
			}
			b, err := a.readFile(args[0], maxTextFile)
			if err != nil {
				return err
			}
			signed, err := roster.DecodeRoster(b)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			view, err := a.install(cmd.Context(), cfg, signed, fingerprint, trustFirst)
			if err != nil {
				return err
			}
			return a.print(map[string]any{"bureau": string(cfg.Bureau), "version": view.GetVersion(), "fingerprint": roster.Fingerprint(signed.GetPayload())},
				fmt.Sprintf("%s has installed roster version %d (%d bureaus)", cfg.Bureau, view.GetVersion(), len(view.GetBureaus())))
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the node's folder")
	cmd.Flags().StringVar(&fingerprint, "fingerprint", "", "the fingerprint that you were told by another channel (default: asked at the terminal, for the first roster)")
	cmd.Flags().BoolVar(&trustFirst, "trust-first-use", false, "for trials: believe the first roster without comparing its fingerprint")
	return cmd
}

// install installs a roster: through the node if it runs, else in its folder.
func (a *app) install(ctx context.Context, cfg node.Config, signed *signedv1.Signed, fingerprint string, trustFirst bool) (*rosterv1.Roster, error) {
	book, err := roster.OpenBook(node.RosterDir(cfg.Dir), cfg.Federation, cfg.Bureau, a.now)
	if err != nil {
		return nil, err
	}
	if book.Current() == nil && fingerprint == "" && !trustFirst {
		if !terminal(a.in) {
			return nil, usagef("this is the node's first roster: give the fingerprint that you compared by another channel (--fingerprint), or --trust-first-use for a trial")
		}
		fmt.Fprint(a.err, "Type the roster's fingerprint as you were told it by another channel: ")
		var words []string
		line, err := readLine(a.in)
		if err != nil {
			return nil, err
		}
		words = strings.Fields(line)
		fingerprint = strings.Join(words, " ")
	}
	running, err := a.running(cfg)
	if err != nil {
		return nil, err
	}
	if running {
		if book.Current() == nil && trustFirst {
			fingerprint = roster.Fingerprint(signed.GetPayload())
		}
		conn, err := a.dial(ctx, connection{dir: cfg.Dir, client: node.OperatorClient})
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		if _, err := adminv1.NewAdminServiceClient(conn).InstallRoster(ctx, &adminv1.InstallRosterRequest{Roster: signed, Fingerprint: fingerprint}); err != nil {
			return nil, err
		}
		if book, err = roster.OpenBook(node.RosterDir(cfg.Dir), cfg.Federation, cfg.Bureau, a.now); err != nil {
			return nil, err
		}
		return book.Current().Roster(), nil
	}
	view, err := book.Install(signed, roster.InstallOptions{Fingerprint: fingerprint, TrustFirstUse: trustFirst})
	if err != nil {
		return nil, err
	}
	return view.Roster(), nil
}

func readLine(r io.Reader) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for len(line) < 1024 {
		n, err := r.Read(one)
		if n == 1 {
			if one[0] == '\n' {
				break
			}
			line = append(line, one[0])
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	return string(line), nil
}

func (a *app) showRosterCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show FILE", Short: "Show a roster, and who signed it", Example: "  entente roster show roster.1", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := a.readFile(args[0], maxTextFile)
			if err != nil {
				return err
			}
			signed, err := roster.DecodeRoster(b)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			r, err := roster.Read(signed.GetPayload())
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if a.json {
				return a.print(r, "")
			}
			showRoster(a.out, r, roster.Fingerprint(signed.GetPayload()))
			fmt.Fprintf(a.out, "  %d signatures\n", len(signed.GetSignatures()))
			return nil
		},
	}
}

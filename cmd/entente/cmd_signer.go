package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/pki/signing/service"
)

// nodeKeys is the folder of the keys in a node's folder.
func nodeKeys(dir string) string { return filepath.Join(dir, "keys") }

func (a *app) signerCommand() *cobra.Command {
	var dir, socket string
	var users []uint
	cmd := &cobra.Command{
		Use: "signer", Short: "Hold a node's message and log keys in a process of its own, until told to stop (SIGINT, SIGTERM)",
		Long: "Holds a node's message and log keys in a process of its own, under a user of its own, until it\n" +
			"is told to stop (SIGINT, SIGTERM). Whoever takes over the node's process then has no keys: he can\n" +
			"have signed what the node may say now, no roster, nothing in another bureau's name, and no second\n" +
			"history of the log.\n\n" +
			"Upgrade the signer before its node. The node finds it by signer_socket in its configuration.",
		Example: "  entente signer split --dir bel --to bel-signer --socket /run/entente/bel.sock\n" +
			"  entente signer --dir bel-signer --allow-uid 1001",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return usagef("--dir is missing: name the signer's folder (entente signer split makes one)")
			}
			s, err := signerSettings(dir, socket, users)
			if err != nil {
				return err
			}
			return a.serveSigner(cmd, dir, s)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "", "the signer's folder")
	f.StringVar(&socket, "socket", "", "where to listen (default: socket in signer.yaml)")
	f.UintSliceVar(&users, "allow-uid", nil, "a user that may connect, by number; may be given more than once (adds to allow_uids in signer.yaml; the own user always may)")
	cmd.AddCommand(a.signerSplitCommand(), a.signerRestoreCommand())
	return cmd
}

// signerSettings are the settings in the folder, with what the flags say.
func signerSettings(dir, socket string, users []uint) (service.Settings, error) {
	s, err := service.ReadSettings(dir)
	if err != nil {
		return s, err
	}
	s.Socket = cmp.Or(socket, s.Socket)
	if s.Socket == "" {
		return s, usagef("--socket is missing, and signer.yaml has no socket: say where to listen")
	}
	more, err := uids(users)
	s.AllowUIDs = append(s.AllowUIDs, more...)
	return s, err
}

func uids(users []uint) ([]uint32, error) {
	var out []uint32
	for _, u := range users {
		if u > 1<<32-1 {
			return nil, usagef("--allow-uid %d: no user's number", u)
		}
		out = append(out, uint32(u))
	}
	return out, nil
}

func (a *app) serveSigner(cmd *cobra.Command, dir string, s service.Settings) (err error) {
	messages, logs, err := service.OpenKeys(dir, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logs.Close()) }()
	var handler slog.Handler = slog.NewTextHandler(a.err, nil)
	if a.json {
		handler = slog.NewJSONHandler(a.err, nil)
	}
	svc, err := service.New(service.Config{
		Messages: messages, Logs: logs, Replicas: s.Replicas, Allow: s.AllowUIDs, Now: a.now, Logger: slog.New(handler),
	})
	if err != nil {
		return err
	}
	l, err := service.Listen(s.Socket)
	if err != nil {
		return err
	}
	// Whoever started the process may wait for this line. A connection waits in the socket until
	// it is served.
	if err := a.print(map[string]string{
		"event": "started", "bureau": string(s.Bureau), "socket": s.Socket, "messageKey": messages.KeyID(), "logKey": logs.LogKey().ID(),
	}, fmt.Sprintf("The signer of %s is running: %s", s.Bureau, s.Socket)); err != nil {
		return errors.Join(err, l.Close())
	}
	return svc.Serve(cmd.Context(), l)
}

func (a *app) signerSplitCommand() *cobra.Command {
	var dir, to, socket string
	var users []uint
	cmd := &cobra.Command{
		Use: "split", Short: "Move a node's message and log keys into a folder for its signer",
		Long: "Moves the message and log keys of a node that does not run, and what its log signer remembers,\n" +
			"into a folder for its signer. The public halves stay. Cut off, it can be called again.",
		Example: "  entente signer split --dir bel --to bel-signer --socket /run/entente/bel.sock --allow-uid 1001",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if dir == "" || to == "" {
				return usagef("--dir and --to are needed: name the node's folder, and one for its signer")
			}
			cfg, err := node.LoadConfig(dir, a.environ())
			if err != nil {
				return err
			}
			if running, err := a.running(cfg); err != nil {
				return err
			} else if running {
				return errors.New("the node is running, with its keys in its memory: stop it first")
			}
			s := service.Settings{Bureau: cfg.Bureau, Federation: cfg.Federation, Replicas: []string{cfg.Replica}}
			if s.AllowUIDs, err = uids(users); err != nil {
				return err
			}
			if socket != "" {
				if s.Socket, err = filepath.Abs(socket); err != nil {
					return err
				}
			}
			if err := service.Split(nodeKeys(dir), to, s); err != nil {
				return err
			}
			return a.print(map[string]string{"signer": to, "socket": s.Socket}, splitText(dir, to, s))
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "", "the node's folder")
	f.StringVar(&to, "to", "", "the signer's folder, a new one")
	f.StringVar(&socket, "socket", "", "where the signer will listen, for signer.yaml")
	f.UintSliceVar(&users, "allow-uid", nil, "the node's user, by number, for signer.yaml")
	return cmd
}

func splitText(dir, to string, s service.Settings) string {
	var b strings.Builder
	fmt.Fprintf(&b, "The keys of %s are in %s, and not in %s any more.\n", s.Bureau, to, dir)
	b.WriteString("  The medium may still hold the old files' blocks: where that matters, make new keys.\n")
	fmt.Fprintf(&b, "Next: give %s to the signer's user (chown -R), start entente signer --dir %s as that user,\n", to, to)
	fmt.Fprintf(&b, "and set signer_socket: %s in %s", cmp.Or(s.Socket, "PATH"), filepath.Join(dir, node.ConfigFile))
	return b.String()
}

// maxCheckpoint is the largest checkpoint, as in the treaty.
const maxCheckpoint = 8192

func (a *app) signerRestoreCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "restore CHECKPOINT", Short: "Restore what the log signer remembers from the newest checkpoint that it has signed",
		Long: "Restores what the log signer remembers, where it was lost or is older, from a checkpoint that was\n" +
			"signed with its key. Take the newest that anybody has: ask the bureaus that keep it. An older one\n" +
			"would let the log be told twice from there. It never goes back.",
		Example: "  entente signer restore --dir bel-signer newest.checkpoint", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if dir == "" {
				return usagef("--dir is missing: name the signer's folder")
			}
			s, err := service.ReadSettings(dir)
			if err != nil {
				return err
			}
			checkpoint, err := a.readFile(args[0], maxCheckpoint)
			if err != nil {
				return err
			}
			if err := service.Restore(dir, s, checkpoint); err != nil {
				return err
			}
			return a.print(map[string]string{"signer": dir}, "The signer knows again what it has signed.")
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the signer's folder")
	return cmd
}

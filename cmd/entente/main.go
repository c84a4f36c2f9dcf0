// Command entente is the one binary of the project: the node, the officers' client, and the
// tool of operators and PKI administrators.
//
// It holds no rules of its own. One flow: main hands the arguments to run, run finds the
// command, the command reads its flags and calls the node's packages or, over the local
// listener, the running node, and run turns the error into a sentence and an exit status: 0
// done, 1 failed, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/entente-mesh/entente/node/audit"
)

func main() {
	// What a library wants to say of its own accord is not for the person at the terminal: what goes
	// wrong it returns as an error too.
	audit.LogTessera(slog.New(slog.DiscardHandler))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// The exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// app is what the commands share: the outside world.
type app struct {
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
	environ  func() []string
	json     bool // --json: one JSON object a line
}

// usageError is a mistake in how a command was called.
type usageError struct{ err error }

func (u usageError) Error() string { return u.err.Error() }
func (u usageError) Unwrap() error { return u.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, err: errOut, now: time.Now, environ: os.Environ}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	var u usageError
	if errors.As(err, &u) {
		fmt.Fprintf(errOut, "%s: %s\nSee: %s --help\n", cmd.CommandPath(), u, cmd.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(errOut, "%s: %s\n", cmd.CommandPath(), sentence(err))
	return exitFailed
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "entente",
		Short: "Find, warn and prove, without a central database",
		Long: "Entente lets national police bureaus ask and warn each other. Every country runs its own\n" +
			"node and keeps its own data; nodes ask each other under each country's own policy.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print one JSON object a line")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		a.demoCommand(), a.initCommand(), a.runCommand(), a.statusCommand(), a.peersCommand(), a.importCommand(),
		a.policyCommand(), a.rosterCommand(), a.checkCommand(), a.evalCommand(), a.versionCommand(),
		a.auditCommand(), a.recordCommand(), a.quotaCommand(), a.pointCommand(), a.alarmCommand(), a.actCommand(),
		a.enrolCommand(), a.revokeCommand(), a.clientsCommand(), a.signerCommand(),
	)
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		// Runnable, or a wrong word after it would pass for a call for help.
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		for _, shell := range cmd.Commands() {
			shell.Example = "  entente completion " + shell.Name()
		}
	}
	wrapArgs(root)
	return root
}

// wrapArgs makes wrong arguments a usage error in every command, and an unknown subcommand too.
func wrapArgs(cmd *cobra.Command) {
	check := cmd.Args
	if check == nil {
		check = cobra.NoArgs
	}
	cmd.Args = func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			if c.HasSubCommands() && len(args) > 0 {
				return usagef("unknown command %q", args[0])
			}
			return usageError{err}
		}
		return nil
	}
	for _, sub := range cmd.Commands() {
		wrapArgs(sub)
	}
}

// group is a command that only holds others.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	g.AddCommand(subs...)
	return g
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the program's version", Example: "  entente version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.print(map[string]string{"version": version()}, "entente "+version())
		},
	}
}

// version is the module's version, and the revision it was built from where Go knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(v, s.Value[:min(12, len(s.Value))]) {
			v += " " + s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}

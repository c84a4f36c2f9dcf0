package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/pki/evidence"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// errFlawed ends a verification that found something, after it has said what.
var errFlawed = errors.New("the books are not whole: keep the folder as it is, and compare with a backup and with the other bureaus' checkpoints")

func (a *app) auditVerifyCommand() *cobra.Command {
	var c connection
	var offline bool
	cmd := &cobra.Command{
		Use: "verify", Short: "Read the whole of the books and say what is wrong, and where",
		Long: "Verify reads journal, tree and bodies from the first byte to the last. It finds one flipped byte, one\n" +
			"missing or reordered entry, in the journal, in the log or in the bodies.\n\n" +
			"With --offline it reads the books of a node that does not run, also of one that refuses to start because of\n" +
			"them. Where the journal cannot be read it says so, and reads the log by itself. It changes nothing there: it works\n" +
			"on a copy in a temporary folder, which needs as much room. Whoever does so needs the folder and the node key.",
		Example: "  entente audit verify --dir bel\n  entente audit verify --offline --dir bel", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			verify := a.verifyThrough
			if offline {
				if c.dir == "" || c.address != "" || c.cert != "" || c.key != "" {
					return usagef("--offline reads a folder: give --dir and nothing of a node that runs")
				}
				verify = a.verifyOffline
			}
			progress := func(uint64) {}
			if terminal(a.err) && !a.json {
				progress = func(leaves uint64) { fmt.Fprintf(a.err, "\r%d leaves ", leaves) }
				defer fmt.Fprintln(a.err)
			}
			report, err := verify(cmd, c, progress)
			if err != nil {
				return err
			}
			if err := a.print(report, verifyText(report)); err != nil {
				return err
			}
			if !report.GetWhole() {
				return errFlawed
			}
			return nil
		},
	}
	c.flags(cmd, node.AuditorClient)
	cmd.Flags().BoolVar(&offline, "offline", false, "read the folder of a node that does not run")
	return cmd
}

func (a *app) verifyOffline(cmd *cobra.Command, c connection, progress func(uint64)) (*auditv1.VerifyReport, error) {
	cfg, err := node.LoadConfig(c.dir, a.environ())
	if err != nil {
		return nil, err
	}
	return node.VerifyBooks(cmd.Context(), cfg, a.now, progress)
}

// verifyThrough has a node that runs verify its books.
func (a *app) verifyThrough(cmd *cobra.Command, c connection, progress func(uint64)) (report *auditv1.VerifyReport, err error) {
	err = a.auditCall(cmd, c, func(ctx context.Context, client auditv1.AuditServiceClient) error {
		stream, err := client.Verify(ctx, &auditv1.VerifyRequest{})
		if err != nil {
			return err
		}
		for {
			resp, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if p := resp.GetProgress(); p != nil {
				progress(p.GetLeaves())
			}
			if resp.GetReport() != nil {
				report = resp.GetReport()
			}
		}
	})
	if err == nil && report == nil {
		err = errors.New("the node ended the verification without a report: look into its log")
	}
	return report, err
}

// verifyText is a report, a line for each flaw.
func verifyText(r *auditv1.VerifyReport) string {
	var b strings.Builder
	for _, f := range r.GetFlaws() {
		fmt.Fprintf(&b, "%s, byte %d, leaf %d: %s\n", f.GetFile(), f.GetOffset(), f.GetIndex(), f.GetWhat())
	}
	if !r.GetWhole() && r.GetLeaves() == 0 {
		b.WriteString("NOT WHOLE: of the journal nothing is said beyond its first flaw")
		b.WriteString(logText(r))
		return b.String()
	}
	word := "whole"
	if !r.GetWhole() {
		word = "NOT WHOLE"
	}
	fmt.Fprintf(&b, "%s: %d leaves with %d entries, %d erased, %d in the tree", word, r.GetLeaves(), r.GetEntries(), r.GetErased(), r.GetIntegrated())
	return b.String()
}

// logText says what was found in a log whose journal could not be read.
func logText(r *auditv1.VerifyReport) string {
	if r.GetIntegrated() == 0 {
		return ", and no leaf of the log could be read"
	}
	signed := "no signed checkpoint that fits them"
	if c, err := evidence.ParseCheckpoint(r.GetCheckpoint()); err == nil {
		signed = fmt.Sprintf("a signed checkpoint of %d", c.Size)
	}
	agrees := "it agrees with itself, and a journal from a backup can be held against it"
	if slices.ContainsFunc(r.GetFlaws(), func(f *auditv1.Flaw) bool { return strings.HasPrefix(f.GetFile(), "log/") }) {
		agrees = "it is flawed too"
	}
	return fmt.Sprintf(". The log by itself lists %d leaves, with %s: %s", r.GetIntegrated(), signed, agrees)
}

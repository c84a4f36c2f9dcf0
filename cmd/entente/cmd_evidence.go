package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/entente-mesh/entente/pki/evidence"
)

// trustFlag says which roster the verifier trusts.
func trustFlag(cmd *cobra.Command, t *evidence.Trust) {
	cmd.Flags().StringVar(&t.Fingerprint, "roster", "", "the fingerprint of a roster that you trust (entente roster show); without it, compare the one printed")
}

// stepsText is what a verification found, a line each.
func stepsText(r evidence.Report) string {
	var b strings.Builder
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "%-6s %s: %s\n", s.Verdict, s.Name, s.What)
	}
	return b.String()
}

func (a *app) verifyBundleCommand() *cobra.Command {
	var t evidence.Trust
	cmd := &cobra.Command{
		Use: "verify-bundle FILE", Short: "Verify a bundle offline, from itself alone",
		Long: "Verify-bundle needs no node and no network. It checks the rosters from the first on, the signatures by the\n" +
			"keys of that day, that the answer replies to the ask, that the leaves are about these very bytes, and that\n" +
			"they stand in logs which their bureaus signed.",
		Example: "  entente audit verify-bundle bundle --roster 7f3a:91c0:...", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := a.readFile(args[0], evidence.MaxFile)
			if err != nil {
				return err
			}
			bundle, err := evidence.DecodeBundle(text)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			r := evidence.VerifyBundle(bundle, t)
			out := stepsText(r.Report)
			if r.OK() {
				out += fmt.Sprintf("proven: %s asked %s on %s", r.Asker, r.Answerer, clockTime(r.AskedAt))
				if !r.AnsweredAt.IsZero() {
					out += ", answered on " + clockTime(r.AnsweredAt)
				}
			}
			if err := a.print(r, strings.TrimRight(out, "\n")); err != nil {
				return err
			}
			if !r.OK() {
				return errors.New("the bundle proves nothing: see the steps that fail")
			}
			return nil
		},
	}
	trustFlag(cmd, &t)
	return cmd
}

func (a *app) auditJoinCommand() *cobra.Command {
	var t evidence.Trust
	cmd := &cobra.Command{
		Use: "join A.export B.export", Short: "Compare two bureaus' books about each other",
		Long: "Join reads what each of two bureaus exported about the other (entente audit export). What only one of them\n" +
			"has is named as an omission of the other; what both have must be about the same bytes.",
		Example: "  entente audit join BEL.export BGR.export --roster 7f3a:91c0:...", Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			first, err := a.readFile(args[0], evidence.MaxExport)
			if err != nil {
				return err
			}
			second, err := a.readFile(args[1], evidence.MaxExport)
			if err != nil {
				return err
			}
			x, err := evidence.DecodeExport(first)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			y, err := evidence.DecodeExport(second)
			if err != nil {
				return fmt.Errorf("%s: %w", args[1], err)
			}
			r := evidence.Join(x, y, t)
			var b bytes.Buffer
			b.WriteString(stepsText(r.Report))
			for _, f := range r.Findings {
				fmt.Fprintf(&b, "%s: %s\n", strings.ToUpper(f.Finding), f)
			}
			fmt.Fprintf(&b, "%d passages stand in both books, %d lie too near to the ends to be judged, %d are erased on one side",
				r.Matched, r.NotJudged, r.Erased)
			if err := a.print(r, b.String()); err != nil {
				return err
			}
			switch {
			case r.OK():
			case r.Report.OK():
				return errors.New("the books do not agree: see the findings")
			default:
				return errors.New("the exports cannot be compared: see the steps that fail")
			}
			return nil
		},
	}
	trustFlag(cmd, &t)
	return cmd
}

func (a *app) verifyEvidenceCommand() *cobra.Command {
	var t evidence.Trust
	cmd := &cobra.Command{
		Use: "verify-evidence FILE", Short: "Say what the evidence of an alarm about another bureau's log proves",
		Long: "A node that finds another bureau's log forked or shrunk writes a file and raises an alarm that names it.\n" +
			"Verify-evidence says, offline and from the file alone, whether it proves that.",
		Example: "  entente audit verify-evidence bel/books/evidence/BGR-fork-20260601T080000Z.pem", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := a.readFile(args[0], evidence.MaxFile)
			if err != nil {
				return err
			}
			e, err := evidence.DecodeLogEvidence(text)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			r := evidence.VerifyLogEvidence(e, t)
			out := stepsText(r.Report)
			if r.Proven != "" {
				out += fmt.Sprintf("proven against %s: %s of the log %s", r.Bureau, r.Proven, r.Origin)
			} else {
				out += "nothing is proven by this file alone"
			}
			if err := a.print(r, out); err != nil {
				return err
			}
			if r.Proven == "" {
				return errors.New("the file proves nothing against the bureau: see the steps, and ask it for the proof that is missing")
			}
			return nil
		},
	}
	trustFlag(cmd, &t)
	return cmd
}

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/policies"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

func (a *app) policyCommand() *cobra.Command {
	return group("policy", "Write, test, explain and reload this bureau's policies",
		a.permitCommand(), a.policyTestCommand(), a.explainCommand(), a.reloadCommand())
}

func (a *app) permitCommand() *cobra.Command {
	var dir, bureau, collection, mode, until, direction string
	var purposes []string
	var optional bool
	cmd := &cobra.Command{
		Use: "permit", Short: "Write a permit as a Cedar file, show it and put it in force",
		Example: "  entente policy permit --dir esp --bureau BGR --collection persons --mode ask --purpose border-control\n" +
			"  entente policy permit --dir bgr --bureau ALL --collection documents --mode ask --purpose border-control",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return usagef("--dir is missing: name the node's folder")
			}
			cfg, err := node.LoadConfig(dir, a.environ())
			if err != nil {
				return err
			}
			o, err := permitOptions(cfg, a.now(), bureau, collection, mode, until, direction, purposes, optional)
			if err != nil {
				return usageError{err}
			}
			name, text, err := policies.WritePermit(node.PoliciesDir(dir), o)
			if err != nil {
				return err
			}
			if running, err := a.running(cfg); err != nil {
				return err
			} else if running {
				if err := a.reload(cmd.Context(), connection{dir: dir, client: node.OperatorClient}, false); err != nil {
					return fmt.Errorf("%s is written, and the running node did not take it up: %w", name, err)
				}
			}
			path := filepath.Join(node.PoliciesDir(dir), name)
			return a.print(map[string]string{"file": path, "cedar": string(text)},
				fmt.Sprintf("%s\nIn force: %s", strings.TrimRight(string(text), "\n"), path))
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "", "the node's folder")
	f.StringVar(&bureau, "bureau", "", "the other bureau, or ALL")
	f.StringVar(&collection, "collection", "", "persons or documents")
	f.StringVar(&mode, "mode", "ask", "how: ask")
	f.StringSliceVar(&purposes, "purpose", nil, "what for; may be given more than once")
	f.BoolVar(&optional, "optional", false, "a check is complete without that bureau's answer")
	f.StringVar(&until, "until", "", "the last day on which the permit holds, YYYY-MM-DD")
	f.StringVar(&direction, "direction", "both", "both, ask (we may ask them) or answer (they may ask us)")
	return cmd
}

func (a *app) policyTestCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "test CASES.yaml...", Short: "Run the country's own cases against its policies",
		Example: "  entente policy test --dir esp cases.yaml", Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			_, set, err := a.policies(dir)
			if err != nil {
				return err
			}
			failed, total := 0, 0
			for _, file := range args {
				b, err := a.readFile(file, maxTextFile)
				if err != nil {
					return err
				}
				results, err := policy.RunCases(set, b)
				if err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
				for _, r := range results {
					total++
					word := "ok"
					if !r.OK {
						failed++
						word = "FAILED"
					}
					result := map[string]any{"name": r.Name, "ok": r.OK, "want": r.Want, "got": r.Got, "rules": r.Decision.Rules}
					if err := a.print(result, fmt.Sprintf("%-6s %s%s", word, r.Name, difference(r))); err != nil {
						return err
					}
				}
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d cases failed", failed, total)
			}
			if !a.json {
				fmt.Fprintf(a.out, "%d cases passed\n", total)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the node's folder")
	return cmd
}

func difference(r policy.CaseResult) string {
	if r.OK {
		return ""
	}
	return ": expected " + r.Want + ", got " + r.Got
}

func (a *app) policies(dir string) (node.Config, *policy.Set, error) {
	if dir == "" {
		return node.Config{}, nil, usagef("--dir is missing: name the node's folder")
	}
	cfg, err := node.LoadConfig(dir, a.environ())
	if err != nil {
		return cfg, nil, err
	}
	set, err := policy.Load(os.DirFS(node.PoliciesDir(dir)))
	return cfg, set, err
}

func (a *app) reloadCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "reload", Short: "Have the running node read its policy folder again, all or nothing",
		Example: "  entente policy reload --dir esp", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.reload(cmd.Context(), c, true) },
	}
	c.flags(cmd, node.OperatorClient)
	return cmd
}

func (a *app) reload(ctx context.Context, c connection, tell bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := a.dial(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close()
	resp, err := adminv1.NewAdminServiceClient(conn).ReloadPolicy(ctx, &adminv1.ReloadPolicyRequest{})
	if err != nil || !tell {
		return err
	}
	return a.print(resp, fmt.Sprintf("%d policies in force, version %.12s", resp.GetPolicies(), resp.GetVersion()))
}

func permitOptions(cfg node.Config, now time.Time, bureau, collection, mode, until, direction string, purposes []string, optional bool) (policy.PermitOptions, error) {
	o := policy.PermitOptions{
		Self: cfg.Bureau, Bureau: bureau, Collection: collection, Mode: mode, Optional: optional,
	}
	if mode != policy.ModeAsk {
		return o, fmt.Errorf("--mode %q: give ask: this version answers questions, it sends neither copies nor pointers", mode)
	}
	if bureau != policy.Everybody {
		if _, err := identity.ParseBureau(bureau); err != nil {
			return o, fmt.Errorf("--bureau: %w", err)
		}
	}
	if len(purposes) == 0 && bureau != policy.Everybody {
		return o, fmt.Errorf("--purpose is missing: say what for, for example border-control")
	}
	for _, name := range purposes {
		p, err := identity.ParsePurpose(name)
		if err != nil {
			return o, fmt.Errorf("--purpose: %w", err)
		}
		o.Purposes = append(o.Purposes, p)
	}
	if until != "" {
		day, err := time.Parse(time.DateOnly, until)
		if err != nil {
			return o, fmt.Errorf("--until %q: write the last day as YYYY-MM-DD", until)
		}
		o.Until = day.AddDate(0, 0, 1) // the day itself is still in
		if !o.Until.After(now) {
			return o, fmt.Errorf("--until %s is over: a permit that has ended permits nothing", until)
		}
	}
	switch direction {
	case "both":
	case "ask":
		o.Directions = policy.Outbound
	case "answer":
		o.Directions = policy.Inbound
	default:
		return o, fmt.Errorf("--direction %q: give both, ask or answer", direction)
	}
	return o, nil
}

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// explainFlags are the facts of a request that is to be explained.
type explainFlags struct {
	action, bureau, agency, role, purpose string
	collection, issuer, nationality       string
	operation                             string
	holds                                 []string
	hasCase                               bool
}

func (a *app) explainCommand() *cobra.Command {
	var dir string
	var f explainFlags
	cmd := &cobra.Command{
		Use: "explain", Short: "Show how the policies decide a request, and by which rule",
		Example: "  entente policy explain --dir esp --action answer --bureau BGR --collection persons --purpose border-control\n" +
			"  entente policy explain --dir bgr --action ask --bureau ESP --collection documents --issuer ESP --purpose border-control",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, set, err := a.policies(dir)
			if err != nil {
				return err
			}
			d, err := f.decide(a, cfg, set)
			if err != nil {
				return usageError{err}
			}
			result := map[string]any{"allow": d.Allow, "rules": d.Rules, "policyVersion": set.Version()}
			if d.Err != nil {
				result["error"] = d.Err.Error()
			}
			return a.print(result, strings.TrimRight(policy.Explain(d, set), "\n"))
		},
	}
	s := cmd.Flags()
	s.StringVar(&dir, "dir", "", "the node's folder")
	s.StringVar(&f.action, "action", "", "check, ask, answer or administer")
	s.StringVar(&f.bureau, "bureau", "", "the other bureau, for ask and answer")
	s.StringVar(&f.agency, "agency", "border-police", "the requester's agency")
	s.StringVar(&f.role, "role", "officer", "the requester's role")
	s.StringVar(&f.purpose, "purpose", "", "what for")
	s.StringVar(&f.collection, "collection", "", "persons or documents, for ask and answer")
	s.StringVar(&f.issuer, "issuer", "", "the state that issued the document asked about")
	s.StringVar(&f.nationality, "nationality", "", "the nationality of the person asked about")
	s.StringVar(&f.operation, "operation", "", "the operation, for administer: "+strings.Join(policy.Operations(), ", "))
	s.StringSliceVar(&f.holds, "holds", nil, "the purposes in the client's certificate, for check and ask (default: --purpose)")
	s.BoolVar(&f.hasCase, "case", false, "the request names a case")
	return cmd
}

func (f explainFlags) decide(a *app, cfg node.Config, set *policy.Set) (policy.Decision, error) {
	var none policy.Decision
	client := identity.Client(cfg.Federation, cfg.Bureau, f.agency, identity.Role(f.role), "anybody", nil)
	if f.action == "administer" {
		return set.Administer(policy.AdministerFacts{Client: client, Operation: f.operation}), nil
	}
	purpose, err := identity.ParsePurpose(f.purpose)
	if err != nil {
		return none, fmt.Errorf("--purpose: %w", err)
	}
	client.Purposes = []recordv1.Purpose{purpose}
	if len(f.holds) > 0 {
		client.Purposes = nil
	}
	for _, name := range f.holds {
		p, err := identity.ParsePurpose(name)
		if err != nil {
			return none, fmt.Errorf("--holds: %w", err)
		}
		client.Purposes = append(client.Purposes, p)
	}
	if f.action == "check" {
		return set.Check(policy.CheckFacts{Client: client, Purpose: purpose, HasCase: f.hasCase}), nil
	}
	other, err := identity.ParseBureau(f.bureau)
	if err != nil {
		return none, fmt.Errorf("--bureau: %w", err)
	}
	switch f.action {
	case "ask":
		return set.Ask(policy.AskFacts{
			Self: cfg.Bureau, Client: client, To: other, Collection: f.collection, Purpose: purpose,
			IssuingState: f.issuer, Nationality: f.nationality, Now: a.now(),
		}), nil
	case "answer":
		return set.Answer(policy.AnswerFacts{
			Self: cfg.Bureau, From: other, Federation: cfg.Federation, Agency: f.agency, Role: f.role, Collection: f.collection,
			Purpose: purpose, Mode: policy.ModeAsk, IssuingState: f.issuer, Nationality: f.nationality, HasCase: f.hasCase, Now: a.now(),
		}), nil
	default:
		return none, fmt.Errorf("--action %q: give check, ask, answer or administer", f.action)
	}
}

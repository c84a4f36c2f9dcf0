package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/dualcontrol"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

func (a *app) quotaCommand() *cobra.Command {
	return group("quota", "Show and set how much bureaus and agencies may ask", a.quotaShowCommand(), a.quotaSetCommand())
}

// quotaFlags say whose quota.
type quotaFlags struct{ bureau, agency string }

func (q *quotaFlags) flags(cmd *cobra.Command, all string) {
	cmd.Flags().StringVar(&q.bureau, "bureau", "", "another bureau, or "+all)
	cmd.Flags().StringVar(&q.agency, "agency", "", "an own agency, or "+all)
}

// anybody is how a command names all who have no quota of their own.
const anybody = "ALL"

func (q quotaFlags) scope() (adminv1.QuotaScope, string, error) {
	switch {
	case q.bureau != "" && q.agency != "":
		return 0, "", usagef("--bureau and --agency: give one of them")
	case q.bureau == anybody:
		return adminv1.QuotaScope_QUOTA_SCOPE_BUREAU, "", nil
	case q.agency == anybody:
		return adminv1.QuotaScope_QUOTA_SCOPE_AGENCY, "", nil
	case q.bureau != "":
		b, err := identity.ParseBureau(strings.ToUpper(q.bureau))
		if err != nil {
			return 0, "", usagef("--bureau: %w", err)
		}
		return adminv1.QuotaScope_QUOTA_SCOPE_BUREAU, string(b), nil
	case q.agency != "":
		return adminv1.QuotaScope_QUOTA_SCOPE_AGENCY, q.agency, nil
	}
	return 0, "", nil
}

func (a *app) quotaShowCommand() *cobra.Command {
	var c connection
	var q quotaFlags
	cmd := &cobra.Command{
		Use: "show", Short: "Show the limits and how much of them is used",
		Example: "  entente quota show --dir bel\n  entente quota show --dir bel --bureau BGR", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			scope, name, err := q.scope()
			if err != nil {
				return err
			}
			return a.admin(cmd, c, func(ctx context.Context, client adminv1.AdminServiceClient) error {
				resp, err := client.ListQuotas(ctx, &adminv1.ListQuotasRequest{Scope: scope, Name: name})
				if err != nil {
					return err
				}
				if len(resp.GetQuotas()) == 0 && !a.json {
					return a.print(nil, "nobody of that name has asked, and none has limits of its own: the default holds (ALL)")
				}
				for _, s := range resp.GetQuotas() {
					if err := a.print(s, quotaText(s)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	c.flags(cmd, node.OperatorClient)
	q.flags(cmd, "ALL for the default")
	return cmd
}

func quotaText(s *adminv1.QuotaState) string {
	quota := s.GetQuota()
	name, own := quota.GetName(), ""
	if name == "" {
		name = anybody
	}
	if s.GetOwn() {
		own = ", its own"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s%s\n", wordOf(quota.GetScope(), "QUOTA_SCOPE_"), name, own)
	fmt.Fprintf(&b, "  at once          %d, %g a second over time\n", quota.GetBurst(), quota.GetPerSecond())
	fmt.Fprintf(&b, "  subjects a day   %d of %d\n", s.GetSubjects(), quota.GetSubjectsPerDay())
	fmt.Fprintf(&b, "  positives a day  %d of %d\n", s.GetPositives(), quota.GetPositivesPerDay())
	fmt.Fprintf(&b, "  last 24 hours    %d questions, %d turned away", s.GetQuestions(), s.GetTurnedAway())
	if s.GetThrottledUntil() != nil {
		fmt.Fprintf(&b, "\n  THROTTLED        from %s to %s", clockTime(s.GetThrottledSince().AsTime()), clockTime(s.GetThrottledUntil().AsTime()))
	}
	return b.String()
}

func (a *app) quotaSetCommand() *cobra.Command {
	var c connection
	var q quotaFlags
	req := &adminv1.SetQuotaRequest{Quota: &adminv1.Quota{}}
	cmd := &cobra.Command{
		Use: "set", Short: "Set the limits of a bureau or an agency; what is 0 takes the default",
		Example: "  entente quota set --dir bel --bureau BGR --per-second 20 --burst 100\n" +
			"  entente quota set --dir bel --bureau BGR --lift",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			scope, name, err := q.scope()
			if err != nil {
				return err
			}
			if scope == 0 {
				return usagef("--bureau or --agency is needed: whose quota")
			}
			req.Quota.Scope, req.Quota.Name = scope, name
			return a.admin(cmd, c, func(ctx context.Context, client adminv1.AdminServiceClient) error {
				resp, err := client.SetQuota(ctx, req)
				if err != nil {
					return err
				}
				return a.print(resp.GetQuota(), quotaText(resp.GetQuota()))
			})
		},
	}
	c.flags(cmd, node.OperatorClient)
	q.flags(cmd, "ALL for all that have none of their own")
	f := cmd.Flags()
	f.Float64Var(&req.Quota.PerSecond, "per-second", 0, "questions a second, over time")
	f.Uint32Var(&req.Quota.Burst, "burst", 0, "questions at once")
	f.Uint64Var(&req.Quota.SubjectsPerDay, "subjects-per-day", 0, "distinct documents and persons a day")
	f.Uint64Var(&req.Quota.PositivesPerDay, "positives-per-day", 0, "positive answers a day")
	f.BoolVar(&req.Lift, "lift", false, "end a throttle that holds now")
	return cmd
}

func (a *app) alarmCommand() *cobra.Command {
	return group("alarm", "List and close the alarms", a.alarmListCommand(), a.alarmClearCommand())
}

func (a *app) alarmListCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "list", Short: "List the alarms that nobody has closed", Example: "  entente alarm list --dir bel", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.admin(cmd, c, func(ctx context.Context, client adminv1.AdminServiceClient) error {
				s, err := client.GetStatus(ctx, &adminv1.GetStatusRequest{})
				if err != nil {
					return err
				}
				for _, al := range s.GetAlarms() {
					if err := a.print(al, alarmText(al)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	c.flags(cmd, node.OperatorClient)
	return cmd
}

// alarmText is an alarm on one line.
func alarmText(al *adminv1.Alarm) string {
	text := fmt.Sprintf("%s %s: %s (since %s", strings.ToUpper(wordOf(al.GetKind(), "ALARM_KIND_")), dualcontrol.Legible(al.GetSubject()), dualcontrol.Legible(al.GetText()),
		clockTime(al.GetRaisedAt().AsTime()))
	if al.GetCount() > 1 {
		text += fmt.Sprintf(", %d times, last %s", al.GetCount(), al.GetLastAt().AsTime().UTC().Format(time.RFC3339))
	}
	text += ", " + al.GetAlarmId() + ")"
	if al.GetEvidence() != "" {
		text += "\n    evidence: " + dualcontrol.Legible(al.GetEvidence())
	}
	return text
}

func (a *app) alarmClearCommand() *cobra.Command {
	var c connection
	req := &adminv1.ClearAlarmRequest{}
	cmd := &cobra.Command{
		Use: "clear", Short: "Close an alarm that you have looked into",
		Example: "  entente alarm clear --dir bel --id 5f0c... --note 'test run of BGR, agreed by phone'", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if req.GetAlarmId() == "" || req.GetNote() == "" {
				return usagef("--id and --note are needed: which alarm, and what you found, for the books")
			}
			return a.admin(cmd, c, func(ctx context.Context, client adminv1.AdminServiceClient) error {
				if _, err := client.ClearAlarm(ctx, req); err != nil {
					return err
				}
				return a.print(req, "the alarm is closed")
			})
		},
	}
	c.flags(cmd, node.OperatorClient)
	cmd.Flags().StringVar(&req.AlarmId, "id", "", "the alarm's id (entente alarm list)")
	cmd.Flags().StringVar(&req.Note, "note", "", "what you found, for the books")
	return cmd
}

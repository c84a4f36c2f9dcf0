package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/node"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

func (a *app) pointCommand() *cobra.Command {
	return group("point", "Show and set the operating point: how many innocent travellers are stopped, and who is found",
		a.pointShowCommand(), a.pointSetCommand())
}

const (
	// measurePatience is how long a person waits for a measurement. The node goes on with it.
	measurePatience = 90 * time.Minute
	// measureLook is how often it is looked whether it is done.
	measureLook = 500 * time.Millisecond
)

func (a *app) pointShowCommand() *cobra.Command {
	var c connection
	var measure bool
	cmd := &cobra.Command{
		Use: "show", Short: "Show alerts in 1,000 travellers, the thresholds that follow, and the recall that they cost",
		Example: "  entente point show --dir bel\n  entente point show --dir bel --measure", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			resp, err := a.point(cmd, c, measure)
			if err != nil {
				return err
			}
			return a.print(resp, pointText(resp))
		},
	}
	c.flags(cmd, node.OperatorClient)
	cmd.Flags().BoolVar(&measure, "measure", false, "measure the recall again first, and wait for it: minutes, of a long list half an hour and more")
	return cmd
}

// point asks for the operating point; with measure, when it has been measured again.
func (a *app) point(cmd *cobra.Command, c connection, measure bool) (*adminv1.GetOperatingPointResponse, error) {
	patience := callTimeout
	if measure {
		patience = measurePatience
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), patience)
	defer cancel()
	conn, err := a.dial(ctx, c)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if !measure {
		return getPoint(ctx, conn, false)
	}
	before, err := getPoint(ctx, conn, false)
	if err != nil {
		return nil, err
	}
	resp, err := getPoint(ctx, conn, true)
	look := time.NewTicker(measureLook)
	defer look.Stop()
	for err == nil && resp.GetMeasurement().GetRunning() {
		select {
		case <-ctx.Done():
			return nil, errors.New("the node is still measuring: look again with entente point show")
		case <-look.C:
			resp, err = getPoint(ctx, conn, false)
		}
	}
	if err == nil && proto.Equal(before.GetMeasurement().GetMeasuredAt(), resp.GetMeasurement().GetMeasuredAt()) {
		return nil, errors.New("the node did not measure to the end: its log says why")
	}
	return resp, err
}

func getPoint(ctx context.Context, conn *grpc.ClientConn, measure bool) (*adminv1.GetOperatingPointResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return adminv1.NewAdminServiceClient(conn).GetOperatingPoint(ctx, &adminv1.GetOperatingPointRequest{Measure: measure})
}

// className is a class of evidence as a command names it: name, birth-date.
func className(c adminv1.EvidenceClass) string { return wordOf(c, "EVIDENCE_CLASS_") }

// pointLine is the operating point on one line.
func pointLine(p *adminv1.OperatingPoint) string {
	var alerts []string
	for _, c := range p.GetClasses() {
		alerts = append(alerts, fmt.Sprintf("%s %g", className(c.GetEvidenceClass()), c.GetAlertsPerThousand()))
	}
	return fmt.Sprintf("alerts in 1,000 travellers: %s; %s names searched together", strings.Join(alerts, ", "), thousands(p.GetTogether()))
}

// thousands writes a number with commas.
func thousands(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func pointText(resp *adminv1.GetOperatingPointResponse) string {
	p, m := resp.GetPoint(), resp.GetMeasurement()
	var b strings.Builder
	said := "the default"
	if p.GetTogetherSet() > 0 {
		said = thousands(p.GetTogetherSet()) + " were set"
	}
	fmt.Fprintf(&b, "%s names are searched together (%s), %s of them here\n", thousands(p.GetTogether()), said, thousands(p.GetOwnNames()))
	for _, c := range p.GetClasses() {
		fmt.Fprintf(&b, "%s\n", className(c.GetEvidenceClass()))
		said := "the default"
		if c.GetAlertsPerThousand() != c.GetDefaultAlertsPerThousand() {
			said = fmt.Sprintf("the default is %g", c.GetDefaultAlertsPerThousand())
		}
		fmt.Fprintf(&b, "  alerts           %g in 1,000 innocent travellers (%s)\n", c.GetAlertsPerThousand(), said)
		fmt.Fprintf(&b, "  threshold        %s\n", thresholdText(c))
		if len(c.GetRecalls()) == 0 {
			continue
		}
		at, found := "  alerts in 1,000 ", "  listed found    "
		for _, r := range c.GetRecalls() {
			mark := " "
			if r.GetAlertsPerThousand() == c.GetAlertsPerThousand() {
				mark = "*"
			}
			at += fmt.Sprintf("%7g%s", r.GetAlertsPerThousand(), mark)
			found += fmt.Sprintf("%6.1f%% ", 100*r.GetRecall())
		}
		fmt.Fprintf(&b, "%s\n%s\n", strings.TrimRight(at, " "), strings.TrimRight(found, " "))
	}
	switch {
	case m.GetMeasuredAt() != nil:
		fmt.Fprintf(&b, "measured %s: %s looked for among %s names here\n", clockTime(m.GetMeasuredAt().AsTime()), thousands(uint64(m.GetLookedFor())), thousands(m.GetOwnNames()))
	case m.GetRunning():
		b.WriteString("what other points cost is being measured: look again\n")
	default:
		b.WriteString("what other points cost was not measured yet: --measure does it now\n")
	}
	b.WriteString("how: " + m.GetMethod())
	return b.String()
}

// thresholdText is from where on an officer is told, on one line.
func thresholdText(c *adminv1.PointOfClass) string {
	text := fmt.Sprintf("%.1f nats of log-odds", c.GetThreshold())
	if len(c.GetRegions()) == 0 {
		return text + ", less or more by where the name is at home; not measured on this list"
	}
	lowest, highest := c.GetRegions()[0], c.GetRegions()[0]
	for _, r := range c.GetRegions() {
		if r.GetThreshold() < lowest.GetThreshold() {
			lowest = r
		}
		if r.GetThreshold() > highest.GetThreshold() {
			highest = r
		}
	}
	return fmt.Sprintf("%.1f to %.1f nats of log-odds, by where the name is at home (%s, %s)",
		lowest.GetThreshold(), highest.GetThreshold(), regionText(lowest), regionText(highest))
}

func regionText(r *adminv1.RegionThreshold) string {
	if r.GetRegion() == "" {
		return "of no known region"
	}
	return r.GetRegion()
}

func (a *app) pointSetCommand() *cobra.Command {
	var c connection
	var class string
	var together uint64
	req := &adminv1.SetOperatingPointRequest{}
	cmd := &cobra.Command{
		Use: "set", Short: "Set how many innocent travellers are stopped, and how many names are searched together",
		Example: "  entente point set --dir bel --class birth-date --alerts-per-1000 0.5\n" +
			"  entente point set --dir bel --together 2000000", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := cmd.Flags()
			if f.Changed("class") != f.Changed("alerts-per-1000") {
				return usagef("--class and --alerts-per-1000 belong together: whose point, and which")
			}
			if !f.Changed("class") && !f.Changed("together") {
				return usagef("give --class with --alerts-per-1000, or --together, or all three")
			}
			if f.Changed("class") {
				for value := range adminv1.EvidenceClass_name {
					if className(adminv1.EvidenceClass(value)) == class {
						req.EvidenceClass = adminv1.EvidenceClass(value)
					}
				}
				if req.GetEvidenceClass() == adminv1.EvidenceClass_EVIDENCE_CLASS_UNSPECIFIED {
					return usagef("--class %q: write name or birth-date", class)
				}
			}
			if f.Changed("together") {
				req.Together = &together
			}
			return a.admin(cmd, c, func(ctx context.Context, client adminv1.AdminServiceClient) error {
				resp, err := client.SetOperatingPoint(ctx, req)
				if err != nil {
					return err
				}
				return a.print(resp.GetPoint(), pointLine(resp.GetPoint()))
			})
		},
	}
	c.flags(cmd, node.OperatorClient)
	f := cmd.Flags()
	f.StringVar(&class, "class", "", "what is known of the traveller: name (the name alone) or birth-date")
	f.Float64Var(&req.AlertsPerThousand, "alerts-per-1000", 0, "how many of 1,000 innocent travellers an officer is to be told of")
	f.Uint64Var(&together, "together", 0, "how many names are searched together, at all bureaus; 0 for the default: 10,000, or the own list's if it has more")
	return cmd
}

package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/dualcontrol"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

func (a *app) actCommand() *cobra.Command {
	return group("act", "See and approve what needs a second person", a.actListCommand(), a.actApproveCommand(), a.actRefuseCommand())
}

func (a *app) actListCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "list", Short: "List the acts that wait for a second person, or to be done now that they are approved",
		Example: "  entente act list --dir bel", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.admin(cmd, c, func(ctx context.Context, client adminv1.AdminServiceClient) error {
				resp, err := client.ListActs(ctx, &adminv1.ListActsRequest{})
				if err != nil {
					return err
				}
				for _, act := range resp.GetActs() {
					if err := a.print(act, actText(act)); err != nil {
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

// actText is an act for who decides it. Its words are those of the person who wants it.
func actText(act *adminv1.Act) string {
	text := fmt.Sprintf("%s  %s: %s\n     wanted by %s at %s", act.GetActId(), act.GetOperation(), dualcontrol.Legible(act.GetSummary()),
		dualcontrol.Legible(act.GetWantedBy()), clockTime(act.GetWantedAt().AsTime()))
	if act.GetApprovedBy() == "" {
		return text + "\n     waits for a second person until " + clockTime(act.GetExpiresAt().AsTime())
	}
	return text + "\n     approved by " + dualcontrol.Legible(act.GetApprovedBy()) + ", to be done until " + clockTime(act.GetExpiresAt().AsTime())
}

// actID checks the id of an act before anybody is called.
func actID(id string) error {
	if id == "" {
		return usagef("--id is missing: which act (entente act list)")
	}
	if _, err := uuid.Parse(id); err != nil || len(id) != 36 {
		return usagef("--id %q: give the id as entente act list shows it", id)
	}
	return nil
}

func (a *app) actApproveCommand() *cobra.Command {
	var c connection
	var id string
	cmd := &cobra.Command{
		Use: "approve", Short: "Approve an act of somebody else's, once: who wanted it then does it again",
		Example: "  entente act approve --node 127.0.0.1:7442 --cert bert/cert.pem --key bert/key.pem --id 0b0e8a3a-6f6b-4b07-9c1e-2f5f0b8c6a51",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := actID(id); err != nil {
				return err
			}
			return a.admin(cmd, c, func(ctx context.Context, client adminv1.AdminServiceClient) error {
				resp, err := client.ApproveAct(ctx, &adminv1.ApproveActRequest{ActId: id})
				if err != nil {
					return err
				}
				return a.print(resp.GetAct(), actText(resp.GetAct()))
			})
		},
	}
	c.flags(cmd, node.OperatorClient)
	cmd.Flags().StringVar(&id, "id", "", "the act (entente act list)")
	return cmd
}

func (a *app) actRefuseCommand() *cobra.Command {
	var c connection
	var id string
	cmd := &cobra.Command{
		Use: "refuse", Short: "End an act that waits, or that is approved and not done yet",
		Example: "  entente act refuse --dir bel --id 0b0e8a3a-6f6b-4b07-9c1e-2f5f0b8c6a51", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := actID(id); err != nil {
				return err
			}
			return a.admin(cmd, c, func(ctx context.Context, client adminv1.AdminServiceClient) error {
				if _, err := client.RefuseAct(ctx, &adminv1.RefuseActRequest{ActId: id}); err != nil {
					return err
				}
				return a.print(map[string]string{"actId": id, "outcome": "refused"}, "the act is refused: whoever wanted it must begin again")
			})
		},
	}
	c.flags(cmd, node.OperatorClient)
	cmd.Flags().StringVar(&id, "id", "", "the act (entente act list)")
	return cmd
}

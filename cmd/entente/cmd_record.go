package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func (a *app) recordCommand() *cobra.Command {
	return group("record", "Show, withdraw and erase single records, and find their copies",
		a.recordShowCommand(), a.recordWithdrawCommand(), a.recordEraseCommand(), a.recordWhereCommand())
}

// recordFlags name one record.
type recordFlags struct{ collection, id string }

func (r *recordFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.collection, "collection", "", "persons or documents")
	cmd.Flags().StringVar(&r.id, "id", "", "the record's id")
}

func (r recordFlags) check() error {
	if r.collection != "persons" && r.collection != "documents" || r.id == "" {
		return usagef("--collection (persons or documents) and --id are needed: which record")
	}
	return nil
}

// records makes one call to the node's record service.
func (a *app) records(cmd *cobra.Command, c connection, call func(context.Context, recordv1.RecordServiceClient) error) error {
	return a.briefly(cmd, c, func(ctx context.Context, conn *grpc.ClientConn) error {
		return call(ctx, recordv1.NewRecordServiceClient(conn))
	})
}

func (a *app) recordShowCommand() *cobra.Command {
	var c connection
	var r recordFlags
	cmd := &cobra.Command{
		Use: "show", Short: "Show one record whole", Example: "  entente record show --dir bel --collection persons --id un:6907993",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.check(); err != nil {
				return err
			}
			return a.records(cmd, c, func(ctx context.Context, client recordv1.RecordServiceClient) error {
				resp, err := client.Get(ctx, &recordv1.GetRequest{Collection: r.collection, RecordId: r.id})
				if err != nil {
					return err
				}
				line, err := jsonLine(resp.GetRecord())
				if err != nil {
					return err
				}
				_, err = a.out.Write(append(line, '\n'))
				return err
			})
		},
	}
	c.flags(cmd, node.OperatorClient)
	r.flags(cmd)
	return cmd
}

func (a *app) recordWithdrawCommand() *cobra.Command {
	var c connection
	var r recordFlags
	cmd := &cobra.Command{
		Use: "withdraw", Short: "Withdraw one record: nothing finds it any more",
		Example: "  entente record withdraw --dir bel --collection persons --id un:6907993", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.check(); err != nil {
				return err
			}
			return a.records(cmd, c, func(ctx context.Context, client recordv1.RecordServiceClient) error {
				resp, err := client.Delete(ctx, &recordv1.DeleteRequest{Collection: r.collection, RecordId: r.id})
				if err != nil {
					return err
				}
				return a.print(resp, "withdrawn at "+clockTime(resp.GetWithdrawnAt().AsTime()))
			})
		},
	}
	c.flags(cmd, node.OperatorClient)
	r.flags(cmd)
	return cmd
}

func (a *app) recordEraseCommand() *cobra.Command {
	var c connection
	var r recordFlags
	var reason string
	cmd := &cobra.Command{
		Use: "erase", Short: "Erase one record for good: its key is destroyed",
		Long: "Two persons must want it: the first call is kept as an act that waits, a second person approves it\n" +
			"(entente act approve), and the first one calls again. What the books quote of the record is erased too; that\n" +
			"something passed, when, and by which rule stays.",
		Example: "  entente record erase --dir bel --collection persons --id un:6907993 --reason 'court order 4/2026'", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.check(); err != nil {
				return err
			}
			if reason == "" {
				return usagef("--reason is missing: say why, for the books, without naming anybody")
			}
			return a.records(cmd, c, func(ctx context.Context, client recordv1.RecordServiceClient) error {
				resp, err := client.Erase(ctx, &recordv1.EraseRequest{Collection: r.collection, RecordId: r.id, Reason: reason})
				if err != nil {
					return err
				}
				return a.print(resp, fmt.Sprintf("erased at %s; %d signed answers that quoted it are erased too; complete with the last backup of the keys, on %s",
					clockTime(resp.GetErasedAt().AsTime()), resp.GetEvidence(), clockTime(resp.GetCompleteAt().AsTime())))
			})
		},
	}
	c.flags(cmd, node.OperatorClient)
	r.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the books; it must name nobody")
	return cmd
}

func (a *app) recordWhereCommand() *cobra.Command {
	var c connection
	req := &recordv1.ListCopiesRequest{}
	cmd := &cobra.Command{
		Use: "where", Short: "List every copy that this node holds of one record of one owner",
		Example: "  entente record where --dir bel --owner BGR --id bg-4711", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := identity.ParseBureau(strings.ToUpper(req.GetOwner()))
			if err != nil {
				return usagef("--owner: %w", err)
			}
			if req.GetRecordId() == "" {
				return usagef("--id is missing: the record's id at its owner")
			}
			req.Owner = string(b)
			return a.records(cmd, c, func(ctx context.Context, client recordv1.RecordServiceClient) error {
				resp, err := client.ListCopies(ctx, req)
				if err != nil {
					return err
				}
				if len(resp.GetCopies()) == 0 && !a.json {
					return a.print(nil, "this node holds no copy of it")
				}
				for _, copied := range resp.GetCopies() {
					if err := a.print(copied, copyText(copied)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	c.flags(cmd, node.OperatorClient)
	cmd.Flags().StringVar(&req.Owner, "owner", "", "whose record it is")
	cmd.Flags().StringVar(&req.RecordId, "id", "", "its id there")
	return cmd
}

func copyText(c *recordv1.Copy) string {
	text := c.GetPlace()
	if c.GetCollection() != "" {
		text += " " + c.GetCollection()
	}
	if c.GetMessageId() != "" {
		text += ", message " + c.GetMessageId()
	}
	text += ", since " + clockTime(c.GetSince().AsTime())
	if c.GetVersion() > 0 {
		text += fmt.Sprintf(", version %d", c.GetVersion())
	}
	if c.GetWithdrawnAt() != nil {
		text += ", withdrawn " + clockTime(c.GetWithdrawnAt().AsTime())
	}
	return text
}

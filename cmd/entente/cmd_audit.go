package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/dualcontrol"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

func (a *app) auditCommand() *cobra.Command {
	return group("audit", "Read, verify and prove the books",
		a.auditListCommand(), a.auditShowCommand(), a.auditVerifyCommand(), a.auditProveCommand(), a.verifyBundleCommand(),
		a.auditExportCommand(), a.auditJoinCommand(), a.verifyEvidenceCommand(), a.unmaskCommand())
}

// auditCall makes one call to the node's books. Reading them may take long.
func (a *app) auditCall(cmd *cobra.Command, c connection, call func(context.Context, auditv1.AuditServiceClient) error) error {
	conn, err := a.dial(cmd.Context(), c)
	if err != nil {
		return err
	}
	defer conn.Close()
	return call(cmd.Context(), auditv1.NewAuditServiceClient(conn))
}

// moment reads a time as people write it: a date, a time in RFC 3339, or how long ago.
func (a *app) moment(flag, text string) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return timestamppb.New(a.now().Add(-d)), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return timestamppb.New(t), nil
		}
	}
	return nil, usagef("--%s %q: give a date (2026-06-01), a time (2026-06-01T08:00:00Z), or how long ago (24h)", flag, text)
}

func (a *app) auditListCommand() *cobra.Command {
	var c connection
	var since, until, kind, decision string
	req := &auditv1.ListRequest{}
	cmd := &cobra.Command{
		Use: "list", Short: "List what passed the gate, oldest first",
		Long: "List names who asked, when, why, by which rule and what became of it. Of the traveller it says nothing.",
		Example: "  entente audit list --node 127.0.0.1:7443 --cert dpo/cert.pem --key dpo/key.pem --since 24h --bureau BGR\n" +
			"  entente audit list --dir bel --agency border-police --purpose border-control --decision deny",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.listRequest(req, since, until, kind, decision); err != nil {
				return err
			}
			return a.auditCall(cmd, c, func(ctx context.Context, client auditv1.AuditServiceClient) error {
				stream, err := client.List(ctx, req)
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
					if err := a.print(resp.GetLocated(), locatedLine(resp.GetLocated())); err != nil {
						return err
					}
				}
			})
		},
	}
	c.flags(cmd, node.AuditorClient)
	f := cmd.Flags()
	f.StringVar(&since, "since", "", "from when on: a date, a time, or how long ago (24h)")
	f.StringVar(&until, "until", "", "until when, exclusive")
	f.StringVar(&req.Bureau, "bureau", "", "the other bureau")
	f.StringVar(&req.Agency, "agency", "", "the agency that asked")
	f.StringVar(&req.Purpose, "purpose", "", "the purpose, as border-control")
	f.StringVar(&kind, "kind", "", "check, ask, answer, no-answer, operation, limited or alarm")
	f.StringVar(&decision, "decision", "", "allow, deny or failed")
	f.Uint32Var(&req.Limit, "limit", 0, "how many at the most (0: all)")
	return cmd
}

func (a *app) listRequest(req *auditv1.ListRequest, since, until, kind, decision string) error {
	var err error
	if req.Since, err = a.moment("since", since); err != nil {
		return err
	}
	if req.Until, err = a.moment("until", until); err != nil {
		return err
	}
	if req.GetPurpose() != "" {
		if _, err := identity.ParsePurpose(req.GetPurpose()); err != nil {
			return usagef("--purpose: %w", err)
		}
	}
	if req.GetBureau() != "" {
		b, err := identity.ParseBureau(strings.ToUpper(req.GetBureau()))
		if err != nil {
			return usagef("--bureau: %w", err)
		}
		req.Bureau = string(b)
	}
	k, ok := enumOf(auditv1.EntryKind_value, "ENTRY_KIND_", kind)
	if !ok {
		return usagef("--kind %q: give check, ask, answer, no-answer, operation, limited or alarm", kind)
	}
	d, ok := enumOf(auditv1.Decision_value, "DECISION_", decision)
	if !ok {
		return usagef("--decision %q: give allow, deny or failed", decision)
	}
	req.Kind, req.Decision = auditv1.EntryKind(k), auditv1.Decision(d)
	return nil
}

// enumOf reads the word of an enumeration: "no-answer" is ENTRY_KIND_NO_ANSWER. Empty is zero.
func enumOf(values map[string]int32, prefix, word string) (int32, bool) {
	if word == "" {
		return 0, true
	}
	v, ok := values[prefix+strings.ToUpper(strings.ReplaceAll(word, "-", "_"))]
	return v, ok && v != 0
}

// wordOf is the word of an enumeration's value: ENTRY_KIND_NO_ANSWER is "no-answer".
func wordOf(value fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(value.String(), prefix), "_", "-"))
}

// locatedLine is an entry on one line.
func locatedLine(l *auditv1.Located) string {
	e := l.GetEntry()
	if e == nil {
		return fmt.Sprintf("leaf %d.%d  erased", l.GetIndex(), l.GetPlace())
	}
	parts := []string{
		clockTime(e.GetAt().AsTime()), wordOf(e.GetKind(), "ENTRY_KIND_") + "/" + wordOf(e.GetDirection(), "ENTRY_DIRECTION_"),
		e.GetBureau(), wordOf(e.GetDecision(), "DECISION_"),
	}
	if e.GetOperation() != "" {
		parts = append(parts, strings.TrimSpace(e.GetOperation()+" "+e.GetObject()))
	}
	if r := e.GetRequester(); r.GetAgency() != "" {
		parts = append(parts, r.GetAgency()+"/"+r.GetRole())
	}
	if p := e.GetJustification().GetPurpose(); p != 0 {
		parts = append(parts, identity.PurposeName(p))
	}
	for _, o := range e.GetOutcomes() {
		where := o.GetBureau()
		if o.GetCollection() != "" {
			where = o.GetCollection()
		}
		parts = append(parts, where+"="+strings.TrimPrefix(o.GetStatus().String(), "STATUS_"))
	}
	if e.GetReason() != "" {
		parts = append(parts, e.GetReason())
	}
	switch n := e.GetCount(); {
	case n == 0:
	case e.GetKind() == auditv1.EntryKind_ENTRY_KIND_OPERATION:
		parts = append(parts, fmt.Sprintf("count %d", n))
	default:
		parts = append(parts, fmt.Sprintf("%d times", n))
	}
	return dualcontrol.Legible(strings.Join(append(parts, e.GetMessageId()), "  "))
}

func (a *app) auditShowCommand() *cobra.Command {
	var c connection
	var id string
	cmd := &cobra.Command{
		Use: "show", Short: "Show all entries of one message",
		Example: "  entente audit show --dir bel --message-id 0b9f6a60-7f9c-4a43-9c5e-6f5c1c1f6c55", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := messageID(id, "a check's id, an ask's, an operation's (entente audit list shows them)"); err != nil {
				return err
			}
			return a.auditCall(cmd, c, func(ctx context.Context, client auditv1.AuditServiceClient) error {
				resp, err := client.Get(ctx, &auditv1.GetRequest{MessageId: id})
				if err != nil {
					return err
				}
				for _, l := range resp.GetEntries() {
					if err := a.print(l, locatedText(l)); err != nil {
						return err
					}
				}
				if crowded(resp.GetEntries()) {
					fmt.Fprintf(a.err, "entente: what stands under this id more than %d times is not shown in full: entente audit list shows all of it\n", journal.MaxFound)
				}
				return nil
			})
		},
	}
	c.flags(cmd, node.AuditorClient)
	cmd.Flags().StringVar(&id, "message-id", "", "the message's id, the same in both countries' books")
	return cmd
}

// crowded tells whether the node may have left some entries of a message out: a bureau can have sent
// any number of asks under one id (journal.Find).
func crowded(entries []*auditv1.Located) bool {
	type class struct {
		kind      auditv1.EntryKind
		direction auditv1.EntryDirection
		bureau    string
	}
	count := map[class]int{}
	for _, l := range entries {
		of := class{l.GetEntry().GetKind(), l.GetEntry().GetDirection(), l.GetEntry().GetBureau()}
		if count[of]++; count[of] > journal.MaxFound {
			return true
		}
	}
	return false
}

// messageID checks a message's id before anybody is called.
func messageID(id, which string) error {
	if id == "" {
		return usagef("--message-id is missing: %s", which)
	}
	if _, err := uuid.Parse(id); err != nil || len(id) != 36 {
		return usagef("--message-id %q: give %s", id, which)
	}
	return nil
}

// locatedText is an entry in full.
func locatedText(l *auditv1.Located) string {
	e := l.GetEntry()
	if e == nil {
		return locatedLine(l)
	}
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-14s %s\n", dualcontrol.Legible(name), dualcontrol.Legible(value))
		}
	}
	fmt.Fprintf(&b, "%s %s, %s, leaf %d.%d\n", wordOf(e.GetKind(), "ENTRY_KIND_"), wordOf(e.GetDirection(), "ENTRY_DIRECTION_"),
		clockTime(e.GetAt().AsTime()), l.GetIndex(), l.GetPlace())
	line("message", e.GetMessageId())
	line("check", e.GetCheckId())
	line("bureau", e.GetBureau())
	r, j := e.GetRequester(), e.GetJustification()
	line("requester", strings.Join(nonEmpty(r.GetBureau(), r.GetAgency(), r.GetUnit(), r.GetRole(), r.GetOfficer(), r.GetWorkstation()), ", "))
	line("on behalf of", r.GetOnBehalfOf())
	line("client", e.GetClient())
	line("second person", e.GetSecond())
	if j.GetPurpose() != 0 {
		line("purpose", identity.PurposeName(j.GetPurpose()))
	}
	line("justification", strings.Join(nonEmpty(j.GetCaseRef(), j.GetOffenceCode(), j.GetLegalBasis(), j.GetText()), "; "))
	line("operation", strings.TrimSpace(e.GetOperation()+" "+e.GetObject()))
	line("decision", strings.TrimSpace(wordOf(e.GetDecision(), "DECISION_")+" "+e.GetReason()))
	line("rules", strings.Join(e.GetRules(), ", "))
	line("policies", fmt.Sprintf("version %.12s", e.GetPolicyVersion()))
	for _, o := range e.GetOutcomes() {
		text := strings.TrimPrefix(o.GetStatus().String(), "STATUS_")
		if o.GetElapsed() != nil {
			text += " after " + o.GetElapsed().AsDuration().Round(time.Microsecond).String()
		}
		if o.GetAskId() != "" {
			text += ", ask " + o.GetAskId()
		}
		if len(o.GetRules()) > 0 {
			text += ", by " + strings.Join(o.GetRules(), ", ")
		}
		line(strings.Join(nonEmpty(o.GetBureau(), o.GetCollection()), " "), text)
	}
	if e.GetCount() > 0 {
		line("count", fmt.Sprint(e.GetCount()))
	}
	if e.GetElapsed() != nil {
		line("took", e.GetElapsed().AsDuration().Round(time.Microsecond).String())
	}
	return strings.TrimRight(b.String(), "\n")
}

func nonEmpty(all ...string) []string {
	var some []string
	for _, s := range all {
		if s != "" {
			some = append(some, s)
		}
	}
	return some
}

func (a *app) auditProveCommand() *cobra.Command {
	var c connection
	req := &auditv1.ProveRequest{}
	cmd := &cobra.Command{
		Use: "prove", Short: "Write the bundle that proves one exchange with another bureau",
		Long: "The bundle holds the signed ask and answer, the proofs that they stand in the log, the checkpoints and the\n" +
			"rosters. It is verified offline, years later, from itself alone. It holds what was asked: handle it so.",
		Example: "  entente audit prove --dir bel --message-id 0b9f6a60-7f9c-4a43-9c5e-6f5c1c1f6c55 > bundle", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := messageID(req.GetMessageId(), "an ask's id (entente audit list --kind ask shows them)"); err != nil {
				return err
			}
			return a.auditCall(cmd, c, func(ctx context.Context, client auditv1.AuditServiceClient) error {
				resp, err := client.Prove(ctx, req, grpc.MaxCallRecvMsgSize(evidence.MaxFile))
				if err != nil {
					return err
				}
				if why := resp.GetOtherSideMissing(); why != "" {
					fmt.Fprintf(a.err, "entente: the other bureau's proof is not in the bundle: %s\n", why)
				}
				text, err := evidence.EncodeBundle(resp.GetBundle())
				if err != nil {
					return err
				}
				_, err = a.out.Write(text)
				return err
			})
		},
	}
	c.flags(cmd, node.AuditorClient)
	cmd.Flags().StringVar(&req.MessageId, "message-id", "", "the ask's id")
	cmd.Flags().BoolVar(&req.OtherSide, "other-side", false, "ask the other bureau for the proof from its log too")
	return cmd
}

func (a *app) auditExportCommand() *cobra.Command {
	var c connection
	var since, until string
	req := &auditv1.ExportRequest{}
	cmd := &cobra.Command{
		Use: "export", Short: "Write the books about another bureau, for a joint audit",
		Long: "The export says which messages passed between the two bureaus, when and which way, and proves that each\n" +
			"stands in the log. It holds no question and no answer.",
		Example: "  entente audit export --dir bel --bureau BGR --since 2026-06-01 > BEL.export", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := identity.ParseBureau(strings.ToUpper(req.GetPeer()))
			if err != nil {
				return usagef("--bureau: %w", err)
			}
			req.Peer = string(b)
			if req.Since, err = a.moment("since", since); err != nil {
				return err
			}
			if req.Until, err = a.moment("until", until); err != nil {
				return err
			}
			return a.auditCall(cmd, c, func(ctx context.Context, client auditv1.AuditServiceClient) error {
				stream, err := client.Export(ctx, req)
				if err != nil {
					return err
				}
				passages := 0
				for {
					resp, err := stream.Recv()
					if errors.Is(err, io.EOF) {
						// Standard output is the file.
						fmt.Fprintf(a.err, "entente: %d passages between %s and the own bureau are exported\n", passages, req.GetPeer())
						return nil
					}
					if err != nil {
						return err
					}
					passages += len(resp.GetPart().GetEntries())
					text, err := evidence.EncodeExport(resp.GetPart())
					if err != nil {
						return err
					}
					if _, err := a.out.Write(text); err != nil {
						return err
					}
				}
			})
		},
	}
	c.flags(cmd, node.AuditorClient)
	cmd.Flags().StringVar(&req.Peer, "bureau", "", "the other bureau")
	cmd.Flags().StringVar(&since, "since", "", "from when on: a date, a time, or how long ago (24h)")
	cmd.Flags().StringVar(&until, "until", "", "until when, exclusive")
	return cmd
}

func (a *app) unmaskCommand() *cobra.Command {
	var c connection
	req := &auditv1.UnmaskRequest{}
	cmd := &cobra.Command{
		Use: "unmask", Short: "Name the person behind an officer's pseudonym",
		Long: "Two persons must want it: the first call is kept as an act that waits, a second auditor approves it\n" +
			"(entente act approve), and the first one calls again. Both stand in the books.",
		Example: "  entente audit unmask --dir bel --officer o-ksj2... --reason 'complaint 2026/17'", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if req.GetOfficer() == "" || req.GetReason() == "" {
				return usagef("--officer and --reason are needed: whom, and why, for the books")
			}
			return a.auditCall(cmd, c, func(ctx context.Context, client auditv1.AuditServiceClient) error {
				resp, err := client.Unmask(ctx, req)
				if err != nil {
					return err
				}
				return a.print(resp, fmt.Sprintf("%s (seen from %s to %s)", dualcontrol.Legible(resp.GetClient()),
					clockTime(resp.GetFirstSeen().AsTime()), clockTime(resp.GetLastSeen().AsTime())))
			})
		},
	}
	c.flags(cmd, node.AuditorClient)
	cmd.Flags().StringVar(&req.Officer, "officer", "", "the pseudonym, as it stands in an ask or an entry")
	cmd.Flags().StringVar(&req.Reason, "reason", "", "why, for the books")
	return cmd
}

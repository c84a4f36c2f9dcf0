package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
)

// audit is what follows the stories: the auditors of Belgium and Lebanon look into the books.
func (d *demo) audit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	d.title("Afterwards. Belgium's data protection officer looks up what Lebanon has asked; she can search nothing")
	for _, id := range []identity.Bureau{"BEL", "LBN"} {
		if err := d.enrolAuditor(ctx, d.bureau(id)); err != nil {
			return fmt.Errorf("%s: auditor: %w", id, err)
		}
	}
	asked, err := d.askedOf(ctx, "BEL", "LBN")
	if err != nil {
		return err
	}
	d.expect(len(asked) == 2, "Lebanon asked Belgium twice (the books say %d times)", len(asked))
	if len(asked) == 0 {
		return nil
	}
	if err := d.prove(ctx, "BEL", asked[0]); err != nil {
		return err
	}
	return d.join(ctx, "BEL", "LBN", 2*len(asked))
}

// enrolAuditor has the bureau's PKI administrator enrol an auditor, and dials as the auditor.
func (d *demo) enrolAuditor(ctx context.Context, b *demoBureau) error {
	admin, err := d.app.dial(ctx, connection{dir: b.dir, client: node.PKIAdminClient})
	if err != nil {
		return err
	}
	defer admin.Close()
	key, csr, err := mtls.NewNamelessRequest()
	if err != nil {
		return err
	}
	resp, err := pkiv1.NewEnrolmentServiceClient(admin).Enrol(ctx, &pkiv1.EnrolRequest{
		Agency: "bureau", Role: string(identity.RoleAuditor), Name: "auditor-1", Csr: csr,
	})
	if err != nil {
		return err
	}
	chain, err := chainOf(resp.GetChain())
	if err != nil {
		return err
	}
	if err := mtls.SaveLeaf(node.ClientDir(b.dir, node.AuditorClient), chain, key); err != nil {
		return err
	}
	b.auditor, err = d.app.dial(ctx, connection{dir: b.dir, client: node.AuditorClient})
	return err
}

// askedOf lists what one bureau was asked by another, by the books of the one, and returns the
// messages' ids.
func (d *demo) askedOf(ctx context.Context, of, by identity.Bureau) ([]string, error) {
	stream, err := auditv1.NewAuditServiceClient(d.bureau(of).auditor).List(ctx, &auditv1.ListRequest{
		Bureau: string(by), Kind: auditv1.EntryKind_ENTRY_KIND_ASK,
	})
	if err != nil {
		return nil, err
	}
	var ids []string
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return ids, nil
		}
		if err != nil {
			return nil, err
		}
		e := resp.GetLocated().GetEntry()
		ids = append(ids, e.GetMessageId())
		d.event("passage", map[string]any{"bureau": of, "messageId": e.GetMessageId()}, "  %s", locatedLine(resp.GetLocated()))
		d.expect(len(e.GetRules()) > 0 && e.GetPolicyVersion() != "", "the books name the rule that let %s in", e.GetMessageId())
	}
}

// prove has a bureau prove an exchange with the proofs of both logs, and verifies the bundle as who
// has nothing but its bytes.
func (d *demo) prove(ctx context.Context, at identity.Bureau, id string) error {
	resp, err := auditv1.NewAuditServiceClient(d.bureau(at).auditor).Prove(ctx, &auditv1.ProveRequest{MessageId: id, OtherSide: true},
		grpc.MaxCallRecvMsgSize(evidence.MaxFile))
	if err != nil {
		return fmt.Errorf("%s: prove: %w", at, err)
	}
	file, err := evidence.EncodeBundle(resp.GetBundle())
	if err != nil {
		return err
	}
	bundle, err := evidence.DecodeBundle(file)
	if err != nil {
		return err
	}
	r := evidence.VerifyBundle(bundle, evidence.Trust{Fingerprint: d.roster})
	d.expect(resp.GetOtherSideMissing() == "", "the other bureau gave the proof of its log %s", resp.GetOtherSideMissing())
	d.expect(r.OK() && !r.AnsweredAt.IsZero(), "the bundle proves the exchange")
	d.told("bundle", r, fmt.Sprintf("\n  She proves the first exchange: a file of %d bytes. Verified from the file alone, years later if need be:\n%s  proven: %s asked %s on %s, answered on %s",
		len(file), indented(r.Report), r.Asker, r.Answerer, clockTime(r.AskedAt), clockTime(r.AnsweredAt)))
	return nil
}

// join compares what two bureaus' books say about each other.
func (d *demo) join(ctx context.Context, one, other identity.Bureau, passages int) error {
	first, err := d.export(ctx, one, other)
	if err != nil {
		return err
	}
	second, err := d.export(ctx, other, one)
	if err != nil {
		return err
	}
	r := evidence.Join(first, second, evidence.Trust{Fingerprint: d.roster})
	d.expect(r.OK() && len(r.Findings) == 0, "the books of %s and %s agree (%v)", one, other, r.Findings)
	d.expect(r.Matched == passages, "%d passages stand in both books (%d do)", passages, r.Matched)
	d.told("join", r, fmt.Sprintf("\n  She and her colleague in Lebanon lay their books beside each other:\n%s  %d passages stand in both, with the same bytes; neither leaves any out.",
		indented(r.Report), r.Matched))
	return nil
}

// export is what a bureau's books say about another.
func (d *demo) export(ctx context.Context, at, about identity.Bureau) (*auditv1.Export, error) {
	stream, err := auditv1.NewAuditServiceClient(d.bureau(at).auditor).Export(ctx, &auditv1.ExportRequest{Peer: string(about)})
	if err != nil {
		return nil, err
	}
	var file []byte
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return evidence.DecodeExport(file)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: export: %w", at, err)
		}
		part, err := evidence.EncodeExport(resp.GetPart())
		if err != nil {
			return nil, err
		}
		file = append(file, part...)
	}
}

// told prints a report: its steps for people, itself with --json.
func (d *demo) told(kind string, report any, text string) {
	if d.app.json {
		raw, err := json.Marshal(report)
		d.expect(err == nil, "the report can be written")
		d.event(kind, map[string]any{"report": json.RawMessage(raw)}, "")
		return
	}
	fmt.Fprintln(d.app.out, text)
}

// indented are a report's steps, each on a line below the story.
func indented(r evidence.Report) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(stepsText(r), "\n"), "\n", "\n    ") + "\n"
}

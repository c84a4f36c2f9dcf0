package nodetest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"

	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// Auditor is the auditors' service, as a data-protection officer reaches it.
func (b *Bureau) Auditor() auditv1.AuditServiceClient {
	b.t.Helper()
	return auditv1.NewAuditServiceClient(b.Client(identity.RoleAuditor))
}

// Entries are the entries of the books that a request asks for, as `entente audit list` shows them.
func (b *Bureau) Entries(req *auditv1.ListRequest) []*auditv1.Located {
	b.t.Helper()
	stream, err := b.Auditor().List(b.t.Context(), req)
	if err != nil {
		b.t.Fatalf("%s: audit list: %v", b.ID, err)
	}
	var all []*auditv1.Located
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			b.t.Fatalf("%s: audit list: %v", b.ID, err)
		}
		all = append(all, resp.GetLocated())
	}
}

// Prove makes the bundle of a message, as `entente audit prove` does, through the file that it
// writes. missing says why the other side's proof is not in it.
func (b *Bureau) Prove(messageID string, otherSide bool) (bundle *auditv1.Bundle, missing string) {
	b.t.Helper()
	resp, err := b.Auditor().Prove(b.t.Context(), &auditv1.ProveRequest{MessageId: messageID, OtherSide: otherSide}, grpc.MaxCallRecvMsgSize(evidence.MaxFile))
	if err != nil {
		b.t.Fatalf("%s: audit prove: %v", b.ID, err)
	}
	text, err := evidence.EncodeBundle(resp.GetBundle())
	if err == nil {
		bundle, err = evidence.DecodeBundle(text)
	}
	if err != nil {
		b.t.Fatalf("%s: bundle: %v", b.ID, err)
	}
	return bundle, resp.GetOtherSideMissing()
}

// Export is the books about another bureau, as `entente audit export` writes them.
func (b *Bureau) Export(about identity.Bureau) *auditv1.Export {
	b.t.Helper()
	stream, err := b.Auditor().Export(b.t.Context(), &auditv1.ExportRequest{Peer: string(about)})
	if err != nil {
		b.t.Fatalf("%s: audit export: %v", b.ID, err)
	}
	var file bytes.Buffer
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			b.t.Fatalf("%s: audit export: %v", b.ID, err)
		}
		text, err := evidence.EncodeExport(resp.GetPart())
		if err != nil {
			b.t.Fatalf("%s: audit export: %v", b.ID, err)
		}
		file.Write(text)
	}
	export, err := evidence.DecodeExport(file.Bytes())
	if err != nil {
		b.t.Fatalf("%s: audit export: %v", b.ID, err)
	}
	return export
}

// Verify reads the whole of the books, as `entente audit verify` does.
func (b *Bureau) Verify() *auditv1.VerifyReport {
	b.t.Helper()
	stream, err := b.Auditor().Verify(b.t.Context(), &auditv1.VerifyRequest{})
	var report *auditv1.VerifyReport
	for err == nil {
		var resp *auditv1.VerifyResponse
		if resp, err = stream.Recv(); resp.GetReport() != nil {
			report = resp.GetReport()
		}
	}
	if !errors.Is(err, io.EOF) || report == nil {
		b.t.Fatalf("%s: audit verify: %v", b.ID, err)
	}
	return report
}

// Status is the node's, as `entente status` shows it.
func (b *Bureau) Status() *adminv1.GetStatusResponse {
	b.t.Helper()
	s, err := b.Admin().GetStatus(b.t.Context(), &adminv1.GetStatusRequest{})
	if err != nil {
		b.t.Fatalf("%s: status: %v", b.ID, err)
	}
	return s
}

// Alarm is the open alarm of a kind over somebody; nil if there is none.
func (b *Bureau) Alarm(kind adminv1.AlarmKind, subject string) *adminv1.Alarm {
	b.t.Helper()
	for _, a := range b.Status().GetAlarms() {
		if a.GetKind() == kind && a.GetSubject() == subject {
			return a
		}
	}
	return nil
}

// Evidence reads the file that an alarm names.
func (b *Bureau) Evidence(a *adminv1.Alarm) *auditv1.LogEvidence {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.Dir, a.GetEvidence()))
	if err != nil {
		b.t.Fatalf("%s: evidence: %v", b.ID, err)
	}
	e, err := evidence.DecodeLogEvidence(text)
	if err != nil {
		b.t.Fatalf("%s: evidence: %v", b.ID, err)
	}
	return e
}

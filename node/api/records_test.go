package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func header(h *recordv1.ImportHeader) *recordv1.ImportRequest {
	return &recordv1.ImportRequest{Part: &recordv1.ImportRequest_Header{Header: h}}
}

func chunk(text string) *recordv1.ImportRequest {
	return &recordv1.ImportRequest{Part: &recordv1.ImportRequest_Chunk{Chunk: []byte(text)}}
}

// importFile sends parts and returns the report, and how often progress was told.
func importFile(ctx context.Context, conn *grpc.ClientConn, parts ...*recordv1.ImportRequest) (report *recordv1.ImportReport, progress int, err error) {
	stream, err := recordv1.NewRecordServiceClient(conn).Import(ctx)
	if err != nil {
		return nil, 0, err
	}
	for _, p := range parts {
		if err := stream.Send(p); err != nil {
			break // the reason comes with Recv
		}
	}
	if err := stream.CloseSend(); err != nil {
		return nil, 0, err
	}
	for {
		resp, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return report, progress, nil
		case err != nil:
			return report, progress, err
		case resp.GetReport() != nil:
			report = resp.GetReport()
		default:
			progress++
		}
	}
}

func csv() *recordv1.ImportHeader {
	return &recordv1.ImportHeader{Collection: "documents", Format: "csv", Source: "bel-sltd"}
}

const csvHead = "number,issuing_country,type,status\n"

// empty fails unless nothing of any file is left in the spool.
func (h *house) empty(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(h.spool)
	if err != nil || len(left) != 0 {
		t.Errorf("left in the spool: %v, %v", left, err)
	}
}

func TestImportInPieces(t *testing.T) {
	h := belgium(t)
	h.importer.Written = func() { h.empty(t) } // it has no name while it is under way either
	conn := h.as(t, client(identity.RoleOperator))
	report, progress, err := importFile(t.Context(), conn, header(csv()), chunk(csvHead+"EH48"), chunk("2913,BEL,pass"), chunk("port,stolen\nXDA1,ESP,passport,stolen\n"))
	if err != nil || report.GetCreated() != 1 || report.GetBad() != 1 || report.GetBadRows()[0].GetLine() != 3 || progress == 0 {
		t.Errorf("report %v, progress %d, %v", report, progress, err)
	}
	// A strict one is refused, and says what is wrong all the same.
	strict := csv()
	strict.Strict = true
	report, _, err = importFile(t.Context(), conn, header(strict), chunk(csvHead+"EH9,BEL,passport,stolen\nXDA1,ESP,passport,stolen\n"))
	if reason, _ := fault.ReasonOf(err); reason != fault.BadRows || len(report.GetBadRows()) != 1 {
		t.Errorf("report %v, %v", report, err)
	}
	h.empty(t)
}

func TestImportMisused(t *testing.T) {
	h := belgium(t)
	conn := h.as(t, client(identity.RoleOperator))
	bad := csv()
	bad.Source = "Not A Source"
	for name, c := range map[string]struct {
		parts  []*recordv1.ImportRequest
		reason fault.Reason
		field  string
	}{
		"nothing at all":         {nil, fault.MalformedRequest, "header"},
		"the file before":        {[]*recordv1.ImportRequest{chunk(csvHead), header(csv())}, fault.MalformedRequest, "header"},
		"two headers":            {[]*recordv1.ImportRequest{header(csv()), header(csv())}, fault.MalformedRequest, "header"},
		"a header in the middle": {[]*recordv1.ImportRequest{header(csv()), chunk(csvHead), header(csv())}, fault.MalformedRequest, "header"},
		"an empty message":       {[]*recordv1.ImportRequest{{}}, fault.MalformedRequest, "part"},
		"an empty part":          {[]*recordv1.ImportRequest{header(csv()), {}}, fault.MalformedRequest, "part"},
		"a malformed header":     {[]*recordv1.ImportRequest{header(bad)}, fault.MalformedRequest, "header.source"},
		"a chunk too large":      {[]*recordv1.ImportRequest{header(csv()), chunk(strings.Repeat("x", 1<<20+1))}, fault.MalformedRequest, "chunk"},
		"a header without file":  {[]*recordv1.ImportRequest{header(csv())}, fault.NotThisFormat, "file"},
	} {
		report, _, err := importFile(t.Context(), conn, c.parts...)
		reason, _ := fault.ReasonOf(err)
		if status.Code(err) != codes.InvalidArgument || reason != c.reason || fault.FieldOf(err) != c.field || report.GetCreated() != 0 {
			t.Errorf("%s: %v (field %q), report %v", name, err, fault.FieldOf(err), report)
		}
		h.empty(t)
	}
}

func TestImportGivenUp(t *testing.T) {
	h := belgium(t)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := recordv1.NewRecordServiceClient(h.as(t, client(identity.RoleOperator))).Import(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*recordv1.ImportRequest{header(csv()), chunk(csvHead + "EH482913,BEL,passport,stolen\n")} {
		if err := stream.Send(p); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("error %v", err)
	}
	h.empty(t)
	if n, err := h.store.Count(t.Context(), "documents"); err != nil || n != 0 {
		t.Errorf("%d documents of a file that did not arrive whole, %v", n, err)
	}
}

func TestCreateIsIdempotent(t *testing.T) {
	h := belgium(t)
	api := recordv1.NewRecordServiceClient(h.as(t, client(identity.RoleSystem)))
	req := &recordv1.CreateRequest{Record: stolen("doc-1", "EH482913"), RequestId: "7b0c3c1e-6a2e-4f7a-9a55-0e5f3a1d9f10"}
	first, err := api.Create(t.Context(), req)
	if err != nil || first.GetRecord().GetStewardship().GetVersion() != 1 || first.GetRecord().GetStewardship().GetOwnerBureau() != "BEL" ||
		first.GetRecord().GetDocument().GetNumberKey() == "" {
		t.Fatalf("created %v, %v", first, err)
	}
	// A record that was entered by hand and names nobody is told to nobody abroad.
	if a := first.GetRecord().GetStewardship().GetAudience(); a != nil {
		t.Errorf("audience %v", a)
	}
	again, err := api.Create(t.Context(), req)
	if err != nil || !proto.Equal(first, again) {
		t.Errorf("again: %v, %v", again, err)
	}
	_, err = api.Create(t.Context(), &recordv1.CreateRequest{Record: stolen("doc-1", "EH482914")})
	if reason, _ := fault.ReasonOf(err); status.Code(err) != codes.AlreadyExists || reason != fault.RecordExists {
		t.Errorf("another under the same id: %v", err)
	}
	foreign := stolen("doc-2", "XDA1")
	foreign.GetDocument().Issuer = "ESP"
	_, err = api.Create(t.Context(), &recordv1.CreateRequest{Record: foreign})
	if reason, _ := fault.ReasonOf(err); status.Code(err) != codes.FailedPrecondition || reason != fault.RecordUnfit || fault.FieldOf(err) != "record.document.issuer" {
		t.Errorf("a stolen document of another state: %v", err)
	}
}

func TestDelete(t *testing.T) {
	h := belgium(t)
	api := recordv1.NewRecordServiceClient(h.as(t, client(identity.RoleOperator)))
	held := stolen("held", "EH2")
	held.Stewardship = &recordv1.Stewardship{DeletionHold: true}
	for _, r := range []*recordv1.Record{stolen("doc-1", "EH1"), held} {
		if _, err := api.Create(t.Context(), &recordv1.CreateRequest{Record: r}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		id     string
		code   codes.Code
		reason fault.Reason
	}{
		{"doc-1", codes.OK, ""}, {"doc-1", codes.NotFound, fault.RecordNotFound}, {"none", codes.NotFound, fault.RecordNotFound},
		{"held", codes.FailedPrecondition, fault.DeletionHold},
	} {
		_, err := api.Delete(t.Context(), &recordv1.DeleteRequest{Collection: "documents", RecordId: c.id})
		if reason, _ := fault.ReasonOf(err); status.Code(err) != c.code || reason != c.reason {
			t.Errorf("%s: %v", c.id, err)
		}
	}
	if _, err := api.Get(t.Context(), &recordv1.GetRequest{Collection: "documents", RecordId: "held"}); err != nil {
		t.Error(err)
	}
}

func TestListPages(t *testing.T) {
	h := belgium(t)
	conn := h.as(t, client(identity.RoleOperator))
	api := recordv1.NewRecordServiceClient(conn)
	var file strings.Builder
	file.WriteString(csvHead)
	for i := range 250 {
		fmt.Fprintf(&file, "EH%06d,BEL,passport,stolen\n", i)
	}
	if _, _, err := importFile(t.Context(), conn, header(csv()), chunk(file.String())); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Create(t.Context(), &recordv1.CreateRequest{Record: stolen("by-hand", "EH999999")}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		size     int32
		source   string
		pages, n int
	}{{0, "", 3, 251}, {50, "bel-sltd", 5, 250}, {1000, "", 1, 251}, {251, "", 1, 251}, {125, "bel-sltd", 2, 250}, {10, "nobody", 1, 0}} {
		seen := map[string]bool{}
		req := &recordv1.ListRequest{Collection: "documents", Source: c.source, PageSize: c.size}
		pages := 0
		for {
			resp, err := api.List(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, r := range resp.GetRecords() {
				if seen[r.GetRecordId()] {
					t.Errorf("%s twice", r.GetRecordId())
				}
				seen[r.GetRecordId()] = true
			}
			if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
				break
			}
		}
		if pages != c.pages || len(seen) != c.n {
			t.Errorf("%+v: %d pages, %d records", c, pages, len(seen))
		}
	}
	page, err := api.List(t.Context(), &recordv1.ListRequest{Collection: "documents", PageSize: 10})
	if err != nil {
		t.Fatal(err)
	}
	for name, req := range map[string]*recordv1.ListRequest{
		"no token":          {Collection: "documents", PageToken: "%%%"},
		"made up":           {Collection: "documents", PageToken: "YWJj"},
		"of another list":   {Collection: "persons", PageToken: page.GetNextPageToken()},
		"of another source": {Collection: "documents", Source: "bel-sltd", PageToken: page.GetNextPageToken()},
	} {
		_, err := api.List(t.Context(), req)
		if reason, _ := fault.ReasonOf(err); status.Code(err) != codes.InvalidArgument || reason != fault.PageTokenInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListFitsAMessage(t *testing.T) {
	h := belgium(t)
	api := recordv1.NewRecordServiceClient(h.as(t, client(identity.RoleOperator)))
	for i := range 6 {
		rec := &recordv1.Record{RecordId: fmt.Sprintf("p%d", i), Body: &recordv1.Record_Person{Person: &recordv1.Person{
			Names:  []*recordv1.Name{{Parts: []*recordv1.NamePart{{Text: "Invented"}}}},
			Images: []*recordv1.Attachment{{MediaType: "image/jpeg", Content: make([]byte, 1<<20)}},
		}}}
		if _, err := api.Create(t.Context(), &recordv1.CreateRequest{Record: rec}); err != nil {
			t.Fatal(err)
		}
	}
	req, n := &recordv1.ListRequest{Collection: "persons"}, 0
	for {
		resp, err := api.List(t.Context(), req) // six megabytes do not go into one message of four
		if err != nil {
			t.Fatal(err)
		}
		n += len(resp.GetRecords())
		if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	if n != 6 {
		t.Errorf("%d records", n)
	}
}

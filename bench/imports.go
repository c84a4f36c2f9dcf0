package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/entente-mesh/entente/node/formats/sltd"
	"github.com/entente-mesh/entente/node/formats/unlist"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

const importChunk = 256 << 10

// importFile imports a file over the local listener, as the command line does.
func importFile(ctx context.Context, at *bureau, h *recordv1.ImportHeader, file []byte) (*recordv1.ImportReport, error) {
	h.Size = uint64(len(file))
	stream, err := recordv1.NewRecordServiceClient(at.desk).Import(ctx)
	if err != nil {
		return nil, err
	}
	send := func() error {
		if err := stream.Send(&recordv1.ImportRequest{Part: &recordv1.ImportRequest_Header{Header: h}}); err != nil {
			return err
		}
		for chunk := range slices.Chunk(file, importChunk) {
			if err := stream.Send(&recordv1.ImportRequest{Part: &recordv1.ImportRequest_Chunk{Chunk: chunk}}); err != nil {
				return err
			}
		}
		return stream.CloseSend()
	}
	// If the node ends the stream, Send says only EOF: the reason comes with Recv.
	if err := send(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var report *recordv1.ImportReport
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("import of %s: %w", h.GetSource(), err)
		}
		if r := resp.GetReport(); r != nil {
			report = r
		}
	}
	switch {
	case report == nil:
		return nil, fmt.Errorf("import of %s: the node ended it without a report", h.GetSource())
	case h.GetStrict() && report.GetBad() > 0:
		return nil, fmt.Errorf("import of %s: %d bad rows: %v", h.GetSource(), report.GetBad(), report.GetBadRows())
	}
	return report, nil
}

// imports is row 6.
func (b *bench) imports(ctx context.Context) error {
	var file bytes.Buffer
	if err := writeDocuments(&file, string(spain), b.importRows); err != nil {
		return err
	}
	header := &recordv1.ImportHeader{Collection: "documents", Format: "csv", Source: "invented-documents", Strict: true}
	parse := func() error {
		return sltd.Read(bytes.NewReader(file.Bytes()), func(_ int, _ *recordv1.Record, bad *sltd.RowError) error {
			if bad != nil {
				return bad
			}
			return nil
		})
	}
	alone, err := timed(parse)
	if err != nil {
		return err
	}
	var report *recordv1.ImportReport
	var took time.Duration
	err = b.profiled("import", func() (err error) {
		began := time.Now()
		report, err = importFile(ctx, b.mesh.at(spain), header, file.Bytes())
		took = time.Since(began)
		return err
	})
	if err != nil {
		return err
	}
	if report.GetCreated() != uint64(b.importRows) {
		return fmt.Errorf("%d documents created of %d", report.GetCreated(), b.importRows)
	}
	rows := float64(b.importRows)
	b.note(row{
		what: fmt.Sprintf("Import of %d documents (CSV) over the local listener, durable", b.importRows), measured: perSecond(rows / took.Seconds()),
		yardstick: "parsing alone " + perSecond(rows/alone.Seconds()), ratio: times(alone.Seconds() / took.Seconds()),
		budget: ">= 15,000/s (set for the last of 10 M)", met: within(rows/took.Seconds() >= 15_000),
	})
	return b.importUN(ctx)
}

func (b *bench) importUN(ctx context.Context) error {
	const what = "Import of the UN consolidated list (XML) over the local listener, durable"
	file, err := os.ReadFile(filepath.Join(b.data, "lists", "un_consolidated.xml"))
	if errors.Is(err, os.ErrNotExist) {
		b.note(row{what: what, measured: "not measured: ENTENTE_DATA holds no lists/un_consolidated.xml"})
		return nil
	}
	if err != nil {
		return err
	}
	if b.quick {
		b.note(row{what: what, measured: "not measured in a quick run"})
		return nil
	}
	records := 0
	alone, err := timed(func() error {
		_, err := unlist.Read(bytes.NewReader(file), func(e unlist.Entry) error {
			records += len(e.Records)
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	began := time.Now()
	report, err := importFile(ctx, b.mesh.at(belg), &recordv1.ImportHeader{Collection: "persons", Format: "un-xml", Source: "un"}, file)
	if err != nil {
		return err
	}
	took := time.Since(began)
	created := float64(report.GetCreated())
	b.note(row{
		what: fmt.Sprintf("%s: %d records", what, report.GetCreated()), measured: fmt.Sprintf("%s, %s", length(took), perSecond(created/took.Seconds())),
		yardstick: "parsing alone " + length(alone), ratio: times(took.Seconds() / alone.Seconds()),
	})
	return nil
}

func timed(f func() error) (time.Duration, error) {
	began := time.Now()
	err := f()
	return time.Since(began), err
}

package records

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/store"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Store is what an import needs of the store.
type Store interface {
	Put(ctx context.Context, puts []store.Put) ([]store.PutResult, error)
	Withdraw(ctx context.Context, collection string, ids []string) (int, error)
	SourceIDs(ctx context.Context, collection, source string) iter.Seq2[string, error]
}

// batchSize is how many records share one durable transaction: large enough that the flush does
// not dominate, small enough that an ask that waits for the writer is not held up noticeably.
const batchSize = 1000

// maxBadRows is how many bad rows a report names.
const maxBadRows = 100

// massWithdrawal is the share of a source that may vanish without a person confirming it. A
// truncated download looks exactly like a mass delisting.
const massWithdrawal = 0.05

// Importer takes files into the store.
type Importer struct {
	Store  Store
	Fitter *Fitter
	// Written is called after each durable batch, so that indexes follow at once. May be nil.
	Written func()
}

// Import reads a file whole and keeps its good rows. It reads src twice: once to check, once to
// write. progress may be nil; it is called now and then in the second pass. Errors are gRPC
// status errors: FAILED_PRECONDITION with reason BAD_ROWS (strict) or MASS_WITHDRAWAL
// (complete, more than 5 % gone, not confirmed), INVALID_ARGUMENT if the file is not of the
// format at all. With an error of the first pass, nothing was changed.
func (im *Importer) Import(ctx context.Context, h *recordv1.ImportHeader, src io.ReadSeeker, progress func(*recordv1.ImportProgress)) (*recordv1.ImportReport, error) {
	format, err := formatOf(h)
	if err != nil {
		return nil, err
	}
	report, seen, err := im.survey(ctx, h, format, src)
	if err != nil {
		return report, err
	}
	if h.GetStrict() && report.GetBad() > 0 {
		return report, fault.New(codes.FailedPrecondition, fault.BadRows, "file", fmt.Sprintf(
			"%d rows are bad and the import is strict: nothing was kept. Mend them, or import without --strict.", report.GetBad()))
	}
	gone, err := im.gone(ctx, h, seen, report)
	if err != nil {
		return report, err
	}
	if err := im.write(ctx, h, format, src, report, progress); err != nil {
		return report, err
	}
	for collection, ids := range gone {
		for batch := range slices.Chunk(ids, batchSize) {
			n, err := im.Store.Withdraw(ctx, collection, batch)
			if err != nil {
				return report, fmt.Errorf("withdraw: %w", err)
			}
			report.Withdrawn += uint64(n)
			im.written()
		}
	}
	return report, nil
}

// refusal is a record of a row that is not kept.
type refusal struct {
	*Unfit
	id string
}

// fitRow fits the records of one row. The first record is the row's subject: if it is not kept,
// what hangs on it (the documents of a person) is not kept either.
func (im *Importer) fitRow(h *recordv1.ImportHeader, r row, seen idSet) ([]store.Put, []refusal) {
	var kept []store.Put
	var refused []refusal
	for i, rec := range r.records {
		fit, err := im.Fitter.Fit(rec, h.GetCollection(), h.GetAudience())
		if err != nil {
			refused = append(refused, refusal{Unfit: asUnfit(err), id: rec.GetRecordId()})
		} else if !seen.add(collectionOf(rec), rec.GetRecordId()) {
			refused = append(refused, refusal{id: rec.GetRecordId(), Unfit: &Unfit{Field: "record_id",
				Reason: "the id stands twice in the file: the first one is kept; give each record its own id"}})
		} else {
			kept = append(kept, store.Put{Collection: collectionOf(rec), Source: h.GetSource(), Record: fit})
			continue
		}
		if i == 0 {
			return nil, refused
		}
	}
	return kept, refused
}

func (im *Importer) written() {
	if im.Written != nil {
		im.Written()
	}
}

// survey is the first pass: every row is parsed and fitted, nothing is written.
func (im *Importer) survey(ctx context.Context, h *recordv1.ImportHeader, format format, src io.ReadSeeker) (*recordv1.ImportReport, idSet, error) {
	report := &recordv1.ImportReport{}
	seen := newIDSet()
	counts := counter{}
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return report, seen, fmt.Errorf("import: %w", err)
	}
	err := format(src, func(r row) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		report.Rows++
		for _, p := range r.problems {
			bad(report, r.line, r.id(), p.Field, p.Reason)
		}
		if len(r.records) == 0 {
			report.Bad++
			return nil
		}
		_, refused := im.fitRow(h, r, seen)
		for _, u := range refused {
			report.Bad++
			bad(report, r.line, u.id, u.Field, u.Reason)
		}
		return nil
	}, counts)
	report.Counts = counts.list()
	if err != nil {
		return report, seen, err
	}
	return report, seen, nil
}

// gone lists the records of the source that the complete file does not hold any more.
func (im *Importer) gone(ctx context.Context, h *recordv1.ImportHeader, seen idSet, report *recordv1.ImportReport) (map[string][]string, error) {
	if !h.GetComplete() {
		return nil, nil
	}
	gone := map[string][]string{}
	total, missing := 0, 0
	for _, collection := range []string{Persons, Documents} {
		for id, err := range im.Store.SourceIDs(ctx, collection, h.GetSource()) {
			if err != nil {
				return nil, fmt.Errorf("import: %w", err)
			}
			total++
			if !seen.has(collection, id) {
				missing++
				gone[collection] = append(gone[collection], id)
			}
		}
	}
	if missing > 0 && float64(missing) > massWithdrawal*float64(total) && !h.GetConfirmWithdrawals() {
		return nil, fault.New(codes.FailedPrecondition, fault.MassWithdrawal, "complete", fmt.Sprintf(
			"the file does not hold %d of the %d records of the source %q: that is more than 5 %%, so nothing was changed. If they are to be withdrawn, confirm it (--yes).",
			missing, total, h.GetSource()))
	}
	return gone, nil
}

// write is the second pass.
func (im *Importer) write(ctx context.Context, h *recordv1.ImportHeader, format format, src io.ReadSeeker, report *recordv1.ImportReport, progress func(*recordv1.ImportProgress)) error {
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	counting := &countingReader{r: src}
	seen := newIDSet()
	batch := make([]store.Put, 0, batchSize)
	var rows uint64
	var told time.Time
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		results, err := im.put(ctx, batch, report)
		if err != nil {
			return fmt.Errorf("import: %w", err)
		}
		for _, r := range results {
			switch r.Outcome {
			case store.Created:
				report.Created++
			case store.Updated:
				report.Updated++
			case store.Unchanged:
				report.Unchanged++
			}
		}
		batch = batch[:0]
		im.written()
		if progress != nil && time.Since(told) > 100*time.Millisecond {
			told = time.Now()
			progress(&recordv1.ImportProgress{Bytes: counting.n, Rows: rows})
		}
		return nil
	}
	err := format(counting, func(r row) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows++
		fitted, _ := im.fitRow(h, r, seen) // what is refused was named in the first pass
		batch = append(batch, fitted...)
		if len(batch) >= batchSize {
			return flush()
		}
		return nil
	}, counter{})
	if err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	if progress != nil {
		progress(&recordv1.ImportProgress{Bytes: counting.n, Rows: rows})
	}
	return nil
}

// put writes a batch. What the store refuses (an id that another source holds, a record under a
// deletion hold) is named in the report, and the rest is kept.
func (im *Importer) put(ctx context.Context, batch []store.Put, report *recordv1.ImportReport) ([]store.PutResult, error) {
	results, err := im.Store.Put(ctx, batch)
	var refused *store.BatchError
	if !errors.As(err, &refused) {
		return results, err
	}
	gone := make(map[int]bool, len(refused.Rows))
	for _, r := range refused.Rows {
		gone[r.Index] = true
		report.Bad++
		bad(report, 0, r.RecordID, r.Field, r.Err.Error())
	}
	kept := make([]store.Put, 0, len(batch)-len(gone))
	for i, p := range batch {
		if !gone[i] {
			kept = append(kept, p)
		}
	}
	if len(kept) == 0 {
		return nil, nil
	}
	return im.Store.Put(ctx, kept)
}

func bad(report *recordv1.ImportReport, line int, id, field, reason string) {
	if len(report.GetBadRows()) < maxBadRows {
		report.BadRows = append(report.BadRows, &recordv1.BadRow{Line: uint64(line), RecordId: id, Field: field, Reason: reason})
	}
}

func collectionOf(rec *recordv1.Record) string {
	if rec.GetDocument() != nil {
		return Documents
	}
	return Persons
}

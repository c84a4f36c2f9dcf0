package records

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/store"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Store is what an import needs of the store.
type Store interface {
	Put(ctx context.Context, puts []store.Put) ([]store.PutResult, error)
	Rehearse(ctx context.Context, puts []store.Put) ([]store.PutResult, error)
	Get(ctx context.Context, collection, id string) (*recordv1.Record, error)
	GetByKey(ctx context.Context, collection string, key store.RecordKey) (*recordv1.Record, error)
	KeyOf(collection, id string) store.RecordKey
	Withdraw(ctx context.Context, collection string, ids []string) (int, error)
	SourceKeys(ctx context.Context, collection, source string) iter.Seq2[store.RecordKey, error]
}

// batchSize is how many records share one durable transaction: large enough that the flush does
// not dominate, small enough that an ask that waits for the writer is not held up noticeably.
const batchSize = 1000

// The bounds of a report (record/v1/record_service.proto).
const (
	maxBadRows = 100
	maxID      = 128
	maxField   = 64
	maxReason  = 512
)

// massWithdrawal is the share of a source, in percent, that may vanish without a person
// confirming it. A truncated download looks exactly like a mass delisting.
const massWithdrawal = 5

// progressEvery is how often progress is told.
const progressEvery = 100 * time.Millisecond

// Importer takes files into the store. It is safe for concurrent use; imports wait for each
// other, since each decides by what the others have left.
type Importer struct {
	Store  Store
	Fitter *Fitter
	// IDKey makes the ids that are derived from document numbers, 32 bytes: an id crosses the
	// border in a hit, and must not tell the number. Another key makes other ids, so it belongs to
	// the store as long as that lives.
	IDKey []byte
	// Written is called after each durable batch, so that indexes follow at once. May be nil.
	Written func()
	// Visible returns when indexes have followed, or give up. It is called before an import is
	// acknowledged. May be nil.
	Visible func(context.Context)

	once sync.Once
	turn chan struct{}
}

// begin waits for the imports before this one.
func (im *Importer) begin(ctx context.Context) (end func(), err error) {
	im.once.Do(func() { im.turn = make(chan struct{}, 1) })
	select {
	case im.turn <- struct{}{}:
		return func() { <-im.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Import reads a file whole and keeps its good rows. It reads src twice: once to check, once to
// write. progress may be nil; it is called now and then. Errors are gRPC status errors:
// FAILED_PRECONDITION with reason BAD_ROWS (strict) or MASS_WITHDRAWAL (complete, more than 5 %
// gone, not confirmed), INVALID_ARGUMENT if the file is not of the format at all. With an error
// of the first pass, nothing was changed.
func (im *Importer) Import(ctx context.Context, header *recordv1.ImportHeader, src io.ReadSeeker, progress func(*recordv1.ImportProgress)) (*recordv1.ImportReport, error) {
	return im.ImportIf(ctx, header, src, progress, nil)
}

// Plan is what an import would do.
type Plan struct {
	Rows      uint64 // of the file, good and bad
	Withdrawn uint64 // records of the source that the file no longer holds
}

// ImportIf is Import with a question in between: allow is asked when the file has been checked and
// before anything is written, and its error ends the import. It may be nil.
func (im *Importer) ImportIf(ctx context.Context, header *recordv1.ImportHeader, src io.ReadSeeker, progress func(*recordv1.ImportProgress), allow func(context.Context, Plan) error) (*recordv1.ImportReport, error) {
	ids, err := newOpaqueIDs(im.IDKey)
	if err != nil {
		return nil, err
	}
	format, err := formatOf(header, ids)
	if err != nil {
		return nil, err
	}
	end, err := im.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	h := proto.CloneOf(header)
	if h.GetAudience() == nil { // by the treaty: all whom policy permits
		h.Audience = &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED}
	}
	job := &job{im: im, header: h, format: format, src: src, report: &recordv1.ImportReport{}, meter: &meter{}, progress: progress}
	surveyed, err := job.survey(ctx)
	if err != nil {
		return job.report, err
	}
	if h.GetStrict() && job.report.GetBad() > 0 {
		return job.report, fault.New(codes.FailedPrecondition, fault.BadRows, "file", fmt.Sprintf(
			"%d rows are bad and the import is strict: nothing was kept. Mend them, or import without --strict", job.report.GetBad()))
	}
	gone, err := job.gone(ctx, surveyed)
	if err != nil {
		return job.report, err
	}
	if allow != nil {
		plan := Plan{Rows: job.report.GetRows()}
		for _, ids := range gone { // of each collection
			plan.Withdrawn += uint64(len(ids))
		}
		if err := allow(ctx, plan); err != nil {
			return job.report, err
		}
	}
	if err = job.write(ctx); err == nil {
		err = job.withdraw(ctx, gone)
	}
	if im.Visible != nil {
		im.Visible(ctx)
	}
	return job.report, err
}

// job is one import.
type job struct {
	im       *Importer
	header   *recordv1.ImportHeader
	format   format
	src      io.ReadSeeker
	report   *recordv1.ImportReport
	meter    *meter
	progress func(*recordv1.ImportProgress)
	told     time.Time
}

// read makes one pass over the file.
func (j *job) read(ctx context.Context, counts counter, each func(r row) error) error {
	if _, err := j.src.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	j.meter.r = j.src
	return j.format(j.meter, func(r row) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		j.meter.rows++
		if j.progress != nil && time.Since(j.told) > progressEvery {
			j.told = time.Now()
			j.progress(j.meter.progress())
		}
		return each(r)
	}, counts)
}

// survey is the first pass: every row is parsed and fitted, nothing is written.
func (j *job) survey(ctx context.Context) (*pass, error) {
	p := j.im.newPass(j.header)
	counts := counter{}
	var b batch
	err := j.read(ctx, counts, func(r row) error {
		j.report.Rows++
		for _, problem := range r.problems {
			j.name(r.line, r.id(), problem.Field, problem.Reason)
		}
		kept, refused, err := p.fit(ctx, r)
		if err != nil {
			return err
		}
		if len(r.records) == 0 {
			j.report.Bad++
		}
		for _, u := range refused {
			j.bad(r.line, u.id, u.Field, u.Reason)
		}
		if !j.header.GetStrict() {
			return nil
		}
		b.add(r.line, kept...)
		if len(b.puts) < batchSize {
			return nil
		}
		return j.rehearse(ctx, &b)
	})
	if err == nil {
		err = j.rehearse(ctx, &b)
	}
	j.report.Counts = counts.list()
	return p, err
}

// rehearse finds what the store would refuse, so that a strict import knows it before anything
// is written.
func (j *job) rehearse(ctx context.Context, b *batch) error {
	if len(b.puts) == 0 {
		return nil
	}
	_, err := j.im.Store.Rehearse(ctx, b.puts)
	var refused *store.BatchError
	if errors.As(err, &refused) {
		for _, r := range refused.Rows {
			j.bad(b.lines[r.Index], r.RecordID, r.Field, r.Err.Error())
		}
		err = nil
	}
	b.reset()
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	return nil
}

// gone lists the records of the source that the complete file does not hold any more.
func (j *job) gone(ctx context.Context, p *pass) (map[string][]string, error) {
	if !j.header.GetComplete() {
		return nil, nil
	}
	gone := map[string][]string{}
	var total, missing, onHold uint64
	for _, collection := range []string{Persons, Documents} {
		for key, err := range j.im.Store.SourceKeys(ctx, collection, j.header.GetSource()) {
			if err != nil {
				return nil, fmt.Errorf("import: %w", err)
			}
			total++
			if _, named := p.ids.ids[idKey{collection, key}]; named {
				continue
			}
			held, err := j.im.Store.GetByKey(ctx, collection, key)
			if errors.Is(err, store.ErrNotFound) {
				continue // withdrawn meanwhile
			}
			if err != nil {
				return nil, fmt.Errorf("import: %w", err)
			}
			person := held.GetDocument().GetPersonRef()
			switch {
			case !j.holds(held):
				return nil, fault.New(codes.InvalidArgument, fault.MalformedRequest, "source", fmt.Sprintf(
					"the source %q also has records of another file, which this one would withdraw: give each file a source of its own (--source)", j.header.GetSource()))
			case p.ids.named(Persons, person) && !p.ids.kept(Persons, person):
				// It came with a person whose row is bad: what the row says of it is not known.
			case held.GetStewardship().GetDeletionHold():
				onHold++
			default:
				missing++
				gone[collection] = append(gone[collection], held.GetRecordId())
			}
		}
	}
	if onHold > 0 {
		j.report.Counts = append(j.report.Counts, &recordv1.ImportCount{Name: "not_withdrawn_for_deletion_hold", Count: onHold})
	}
	if missing == 0 || j.header.GetConfirmWithdrawals() {
		return gone, nil
	}
	if missing*100 > massWithdrawal*total {
		return nil, fault.New(codes.FailedPrecondition, fault.MassWithdrawal, "complete", fmt.Sprintf(
			"the file does not hold %d of the %d records of the source %q: that is more than %d %%, so nothing was changed. If they are to be withdrawn, confirm it (--yes)",
			missing, total, j.header.GetSource(), massWithdrawal))
	}
	if p.unnamed > 0 {
		return nil, fault.New(codes.FailedPrecondition, fault.MassWithdrawal, "complete", fmt.Sprintf(
			"%d rows of the file cannot be read so far that it is known which records they are, and %d records of the source %q are not found in it: they may be the same, so nothing was changed. Mend the rows; if the records are to be withdrawn, confirm it (--yes)",
			p.unnamed, missing, j.header.GetSource()))
	}
	return gone, nil
}

// holds tells whether a record is of the kind that the file holds: persons with their documents,
// or documents.
func (j *job) holds(rec *recordv1.Record) bool {
	if j.header.GetCollection() == Persons {
		return rec.GetPerson() != nil || rec.GetDocument().GetPersonRef() != ""
	}
	return rec.GetDocument() != nil
}

// batch is what is written together, whole rows.
type batch struct {
	puts  []store.Put
	lines []int
}

func (b *batch) add(line int, puts ...store.Put) {
	for _, p := range puts {
		b.puts, b.lines = append(b.puts, p), append(b.lines, line)
	}
}

func (b *batch) reset() { b.puts, b.lines = b.puts[:0], b.lines[:0] }

// write is the second pass.
func (j *job) write(ctx context.Context) error {
	p := j.im.newPass(j.header)
	lost := map[string]bool{} // persons that the store refused
	var b batch
	flush := func() error {
		if len(b.puts) == 0 {
			return nil
		}
		err := j.put(ctx, b, lost)
		b.reset()
		return err
	}
	err := j.read(ctx, counter{}, func(r row) error {
		fitted, _, err := p.fit(ctx, r) // what is refused was named in the first pass
		if err != nil {
			return err
		}
		for _, put := range fitted {
			if j.orphan(put, lost) {
				j.bad(r.line, put.Record.GetRecordId(), "document.person_ref", orphanReason)
				continue
			}
			b.add(r.line, put)
		}
		if len(b.puts) >= batchSize {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	if j.progress != nil {
		j.progress(j.meter.progress())
	}
	return nil
}

const orphanReason = "its person is not kept, so it is not either"

// orphan tells whether a record hangs on a person of the file that the store refused.
func (j *job) orphan(p store.Put, lost map[string]bool) bool {
	return j.header.GetCollection() == Persons && p.Record.GetDocument() != nil && lost[p.Record.GetDocument().GetPersonRef()]
}

// put writes a batch. What the store refuses (an id that another source holds) is named in the
// report with what hangs on it, and the rest is kept.
func (j *job) put(ctx context.Context, b batch, lost map[string]bool) error {
	results, err := j.im.Store.Put(ctx, b.puts)
	var refused *store.BatchError
	if errors.As(err, &refused) {
		if j.header.GetStrict() {
			// The rehearsal found nothing: somebody else has created records since.
			return fault.New(codes.FailedPrecondition, fault.BadRows, "file",
				"the store was changed while the file was taken in, and refuses some of its rows: a part of the file is kept. Import it again")
		}
		results, err = j.putRest(ctx, b, refused, lost)
	}
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	for _, r := range results {
		switch r.Outcome {
		case store.Created:
			j.report.Created++
		case store.Updated:
			j.report.Updated++
		case store.Unchanged:
			j.report.Unchanged++
		}
	}
	j.written()
	return nil
}

// putRest writes a batch without what was refused.
func (j *job) putRest(ctx context.Context, b batch, refused *store.BatchError, lost map[string]bool) ([]store.PutResult, error) {
	dropped := make(map[int]bool, len(refused.Rows))
	for _, r := range refused.Rows {
		dropped[r.Index] = true
		if b.puts[r.Index].Collection == Persons {
			lost[r.RecordID] = true
		}
		j.bad(b.lines[r.Index], r.RecordID, r.Field, r.Err.Error())
	}
	rest := make([]store.Put, 0, len(b.puts)-len(dropped))
	for i, p := range b.puts {
		switch {
		case dropped[i]:
		case j.orphan(p, lost):
			j.bad(b.lines[i], p.Record.GetRecordId(), "document.person_ref", orphanReason)
		default:
			rest = append(rest, p)
		}
	}
	if len(rest) == 0 {
		return nil, nil
	}
	return j.im.Store.Put(ctx, rest)
}

// withdraw takes back what is gone, documents before the persons on whom they hang.
func (j *job) withdraw(ctx context.Context, gone map[string][]string) error {
	for _, collection := range []string{Documents, Persons} {
		for ids := range slices.Chunk(gone[collection], batchSize) {
			n, err := j.im.Store.Withdraw(ctx, collection, ids)
			var refused *store.BatchError
			if errors.As(err, &refused) { // put under a deletion hold since it was looked at
				held := map[string]bool{}
				for _, r := range refused.Rows {
					held[r.RecordID] = true
					j.name(0, r.RecordID, r.Field, "not withdrawn: "+r.Err.Error())
				}
				ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return held[id] })
				n, err = j.im.Store.Withdraw(ctx, collection, ids)
			}
			if err != nil {
				return fmt.Errorf("import: withdraw: %w", err)
			}
			j.report.Withdrawn += uint64(n)
			j.written()
		}
	}
	return nil
}

func (j *job) written() {
	if j.im.Written != nil {
		j.im.Written()
	}
}

// bad counts a record that is not kept, and names it.
func (j *job) bad(line int, id, field, reason string) {
	j.report.Bad++
	j.name(line, id, field, reason)
}

// name names what is wrong with a row, as long as the report has room.
func (j *job) name(line int, id, field, reason string) {
	if len(j.report.GetBadRows()) < maxBadRows {
		j.report.BadRows = append(j.report.BadRows, &recordv1.BadRow{
			Line: uint64(line), RecordId: atMost(id, maxID), Field: atMost(field, maxField), Reason: atMost(reason, maxReason),
		})
	}
}

// atMost cuts a text to a number of bytes, between two characters.
func atMost(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

func collectionOf(rec *recordv1.Record) string {
	if rec.GetDocument() != nil {
		return Documents
	}
	return Persons
}

package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/records"
	"github.com/entente-mesh/entente/node/store"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// RecordStore is what the record service needs of the store.
type RecordStore interface {
	records.Store
	List(ctx context.Context, collection, source, afterID string, limit int) ([]*recordv1.Record, error)
}

// RecordService serves the own records.
type RecordService struct {
	recordv1.UnimplementedRecordServiceServer
	store    RecordStore
	importer *records.Importer
	spool    string // a folder of the node's own for files under way
	acts     ActsConfig
}

// ActsConfig is what the record service needs for what cannot be taken back.
type ActsConfig struct {
	Self   string // the own bureau
	Eraser Eraser
	Second SecondPerson
	Mass   Masses
	Scribe Scribe
}

// NewRecordService returns the service. Files that are imported are spooled in the folder
// spool while they are under way.
func NewRecordService(s RecordStore, im *records.Importer, spool string, acts ActsConfig) *RecordService {
	return &RecordService{store: s, importer: im, spool: spool, acts: acts}
}

// manualSource is the source of records that were created one by one.
const manualSource = "manual"

// Create implements recordv1.RecordServiceServer.
func (s *RecordService) Create(ctx context.Context, req *recordv1.CreateRequest) (*recordv1.CreateResponse, error) {
	rec := req.GetRecord()
	collection := records.Persons
	if rec.GetDocument() != nil {
		collection = records.Documents
	}
	fit, err := s.importer.Fitter.Fit(rec, collection, nil)
	if err != nil {
		var u *records.Unfit
		if errors.As(err, &u) {
			return nil, fault.New(codes.FailedPrecondition, fault.RecordUnfit, strings.TrimSuffix("record."+u.Field, "."), "the record may not be held here: "+u.Error())
		}
		return nil, err
	}
	if _, err := s.store.Get(ctx, collection, rec.GetRecordId()); err == nil {
		return s.again(ctx, collection, fit)
	}
	if err := s.single(ctx, policy.OperationImportRecords, policy.OperationCreateRecord, req, collection, rec.GetRecordId()); err != nil {
		return nil, err
	}
	_, err = s.store.Put(ctx, []store.Put{{Collection: collection, Source: manualSource, Record: fit, New: true}})
	if errors.Is(err, store.ErrExists) {
		return s.again(ctx, collection, fit)
	}
	if err != nil {
		return nil, err
	}
	s.written(ctx)
	created, err := s.store.Get(ctx, collection, rec.GetRecordId())
	if err != nil {
		return nil, err
	}
	return &recordv1.CreateResponse{Record: created}, nil
}

// again answers a request that was made before as it was answered then; another record under
// the same id is refused.
func (s *RecordService) again(ctx context.Context, collection string, fit *recordv1.Record) (*recordv1.CreateResponse, error) {
	held, err := s.store.Get(ctx, collection, fit.GetRecordId())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err == nil {
		was, err := store.Digest(held)
		if err != nil {
			return nil, err
		}
		is, err := store.Digest(fit)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(was, is) {
			return &recordv1.CreateResponse{Record: held}, nil
		}
	}
	return nil, fault.New(codes.AlreadyExists, fault.RecordExists, "record.record_id",
		"a record with this id exists: choose another id, or import the newer version")
}

// Import implements recordv1.RecordServiceServer.
func (s *RecordService) Import(is grpc.BidiStreamingServer[recordv1.ImportRequest, recordv1.ImportResponse]) error {
	first, err := is.Recv()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	header := first.GetHeader()
	if header == nil {
		return fault.New(codes.InvalidArgument, fault.MalformedRequest, "header", "the first message of an import is its header: send it before the file")
	}
	file, err := s.newSpool()
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.receive(is); err != nil {
		return err
	}
	report, err := s.importer.ImportIf(is.Context(), header, file, func(p *recordv1.ImportProgress) {
		// Progress is a courtesy: if it cannot be sent, the final report will say so.
		_ = is.Send(&recordv1.ImportResponse{Part: &recordv1.ImportResponse_Progress{Progress: p}})
	}, func(ctx context.Context, plan records.Plan) error {
		return s.allow(ctx, header, file.sum.Sum(nil), plan)
	})
	if report != nil {
		if serr := is.Send(&recordv1.ImportResponse{Part: &recordv1.ImportResponse_Report{Report: report}}); serr != nil && err == nil {
			return serr
		}
	}
	return err
}

// Get implements recordv1.RecordServiceServer.
func (s *RecordService) Get(ctx context.Context, req *recordv1.GetRequest) (*recordv1.GetResponse, error) {
	rec, err := s.store.Get(ctx, req.GetCollection(), req.GetRecordId())
	if errors.Is(err, store.ErrNotFound) {
		return nil, noRecord()
	}
	if err != nil {
		return nil, err
	}
	return &recordv1.GetResponse{Record: rec}, nil
}

// defaultPage is the page size where none is given; maxPageBytes is how much a page holds at the
// most, so that it fits a message whatever the records hold.
const (
	defaultPage  = 100
	maxPageBytes = 2 << 20
)

// List implements recordv1.RecordServiceServer.
func (s *RecordService) List(ctx context.Context, req *recordv1.ListRequest) (*recordv1.ListResponse, error) {
	size := int(req.GetPageSize())
	if size == 0 {
		size = defaultPage
	}
	after, ok := afterToken(req)
	if !ok {
		return nil, fault.New(codes.InvalidArgument, fault.PageTokenInvalid, "page_token", "the page token is not one of this list: leave it empty for the first page")
	}
	recs, err := s.store.List(ctx, req.GetCollection(), req.GetSource(), after, size+1) // one more tells whether there is a next page
	if err != nil {
		return nil, err
	}
	resp := &recordv1.ListResponse{}
	bytes := 0
	for i, rec := range recs {
		bytes += proto.Size(rec)
		if i == size || i > 0 && bytes > maxPageBytes {
			resp.NextPageToken = pageToken(req, recs[i-1].GetRecordId())
			break
		}
		resp.Records = append(resp.Records, rec)
	}
	return resp, nil
}

// pageToken is the token of the page after a record. It holds of which list it is.
func pageToken(req *recordv1.ListRequest, after string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(req.GetCollection() + "\n" + req.GetSource() + "\n" + after))
}

// afterToken is the record after which the page begins. It returns false if the token is not one
// of this list.
func afterToken(req *recordv1.ListRequest) (string, bool) {
	if req.GetPageToken() == "" {
		return "", true
	}
	text, err := base64.RawURLEncoding.DecodeString(req.GetPageToken())
	if err != nil {
		return "", false
	}
	after, ok := strings.CutPrefix(string(text), req.GetCollection()+"\n"+req.GetSource()+"\n")
	return after, ok && after != ""
}

// Delete implements recordv1.RecordServiceServer.
func (s *RecordService) Delete(ctx context.Context, req *recordv1.DeleteRequest) (*recordv1.DeleteResponse, error) {
	if _, err := s.store.Get(ctx, req.GetCollection(), req.GetRecordId()); errors.Is(err, store.ErrNotFound) {
		return nil, noRecord()
	}
	if err := s.single(ctx, policy.OperationDeleteRecord, policy.OperationDeleteRecord, req, req.GetCollection(), req.GetRecordId()); err != nil {
		return nil, err
	}
	n, err := s.store.Withdraw(ctx, req.GetCollection(), []string{req.GetRecordId()})
	if errors.Is(err, store.ErrDeletionHold) {
		return nil, heldRecord()
	}
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, noRecord()
	}
	s.written(ctx)
	return &recordv1.DeleteResponse{WithdrawnAt: timestamppb.Now()}, nil
}

func noRecord() error {
	return fault.New(codes.NotFound, fault.RecordNotFound, "record_id", "there is no such record: look it up with a check that finds it, or in the file it came from")
}

func heldRecord() error {
	return fault.New(codes.FailedPrecondition, fault.DeletionHold, "record_id",
		"the record is under a deletion hold: import it without the hold first, once it is not needed any more")
}

// written tells the search that records have changed, and waits until it finds them as they are.
func (s *RecordService) written(ctx context.Context) {
	if s.importer.Visible != nil {
		s.importer.Visible(ctx)
	}
}

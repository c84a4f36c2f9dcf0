package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/records"
	"github.com/entente-mesh/entente/node/store"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// RecordStore is what the record service needs of the store.
type RecordStore interface {
	records.Store
	Get(ctx context.Context, collection, id string) (*recordv1.Record, error)
	List(ctx context.Context, collection, source, afterID string, limit int) ([]*recordv1.Record, error)
}

// RecordService serves the own records.
type RecordService struct {
	recordv1.UnimplementedRecordServiceServer
	store    RecordStore
	importer *records.Importer
	spool    string // a folder of the node's own for files under way
}

// NewRecordService returns the service. Files that are imported are spooled in the folder
// spool while they are under way.
func NewRecordService(s RecordStore, im *records.Importer, spool string) *RecordService {
	return &RecordService{store: s, importer: im, spool: spool}
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
			return nil, fault.New(codes.FailedPrecondition, fault.RecordUnfit, "record."+u.Field, "The record may not be held here: "+u.Error()+"")
		}
		return nil, err
	}
	_, err = s.store.Put(ctx, []store.Put{{Collection: collection, Source: manualSource, Record: fit, New: true}})
	if errors.Is(err, store.ErrExists) {
		return s.again(ctx, collection, fit)
	}
	if err != nil {
		return nil, err
	}
	if s.importer.Written != nil {
		s.importer.Written()
	}
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
	if err != nil {
		return err
	}
	header := first.GetHeader()
	if header == nil {
		return fault.New(codes.InvalidArgument, fault.MalformedRequest, "header", "the first message of an import is its header: send it before the file")
	}
	file, err := s.receive(is)
	if err != nil {
		return err
	}
	defer file.Close()
	report, err := s.importer.Import(is.Context(), header, file, func(p *recordv1.ImportProgress) {
		// Progress is a courtesy: if it cannot be sent, the final report will say so.
		_ = is.Send(&recordv1.ImportResponse{Part: &recordv1.ImportResponse_Progress{Progress: p}})
	})
	if report != nil {
		if serr := is.Send(&recordv1.ImportResponse{Part: &recordv1.ImportResponse_Report{Report: report}}); serr != nil && err == nil {
			return serr
		}
	}
	return err
}

// receive spools the file, which is read twice. It has no name: it goes with the process.
func (s *RecordService) receive(is grpc.BidiStreamingServer[recordv1.ImportRequest, recordv1.ImportResponse]) (*os.File, error) {
	file, err := os.CreateTemp(s.spool, "import-"+uuid.NewString()[:8]+"-*")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		file.Close()
		return nil, fmt.Errorf("spool: %w", err)
	}
	for {
		req, err := is.Recv()
		if errors.Is(err, io.EOF) {
			return file, nil
		}
		if err == nil && req.GetHeader() != nil {
			err = fault.New(codes.InvalidArgument, fault.MalformedRequest, "header", "an import has one header: send each file in a call of its own")
		}
		if err == nil {
			_, err = file.Write(req.GetChunk())
		}
		if err != nil {
			file.Close()
			return nil, err
		}
	}
}

// Get implements recordv1.RecordServiceServer.
func (s *RecordService) Get(ctx context.Context, req *recordv1.GetRequest) (*recordv1.GetResponse, error) {
	rec, err := s.store.Get(ctx, req.GetCollection(), req.GetRecordId())
	if errors.Is(err, store.ErrNotFound) {
		return nil, fault.New(codes.NotFound, fault.RecordNotFound, "record_id", "there is no such record: look it up with list")
	}
	if err != nil {
		return nil, err
	}
	return &recordv1.GetResponse{Record: rec}, nil
}

// defaultPage is the page size where none is given.
const defaultPage = 100

// List implements recordv1.RecordServiceServer.
func (s *RecordService) List(ctx context.Context, req *recordv1.ListRequest) (*recordv1.ListResponse, error) {
	size := int(req.GetPageSize())
	if size == 0 {
		size = defaultPage
	}
	after, err := base64.RawURLEncoding.DecodeString(req.GetPageToken())
	if err != nil {
		return nil, fault.New(codes.InvalidArgument, fault.MalformedRequest, "page_token", "the page token is not one of a response: leave it empty for the first page")
	}
	recs, err := s.store.List(ctx, req.GetCollection(), req.GetSource(), string(after), size)
	if err != nil {
		return nil, err
	}
	resp := &recordv1.ListResponse{Records: recs}
	if len(recs) == size {
		resp.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(recs[len(recs)-1].GetRecordId()))
	}
	return resp, nil
}

// Delete implements recordv1.RecordServiceServer.
func (s *RecordService) Delete(ctx context.Context, req *recordv1.DeleteRequest) (*recordv1.DeleteResponse, error) {
	n, err := s.store.Withdraw(ctx, req.GetCollection(), []string{req.GetRecordId()})
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, fault.New(codes.NotFound, fault.RecordNotFound, "record_id", "there is no such record: look it up with list")
	}
	if s.importer.Written != nil {
		s.importer.Written()
	}
	return &recordv1.DeleteResponse{WithdrawnAt: timestamppb.Now()}, nil
}

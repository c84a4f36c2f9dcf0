package api

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/store"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Eraser destroys what is left of a record.
type Eraser interface {
	// Erase destroys a record's key. store.ErrNotFound, store.ErrDeletionHold.
	Erase(ctx context.Context, collection, id string) (erasedAt time.Time, err error)
	// Copies are the records that this node holds of one record of an owner.
	Copies(ctx context.Context, owner, recordID string) ([]*recordv1.Copy, error)
	// EraseEvidence erases the signed bytes that quote a record, and says how many there were.
	EraseEvidence(ctx context.Context, owner, recordID string) (int, error)
	// Evidence lists the messages whose signed bytes quote a record.
	Evidence(ctx context.Context, owner, recordID string) ([]*recordv1.Copy, error)
	// Object names a record in the books, so that who can read it here finds it again, and nobody
	// else learns its id.
	Object(collection, id string) string
	// KeyBackups is how long backups of the keys live.
	KeyBackups() time.Duration
}

// Erase implements recordv1.RecordServiceServer.
func (s *RecordService) Erase(ctx context.Context, req *recordv1.EraseRequest) (*recordv1.EraseResponse, error) {
	request, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return nil, err
	}
	// Looked for first: nobody should approve what cannot be done.
	if there, err := s.there(ctx, req.GetCollection(), req.GetRecordId()); err != nil || !there {
		return nil, cmp.Or(err, noRecord())
	}
	object := s.acts.Eraser.Object(req.GetCollection(), req.GetRecordId())
	client := Caller(ctx)
	second, err := s.acts.Second.Need(ctx, client, policy.OperationEraseRecord, request, "erase "+req.GetCollection()+"/"+req.GetRecordId()+": "+req.GetReason())
	if err != nil {
		return nil, err
	}
	act := Act{Operation: policy.OperationEraseRecord, Object: object, Reason: req.GetReason(), Second: second}
	if err := s.acts.Scribe.Did(ctx, client, act); err != nil {
		return nil, err
	}
	owner := s.acts.Self
	if rec, err := s.store.Get(ctx, req.GetCollection(), req.GetRecordId()); err == nil {
		owner = cmp.Or(rec.GetStewardship().GetOwnerBureau(), owner)
	}
	at, err := s.acts.Eraser.Erase(ctx, req.GetCollection(), req.GetRecordId())
	switch {
	case errors.Is(err, store.ErrDeletionHold):
		err = heldRecord()
	case errors.Is(err, store.ErrNotFound):
		err = noRecord()
	}
	if err != nil {
		act.Failed, _ = fault.ReasonOf(fault.From(err))
		return nil, errors.Join(err, s.acts.Scribe.Did(ctx, client, act))
	}
	s.written(ctx)
	quotes, err := s.acts.Eraser.EraseEvidence(ctx, owner, req.GetRecordId())
	if err != nil {
		return nil, err
	}
	return &recordv1.EraseResponse{
		ErasedAt: timestamppb.New(at), CompleteAt: timestamppb.New(at.Add(s.acts.Eraser.KeyBackups())), Evidence: uint64(quotes),
	}, nil
}

// there tells whether anything is left of a record: the record itself, or what a withdrawal leaves.
func (s *RecordService) there(ctx context.Context, collection, id string) (bool, error) {
	_, err := s.store.Get(ctx, collection, id)
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	copies, err := s.acts.Eraser.Copies(ctx, s.acts.Self, id)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(copies, func(c *recordv1.Copy) bool { return c.GetCollection() == collection }), nil
}

// ListCopies implements recordv1.RecordServiceServer.
func (s *RecordService) ListCopies(ctx context.Context, req *recordv1.ListCopiesRequest) (*recordv1.ListCopiesResponse, error) {
	copies, err := s.acts.Eraser.Copies(ctx, req.GetOwner(), req.GetRecordId())
	if err != nil {
		return nil, err
	}
	evidence, err := s.acts.Eraser.Evidence(ctx, req.GetOwner(), req.GetRecordId())
	if err != nil {
		return nil, err
	}
	return &recordv1.ListCopiesResponse{Copies: append(copies, evidence...)}, nil
}

package store

import (
	"context"
	"errors"
	"time"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	"google.golang.org/protobuf/proto"
)

// Withdraw erases records, all or none of them, durably, and says how many there were. Of a
// withdrawn record its id, its version and the time remain, so that followers learn of it. An id
// that is not there is no error. A record under a deletion hold is: it comes back in a
// *BatchError, and nothing was withdrawn.
func (s *Store) Withdraw(ctx context.Context, collection string, ids []string) (int, error) {
	leave, err := s.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	no, err := collectionNo(collection)
	if err != nil {
		return 0, writeError("withdraw", err)
	}
	var withdrawn int
	err = s.write(ctx, func(steady context.Context, t *transaction) error {
		now := s.now()
		var refused []RowError
		for i, id := range ids {
			if err := ctx.Err(); err != nil {
				return err
			}
			done, err := t.withdraw(steady, no, id, now)
			var row RowError
			if errors.As(err, &row) {
				row.Index = i
				refused = append(refused, row)
			} else if err != nil {
				return err
			}
			if done {
				withdrawn++
			}
		}
		if len(refused) > 0 {
			return &BatchError{Rows: refused}
		}
		return nil
	})
	if err != nil {
		return 0, writeError("withdraw", err)
	}
	return withdrawn, nil
}

func (t *transaction) withdraw(ctx context.Context, collection int64, id string, now time.Time) (bool, error) {
	found, err := t.find(ctx, collection, []string{id})
	if err != nil {
		return false, err
	}
	old := found[id]
	if old == nil || old.withdrawn {
		return false, nil
	}
	var r recordv1.Record
	if err := proto.Unmarshal(old.body, &r); err != nil {
		return false, damaged(id, err)
	}
	if r.GetStewardship().GetDeletionHold() {
		return false, RowError{RecordID: id, Field: "stewardship.deletion_hold", Err: ErrDeletionHold}
	}
	if err := t.forgetLookup(ctx, collection, old); err != nil {
		return false, err
	}
	seq, err := t.next(ctx, "records")
	if err != nil {
		return false, err
	}
	t.counts[countKey{collection, old.sourceNo}]--
	return true, t.move(ctx, collection, id, old, kept{seq: seq, sourceNo: old.sourceNo, version: old.version, withdrawn: true}, now)
}

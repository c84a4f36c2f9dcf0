package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Withdraw withdraws records, all or none of them, durably, and says how many there were. Body and
// key are destroyed. Of a withdrawn record remain its version, the time, and, sealed under the
// key of the store, its id and owner, so that followers learn of it and its owner can be told; Erase
// takes these too. An id that is not there is no error. A record under a deletion hold is: it
// comes back in a *BatchError, and nothing was withdrawn.
//
// If a key cannot be destroyed now, that is logged, and done with the next one, or when the store
// is opened; what was sealed under it is not in the database any more.
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
	key := t.s.hash.record(collection, id)
	found, err := t.find(ctx, collection, []RecordKey{key})
	if err != nil {
		return false, err
	}
	old := found[key]
	if old == nil || !old.live() {
		return false, nil
	}
	return true, t.end(ctx, old, now, false)
}

// end ends a live record: withdrawn, or erased as well.
func (t *transaction) end(ctx context.Context, old *kept, now time.Time, erase bool) error {
	was, err := t.open(ctx, old)
	if err != nil {
		return err
	}
	id := was.record.GetRecordId()
	if was.record.GetStewardship().GetDeletionHold() {
		return RowError{RecordID: id, Field: "stewardship.deletion_hold", Err: ErrDeletionHold}
	}
	if err := t.forgetLookup(ctx, was, old.seq); err != nil {
		return err
	}
	next := kept{
		collection: old.collection, key: old.key, source: old.source, version: old.version,
		changedAt: now.UnixNano(), withdrawnAt: now.UnixNano(),
	}
	if next.seq, err = t.next(ctx, "records"); err != nil {
		return err
	}
	left := remains{owner: was.record.GetStewardship().GetOwnerBureau(), id: id}
	if erase {
		next.erasedAt = next.withdrawnAt
		t.s.erased.remember(old, id)
		left = remains{}
	}
	t.s.sealRemains(&next, left)
	t.counts[countKey{old.collection, old.source}]--
	t.uses[old.vaultKey]--
	return t.move(ctx, old.seq, &next)
}

// Erase withdraws a record if that is not done yet, destroys its key, removes what a withdrawal
// leaves, and returns when that was. A record that is erased stays so: Erase then sees to what is
// left to be done, and returns the first time. ErrNotFound says that there never was one,
// ErrDeletionHold that its stewardship holds it.
//
// A document that says nothing of a person shares its key with the others of its import, so the
// key stays. Body and look-up rows are overwritten in the database (secure_delete) and the WAL, in
// which older pages lie, is folded in and emptied before Erase returns, which is as far as a
// program can reach: the blocks that the file system has freed are out of its sight. That is
// why what concerns a person has a key of its own.
//
// An error says that something is left to be done; the record cannot be found any more all the
// same. Call it again.
func (s *Store) Erase(ctx context.Context, collection, id string) (time.Time, error) {
	leave, err := s.enter()
	if err != nil {
		return time.Time{}, err
	}
	defer leave()
	no, err := collectionNo(collection)
	if err != nil {
		return time.Time{}, writeError("erase", err)
	}
	var at int64
	err = s.write(ctx, func(ctx context.Context, t *transaction) error {
		key := s.hash.record(no, id)
		found, err := t.find(ctx, no, []RecordKey{key})
		if err != nil {
			return err
		}
		old := found[key]
		now := s.now()
		if old == nil {
			return ErrNotFound
		}
		if old.live() {
			at = now.UnixNano()
			return t.end(ctx, old, now, true)
		}
		if err := t.row(ctx, readBody, old.seq).Scan(&old.body); err != nil {
			return err
		}
		if _, err := s.openRemains(old); err != nil {
			return err
		}
		if old.erasedAt != 0 {
			at = old.erasedAt
			return nil
		}
		// Its place stays: followers learned that it is gone when it was withdrawn, or will.
		at = now.UnixNano()
		next := *old
		next.erasedAt = at
		s.erased.remember(old, id)
		s.sealRemains(&next, remains{})
		t.changed = true
		_, err = t.exec(ctx, eraseInPlace, next.erasedAt, next.body, next.seq)
		return err
	})
	var held RowError
	if errors.As(err, &held) {
		err = held
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("store: erase: %w", err)
	}
	if err := s.destroy(nil); err != nil {
		return time.Time{}, fmt.Errorf("store: erase: the record is withdrawn, but its key is not destroyed yet, try again: %w", err)
	}
	if err := s.emptyWAL(ctx); err != nil {
		return time.Time{}, fmt.Errorf("store: erase: the record's key is destroyed, but older pages are not yet overwritten, try again: %w", err)
	}
	return time.Unix(0, at).UTC(), nil
}

// foldTries is how often the WAL is tried to be folded in while others read.
const foldTries = 3

// emptyWAL folds the WAL in and empties it. What reads for minutes is interrupted, and begins
// again.
func (s *Store) emptyWAL(ctx context.Context) error {
	done := s.long.interrupt()
	defer done()
	for range foldTries {
		if err := ctx.Err(); err != nil {
			return err
		}
		busy, err := s.foldWAL(ctx)
		if err != nil || !busy {
			return err
		}
	}
	return errors.New("others read the database all the time")
}

package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const (
	recallAsk = `SELECT digest, answer FROM asks WHERE asker = $1 AND ask_id = $2`
	keepAsk   = `INSERT INTO asks (asker, ask_id, digest, answer, forget_after) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (asker, ask_id) DO NOTHING`
	askDigest  = `SELECT digest FROM asks WHERE asker = $1 AND ask_id = $2`
	forgetAsks = `DELETE FROM asks WHERE (asker, ask_id) IN
(SELECT asker, ask_id FROM asks WHERE forget_after < $1 ORDER BY forget_after LIMIT $2)`
)

// RecallAsk returns what is remembered of an ask: the digest of its bytes and the answer to it.
func (s *Store) RecallAsk(ctx context.Context, asker, askID string) (digest, answer []byte, found bool, err error) {
	leave, err := s.enter()
	if err != nil {
		return nil, nil, false, err
	}
	defer leave()
	err = s.reader.stmt(recallAsk).QueryRowContext(ctx, asker, askID).Scan(&digest, &answer)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil, false, nil
	}
	if err != nil {
		return nil, nil, false, fmt.Errorf("store: recall ask: %w", err)
	}
	return digest, answer, true, nil
}

// CommitAsk remembers an ask and its answer, durably, at least until forgetAfter. If the id was
// used by the asker for another ask it fails with ErrAskReused, and nothing may be answered. If
// this very ask is remembered already, because two copies of it were being answered at the same
// time, the first answer stands, and RecallAsk returns it.
func (s *Store) CommitAsk(ctx context.Context, asker, askID string, digest, answer []byte, forgetAfter time.Time) error {
	if asker == "" || askID == "" || len(digest) == 0 {
		return fmt.Errorf("store: commit ask: %w", invalid("give asker, ask id and digest"))
	}
	if answer == nil {
		answer = []byte{}
	}
	err := s.commit(ctx, func(ctx context.Context, t *transaction) (refusal, err error) {
		res, err := t.exec(ctx, keepAsk, asker, askID, digest, answer, forgetAfter.UnixNano())
		if err != nil {
			return nil, err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return nil, err
		}
		if n == 1 {
			t.changed = true
			return nil, nil
		}
		var first []byte
		if err := t.row(ctx, askDigest, asker, askID).Scan(&first); err != nil {
			return nil, err
		}
		if !bytes.Equal(first, digest) {
			return ErrAskReused, nil
		}
		return nil, nil
	})
	if err != nil {
		return fmt.Errorf("store: commit ask: %w", err)
	}
	return nil
}

// forgetBatch is how many asks are forgotten in one transaction: whoever else writes waits as
// long.
const forgetBatch = 2_000

// ForgetAsks forgets the asks that need not be remembered any more, and says how many.
func (s *Store) ForgetAsks(ctx context.Context, now time.Time) (int, error) {
	leave, err := s.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	var total int
	for {
		var n int64
		err := s.write(ctx, func(ctx context.Context, t *transaction) error {
			res, err := t.exec(ctx, forgetAsks, now.UnixNano(), forgetBatch)
			if err != nil {
				return err
			}
			n, err = res.RowsAffected()
			t.changed = n > 0
			return err
		})
		if err != nil {
			return total, fmt.Errorf("store: forget asks: %w", err)
		}
		total += int(n)
		if n < forgetBatch {
			return total, nil
		}
	}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Copy is what the store holds of one record of one owner.
type Copy struct {
	// Collection is where.
	Collection string
	// Version is the record's version; of a withdrawn one its last.
	Version uint64
	// Since is since when this version is held.
	Since time.Time
	// WithdrawnAt is when it was withdrawn: nothing but its id and owner is held. Zero: it was not.
	WithdrawnAt time.Time
	// Record is the record. Nil: it was withdrawn.
	Record *recordv1.Record
}

// Copies returns what is held of the record that its owner knows by an id, of whichever
// collection: live records, and what remains of withdrawn ones. Of an erased one nothing is held.
// A collection holds one record of one id, so the keyed hash of the id finds them all.
func (s *Store) Copies(ctx context.Context, owner, recordID string) ([]Copy, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if owner == "" || recordID == "" {
		return nil, fmt.Errorf("store: copies: %w", invalid("give owner and record id"))
	}
	var list []Copy
	err = s.reading(ctx, func() error {
		list = nil
		o := s.opener()
		for _, no := range [...]int64{personsNo, documentsNo} {
			k, err := s.row(ctx, no, s.hash.record(no, recordID))
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			c, whose, err := s.copyOf(o, k)
			if err != nil {
				return err
			}
			if whose == owner && k.erasedAt == 0 {
				list = append(list, c)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: copies: %w", explainSQLite(err))
	}
	return list, nil
}

func (s *Store) copyOf(o *opener, k *kept) (Copy, string, error) {
	c := Copy{Collection: collectionName(k.collection), Version: uint64(k.version), Since: time.Unix(0, k.changedAt).UTC()}
	if k.live() {
		body, err := o.open(k)
		if err != nil {
			return c, "", err
		}
		c.Record = body.record
		return c, body.record.GetStewardship().GetOwnerBureau(), nil
	}
	left, err := s.openRemains(k)
	c.WithdrawnAt = time.Unix(0, k.withdrawnAt).UTC()
	return c, left.owner, err
}

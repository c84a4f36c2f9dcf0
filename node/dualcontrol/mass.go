package dualcontrol

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/entente-mesh/entente/pki/identity"
)

// Mass is what a request brings or takes, of one kind.
type Mass struct {
	// Operation is under what it is counted: import-records for what is brought, however it is, and
	// delete-record for what is taken.
	Operation string
	// Does is the operation that is done, and that the second person may do too, if it is another:
	// create-record.
	Does string
	// Rows is how many records.
	Rows uint64
	// Request is what is approved: the bytes of all that the act depends on.
	Request []byte
	// Summary says in words what it is, without personal data.
	Summary string
}

// Act is the operation that the act of a part is called.
func (m Mass) Act() string { return cmp.Or(m.Does, m.Operation) }

// Masses lets the parts of one request pass together, or none of them. A part needs a second person
// from MassRows rows on; so do all that this person has brought, or taken, within 24 hours: what
// comes in small parts is a mass too. What passes without a second person is counted, durably,
// before it is done; what two persons wanted is not.
//
// It returns a grant for each part. With SECOND_PERSON_NEEDED, no approval is used up and nothing
// is counted; the grants then name the acts that wait, which have no second person yet.
func (d *Desk) Masses(ctx context.Context, client identity.Identity, masses ...Mass) ([]Grant, error) {
	grants := make([]Grant, len(masses))
	listed := slices.ContainsFunc(masses, func(m Mass) bool { return slices.Contains(d.cfg.Operations, m.Operation) })
	if !listed {
		return grants, nil
	}
	me, err := caller(ctx, client)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.sweep(ctx); err != nil {
		return nil, err
	}
	var waiting []string
	for i, m := range masses {
		if !d.needs(me, m) {
			continue
		}
		digest := sha256.Sum256(m.Request)
		summary := m.Summary
		if before := d.tally.Rows(me.account(), m.Operation); before > 0 {
			summary = fmt.Sprintf("%s; after %d by the same person within 24 hours", m.Summary, before)
		}
		approved, id, err := d.look(ctx, me, act{Operation: m.Act(), Digest: hex.EncodeToString(digest[:]), Wanted: me}, summary)
		if err != nil {
			return nil, err
		}
		grants[i].ActID = id
		if !approved {
			waiting = append(waiting, id)
			continue
		}
		grants[i].Second = d.acts[id].Approved.SPIFFEID
	}
	if len(waiting) > 0 {
		return grants, secondNeeded(waiting...)
	}
	for i, m := range masses {
		if grants[i].ActID != "" {
			err = d.drop(ctx, grants[i].ActID)
		} else if slices.Contains(d.cfg.Operations, m.Operation) {
			err = d.tally.Add(ctx, me.account(), m.Operation, m.Rows)
		}
		if err != nil {
			return nil, err
		}
	}
	return grants, nil
}

// needs tells whether a part needs a second person.
func (d *Desk) needs(me person, m Mass) bool {
	if m.Rows == 0 || !slices.Contains(d.cfg.Operations, m.Operation) {
		return false
	}
	return plus(d.tally.Rows(me.account(), m.Operation), m.Rows) >= d.cfg.MassRows
}

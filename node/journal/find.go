package journal

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// MaxFound is how many passages of one class Find returns of one message, besides those that it names:
// an exchange has one of each, an ask that came again some.
const MaxFound = 64

// Find returns the passages of a message, oldest first. Of those whose entries were erased it finds
// the ones with a leaf of their own.
//
// The asker chooses an ask's id, and may send any number of asks under one. So of each class (kind,
// direction and other bureau) Find returns the first MaxFound and the newest; and with each answer
// the ask before it, which is the one that it was given to, so that no number of asks hides an
// exchange. How many it left out is logged.
func (j *Journal) Find(ctx context.Context, messageID string) ([]Located, error) {
	id, err := uuid.Parse(messageID)
	if err != nil {
		return nil, fmt.Errorf("journal: find: %w: message id: give a UUID", ErrInvalid)
	}
	var some *selection
	err = j.find(ctx, j.marks.message(id), func(l *Located, _ *body) bool {
		return l.Entry.GetMessageId() == id.String()
	}, &id, func() func(Located) {
		some = newSelection()
		return some.take
	})
	if err != nil {
		return nil, err
	}
	found, left := some.all()
	if left > 0 {
		j.log.Warn("more passages stand under one message id than are looked at", "message_id", id.String(), "left_out", left)
	}
	return found, nil
}

// FindOfficer returns the passages that were recorded under an officer's pseudonym and whose
// entries were not erased, oldest first.
func (j *Journal) FindOfficer(ctx context.Context, pseudonym string) ([]Located, error) {
	m := j.marks.officer(pseudonym)
	return j.findAll(ctx, m, func(_ *Located, b *body) bool { return b.officer == m })
}

// FindQuotes returns the passages whose evidence quotes a record and whose entries were not erased,
// oldest first.
func (j *Journal) FindQuotes(ctx context.Context, owner, recordID string) ([]Located, error) {
	m := j.marks.quote(owner, recordID)
	return j.findAll(ctx, m, func(_ *Located, b *body) bool { return slices.Contains(b.quotes, m) })
}

// findAll returns all that stands under a mark and is it.
func (j *Journal) findAll(ctx context.Context, m mark, is func(*Located, *body) bool) (found []Located, err error) {
	err = j.find(ctx, m, is, nil, func() func(Located) {
		found = nil
		return func(l Located) { found = append(found, l) }
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// find hands over what stands under a mark and is it, in the journal's order, to what begin returns;
// where it must begin again, it calls begin again. In segments without bodies it looks for leaves with
// a message id, if one is given.
func (j *Journal) find(ctx context.Context, m mark, is func(*Located, *body) bool, id *uuid.UUID, begin func() func(Located)) error {
	err := j.retry(func(list []*segment) (err error) {
		take := begin()
		for _, s := range list {
			if err := ctx.Err(); err != nil {
				return err
			}
			if s.dead {
				if id != nil {
					err = j.findLeaf(ctx, s, *id, take)
				}
			} else {
				err = j.findIn(ctx, s, m, is, take)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("journal: find: %w", err)
	}
	return nil
}

func (j *Journal) findIn(ctx context.Context, s *segment, m mark, is func(*Located, *body) bool, take func(Located)) error {
	postings, err := j.lookUp(s, m)
	if err != nil || len(postings) == 0 {
		return err
	}
	r, err := j.open(s)
	if err != nil {
		return err
	}
	defer r.close()
	for i, p := range postings {
		if i > 0 && p == postings[i-1] {
			continue // two quotes of one record
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := r.frame(int64(p.frame))
		if err != nil {
			return r.damage(int64(p.frame), s.first, err)
		}
		if int(p.place) >= len(f.passages) {
			return &Damage{indexName(s.number), 0, f.index, IndexDamaged, "it names a passage that there is not"}
		}
		l, b, err := r.located(s, &f, int(p.place))
		if err != nil {
			return err
		}
		if b != nil && is(&l, b) {
			take(l)
		}
	}
	return nil
}

// findLeaf looks for the leaves of a message in a segment without bodies.
func (j *Journal) findLeaf(ctx context.Context, s *segment, id uuid.UUID, take func(Located)) error {
	return j.frames(s, s.first, func(r *reader, f *frame) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if [16]byte(f.leaf[16:32]) != id || len(f.passages) != 1 {
			return nil
		}
		l, _, err := r.located(s, f, 0)
		if err == nil && !local(l.Leaf.Kind) {
			take(l)
		}
		return err
	})
}

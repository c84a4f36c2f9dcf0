package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/pki/evidence"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Leaves is how many leaves there are. All of them are durable.
func (j *Journal) Leaves() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.segments[len(j.segments)-1].until()
}

// Grown is signalled when there are more leaves than before. It is one channel with room for one
// signal, for one reader: who misses signals finds one.
func (j *Journal) Grown() <-chan struct{} { return j.grown }

// ReadLeaves returns the leaves from an index on, at most max of them; none from the end on.
func (j *Journal) ReadLeaves(from uint64, max int) ([]evidence.Leaf, error) {
	var leaves []evidence.Leaf
	err := j.retry(func(list []*segment) error {
		leaves = nil
		for _, s := range list[j.holding(list, from):] {
			if len(leaves) >= max || s.until() <= from {
				break
			}
			err := j.frames(s, from+uint64(len(leaves)), func(_ *reader, f *frame) error {
				if len(leaves) >= max {
					return errStop
				}
				l, err := evidence.ParseLeaf(f.leaf[:])
				if err != nil {
					return &Damage{s.name(), f.offset, f.index, Damaged, err.Error()}
				}
				leaves = append(leaves, l)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("journal: read leaves: %w", err)
	}
	return leaves, nil
}

// holding is which segment of a list holds a leaf.
func (j *Journal) holding(list []*segment, index uint64) int {
	n := sort.Search(len(list), func(i int) bool { return list[i].first > index })
	return max(n-1, 0)
}

// retry does something with the segments, and does it again if one of them was replaced by its
// leaves meanwhile. That comes to an end: each is replaced once.
func (j *Journal) retry(do func(list []*segment) error) error {
	for {
		list, err := j.view()
		if err != nil {
			return err
		}
		if err := do(list); !errors.Is(err, errMoved) {
			return err
		}
	}
}

// segment is the segment of a number, as it is now.
func (j *Journal) segment(number uint64) (*segment, error) {
	list, err := j.view()
	if err != nil {
		return nil, err
	}
	if number == 0 || number > uint64(len(list)) {
		return nil, fmt.Errorf("there is no segment %d", number)
	}
	return list[number-1], nil
}

// frames reads the frames of a segment from a leaf on.
func (j *Journal) frames(s *segment, from uint64, do func(r *reader, f *frame) error) error {
	places, err := j.placesOf(s)
	if err != nil {
		return err
	}
	r, err := j.open(s)
	if err != nil {
		return err
	}
	defer r.close()
	return r.walk(s, s.at(places, from), func(_ int64, f *frame) error {
		if f.index < from {
			return nil
		}
		return do(r, f)
	})
}

// placesOf are where the groups of a segment lie.
func (j *Journal) placesOf(s *segment) ([]place, error) {
	if !s.indexed {
		return s.places, nil
	}
	t, err := j.tableOf(s)
	if err != nil {
		return nil, err
	}
	return t.list, nil
}

// tableOf is what is kept in memory of a segment's index.
func (j *Journal) tableOf(s *segment) (*table, error) {
	s.loading.Lock()
	defer s.loading.Unlock()
	if s.table != nil {
		return s.table, nil
	}
	var t *table
	err := j.withIndex(s, func(f disk.File, head indexHead) (err error) {
		t, err = readTable(f, head, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.table = t
	return t, nil
}

// withIndex does something with an index file. If the file is missing or damaged it is made anew
// from the segment, and it is done once more.
func (j *Journal) withIndex(s *segment, do func(f disk.File, head indexHead) error) error {
	once := func() error {
		f, head, err := j.openIndex(s.header)
		if err != nil {
			return err
		}
		defer f.Close() // it was only read
		return do(f, head)
	}
	err := once()
	if !errors.Is(err, errFormat) && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	j.log.Warn("the index of a segment is damaged, it is made anew", "segment", s.number, "error", err)
	fresh := newSegment(s.header)
	fresh.cipher, fresh.dead = s.cipher, s.dead
	if err := j.gatherIndex(fresh); err != nil {
		return err
	}
	if err := j.writeIndex(fresh); err != nil {
		return err
	}
	return once()
}

// lookUp returns where the passages of a segment lie that have a mark, in the segment's order.
func (j *Journal) lookUp(s *segment, m mark) (found []posting, err error) {
	if !s.indexed {
		for _, p := range s.postings {
			if p.mark == m {
				found = append(found, p)
			}
		}
		return found, nil
	}
	for range 2 {
		t, err := j.tableOf(s)
		if err != nil {
			return nil, err
		}
		stale := false
		err = j.withIndex(s, func(f disk.File, head indexHead) (err error) {
			if stale = head != t.indexHead; stale {
				return nil
			}
			found, err = t.find(f, s, m)
			return err
		})
		if err != nil {
			return nil, err
		}
		if !stale {
			break
		}
		s.loading.Lock()
		s.table = nil
		s.loading.Unlock()
	}
	slices.SortFunc(found, func(a, b posting) int {
		return cmp.Or(cmp.Compare(a.frame, b.frame), cmp.Compare(a.place, b.place))
	})
	return found, nil
}

// located reads a passage of a frame.
func (r *reader) located(s *segment, f *frame, place int) (Located, *body, error) {
	leaf, err := evidence.ParseLeaf(f.leaf[:])
	if err != nil {
		return Located{}, nil, &Damage{r.name, f.offset, f.index, Damaged, err.Error()}
	}
	p := &f.passages[place]
	l := Located{Leaf: leaf, Index: f.index, Place: place, Commitment: p.commitment, segment: s.number, offset: f.offset}
	b, err := r.opened(s, f, place)
	if err != nil {
		return Located{}, nil, err
	}
	if b != nil {
		if l.Entry, err = b.message(); err != nil {
			return Located{}, nil, &Damage{r.name, p.entry.offset, f.index, BodyDamaged, err.Error()}
		}
		l.Opening = b.opening()
	}
	l.Erased = b == nil
	if p.evidence.length > 0 {
		sealed, err := r.body(p.evidence)
		if err != nil {
			return Located{}, nil, err
		}
		l.Evidence = sealed != nil && !s.dead
		l.EvidenceErased = !l.Evidence
	}
	return l, b, nil
}

// Scan calls do with the passages from since on and before until, in the journal's order. A zero
// time does not bound. It does not see what is recorded after it has begun. What was erased it
// knows by the time of its leaf. If do fails, Scan ends with its error.
func (j *Journal) Scan(ctx context.Context, since, until time.Time, do func(Located) error) error {
	list, err := j.view()
	if err != nil {
		return err
	}
	within := func(at time.Time) bool {
		return (since.IsZero() || !at.Before(since)) && (until.IsZero() || at.Before(until))
	}
	for _, s := range list {
		if s.leaves == 0 || !since.IsZero() && s.newest < since.UnixNano() || !until.IsZero() && s.oldest >= until.UnixNano() {
			continue
		}
		next := s.first
		for {
			err = j.frames(s, next, func(r *reader, f *frame) error {
				for place := range f.passages {
					if err := ctx.Err(); err != nil {
						return err
					}
					l, _, err := r.located(s, f, place)
					if err != nil {
						return err
					}
					at := l.Leaf.At
					if l.Entry != nil {
						at = l.Entry.GetAt().AsTime()
					}
					if !within(at) {
						continue
					}
					if err := do(l); err != nil {
						return err
					}
				}
				next = f.index + 1
				return nil
			})
			if !errors.Is(err, errMoved) {
				break
			}
			if s, err = j.segment(s.number); err != nil {
				return err
			}
		}
		if err != nil {
			return fmt.Errorf("journal: scan: %w", err)
		}
	}
	return nil
}

// Evidence returns what was signed. ErrErased says that it was erased; nil without an error, that
// there never was any.
func (j *Journal) Evidence(ctx context.Context, l Located) (*signedv1.Signed, error) {
	var signed *signedv1.Signed
	err := j.retry(func([]*segment) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !l.Evidence && !l.EvidenceErased {
			return nil
		}
		s, r, f, err := j.again(l)
		if err != nil {
			return err
		}
		defer r.close()
		b, err := r.evidence(s, f, l.Place)
		if err != nil {
			return err
		}
		if b == nil {
			return ErrErased
		}
		signed = &signedv1.Signed{}
		if err := proto.Unmarshal(b, signed); err != nil {
			return &Damage{r.name, f.passages[l.Place].evidence.offset, f.index, BodyDamaged, err.Error()}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("journal: evidence of leaf %d: %w", l.Index, err)
	}
	return signed, nil
}

// again reads the frame of a passage that was located before. Whoever gets no error closes the
// reader.
func (j *Journal) again(l Located) (*segment, *reader, *frame, error) {
	s, err := j.segment(l.segment)
	if err != nil {
		return nil, nil, nil, err
	}
	if s.dead {
		return nil, nil, nil, ErrErased
	}
	r, err := j.open(s)
	if err != nil {
		return nil, nil, nil, err
	}
	f, err := r.frame(l.offset)
	if err != nil {
		return nil, nil, nil, errors.Join(r.damage(l.offset, l.Index, err), r.file.Close())
	}
	if f.index != l.Index || l.Place < 0 || l.Place >= len(f.passages) || f.passages[l.Place].commitment != l.Commitment {
		return nil, nil, nil, errors.Join(&Damage{r.name, l.offset, l.Index, Damaged, "another passage stands where this one was"}, r.file.Close())
	}
	return s, r, &f, nil
}

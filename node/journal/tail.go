package journal

import (
	"errors"
	"fmt"
)

// whole reads the newest segment, and says where its last whole group ends. What a crash tore is
// behind that, and nobody was told of it: a group is acknowledged when its sync has returned. What
// looks torn and cannot be is a *Damage:
//
//   - the head says that it was durable;
//   - a whole group follows it: that one was written when this one was durable;
//   - every block of it was written, and yet it is not what was written.
func (j *Journal) whole(s *segment, r *reader, claimed *durable) (int64, error) {
	at := int64(headerSize)
	written, err := r.trimmed(at) // behind it lie only zeros
	if err != nil {
		return 0, err
	}
	for {
		before := s.copy()
		next, err := j.takeGroup(s, r, at, written)
		if err != nil {
			var bad *Damage
			if !errors.As(err, &bad) {
				return 0, err
			}
			s.summary, s.postings, s.places = before.summary, before.postings, before.places
			s.memories, s.bookings = before.memories, before.bookings
			if err := j.judge(s, r, at, written, bad, claimed); err != nil {
				return 0, err
			}
			return at, nil
		}
		mine := claimed != nil && claimed.segment == s.number && at < claimed.end
		at, s.end = next, next
		if mine && claimed.end <= at && (claimed.end < at || claimed.last != s.last || claimed.leaves != s.until()) {
			return 0, &Damage{r.name, at, s.until() - 1, Damaged, "this is not the journal that the file head is about"}
		}
	}
}

// takeGroup takes up the group at an offset, if it is whole, and returns where it ends.
func (j *Journal) takeGroup(s *segment, r *reader, at, written int64) (int64, error) {
	g, err := r.group(at)
	if err != nil {
		return 0, r.damage(at, s.until(), err)
	}
	end := at + int64(g.length)
	if end > r.end {
		return 0, &Damage{r.name, r.end, s.until(), Missing, "the file ends within a group"}
	}
	if written <= end {
		// Nothing follows: it may be torn anywhere. Nothing in it is erased: that is booked first.
		content, err := r.bytes(at+groupHeadSize, int(g.length)-groupHeadSize-groupEndSize)
		if err != nil {
			return 0, err
		}
		if checksum(content) != g.sum {
			return 0, j.locate(s, r, at, g)
		}
	}
	err = r.walkGroup(s.until(), s.last, at, func(f *frame) error { return j.take(s, r, at, f) })
	return end, err
}

// locate says where a group is not what was written, as exactly as can be told.
func (j *Journal) locate(s *segment, r *reader, at int64, g groupHead) error {
	scratch := newSegment(s.header)
	scratch.cipher = s.cipher
	err := r.walkGroup(g.first, s.last, at, func(f *frame) error {
		if err := j.take(scratch, r, at, f); err != nil {
			return err
		}
		for i := range f.passages {
			signed, err := r.evidence(scratch, f, i)
			if err != nil {
				return err
			}
			if signed == nil && f.passages[i].evidence.length > 0 {
				return &Damage{r.name, f.passages[i].evidence.offset, f.index, BodyMissing, "nothing later books that it was erased"}
			}
		}
		return nil
	})
	if err == nil {
		err = &Damage{r.name, at, g.first, Damaged, "the group's checksum is wrong"}
	}
	return err
}

// judge decides about what lies at the place where the next group would begin and is none: nil, if
// it is nothing, or what a crash left of a group.
func (j *Journal) judge(s *segment, r *reader, at, rest int64, bad *Damage, claimed *durable) error {
	rest = max(rest, at)
	switch {
	case claimed != nil && claimed.segment == s.number && at < claimed.end:
		if rest == at {
			bad.Offset, bad.What = min(at, r.end), Missing
		}
		bad.Detail += fmt.Sprintf("; the journal was durable up to byte %d", claimed.end)
		return bad
	case rest == at:
		return nil
	}
	// Nothing whole may follow.
	for from := at + 1; from < rest; from++ {
		b, err := r.bytes(from, groupHeadSize)
		if err != nil {
			return err
		}
		if g, err := parseGroupHead(b); err == nil && g.first > s.until() {
			bad.Detail += fmt.Sprintf("; a later group stands at byte %d", from)
			return bad
		}
	}
	torn, err := r.torn(at)
	if err != nil {
		return err
	}
	if !torn {
		bad.Detail += "; all of it was written, so this is not what a crash leaves"
		return bad
	}
	j.log.Warn("a group that a crash tore was cut; nobody was told that it stands", "file", r.name, "offset", at, "bytes", rest-at)
	return nil
}

// diskBlock is what a disk writes whole or not at all.
const diskBlock = 512

// torn says whether what lies at an offset is a group of which parts were not written: blocks of
// the disk that hold nothing of it. A whole group has none: its parts are all marks, numbers that
// are not zero, digests and what is sealed.
func (r *reader) torn(at int64) (bool, error) {
	length := int64(groupHeadSize)
	if g, err := r.group(at); err == nil {
		length = int64(g.length)
	} else if !errors.Is(err, errFormat) {
		return false, err
	}
	for start := at; start < at+length; {
		end := min(start/diskBlock*diskBlock+diskBlock, at+length)
		b, err := r.bytes(start, int(end-start))
		if err != nil {
			return false, err
		}
		if int64(len(b)) < end-start || blank(b) {
			return true, nil
		}
		start = end
	}
	return false, nil
}

package journal

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/pki/evidence"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Report is what Check found.
type Report struct {
	// Leaves and Entries are how many there are; Erased how many entries were erased, as the books
	// say themselves.
	Leaves, Entries, Erased uint64
	// Flaws are what is wrong, in the order of the leaves; the first thousand.
	Flaws []Damage
}

const (
	maxFlaws = 1000
	// progressStep is after how many leaves Check says how far it is.
	progressStep = 4096
)

// Check reads everything that stood when it began, and says what is wrong and where: each header,
// each group and frame, the hashes that lead from one to the next, each body against its commitment,
// each erased body against what is booked, and the indexes. It goes on after what it finds.
// Progress, if given, is told how many leaves were read. What is recorded meanwhile does not wait.
func (j *Journal) Check(ctx context.Context, progress func(leaves uint64)) (Report, error) {
	list, err := j.view()
	if err != nil {
		return Report{}, err
	}
	if progress == nil {
		progress = func(uint64) {}
	}
	c := &checker{j: j, progress: progress, gone: map[booking]Damage{}, booked: map[booking]bool{}, last: list[0].previous}
	for _, s := range list {
		if err := c.segment(ctx, s); err != nil {
			return c.report, fmt.Errorf("journal: check: %w", err)
		}
	}
	if err := c.conclude(ctx); err != nil {
		return c.report, fmt.Errorf("journal: check: %w", err)
	}
	progress(c.report.Leaves)
	return c.report, nil
}

// checker goes through the journal.
type checker struct {
	j        *Journal
	progress func(uint64)
	report   Report

	next    uint64 // the leaf expected
	last    hash   // of the frame before
	lost    bool   // what came before is flawed: the next frame may be any, and follow from anything
	flawed  bool   // something in this segment is
	gaps    []gap
	retired uint64 // up to which segment the books say that the bodies are gone
	emptied []Damage
	gone    map[booking]Damage // evidence that is not there: flaws, unless they are booked
	booked  map[booking]bool
}

// gap is leaves that were not where they belong.
type gap struct {
	from, to uint64 // exclusive
	file     string
	offset   int64
}

func (c *checker) flaw(file string, offset int64, index uint64, what, format string, args ...any) {
	c.flawed = true
	if len(c.report.Flaws) < maxFlaws {
		c.report.Flaws = append(c.report.Flaws, Damage{file, offset, index, what, fmt.Sprintf(format, args...)})
	}
}

// add adds an error that is a flaw; it returns any other.
func (c *checker) add(err error) error {
	var d *Damage
	if !errors.As(err, &d) {
		return err
	}
	c.flaw(d.File, d.Offset, d.Index, d.What, "%s", d.Detail)
	return nil
}

// segment checks a segment, and its index.
func (c *checker) segment(ctx context.Context, s *segment) error {
	r, err := c.j.open(s)
	if errors.Is(err, errMoved) {
		fresh, err := c.j.segment(s.number)
		if err != nil {
			return err
		}
		if fresh.form == s.form { // it was not replaced: it is gone
			c.flaw(s.name(), 0, s.first, Missing, "there is no such file")
			c.next, c.last, c.lost = s.until(), s.summary.last, false
			return nil
		}
		return c.segment(ctx, fresh)
	}
	if err != nil {
		return err
	}
	defer r.close()
	c.flawed = false
	c.header(s)
	if size, err := r.file.Size(); err != nil {
		return err
	} else if s.number < c.newest() {
		r.end = size
		if r.end, err = r.trimmed(min(headerSize, size)); err != nil {
			return err
		}
	}
	read := newSegment(s.header)
	if err := c.tokens(ctx, s, r, read); err != nil {
		return err
	}
	if c.next < s.until() && !c.lost {
		c.gaps = append(c.gaps, gap{c.next, s.until(), r.name, r.end})
	}
	for _, g := range c.gaps {
		c.flaw(g.file, g.offset, g.from, Missing, "leaves %d to %d", g.from, g.to-1)
	}
	if c.gaps = nil; c.next != s.until() || c.lost {
		c.next, c.last, c.lost = s.until(), s.summary.last, false
	}
	if s.dead {
		c.emptied = append(c.emptied, Damage{r.name, headerSize, s.first, BodyMissing, "the bodies of the segment are gone, and nothing books that"})
	}
	return c.index(s, read)
}

func (c *checker) newest() uint64 { return c.j.newest().number }

// header checks a segment's header.
func (c *checker) header(s *segment) {
	h, err := c.j.readHeader(s.header)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		if err := c.add(err); err != nil {
			c.flaw(s.name(), 0, s.first, Damaged, "the header cannot be read: %v", err)
		}
	case h != s.header:
		c.flaw(s.name(), 0, s.first, Damaged, "the header is not the one that was there when the journal was opened")
	case h.first != c.next || h.previous != c.last && !c.lost:
		c.flaw(s.name(), 0, s.first, order(h.first, c.next), "the segment does not follow from the one before")
	}
	c.next, c.last = s.first, s.seed()
	c.lost = false
}

// tokens goes through a segment's groups and frames. What is neither is a flaw, and is passed over
// up to the next thing that is one.
func (c *checker) tokens(ctx context.Context, s *segment, r *reader, read *segment) error {
	var open *groupHead
	var start, written int64
	frames := uint32(0)
	sound := true // nothing is wrong in this group so far
	for at := int64(headerSize); at < r.end; {
		if g, err := r.group(at); err == nil {
			if open != nil && sound {
				c.flaw(r.name, at, c.next, Damaged, "a group begins before the last one has ended")
			}
			open, start, frames, written, sound = &g, at, 0, groupHeadSize+groupEndSize, true
			at += groupHeadSize
			continue
		} else if !errors.Is(err, errFormat) {
			return err
		}
		f, err := r.frame(at)
		if err == nil {
			if err := ctx.Err(); err != nil {
				return err
			}
			if open == nil && sound {
				c.flaw(r.name, at, f.index, Damaged, "a frame stands in no group")
				sound = false
			}
			if !c.order(r, &f) {
				sound = false
			}
			if err := c.frame(s, r, &f, start, read); err != nil {
				return err
			}
			at += f.on(r.form)
			written += int64(f.length)
			frames++
			continue
		}
		if !errors.Is(err, errFormat) {
			return err
		}
		b, readErr := r.bytes(at, groupEndSize)
		if readErr != nil {
			return readErr
		}
		if string(b) == groupEnd && (open != nil || !sound) {
			if sound && (frames != open.frames || written != int64(open.length)) {
				c.flaw(r.name, start, c.next, Missing, "a group of %d frames, of which %d are there", open.frames, frames)
			}
			open, sound = nil, true
			at += groupEndSize
			continue
		}
		c.add(r.damage(at, c.next, err))
		c.lost, sound = true, false
		if at, err = c.seek(r, at+1); err != nil {
			return err
		}
	}
	if open != nil && sound {
		c.flaw(r.name, r.end, c.next, Missing, "the file ends within a group")
		c.lost = true
	}
	return nil
}

// seek finds the next group or frame.
func (c *checker) seek(r *reader, at int64) (int64, error) {
	for ; at < r.end; at++ {
		b, err := r.bytes(at, 4)
		if err != nil {
			return 0, err
		}
		switch string(b) {
		case groupMark:
			if _, err = r.group(at); err == nil {
				return at, nil
			}
		case frameMark:
			if _, err = r.frame(at); err == nil {
				return at, nil
			}
		}
		if err != nil && !errors.Is(err, errFormat) {
			return 0, err
		}
	}
	return at, nil
}

// order checks that a frame stands where it belongs.
func (c *checker) order(r *reader, f *frame) bool {
	switch {
	case f.index < c.next:
		c.flaw(r.name, f.offset, f.index, Reordered, "leaf %d was expected here", c.next)
		for i, g := range c.gaps {
			if g.from <= f.index && f.index < g.to {
				c.gaps = slices.Delete(c.gaps, i, i+1)
				for _, rest := range []gap{{g.from, f.index, g.file, g.offset}, {f.index + 1, g.to, g.file, g.offset}} {
					if rest.from < rest.to {
						c.gaps = append(c.gaps, rest)
					}
				}
				break
			}
		}
		return false
	case f.index > c.next && !c.lost:
		c.gaps = append(c.gaps, gap{c.next, f.index, r.name, f.offset})
		c.next, c.last = f.index+1, f.hash
		return false
	case !c.lost && follow(c.last, f.hashed) != f.hash:
		c.flaw(r.name, f.offset, f.index, Damaged, "the frame does not follow from the one before")
		c.next, c.last = f.index+1, f.hash
		return false
	}
	c.next, c.last, c.lost = f.index+1, f.hash, false
	return true
}

// frame checks what a frame holds.
func (c *checker) frame(s *segment, r *reader, f *frame, group int64, read *segment) error {
	f.hashed = nil
	read.markPlace(max(f.index, s.first), group)
	read.add(f)
	c.report.Leaves++
	if c.report.Leaves%progressStep == 0 {
		c.progress(c.report.Leaves)
	}
	leaf, err := evidence.ParseLeaf(f.leaf[:])
	if err != nil {
		c.flaw(r.name, f.offset, f.index, Damaged, "%v", err)
		return nil
	}
	read.seen(leaf.At.UnixNano())
	commitments := make([]hash, len(f.passages))
	for i, p := range f.passages {
		commitments[i] = p.commitment
	}
	if !local(leaf.Kind) && (len(commitments) != 1 || commitments[0] != leaf.Commitment) ||
		local(leaf.Kind) && evidence.GroupRoot(commitments) != leaf.Commitment {
		c.flaw(r.name, f.offset, f.index, Damaged, "the leaf does not commit to the passages that stand with it")
	}
	for place := range f.passages {
		c.report.Entries++
		if err := c.add(c.passage(s, r, f, leaf, place, read)); err != nil {
			return err
		}
	}
	return nil
}

// passage checks a passage's bodies.
func (c *checker) passage(s *segment, r *reader, f *frame, leaf evidence.Leaf, place int, read *segment) error {
	if s.dead {
		c.report.Erased++
		return nil
	}
	p := &f.passages[place]
	b, err := r.opened(s, f, place)
	if err != nil {
		return err
	}
	if b == nil {
		return &Damage{r.name, p.entry.offset, f.index, BodyMissing, fmt.Sprintf("the entry of passage %d", place)}
	}
	e, err := b.message()
	if err == nil {
		err = c.j.post(read, f.offset, place, b, e)
	}
	if err != nil || b.commitment() != p.commitment {
		return &Damage{r.name, p.entry.offset, f.index, BodyDamaged, fmt.Sprintf("the entry of passage %d is not what the leaf commits to", place)}
	}
	if local(leaf.Kind) != local(e.GetKind()) || !local(leaf.Kind) && !names(leaf, e) {
		return &Damage{r.name, f.offset, f.index, Damaged, "leaf and entry are about different things"}
	}
	if k, ok := booked(b, e); ok {
		c.booked[k] = true
		c.retired = max(c.retired, k.last)
	}
	signed, err := r.evidence(s, f, place)
	if err != nil {
		return err
	}
	said := b.evidenceDigest != hash{}
	if signed == nil {
		if p.evidence.length > 0 {
			c.gone[booking{index: f.index, place: place, commitment: p.commitment}] = Damage{r.name, p.evidence.offset, f.index, BodyMissing,
				fmt.Sprintf("the evidence of passage %d, and nothing books that it was erased", place)}
		} else if said {
			return &Damage{r.name, f.offset, f.index, BodyMissing, fmt.Sprintf("the evidence of passage %d", place)}
		}
		return nil
	}
	m := &signedv1.Signed{}
	if err := proto.Unmarshal(signed, m); err != nil || sha256.Sum256(m.GetPayload()) != b.evidenceDigest {
		return &Damage{r.name, p.evidence.offset, f.index, BodyDamaged, fmt.Sprintf("the evidence of passage %d is not what the leaf commits to", place)}
	}
	return nil
}

// names says whether a leaf and an entry name the same passage.
func names(l evidence.Leaf, e *auditv1.Entry) bool {
	return l.Kind == e.GetKind() && l.Direction == e.GetDirection() && string(l.Peer) == e.GetBureau() &&
		l.MessageID.String() == e.GetMessageId() && l.At.Equal(e.GetAt().AsTime())
}

// conclude holds what is gone against what is booked, and what is booked against what is there.
func (c *checker) conclude(ctx context.Context) error {
	// What is booked is carried out before the committer does anything else.
	if err := c.j.record(ctx, &request{}); err != nil {
		return err
	}
	before, retired := maps.Clone(c.booked), c.retired
	if err := c.late(ctx); err != nil {
		return err
	}
	for _, d := range c.emptied {
		if n := numberOf(d.File); n > c.retired {
			c.flaw(d.File, d.Offset, d.Index, d.What, "%s", d.Detail)
		}
	}
	for k, d := range c.gone {
		// What books it may have been erased by age meanwhile, and then so was it.
		if !c.booked[k] && numberOf(d.File) > c.retired {
			c.flaw(d.File, d.Offset, d.Index, d.What, "%s", d.Detail)
		}
	}
	if err := c.undone(before, retired); err != nil {
		return err
	}
	if whole, err := c.j.headWhole(); err != nil {
		return err
	} else if !whole {
		c.flaw(headName, 0, c.next, Damaged, "the file is not what was last written to it")
	}
	slices.SortStableFunc(c.report.Flaws, func(a, b Damage) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.File, b.File), cmp.Compare(a.Offset, b.Offset))
	})
	return nil
}

// late takes up what was booked since the check began: what was erased meanwhile is booked there.
func (c *checker) late(ctx context.Context) error {
	return c.j.retry(func(list []*segment) error {
		for _, s := range list[c.j.holding(list, c.next):] {
			if s.dead || s.until() <= c.next {
				continue
			}
			err := c.j.frames(s, c.next, func(r *reader, f *frame) error {
				if err := ctx.Err(); err != nil {
					return err
				}
				for place := range f.passages {
					b, err := r.opened(s, f, place)
					if err != nil || b == nil {
						return err
					}
					if !b.booking {
						continue
					}
					e, err := b.message()
					if err != nil {
						return err
					}
					if k, ok := booked(b, e); ok {
						c.booked[k] = true
						c.retired = max(c.retired, k.last)
					}
				}
				return nil
			})
			if err := c.add(err); err != nil {
				return err
			}
		}
		return nil
	})
}

// undone looks for what is booked as erased and stands nevertheless: it came back with a backup.
func (c *checker) undone(booked map[booking]bool, retired uint64) error {
	var open []booking
	for k := range booked {
		if _, gone := c.gone[k]; !gone && k.last == 0 {
			open = append(open, k)
		}
	}
	list, err := c.j.view()
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.number <= retired && !s.dead {
			c.flaw(s.name(), 0, s.first, NotErased, "the books say that the segment's key was destroyed, and it was not")
		}
	}
	for _, k := range open {
		if k.index >= list[len(list)-1].until() {
			continue
		}
		s := list[c.j.holding(list, k.index)]
		if s.dead {
			continue
		}
		err := c.j.frames(s, k.index, func(r *reader, f *frame) error {
			if f.index != k.index || k.place >= len(f.passages) || f.passages[k.place].commitment != k.commitment {
				return errStop
			}
			p := f.passages[k.place].evidence
			if b, err := r.body(p); err != nil {
				return err
			} else if b != nil {
				c.flaw(r.name, p.offset, f.index, NotErased, "the books say that the evidence of passage %d was erased, and it was not", k.place)
			}
			return errStop
		})
		if err != nil && c.add(err) != nil && !errors.Is(err, errMoved) {
			return err
		}
	}
	return nil
}

func numberOf(file string) (number uint64) {
	if _, err := fmt.Sscanf(file, "%d.", &number); err != nil {
		return 0
	}
	return number
}

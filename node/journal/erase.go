package journal

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// What the journal itself books. Only what it flagged as its own counts: an operation that somebody
// else calls by the same name erases nothing.
const (
	opErase  = "erase-evidence" // object: leaf/INDEX/PLACE/COMMITMENT
	opRetain = "retain"         // object: segments/1-LAST. All of them, so that the newest says all
)

// booking is an erasure as the books say it.
type booking struct {
	// The evidence of one passage,
	index      uint64
	place      int
	commitment hash
	// or the bodies of all segments up to this one, if it is not 0.
	last uint64
}

func (k booking) entry() (operation, object string) {
	if k.last > 0 {
		return opRetain, fmt.Sprintf("segments/1-%d", k.last)
	}
	return opErase, fmt.Sprintf("leaf/%d/%d/%x", k.index, k.place, k.commitment)
}

// booked reads a booking from an entry, if it is one.
func booked(b *body, e *auditv1.Entry) (k booking, ok bool) {
	if !b.booking || e.GetKind() != auditv1.EntryKind_ENTRY_KIND_OPERATION {
		return k, false
	}
	parts := strings.Split(e.GetObject(), "/")
	var err error
	switch {
	case e.GetOperation() == opRetain && len(parts) == 2:
		last, found := strings.CutPrefix(parts[1], "1-")
		k.last, err = strconv.ParseUint(last, 10, 64)
		ok = found && err == nil
	case e.GetOperation() == opErase && len(parts) == 4:
		if k.index, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
			return k, false
		}
		if k.place, err = strconv.Atoi(parts[2]); err != nil {
			return k, false
		}
		n, err := hex.Decode(k.commitment[:], []byte(parts[3][:min(len(parts[3]), 2*len(k.commitment))]))
		ok = err == nil && n == len(k.commitment) && k.place >= 0
	}
	if !ok {
		return booking{}, false
	}
	return k, true
}

// book makes the request that books erasures.
func (j *Journal) book(list []booking) (*request, error) {
	key := j.sealing.Load()
	r := &request{}
	for _, k := range list {
		operation, object := k.entry()
		made, err := j.prepare(Passage{Entry: &auditv1.Entry{
			MessageId: uuid.NewString(),
			Kind:      auditv1.EntryKind_ENTRY_KIND_OPERATION,
			Direction: auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL,
			Bureau:    string(j.config.Bureau),
			At:        timestamppb.New(j.config.Now()),
			Decision:  auditv1.Decision_DECISION_ALLOW,
			Operation: operation, Object: object, Count: 1,
		}}, nil, true)
		if err != nil {
			return nil, err
		}
		made.seal(key.segment, key.cipher)
		r.passages = append(r.passages, made)
	}
	return r, nil
}

// eraseStep is how many bodies are erased in one commit: what is recorded meanwhile waits.
const eraseStep = 512

// EraseEvidence erases the evidence of passages: it is overwritten where it stands, and synced.
// Leaf and entry stay. Each erasure is booked first. It returns of how many it was erased that had
// any, also with an error.
func (j *Journal) EraseEvidence(ctx context.Context, passages []Located) (int, error) {
	done := 0
	for len(passages) > 0 {
		part := passages[:min(eraseStep, len(passages))]
		passages = passages[len(part):]
		n, err := j.erasePart(ctx, part)
		if done += n; err != nil {
			return done, fmt.Errorf("journal: erase evidence: %w", err)
		}
	}
	return done, nil
}

func (j *Journal) erasePart(ctx context.Context, passages []Located) (int, error) {
	var list []booking
	seen := map[hash]bool{}
	for _, l := range passages {
		err := j.retry(func([]*segment) error {
			if seen[l.Commitment] {
				return nil
			}
			_, r, f, err := j.again(l)
			if errors.Is(err, ErrErased) {
				return nil
			}
			if err != nil {
				return err
			}
			defer r.close()
			b, err := r.body(f.passages[l.Place].evidence)
			if b != nil {
				seen[l.Commitment] = true
				list = append(list, booking{index: l.Index, place: l.Place, commitment: l.Commitment})
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	if len(list) == 0 {
		return 0, nil
	}
	r, err := j.book(list)
	if err != nil {
		return 0, err
	}
	r.then = func() error {
		if err := j.config.Fail(beforeErase); err != nil {
			return err
		}
		if err := j.overwrite(list); err != nil {
			return err
		}
		return j.config.Fail(afterErase)
	}
	if err := j.record(ctx, r); err != nil {
		return 0, err
	}
	return len(list), nil
}

// overwrite overwrites evidence with zeros, and syncs what it wrote to.
func (j *Journal) overwrite(list []booking) error {
	j.mu.Lock()
	segments := j.viewLocked()
	j.mu.Unlock()
	bySegment := map[*segment][]booking{}
	for _, k := range list {
		s := segments[j.holding(segments, k.index)]
		bySegment[s] = append(bySegment[s], k)
	}
	for s, list := range bySegment {
		if s.dead {
			continue
		}
		if err := j.overwriteIn(s, list); err != nil {
			return err
		}
	}
	return nil
}

func (j *Journal) overwriteIn(s *segment, list []booking) error {
	wanted := map[hash]booking{}
	from := list[0].index
	for _, k := range list {
		wanted[k.commitment] = k
		from = min(from, k.index)
	}
	var spans []span
	err := j.frames(s, from, func(r *reader, f *frame) error {
		for place, p := range f.passages {
			if k, ok := wanted[p.commitment]; !ok || k.index != f.index || k.place != place {
				continue
			}
			delete(wanted, p.commitment)
			b, err := r.body(p.evidence)
			if err != nil {
				return err
			}
			if b != nil {
				spans = append(spans, p.evidence)
			}
		}
		if len(wanted) == 0 {
			return errStop
		}
		return nil
	})
	if err != nil || len(spans) == 0 {
		return err
	}
	f, err := j.files.OpenFile(filepath.Join(j.config.Dir, s.name()), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for _, p := range spans {
		if _, err := f.WriteAt(make([]byte, p.length), p.offset); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(f.Sync(), f.Close())
}

// longestSilence is how long ago the newest entry may be for anything to be erased by age: books in
// which nothing was written for longer, though the node runs, say that the clock has been set ahead.
const longestSilence = 3 * 24 * time.Hour

// ErrClock says that nothing is erased by age, as the clock may be wrong.
var ErrClock = errors.New("the clock may be wrong, nothing is erased by age")

// Retain ends the time for which bodies are kept: it destroys the keys of all segments that had ended
// before a time, oldest first, and replaces the segments by their leaves. A segment ended when the
// next one was made: what its passages say of their own times, some of which others wrote, does not
// count. A segment with an ask that must be remembered is kept, and with it all later ones; the newest
// is always kept. It books what it does first. It returns how many segments it erased. ErrClock says
// that the newest entry is from more than three days ago or from the future.
func (j *Journal) Retain(ctx context.Context, before time.Time) (int, error) {
	j.retaining.Lock()
	defer j.retaining.Unlock()
	n, err := j.retain(ctx, before)
	if err == nil {
		err = j.strip(ctx)
	}
	if err != nil {
		return n, fmt.Errorf("journal: retain: %w", err)
	}
	return n, nil
}

func (j *Journal) retain(ctx context.Context, before time.Time) (int, error) {
	list, err := j.view()
	if err != nil {
		return 0, err
	}
	now := j.config.Now()
	if err := j.steady(now); err != nil {
		return 0, err
	}
	last := ripe(list, before, now)
	if s := list[len(list)-1]; last == len(list)-1 && s.leaves > 0 && s.created < before.UnixNano() {
		// The newest has begun long ago: it ends here, so that it can go when its time has come.
		if err := j.record(ctx, &request{roll: true}); err != nil {
			return 0, err
		}
		if list, err = j.view(); err != nil {
			return 0, err
		}
		last = ripe(list, before, j.config.Now())
	}
	var keys []uint64
	for _, s := range list[:last] {
		if !s.dead {
			keys = append(keys, s.key)
		}
	}
	if len(keys) == 0 {
		return 0, nil
	}
	r, err := j.book([]booking{{last: uint64(last)}})
	if err != nil {
		return 0, err
	}
	r.then = func() error { return j.destroy(uint64(last), keys) }
	if err := j.record(ctx, r); err != nil {
		return 0, err
	}
	return len(keys), nil
}

// steady refuses to judge by the clock if the newest leaf is not from about now.
func (j *Journal) steady(now time.Time) error {
	n := j.Leaves()
	if n == 0 {
		return nil
	}
	leaves, err := j.ReadLeaves(n-1, 1)
	if err != nil {
		return err
	}
	if len(leaves) == 0 {
		return nil
	}
	at := leaves[0].At
	if silence := now.Sub(at); silence > longestSilence || silence < -longestSilence {
		return fmt.Errorf("%w: it says %s, and the newest entry is of %s", ErrClock, now.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
	}
	return nil
}

// ripe is how many segments have ended before a time and need not be remembered, from the first on.
func ripe(list []*segment, before, now time.Time) (n int) {
	for ; n < len(list)-1; n++ {
		s := list[n]
		if !s.dead && (s.leaves == 0 || s.forget >= now.UnixNano() || ended(list, n, now.UnixNano()) >= before.UnixNano()) {
			break
		}
	}
	return n
}

// ended is when a segment that is not the newest ended at the latest: when the next one was made, by
// the node's own clock. A time that is still to come was read off a clock that ran ahead, and the next
// one that is not is taken; and none ended before it was made, whatever a clock that ran behind said.
func ended(list []*segment, n int, now int64) int64 {
	end := int64(math.MaxInt64)
	for _, later := range list[n+1:] {
		if later.created <= now {
			end = later.created
			break
		}
	}
	if own := list[n].created; own <= now {
		end = max(end, own)
	}
	return end
}

// destroy destroys the keys of the segments up to one.
func (j *Journal) destroy(last uint64, keys []uint64) error {
	if err := j.config.Fail(beforeDestroy); err != nil {
		return err
	}
	if err := j.config.Vault.Destroy(keys...); err != nil {
		return err
	}
	for number := uint64(1); number <= last; number++ {
		j.change(number, func(s *segment) *segment {
			if s.dead {
				return nil
			}
			return &segment{header: s.header, summary: s.summary, dead: true, places: s.places, indexed: false}
		})
	}
	return j.config.Fail(afterDestroy)
}

// strip replaces the segments whose keys were destroyed by their leaves.
func (j *Journal) strip(ctx context.Context) error {
	j.mu.Lock()
	list := j.viewLocked()
	j.mu.Unlock()
	for _, s := range list {
		if !s.dead || s.form != formWhole {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := j.stripOne(s); err != nil {
			return err
		}
	}
	return nil
}

func (j *Journal) stripOne(s *segment) error {
	h := s.header
	h.form = formLeaves
	path := filepath.Join(j.config.Dir, h.name())
	if err := j.writeLeaves(s, h, path+newSuffix); err != nil {
		return err
	}
	if err := j.config.Fail(leavesWritten); err != nil {
		return err
	}
	if err := j.files.Rename(path+newSuffix, path); err != nil {
		return err
	}
	if err := j.files.SyncDir(j.config.Dir); err != nil {
		return err
	}
	fresh := newSegment(h)
	fresh.dead = true
	if err := j.gatherIndex(fresh); err != nil {
		return err
	}
	j.change(h.number, func(*segment) *segment { return fresh })
	if err := j.files.Remove(filepath.Join(j.config.Dir, s.name())); err != nil {
		return err
	}
	if err := j.files.SyncDir(j.config.Dir); err != nil {
		return err
	}
	j.index(fresh)
	return j.config.Fail(afterLeaves)
}

// writeLeaves writes the leaves of a segment into a file, synced.
func (j *Journal) writeLeaves(s *segment, h header, path string) (err error) {
	r, err := j.open(s)
	if err != nil {
		return err
	}
	defer r.close()
	f, err := j.files.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out, at := h.encode(), int64(0)
	flush := func(least int) error {
		if len(out) < least {
			return nil
		}
		if _, err := f.WriteAt(out, at); err != nil {
			return err
		}
		at += int64(len(out))
		out = out[:0]
		return nil
	}
	group := int64(0)
	err = r.walk(s, headerSize, func(start int64, fr *frame) error {
		if start != group {
			if group != 0 {
				out = append(out, groupEnd...)
			}
			group = start
			b, err := r.bytes(start, groupHeadSize)
			if err != nil {
				return err
			}
			out = append(out, b...)
		}
		b, err := r.bytes(fr.offset, fr.size)
		if err != nil {
			return err
		}
		out = append(out, b...)
		return flush(window)
	})
	if err != nil {
		return err
	}
	out = append(out, groupEnd...)
	if err := flush(0); err != nil {
		return err
	}
	return f.Sync()
}

// redo carries out what is booked and was not done when the journal ended.
func (j *Journal) redo(ctx context.Context) error {
	// Erasing follows its booking before anything else is written, so that only the newest segment
	// can hold one that was not carried out.
	var list []booking
	last := uint64(0)
	for _, k := range j.newest().bookings {
		if k.last > 0 {
			last = max(last, k.last)
			continue
		}
		list = append(list, k)
	}
	if err := j.overwrite(list); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	var keys []uint64
	for _, s := range j.segments[:min(last, uint64(len(j.segments)-1))] {
		if !s.dead {
			keys = append(keys, s.key)
		}
	}
	if len(keys) > 0 {
		if err := j.destroy(last, keys); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	if err := j.strip(ctx); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

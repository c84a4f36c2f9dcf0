package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/entente-mesh/entente/node/vault"
)

// recover finds out what the folder holds, and makes it what it must be.
func (j *Journal) recover(ctx context.Context) error {
	if err := j.files.MkdirAll(j.config.Dir, 0o700); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := j.files.SyncDir(filepath.Dir(filepath.Clean(j.config.Dir))); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	claimed, err := j.readHead()
	if err != nil {
		return err
	}
	headers, err := j.list()
	if err != nil {
		return err
	}
	if claimed != nil && claimed.segment > uint64(len(headers)) {
		return &Damage{segmentName(uint64(len(headers)) + 1), 0, 0, Missing, "the head says that there was one"}
	}
	if claimed == nil && len(headers) > 0 {
		j.log.Warn("the journal's file head is missing: what a crash left is told from a loss by its form alone")
	}
	if err := j.openHead(claimed); err != nil {
		return err
	}
	if len(headers) == 0 {
		s, file, room, err := j.begin(1, 0, hash{})
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		j.segments, j.file, j.room = []*segment{s}, file, room
	} else {
		for _, h := range headers[:len(headers)-1] {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("journal: %w", err)
			}
			if err := j.adopt(h, headers[h.number]); err != nil {
				return err
			}
		}
		if err := j.resume(headers[len(headers)-1], claimed); err != nil {
			return err
		}
	}
	s := j.newest()
	j.sealing.Store(&sealer{segment: s.number, cipher: s.cipher})
	if err := j.recallMemories(); err != nil {
		return err
	}
	if err := j.redo(ctx); err != nil {
		return err
	}
	if err := j.sweep(); err != nil {
		return err
	}
	return j.writeHead(durable{segment: s.number, end: s.end, leaves: s.until(), last: s.last})
}

// openHead opens the head for writing, and makes it if there is none.
func (j *Journal) openHead(claimed *durable) (err error) {
	j.head, err = j.files.OpenFile(j.headPath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if claimed != nil {
		return nil
	}
	if err := j.writeHead(durable{}); err != nil {
		return err
	}
	if err := j.head.Sync(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := j.files.SyncDir(j.config.Dir); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// list reads the headers of all segments, and removes what a crash left that never stood.
func (j *Journal) list() ([]header, error) {
	entries, err := j.files.ReadDir(j.config.Dir)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	forms, most := map[uint64]uint32{}, uint64(0)
	for _, e := range entries {
		name := e.Name()
		if strings.HasSuffix(name, newSuffix) {
			if err := j.files.Remove(filepath.Join(j.config.Dir, name)); err != nil {
				return nil, fmt.Errorf("journal: %w", err)
			}
			continue
		}
		base, kind, _ := strings.Cut(name, ".")
		number, err := strconv.ParseUint(base, 10, 64)
		if err != nil || number == 0 {
			continue
		}
		switch name {
		case segmentName(number):
			forms[number] = max(forms[number], formWhole)
		case leavesName(number):
			forms[number] = formLeaves
		default:
			if kind != "idx" {
				continue
			}
		}
		most = max(most, number)
	}
	headers := make([]header, 0, most)
	for number := uint64(1); number <= most; number++ {
		h := header{number: number, form: forms[number]}
		if h.form == 0 {
			return nil, &Damage{segmentName(number), 0, 0, Missing, "there is no such file, and there are later ones"}
		}
		read, err := j.readHeader(h)
		if err != nil {
			return nil, err
		}
		if h.form == formLeaves {
			// The leaves stand; the whole one was about to go.
			err := j.files.Remove(filepath.Join(j.config.Dir, segmentName(number)))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, fmt.Errorf("journal: %w", err)
			}
		}
		headers = append(headers, read)
	}
	return headers, nil
}

// readHeader reads the header of a segment of a number and a form.
func (j *Journal) readHeader(want header) (header, error) {
	name := want.name()
	f, err := j.files.OpenFile(filepath.Join(j.config.Dir, name), os.O_RDONLY, 0)
	if err != nil {
		return header{}, fmt.Errorf("journal: %w", err)
	}
	defer f.Close() // it was only read
	b := make([]byte, headerSize)
	err = readFull(f, b, 0)
	var h header
	if err == nil {
		h, err = parseHeader(b)
	}
	switch {
	case err != nil:
		return h, &Damage{name, 0, 0, Damaged, err.Error()}
	case h.journal != j.whose:
		return h, &Damage{name, 0, h.first, Damaged, "the segment belongs to the journal of another federation, bureau or replica"}
	case h.number != want.number:
		return h, &Damage{name, 0, h.first, Reordered, fmt.Sprintf("this is segment %d", h.number)}
	case h.form != want.form:
		return h, &Damage{name, 0, h.first, Damaged, "the file's name and its header disagree on whether it holds bodies"}
	}
	return h, nil
}

// unlock finds the key of a segment.
func (j *Journal) unlock(s *segment) error {
	if s.form == formLeaves {
		s.dead = true
		return nil
	}
	key, err := j.config.Vault.Key(s.key)
	switch {
	case errors.Is(err, vault.ErrDestroyed):
		s.dead = true
	case errors.Is(err, vault.ErrDamaged):
		return &Damage{s.name(), 24, s.first, Damaged, "its key in the vault: " + err.Error()}
	case err != nil:
		return fmt.Errorf("journal: %w", err)
	}
	s.cipher = key
	return nil
}

// adopt takes up a segment that ended, with its index, or makes the index anew. The segment after
// it says what it must have ended with.
func (j *Journal) adopt(h header, next header) error {
	s := newSegment(h)
	if err := j.unlock(s); err != nil {
		return err
	}
	fits := func() bool { return next.first == s.until() && next.previous == s.last }
	f, head, err := j.openIndex(h)
	if err == nil {
		if err := f.Close(); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		s.summary, s.indexed = head.summary, true
	} else if !errors.Is(err, errFormat) && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	if !s.indexed || !fits() {
		j.log.Info("the index of a segment is made anew", "segment", h.number, "cause", err)
		if err := j.gatherIndex(s); err != nil {
			return err
		}
		s.indexed = false
	}
	if !fits() {
		return &Damage{h.name(), s.end, s.until(), order(next.first, s.until()),
			fmt.Sprintf("the segment ends with leaf %d, and the next begins with leaf %d", int64(s.until())-1, next.first)}
	}
	info, err := j.files.Stat(filepath.Join(j.config.Dir, h.name()))
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if info.Size() < s.end {
		return &Damage{h.name(), info.Size(), s.first, Missing, fmt.Sprintf("the file has %d bytes, and had %d", info.Size(), s.end)}
	}
	j.segments = append(j.segments, s)
	if !s.indexed {
		j.index(s)
	}
	return nil
}

// resume takes up the newest segment, and makes sure of its last group.
func (j *Journal) resume(h header, claimed *durable) error {
	s := newSegment(h)
	if err := j.unlock(s); err != nil {
		return err
	}
	if s.dead {
		return &Damage{h.name(), 24, h.first, BodyMissing, "the newest segment's key was destroyed"}
	}
	f, err := j.files.OpenFile(filepath.Join(j.config.Dir, h.name()), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.file = f
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	r := &reader{file: f, name: h.name(), form: h.form, end: size}
	end, err := j.whole(s, r, claimed)
	if err != nil {
		return err
	}
	if end < size {
		// Also when only zeros follow: what was cut is not found in what comes to lie there.
		if err := f.Truncate(end); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	j.room = end
	if err := j.confirm(s, end); err != nil {
		return err
	}
	j.segments = append(j.segments, s)
	return nil
}

// confirm writes the last group once more, and syncs. If a sync of it failed before, the kernel may
// hold it as written though the disk does not: then it is only from now on that it stands.
func (j *Journal) confirm(s *segment, end int64) error {
	if n := len(s.places); n > 0 {
		from := int64(s.places[n-1].group)
		b := make([]byte, end-from)
		if err := readFull(j.file, b, from); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		if _, err := j.file.WriteAt(b, from); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// recallMemories takes up the asks that must be remembered.
func (j *Journal) recallMemories() error {
	now := j.config.Now()
	for _, s := range j.segments {
		if s.dead || s.forget < now.UnixNano() {
			continue
		}
		list := s.memories
		if s.indexed {
			var err error
			if list, err = j.readMemories(s); err != nil {
				return err
			}
		}
		j.asks.recallAll(s.number, list, now)
	}
	return nil
}

// readMemories reads the asks of a segment from its index, or from itself if the index is damaged.
func (j *Journal) readMemories(s *segment) ([]remembered, error) {
	list, err := func() ([]remembered, error) {
		f, head, err := j.openIndex(s.header)
		if err != nil {
			return nil, err
		}
		defer f.Close() // it was only read
		b, err := readPart(f, s, head.memoriesAt(), int(head.memories), indexMemories, 0)
		if err != nil {
			return nil, err
		}
		return decodeMemories(b)
	}()
	if err == nil {
		return list, nil
	}
	if !errors.Is(err, errFormat) && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("journal: %w", err)
	}
	fresh := newSegment(s.header)
	fresh.cipher = s.cipher
	if err := j.gatherIndex(fresh); err != nil {
		return nil, err
	}
	return fresh.memories, j.writeIndex(fresh)
}

// sweep looks for keys that no segment names. A crash between a key and its segment leaves one, which
// has sealed nothing and is left as it is. What it must not be taken for is a journal that is not
// there: if the folder is empty and keys are there that had segments, the disk with the journal is
// not mounted, or the journal is lost, and a new one in its place would hide that.
func (j *Journal) sweep() error {
	if len(j.segments) > 0 {
		return nil
	}
	for id, err := range j.config.Vault.Live() {
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		if id > 1 {
			return &Damage{What: Missing, Detail: fmt.Sprintf("there is no segment in %s, and the vault has the keys of some: mount the disk that holds the journal, or restore journal and vault together", j.config.Dir)}
		}
	}
	return nil
}

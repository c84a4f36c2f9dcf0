package journal

import (
	"errors"
	"os"
	"slices"

	"github.com/entente-mesh/entente/node/disk"
)

// index checks a segment's index against what was read of the segment.
func (c *checker) index(s, read *segment) error {
	if !s.indexed {
		return nil // it is in memory
	}
	err := c.indexFile(s, read)
	if err != nil && c.j.replaced(s) {
		return nil // with its index, by its leaves
	}
	return c.add(err)
}

// indexFile is a Damage, if the index file is not what it must be.
func (c *checker) indexFile(s, read *segment) error {
	name := indexName(s.number)
	f, head, err := c.j.openIndex(s.header)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return &Damage{name, 0, s.first, Missing, "there is no such file; it is made anew when the node starts"}
	case errors.Is(err, errFormat):
		return &Damage{name, 0, s.first, IndexDamaged, err.Error()}
	case err != nil:
		return err
	}
	defer f.Close() // it was only read
	at, what := c.compare(f, head, s, read)
	if errors.Is(what, errFormat) {
		return &Damage{name, at, s.first, IndexDamaged, what.Error()}
	}
	return what
}

// compare reads a whole index, and says where it is not what it must be.
func (c *checker) compare(f disk.File, head indexHead, s, read *segment) (at int64, err error) {
	t, err := readTable(f, head, s)
	if err != nil {
		return head.placesAt(), err
	}
	var postings []posting
	for i := range head.blocks() {
		list, err := t.block(f, s, i)
		if err != nil {
			return head.blockAt(i), err
		}
		if len(list) == 0 || list[0].mark != t.fences[i] {
			return head.fencesAt(), malformed("a fence is not its block's")
		}
		postings = append(postings, list...)
	}
	b, err := readPart(f, s, head.memoriesAt(), int(head.memories), indexMemories, 0)
	if err != nil {
		return head.memoriesAt(), err
	}
	memories, err := decodeMemories(b)
	if err != nil {
		return head.memoriesAt(), err
	}
	if c.flawed || s.dead && s.form == formWhole {
		return 0, nil // there is nothing sound to compare it with
	}
	read.end = head.end // the walk knows it better than its own sum does
	sortPostings(read.postings)
	switch {
	case head.summary != read.summary:
		return 0, malformed("its head is not about this segment as it is")
	case !slices.Equal(t.list, read.places):
		return head.placesAt(), malformed("its places are not those of this segment")
	case !slices.Equal(postings, read.postings):
		return head.fencesAt(), malformed("it does not hold the marks of this segment")
	case string(encodeMemories(memories)) != string(encodeMemories(read.memories)):
		return head.memoriesAt(), malformed("it does not hold the asks of this segment")
	}
	return 0, nil
}

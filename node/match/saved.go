package match

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/entente-mesh/entente/node/match/names"
)

// Snapshot is an index at one moment, to be saved: the names by which persons are found, and their
// bodies.
type Snapshot struct {
	index  *names.Index
	bodies map[string][]byte
}

// Snapshot takes one, which takes milliseconds: writing it is what takes time, and disturbs nobody. No
// person is put or removed meanwhile.
func (p *Persons) Snapshot() *Snapshot { return &Snapshot{p.index.Snapshot(), p.bodies.all()} }

// Persons is how many are in it.
func (s *Snapshot) Persons() int { return len(s.bodies) }

// maxSaved bounds what is read as one part of a saved index: more is none.
const maxSaved = 1 << 36

// Save writes the snapshot. It is plain: whoever keeps it encrypts it.
func (s *Snapshot) Save(w io.Writer) error {
	if err := savePart(w, s.index.Marshal()); err != nil {
		return err
	}
	if err := saveNumber(w, uint64(len(s.bodies))); err != nil {
		return err
	}
	for id, body := range s.bodies {
		if err := savePart(w, []byte(id)); err != nil {
			return err
		}
		if err := savePart(w, body); err != nil {
			return err
		}
	}
	return nil
}

// ErrStale says that a saved index was made by another version of the program.
var ErrStale = names.ErrStale

// errSaved says that what was read is no saved index, or of another form.
var errSaved = errors.New("the saved index is damaged: build it from the records")

// LoadPersons reads what Save has written.
func LoadPersons(o Options, r io.Reader) (*Persons, error) {
	raw, err := savedPart(r)
	if err != nil {
		return nil, err
	}
	index, err := names.Unmarshal(raw)
	if err != nil {
		return nil, err
	}
	count, err := savedNumber(r)
	if err != nil {
		return nil, err
	}
	if count != uint64(index.Len()) {
		return nil, errSaved
	}
	p := NewPersons(o)
	p.index, p.bodies.byID = index, make(map[string][]byte, count)
	for range count {
		id, err := savedPart(r)
		if err != nil {
			return nil, err
		}
		if !index.Has(string(id)) {
			return nil, errSaved
		}
		if p.bodies.byID[string(id)], err = savedPart(r); err != nil {
			return nil, err
		}
	}
	if len(p.bodies.byID) != index.Len() {
		return nil, errSaved
	}
	return p, nil
}

func saveNumber(w io.Writer, n uint64) error {
	_, err := w.Write(binary.LittleEndian.AppendUint64(nil, n))
	return err
}

func savePart(w io.Writer, b []byte) error {
	if err := saveNumber(w, uint64(len(b))); err != nil {
		return err
	}
	_, err := w.Write(b)
	return err
}

func savedNumber(r io.Reader) (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, fmt.Errorf("%w: %w", errSaved, err)
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

func savedPart(r io.Reader) ([]byte, error) {
	n, err := savedNumber(r)
	if err != nil {
		return nil, err
	}
	if n > maxSaved {
		return nil, errSaved
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("%w: %w", errSaved, err)
	}
	return b, nil
}

package limits

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
)

// The forms of a distinct count: the registers that are not 0, or all of them.
const (
	formSparse = 1
	formDense  = 2
	sparseSize = 3
)

func (d *distinct) encode() []byte {
	if used := registers - d.empty; used*sparseSize < registers {
		b := append(make([]byte, 0, 1+used*sparseSize), formSparse)
		for i, rank := range d.ranks {
			if rank > 0 {
				b = append(binary.BigEndian.AppendUint16(b, uint16(i)), rank)
			}
		}
		return b
	}
	return append([]byte{formDense}, d.ranks[:]...)
}

func decodeDistinct(b []byte) (*distinct, error) {
	const maxRank = 64 - registerBits + 1
	d := newDistinct()
	raise := func(i int, rank uint8) error {
		if i >= registers || rank > maxRank {
			return errors.New("a count with a register that none has")
		}
		d.raise(i, rank)
		return nil
	}
	switch {
	case len(b) == 1+registers && b[0] == formDense:
		for i, rank := range b[1:] {
			if err := raise(i, rank); err != nil {
				return nil, err
			}
		}
	case len(b) > 0 && b[0] == formSparse && (len(b)-1)%sparseSize == 0:
		for b = b[1:]; len(b) > 0; b = b[sparseSize:] {
			if err := raise(int(binary.BigEndian.Uint16(b)), b[2]); err != nil {
				return nil, err
			}
		}
	default:
		return nil, errors.New("a count in an unknown form")
	}
	return d, nil
}

// nearCell is what one hot cell takes: row, cell, and its two bitmaps.
const nearCell = 1 + 2 + 8 + 8

// encode writes the hot cells, the hottest first where there are more than most.
func (n *near) encode(most int) []byte {
	if n == nil {
		return nil
	}
	b := binary.BigEndian.AppendUint64(nil, n.sample)
	b = binary.BigEndian.AppendUint64(b, uint64(n.window))
	type place struct{ row, cell, bits int }
	var hot []place
	for row := range nearRows {
		for cell := range nearCells {
			if set := bits.OnesCount64(n.now[row][cell] | n.before[row][cell]); set >= nearHot {
				hot = append(hot, place{row, cell, set})
			}
		}
	}
	if len(hot) > most {
		slices.SortStableFunc(hot, func(a, b place) int { return b.bits - a.bits })
		hot = hot[:most]
	}
	for _, h := range hot {
		b = append(b, byte(h.row))
		b = binary.BigEndian.AppendUint16(b, uint16(h.cell))
		b = binary.BigEndian.AppendUint64(b, n.now[h.row][h.cell])
		b = binary.BigEndian.AppendUint64(b, n.before[h.row][h.cell])
	}
	return b
}

func decodeNear(b []byte) (*near, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) < 16 || (len(b)-16)%nearCell != 0 {
		return nil, errors.New("neighbourhoods in an unknown form")
	}
	n := &near{sample: binary.BigEndian.Uint64(b), window: int64(binary.BigEndian.Uint64(b[8:]))}
	if bits.OnesCount64(n.sample) != 1 {
		return nil, errors.New("neighbourhoods with a sample that is no power of two")
	}
	for b = b[16:]; len(b) > 0; b = b[nearCell:] {
		row, cell := b[0], binary.BigEndian.Uint16(b[1:])
		if row >= nearRows || cell >= nearCells {
			return nil, errors.New("a neighbourhood that none has")
		}
		n.now[row][cell], n.before[row][cell] = binary.BigEndian.Uint64(b[3:]), binary.BigEndian.Uint64(b[11:])
	}
	return n, nil
}

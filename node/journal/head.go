package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// The file head says up to where the journal was durable when it was last written. It is written
// after each sync and not synced itself: it never claims more than is on the disk, and after a
// kill it claims all that was acknowledged. After a lost power supply it may claim less.
//
//	magic 8 | segment 8 | end 8 | leaves 8 | last hash 32 | CRC 4
//
// It fits a disk's block and does not cross one, so it is not torn. Without the file the journal
// opens as well, and takes what it finds.
const (
	headName  = "head"
	headMagic = "ENTJHED1"
	headSize  = 68
)

// durable is what the head says.
type durable struct {
	segment uint64 // 0: before the first
	end     int64
	leaves  uint64 // in the whole journal
	last    hash
}

func (d durable) encode() []byte {
	b := make([]byte, 0, headSize)
	b = append(b, headMagic...)
	b = binary.BigEndian.AppendUint64(b, d.segment)
	b = binary.BigEndian.AppendUint64(b, uint64(d.end))
	b = binary.BigEndian.AppendUint64(b, d.leaves)
	b = append(b, d.last[:]...)
	return binary.BigEndian.AppendUint32(b, checksum(b))
}

func parseDurable(b []byte) (durable, error) {
	if len(b) != headSize || string(b[:8]) != headMagic || binary.BigEndian.Uint32(b[headSize-4:]) != checksum(b[:headSize-4]) {
		return durable{}, malformed("this is no head of a journal")
	}
	return durable{
		segment: binary.BigEndian.Uint64(b[8:]),
		end:     int64(binary.BigEndian.Uint64(b[16:])),
		leaves:  binary.BigEndian.Uint64(b[24:]),
		last:    hash(b[32:64]),
	}, nil
}

func (j *Journal) headPath() string { return filepath.Join(j.config.Dir, headName) }

// readHead reads the head. It returns nil if there is none.
func (j *Journal) readHead() (*durable, error) {
	f, err := j.files.OpenFile(j.headPath(), os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer f.Close() // it was only read
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	b := make([]byte, min(size, headSize+1))
	if err := readFull(f, b, 0); err != nil {
		return nil, err
	}
	d, err := parseDurable(b)
	if err != nil {
		return nil, &Damage{headName, 0, 0, Damaged,
			"it says up to where the journal is durable: restore it, or remove it to accept the journal as it is"}
	}
	return &d, nil
}

// writeHead writes the head.
func (j *Journal) writeHead(d durable) error {
	j.headMu.Lock()
	defer j.headMu.Unlock()
	b := d.encode()
	if _, err := j.head.WriteAt(b, 0); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.headLast = b
	return nil
}

// headWhole says whether the head on the disk is what was last written.
func (j *Journal) headWhole() (bool, error) {
	j.headMu.Lock()
	defer j.headMu.Unlock()
	b := make([]byte, headSize)
	if j.head == nil {
		return false, ErrClosed
	}
	if err := readFull(j.head, b, 0); err != nil {
		return false, nil
	}
	return string(b) == string(j.headLast), nil
}

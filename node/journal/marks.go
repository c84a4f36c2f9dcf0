package journal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	hashes "hash"
	"sync"
)

// mark is what a passage is looked up by: the beginning of an HMAC under a key of the node's, so
// that it tells nothing to whoever finds it, and nobody can choose a message id whose mark is
// another's. Two marks that are equal by chance cost a look at the entry, which says it itself.
type mark uint64

// marker makes marks.
type marker struct{ macs sync.Pool }

func newMarker(key []byte) (*marker, error) {
	if len(key) != sha256.Size {
		return nil, fmt.Errorf("marks: a key of %d bytes, expected %d: derive it from the node key (vault.Derive)", len(key), sha256.Size)
	}
	return &marker{macs: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}, nil
}

func (m *marker) message(id [16]byte) mark          { return m.mark("message", string(id[:])) }
func (m *marker) officer(pseudonym string) mark     { return m.mark("officer", pseudonym) }
func (m *marker) quote(owner, recordID string) mark { return m.mark("quote", owner, recordID) }

func (m *marker) mark(parts ...string) mark {
	mac := m.macs.Get().(hashes.Hash)
	defer m.macs.Put(mac)
	mac.Reset()
	var b []byte
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	mac.Write(b)
	return mark(binary.BigEndian.Uint64(mac.Sum(b[:0])))
}

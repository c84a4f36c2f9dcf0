package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
)

// RecordKey stands for a record's id in look-ups: a keyed hash of its collection and id. Without
// the node's key nobody can tell of an id whether it is this one's.
type RecordKey [hashSize]byte

// hashSize is how many bytes of an HMAC-SHA256 are kept. Two of 2^32 entries agree by chance in
// one of 2^64 stores; and what is found is compared after it was opened.
const hashSize = 16

// macSize is how many bytes authenticate a row that holds nothing worth forging by trial: whoever
// guesses one cannot try it without the node.
const macSize = 8

// What a hash is of. A hash of one use says nothing about another's.
const (
	ofRecord  = 'i' // collection, id
	ofDigest  = 'd' // collection, digest of a record's content
	ofLookup  = 'l' // by what a document is found
	ofKey     = 'k' // normal form of a document number
	ofBlock   = 'r' // characters before the digits, how many digits, level, block
	ofFiller  = 'f' // question, place
	ofState   = 's' // room, key
	ofSource  = 'n' // source's number, name
	ofKeyRow  = 'v' // key's id in the vault, live records
	ofCommits = 'c' // commits
)

// hasher makes keyed hashes. It is safe for concurrent use; each caller has a state of its own
// from the pool.
type hasher struct{ pool sync.Pool }

func newHasher(key []byte) *hasher {
	return &hasher{pool: sync.Pool{New: func() any { return &keyed{mac: hmac.New(sha256.New, key)} }}}
}

// keyed is one hash while its message is put together.
type keyed struct {
	mac hash.Hash
	msg []byte
	out []byte
}

func (h *hasher) of(use byte) *keyed {
	k := h.pool.Get().(*keyed)
	k.msg = append(k.msg[:0], use)
	return k
}

// text adds a text with its length, so that two texts are never taken for others.
func (k *keyed) text(s string) *keyed {
	k.msg = binary.AppendUvarint(k.msg, uint64(len(s)))
	k.msg = append(k.msg, s...)
	return k
}

func (k *keyed) number(n int64) *keyed {
	k.msg = binary.BigEndian.AppendUint64(k.msg, uint64(n))
	return k
}

func (k *keyed) hash(h [hashSize]byte) *keyed {
	k.msg = append(k.msg, h[:]...)
	return k
}

// end returns the hash, and the state to its pool.
func (h *hasher) end(k *keyed) (out [hashSize]byte) {
	k.mac.Reset()
	k.mac.Write(k.msg)
	k.out = k.mac.Sum(k.out[:0])
	copy(out[:], k.out)
	clear(k.msg) // it may hold a number
	h.pool.Put(k)
	return out
}

func (h *hasher) record(collection int64, id string) RecordKey {
	return h.end(h.of(ofRecord).number(collection).text(id))
}

// mark tells of a row, without opening it, whether it says what another record says, and is found
// by the same.
func (h *hasher) mark(collection int64, digest []byte, l lookup) []byte {
	said := h.end(h.of(ofDigest).number(collection).text(string(digest)))
	k := h.of(ofLookup)
	for _, key := range l.keys {
		k.text(key)
	}
	if l.span != nil {
		k.text(l.span.prefix).number(int64(l.span.width)).number(l.span.from).number(l.span.to)
	}
	found := h.end(k)
	return append(said[:], found[:macSize]...)
}

func (h *hasher) documentKey(key string) [hashSize]byte { return h.end(h.of(ofKey).text(key)) }

func (h *hasher) block(prefix string, width, level int, block int64) [hashSize]byte {
	return h.end(h.of(ofBlock).text(prefix).number(int64(width)).number(int64(level)).number(block))
}

func (h *hasher) state(room, key string) [hashSize]byte {
	return h.end(h.of(ofState).text(room).text(key))
}

func (h *hasher) sourceMAC(no int64, name string) []byte {
	sum := h.end(h.of(ofSource).number(no).text(name))
	return sum[:macSize]
}

func (h *hasher) keyMAC(id, live int64) []byte {
	sum := h.end(h.of(ofKeyRow).number(id).number(live))
	return sum[:macSize]
}

func (h *hasher) commitsMAC(commits int64) []byte {
	sum := h.end(h.of(ofCommits).number(commits))
	return sum[:]
}

// KeyOf is the key by which a record is found (GetByKey, SourceKeys). Nothing is found by that of
// a collection that does not exist.
func (s *Store) KeyOf(collection, id string) RecordKey {
	no, err := collectionNo(collection)
	if err != nil {
		no = 0 // no collection's
	}
	return s.hash.record(no, id)
}

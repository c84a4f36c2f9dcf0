package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/entente-mesh/entente/node/vault"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	"google.golang.org/protobuf/proto"
)

// kept is a record's row.
type kept struct {
	seq         int64
	collection  int64
	key         RecordKey
	source      int64
	version     int64
	changedAt   int64
	withdrawnAt int64 // 0: live
	erasedAt    int64 // 0: not
	vaultKey    int64 // 0: not live
	digest      []byte
	body        []byte // sealed
}

func (k *kept) live() bool { return k.withdrawnAt == 0 }

// about is what a row's body is bound to: every other column. A row of which one bit is changed,
// or whose body is another row's, or an older one of its own, cannot be opened.
func (k *kept) about() []byte {
	b := append(make([]byte, 0, 128), "entente store row v1\x00"...)
	for _, n := range [...]int64{k.collection, k.seq, k.source, k.version, k.changedAt, k.withdrawnAt, k.erasedAt, k.vaultKey} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = append(b, k.key[:]...)
	return append(b, k.digest...)
}

// content is what is sealed in a live record's body.
type content struct {
	record *recordv1.Record
	digest []byte // SHA-256, see Digest
	endKey string // of a range: the normal form of its end, as it was when the record was kept
	own    bool   // sealed under a key of its own
}

// ownKey marks a body that is sealed under a key of its own.
const ownKey = 1

func (c *content) marshal() ([]byte, error) {
	var flags byte
	if c.own {
		flags = ownKey
	}
	b := make([]byte, 0, 1+sha256.Size+1+len(c.endKey)+proto.Size(c.record))
	b = append(append(b, flags), c.digest...)
	b = binary.AppendUvarint(b, uint64(len(c.endKey)))
	b = append(b, c.endKey...)
	return proto.MarshalOptions{}.MarshalAppend(b, c.record)
}

var errContent = errors.New("its body is none")

func parseContent(b []byte) (*content, error) {
	if len(b) < 1+sha256.Size {
		return nil, errContent
	}
	c := &content{own: b[0]&ownKey != 0, digest: b[1 : 1+sha256.Size], record: &recordv1.Record{}}
	b = b[1+sha256.Size:]
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, errContent
	}
	c.endKey = string(b[size : size+int(n)])
	if err := proto.Unmarshal(b[size+int(n):], c.record); err != nil {
		return nil, errContent // its own text may quote the record
	}
	return c, nil
}

// span is the range that the document is, or nil.
func (c *content) span() (*span, error) {
	if c.record.GetDocument().GetRangeEnd() == "" {
		return nil, nil
	}
	s, err := newSpan(c.record.GetDocument().GetNumberKey(), c.endKey)
	if err != nil {
		return nil, errContent
	}
	return &s, nil
}

// lookup is by what the document is found.
func (c *content) lookup() (lookup, error) {
	sp, err := c.span()
	return lookup{keys: keysOf(c.record.GetDocument()), span: sp}, err
}

// errVanished says that a row's key was destroyed after the row was read: the record is
// withdrawn or erased meanwhile, and the question must be asked again.
var errVanished = errors.New("the record was withdrawn while it was read")

// vanished is errVanished, with the row that was read.
type vanished struct{ seq, collection, vaultKey int64 }

// Error implements error.
func (*vanished) Error() string { return errVanished.Error() }

// Is makes it errVanished.
func (*vanished) Is(target error) bool { return target == errVanished }

// opener opens bodies. It remembers the keys it has met: the documents of one import share one.
// It belongs to one call.
type opener struct {
	s    *Store
	keys map[int64]vault.Key
	// fresh are keys that the transaction has made. They are the only ones that a rehearsal has.
	fresh map[int64]vault.Key
}

// rememberedKeys bounds an opener's memory: a page of persons has as many keys as persons.
const rememberedKeys = 256

func (s *Store) opener() *opener { return &opener{s: s, keys: map[int64]vault.Key{}} }

func (o *opener) key(id int64) (vault.Key, error) {
	if k, ok := o.fresh[id]; ok {
		return k, nil
	}
	if k, ok := o.keys[id]; ok {
		return k, nil
	}
	k, err := o.s.vault.Key(uint64(id))
	if err != nil {
		return vault.Key{}, err
	}
	if len(o.keys) >= rememberedKeys {
		clear(o.keys)
	}
	o.keys[id] = k
	return k, nil
}

// open opens a live record's body and compares it with its row. errVanished says that its key is
// destroyed.
func (o *opener) open(k *kept) (*content, error) {
	o.s.work.opened.Add(1)
	key, err := o.key(k.vaultKey)
	if errors.Is(err, vault.ErrDestroyed) {
		return nil, &vanished{seq: k.seq, collection: k.collection, vaultKey: k.vaultKey}
	}
	if err != nil {
		return nil, damagedRow(k, err)
	}
	plain, err := key.Open(k.body, k.about())
	if err != nil {
		return nil, damagedRow(k, err)
	}
	c, err := parseContent(plain)
	if err != nil {
		return nil, damagedRow(k, err)
	}
	if o.s.hash.record(k.collection, c.record.GetRecordId()) != k.key {
		return nil, damagedRow(k, errors.New("it holds another record"))
	}
	return c, nil
}

// remains is what is sealed in a withdrawn record's row, so that followers learn of it and its
// owner can be told. Of an erased record neither remains.
type remains struct{ owner, id string }

func (s *Store) sealRemains(k *kept, r remains) {
	var plain []byte
	if r.id != "" {
		plain = append(binary.AppendUvarint(nil, uint64(len(r.owner))), r.owner...)
		plain = append(plain, r.id...)
	}
	k.body = s.sealer.Seal(plain, k.about())
}

func (s *Store) openRemains(k *kept) (remains, error) {
	plain, err := s.sealer.Open(k.body, k.about())
	if err != nil {
		return remains{}, damagedRow(k, err)
	}
	if len(plain) == 0 {
		return remains{}, nil
	}
	n, size := binary.Uvarint(plain)
	if size <= 0 || n > uint64(len(plain)-size) {
		return remains{}, damagedRow(k, errContent)
	}
	plain = plain[size:]
	r := remains{owner: string(plain[:n]), id: string(plain[n:])}
	if s.hash.record(k.collection, r.id) != k.key {
		return remains{}, damagedRow(k, errors.New("it holds another record's id"))
	}
	return r, nil
}

// damagedRow says that a row is not what was written there. It names the row, not the record.
func damagedRow(k *kept, err error) error {
	return fmt.Errorf("%w: row %d of %s: %w: restore a backup", ErrDamaged, k.seq, collectionName(k.collection), err)
}

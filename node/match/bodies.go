package match

import (
	"maps"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// bodies keeps the records of an index as the wire has them, which takes a fraction of the room of a
// message in memory. Only those are opened of whom somebody is told.
type bodies struct {
	mu   sync.RWMutex
	byID map[string][]byte
}

// marshalled is a message as the wire has it. One that the wire could not have, with a text that is no
// UTF-8, is empty: a person is found all the same.
func marshalled(m proto.Message) []byte {
	raw, err := proto.Marshal(m)
	if err != nil {
		return nil
	}
	return raw
}

// put keeps a record.
func (b *bodies) put(id string, rec *recordv1.Record) {
	raw := marshalled(rec)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byID == nil {
		b.byID = make(map[string][]byte)
	}
	b.byID[id] = raw
}

// remove tells whether there was one.
func (b *bodies) remove(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.byID[id]
	delete(b.byID, id)
	return ok
}

// open returns a record of the caller's own, and how many bytes it was; nil if it is gone.
func (b *bodies) open(id string) (*recordv1.Record, int) {
	b.mu.RLock()
	raw, ok := b.byID[id]
	b.mu.RUnlock()
	if !ok {
		return nil, 0
	}
	return openBody(raw), len(raw)
}

func openBody(raw []byte) *recordv1.Record {
	rec := &recordv1.Record{}
	if err := proto.Unmarshal(raw, rec); err != nil {
		return nil // nobody else has made it than marshalled
	}
	return rec
}

func (b *bodies) has(id string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	_, ok := b.byID[id]
	return ok
}

func (b *bodies) len() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.byID)
}

func (b *bodies) ids() []string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.Collect(maps.Keys(b.byID))
}

// all is what is kept now; it is not changed by what is put afterwards.
func (b *bodies) all() map[string][]byte {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return maps.Clone(b.byID)
}

package store

import "sync"

// erasedKept is how many erased records' ids are kept in memory. A follower asks for changes every
// few seconds, and an erasure takes milliseconds of the disk: none is as far behind.
const erasedKept = 1 << 16

// erasedIDs keeps the ids of the records that were erased last, for followers that hold them in
// memory: the database does not have them any more. A follower that begins later never knew them.
type erasedIDs struct {
	mu   sync.Mutex // guards what follows
	ids  map[rowKey]string
	ring []rowKey // of ids, in the order in which they were erased
	next int      // where in ring the oldest lies, once it is full
}

// remember keeps the id of a record that is being erased. One whose transaction fails is kept too,
// and harms nothing.
func (e *erasedIDs) remember(k *kept, id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := rowKey{k.collection, k.key}
	if _, ok := e.ids[key]; ok {
		return
	}
	if e.ids == nil {
		e.ids = map[rowKey]string{}
	}
	e.ids[key] = id
	if len(e.ring) < erasedKept {
		e.ring = append(e.ring, key)
		return
	}
	delete(e.ids, e.ring[e.next])
	e.ring[e.next] = key
	e.next = (e.next + 1) % erasedKept
}

func (e *erasedIDs) id(k *kept) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ids[rowKey{k.collection, k.key}]
}

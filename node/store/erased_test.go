package store

import (
	"encoding/binary"
	"strconv"
	"testing"
)

// TestErasedIDsAreBounded: of however many erasures the last ones are known, and no more is held.
func TestErasedIDsAreBounded(t *testing.T) {
	var e erasedIDs
	nth := func(i int) *kept {
		k := &kept{collection: 1}
		binary.BigEndian.PutUint64(k.key[:], uint64(i))
		return k
	}
	const all = 2*erasedKept + 17
	for i := range all {
		for range 2 { // a second try of the same erasure takes no place
			e.remember(nth(i), strconv.Itoa(i))
		}
	}
	if len(e.ids) != erasedKept || len(e.ring) != erasedKept {
		t.Errorf("%d ids, %d in the ring, want %d", len(e.ids), len(e.ring), erasedKept)
	}
	for i, want := range map[int]string{all - 1: strconv.Itoa(all - 1), all - erasedKept: strconv.Itoa(all - erasedKept), all - erasedKept - 1: "", 0: ""} {
		if got := e.id(nth(i)); got != want {
			t.Errorf("erased %d: id %q, want %q", i, got, want)
		}
	}
}

package roster

import (
	"errors"
	"testing"
	"time"
)

// What a peer offers is first asked for its signatures: those of the threshold of the roster that
// is installed, of distinct bureaus.
func TestEndorsed(t *testing.T) {
	m, b, _ := installed(t)
	current := b.Current()
	next, err := Next(current, dawn.Add(time.Hour), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := current.Endorsed(m.signed(t, next, "BEL", "ESP", "BGR")); err != nil {
		t.Errorf("by the threshold: %v", err)
	}
	if err := current.Endorsed(m.signed(t, next, "BEL", "ESP")); !errors.Is(err, ErrThreshold) {
		t.Errorf("by one fewer: %v", err)
	}
	if err := current.Endorsed(m.signed(t, next, "BEL", "ESP", "ESP")); !errors.Is(err, ErrThreshold) {
		t.Errorf("by one of them twice: %v", err)
	}
	changed := m.signed(t, next, "BEL", "ESP", "BGR")
	changed.Payload[len(changed.Payload)-1] ^= 1
	if current.Endorsed(changed) == nil {
		t.Error("with one changed byte")
	}
}

// Who listens for changes does not wait for a writer, who may be at the disk for long.
func TestListeningDoesNotWaitForWriters(t *testing.T) {
	_, b, _ := installed(t)
	b.mu.Lock() // a writer is at work
	defer b.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, end := b.Changes()
		end()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("Changes waits behind a writer")
	}
}

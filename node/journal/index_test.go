package journal_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/disk"
)

// held is a disk on which the first file of a name takes its place only when it is let.
type held struct {
	disk.Files
	suffix  string
	once    sync.Once
	waiting chan struct{}
	release chan struct{}
}

// Rename implements disk.Files.
func (h *held) Rename(from, to string) error {
	if strings.HasSuffix(to, h.suffix) {
		h.once.Do(func() {
			close(h.waiting)
			<-h.release
		})
	}
	return h.Files.Rename(from, to)
}

// TestAnIndexThatComesLate has the index of a segment written while the segment's key is destroyed:
// nobody believes what was written then.
func TestAnIndexThatComesLate(t *testing.T) {
	w := real(t)
	w.segment = 16 << 10
	late := &held{Files: w.files, suffix: "/00000001.idx", waiting: make(chan struct{}), release: make(chan struct{})}
	w.files = late
	looked := 0
	hook := func(string) error { return nil }
	w.fail = func(point string) error { return hook(point) }
	j := w.open(t)
	ended := false
	for n := 0; !ended; n++ {
		record(t, j, check(n))
		select {
		case <-late.waiting:
			ended = true
		default:
		}
	}
	hook = func(point string) error {
		if point != "leaves-written" || looked > 0 {
			return nil
		}
		// Its key is destroyed, its leaves have not taken its place.
		close(late.release)
		for range 50 {
			r, err := j.Check(context.Background(), nil)
			if err != nil || len(r.Flaws) > 0 {
				t.Fatalf("%v, %v", err, r.Flaws)
			}
			looked++
		}
		return nil
	}
	w.now = noon.Add(24 * time.Hour)
	if n, err := j.Retain(t.Context(), w.now); err != nil || n == 0 || looked == 0 {
		t.Fatalf("%d segments erased, looked %d times: %v", n, looked, err)
	}
	whole(t, j)
}

package witness_test

import (
	"testing"
	"time"

	"github.com/entente-mesh/entente/federation/witness"
)

// BenchmarkSaw is what each message costs, whose checkpoint came before, and whose is new.
func BenchmarkSaw(b *testing.B) {
	n := &node{bureau: "BEL", roster: &roster{}, lines: &lines{}, siren: &siren{}, log: newChronicle("BEL", "1"), shelf: &shelf{kept: map[string][]byte{}}}
	w, err := witness.New(b.Context(), n.config())
	if err != nil {
		b.Fatal(err)
	}
	esp := newChronicle("ESP", "1")
	var notes [1024][]byte
	for i := range notes {
		notes[i] = esp.grow("leaf")
	}
	now := time.Now()
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				w.Saw("ESP", notes[0], nil, now)
			}
		})
	})
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			w.Saw("ESP", notes[i%len(notes)], nil, now)
		}
	})
}

package audit_test

import (
	"slices"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/audit"
	"github.com/entente-mesh/entente/pki/evidence"
)

// BenchmarkCatchUp is how fast a tree is built from a journal that is there: after a loss, or a
// long night.
func BenchmarkCatchUp(b *testing.B) {
	h, m := newHouse(b)
	r := h.open()
	b.ResetTimer()
	m.local(b.N)
	r.signed(uint64(b.N))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
}

// BenchmarkDelay is how long after the journal a leaf is in a signed checkpoint, at 4,000 leaves a
// second for ten seconds, with the interval that nodes have.
func BenchmarkDelay(b *testing.B) {
	for range b.N {
		h, m := newHouse(b)
		c := h.config()
		c.Interval = 0 // the default
		l, err := audit.Open(b.Context(), c)
		if err != nil {
			b.Fatal(err)
		}
		r := h.run(l)
		const rate, seconds = 4000, 10
		var delays []time.Duration
		signed, begun := uint64(0), time.Now()
		for tick := time.NewTicker(5 * time.Millisecond); signed < rate*seconds; <-tick.C {
			due := min(int(time.Since(begun).Seconds()*rate), rate*seconds)
			if n := due - int(m.Leaves()); n > 0 {
				m.local(n)
			}
			newest, err := evidence.ParseCheckpoint(r.Newest())
			if err != nil {
				continue
			}
			for ; signed < newest.Size; signed++ {
				leaf, err := evidence.ParseLeaf(m.leaves[signed][:])
				if err != nil {
					b.Fatal(err)
				}
				delays = append(delays, time.Since(leaf.At))
			}
		}
		slices.Sort(delays)
		b.ReportMetric(float64(delays[len(delays)/2].Milliseconds()), "p50-ms")
		b.ReportMetric(float64(delays[len(delays)*99/100].Milliseconds()), "p99-ms")
		b.ReportMetric(float64(delays[len(delays)-1].Milliseconds()), "max-ms")
		_ = r.stop()
	}
}

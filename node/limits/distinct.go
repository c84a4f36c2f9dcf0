package limits

import (
	"math"
	"math/bits"
)

// distinct counts how many different marks were added, in 2 KiB whatever their number: a
// HyperLogLog (Flajolet and others, 2007) with linear counting where the count is small. Its
// standard error is 1.04/sqrt(2048) = 2.3 %, a percent more around 5,000, where the two meet, and a
// percent less below 1,000. It holds no mark: who reads it learns how many there were and nothing
// of which.
type distinct struct {
	ranks [registers]uint8 // of each register the highest rank seen
	sum   float64          // of 2^-rank over the registers; exact, as all are powers of two
	empty int              // registers with rank 0
}

const (
	registerBits = 11
	registers    = 1 << registerBits
)

func newDistinct() *distinct { return &distinct{sum: registers, empty: registers} }

// add adds a mark. It reports whether that changed anything: a mark seen before changes nothing.
func (d *distinct) add(m Mark) bool {
	return d.raise(int(m>>(64-registerBits)), uint8(bits.LeadingZeros64(uint64(m)<<registerBits|1<<(registerBits-1))+1))
}

func (d *distinct) raise(register int, rank uint8) bool {
	old := d.ranks[register]
	if rank <= old {
		return false
	}
	d.ranks[register] = rank
	d.sum += math.Ldexp(1, -int(rank)) - math.Ldexp(1, -int(old))
	if old == 0 {
		d.empty--
	}
	return true
}

// merge adds all that another has seen.
func (d *distinct) merge(other *distinct) {
	if other == nil {
		return
	}
	for i, rank := range other.ranks {
		d.raise(i, rank)
	}
}

// count is the estimate. The nil distinct has seen nothing.
func (d *distinct) count() uint64 {
	if d == nil {
		return 0
	}
	const m = registers
	estimate := 0.7213 / (1 + 1.079/m) * m * m / d.sum
	if estimate <= 2.5*m && d.empty > 0 {
		estimate = m * math.Log(m/float64(d.empty))
	}
	return uint64(math.Round(estimate))
}

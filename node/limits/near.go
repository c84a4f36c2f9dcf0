package limits

import (
	"math/bits"
	"time"
)

// near finds neighbourhoods in which one asker looks around: many different questions whose marks
// share a neighbourhood, within half an hour to an hour. It is a count-min sketch whose cells
// count distinct marks: each neighbourhood has a cell in each of three rows, each cell is a
// bitmap of 64 bits in which a mark sets one, and the emptiest of the three is the least
// disturbed by others that share it. Of the marks at most every second is looked at: 64 of them
// set 41 of the 64 bits on average, with a standard deviation of 3 bits, so that the alarm comes
// at some 128 different marks, and hardly ever below 80 or above 210.
//
// It takes 192 KiB for each asker that asked within the hour, whatever it asked.
type near struct {
	sample uint64 // of the marks every sample-th is looked at; a power of two
	window int64  // the number of the half hour that now counts
	now    [nearRows][nearCells]uint64
	before [nearRows][nearCells]uint64 // the half hour before it
}

const (
	nearRows     = 3
	nearCellBits = 12
	nearCells    = 1 << nearCellBits

	// nearWindow is half of the time that a neighbourhood is watched: a hill is climbed in minutes,
	// and honest questions about people with one birth date come over days.
	nearWindow = 30 * time.Minute
	// nearSample is the least sample, and nearDistinct how many different questions in one
	// neighbourhood are a pattern with it: a coach of 50 whose passports were issued together is
	// none, nor are the others of that day's series beside it.
	nearSample   = 2
	nearDistinct = 64 * nearSample
	// nearBits is how many bits of a cell 64 marks set.
	nearBits = 41
	// nearHot is from how many bits on a cell is saved. What a crash loses of a cell is less.
	nearHot = 8
	// nearSaved is how many hot cells are saved while the node runs: those of some eighty
	// neighbourhoods. Who heats more has set the sweep off, or is near it.
	nearSaved = 256
)

func (n *near) turn(now time.Time) {
	window := now.Unix() / int64(nearWindow/time.Second)
	switch {
	case window == n.window:
		return
	case window == n.window+1:
		n.before = n.now
	default:
		clear(n.before[:])
	}
	clear(n.now[:])
	n.window = window
}

// add adds a question to its neighbourhoods. It reports whether one of them is now a pattern.
func (n *near) add(now time.Time, s Subject) bool {
	n.turn(now)
	if uint64(s.Exact)>>6&(n.sample-1) != 0 {
		return false
	}
	bit := uint64(1) << (s.Exact & 63)
	pattern := false
	for _, neighbourhood := range s.Near {
		least := 64
		for row := range nearRows {
			cell := neighbourhood >> (row * nearCellBits) & (nearCells - 1)
			n.now[row][cell] |= bit
			least = min(least, bits.OnesCount64(n.now[row][cell]|n.before[row][cell]))
		}
		pattern = pattern || least >= nearBits
	}
	return pattern
}

package match

import (
	_ "embed"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/entente-mesh/entente/node/match/names"
)

// OperatingPoint is how many innocent travellers an officer is told of. The threshold follows from
// it, from what is known of the traveller, and from how many names are searched together: twice the
// names make twice the strangers who are like somebody.
type OperatingPoint struct {
	// NamePerThousand and BirthPerThousand are the alerts in a thousand travellers of whom nobody is on
	// a list: where but the name is known, and where the birth date is.
	NamePerThousand, BirthPerThousand float64
	// Together is how many names are searched together, here and at all other bureaus; the index's own
	// count where that is larger.
	Together int
}

// DefaultPoint is for a list of ten thousand names. A name alone is typed by somebody who looks for
// a person and will look at more; with a birth date, as at a border, hardly anybody is stopped.
var DefaultPoint = OperatingPoint{NamePerThousand: 2, BirthPerThousand: 0.25, Together: 10_000}

// usual are the thresholds of a list that was not measured: at the default point, by what is known and
// by where the name is at home, in nats, as they were measured on a list of ten thousand invented
// persons. TestUsualThresholds measures them again, and writes them with -update.
//
//go:embed usual.tsv
var usualTable string

var usual = sync.OnceValue(func() (table [allKnown]map[string]float32) {
	for k := range table {
		table[k] = make(map[string]float32)
	}
	for line := range strings.Lines(usualTable) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if strings.HasPrefix(line, "#") || len(cells) != 1+len(table) {
			continue
		}
		for k := range table {
			least, _ := strconv.ParseFloat(cells[1+k], 32) // TestUsualThresholds reads them all
			table[k][strings.Trim(cells[0], "-")] = float32(least)
		}
	}
	return table
})

// steepness is what a threshold rises by for each e-fold more names, and for each e-fold fewer alerts.
var steepness = map[known]struct{ names, alerts float64 }{
	0: {1.5, 1.75}, birthPart: {1.6, 1.75}, birthDay: {2.4, 1.7},
}

// threshold is the log-odds from which on an officer is told, where nothing was measured.
func (o OperatingPoint) threshold(k known, home string, held int) float32 {
	s, class := steepness[k&^(names.BesideNationality|names.BesideSex)], k.class()
	return usual()[k][home] + float32(s.names*math.Log(float64(max(o.Together, held))/float64(DefaultPoint.Together))-
		s.alerts*math.Log(o.PerThousand(class)/DefaultPoint.PerThousand(class)))
}

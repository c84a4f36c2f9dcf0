package match

import "math"

const (
	// leastCounted is how many alerts of a region are counted; where there are to be fewer, the thresholds
	// are drawn out from there. That many are off by a twelfth by chance; what is drawn out is off the same
	// way each time, where many bear few names: by up to a sixth from twice as many.
	leastCounted = 150
	// tailFrom is the largest share from which they are drawn out: those below do not fall off evenly.
	tailFrom = 0.02
	// rounds of the search for thresholds, and by how much one may move what a home is allowed, at most.
	balanceRounds = 40
	mostShift     = 8
)

// calibration is the thresholds of a point; nil where nothing was measured.
func (i *innocents) calibration(o OperatingPoint) *Calibration {
	if i == nil {
		return nil
	}
	c := &Calibration{}
	for k := range c.least {
		c.least[k] = i.thresholds(known(k), o.share(known(k).class(), i.held))
	}
	usually := o.With(ByName, DefaultPoint.NamePerThousand).share(ByName, i.held)
	for k := birthPart; k < birthDay; k++ {
		for home, least := range i.thresholds(k-birthPart, usually) {
			least += yearBeyond - float32(steepness[birthPart].alerts*math.Log(o.BirthPerThousand/DefaultPoint.BirthPerThousand))
			c.least[k][home] = max(c.least[k][home], least)
		}
	}
	return c
}

// yearBeyond is by how much the threshold of a year of birth lies above that of the name alone, at
// the least: a year, which one stranger in sixty shares, makes little of a name that says little.
const yearBeyond = 2.5

// thresholds are those that such a share of the travellers of every region exceeds. A name does not
// always tell where it is from: what is allowed to those who seem to be at home somewhere is moved
// until travellers of all regions are stopped equally often, whatever their names seem to be.
func (i *innocents) thresholds(k known, share float64) map[string]float32 {
	asked := float64(i.each * datesEach)
	counted := max(share, min(tailFrom, leastOf(k)/asked))
	all := make([]homeTally, len(homes()))
	for home := range all {
		i.fill(&all[home], k, home)
		all[home].allowed = counted * float64(all[home].names*datesEach)
		all[home].usual = all[home].allowed
	}
	for range balanceRounds {
		i.balance(k, counted*asked, all)
	}
	out := make(map[string]float32, len(all))
	for home, name := range homes() {
		h := &all[home]
		least := h.scores.step(h.scores.at(h.allowed), h.allowed)
		if share < counted {
			least += h.scores.fall(min(least, h.scores.at(leastFalling))) * math.Log(counted/share)
		}
		if h.scores[0] >= leastFalling && !math.IsNaN(least) {
			out[name] = float32(max(leastThreshold, least))
		}
	}
	return out
}

// leastOf is how many of those that are counted for what is known are enough: by name alone a name
// alerts with all its birth dates, and else often with several, where the list knows of no date.
func leastOf(k known) float64 {
	if k.class() == ByName {
		return leastCounted * datesEach
	}
	return 2 * leastCounted
}

// homeTally is what those of all regions scored whose names seem to be at home in one.
type homeTally struct {
	names          int
	scores         tally
	allowed, usual float64 // to alert: of them, and were they all of one region
}

func (i *innocents) fill(h *homeTally, k known, home int) {
	for r := range i.regions {
		h.names += i.regions[r].names[home]
		if t := i.regions[r].homes[k][home]; t != nil {
			for at := range t {
				h.scores[at] += t[at]
			}
		}
	}
}

// balance allows less to the homes from which the regions come that are stopped more often than
// wanted, and more to the others.
func (i *innocents) balance(k known, wanted float64, all []homeTally) {
	least := make([]float64, len(all))
	for home := range all {
		least[home] = all[home].scores.at(all[home].allowed)
	}
	shift, weight, alerts := make([]float64, len(all)), make([]float64, len(all)), make([]float64, len(all))
	for r := range i.regions {
		stopped := 0.0
		for home, t := range i.regions[r].homes[k] {
			alerts[home] = 0
			if t != nil {
				alerts[home] = t.over(least[home])
				stopped += alerts[home]
			}
		}
		for home, n := range alerts {
			if n > 0 {
				shift[home] += n * math.Log(wanted/stopped)
				weight[home] += n
			}
		}
	}
	for home := range all {
		if h := &all[home]; weight[home] > 0 {
			h.allowed *= math.Exp(shift[home] / weight[home])
			h.allowed = max(h.usual/mostShift, min(h.usual*mostShift, h.allowed))
		}
	}
}

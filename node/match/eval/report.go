package eval

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Summary is what is told of the index, and of how fast it was.
type Summary struct {
	QueriesPerSecond float64 `json:"queries_per_second"`
	P50              float64 `json:"p50_ms"`
	P95              float64 `json:"p95_ms"`
	P99              float64 `json:"p99_ms"`
	BytesPerName     float64 `json:"bytes_per_name"`
	Load             float64 `json:"load_ms"`
	Names            int     `json:"names"`
	Innocents        int     `json:"innocents"`
}

// Summarise tells of answers that took so long together.
func Summarise(answers []Answer, took time.Duration) Summary {
	var s Summary
	if len(answers) == 0 || took <= 0 {
		return s
	}
	all := make([]time.Duration, 0, len(answers))
	for _, a := range answers {
		all = append(all, a.Took)
	}
	slices.Sort(all)
	at := func(share float64) float64 {
		return float64(all[min(len(all)-1, int(share*float64(len(all))))].Microseconds()) / 1000
	}
	s.QueriesPerSecond = float64(len(answers)) / took.Seconds()
	s.P50, s.P95, s.P99 = at(0.5), at(0.95), at(0.99)
	return s
}

// Group is the false alerts among the innocents whose names come from one part of the world.
type Group struct {
	Group  string  `json:"group"`
	N      int     `json:"n"`
	Alerts int     `json:"alerts"`
	Share  float64 `json:"share"`

	// squares is the sum of the squares of how many alert of each name: those of one name alert together.
	squares int
}

// Fairness is how evenly the innocents of all groups are stopped, the most first.
type Fairness struct {
	Groups []Group `json:"by_group"`
	// Worst is how many times as often the worst group is stopped as the best; null where there is a
	// group of whom nobody was: then too few were asked.
	Worst Figure `json:"worst_to_best"`
	// Chance is what Worst would be, in one of two such measurements, if all groups were stopped
	// equally often: alerts are few, and few differ by chance.
	Chance Figure `json:"worst_to_best_by_chance"`
}

func worse(a, b Group) int {
	return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Group, b.Group))
}

// NewFairness puts groups beside each other.
func NewFairness(groups []Group) Fairness {
	slices.SortFunc(groups, worse)
	return Fairness{Groups: groups, Worst: Ratio(groups), Chance: byChance(groups)}
}

// Ratio is how many times as often the worst group is stopped as the best; not a number where some
// group is never stopped, or there is none.
func Ratio(groups []Group) Figure {
	if len(groups) == 0 {
		return Figure(math.NaN())
	}
	best := slices.MaxFunc(groups, worse)
	if best.Alerts == 0 {
		return Figure(math.NaN())
	}
	return Figure(slices.MinFunc(groups, worse).Share / best.Share)
}

// chances is how many measurements byChance draws.
const chances = 1001

// byChance is the median of Ratio where every group is stopped as often as all together.
func byChance(groups []Group) Figure {
	n, alerts, squares := 0, 0, 0
	for _, g := range groups {
		n, alerts, squares = n+g.N, alerts+g.Alerts, squares+max(g.Alerts, g.squares)
	}
	if alerts == 0 {
		return Figure(math.NaN())
	}
	together := float64(squares) / float64(alerts)
	rnd := rand.New(rand.NewPCG(1, 1))
	ratios := make([]Figure, chances)
	for i := range ratios {
		drawn := slices.Clone(groups)
		for j := range drawn {
			drawn[j].Alerts = poisson(rnd, float64(alerts)*float64(drawn[j].N)/float64(n)/together)
			drawn[j].Share = float64(drawn[j].Alerts) * together / float64(max(1, drawn[j].N))
		}
		if ratios[i] = Ratio(drawn); math.IsNaN(float64(ratios[i])) {
			ratios[i] = Figure(math.Inf(1))
		}
	}
	slices.Sort(ratios)
	return ratios[chances/2]
}

// poisson draws how many of rare events happen: it counts the gaps between them, where there are so
// few that they are not spread like a bell.
func poisson(rnd *rand.Rand, mean float64) int {
	if mean > 1000 {
		return int(max(0, mean+math.Sqrt(mean)*rnd.NormFloat64()+0.5))
	}
	n := 0
	for at := rnd.ExpFloat64(); at < mean; at += rnd.ExpFloat64() {
		n++
	}
	return n
}

// Pairs are labelled pairs of names.
type Pairs []Pair

// PairResult is what is told of labelled pairs of names.
type PairResult struct {
	N             int     `json:"n"`
	Threshold     float64 `json:"threshold"`
	Precision     float64 `json:"precision"`
	Recall        float64 `json:"recall"`
	F1            float64 `json:"f1"`
	BestThreshold float64 `json:"best_threshold"`
	BestF1        float64 `json:"best_f1"`
}

// With compares every pair, and says how well the fixed threshold divides them, and the best one.
func (pairs Pairs) With(likeness func(a, b string) float64, threshold float64) PairResult {
	type scored struct {
		score float64
		same  bool
	}
	all, same := make([]scored, 0, len(pairs)), 0
	for _, p := range pairs {
		all = append(all, scored{likeness(p.A, p.B), p.Same})
		if p.Same {
			same++
		}
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	r := PairResult{N: len(pairs), Threshold: threshold, BestThreshold: threshold}
	right := 0
	for i, s := range all {
		if s.same {
			right++
		}
		taken := i + 1
		f1 := 2 * float64(right) / float64(taken+same)
		if s.score >= threshold {
			r.Precision, r.F1 = float64(right)/float64(taken), f1
			r.Recall = float64(right) / float64(max(1, same))
		}
		// Pairs of one score are taken together or not at all.
		if last := i+1 == len(all) || all[i+1].score < s.score; last && f1 > r.BestF1 {
			r.BestThreshold, r.BestF1 = s.score, f1
		}
	}
	return r
}

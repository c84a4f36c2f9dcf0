package eval

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Found is one person whom a matcher returns.
type Found struct {
	ID    string
	Score float64
}

// Engine is a matcher of persons. It is asked by several goroutines at once.
type Engine interface {
	// Search returns at most so many persons, best first, whether or not they would alert.
	Search(q Query, most int) []Found
}

// Figure is a number that may not be there: JSON says null where nothing was measured.
type Figure float64

// MarshalJSON writes null for what JSON has no number for.
func (f Figure) MarshalJSON() ([]byte, error) {
	if math.IsInf(float64(f), 0) || math.IsNaN(float64(f)) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// Text writes it with so many digits behind the point, and a dash where nothing was measured.
func (f Figure) Text(digits int) string {
	if math.IsInf(float64(f), 0) || math.IsNaN(float64(f)) {
		return "–"
	}
	return strconv.FormatFloat(float64(f), 'f', digits, 64)
}

// Result is what is told of one set of queries.
type Result struct {
	Set           string `json:"set"`
	N             int    `json:"n"`
	RecallAt1     Figure `json:"recall_at_1"`
	RecallAt10    Figure `json:"recall_at_10"`
	RecallAlert1  Figure `json:"recall_at_alert_1pct"`
	RecallAlert01 Figure `json:"recall_at_alert_0_1pct"`
	Threshold1    Figure `json:"threshold_1pct"`
	Threshold01   Figure `json:"threshold_0_1pct"`
	// Recall001 and Threshold001 are told of the set union alone, and beside it: every set has the same
	// fields.
	Recall001    *Figure `json:"-"`
	Threshold001 *Figure `json:"-"`
}

// Answer is what became of one query.
type Answer struct {
	Query *Query
	// Rank is that of the person meant, from 0; -1: not among the first ten.
	Rank int
	// Score is that of the person meant; of an innocent that of the best.
	Score float64
	// Best is who came first.
	Best Found
	// Took is how long the search took.
	Took time.Duration
}

// leastScore stands for the score of nobody.
var leastScore = math.Inf(-1)

// rankedMost is how many persons an officer looks at.
const rankedMost = 10

// Ask asks all queries, by so many workers at once, and returns the answers in order.
func Ask(e Engine, queries []Query, workers int) []Answer {
	answers := make([]Answer, len(queries))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(queries); i += workers {
				answers[i] = askOne(e, &queries[i])
			}
		})
	}
	wg.Wait()
	return answers
}

func askOne(e Engine, q *Query) Answer {
	began := time.Now()
	found := e.Search(*q, rankedMost)
	a := Answer{Query: q, Rank: -1, Score: leastScore, Took: time.Since(began)}
	if len(found) > 0 {
		a.Best = found[0]
	}
	if q.ID == "" {
		if len(found) > 0 {
			a.Score = found[0].Score
		}
		return a
	}
	if i := slices.IndexFunc(found, func(f Found) bool { return f.ID == q.ID }); i >= 0 {
		a.Rank, a.Score = i, found[i].Score
	}
	return a
}

// Threshold is the score that the given share of the innocents exceed, and no more of them: those
// who score the same as one whom the share does not hold do not exceed it. Without innocents there
// is none. It is leastScore where fewer than the share found anybody.
func Threshold(innocents []Answer, share float64) float64 {
	if len(innocents) == 0 {
		return math.NaN()
	}
	scores := make([]float64, 0, len(innocents))
	for _, a := range innocents {
		scores = append(scores, a.Score)
	}
	slices.SortFunc(scores, func(a, b float64) int { return cmp.Compare(b, a) })
	return scores[min(len(scores)-1, int(share*float64(len(scores))))]
}

// Shares of the innocents that exceed the thresholds.
const (
	onePercent    = 0.01
	onePerMille   = 0.001
	oneTenThousth = 0.0001
)

// Results sums up the answers set by set, in the order of the sets' names.
func Results(answers, innocents []Answer) []Result {
	bySet := make(map[string][]Answer)
	for _, a := range answers {
		if a.Query.ID != "" {
			bySet[a.Query.Set] = append(bySet[a.Query.Set], a)
		}
	}
	out := make([]Result, 0, len(bySet))
	t1, t01 := Threshold(innocents, onePercent), Threshold(innocents, onePerMille)
	for set, all := range bySet {
		out = append(out, Result{Set: set, N: len(all), Threshold1: Figure(t1), Threshold01: Figure(t01),
			RecallAt1: share(all, func(a *Answer) bool { return a.Rank == 0 }), RecallAt10: share(all, found),
			RecallAlert1: above(all, t1), RecallAlert01: above(all, t01)})
	}
	slices.SortFunc(out, func(a, b Result) int { return cmp.Compare(a.Set, b.Set) })
	return out
}

// Union is what is told of one set among many strangers' names: also at one false alert in ten
// thousand innocents.
func Union(answers, innocents []Answer, set string) (Result, bool) {
	var of []Answer
	for _, a := range answers {
		if a.Query.Set == set && a.Query.ID != "" {
			of = append(of, a)
		}
	}
	if len(of) == 0 {
		return Result{}, false
	}
	r := Results(of, innocents)[0]
	at := Threshold(innocents, oneTenThousth)
	recall, told := above(of, at), Figure(at)
	r.Set, r.Recall001, r.Threshold001 = "union", &recall, &told
	return r, true
}

func found(a *Answer) bool { return a.Rank >= 0 }

// above is the share of the answers that are found and alert.
func above(answers []Answer, threshold float64) Figure {
	if math.IsNaN(threshold) {
		return Figure(threshold)
	}
	return share(answers, func(a *Answer) bool { return found(a) && a.Score > threshold })
}

func share(answers []Answer, is func(a *Answer) bool) Figure {
	n := 0
	for i := range answers {
		if is(&answers[i]) {
			n++
		}
	}
	return Figure(float64(n) / float64(len(answers)))
}

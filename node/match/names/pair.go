package names

import "math"

// LikeFrom is the likeness from which on two names are taken for one person's.
const LikeFrom = 0.5

const (
	lossHalf  = 9.5 // nats lost at which two names are as likely one person's as not
	lossWidth = 1.5
)

// Likeness compares two names and nothing else, from 0 to 1. It looks at what is lost of the
// log-odds beside those that the shorter of the two has with itself, so that a pair of common names
// can be as like as a pair of rare ones; it is no evidence that they are one person's.
func (x *Index) Likeness(a, b string) float64 {
	own := min(x.pairOdds(a, a), x.pairOdds(b, b))
	if own <= 0 {
		return 0
	}
	lost := float64(own - x.pairOdds(a, b))
	return 1 / (1 + math.Exp((lost-lossHalf)/lossWidth))
}

func (x *Index) pairOdds(a, b string) float32 {
	t := x.pool.Get().(*scratch)
	defer x.pool.Put(t)
	q := newAsked(&Query{Name: a}, x.known)
	p := prepare(&Person{Names: []Name{{Text: b}}}, x.known)
	if len(q.words) == 0 || !p.some {
		return 0
	}
	s := newSegment()
	s.add(p)
	looks := q.lookUp([]*segment{s}, t)
	found := q.rank(&looks[0], t, 1e9, nil)
	if len(found) == 0 {
		return 0
	}
	return found[0].Name
}

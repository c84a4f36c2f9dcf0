package script

import (
	"cmp"
	"slices"
)

// weave builds the likeliest words out of letters that have alternatives. It keeps a fixed number
// of strands, so a word of any length and ambiguity costs the same little.
type weave struct {
	strands, next [maxStrands]strand
	n             int
	most          int // how many strands are kept
}

type strand struct {
	text   [maxLatin]byte
	n      int
	weight float32
}

const (
	maxStrands = 12
	maxLatin   = 64 // letters of a reading: what is longer is cut
)

func (w *weave) start(most int, weight float32) {
	w.n, w.most = 1, max(1, min(most, maxStrands))
	w.strands[0].n, w.strands[0].weight = 0, weight
}

func (s *strand) append(text string) { s.n += copy(s.text[s.n:], text) }

// say appends letters to all strands.
func (w *weave) say(text string) {
	for i := range w.n {
		w.strands[i].append(text)
	}
}

// choose appends each of the alternatives to each strand, and keeps the best.
func (w *weave) choose(alts []alternative) {
	switch len(alts) {
	case 0:
		return
	case 1:
		w.say(alts[0].text)
		if alts[0].weight != 1 {
			for i := range w.n {
				w.strands[i].weight *= alts[0].weight
			}
		}
		return
	}
	type choice struct {
		from   *strand
		text   string
		weight float32
	}
	var best [maxStrands]choice
	n := 0
	for i := range w.n {
		for _, a := range alts {
			weight := w.strands[i].weight * a.weight
			if n == w.most && weight <= best[n-1].weight {
				continue
			}
			if n < w.most {
				n++
			}
			at := n - 1
			for at > 0 && best[at-1].weight < weight {
				best[at] = best[at-1]
				at--
			}
			best[at] = choice{&w.strands[i], a.text, weight}
		}
	}
	for i, c := range best[:n] {
		s := &w.next[i]
		s.n = copy(s.text[:], c.from.text[:c.from.n])
		s.append(c.text)
		s.weight = c.weight
	}
	w.n = n
	w.strands, w.next = w.next, w.strands
}

// collect hands the words over, best first.
func (w *weave) collect(c *collector, bare bool) {
	for i := range w.n {
		s := &w.strands[i]
		c.addBytes(s.text[:s.n], s.weight, bare)
	}
}

// collector gathers readings without repeating one.
type collector struct {
	forms []Form
	most  int
}

// sort puts the likeliest first.
func (c *collector) sort() {
	slices.SortStableFunc(c.forms, func(a, b Form) int { return cmp.Compare(b.Weight, a.Weight) })
}

func (c *collector) full() bool { return len(c.forms) >= c.most }

func (c *collector) add(text string, weight float32, bare bool) {
	if text == "" || c.full() {
		return
	}
	for i := range c.forms {
		if c.forms[i].Text == text {
			return
		}
	}
	if c.forms == nil {
		c.forms = make([]Form, 0, min(c.most, 8))
	}
	c.forms = append(c.forms, Form{text, weight, bare})
}

func (c *collector) addBytes(text []byte, weight float32, bare bool) {
	if c.full() {
		return
	}
	for i := range c.forms {
		if c.forms[i].Text == string(text) {
			return
		}
	}
	c.add(string(text), weight, bare)
}

package names

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/entente-mesh/entente/node/match/people"
)

// like is a word of a segment that may be the word asked.
type like struct {
	word uint32
	cost float32
	pop  float32 // share of travellers who bear it
}

// counted is a like of some segment, and how many names hold it.
type counted struct {
	like
	bearers int32
}

// tuning are the constants of the comparison that were fitted on labelled data (package eval); what
// they mean stands beside each.
type tuning struct {
	rareGrowth  float32 // and of a word that is as rare as a word can be
	letterInfo  float32 // nats that a sound of a word tells: bounds what a short word can say
	costGrowth  float32 // how much more words lie within a cost, for each nat of it
	costWeight  float32 // what of a cost counts, beside that more words lie within it
	popNames    float32 // how many names of the list the table of travellers is worth
	costMost    float32 // beyond, two words are two names
	costLetter  float32 // and beyond so much a sound
	minorShare  float32 // what of the weight of particles and titles counts
	minorMost   float32
	missAsked   float32 // a word of the traveller that the list has not
	missListed  float32 // a word of the list that the traveller has not
	missMinor   float32
	contradict  float32 // a word on each side without a like
	initial     float32 // an initial
	prefix      float32 // a word that was cut
	weakName    float32
	nomDeGuerre float32
	infoMost    float32
	single      float32 // a name of the list of one word alone
	homeShare   float32 // how much a name's share among those of its region counts
	joinMost    float32 // what a join may cost: it has lost what told the words apart
	complete    float32 // every word that matters has its like, written nearly the same
	exactInfo   float32 // like letterInfo, for words that are written the same
	lone        float32 // a contradiction where but one word agrees: a namesake, or one of a family
	typo        float32 // what a typing error costs
	transpose   float32 // two neighbours that changed places
	otherSex    float32 // forms of one surname that are of the two sexes, as the travellers' are
	otherFather float32 // two patronymics that are not one
	// otherSurname is what it costs that a man's surname is another: beside contradict, which any two words cost.
	otherSurname float32
	reversed     float32 // two words written as one, in the order that the list has not
	lateMost     float32 // what two words may cost that no key brought together
}

var tuned = tuning{
	rareGrowth: 0.6, letterInfo: 2.4, costGrowth: 1.4, costWeight: 1.7, popNames: 110000, costMost: 6.5, costLetter: 0.95,
	minorShare: 0.4, minorMost: 3.2, missAsked: 1.6, missListed: 2.0, missMinor: 0.2, contradict: 3.0,
	initial: 1.0, prefix: 1.0, weakName: 2, nomDeGuerre: 1, infoMost: 12, single: 2.5, homeShare: 0.65,
	joinMost: 1.9, complete: 1.4, exactInfo: 3.7, lone: 4, typo: 2.3, transpose: 1.5, otherSex: 4, otherFather: 4, otherSurname: 3, reversed: 3, lateMost: 5,
}

// maxLikes bounds the words that are compared with one word asked, whatever the keys hold: of a
// key that many words share, those of the lowest rank are compared.
const (
	maxCompared = 800
	maxPerKey   = 250
)

// likes returns the words of a segment that are like a word, and what each costs.
func (s *segment) likes(w *word, t *scratch, prefix, joined bool) []like {
	out := t.likes[:0]
	t.seen.next(len(s.words))
	if n, ok := s.byText[w.text]; ok {
		t.seen.mark(n)
		out = append(out, s.like(n, 0))
	}
	most := maxCostOf(w)
	if joined {
		most = min(most, tuned.joinMost)
	}
	t.near = t.near[:0]
	for _, k := range w.keys {
		list := s.keys.find(k)
		for _, n := range list[:min(len(list), maxPerKey)] {
			if t.seen.mark(n) && len(t.near) < maxCompared {
				t.near = append(t.near, n)
			}
		}
	}
	t.tried += len(t.near)
	t.probe.reset(w)
	for _, n := range t.near {
		// What is far by its sounds is like a word only by a table that has both, which does not count for two
		// words as one, or by its beginning.
		if (w.group == 0 || joined) && !prefix && t.probe.far(s.near.sets[n], most) {
			continue
		}
		c, group := t.probe.cost(&s.near, n, most), s.near.group(n)
		if w.group != 0 && w.group == group && !joined {
			c = min(c, groupCost)
		}
		if c <= most && w.group != 0 && group != 0 && w.group != group && people.Same(w.latin, s.words[n].latin) == 0 {
			c += otherName
		}
		if prefix && len(w.latin) >= 2 && strings.HasPrefix(s.words[n].latin, w.latin) {
			c = min(c, tuned.prefix)
		}
		if c <= most {
			out = append(out, s.like(n, c))
		}
	}
	t.likes = out
	return out
}

// otherName is what it costs that two words are known as two names: HASSAN is not HUSSEIN.
const otherName = 1.5

// groupCost is the most that two spellings of one name cost, however they are written.
const groupCost = 1.6

func (s *segment) like(n uint32, cost float32) like {
	return like{n, cost, s.words[n].share}
}

func maxCostOf(w *word) float32 {
	if !w.readable() {
		return 0
	}
	return min(tuned.costMost, tuned.costLetter*float32(len(w.forms[0].sound)))
}

// chances says of a word asked how likely it is that somebody else's word lies within a cost: from
// the list, in which it is counted, and from the table of travellers.
type chances struct {
	costs []float32
	info  []float32
	none  float32 // what a word that the list has nothing like would say, if it were the same
}

// newChances counts. The likes are those of all segments together, and names is how many there are.
func newChances(w *word, region string, all []counted, names int) chances {
	slices.SortFunc(all, func(a, b counted) int { return cmp.Compare(a.cost, b.cost) })
	var c chances
	total := float64(names) + float64(tuned.popNames)
	count, pop, home := 0.0, w.share, float32(0)
	if region != "" && w.latin != "" {
		home = float32(people.FrequencyIn(region, w.latin))
	}
	// Who bears one name of a region bears others of it: each says less than among all the world's.
	pop = max(pop, tuned.homeShare*home)
	c.none = min(tuned.infoMost, float32(-math.Log(min(1, float64(tuned.popNames)*float64(max(pop, w.shared))/total))))
	for i, l := range all {
		count += float64(l.bearers)
		pop = max(pop, l.pop)
		if i+1 < len(all) && all[i+1].cost == l.cost {
			continue
		}
		if l.cost > 0.3 {
			pop = max(pop, w.shared)
		}
		p := (count + float64(tuned.popNames)*float64(pop)) / total
		info := float32(-math.Log(min(1, p)))
		info = min(info, tuned.infoMost-tuned.rareGrowth*l.cost)
		if l.cost == 0 {
			info = min(info, tuned.exactInfo*float32(w.size()))
		} else {
			info = min(info, tuned.letterInfo*float32(w.size())-tuned.costGrowth*l.cost)
		}
		c.costs, c.info = append(c.costs, l.cost), append(c.info, info-tuned.costWeight*l.cost)
	}
	return c
}

// beyond returns the log-odds of a cost that no key found: as many more words lie within it as
// costGrowth says.
func (c *chances) beyond(cost float32) float32 {
	at, info := float32(0), c.none
	if n := len(c.costs); n > 0 {
		if at, info = c.costs[n-1], c.info[n-1]; cost <= at {
			return c.weight(cost)
		}
	}
	return info - (tuned.costGrowth+tuned.costWeight)*(cost-at)
}

// farthest returns the cost beyond all that were found at which the log-odds have fallen to least.
func (c *chances) farthest(least float32) float32 {
	at, info := float32(0), c.none
	if n := len(c.costs); n > 0 {
		at, info = c.costs[n-1], c.info[n-1]
	}
	return at + max(0, info-least)/(tuned.costGrowth+tuned.costWeight)
}

func (w *word) size() int {
	if !w.readable() {
		return len([]rune(w.text)) * 2
	}
	return len(w.forms[0].sound)
}

// weight returns the log-odds of a cost.
func (c *chances) weight(cost float32) float32 {
	i, ok := slices.BinarySearch(c.costs, cost)
	if !ok {
		i = min(i, len(c.costs)-1)
	}
	return c.info[i]
}

package people

import "time"

// Traveller is an invented person as a travel document describes one.
type Traveller struct {
	Surname     string // the primary identifier: capital letters, blanks and hyphens
	Given       string // the secondary identifier; empty for who has one name only
	Born        string // YYYY-MM-DD
	Sex         Sex
	Nationality string // ISO 3166-1 alpha-3
	Region      string // the region of the name, one of Regions
}

// Name returns the given names and the surname.
func (t Traveller) Name() string {
	if t.Given == "" {
		return t.Surname
	}
	return t.Given + " " + t.Surname
}

// Population is an endless row of invented travellers. The same seed gives the same travellers, on
// every machine. It is not safe for concurrent use.
type Population struct {
	dice    dice
	regions []*region
	world   urn
	text    []byte
}

// NewPopulation returns the population of a seed.
func NewPopulation(seed uint64) *Population {
	p := &Population{dice: dice{seed}, regions: load().regions}
	var b bands
	for _, r := range p.regions {
		b.words, b.weights = append(b.words, r.name), append(b.weights, r.travellers)
	}
	p.world = newURN(b.words, b.weights)
	return p
}

// Next returns the next traveller of the world.
func (p *Population) Next() Traveller {
	return p.traveller(p.regions[p.world.at(&p.dice)])
}

// From returns the next traveller whose name is of a region, as Regions names it. It panics if
// there is no such region.
func (p *Population) From(region string) Traveller {
	total := 0.0
	for _, r := range p.regions {
		if r.group == region {
			total += r.travellers
		}
	}
	at := p.dice.share() * total
	for i, r := range p.regions {
		if r.group != region {
			continue
		}
		if at -= r.travellers; at < 0 || i == len(p.regions)-1 {
			return p.traveller(r)
		}
	}
	for i := len(p.regions) - 1; i >= 0; i-- {
		if p.regions[i].group == region {
			return p.traveller(p.regions[i]) // what rounding left over
		}
	}
	panic("people: no region " + region + ": see Regions")
}

func (p *Population) traveller(r *region) Traveller {
	sex, t := 0, Traveller{Sex: Male, Region: r.group}
	if p.dice.share() >= r.men {
		sex, t.Sex = 1, Female
	}
	s := r.structures[2*r.forms[sex].at(&p.dice)+sex]
	p.write(r, sex, s.given)
	t.Given = string(p.text)
	p.write(r, sex, s.surname)
	t.Surname = string(p.text)
	t.Nationality = r.nations.draw(&p.dice)
	t.Born = p.born(r.newYear)
	return t
}

// write leaves the words of some pieces in p.text.
func (p *Population) write(r *region, sex int, pieces []piece) {
	p.text = p.text[:0]
	last := ""
	for i, piece := range pieces {
		if i > 0 && piece.joint != '+' {
			p.text = append(p.text, piece.joint)
		}
		if piece.slot == 0 {
			p.add(piece.literal)
			continue
		}
		l := &r.lists[listOf(piece.slot, sex)]
		word := l.draw(&p.dice)
		if piece.slot == slotGiven && word == last {
			word = l.draw(&p.dice) // nobody is John John; a father may be his son's namesake
		}
		last = word
		p.add(r.shape(piece.slot, sex, word))
	}
}

// add writes a word in capital letters.
func (p *Population) add(word string) {
	for i := range len(word) {
		c := word[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		p.text = append(p.text, c)
	}
}

// draw returns a word: of the list, or composed.
func (l *list) draw(d *dice) string {
	if l.composed > 0 && d.share() < l.composed {
		c := &l.composers[l.byShare.at(d)]
		return joined(joined(c.starts.draw(d), c.middles.draw(d)), c.ends.draw(d))
	}
	return l.urn.draw(d)
}

// joined puts syllables together: a letter is not written twice where they meet.
func joined(a, b string) string {
	if a != "" && b != "" && a[len(a)-1] == b[0] {
		return a + b[1:]
	}
	return a + b
}

// today is the day by which the travellers have their ages. It stands still, so that the
// population of a seed does.
const today = 20454 // days after 1970-01-01: 2026-01-01

// ages are the shares of travellers by age, in spans of five years from birth: families with
// children, many of working age, pensioners.
var ages = newURN(make([]string, 18), []float64{3, 3, 3, 4, 7, 10, 11, 11, 10, 9, 8, 7, 5, 4, 3, 1.5, 0.7, 0.3})

// born draws a birth date. Where births are recorded late, papers say the first of January.
func (p *Population) born(newYear float64) string {
	u := p.dice.share()
	days := int((float64(ages.at(&p.dice)) + u) * 5 * 365.2425)
	t := time.Unix(int64(today-days)*86400, 0).UTC()
	if p.dice.share() < newYear {
		t = time.Date(t.Year(), time.January, 1, 0, 0, 0, 0, time.UTC)
	}
	return t.Format(time.DateOnly)
}

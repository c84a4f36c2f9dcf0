package people

// share is how common a word is.
type wordShare struct {
	all      float64       // among the world's travellers
	byRegion []regionShare // among those of a region
}

type regionShare struct {
	region int
	share  float64
}

// sexShare is how common a word is as a given name of either sex.
type sexShare struct{ men, women float64 }

// floors are the shares of words that no table has, by length: short words are few, so a traveller
// shares one with more others. They are guesses of the order of magnitude.
var floors = [...]float64{1e-3, 1e-3, 1e-4, 4e-5, 1.5e-5, 8e-6, 5e-6, 3e-6, 2e-6}

// What a word is at least, if it has a role or is a rare spelling of a common name.
const (
	floorRole    = 3e-4
	rareSpelling = 0.004 // of the name's own share
	leastCounted = 2e-7  // what is less frequent is not kept
)

// Frequency returns the share of the world's travellers whose name has the word. It is never 0: a
// word that no table has is as rare as its length allows.
func Frequency(token string) float64 {
	token = Fold(token)
	k := load()
	f := floors[min(len(token), len(floors)-1)]
	if i, ok := k.words[token]; ok {
		f = max(f, k.shares[i].all)
	}
	if _, ok := k.roles[token]; ok {
		f = max(f, floorRole)
	}
	if of := k.groups.of[token]; len(of) > 0 {
		f = max(f, rareSpelling*float64(of[0].strength)*k.groupShare[of[0].group-1])
	}
	return f
}

// NameFrequency returns the share of the world's travellers who bear the name that a word spells,
// in whatever spelling: what a match between two spellings is worth.
func NameFrequency(token string) float64 {
	token = Fold(token)
	k := load()
	f := Frequency(token)
	if of := k.groups.of[token]; len(of) > 0 && of[0].strength == strengthSpelling {
		f = max(f, k.groupShare[of[0].group-1])
	}
	return f
}

// FrequencyIn returns the share of a region's travellers whose name has the word, and 0 for a word
// that the region's tables do not have.
func FrequencyIn(region, token string) float64 {
	k := load()
	i, ok := k.words[Fold(token)]
	if !ok {
		return 0
	}
	sum, all := 0.0, 0.0
	for j, r := range k.regions {
		if r.group != region {
			continue
		}
		all += r.travellers
		for _, s := range k.shares[i].byRegion {
			if s.region == j {
				sum += s.share * r.travellers
			}
		}
	}
	if all == 0 {
		return 0
	}
	return sum / all
}

// NameFrequencyIn returns the share of a region's travellers who bear the name that a word spells, in
// whatever spelling. It is never 0: of a word that the region's tables do not have it is that of the world.
func NameFrequencyIn(region, token string) float64 {
	in := FrequencyIn(region, token)
	if in == 0 {
		return NameFrequency(token)
	}
	return min(1, in*NameFrequency(token)/Frequency(token))
}

// RegionOf returns the region in which a name of these words is at home, and "" if none of them is
// known.
func RegionOf(tokens []string) string {
	k := load()
	const unknown = 1e-5
	best, bestScore := "", 0.0
	for j := range k.regions {
		score, known := 1.0, false
		for _, t := range tokens {
			in := unknown
			if i, ok := k.words[Fold(t)]; ok {
				for _, s := range k.shares[i].byRegion {
					if s.region == j {
						in, known = max(in, s.share), true
					}
				}
			}
			score *= in * 1e3 // far from what a float64 cannot hold
		}
		if score *= k.regions[j].travellers; known && score > bestScore {
			best, bestScore = k.regions[j].group, score
		}
	}
	return best
}

// SexOf returns the sex of those who bear a given name, and the share of its bearers who are of it.
func SexOf(token string) (Sex, float64) {
	s := load().sexes[Fold(token)]
	switch sum := s.men + s.women; {
	case sum == 0:
		return Unspecified, 0
	case s.men >= s.women:
		return Male, s.men / sum
	default:
		return Female, s.women / sum
	}
}

// count works the frequencies out of the regions: how often a form has a slot, times how often a
// word fills it.
func (k *knowledge) count() {
	k.words = map[string]uint32{}
	k.sexes = map[string]sexShare{}
	for j, r := range k.regions {
		c := counter{k: k, region: j}
		for sex := range 2 {
			of := r.men
			if sex == 1 {
				of = 1 - r.men
			}
			c.countSex(r, sex, of)
		}
	}
	for i := range k.shares {
		for _, s := range k.shares[i].byRegion {
			k.shares[i].all += s.share * k.regions[s.region].travellers
		}
	}
	k.groupShare = make([]float64, len(k.groups.members))
	for g := range k.groupShare {
		for _, w := range k.groups.spellings(uint32(g + 1)) {
			if i, ok := k.words[w]; ok && k.groups.of[w][0].group == uint32(g+1) {
				k.groupShare[g] += k.shares[i].all
			}
		}
	}
}

// counter counts the words of one region.
type counter struct {
	k      *knowledge
	region int
}

func (c counter) countSex(r *region, sex int, of float64) {
	slots := map[byte]float64{}
	for i := range r.forms[sex].words {
		s := r.structures[2*i+sex]
		weight := of * r.forms[sex].share(i)
		told := map[string]bool{} // a word that a form has twice is borne once
		for _, part := range [][]piece{s.given, s.surname} {
			for n := 0; n < len(part); n++ {
				switch {
				case n+1 < len(part) && part[n+1].joint == '+':
					c.countJoined(r, sex, part[n], part[n+1], weight)
					n++
				case part[n].slot != 0:
					slots[part[n].slot] += weight
				case !told[part[n].literal]:
					told[part[n].literal] = true
					c.add(part[n].literal, weight)
				}
			}
		}
	}
	for slot, weight := range slots {
		r.each(slot, sex, func(word string, share float64) {
			c.add(word, weight*share)
			if slot == slotGiven {
				s := c.k.sexes[word]
				if sex == 0 {
					s.men += weight * share * r.travellers
				} else {
					s.women += weight * share * r.travellers
				}
				c.k.sexes[word] = s
			}
		})
	}
}

// countJoined counts two pieces that are written as one word.
func (c counter) countJoined(r *region, sex int, a, b piece, weight float64) {
	r.eachPiece(a, sex, func(first string, of float64) {
		r.eachPiece(b, sex, func(second string, share float64) {
			if share *= of * weight; share > leastCounted {
				c.add(first+second, share)
			}
		})
	})
}

func (c counter) add(word string, share float64) {
	i, ok := c.k.words[word]
	if !ok {
		i = uint32(len(c.k.shares))
		c.k.words[word] = i
		c.k.shares = append(c.k.shares, wordShare{})
	}
	s := &c.k.shares[i]
	if n := len(s.byRegion); n > 0 && s.byRegion[n-1].region == c.region {
		s.byRegion[n-1].share += share
		return
	}
	s.byRegion = append(s.byRegion, regionShare{c.region, share})
}

func (r *region) eachPiece(p piece, sex int, yield func(string, float64)) {
	if p.slot == 0 {
		yield(p.literal, 1)
		return
	}
	r.each(p.slot, sex, yield)
}

// each tells the words that fill a slot, with their shares. Composed ones are left out: that is
// what the floors are for.
func (r *region) each(slot byte, sex int, yield func(string, float64)) {
	l := &r.lists[listOf(slot, sex)]
	for i, w := range l.words {
		yield(r.shape(slot, sex, w), l.share(i)*(1-l.composed))
	}
}

// shape returns a word of a list as it fills a slot.
func (r *region) shape(slot byte, sex int, word string) string {
	switch slot {
	case slotSurname:
		if sex == 1 {
			return rewritten(word, r.feminine)
		}
	case slotPatronymic:
		return rewritten(word, r.patronymic[sex])
	case slotInitial:
		return word[:1]
	}
	return word
}

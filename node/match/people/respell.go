package people

import "slices"

// mostRespelt is how many other spellings of a name a region uses at the most.
const mostRespelt = 10

// respelt moves a share of each name's weight to other spellings of it.
func (b bands) respelt(share float64, groups *groupIndex, inUse map[string]bool) bands {
	if share == 0 {
		return b
	}
	at := make(map[string]int, len(b.words))
	out := bands{slices.Clone(b.words), slices.Clone(b.weights)}
	for i, w := range b.words {
		at[w] = i
	}
	for i, w := range b.words {
		of := groups.of[w]
		if len(of) == 0 || of[0].strength < strengthSpelling {
			continue
		}
		others := groups.likely(of[0].group, w, inUse)
		moved := b.weights[i] * share
		for _, other := range others {
			k, ok := at[other]
			if !ok {
				k = len(out.words)
				at[other] = k
				out.words, out.weights = append(out.words, other), append(out.weights, 0)
			}
			out.weights[k] += moved / float64(len(others))
		}
		if len(others) > 0 {
			out.weights[i] -= moved
		}
	}
	return out
}

// likely returns the spellings of a group's name that are met with, without one: those that some
// region's table has, else the first of the table of groups.
func (g *groupIndex) likely(group uint32, but string, inUse map[string]bool) []string {
	var all, first []string
	for _, w := range g.spellings(group) {
		switch {
		case w == but:
		case inUse[w] && len(all) < mostRespelt:
			all = append(all, w)
		case len(first) < 3:
			first = append(first, w)
		}
	}
	if len(all) == 0 {
		return first
	}
	return all
}

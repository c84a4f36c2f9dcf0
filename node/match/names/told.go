package names

import "strings"

// moved says of each pair that was chosen whether its words stand elsewhere than the others': those
// that are left when the longest run is taken out that both names have in one order. The pairs are in
// the order of the words asked.
func moved(chosen []option) []bool {
	out := make([]bool, len(chosen))
	longest, before := make([]int, len(chosen)), make([]int, len(chosen))
	end := -1
	for i := range chosen {
		longest[i], before[i] = 1, -1
		for j := range i {
			if chosen[j].listed < chosen[i].listed && longest[j]+1 > longest[i] {
				longest[i], before[i] = longest[j]+1, j
			}
		}
		if end < 0 || longest[i] > longest[end] {
			end = i
		}
		out[i] = true
	}
	for ; end >= 0; end = before[end] {
		out[end] = false
	}
	return out
}

// isCutOff says that a word of a name that a document's field cut is the beginning of one listed.
func (a *asked) isCutOff(q, r *word) bool {
	return a.truncated && len(q.latin) >= leastCut && q.latin != r.latin && strings.HasPrefix(r.latin, q.latin)
}

// leastCut is how many letters of a word tell that it was cut: fewer are an initial.
const leastCut = 2

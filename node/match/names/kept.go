package names

import (
	"cmp"
	"slices"
	"sync"
)

// keptLikes are the words of a frozen segment that are like words asked lately: names repeat, and to
// compare a word with its like takes longer than anything else in a search. It is bounded: when the
// young are so many, they are the old, and the old before them are forgotten; what is asked again
// meanwhile is young again.
type keptLikes struct {
	mu         sync.RWMutex
	young, old map[likesKey][]like
	held       int // in the young
}

type likesKey struct {
	text   string
	prefix bool
}

const (
	// keptPerName and leastKept bound the likes that are kept, of 12 bytes each: so many for each name
	// of the segment, twice.
	keptPerName = 2
	leastKept   = 1 << 19
	// keptEntry is how many likes an entry takes the room of, beside its own.
	keptEntry = 8
	// leastWordsKept is how many words a segment has that is worth it.
	leastWordsKept = 2000
)

// likesOf returns the likes of a word by what they cost, which are not to be changed.
func (s *segment) likesOf(w *word, t *scratch, prefix, joined bool) []like {
	// Two words as one are hardly asked again, and soon compared: few words are so long.
	if joined || s.keys.growing != nil || len(s.words) < leastWordsKept {
		return s.sortedLikes(w, t, prefix, joined)
	}
	key := likesKey{w.text, prefix}
	k := &s.kept
	k.mu.RLock()
	found, ok := k.young[key]
	older, wasOld := k.old[key]
	k.mu.RUnlock()
	if ok {
		return found
	}
	if found = older; !wasOld {
		found = s.sortedLikes(w, t, prefix, joined)
	}
	k.keep(key, found, max(leastKept, keptPerName*len(s.nameOwner)))
	return found
}

func (k *keptLikes) keep(key likesKey, found []like, most int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.young == nil || k.held > most {
		k.young, k.old, k.held = make(map[likesKey][]like), k.young, 0
	}
	if _, ok := k.young[key]; !ok {
		k.young[key] = found
		k.held += len(found) + keptEntry
	}
}

func (s *segment) sortedLikes(w *word, t *scratch, prefix, joined bool) []like {
	found := slices.Clone(s.likes(w, t, prefix, joined))
	slices.SortFunc(found, func(a, b like) int { return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.word, b.word)) })
	return found
}

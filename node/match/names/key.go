package names

import "github.com/entente-mesh/entente/node/match/script"

// Keys find like words and never score them. Any one shared key is enough: AND-ing keys is how
// lists lose the traveller whose name was mistyped where a key looks. The kinds are told apart, so
// that a skeleton does not meet a spelling.
const (
	keySound    = 's' // the word by its sounds
	keySkeleton = 'c' // its consonants in classes
	keyDeletion = 'd' // the sounds less one: two words one typing error apart share one
	keyShort    = 'e' // the skeleton less one
	keyGroup    = 'g' // spellings of one name
	keyStem     = 't' // forms of one surname
	keyWhole    = 'w' // the word as written, in a script that no table reads
	keyPrefix   = 'p' // its first letters, for words that a document's field cut
)

const (
	minDeletion  = 4  // sounds: of a shorter word too little is left
	maxDeletion  = 14 // bounds the deletions of one long word
	minSkeleton  = 2
	minShortened = 4 // consonants of a skeleton that loses one
	prefixLength = 4
	deletedForms = 3 // readings whose deletions are kept
)

// appendFormKeys appends the keys of a word's readings, without repeating one.
func (w *word) appendFormKeys(keys []uint64) []uint64 {
	if !w.readable() {
		return append(keys, hashKey(keyWhole, w.text, -1))
	}
	for i := range w.forms {
		sound := string(w.forms[i].sound)
		keys = add(keys, hashKey(keySound, sound, -1))
		if len(sound) > prefixLength {
			keys = add(keys, hashKey(keyPrefix, sound[:prefixLength], -1))
		}
		if i >= deletedForms || len(sound) < minDeletion-1 {
			continue
		}
		// A short word is not shortened, but a longer one less a sound may be it.
		keys = add(keys, hashKey(keyDeletion, sound, -1))
		if len(sound) < minDeletion {
			continue
		}
		for k := range min(len(sound), maxDeletion) {
			keys = add(keys, hashKey(keyDeletion, sound, k))
		}
	}
	if w.group != 0 {
		keys = add(keys, mix(keyGroup, uint64(w.group)))
	}
	if w.stem != 0 {
		keys = add(keys, w.stem)
	}
	return keys
}

// appendWordKeys appends the keys of a word's skeletons.
func appendWordKeys(keys []uint64, text string) []uint64 {
	for _, s := range script.Skeletons(text, maxSkeletons) {
		if len(s) >= minSkeleton {
			keys = add(keys, hashKey(keySkeleton, s, -1))
		}
		if len(s) >= minShortened-1 {
			keys = add(keys, hashKey(keyShort, s, -1))
		}
		if len(s) >= minShortened {
			for k := range min(len(s), maxDeletion) {
				keys = add(keys, hashKey(keyShort, s, k))
			}
		}
	}
	return keys
}

func add(keys []uint64, k uint64) []uint64 {
	for _, have := range keys {
		if have == k {
			return keys
		}
	}
	return append(keys, k)
}

// hashKey is FNV-1a over a key's kind and text, less the letter at skip (-1: whole). Two keys that
// collide cost a comparison and nothing else.
func hashKey(kind byte, text string, skip int) uint64 {
	const (
		offset = 14695981039346656037
		prime  = 1099511628211
	)
	h := (uint64(offset) ^ uint64(kind)) * prime
	for i := range len(text) {
		if i != skip {
			h = (h ^ uint64(text[i])) * prime
		}
	}
	return h
}

func mix(kind byte, v uint64) uint64 {
	h := (v ^ uint64(kind)<<56) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

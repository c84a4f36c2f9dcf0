package match

// Keys find candidates and never score them. Any one shared key is enough: AND-ing keys is how
// lists lose the traveller whose name was mistyped where a key looks.
//
// The kinds are told apart so that a skeleton does not meet a spelling.
const (
	keySound    = 's' // the word folded by sound
	keySkeleton = 'c' // its consonants
	keyDeletion = 'd' // the sound less one letter: two words one typing error apart share one
	keyPrefix   = 'p' // its first letters, for words that a document's field cut
)

const (
	minSkeletonKey = 2 // consonants: fewer are shared by half of a list
	minDeletionKey = 4 // letters: of a shorter word too little is left
	// maxDeletionKey bounds the deletions of one long word.
	maxDeletionKey = 16
	prefixLength   = 5
)

// appendIndexKeys appends the keys under which a recorded name is found.
func appendIndexKeys(keys []uint64, n *preparedName) []uint64 {
	for _, t := range n.Tokens {
		// An article finds nobody, but where a name is nothing else it must be found by it.
		if t.Weight < weightInitial && n.weight >= weightInitial {
			continue
		}
		for i := range t.Forms {
			keys = appendFormKeys(keys, &t.Forms[i])
			if text := t.Forms[i].Text; len(text) > prefixLength {
				keys = append(keys, hashKey(keyPrefix, text[:prefixLength], -1))
			}
		}
	}
	for _, w := range n.joined {
		keys = appendJoinedKeys(keys, &w.token.Forms[0])
	}
	return keys
}

// appendQueryKeys appends the keys by which an asked name looks for persons.
func appendQueryKeys(keys []uint64, n *preparedName, truncated bool) []uint64 {
	for _, t := range n.Tokens {
		if t.Weight < weightInitial && n.weight >= weightInitial {
			continue
		}
		for i := range t.Forms {
			keys = appendFormKeys(keys, &t.Forms[i])
			if text := t.Forms[i].Text; truncated && len(text) >= prefixLength {
				keys = append(keys, hashKey(keyPrefix, text[:prefixLength], -1))
			}
		}
	}
	for _, w := range n.joined {
		keys = appendJoinedKeys(keys, &w.token.Forms[0])
	}
	return keys
}

func appendFormKeys(keys []uint64, f *Form) []uint64 {
	keys = append(keys, hashKey(keySound, f.Sound, -1))
	if len(f.Skeleton) >= minSkeletonKey {
		keys = append(keys, hashKey(keySkeleton, f.Skeleton, -1))
	}
	if len(f.Sound) >= minDeletionKey {
		keys = append(keys, hashKey(keyDeletion, f.Sound, -1))
		for i := range min(len(f.Sound), maxDeletionKey) {
			keys = append(keys, hashKey(keyDeletion, f.Sound, i))
		}
	}
	return keys
}

// appendJoinedKeys appends the keys of words written as one. They meet the same kinds of key of a
// single word.
func appendJoinedKeys(keys []uint64, f *Form) []uint64 {
	keys = append(keys, hashKey(keySound, f.Sound, -1))
	if len(f.Skeleton) > minSkeletonKey {
		keys = append(keys, hashKey(keySkeleton, f.Skeleton, -1))
	}
	return keys
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

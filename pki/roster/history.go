package roster

// history is the newest word of a chain's rosters on every key that any of them lists: a key that
// was taken out of the roster stays whose it was, and revoked if it was. A history never changes.
// Each roster adds what it says anew, in a layer over those before it, which its predecessors
// share; layers are merged as they grow, so that there are few, however long the chain.
type history struct {
	words map[string]listedKey // by public key
	older *history
}

// word is the newest word on a public key.
func (h *history) word(key []byte) (listedKey, bool) {
	for ; h != nil; h = h.older {
		if k, ok := h.words[string(key)]; ok {
			return k, true
		}
	}
	return listedKey{}, false
}

// with is the history that goes on with a roster's keys.
func (h *history) with(keys map[string]listedKey) *history {
	words := map[string]listedKey{}
	for _, k := range keys {
		if was, ok := h.word(k.Key); !ok || !was.revokedAt.Equal(k.revokedAt) {
			words[string(k.Key)] = k
		}
	}
	if len(words) == 0 {
		return h
	}
	for ; h != nil && len(h.words) <= len(words); h = h.older {
		for key, k := range h.words {
			if _, newer := words[key]; !newer {
				words[key] = k
			}
		}
	}
	return &history{words, h}
}

package names

import "sync"

// lexicon keeps the words that were asked lately: names repeat, and to look a word up in all tables
// takes longer than to compare it. It is bounded: when full, it is emptied.
type lexicon struct {
	mu    sync.RWMutex
	words map[string]*word
}

const maxLexicon = 1 << 15

func newLexicon() *lexicon { return &lexicon{words: make(map[string]*word)} }

func (l *lexicon) word(text string) *word {
	l.mu.RLock()
	w := l.words[text]
	l.mu.RUnlock()
	if w != nil {
		return w
	}
	w = newWord(text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.words) >= maxLexicon {
		clear(l.words)
	}
	l.words[text] = w
	return w
}

package names

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/entente-mesh/entente/node/match/people"
	"github.com/entente-mesh/entente/node/match/script"
)

// ErrStale says that a saved index was made by another program, or by other tables: build it from
// the rows.
var ErrStale = errors.New("the saved index was made by another version: build it from the records")

// madeBy tells what a saved index was worked out with: every table, and what the rules of this
// program make of some words. An index that was made by others is refused.
func madeBy() [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%x %x\n", people.Digest(), script.Digest())
	p := people.NewPopulation(1)
	texts := []string{"müller", "хрущёв", "محمد", "التكريتي", "παπαδοπουλοσ", "王", "김", "ივანე", "משה", "नरेंद्र", "สมชาย", "ሀይሌ", "たなか", "aladdin"}
	for _, region := range people.Regions() {
		texts = append(texts, wordsOf(p.From(region).Name())...)
	}
	for _, text := range texts {
		w := newWord(text)
		fmt.Fprintf(h, "%x %x\n", describe(w), w.keys)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// describe is what is saved of a word.
func describe(w *word) []byte {
	var out writer
	w.save(&out)
	return out.b
}

// checkedWords is how many words of a saved index are looked up again.
const checkedWords = 256

// stale says that some word of a saved index is not what the tables make of it now.
func (s *segment) stale() bool {
	for i := 0; i < len(s.words); i += len(s.words)/checkedWords + 1 {
		if !bytes.Equal(describe(&s.words[i]), describe(newWord(s.words[i].text))) {
			return true
		}
	}
	return false
}

// Package people knows what names are made of: which words are particles, titles or the sign of a
// patronymic, which spellings are one name, how common a word is among travellers, and what an
// invented population looks like whose names behave as the world's do.
//
// It compares nothing, scores nothing and reads no script but Latin: package script turns other
// scripts into letters, and the matcher above decides what two names have in common. It does no
// input or output; its tables are embedded, say in their head lines where they come from, and hold
// no list of real persons: they name single words only.
//
// One flow: the matcher folds a name into words; of each it asks the Role (how much can the word
// say), the Frequency (how many others bear it), and of two words that differ whether they are
// Same (spellings of one name) or a Nickname. Thresholds, fairness and benchmarks are measured on
// the travellers of a Population, which is the same for the same seed.
//
// Words are handed in folded: lower-case letters a to z. Others are folded first, at some cost.
package people

import (
	"embed"
	"fmt"
	"strings"
	"sync"
)

//go:embed tables/*.tsv regions/*.tsv
var files embed.FS

// knowledge is what the tables say. It never changes once it is read.
type knowledge struct {
	roles      map[string]role
	groups     groupIndex
	nicknames  map[string][]nickname
	endings    endingIndex
	regions    []*region
	names      []string        // the regions as Regions tells them
	inUse      map[string]bool // the words of the regions' tables
	words      map[string]uint32
	shares     []wordShare // by words
	groupShare []float64   // by group less one: of all its spellings
	sexes      map[string]sexShare
}

// load reads the embedded tables. They are part of the program and its tests read them all, so
// what cannot be read is a mistake in the program.
var load = sync.OnceValue(func() *knowledge {
	k := &knowledge{}
	for _, read := range []func(*knowledge) error{readRoles, readGroups, readNicknames, readEndings, readRegions} {
		if err := read(k); err != nil {
			panic(fmt.Sprintf("people: %v", err))
		}
	}
	k.count()
	return k
})

// Fold returns a word as the tables hold it: lower-case letters a to z, without marks, and nothing
// else. It is empty for a word without a Latin letter.
func Fold(token string) string {
	for i := range len(token) {
		if token[i] < 'a' || token[i] > 'z' {
			return foldSlow(token)
		}
	}
	return token
}

// Regions returns the groups of names by which fairness is measured, in a fixed order.
func Regions() []string { return append([]string(nil), load().names...) }

func fields(text string) []string { return strings.Fields(text) }

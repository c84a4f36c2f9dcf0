package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/entente-mesh/entente/node/match/eval"
	"github.com/entente-mesh/entente/node/match/script"
)

// files are labelled transliterations: a word in Latin letters and in its own, in either order, and
// the second one with blanks between its letters.
func files() []string { return []string{"wd_arabic_80", "wd_russian_64", "ar2en-eval.txt"} }

// words are what one file says: how each native word is written in Latin letters, by anybody.
type words struct {
	of     map[string][]string
	native []string // in the order of the file, each once
	latin  []string
}

// readWords reads one file. Lines that are not one word each are passed over: a list has whole names.
func readWords(r io.Reader) (words, error) {
	w := words{of: make(map[string][]string)}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Split(lines.Text(), "\t")
		if len(f) < 2 {
			continue
		}
		latin, native := f[0], strings.ReplaceAll(f[1], " ", "")
		if script.Of(script.Fold(latin)) != script.Latin {
			latin, native = strings.ReplaceAll(f[1], " ", ""), f[0]
		}
		a, b := script.Tokens(latin), script.Tokens(native)
		if len(a) != 1 || len(b) != 1 || script.Of(a[0]) != script.Latin || script.Of(b[0]) == script.Latin {
			continue
		}
		if w.of[b[0]] == nil {
			w.native = append(w.native, b[0])
		}
		w.of[b[0]] = append(w.of[b[0]], a[0])
		w.latin = append(w.latin, a[0])
	}
	return w, lines.Err()
}

// foundMost is how many answers are looked through for a word that is not among the first ten.
const foundMost = 400

// transliteration asks native words in a list of Latin ones, and says why the missed are missed.
func (b *bench) transliteration() error {
	for _, name := range files() {
		var w words
		err := reading(filepath.Join(b.options.data, "names", "translit"), name, func(r io.Reader) (err error) { w, err = readWords(r); return err })
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		t, misses, err := b.words(name, w)
		if err != nil {
			return err
		}
		b.report.translit = append(b.report.translit, t)
		b.say("  %s: %d words, first %.3f, in ten %.3f; %s", t.file, t.n, t.first, t.ten, t.why())
		if b.misses != "" {
			if err := os.WriteFile(filepath.Join(b.misses, name+".misses"), []byte(misses), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// words asks for some of the words of a file among all of their own spellings and enough others'.
func (b *bench) words(name string, w words) (t translit, misses string, err error) {
	rnd := rand.New(rand.NewPCG(drawSeed, 3))
	rnd.Shuffle(len(w.native), func(i, j int) { w.native[i], w.native[j] = w.native[j], w.native[i] })
	rnd.Shuffle(len(w.latin), func(i, j int) { w.latin[i], w.latin[j] = w.latin[j], w.latin[i] })
	asked := w.native[:min(b.scale.words, len(w.native))]
	var list []string
	for _, n := range asked {
		list = append(list, w.of[n]...)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	in := make(map[string]bool)
	for _, l := range list {
		in[l] = true
	}
	for _, l := range w.latin {
		if len(list) < b.among && !in[l] {
			list, in[l] = append(list, l), true
		}
	}
	for p := range eval.Listed(fillSeed, 4*b.among) { // a small file: the world's names around it
		if len(list) >= b.among {
			break
		}
		for _, word := range script.Tokens(p.Primary) {
			if len(list) < b.among && !in[word] {
				list, in[word] = append(list, word), true
			}
		}
	}
	m, _, err := eval.NewMatcher(eval.NameOnly, func(yield func(*eval.Person, error) bool) {
		for _, l := range list {
			if !yield(&eval.Person{ID: l, Names: []string{l}}, nil) {
				return
			}
		}
	})
	if err != nil {
		return t, "", err
	}
	t = translit{file: name, n: len(asked), among: len(list), kinds: make(map[string]int), sounds: make(map[string]int)}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var told []string
	workers := runtime.GOMAXPROCS(0)
	for worker := range workers {
		wg.Go(func() {
			for i := worker; i < len(asked); i += workers {
				found := m.Search(eval.Query{Text: asked[i]}, foundMost)
				at := slices.IndexFunc(found, func(f eval.Found) bool { return slices.Contains(w.of[asked[i]], f.ID) })
				mu.Lock()
				if line := t.count(asked[i], w.of[asked[i]], at); line != "" {
					told = append(told, line)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(told)
	t.first, t.ten = t.first/float64(max(1, t.n)), t.ten/float64(max(1, t.n))
	return t, strings.Join(told, ""), nil
}

// Why a word is missed. What is another word is out of reach of any table of letters.
const (
	anotherWord = "another word, of whose consonants half or more differ"
	otherSounds = "some consonants differ"
	crowded     = "ten others are as like or more"
	noKey       = "the same consonants, and not found at all"
)

// translit is what is told of one file.
type translit struct {
	file       string
	n, among   int
	first, ten float64
	kinds      map[string]int // why the missed are missed
	sounds     map[string]int // consonants that differ: read here, written there
}

// count counts one word that was found at a place, or not (-1), and tells of it if it was missed.
func (t *translit) count(native string, latin []string, at int) string {
	if at == 0 {
		t.first++
	}
	if at >= 0 && at < 10 {
		t.ten++
		return ""
	}
	kind, sounds := whyMissed(native, latin, at)
	t.kinds[kind]++
	for _, s := range sounds {
		t.sounds[s]++
	}
	return fmt.Sprintf("%s\t%s\t%s\t%d\t%s\n", kind, native, strings.Join(latin, " "), at, strings.Join(sounds, " "))
}

// whyMissed compares what the consonants of a native word are read as with those of the nearest of
// its transliterations.
func whyMissed(native string, latin []string, at int) (kind string, sounds []string) {
	far, length := -1, 0
	for _, a := range script.Skeletons(native, 8) {
		for _, l := range latin {
			for _, b := range script.Skeletons(l, 8) {
				if d, ops := differ(a, b); far < 0 || d < far {
					far, length, sounds = d, max(len(a), len(b)), ops
				}
			}
		}
	}
	switch {
	case far < 0 || 2*far >= length && far > 0:
		return anotherWord, nil
	case at >= 0:
		return crowded, sounds
	case far == 0:
		return noKey, nil
	}
	return otherSounds, sounds
}

// differ is how many letters differ between two words, and which: "a>b", "-" for none.
func differ(a, b string) (int, []string) {
	cost := make([][]int, len(a)+1)
	for i := range cost {
		cost[i] = make([]int, len(b)+1)
		for j := range cost[i] {
			switch {
			case i == 0:
				cost[i][j] = j
			case j == 0:
				cost[i][j] = i
			case a[i-1] == b[j-1]:
				cost[i][j] = cost[i-1][j-1]
			default:
				cost[i][j] = 1 + min(cost[i-1][j-1], cost[i-1][j], cost[i][j-1])
			}
		}
	}
	var ops []string
	for i, j := len(a), len(b); i > 0 || j > 0; {
		switch {
		case i > 0 && j > 0 && a[i-1] == b[j-1] && cost[i][j] == cost[i-1][j-1]:
			i, j = i-1, j-1
		case i > 0 && j > 0 && cost[i][j] == cost[i-1][j-1]+1:
			ops = append(ops, a[i-1:i]+">"+b[j-1:j])
			i, j = i-1, j-1
		case i > 0 && cost[i][j] == cost[i-1][j]+1:
			ops = append(ops, a[i-1:i]+">-")
			i--
		default:
			ops = append(ops, "->"+b[j-1:j])
			j--
		}
	}
	return cost[len(a)][len(b)], ops
}

// why says what the missed are, the most frequent first.
func (t *translit) why() string {
	var parts []string
	for _, kind := range byCount(t.kinds) {
		parts = append(parts, fmt.Sprintf("%.1f %%: %s", 100*float64(t.kinds[kind])/float64(max(1, t.n)), kind))
	}
	if len(parts) == 0 {
		return "none is missed"
	}
	return strings.Join(parts, "; ")
}

// mostSounds are the consonants that differ the most often, of a word that is a transliteration.
func (t *translit) mostSounds() string {
	var parts []string
	for _, s := range byCount(t.sounds) {
		if len(parts) < 10 {
			parts = append(parts, fmt.Sprintf("%s %d", s, t.sounds[s]))
		}
	}
	return strings.Join(parts, ", ")
}

func byCount(counts map[string]int) []string {
	all := make([]string, 0, len(counts))
	for k := range counts {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	return all
}

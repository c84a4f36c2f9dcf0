package script

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The measures below stand on the developers' data and say so where it is absent. They print how
// often the right word is found by a common skeleton, and how near it is among the words found.

const (
	measured   = 1500  // words asked of each set
	measuredOf = 20000 // words that they are sought among
)

func data(t *testing.T, name string) *os.File {
	t.Helper()
	root := os.Getenv("ENTENTE_DATA")
	if root == "" {
		root = "../../../../shared/data"
	}
	f, err := os.Open(filepath.Join(root, "names", name))
	if err != nil {
		t.Skipf("no data to measure on: %v (set ENTENTE_DATA)", err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestMeasureTransliteration(t *testing.T) {
	for _, set := range []string{"translit/wd_arabic_80", "translit/wd_russian_64", "translit/ar2en-eval.txt"} {
		t.Run(filepath.Base(set), func(t *testing.T) {
			pairs := make(map[string][]string)
			var native, all []string
			s := bufio.NewScanner(data(t, set))
			for s.Scan() {
				f := strings.Split(s.Text(), "\t")
				a, b := f[0], strings.ReplaceAll(f[1], " ", "")
				if Of(Fold(a)) != Latin {
					a, b = b, a
				}
				la, nb := Tokens(a), Tokens(b)
				if len(la) != 1 || len(nb) != 1 || !isPlain(la[0]) {
					continue
				}
				if pairs[nb[0]] == nil {
					native = append(native, nb[0])
				}
				pairs[nb[0]] = append(pairs[nb[0]], la[0])
				all = append(all, la[0])
			}
			slices.Sort(native)
			rnd := rand.New(rand.NewPCG(1, 2))
			rnd.Shuffle(len(native), func(i, j int) { native[i], native[j] = native[j], native[i] })
			rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			native = native[:min(measured, len(native))]
			var words []string
			for _, n := range native {
				words = append(words, pairs[n]...)
			}
			words = append(words, all...)
			words = words[:min(measuredOf, len(words))]
			slices.Sort(words)
			measure(t, native, pairs, slices.Compact(words))
		})
	}
}

func measure(t *testing.T, native []string, pairs map[string][]string, words []string) {
	index := make(map[string][]string)
	for _, w := range words {
		for _, s := range Skeletons(w, 4) {
			index[s] = append(index[s], w)
		}
	}
	var found, first, ten, candidates int
	for _, n := range native {
		seen := make(map[string]bool)
		type near struct {
			word string
			far  float32
		}
		var all []near
		readings := Readings(n, 8)
		for _, s := range Skeletons(n, 4) {
			for _, w := range index[s] {
				if !seen[w] {
					seen[w] = true
					all = append(all, near{w, distance(readings, w)})
				}
			}
		}
		candidates += len(all)
		slices.SortFunc(all, func(a, b near) int { return cmp.Or(cmp.Compare(a.far, b.far), cmp.Compare(a.word, b.word)) })
		at := slices.IndexFunc(all, func(x near) bool { return slices.Contains(pairs[n], x.word) })
		if at >= 0 {
			found++
		} else if os.Getenv("MISSES") != "" {
			t.Log("missed", n, Skeletons(n, 4), pairs[n], Skeletons(pairs[n][0], 4))
		}
		if at == 0 {
			first++
		} else if at > 0 && os.Getenv("NEAR") != "" {
			t.Log("near", n, pairs[n], all[0].word, at, readings)
		}
		if at >= 0 && at < 10 {
			ten++
		}
	}
	n := float64(len(native))
	t.Logf("%d of %d: common skeleton %.3f, nearest %.3f, among ten %.3f; candidates %.0f",
		len(native), len(words), float64(found)/n, float64(first)/n, float64(ten)/n, float64(candidates)/n)
}

// TestMeasureForenames measures the scripts that the other data lack on the forenames of countries
// that write them.
func TestMeasureForenames(t *testing.T) {
	type count struct{ all, met, near int }
	counts := make(map[Script]*count)
	r := csv.NewReader(data(t, "translit/common-forenames-by-country.csv"))
	for {
		row, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		local, roman := Tokens(row[10]), Tokens(row[11])
		if len(local) != 1 || len(roman) != 1 || Of(local[0]) == Latin || Of(roman[0]) != Latin {
			continue
		}
		c := counts[Of(local[0])]
		if c == nil {
			c = new(count)
			counts[Of(local[0])] = c
		}
		c.all++
		keys, latin := Skeletons(local[0], 4), Skeletons(roman[0], 4)
		if slices.ContainsFunc(keys, func(k string) bool { return slices.Contains(latin, k) }) {
			c.met++
		} else if os.Getenv("MISSES") != "" {
			t.Log("missed", local[0], keys, roman[0], latin)
		}
		if distance(Readings(local[0], 8), Readings(roman[0], 2)[0].Text) <= 0.75 {
			c.near++
		} else if os.Getenv("NEAR") != "" {
			t.Log("far", local[0], roman[0], texts(Readings(local[0], 8)))
		}
	}
	for _, s := range slices.Sorted(maps.Keys(counts)) {
		c := counts[s]
		t.Logf("script %d: %d names, common skeleton %.3f, near %.3f", s, c.all, float64(c.met)/float64(c.all), float64(c.near)/float64(c.all))
	}
}

// distance is how far a Latin word is from the nearest reading, with cheap vowels.
func distance(readings []Form, word string) float32 {
	best := float32(99)
	for _, f := range readings {
		best = min(best, edits(f.Text, word, f.Bare)+0.3*(1-f.Weight))
	}
	return best
}

func edits(a, b string, bare bool) float32 {
	isVowel := func(c byte) bool { return strings.IndexByte("aeiouyw", c) >= 0 }
	drop := func(c byte) float32 {
		if isVowel(c) {
			if bare {
				return 0.2
			}
			return 0.4
		}
		if c == 'h' {
			return 0.5
		}
		return 1
	}
	change := func(x, y byte) float32 {
		switch {
		case x == y:
			return 0
		case isVowel(x) && isVowel(y):
			return 0.3
		case strings.IndexByte("kqcg", x) >= 0 && strings.IndexByte("kqcg", y) >= 0,
			strings.IndexByte("szx", x) >= 0 && strings.IndexByte("szx", y) >= 0,
			strings.IndexByte("fvw", x) >= 0 && strings.IndexByte("fvw", y) >= 0,
			strings.IndexByte("td", x) >= 0 && strings.IndexByte("td", y) >= 0,
			strings.IndexByte("jgy", x) >= 0 && strings.IndexByte("jgy", y) >= 0,
			strings.IndexByte("bpv", x) >= 0 && strings.IndexByte("bpv", y) >= 0:
			return 0.5
		}
		return 1
	}
	row := make([]float32, len(b)+1)
	for j := range len(b) {
		row[j+1] = row[j] + drop(b[j])
	}
	for i := range len(a) {
		diag := row[0]
		row[0] += drop(a[i])
		for j := range len(b) {
			d := min(diag+change(a[i], b[j]), row[j]+drop(b[j]), row[j+1]+drop(a[i]))
			if j > 0 && b[j] == b[j-1] {
				d = min(d, row[j]+0.15)
			}
			diag, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}

func TestMeasureScriptQueries(t *testing.T) {
	names := make(map[string][]string)
	s := bufio.NewScanner(data(t, "persons.jsonl"))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var p struct {
			ID      string
			Primary string
			Names   []string
		}
		if err := json.Unmarshal(s.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		for _, n := range append(p.Names, p.Primary) {
			names[p.ID] = append(names[p.ID], Tokens(n)...)
		}
	}
	var words, met, near, all int
	s = bufio.NewScanner(data(t, "queries.jsonl"))
	for s.Scan() {
		var q struct{ Set, Q, ID string }
		if err := json.Unmarshal(s.Bytes(), &q); err != nil {
			t.Fatal(err)
		}
		if q.Set != "script" {
			continue
		}
		misses := 0
		var missed []string
		asked := Tokens(q.Q)
		for i, token := range asked {
			if Of(token) == Latin {
				continue
			}
			words++
			keys := Skeletons(token, 4)
			if i > 0 {
				keys = append(keys, Skeletons(asked[i-1]+token, 4)...)
			}
			if i+1 < len(asked) {
				keys = append(keys, Skeletons(token+asked[i+1], 4)...)
			}
			readings := Readings(token, 8)
			common, far := false, float32(99)
			// Two words may be one: Abd al-Rahman.
			list := names[q.ID]
			for i, w := range list {
				joins := []string{w}
				if i+1 < len(list) {
					joins = append(joins, w+list[i+1])
				}
				if i+2 < len(list) {
					joins = append(joins, w+list[i+1]+list[i+2])
				}
				for _, w := range joins {
					for _, k := range Skeletons(w, 4) {
						common = common || slices.Contains(keys, k)
					}
					far = min(far, distance(readings, w))
				}
			}
			if common {
				met++
			} else {
				misses++
				missed = append(missed, token+" "+strings.Join(keys, ","))
			}
			if far <= 0.75 {
				near++
			} else if os.Getenv("NEAR") != "" {
				t.Log("far", token, far, readings, names[q.ID])
			}
		}
		if misses == 0 {
			all++
		} else if os.Getenv("MISSES") != "" {
			t.Log(missed, names[q.ID])
		}
	}
	t.Logf("%d words in another script: %.3f share a skeleton with a word of the person, %.3f are near one; %d queries whole",
		words, float64(met)/float64(words), float64(near)/float64(words), all)
}

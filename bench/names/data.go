package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/entente-mesh/entente/node/match/eval"
)

// labelled is what is measured on.
type labelled struct {
	persons          []eval.Person
	meant, innocents []eval.Query
	pairs            eval.Pairs
	invented         bool
}

// Seeds of what is invented, so that two runs measure the same.
const (
	listSeed      = 21
	fillSeed      = 22
	innocentsSeed = 23
	regionSeed    = 24
	drawSeed      = 25
)

// read reads the developers' data, or invents some and says so.
func (b *bench) read() (labelled, error) {
	dir := filepath.Join(b.options.data, "names")
	if _, err := os.Stat(filepath.Join(dir, "persons.jsonl")); errors.Is(err, fs.ErrNotExist) {
		b.say("no labelled data in %s (set ENTENTE_DATA): invented persons are measured", dir)
		return b.invent(), nil
	}
	l := labelled{}
	err := reading(dir, "persons.jsonl", func(r io.Reader) error {
		for p, err := range eval.ReadPersons(r, nil) {
			if err != nil {
				return err
			}
			l.persons = append(l.persons, *p)
		}
		return nil
	})
	if err != nil {
		return l, err
	}
	err = reading(dir, "queries.jsonl", func(r io.Reader) error {
		queries, err := eval.ReadQueries(r, nil)
		l.meant = slices.DeleteFunc(queries, func(q eval.Query) bool { return q.ID == "" })
		return err
	})
	if err != nil {
		return l, err
	}
	err = reading(dir, "negatives_us.csv", func(r io.Reader) (err error) {
		l.innocents, err = eval.ReadNegatives(r, nil)
		l.innocents = l.innocents[:min(len(l.innocents), b.innocents)]
		return err
	})
	if err != nil {
		return l, err
	}
	err = reading(dir, "nk_person_pairs.csv", func(r io.Reader) (err error) { l.pairs, err = eval.ReadPairs(r); return err })
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if b.quick {
		l.few(b.invented)
	}
	return l, err
}

// few keeps some queries and the persons that they are about.
func (l *labelled) few(n int) {
	l.meant = l.meant[:min(len(l.meant), n)]
	asked := make(map[string]bool)
	for i := range l.meant {
		asked[l.meant[i].ID] = true
	}
	l.persons = slices.DeleteFunc(l.persons, func(p eval.Person) bool { return !asked[p.ID] })
}

func reading(dir, name string, read func(r io.Reader) error) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := read(f); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return nil
}

// invent makes a list, and queries for its persons as their passports carry their names and with two
// letters mistaken: what can be labelled without knowing anybody.
func (b *bench) invent() labelled {
	l := labelled{invented: true, innocents: eval.World(innocentsSeed, b.innocents)}
	rnd := rand.New(rand.NewPCG(drawSeed, 1))
	for p := range eval.Listed(listSeed, b.invented) {
		l.persons = append(l.persons, p)
		q := eval.ZoneQuery(p.Primary, "")
		q.Set, q.ID, q.Birth, q.Nationality, q.Sex = "mrz", p.ID, p.Birth, p.Nationality, p.Sex
		l.meant = append(l.meant, q)
		wrong := []byte(q.Text)
		for range 2 {
			if at := rnd.IntN(len(wrong)); wrong[at] != ' ' {
				wrong[at] = byte('A' + rnd.IntN(26))
			}
		}
		q.Set, q.Text, q.Primary, q.Secondary = "mrz_typo2", string(wrong), string(wrong), ""
		l.meant = append(l.meant, q)
	}
	return l
}

// list yields the persons, and as many invented ones as are missing to so many names.
func (b *bench) list(names int) iter.Seq2[*eval.Person, error] {
	return func(yield func(*eval.Person, error) bool) {
		for i := range b.data.persons {
			names -= len(b.data.persons[i].Names)
			if !yield(&b.data.persons[i], nil) {
				return
			}
		}
		for p := range eval.Listed(fillSeed, max(0, names)) {
			p.ID = "fill-" + p.ID
			if !yield(&p, nil) {
				return
			}
		}
	}
}

// sample draws queries of all sets and innocents, the same in every run.
func (b *bench) sample(n int) []eval.Query {
	all := slices.Concat(b.data.meant, b.data.innocents[:min(len(b.data.innocents), len(b.data.meant)/4+1)])
	rnd := rand.New(rand.NewPCG(drawSeed, 2))
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))]
}

// sets are the names of the sets of queries, in order.
func (b *bench) sets() []string {
	var sets []string
	for i := range b.data.meant {
		sets = append(sets, b.data.meant[i].Set)
	}
	slices.SortFunc(sets, strings.Compare)
	return slices.Compact(sets)
}

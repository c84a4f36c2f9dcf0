package main

import (
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"

	"github.com/entente-mesh/entente/node/match/eval"
)

// plain is how names are brought to one form for pg_trgm: without marks, case and punctuation.
const plain = `regexp_replace(lower(unaccent(%s)), '[^[:alnum:]]+', ' ', 'g')`

// looked is how many names are looked at: more than ten, for some are one person's.
const looked = 30

// way is one way of asking pg_trgm: by the name, and by the birth year where it says so.
type way struct {
	name, sql string
	year      bool
}

// ways are those of the reference (matching.md, 6.1).
func ways() []way {
	best := " ORDER BY s DESC LIMIT " + strconv.Itoa(looked)
	return []way{
		{"pg_trgm `%`, GIN", "SELECT id, similarity(n, $1) AS s FROM by_gin WHERE n % $1" + best, false},
		{"pg_trgm `<->`, GiST", "SELECT id, similarity(n, $1) AS s FROM by_gist ORDER BY n <-> $1 LIMIT " + strconv.Itoa(looked), false},
		{"pg_trgm `%`, GIN, birth year within 2 or unknown",
			"SELECT id, similarity(n, $1) AS s FROM by_gin WHERE n % $1 AND (y IS NULL OR $2::int IS NULL OR abs(y - $2::int) <= 2)" + best, true},
	}
}

// trigram is pg_trgm, asked one way. It implements eval.Engine.
type trigram struct {
	way
	conns chan *conn
	plain map[string]string // what is asked, in the form of the table: not part of the time
	mu    sync.Mutex        // owns failed
	fault error
}

// fill makes the tables of the list, with an index each.
func fill(c *conn, persons iter.Seq2[*eval.Person, error]) (names int, bytes float64, err error) {
	for _, sql := range []string{
		"DROP TABLE IF EXISTS raw, by_gin, by_gist",
		"CREATE UNLOGGED TABLE raw (id text, name text, y int)",
	} {
		if err := c.exec(sql); err != nil {
			return 0, 0, err
		}
	}
	var failed error
	err = c.copyIn("raw", func(yield func(cells ...string)) {
		for p, err := range persons {
			if err != nil {
				failed = err
				return
			}
			for _, n := range p.Names {
				yield(p.ID, n, year(p.Birth))
				names++
			}
		}
	})
	if err := errors.Join(failed, err); err != nil {
		return 0, 0, err
	}
	for _, sql := range []string{
		"CREATE UNLOGGED TABLE by_gin AS SELECT id, " + fmt.Sprintf(plain, "name") + " AS n, y FROM raw",
		"CREATE UNLOGGED TABLE by_gist AS SELECT * FROM by_gin",
		"CREATE INDEX ON by_gin USING gin (n gin_trgm_ops)",
		"CREATE INDEX ON by_gist USING gist (n gist_trgm_ops(siglen=64))",
		"ANALYZE by_gin", "ANALYZE by_gist",
	} {
		if err := c.exec(sql); err != nil {
			return 0, 0, err
		}
	}
	rows, err := c.query("SELECT pg_total_relation_size('by_gin')")
	if err != nil {
		return 0, 0, err
	}
	size, err := strconv.ParseFloat(rows[0][0], 64)
	return names, size, err
}

// year is the first year of a birth date, and empty where it is not known.
func year(birth string) string {
	birth = strings.TrimPrefix(birth, "~")
	return birth[:min(len(birth), len("2006"))]
}

// open prepares one way on as many connections as may ask at once.
func (w way) open(p *postgres, callers int, queries ...[]eval.Query) (*trigram, error) {
	t := &trigram{way: w, conns: make(chan *conn, callers), plain: make(map[string]string)}
	for range callers {
		c, err := p.dial()
		if err != nil {
			return nil, errors.Join(err, t.close())
		}
		t.conns <- c
		if err := c.exec("SET enable_seqscan = off"); err != nil {
			return nil, errors.Join(err, t.close())
		}
		if err := c.prepare("ask", w.sql); err != nil {
			return nil, errors.Join(err, t.close())
		}
		if err := c.prepare("plain", "SELECT "+fmt.Sprintf(plain, "$1::text")); err != nil {
			return nil, errors.Join(err, t.close())
		}
	}
	c := <-t.conns
	defer func() { t.conns <- c }()
	for _, all := range queries {
		for i := range all {
			if _, ok := t.plain[all[i].Text]; ok {
				continue
			}
			rows, err := c.ask("plain", all[i].Text)
			if err != nil {
				return nil, err
			}
			t.plain[all[i].Text] = rows[0][0]
		}
	}
	return t, nil
}

// Search asks one prepared statement and keeps the best name of each person.
func (t *trigram) Search(q eval.Query, most int) []eval.Found {
	c := <-t.conns
	args := []string{t.plain[q.Text], year(q.Birth)}
	if !t.year {
		args = args[:1]
	}
	rows, err := c.ask("ask", args...)
	t.conns <- c
	if err != nil {
		t.mu.Lock()
		t.fault = err
		t.mu.Unlock()
		return nil
	}
	var found []eval.Found
	seen := make(map[string]bool)
	for _, r := range rows {
		score, err := strconv.ParseFloat(r[1], 64)
		if err != nil || seen[r[0]] {
			continue
		}
		seen[r[0]] = true
		if found = append(found, eval.Found{ID: r[0], Score: score}); len(found) == most {
			break
		}
	}
	return found
}

// failed is the last error of a search.
func (t *trigram) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fault
}

func (t *trigram) close() error {
	close(t.conns)
	var err error
	for c := range t.conns {
		err = errors.Join(err, c.Close())
	}
	return err
}

package main

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/entente-mesh/entente/bench/page"
	"github.com/entente-mesh/entente/node/match/eval"
)

// report is what a run found.
type report struct {
	run      page.Run
	quality  []found
	pairs    *eval.PairResult
	union    []eval.Result
	regions  []region
	fairness []eval.Fairness // by name only, and with everything known
	paces    []pace
	sizes    []size
	translit []translit
}

// found is whom one engine found.
type found struct {
	engine string
	sets   []eval.Result
}

func (f found) String() string {
	parts := []string{f.engine}
	for _, r := range f.sets {
		parts = append(parts, fmt.Sprintf("%s %s", r.Set, recalls(r)))
	}
	return strings.Join(parts, " | ")
}

// region is whom the matcher found above the thresholds of one region's innocents.
type region struct {
	name     string
	evidence eval.Evidence
	sets     []eval.Result
}

// pace is how fast one engine was among so many names.
type pace struct {
	name  string
	names int
	eval.Summary
}

// size is what a list takes.
type size struct {
	name    string
	names   int
	perName float64
	load    time.Duration
}

// recalls are a set's three figures.
func recalls(r eval.Result) string {
	return share(r.RecallAt10) + " / " + share(r.RecallAlert1) + " / " + share(r.RecallAlert01)
}

// share writes a share without its leading zero, as tables of recall do.
func share(f eval.Figure) string { return strings.TrimPrefix(f.Text(3), "0") }

func of(sets []eval.Result, set string) (eval.Result, bool) {
	for _, r := range sets {
		if r.Set == set {
			return r, true
		}
	}
	return eval.Result{}, false
}

// markdown is this program's part of the page.
func (b *bench) markdown() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\n\n", page.Names)
	out.WriteString("Written by `make bench-names` (`go run ./bench/names`), never by hand: the matcher of persons beside PostgreSQL's\n" +
		"pg_trgm, on the same queries, the same innocents and the same list, in the same run.\n\n")
	if b.quick {
		out.WriteString("**This was a quick run: it shows that everything runs, and its figures say nothing.**\n\n")
	}
	if b.data.invented {
		out.WriteString("**There were no labelled data: the persons are invented, and found too easily.**\n\n")
	}
	out.Write(b.report.run.Facts())
	if b.peer != nil {
		fmt.Fprintf(&out, "- Yardstick: %s, pg_trgm and unaccent, on a Unix socket\n", b.peer.version)
	} else {
		fmt.Fprintf(&out, "- Yardstick: PostgreSQL was not measured: %s\n", b.reason)
	}
	fmt.Fprintf(&out, "- Data: %s persons, %s queries, %s innocents by the names that their passports' zones carry\n",
		thousands(len(b.data.persons)), thousands(len(b.data.meant)), thousands(len(b.data.innocents)))
	b.targets(&out)
	b.qualityTable(&out)
	b.regionTable(&out)
	b.speedTable(&out)
	b.translitTable(&out)
	out.WriteString(notes)
	return out.Bytes()
}

func (b *bench) qualityTable(out *bytes.Buffer) {
	sets := b.sets()
	head := []string{"recall among ten / above 1 % / above 0.1 % of the innocents"}
	for _, s := range sets {
		head = append(head, fmt.Sprintf("%s, n=%d", s, b.countOf(s)))
	}
	var rows [][]string
	for _, f := range b.report.quality {
		row := []string{f.engine}
		for _, s := range sets {
			r, _ := of(f.sets, s)
			row = append(row, recalls(r))
		}
		rows = append(rows, row)
	}
	row := []string{fmt.Sprintf("Entente, everything known, among %s names: among ten / above 0.1 %% / above 0.01 %%", thousands(b.million))}
	for _, s := range sets {
		if r, ok := of(b.report.union, s); ok {
			row = append(row, share(r.RecallAt10)+" / "+share(r.RecallAlert01)+" / "+share(*r.Recall001))
		} else {
			row = append(row, "")
		}
	}
	rows = append(rows, row)
	out.WriteString("\n### Who is found\n\n")
	page.Table(out, head, rows)
}

func (b *bench) countOf(set string) int {
	n := 0
	for i := range b.data.meant {
		if b.data.meant[i].Set == set {
			n++
		}
	}
	return n
}

// regionTable stands beside the table of quality: innocents of each region instead of those of the data.
func (b *bench) regionTable(out *bytes.Buffer) {
	var counts []string
	for i, known := range []string{"by name only", "with everything known, several dates a name"} {
		if f := b.report.fairness[i]; len(f.Groups) > 0 {
			counts = append(counts, thousands(f.Groups[0].N)+" "+known)
		}
	}
	stopped := strings.Join(counts, " and ")
	fmt.Fprintf(out, "\n### Region by region\n\nThe same, above 1 %% / 0.1 %% of %s invented travellers of one region; and how many in a thousand of others,\n"+
		"%s, are false alerts at the default operating point. Its thresholds were measured by others again.\n\n", thousands(b.travellers), stopped)
	sets := b.sets()
	var rows [][]string
	for _, e := range []struct {
		of       eval.Evidence
		name     string
		fairness int
	}{{eval.NameOnly, "name only", 0}, {eval.All, "everything known", 1}} {
		for _, r := range b.report.regions {
			if r.evidence != e.of {
				continue
			}
			row := []string{r.name, e.name}
			for _, s := range sets {
				f, _ := of(r.sets, s)
				row = append(row, share(f.RecallAlert1)+" / "+share(f.RecallAlert01))
			}
			for _, g := range b.report.fairness[e.fairness].Groups {
				if g.Group == r.name {
					row = append(row, fmt.Sprintf("%.2f (%d)", 1000*g.Share, g.Alerts))
				}
			}
			rows = append(rows, row)
		}
	}
	page.Table(out, append(append([]string{"innocents", "known"}, sets...), "false alerts in 1,000 (counted)"), rows)
	for i, e := range []string{"name only", "everything known"} {
		f := b.report.fairness[i]
		fmt.Fprintf(out, "\nThe worst region against the best, %s: %s; if all were alike, chance alone would make it %s.\n", e, times(f.Worst), times(f.Chance))
	}
}

func times(f eval.Figure) string {
	if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
		return "not to be said, for of some region nobody was stopped"
	}
	return f.Text(2) + " times"
}

func (b *bench) speedTable(out *bytes.Buffer) {
	out.WriteString("\n### How fast\n\n")
	var rows [][]string
	for _, p := range b.report.paces {
		rows = append(rows, []string{thousands(p.names), p.name, thousands(int(p.QueriesPerSecond)),
			fmt.Sprintf("%.2f", p.P50), fmt.Sprintf("%.2f", p.P95), fmt.Sprintf("%.2f", p.P99)})
	}
	page.Table(out, []string{"names", "engine", "queries/s", "p50 ms", "p95 ms", "p99 ms"}, rows)
	rows = nil
	for _, s := range b.report.sizes {
		rows = append(rows, []string{thousands(s.names), s.name, fmt.Sprintf("%.0f", s.perName), fmt.Sprintf("%.2f", s.load.Seconds())})
	}
	out.WriteString("\n")
	page.Table(out, []string{"names", "engine", "bytes a name", "load, s"}, rows)
}

func (b *bench) translitTable(out *bytes.Buffer) {
	out.WriteString("\n### Transliteration\n\n")
	if len(b.report.translit) == 0 {
		out.WriteString("Not measured: there are no labelled transliterations here.\n")
		return
	}
	var rows [][]string
	for _, t := range b.report.translit {
		rows = append(rows, []string{t.file, thousands(t.n), thousands(t.among), share(eval.Figure(t.first)), share(eval.Figure(t.ten)), t.why(), t.mostSounds()})
	}
	page.Table(out, []string{"file", "words asked", "among", "first", "among ten", "missed", "consonants that differ, read > written"}, rows)
}

// thousands writes a count with its thousands apart.
func thousands(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

const notes = `
What was measured:

- A person is found if they are among the ten best. Above 1 % (0.1 %) means: with a score that no more than that share
  of the innocents reach with anybody, in the same list. Each engine has its own scores and so its own thresholds.
- pg_trgm compares names in lower case, without marks and punctuation, in tables of one name a row: by the operator
  ` + "`%`" + ` (similarity 0.3) with a GIN index, by distance with a GiST index (siglen 64), and by the first with a birth
  year that is within two years or unknown. Thirty names are fetched, and the best of each person counts. Statements are
  prepared, sequential scans off, nothing is made durable; names are brought to that form before the clock starts.
- Speed: everybody is asked the same queries in turn, all sets and innocents mixed, after a turn to warm up. The matcher
  is asked by one caller a processor, PostgreSQL by two, each on a connection of its own; callers and servers share this
  machine. Lists are the persons of the data among invented ones. Load is from the persons in memory to the last index.
- The time of a query is its caller's, from asking to the last row.
- Transliteration: words in their own script, sought among words in Latin letters, of which those are right that the
  file has with them. Many pairs are not transliterations of each other; a list has whole names, and words stand alone
  here.
`

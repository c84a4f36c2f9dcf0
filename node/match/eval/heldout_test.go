package eval

import (
	"cmp"
	"hash/fnv"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func open(t testing.TB, name string) *os.File {
	dir := cmp.Or(os.Getenv("ENTENTE_DATA"), "../../../../shared/data")
	f, err := os.Open(filepath.Join(dir, "names", name))
	if err != nil {
		t.Skip("no labelled data: set ENTENTE_DATA to its folder; the golden cases cover the same code: ", err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// half is 0 or 1, by a hash of the id.
func half(id string) int {
	h := fnv.New32a()
	h.Write([]byte(id))
	return int(h.Sum32()>>8) % 2
}

// labelled is the developers' data: the list, the travellers who are on it, and innocents.
type labelled struct {
	persons   iter.Seq2[*Person, error]
	meant     []Query
	innocents []Query
}

// heldOut is the half of the data, by whom it is about, that the constants were not fitted on.
const heldOut = 1

func load(t *testing.T, which int) labelled {
	t.Helper()
	var d labelled
	var err error
	d.persons = ReadPersons(open(t, "persons.jsonl"), Unread{})
	queries, err := ReadQueries(open(t, "queries.jsonl"), Unread{})
	if err != nil {
		t.Fatal(err)
	}
	if d.innocents, err = ReadNegatives(open(t, "negatives_us.csv"), Unread{}); err != nil {
		t.Fatal(err)
	}
	for _, q := range queries {
		if q.ID != "" && half(q.ID) == which {
			d.meant = append(d.meant, q)
		}
	}
	return d
}

// floors are what the held-out half must reach; a little under what it does reach, so that a change
// that costs recall is seen.
var floors = []struct {
	evidence               Evidence
	set                    string
	inTen, at1pct, at01pct Figure
}{
	{NameOnly, "alias_variant", 0.985, 0.95, 0.75},
	{NameOnly, "mrz", 0.995, 0.99, 0.98},
	{NameOnly, "mrz_typo2", 0.98, 0.91, 0.82},
	{NameOnly, "script", 0.90, 0.50, 0.50},
	{NameOnly, "alias_other", 0.50, 0.25, 0},
	{All, "alias_variant", 0.99, 0.98, 0.96},
	{All, "script", 0.90, 0.90, 0.75},
}

func TestHeldOutHalf(t *testing.T) {
	if testing.Short() {
		t.Skip("it adds volume; other tests go the same ways through the code")
	}
	d := load(t, heldOut)
	m, _, err := NewMatcher(NameOnly, d.persons)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Evidence{NameOnly, All} {
		quiet := Ask(m.With(e), d.innocents[:min(20_000, len(d.innocents))], 1)
		results := Results(Ask(m.With(e), d.meant, 1), quiet)
		for _, r := range results {
			t.Logf("evidence %d: %-14s n %4d: first %.3f, in ten %.3f, at 1 %% %.3f, at 0.1 %% %.3f (%.2f, %.2f)",
				e, r.Set, r.N, r.RecallAt1, r.RecallAt10, r.RecallAlert1, r.RecallAlert01, r.Threshold1, r.Threshold01)
		}
		for _, f := range floors {
			if f.evidence != e {
				continue
			}
			i := slices.IndexFunc(results, func(r Result) bool { return r.Set == f.set })
			if i < 0 {
				t.Errorf("no set %s", f.set)
				continue
			}
			if r := results[i]; r.RecallAt10 < f.inTen || r.RecallAlert1 < f.at1pct || r.RecallAlert01 < f.at01pct {
				t.Errorf("evidence %d, %s: in ten %.3f, at 1 %% %.3f, at 0.1 %% %.3f, want %.3f, %.3f, %.3f",
					e, f.set, r.RecallAt10, r.RecallAlert1, r.RecallAlert01, f.inTen, f.at1pct, f.at01pct)
			}
		}
	}
}

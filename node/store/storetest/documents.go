package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/entente-mesh/entente/node/store"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func findByKey(t *testing.T, s *store.Store) {
	sentence := passport("doc:sentence", "")
	sentence.GetDocument().Number = "Syrian 4455667, renewed as N 998877"
	sentence.GetDocument().MoreKeys = []string{"4455667", "N998877"}
	bothWays := passport("doc:both", "EH123456")
	bothWays.GetDocument().MoreKeys = []string{"EH123456", "123456"}
	elsewhere := passport("doc:fra", "EH123456")
	elsewhere.GetDocument().Issuer = "FRA"
	put(t, s, in("sltd", passport("doc:1", "EH123456"), elsewhere, bothWays, sentence, passport("doc:nokey", "")))

	cases := []struct {
		name string
		keys []string
		want []string
	}{
		{"of every issuer", []string{"EH123456"}, []string{"doc:1", "doc:fra", "doc:both"}},
		{"by a further key", []string{"123456"}, []string{"doc:both"}},
		{"by any of several", []string{"N998877", "123456", "none"}, []string{"doc:both", "doc:sentence"}},
		{"once, though several keys fit", []string{"4455667", "N998877", "4455667"}, []string{"doc:sentence"}},
		{"not by a part", []string{"EH12345", "H123456", "EH1234567"}, nil},
		{"not in another case", []string{"eh123456"}, nil},
		{"not by nothing", []string{""}, nil},
		{"not without keys", nil, nil},
		{"not by a pattern", []string{"EH%", "%", "EH12345_", "*"}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := find(t, s, c.keys...); !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	// Every number of keys up to the bound.
	for n := 1; n <= 64; n++ {
		keys := append(sequenceOf(n-1, func(i int) string { return numbered("ZZ", i) }), "123456")
		if got := find(t, s, keys...); !slices.Equal(got, []string{"doc:both"}) {
			t.Errorf("with %d keys: %v", n, got)
		}
	}
	records, err := s.FindDocuments(t.Context(), store.DocumentLookup{Keys: []string{"EH123456"}, Limit: 2})
	if err != nil || len(records) != 2 {
		t.Errorf("with limit 2: %v, %v", idsOf(records), err)
	}
}

func findByRange(t *testing.T, s *store.Store) {
	written := blanks("r:written", "EL 000-010", "el 000-020") // the key of the last is the store's to make
	written.GetDocument().NumberKey = "EL000010"
	put(t, s, in("sltd", written,
		blanks("r:hundred", "EH100000", "EH100099"),
		blanks("r:inside", "EH100050", "EH100059"),
		blanks("r:digits", "000100", "000199"),
		blanks("r:one", "EJ000007", "EJ000007"),
		blanks("r:all", "EK000000", "EK999999"),
		blanks("r:letters", "1A000998", "1A001002"),
		blanks("r:long", "X000000000000000000", "X999999999999999999"),
		passport("doc:exact", "EH100055"),
	))
	cases := []struct {
		key  string
		want []string
	}{
		{"EH100000", []string{"r:hundred"}},
		{"EH100099", []string{"r:hundred"}},
		{"EH100100", nil},
		{"EH099999", nil},
		{"EH100049", []string{"r:hundred"}},
		{"EH100050", []string{"r:inside", "r:hundred"}}, // its own first number first
		{"EH100055", []string{"doc:exact", "r:hundred", "r:inside"}},
		{"EH100060", []string{"r:hundred"}},
		{"EH10005", nil},
		{"EH0100055", nil},
		{"100055", nil},
		{"EI100055", nil},
		{"EH10005A", nil},
		{"000100", []string{"r:digits"}},
		{"000150", []string{"r:digits"}},
		{"150", nil},
		{"0000150", nil},
		{"EJ000007", []string{"r:one"}},
		{"EJ000008", nil},
		{"EK500000", []string{"r:all"}},
		{"1A000997", nil},
		{"1A001000", []string{"r:letters"}},
		{"X123456789012345678", []string{"r:long"}},
		{"X1234567890123456789", nil},
		{"EL000015", []string{"r:written"}},
		{"EL000021", nil},
	}
	for _, c := range cases {
		got := find(t, s, c.key)
		if !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
			t.Errorf("%s: got %v, want %v", c.key, got, c.want)
		}
	}
	if got := find(t, s, "EK000001", "EJ000007", "EH100055"); !slices.Equal(got, []string{"r:one", "doc:exact", "r:hundred", "r:inside", "r:all"}) {
		t.Errorf("by three keys: %v", got)
	}
	// A range that changes is found where it is, not where it was.
	put(t, s, in("sltd", blanks("r:hundred", "EH100000", "EH199999")))
	put(t, s, in("sltd", passport("r:all", "EK000000")))
	if got := find(t, s, "EH150000"); !slices.Equal(got, []string{"r:hundred"}) {
		t.Errorf("in the longer range: %v", got)
	}
	if got := find(t, s, "EK500000"); len(got) > 0 {
		t.Errorf("in a range that is none any more: %v", got)
	}
	if r := put(t, s, in("sltd", blanks("r:hundred", "EH100000", "EH199999"))); r[0].Outcome != store.Unchanged {
		t.Errorf("the same range again: %v", r[0])
	}
}

// findByRandomRange compares the look-up with a walk along all ranges.
func findByRandomRange(t *testing.T, s *store.Store) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	type span struct {
		id       string
		from, to int
	}
	var spans []span
	var records []*recordv1.Record
	for i := range 400 {
		size := 1
		for range r.IntN(7) {
			size *= 10
		}
		from := r.IntN(1_000_000)
		to := min(from+r.IntN(size), 999_999)
		sp := span{id: numbered("r:", i), from: from, to: to}
		spans = append(spans, sp)
		records = append(records, blanks(sp.id, numbered("EH", from), numbered("EH", to)))
	}
	put(t, s, in("sltd", records...))
	// Some move, some go.
	for i := range spans {
		switch i % 10 {
		case 0:
			spans[i].from /= 2
			put(t, s, in("sltd", blanks(spans[i].id, numbered("EH", spans[i].from), numbered("EH", spans[i].to))))
		case 1:
			withdraw(t, s, store.Documents, 1, spans[i].id)
			spans[i].from, spans[i].to = 1, 0
		}
	}
	probes := []int{0, 999_999}
	for _, sp := range spans {
		probes = append(probes, sp.from, sp.to, max(sp.from-1, 0), min(sp.to+1, 999_999), r.IntN(1_000_000))
	}
	for _, n := range probes {
		var want []string
		for _, sp := range spans {
			if sp.from <= n && n <= sp.to {
				want = append(want, sp.id)
			}
		}
		got := find(t, s, numbered("EH", n))
		slices.Sort(got)
		if !slices.Equal(got, want) && len(got)+len(want) > 0 {
			t.Fatalf("%d: got %v, want %v", n, got, want)
		}
	}
}

func badRanges(t *testing.T, s *store.Store) {
	cases := []struct{ name, from, to string }{
		{"backwards", "EH000010", "EH000009"},
		{"of other letters", "EH000001", "EJ000002"},
		{"of another length", "EH000001", "EH00002"},
		{"without digits at the end", "EH00000A", "EH00000C"},
		{"without a key", "", "EH000002"},
		{"whose end is no number", "EH000001", "?"},
		{"of too many digits", "1000000000000000000", "1000000000000000001"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.Put(t.Context(), in("sltd", blanks("r:1", c.from, c.to)))
			var refused *store.BatchError
			if !errors.As(err, &refused) || !errors.Is(err, store.ErrInvalid) || refused.Rows[0].Field != "document.range_end" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func betterKeys(t *testing.T, s *store.Store) {
	put(t, s, in("un", passport("doc:1", "N0.12345"), blanks("r:1", "EH000100", "EH000199")))
	last := changesAfter(t, s, 0)[1].Seq
	before := get(t, s, store.Documents, "doc:1")

	better := passport("doc:1", "N0.12345")
	better.GetDocument().NumberKey = "12345"
	better.GetDocument().MoreKeys = []string{"N012345"}
	moved := blanks("r:1", "EH000100", "EH000199")
	moved.GetDocument().NumberKey = "EH000150"
	for _, r := range put(t, s, in("un", better, moved)) {
		if r != (store.PutResult{Outcome: store.Unchanged, Version: 1}) {
			t.Errorf("got %v", r)
		}
	}
	for key, want := range map[string]int{"N0.12345": 0, "12345": 1, "N012345": 1, "EH000100": 0, "EH000149": 0, "EH000150": 1, "EH000199": 1} {
		if got := find(t, s, key); len(got) != want {
			t.Errorf("%s finds %v, want %d", key, got, want)
		}
	}
	after := get(t, s, store.Documents, "doc:1")
	if after.Stewardship.Version != 1 || !after.Stewardship.RecordedAt.AsTime().Equal(before.Stewardship.RecordedAt.AsTime()) {
		t.Errorf("another version: %v", after.Stewardship)
	}
	if list := changesAfter(t, s, last); len(list) != 2 {
		t.Errorf("followers see %d changes, want 2", len(list))
	}
	if r := put(t, s, in("un", better, moved)); r[0].Outcome != store.Unchanged {
		t.Errorf("the same again: %v", r)
	}
	if list := changesAfter(t, s, last); len(list) != 2 {
		t.Errorf("the same again: followers see %d changes, want 2", len(list))
	}
}

func tooMany(t *testing.T, s *store.Store) {
	same := sequenceOf(1001, func(i int) *recordv1.Record { return passport(fmt.Sprintf("doc:%d", i), "EH000001") })
	put(t, s, in("sltd", same[:1000]...))
	if got := find(t, s, "EH000001"); len(got) != 1000 {
		t.Fatalf("found %d", len(got))
	}
	put(t, s, in("sltd", same[1000]))
	for _, limit := range []int{0, 1001} {
		if _, err := s.FindDocuments(t.Context(), store.DocumentLookup{Keys: []string{"EH000001"}, Limit: limit}); !errors.Is(err, store.ErrTooMany) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	records, err := s.FindDocuments(t.Context(), store.DocumentLookup{Keys: []string{"EH000001"}, Limit: 5})
	if err != nil || len(records) != 5 {
		t.Errorf("limit 5: %d, %v", len(records), err)
	}
}

package screening_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/match/people"
	"github.com/entente-mesh/entente/node/records"
	"github.com/entente-mesh/entente/node/screening"
	"github.com/entente-mesh/entente/node/store"
	"github.com/entente-mesh/entente/node/vault"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// drawer is a folder with a store, its keys, and a saved index, between one opening and the next.
type drawer struct {
	dir     string
	master  byte
	version string
	files   disk.Files
}

// open is what lies in a drawer, open.
type open struct {
	*drawer
	keys     *vault.Vault
	saved    *screening.Saved
	store    *store.Store
	holdings *screening.Holdings
	log      *bytes.Buffer

	mu    sync.Mutex
	reads []int64 // after which change the store was read
}

// Changes and FindDocuments implement screening.Records.
func (o *open) Changes(ctx context.Context, after int64, limit int, collections ...string) ([]store.Change, error) {
	o.mu.Lock()
	o.reads = append(o.reads, after)
	o.mu.Unlock()
	return o.store.Changes(ctx, after, limit, collections...)
}

func (o *open) FindDocuments(ctx context.Context, l store.DocumentLookup) ([]*recordv1.Record, error) {
	return o.store.FindDocuments(ctx, l)
}

const savedFile, savedKeys = "persons.index", "index.keys"

// open opens it; load reads the index as well.
func (d *drawer) open(t testing.TB) *open {
	t.Helper()
	o := &open{drawer: d, log: &bytes.Buffer{}}
	master := bytes.Repeat([]byte{d.master}, 32)
	log := slog.New(slog.NewTextHandler(o.log, nil))
	var err error
	if o.keys, err = vault.Open(vault.Config{Path: filepath.Join(d.dir, "records.keys"), Master: master, Label: "records"}); err != nil {
		t.Fatal(err)
	}
	o.saved = screening.NewSaved(screening.SavedConfig{
		Path: filepath.Join(d.dir, savedFile), Keys: vault.Config{Path: filepath.Join(d.dir, savedKeys), Master: master, Label: "index"},
		Version: d.version, Files: d.files, Logger: log,
	})
	if o.store, err = store.Open(t.Context(), store.Config{
		Path: filepath.Join(d.dir, "store.db"), Vault: o.saved.Guard(o.keys), LookupKey: master, StateKey: bytes.Repeat([]byte{8}, 32), DocumentKey: match.DocumentKey,
	}); err != nil {
		t.Fatal(err)
	}
	o.holdings = screening.NewHoldings(bgr, o, nil, log)
	o.holdings.SaveIn(o.saved, o.store)
	t.Cleanup(o.close)
	return o
}

func (d *drawer) load(t testing.TB) *open {
	t.Helper()
	o := d.open(t)
	if err := o.holdings.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return o
}

// close leaves the folder as a kill would.
func (o *open) close() { _ = errors.Join(o.store.Close(), o.saved.Close(), o.keys.Close()) }

func (o *open) save(t testing.TB) {
	t.Helper()
	if err := o.holdings.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !o.saved.Whole() {
		t.Fatal("nothing is saved")
	}
}

func (o *open) put(t testing.TB, recs ...*recordv1.Record) {
	t.Helper()
	var puts []store.Put
	for _, r := range recs {
		puts = append(puts, store.Put{Collection: records.Persons, Source: "test", Record: r})
	}
	if _, err := o.store.Put(t.Context(), puts); err != nil {
		t.Fatal(err)
	}
}

// found are the ids of those who are found under a name, with a body.
func (o *open) found(t testing.TB, name string) (ids []string) {
	t.Helper()
	all, err := o.holdings.SearchPersons(t.Context(), &queryv1.PersonQuery{Name: name, BirthDate: "1981-03-04"}, gate.Depth{Most: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.Record.GetPerson() == nil {
			t.Errorf("%s without a body", f.Record.GetRecordId())
		}
		ids = append(ids, f.Record.GetRecordId())
	}
	return ids
}

// fromRecords tells whether the index was read from all records.
func (o *open) fromRecords() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Contains(o.reads, 0)
}

var inventedNames = []string{
	"Zerdalan Ferrandes", "Quistori Halvekin", "Vermondo Brustaldi", "Ontemarr Pelgrino", "Ulvaric Senderov", "Mokarian Wyldebrant",
}

func inventedPerson(i int) *recordv1.Record {
	return person(fmt.Sprintf("p%d", i), inventedNames[i], "1981-03-04")
}

// filled is a drawer with all of them, and a saved index; it is closed.
func filled(t testing.TB) *drawer {
	t.Helper()
	d := &drawer{dir: t.TempDir(), master: 7, version: "1"}
	o := d.load(t)
	for i := range inventedNames {
		o.put(t, inventedPerson(i))
	}
	o.save(t)
	o.close()
	return d
}

func (d *drawer) path(name string) string { return filepath.Join(d.dir, name) }

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// all fails if somebody is not found who should be, or is who should not.
func (o *open) all(t testing.TB, without ...int) {
	t.Helper()
	for i, name := range inventedNames {
		want := []string{fmt.Sprintf("p%d", i)}
		if slices.Contains(without, i) {
			want = nil
		}
		if got := o.found(t, name); !slices.Equal(got, want) {
			t.Errorf("%s: found %q, want %q", name, got, want)
		}
	}
}

func TestStartsFromWhatWasSaved(t *testing.T) {
	d := filled(t)
	for range 2 {
		o := d.load(t)
		if o.fromRecords() || o.log.Len() > 0 {
			t.Errorf("all records were read, after %v: %s", o.reads, o.log)
		}
		o.all(t)
		o.close()
	}
	// What came after it is followed, and saved the next time.
	o := d.open(t)
	late := person("late", "Tervallion Oskarets", "1981-03-04")
	o.put(t, late)
	if err := o.holdings.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := o.found(t, "Tervallion Oskarets"); !slices.Equal(got, []string{"late"}) || o.fromRecords() {
		t.Errorf("found %q, reads %v", got, o.reads)
	}
	before := read(t, d.path(savedFile))
	o.save(t)
	if bytes.Equal(before, read(t, d.path(savedFile))) {
		t.Error("it was not saved again")
	}
	o.close()
	o = d.load(t)
	o.all(t)
	if got := o.found(t, "Tervallion Oskarets"); len(got) != 1 || o.fromRecords() {
		t.Errorf("found %q, reads %v", got, o.reads)
	}
	// As it is saved, it is not saved again.
	before = read(t, d.path(savedFile))
	o.save(t)
	if !bytes.Equal(before, read(t, d.path(savedFile))) {
		t.Error("the same was saved again")
	}
	if info, err := os.Stat(d.path(savedFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestEndedMeansUnreadable: whatever ends a record ends it in the saved index too, before that is
// acknowledged; also a copy of the file is of no use with the keys that remain.
func TestEndedMeansUnreadable(t *testing.T) {
	for name, end := range map[string]func(o *open) error{
		"erased": func(o *open) error {
			_, err := o.store.Erase(t.Context(), records.Persons, "p2")
			return err
		},
		"withdrawn": func(o *open) error {
			_, err := o.store.Withdraw(t.Context(), records.Persons, []string{"p2"})
			return err
		},
	} {
		for _, running := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, loaded %t", name, running), func(t *testing.T) {
				d := filled(t)
				copied := read(t, d.path(savedFile))
				o := d.open(t)
				if running {
					if err := o.holdings.Load(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if err := end(o); err != nil {
					t.Fatal(err)
				}
				if o.saved.Whole() {
					t.Error("it still passes for whole")
				}
				if _, err := os.Stat(d.path(savedFile)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the file is still there: %v", err)
				}
				o.close()
				// Who has a copy of the file, and all keys that remain, reads nothing.
				keys, err := vault.Open(vault.Config{Path: d.path(savedKeys), Master: bytes.Repeat([]byte{d.master}, 32), Label: "index"})
				if err != nil {
					t.Fatal(err)
				}
				for id := range keys.Live() {
					t.Errorf("key %d is not destroyed", id)
				}
				if err := keys.Close(); err != nil {
					t.Fatal(err)
				}
				write(t, d.path(savedFile), copied)
				o = d.load(t)
				o.all(t, 2)
				if !o.fromRecords() {
					t.Error("a saved index was read that holds somebody who is gone")
				}
				o.save(t)
				o.close()
				o = d.load(t)
				o.all(t, 2)
				if o.fromRecords() {
					t.Error("what was saved after it is not read")
				}
			})
		}
	}
}

// TestChangedIsForgotten: what a record said before it was changed is gone from the saved index once
// the node has learned of the change, and nothing else is.
func TestChangedIsForgotten(t *testing.T) {
	for _, running := range []bool{true, false} {
		d := filled(t)
		o := d.open(t)
		if running {
			if err := o.holdings.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		o.put(t, person("p2", "Tervallion Oskarets", "1981-03-04"))
		if err := o.holdings.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.all(t, 2)
		if got := o.found(t, "Tervallion Oskarets"); !slices.Equal(got, []string{"p2"}) || o.saved.Whole() {
			t.Errorf("found %q; saved still: %t", got, o.saved.Whole())
		}
		if _, err := os.Stat(d.path(savedFile)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
		o.close()
		o = d.load(t)
		o.all(t, 2)
	}
}

// TestSavedWhileItChanges has one write, one save, one erase and some search, and looks whether what
// was saved last is what is there.
func TestSavedWhileItChanges(t *testing.T) {
	d := &drawer{dir: t.TempDir(), master: 7}
	o := d.load(t)
	var all sync.WaitGroup
	stop := make(chan struct{})
	running := func(do func(i int)) {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					do(i)
				}
			}
		})
	}
	running(func(int) {
		if err := o.holdings.Save(t.Context()); err != nil {
			t.Error(err)
		}
	})
	running(func(int) { o.found(t, inventedNames[0]) })
	running(func(int) {
		if err := o.holdings.Load(t.Context()); err != nil {
			t.Error(err)
		}
	})
	for i := range 60 {
		o.put(t, person(fmt.Sprintf("w%d", i), "Tervallion Oskarets", "1981-03-04"))
		if i%3 == 0 {
			if _, err := o.store.Erase(t.Context(), records.Persons, fmt.Sprintf("w%d", i)); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	all.Wait()
	o.save(t)
	o.close()
	o = d.load(t)
	if o.holdings.Persons() != 40 || o.fromRecords() {
		t.Errorf("%d persons, want 40; reads after %v", o.holdings.Persons(), o.reads)
	}
}

// BenchmarkStart is how long the index takes from all records, and from where it was saved.
//
//	go test ./node/screening -run xxx -bench Start -benchtime 3x
func BenchmarkStart(b *testing.B) {
	d := &drawer{dir: b.TempDir(), master: 7}
	o := d.open(b)
	const persons = 100_000
	var batch []*recordv1.Record
	for r := range inventedRecords(persons) {
		if batch = append(batch, r); len(batch) == 2000 {
			o.put(b, batch...)
			batch = nil
		}
	}
	o.put(b, batch...)
	start := func(h *screening.Holdings) {
		if err := h.Load(b.Context()); err != nil {
			b.Fatal(err)
		}
		if h.Persons() != persons {
			b.Fatalf("%d persons", h.Persons())
		}
	}
	if err := o.holdings.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	o.save(b)
	b.Run("records", func(b *testing.B) {
		for b.Loop() {
			start(screening.NewHoldings(bgr, o.store, nil, nil))
		}
	})
	b.Run("saved", func(b *testing.B) {
		for b.Loop() {
			h := screening.NewHoldings(bgr, o, nil, nil)
			h.SaveIn(o.saved, o.store)
			start(h)
		}
		if info, err := os.Stat(d.path(savedFile)); err == nil {
			b.ReportMetric(float64(info.Size())/persons, "B/person")
		}
	})
	b.Run("save", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			if err := o.saved.Forget(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			o.save(b)
		}
	})
}

// inventedRecords are persons of all the world, with two names and some words each.
func inventedRecords(n int) iter.Seq[*recordv1.Record] {
	return func(yield func(*recordv1.Record) bool) {
		world, regions := people.NewPopulation(21), people.Regions()
		for i := range n {
			t := world.From(regions[i%len(regions)])
			r := person(fmt.Sprintf("un:%07d", i), t.Given+" "+t.Surname, t.Born)
			r.GetPerson().Names = append(r.GetPerson().Names, person("", t.Surname, "").GetPerson().GetNames()...)
			r.GetPerson().Remarks = "Last seen where the road meets the river; said to travel with two others, and to know the pass"
			if !yield(r) {
				return
			}
		}
	}
}

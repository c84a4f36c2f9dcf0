package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/entente-mesh/entente/node/store"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
)

// blankRange is a range of stolen blanks.
func blankRange(id, from, to string) store.Put {
	p := stolenPassport(1)
	p.Record.RecordId = id
	d := p.Record.GetDocument()
	d.Number, d.NumberKey, d.RangeEnd = from, from, to
	return p
}

// furnished is a store with some of everything, closed.
func furnished(t *testing.T, path string, documents int) {
	t.Helper()
	s := open(t, path)
	puts := []store.Put{blankRange("blank", "EH000100", "EH000999"), suspect(1, "Samir Aoun"), suspect(2, "Rima Khoury"), suspect(3, "Nadia Haddad")}
	for i := range documents {
		puts = append(puts, stolenPassport(i))
	}
	if _, err := s.Put(t.Context(), puts); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Withdraw(t.Context(), store.Persons, []string{"p:2"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Erase(t.Context(), store.Persons, "p:3"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"enumeration", "clock"} {
		if err := s.PutState(t.Context(), "alarms", key, []byte("since Tuesday")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Check(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Check must see what is wrong: each tampering breaks another of its promises.
func TestCheckSees(t *testing.T) {
	cases := map[string]string{
		"lost record":          `DELETE FROM records WHERE seq = 1`,
		"lost id":              `DELETE FROM record_ids WHERE seq = 1`,
		"another id":           `UPDATE record_ids SET id_hash = zeroblob(16) WHERE seq = 1`,
		"key of nothing":       `INSERT INTO document_keys VALUES (zeroblob(16), 4711)`,
		"key of another":       `INSERT INTO document_keys SELECT key_hash, 1 FROM document_keys WHERE seq = 9`,
		"lost key":             `DELETE FROM document_keys WHERE seq = 9`,
		"key of another form":  `INSERT INTO document_keys VALUES ('EH000100', 9)`,
		"range of nothing":     `INSERT INTO document_ranges VALUES (zeroblob(16), 4711)`,
		"lost block of range":  `DELETE FROM document_ranges WHERE block_hash = (SELECT MIN(block_hash) FROM document_ranges)`,
		"sequence set back":    `UPDATE sequences SET value = 3 WHERE name = 'records'`,
		"body of another":      `UPDATE records SET body = (SELECT body FROM records WHERE seq = 9) WHERE seq = 8`,
		"version":              `UPDATE records SET version = 2 WHERE seq = 9`,
		"digest":               `UPDATE records SET digest = zeroblob(24) WHERE seq = 9`,
		"time":                 `UPDATE records SET changed_at = changed_at + 1 WHERE seq = 9`,
		"erasure undone":       `UPDATE records SET erased_at = NULL WHERE erased_at IS NOT NULL`,
		"withdrawn by hand":    `UPDATE records SET withdrawn_at = 1, digest = NULL, key_id = NULL WHERE seq = 9`,
		"schema":               `CREATE TABLE guests (name TEXT)`,
		"record of no source":  `UPDATE record_counts SET source_no = 9 WHERE source_no = 1`,
		"record under another": `UPDATE records SET key_id = (SELECT MIN(key_id) FROM record_keys) WHERE key_id <> (SELECT MIN(key_id) FROM record_keys)`,
	}
	for name, damage := range cases {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			furnished(t, path, 20)
			tamper(t, path, damage)
			if err := open(t, path).Check(t.Context(), nil); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What is small is compared before the store is used.
func TestOpenSees(t *testing.T) {
	cases := map[string]string{
		"count of records":   `UPDATE record_counts SET live = live + 1`,
		"name of a source":   `UPDATE sources SET name = 'other' WHERE name = 'sltd'`,
		"use of a key":       `UPDATE record_keys SET live = live + 1`,
		"id of a key":        `UPDATE record_keys SET key_id = 4711 WHERE key_id = (SELECT MAX(key_id) FROM record_keys)`,
		"lost use of a key":  `DELETE FROM record_keys WHERE key_id = (SELECT MAX(key_id) FROM record_keys)`,
		"state":              `UPDATE state SET value = (SELECT value FROM state ORDER BY key_hash LIMIT 1)`,
		"state of a room":    `UPDATE state SET room = 'limits'`,
		"transactions count": `UPDATE sequences SET value = value - 1 WHERE name = 'commits'`,
	}
	for name, damage := range cases {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			furnished(t, path, 3)
			tamper(t, path, damage)
			refused(t, path)
			// The keys are there as before: nothing was destroyed on the word of a damaged table.
			before, err := os.ReadFile(path + ".vault")
			if err != nil {
				t.Fatal(err)
			}
			refused(t, path)
			if after, err := os.ReadFile(path + ".vault"); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the vault was changed, %v", err)
			}
		})
	}
}

func refused(t *testing.T, path string) {
	t.Helper()
	s, err := store.Open(t.Context(), config(t, path))
	if err == nil {
		s.Close()
	}
	if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrNotDatabase) {
		t.Errorf("got %v", err)
	}
}

// everything is all that a store says.
type everything struct {
	Changes []store.Change
	Found   map[string][]*recordv1.Record
	State   map[string][]byte
	Keys    int
	Counts  [2]uint64
}

func everythingIn(t *testing.T, s *store.Store, documents int) (e everything, err error) {
	ctx := t.Context()
	var errs [4]error
	e.Changes, errs[0] = s.Changes(ctx, 0, 1000)
	e.State, errs[1] = s.ListState(ctx, "alarms")
	e.Counts[0], errs[2] = s.Count(ctx, store.Persons)
	e.Counts[1], errs[3] = s.Count(ctx, store.Documents)
	if err := errors.Join(errs[:]...); err != nil {
		return e, err
	}
	e.Found = map[string][]*recordv1.Record{}
	questions := []string{"EH000100", "EH000555", "EH001000", "ZZ1"}
	for i := range documents {
		questions = append(questions, stolenPassport(i).Record.GetDocument().NumberKey)
	}
	for _, q := range questions {
		if e.Found[q], err = s.FindDocuments(ctx, store.DocumentLookup{Keys: []string{q}}); err != nil {
			return e, err
		}
	}
	for _, err := range s.SourceKeys(ctx, store.Documents, "sltd") {
		if err != nil {
			return e, err
		}
		e.Keys++
	}
	return e, nil
}

// TestFlippedBits flips one bit at a time in the database: either the store refuses to open, or
// Check names it, or it is of no matter: the store says what it said before.
func TestFlippedBits(t *testing.T) {
	const documents = 30
	path := newPath(t)
	furnished(t, path, documents)
	files := map[string][]byte{}
	for _, suffix := range []string{"", ".mark", ".vault", ".vault.mark"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		files[suffix] = b
	}
	s := open(t, path)
	want, err := everythingIn(t, s, documents)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	flips := 240
	if testing.Short() {
		flips = 60
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	refused, named, harmless := 0, 0, 0
	for i := range flips {
		suffix := ""
		switch i % 20 {
		case 17:
			suffix = ".vault.mark"
		case 18:
			suffix = ".vault"
		case 19:
			suffix = ".mark"
		}
		at, bit := random.IntN(len(files[suffix])), byte(1)<<random.IntN(8)
		if i < 100 && suffix == "" {
			at = i // the header, byte by byte
		}
		for suffix, b := range files {
			if err := os.WriteFile(path+suffix, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		flipped := bytes.Clone(files[suffix])
		flipped[at] ^= bit
		if err := os.WriteFile(path+suffix, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		c, v, err := configOf(path)
		if err != nil {
			refused++ // the vault refuses
			continue
		}
		s, err := store.Open(t.Context(), c)
		if err != nil {
			refused++
			v.Close()
			continue
		}
		if err := s.Check(t.Context(), nil); err != nil {
			named++
		} else if got, err := everythingIn(t, s, documents); err != nil {
			t.Errorf("byte %d of the file%s, bit %b: the check saw nothing, but %v", at, suffix, bit, err)
		} else if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("byte %d of the file%s, bit %b: the check saw nothing, but the store says something else:\n%s", at, suffix, bit, diff)
		} else {
			harmless++
		}
		s.Close()
		v.Close()
	}
	t.Logf("%d refused to open, %d named, %d of no matter", refused, named, harmless)
}

// TestTruncated cuts each file at several places.
func TestTruncated(t *testing.T) {
	for _, suffix := range []string{"", ".mark", ".vault", ".vault.mark"} {
		for _, keep := range []float64{0, 0.1, 0.5, 0.99} {
			t.Run(fmt.Sprintf("%s to %v", suffix, keep), func(t *testing.T) {
				path := newPath(t)
				furnished(t, path, 100)
				info, err := os.Stat(path + suffix)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(path+suffix, int64(float64(info.Size())*keep)); err != nil {
					t.Fatal(err)
				}
				c, v, err := configOf(path)
				if err != nil {
					return // the vault itself refuses
				}
				defer v.Close()
				s, err := store.Open(t.Context(), c)
				if err == nil && suffix == ".vault" { // a slot that is cut is like one that is flipped
					err = s.Check(t.Context(), nil)
				}
				if s != nil {
					s.Close()
				}
				if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrNotDatabase) {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// TestDamagedWAL damages what a killed process left: the engine would take it for a shorter one.
func TestDamagedWAL(t *testing.T) {
	source := newPath(t)
	s := open(t, source)
	for i := range 20 {
		if _, err := s.Put(t.Context(), []store.Put{stolenPassport(i)}); err != nil {
			t.Fatal(err)
		}
	}
	// What lies there now is what a kill would leave.
	left := t.TempDir()
	copyFolder(t, filepath.Dir(source), left)
	s.Close()
	path := filepath.Join(left, "store.db")
	wal, err := os.ReadFile(path + "-wal")
	if err != nil || len(wal) < 10_000 {
		t.Fatalf("%d bytes, %v", len(wal), err)
	}
	for name, spoiled := range map[string][]byte{
		"whole":   wal,
		"cut":     wal[:len(wal)-2000],
		"gone":    nil,
		"flipped": append(append(bytes.Clone(wal[:len(wal)/2]), wal[len(wal)/2]^1), wal[len(wal)/2+1:]...),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			copyFolder(t, left, dir)
			path := filepath.Join(dir, "store.db")
			if err := os.WriteFile(path+"-wal", spoiled, 0o600); err != nil {
				t.Fatal(err)
			}
			if name != "whole" {
				refused(t, path)
				return
			}
			if n, err := open(t, path).Count(t.Context(), store.Documents); n != 20 || err != nil {
				t.Errorf("%d documents, %v", n, err)
			}
		})
	}
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, d.Name()), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamagedPage overwrites a page in the middle.
func TestDamagedPage(t *testing.T) {
	path := newPath(t)
	furnished(t, path, 2000)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xAA}, 4096), info.Size()/4096/2*4096); err != nil {
		t.Fatal(err)
	}
	f.Close()
	s, err := store.Open(t.Context(), config(t, path))
	if err == nil {
		err = s.Check(t.Context(), nil)
		s.Close()
	}
	if !errors.Is(err, store.ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

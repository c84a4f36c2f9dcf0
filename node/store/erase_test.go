package store_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/entente-mesh/entente/node/store"
	"github.com/entente-mesh/entente/node/vault"
)

// liveKeys are the ids of the vault's keys.
func liveKeys(t *testing.T, v *vault.Vault) (ids []uint64) {
	t.Helper()
	for id, err := range v.Live() {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func opened(t *testing.T, path string) (*store.Store, *vault.Vault) {
	t.Helper()
	c, v, err := configOf(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); v.Close() })
	return s, v
}

// TestKeysGoWithTheirRecords follows the keys of a store: one a person, one an import of documents,
// none for what is gone.
func TestKeysGoWithTheirRecords(t *testing.T) {
	path := newPath(t)
	s, v := opened(t, path)
	want := func(what string, n int) {
		t.Helper()
		if got := len(liveKeys(t, v)); got != n {
			t.Errorf("%s: %d keys, want %d", what, got, n)
		}
	}
	put := func(puts ...store.Put) {
		t.Helper()
		if _, err := s.Put(t.Context(), puts); err != nil {
			t.Fatal(err)
		}
	}
	put(suspect(1, "Samir Aoun"), suspect(2, "Rima Khoury"), stolenPassport(1), stolenPassport(2))
	want("two persons, two documents", 3)
	put(suspect(1, "Samir Aoun"), stolenPassport(1))
	want("the same again", 3)
	put(suspect(1, "Samir Aoun al-Basri"))
	want("a person changed", 3)
	remarked := stolenPassport(1)
	remarked.Record.GetDocument().Remarks = "carried by a tall man"
	put(remarked)
	want("a document with words has a key of its own", 4)
	put(stolenPassport(1))
	want("and keeps it", 4)
	if _, err := s.Rehearse(t.Context(), []store.Put{suspect(9, "Nobody"), stolenPassport(9)}); err != nil {
		t.Fatal(err)
	}
	want("a rehearsal", 4)
	other := suspect(1, "Another")
	other.Source = "elsewhere"
	if _, err := s.Put(t.Context(), []store.Put{suspect(8, "Nobody"), other}); !errors.Is(err, store.ErrOtherSource) {
		t.Fatal(err)
	}
	want("a refused batch", 4)
	if _, err := s.Erase(t.Context(), store.Persons, "p:1"); err != nil {
		t.Fatal(err)
	}
	want("a person erased", 3)
	ids := []string{stolenPassport(1).Record.RecordId, stolenPassport(2).Record.RecordId}
	if _, err := s.Withdraw(t.Context(), store.Documents, ids); err != nil {
		t.Fatal(err)
	}
	want("the last document of an import withdrawn", 1)
	if _, err := v.New(3); err != nil { // a crash between key and body
		t.Fatal(err)
	}
	s.Close()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	s, v = opened(t, path)
	want("orphans swept", 1)
	if r, err := s.Get(t.Context(), store.Persons, "p:2"); err != nil || r.RecordId != "p:2" {
		t.Errorf("%v, %v", r, err)
	}
}

// TestErasedStaysErased brings back the database of before the erasure: the key is gone, so the
// record is erased again, in every table.
func TestErasedStaysErased(t *testing.T) {
	path := newPath(t)
	s, v := opened(t, path)
	document := stolenPassport(1)
	document.Record.GetDocument().PersonRef = "p:1"
	if _, err := s.Put(t.Context(), []store.Put{suspect(1, "Samir Aoun"), suspect(2, "Rima Khoury"), document, stolenPassport(2)}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	backup := map[string][]byte{}
	for _, suffix := range []string{"", ".mark"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		backup[path+suffix] = b
	}
	v.Close()
	s, v = opened(t, path)
	for collection, id := range map[string]string{store.Persons: "p:1", store.Documents: document.Record.RecordId} {
		if _, err := s.Erase(t.Context(), collection, id); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	v.Close()
	for name, b := range backup {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, path) // nobody has said that the older database is meant
	removeMarks(t, path)
	s, _ = opened(t, path)
	if _, err := s.Get(t.Context(), store.Persons, "p:1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if got, err := s.FindDocuments(t.Context(), store.DocumentLookup{Keys: []string{document.Record.GetDocument().NumberKey}}); len(got) > 0 || err != nil {
		t.Errorf("found %v, %v", got, err)
	}
	if n, err := s.Count(t.Context(), store.Persons); n != 1 || err != nil {
		t.Errorf("%d persons, %v", n, err)
	}
	if err := s.Check(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// TestAnotherVault: a store whose keys are not there is not opened, and nothing of it is erased.
func TestAnotherVault(t *testing.T) {
	path := newPath(t)
	furnished(t, path, 3)
	kept, err := os.ReadFile(path + ".vault")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path + ".vault"); err != nil {
		t.Fatal(err)
	}
	refused(t, path)
	if err := os.WriteFile(path+".vault", kept, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if err := errors.Join(s.Check(t.Context(), nil), s.Close()); err != nil {
		t.Error(err)
	}
	// And a new store does not sweep an old one's keys.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	removeMarks(t, path)
	refused(t, path)
	if after, err := os.ReadFile(path + ".vault"); err != nil || !bytes.Equal(after, kept) {
		t.Errorf("the vault was changed, %v", err)
	}
}

// TestNothingReadable looks for what was kept in every byte on the disk, before and after it is
// withdrawn, erased, and the store closed.
func TestNothingReadable(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	person := suspect(1, "Zebulon Quarterstaff")
	person.Record.RecordId = "p:zebulon-quarterstaff"
	document := stolenPassport(1)
	number := document.Record.GetDocument().NumberKey
	document.Record.RecordId = "doc:" + number
	blank := blankRange("doc:EH7771000", "EH7771000", "EH7771999")
	if _, err := s.Put(t.Context(), []store.Put{person, document, blank, stolenPassport(2)}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutState(t.Context(), "alarms", "Quarterstaff asked for "+number, []byte("Zebulon")); err != nil {
		t.Fatal(err)
	}
	look := func(when string) {
		t.Helper()
		files, err := filepath.Glob(path + "*")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []string{"Quarterstaff", "quarterstaff", "ebulon", number, "EH7771"} {
				if bytes.Contains(b, []byte(s)) {
					t.Errorf("%s: %s holds %q", when, filepath.Base(f), s)
				}
			}
		}
	}
	look("kept")
	if _, err := s.Withdraw(t.Context(), store.Documents, []string{document.Record.RecordId}); err != nil {
		t.Fatal(err)
	}
	look("withdrawn")
	hash := s.KeyOf(store.Persons, person.Record.RecordId)
	body := sealedBody(t, path, hash)
	if _, err := s.Erase(t.Context(), store.Persons, person.Record.RecordId); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Erase(t.Context(), store.Documents, blank.Record.RecordId); err != nil {
		t.Fatal(err)
	}
	look("erased")
	for _, f := range []string{path, path + "-wal"} {
		b, err := os.ReadFile(f)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if bytes.Contains(b, body[:32]) {
			t.Errorf("%s holds the sealed body of what was erased", filepath.Base(f))
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	look("closed")
}

// sealedBody reads a body as it lies in the file.
func sealedBody(t *testing.T, path string, hash store.RecordKey) (body []byte) {
	t.Helper()
	db := raw(t, path)
	if err := db.QueryRow(`SELECT body FROM records WHERE id_hash = $1`, hash[:]).Scan(&body); err != nil {
		t.Fatal(err)
	}
	db.Close()
	return body
}

// TestEraseWhileOthersWork erases while others check the whole store, read and write.
func TestEraseWhileOthersWork(t *testing.T) {
	s := open(t, newPath(t))
	var puts []store.Put
	for i := range 40 {
		puts = append(puts, suspect(i, "Invented Person"))
	}
	for i := range 500 {
		puts = append(puts, stolenPassport(i))
	}
	if _, err := s.Put(t.Context(), puts); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	work := func(do func() error) {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := do(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	work(func() error { return s.Check(t.Context(), nil) })
	for range 3 {
		work(func() error {
			_, err := s.List(t.Context(), store.Persons, "", "", 1000)
			return err
		})
	}
	work(func() error {
		_, err := s.Changes(t.Context(), 0, 1000)
		return err
	})
	work(func() error { return s.PutState(t.Context(), "limits", "x", nil) })
	for i := range 40 {
		if _, err := s.Erase(t.Context(), store.Persons, puts[i].Record.RecordId); err != nil {
			t.Errorf("erase %d: %v", i, err)
		}
	}
	stop()
	wg.Wait()
	if n, err := s.Count(t.Context(), store.Persons); n != 0 || err != nil {
		t.Errorf("%d persons, %v", n, err)
	}
	list, err := s.List(t.Context(), store.Persons, "", "", 10)
	if err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
}

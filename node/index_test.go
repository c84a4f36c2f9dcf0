package node_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// TestIndexIsSavedAndErased: a node that is stopped leaves its index of persons behind, sealed; the
// next start reads it; and who is erased is in it no longer.
func TestIndexIsSavedAndErased(t *testing.T) {
	m := nodetest.FoundWith(t, nodetest.Setup{Direct: true}, "BEL")
	bel := m.Bureau("BEL")
	bel.Create(nodetest.Person("p:1", "Vandersmissen", "Yorick", "1990-07-21"), nodetest.Person("p:2", "Quentinsburyh", "Yorick", "1990-07-21"))
	index := filepath.Join(bel.Dir, "store", "persons.index")
	hits := func(name string, want int) {
		t.Helper()
		if got := len(bel.Check(nodetest.CheckPerson(name, "Yorick", "1990-07-21")).GetHits()); got != want {
			t.Errorf("%s: %d hits, want %d", name, got, want)
		}
	}
	hits("Vandersmissen", 1)
	bel.Stop()
	before, err := os.ReadFile(index)
	if err != nil {
		t.Fatalf("a clean stop saves the index: %v", err)
	}
	// No file of the folder says a name, nor how one sounds.
	err = filepath.WalkDir(bel.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, name := range []string{"vandersmissen", "quentinsburyh", "fntrsmsn"} {
			if bytes.Contains(bytes.ToLower(b), []byte(name)) {
				t.Errorf("%s holds %s", path, name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	bel.MustStart()
	hits("Vandersmissen", 1)
	for _, line := range bel.Log.Lines() {
		if strings.Contains(line, "index of persons") {
			t.Errorf("the log says %q", line)
		}
	}
	rosa, stijn := bel.ClientNamed(identity.RoleRecordsOfficer, "rosa"), bel.ClientNamed(identity.RoleRecordsOfficer, "stijn")
	erase := func() error {
		_, err := recordv1.NewRecordServiceClient(rosa).Erase(t.Context(), &recordv1.EraseRequest{Collection: nodetest.Persons, RecordId: "p:1", Reason: "court order 7"})
		return err
	}
	err = erase()
	is(t, "rosa alone", err, fault.SecondPersonNeeded)
	if _, err := os.Stat(index); err != nil {
		t.Errorf("the saved index is gone before anybody is: %v", err)
	}
	if _, err := adminv1.NewAdminServiceClient(stijn).ApproveAct(t.Context(), &adminv1.ApproveActRequest{ActId: fault.Value(err, fault.ActIDKey)}); err != nil {
		t.Fatal(err)
	}
	if err := erase(); err != nil {
		t.Fatal(err)
	}
	// Another may be there by now: the node saves it anew as it starts.
	if now, err := os.ReadFile(index); bytes.Equal(now, before) || err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an erasure was acknowledged, and the index saved before it is there: %v", err)
	}
	bel.Stop()
	after, err := os.ReadFile(index)
	if err != nil || bytes.Equal(before, after) {
		t.Fatalf("the index is not saved again: %v", err)
	}
	// A copy of the older one, in its place, is not read.
	if err := os.WriteFile(index, before, 0o600); err != nil {
		t.Fatal(err)
	}
	bel.MustStart()
	hits("Vandersmissen", 0)
	hits("Quentinsburyh", 1)
}

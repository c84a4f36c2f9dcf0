package policies_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/policies"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

const (
	esp = "ESP"
	fed = "demo.entente"

	border      = recordv1.Purpose_PURPOSE_BORDER_CONTROL
	policeCheck = recordv1.Purpose_PURPOSE_POLICE_CHECK
	visa        = recordv1.Purpose_PURPOSE_VISA
)

func TestWriteDefaults(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "policies")
	if err := policies.WriteDefaults(dir, esp, fed); err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() == 0 {
		t.Error("a bureau that begins without policies")
	}
	if text, err := os.ReadFile(filepath.Join(dir, policy.SchemaFile)); err != nil || string(text) != policy.Schema() {
		t.Errorf("the vocabulary is not there to be read: %v", err)
	}
	// What a country wrote stays.
	if err := policies.WriteDefaults(dir, esp, fed); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("written over: %v", err)
	}
	for _, file := range set.Sources() {
		if strings.Contains(file.Text, "{{") {
			t.Errorf("%s: a place was left open", file.File)
		}
	}
	if err := policies.WriteDefaults(t.TempDir(), "es", fed); err == nil {
		t.Error("a bureau id that is none was taken")
	}
}

func TestWritePermit(t *testing.T) {
	dir := t.TempDir()
	if err := policies.WriteDefaults(dir, esp, fed); err != nil {
		t.Fatal(err)
	}
	options := policy.PermitOptions{Self: esp, Bureau: "BGR", Collection: policy.CollectionPersons, Purposes: []recordv1.Purpose{policeCheck, border, border}}
	name, text, err := policies.WritePermit(dir, options)
	if err != nil {
		t.Fatal(err)
	}
	first, err := policy.Load(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	// The same again, in whatever order the purposes come, changes nothing.
	options.Purposes = []recordv1.Purpose{border, policeCheck}
	_, again, err := policies.WritePermit(dir, options)
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("written anew: %v\n%s", err, again)
	}
	second, err := policy.Load(os.DirFS(dir))
	if err != nil || first.Version() != second.Version() {
		t.Errorf("versions %s and %s, %v", first.Version(), second.Version(), err)
	}
	onDisk, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || !bytes.Equal(onDisk, text) {
		t.Errorf("on disk: %v", err)
	}
	// Other purposes take its place.
	options.Purposes = []recordv1.Purpose{visa}
	if _, _, err := policies.WritePermit(dir, options); err != nil {
		t.Fatal(err)
	}
	third, err := policy.Load(os.DirFS(dir))
	if err != nil || third.Len() != first.Len() {
		t.Fatalf("%d policies, then %d: %v", first.Len(), third.Len(), err)
	}
	if third.Answer(policy.AnswerFacts{Self: esp, From: "BGR", Collection: policy.CollectionPersons, Purpose: border, Now: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)}).Allow {
		t.Error("the old purpose is still permitted")
	}
	// Nothing is left over.
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("left over: %s", e.Name())
		}
	}

	// A folder that does not load is not made worse.
	if err := os.WriteFile(filepath.Join(dir, "bad.cedar"), []byte(`@id("permit-LBN-persons-ask/ask") forbid (principal, action, resource);`), 0o600); err != nil {
		t.Fatal(err)
	}
	options.Bureau = "LBN"
	name, _, err = policies.WritePermit(dir, options)
	if err == nil || !strings.Contains(err.Error(), "is taken already by bad.cedar:1") {
		t.Errorf("%s: %v", name, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "permit-LBN-persons-ask.cedar")); !os.IsNotExist(err) {
		t.Errorf("written all the same: %v", err)
	}
}

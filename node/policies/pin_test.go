package policies_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/policies"
)

// state is the durable state: what is in it has been written.
type state struct {
	rows   map[string][]byte
	broken error
}

func (s *state) PutState(_ context.Context, room, key string, value []byte) error {
	if s.broken == nil {
		s.rows[room+"/"+key] = bytes.Clone(value)
	}
	return s.broken
}

func (s *state) GetState(_ context.Context, room, key string) ([]byte, bool, error) {
	value, found := s.rows[room+"/"+key]
	return bytes.Clone(value), found, s.broken
}

// defaults is a bureau's policy folder on disk.
func defaults(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "policies")
	if err := policies.WriteDefaults(dir, "ESP", "demo.entente"); err != nil {
		t.Fatal(err)
	}
	return dir
}

func versionOf(t *testing.T, folder fs.FS) string {
	t.Helper()
	set, err := policy.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	return set.Version()
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestThePinOutlivesTheFolder(t *testing.T) {
	dir := defaults(t)
	write(t, dir, "communities.yaml", "benelux: [BEL, NLD, LUX]\n")
	write(t, dir, "treaties/france.cedar", `@id("france") permit (principal in Bureau::"FRA", action == Action::"answer", resource);`)
	approved := versionOf(t, os.DirFS(dir))
	s := &state{rows: map[string][]byte{}}
	pin := policies.NewPin(s)
	if _, _, err := pin.Load(t.Context()); !errors.Is(err, policies.ErrNoPin) {
		t.Fatalf("nothing was pinned: %v", err)
	}
	if _, err := pin.Differs(t.Context(), os.DirFS(dir)); !errors.Is(err, policies.ErrNoPin) {
		t.Fatalf("nothing was pinned: %v", err)
	}
	if version, err := pin.Save(t.Context(), os.DirFS(dir)); err != nil || version != approved {
		t.Fatalf("saved %s, %v, want %s", version, err, approved)
	}
	differs := func() bool {
		t.Helper()
		d, err := pin.Differs(t.Context(), os.DirFS(dir))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	write(t, dir, "notes.txt", "not a policy")
	write(t, dir, ".draft.cedar", "an editor's own")
	if differs() {
		t.Error("what is no policy makes a difference")
	}
	for _, c := range []struct {
		name   string
		change func()
	}{
		{"one line more", func() {
			f := filepath.Join(dir, "check.cedar")
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "check.cedar", string(b)+"\n")
		}},
		{"a file more", func() {
			write(t, dir, "zz.cedar", `@id("zz") permit (principal, action == Action::"answer", resource);`)
		}},
		{"a community", func() { write(t, dir, "communities.yaml", "benelux: [BEL, NLD]\n") }},
		{"no file", func() { _ = os.Remove(filepath.Join(dir, "treaties", "france.cedar")) }},
		{"an empty folder", func() { _ = os.RemoveAll(dir); _ = os.Mkdir(dir, 0o700) }},
	} {
		c.change()
		if !differs() {
			t.Errorf("%s makes no difference", c.name)
		}
		folder, version, err := policies.NewPin(s).Load(t.Context()) // as after a restart
		if err != nil || version != approved || versionOf(t, folder) != approved {
			t.Errorf("%s: the pin is of version %s, %v", c.name, version, err)
		}
	}
}

func TestWhatDoesNotLoadIsNotPinned(t *testing.T) {
	s := &state{rows: map[string][]byte{}}
	pin := policies.NewPin(s)
	dir := defaults(t)
	if _, err := pin.Save(t.Context(), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(s.rows["pins/policies"])
	write(t, dir, "broken.cedar", "permit everything")
	if _, err := pin.Save(t.Context(), os.DirFS(dir)); err == nil || !strings.Contains(err.Error(), "broken.cedar") {
		t.Errorf("pinned what does not load: %v", err)
	}
	if _, err := pin.Save(t.Context(), os.DirFS(filepath.Join(dir, "nowhere"))); err == nil {
		t.Error("pinned a folder that is not there")
	}
	if _, err := pin.Save(t.Context(), fstest.MapFS{"odd.cedar": {Mode: fs.ModeNamedPipe}}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("pinned a pipe: %v", err)
	}
	if _, err := pin.Save(t.Context(), fstest.MapFS{"huge.cedar": {Data: make([]byte, 17<<20)}}); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("pinned a huge folder: %v", err)
	}
	if !bytes.Equal(before, s.rows["pins/policies"]) {
		t.Error("the pin changed")
	}
	s.broken = errors.New("disk full")
	if _, err := pin.Save(t.Context(), fstest.MapFS{}); !errors.Is(err, s.broken) {
		t.Errorf("saved: %v", err)
	}
}

func TestADamagedPinIsNotRun(t *testing.T) {
	s := &state{rows: map[string][]byte{}}
	pin := policies.NewPin(s)
	if _, err := pin.Save(t.Context(), os.DirFS(defaults(t))); err != nil {
		t.Fatal(err)
	}
	good := s.rows["pins/policies"]
	step := len(good)/200 + 1
	for i := 0; i < len(good); i += step {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		s.rows["pins/policies"] = bad
		if _, _, err := pin.Load(t.Context()); !errors.Is(err, policies.ErrPinDamaged) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
		s.rows["pins/policies"] = good[:i]
		if _, _, err := pin.Load(t.Context()); !errors.Is(err, policies.ErrPinDamaged) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

// TestASnapshotStays: what was approved is what is saved and put in force.
func TestASnapshotStays(t *testing.T) {
	dir := defaults(t)
	before := versionOf(t, os.DirFS(dir))
	snapshot, err := policies.Snapshot(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "zz.cedar", `@id("zz") permit (principal, action == Action::"answer", resource);`)
	if got := versionOf(t, snapshot); got != before {
		t.Errorf("the snapshot is of version %s, was %s", got, before)
	}
	version, err := policies.NewPin(&state{rows: map[string][]byte{}}).Save(t.Context(), snapshot)
	if err != nil || version != before {
		t.Errorf("pinned %s, %v", version, err)
	}
}

// FuzzPin: whatever lies in the state, loading it neither panics nor passes for a pin.
func FuzzPin(f *testing.F) {
	s := &state{rows: map[string][]byte{}}
	if _, err := policies.NewPin(s).Save(context.Background(), fstest.MapFS{}); err != nil {
		f.Fatal(err)
	}
	f.Add(s.rows["pins/policies"])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &state{rows: map[string][]byte{"pins/policies": b}}
		folder, version, err := policies.NewPin(s).Load(t.Context())
		if err == nil && (folder == nil || len(version) != 64) {
			t.Errorf("a pin of version %q", version)
		}
	})
}

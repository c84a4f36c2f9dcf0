//go:build unix

package service_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/entente-mesh/entente/pki/signing"
	"github.com/entente-mesh/entente/pki/signing/remote"
	"github.com/entente-mesh/entente/pki/signing/service"
)

// keysOf makes a node's keys folder.
func keysOf(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{service.MessageKeyFile, service.LogKeyFile} {
		if err := signing.WriteKey(filepath.Join(dir, name), must[ed25519.PrivateKey](t)(signing.GenerateKey(nil))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	for _, e := range must[[]os.DirEntry](t)(os.ReadDir(dir)) {
		out = append(out, e.Name())
	}
	return out
}

// TestSplit: a node that has signed checkpoints itself gives its keys to a signer, which knows
// what was signed.
func TestSplit(t *testing.T) {
	keys := keysOf(t)
	message := must[ed25519.PrivateKey](t)(signing.ReadKey(filepath.Join(keys, service.MessageKeyFile)))
	logKey := must[ed25519.PrivateKey](t)(signing.ReadKey(filepath.Join(keys, service.LogKeyFile)))
	c := signing.LogConfig{Federation: fed, Bureau: "BEL", Private: logKey, Replicas: []string{"1"}, State: filepath.Join(keys, service.LogStateFile)}
	if err := signing.NewLogState(c.State); err != nil {
		t.Fatal(err)
	}
	h := grown(t, "true", 9)
	node := must[*signing.LogSigner](t)(signing.OpenLogSigner(c))
	checkpoint := must[[]byte](t)(node.Checkpoint(t.Context(), "1", 9, h.root(t, 9), nil))
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}

	to := filepath.Join(t.TempDir(), "signer")
	want := service.Settings{Bureau: "BEL", Federation: fed, Replicas: []string{"1"}, Socket: "/run/entente/signer.sock", AllowUIDs: []uint32{1001, 1002}}
	if err := service.Split(keys, to, want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, must[service.Settings](t)(service.ReadSettings(to))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"log.pub", "log.state.lock", "message.pub"}, names(t, keys)); diff != "" {
		t.Errorf("what is left with the node: %s", diff)
	}
	messages, logs, err := service.OpenKeys(to, want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(messages.PublicKey().Key, message.Public().(ed25519.PublicKey)) {
		t.Error("another message key")
	}
	if _, err := logs.Checkpoint(t.Context(), "1", 8, h.root(t, 8), nil); err == nil {
		t.Error("the signer does not know what the node has signed")
	}
	if err := logs.Close(); err != nil {
		t.Fatal(err)
	}
	if half := must[ed25519.PublicKey](t)(signing.ReadPublicKey(filepath.Join(keys, service.MessagePublicFile))); !half.Equal(message.Public()) {
		t.Error("the node does not know its message key")
	}
	// Again is no harm.
	if err := service.Split(keys, to, want); err != nil {
		t.Errorf("again: %v", err)
	}

	// The memory is lost, and comes back.
	if err := os.Remove(filepath.Join(to, service.LogStateFile)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := service.OpenKeys(to, want); !errors.Is(err, signing.ErrLogState) || !strings.Contains(err.Error(), "entente signer restore") {
		t.Errorf("without its memory: %v", err)
	}
	if err := service.Restore(to, want, checkpoint); err != nil {
		t.Fatal(err)
	}
	_, logs, err = service.OpenKeys(to, want)
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	if _, err := logs.Checkpoint(t.Context(), "1", 8, h.root(t, 8), nil); err == nil {
		t.Error("the restored signer does not know what was signed")
	}
}

// TestSplitThatWasCutOff: wherever it ended, the keys are in one of the two folders, and calling
// it again finishes it.
func TestSplitThatWasCutOff(t *testing.T) {
	for _, kept := range []string{service.MessageKeyFile, service.LogKeyFile} {
		keys, to := keysOf(t), filepath.Join(t.TempDir(), "signer")
		key := must[ed25519.PrivateKey](t)(signing.ReadKey(filepath.Join(keys, kept)))
		if err := service.Split(keys, to, settings()); err != nil {
			t.Fatal(err)
		}
		// One of the old files was not removed yet, and the settings not yet written.
		if err := errors.Join(signing.WriteKey(filepath.Join(keys, kept), key), os.Remove(filepath.Join(to, service.SettingsFile))); err != nil {
			t.Fatal(err)
		}
		if err := service.Split(keys, to, settings()); err != nil {
			t.Errorf("%s was left: %v", kept, err)
		}
		if _, err := os.Stat(filepath.Join(keys, kept)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still with the node: %v", kept, err)
		}
	}
	// A signer's folder of another node is not touched.
	keys, to := keysOf(t), filepath.Join(t.TempDir(), "signer")
	if err := service.Split(keysOf(t), to, settings()); err != nil {
		t.Fatal(err)
	}
	before := must[[]byte](t)(os.ReadFile(filepath.Join(to, service.MessageKeyFile)))
	if err := service.Split(keys, to, settings()); err == nil || !strings.Contains(err.Error(), "name a new folder") {
		t.Errorf("into another's folder: %v", err)
	}
	if after := must[[]byte](t)(os.ReadFile(filepath.Join(to, service.MessageKeyFile))); string(after) != string(before) {
		t.Error("another's key was replaced")
	}
	if _, err := signing.ReadKey(filepath.Join(keys, service.MessageKeyFile)); err != nil {
		t.Errorf("a refused split took the key: %v", err)
	}
}

// TestFoldersThatNoSignerTakes: beside a governance key, or where others may read, it does not
// start.
func TestFoldersThatNoSignerTakes(t *testing.T) {
	sealed := filepath.Join(t.TempDir(), "governance.key")
	if err := signing.WriteEncryptedKey(sealed, must[ed25519.PrivateKey](t)(signing.GenerateKey(nil)), []byte("x")); err != nil {
		t.Fatal(err)
	}
	governance := func(dir, name string) error {
		return os.WriteFile(filepath.Join(dir, name), must[[]byte](t)(os.ReadFile(sealed)), 0o600)
	}
	copyOf := func(dir, from, to string) error {
		key, err := signing.ReadKey(filepath.Join(dir, from))
		return errors.Join(err, os.Remove(filepath.Join(dir, to)), signing.WriteKey(filepath.Join(dir, to), key))
	}
	for name, x := range map[string]struct {
		spoil func(dir string) error
		want  string
	}{
		"a governance key":       {func(dir string) error { return governance(dir, "governance.key") }, "governance.key"},
		"one under another name": {func(dir string) error { return governance(dir, "old.key") }, "under a passphrase"},
		"one as its message key": {func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "message.key")), governance(dir, "message.key"))
		}, "under a passphrase"},
		"a governance folder":         {func(dir string) error { return os.Mkdir(filepath.Join(dir, "governance"), 0o700) }, "off the machine"},
		"a root key":                  {func(dir string) error { return os.WriteFile(filepath.Join(dir, "root.key"), nil, 0o600) }, "off the machine"},
		"a node":                      {func(dir string) error { return os.WriteFile(filepath.Join(dir, "entente.yaml"), nil, 0o600) }, "folder to itself"},
		"readers":                     {func(dir string) error { return os.Chmod(dir, 0o750) }, "chmod 0700"},
		"a key that others read":      {func(dir string) error { return os.Chmod(filepath.Join(dir, "log.key"), 0o644) }, "chmod 600"},
		"no message key":              {func(dir string) error { return os.Remove(filepath.Join(dir, "message.key")) }, "message key"},
		"no log key":                  {func(dir string) error { return os.Remove(filepath.Join(dir, "log.key")) }, "log key"},
		"one key for both uses":       {func(dir string) error { return copyOf(dir, "message.key", "log.key") }, "same key"},
		"no memory of what it signed": {func(dir string) error { return os.Remove(filepath.Join(dir, "log.state")) }, "entente signer restore"},
	} {
		s := newShelf(t)
		if err := x.spoil(s.keys); err != nil {
			t.Fatal(err)
		}
		messages, logs, err := service.OpenKeys(s.keys, settings())
		if err == nil {
			_, err = service.New(service.Config{Messages: messages, Logs: logs})
			_ = logs.Close()
		}
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("with %s: got %v, want %q", name, err, x.want)
		}
	}
	if os.Getuid() == 0 {
		s := newShelf(t)
		if err := os.Chown(s.keys, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if _, _, err := service.OpenKeys(s.keys, settings()); err == nil || !strings.Contains(err.Error(), "chown") {
			t.Errorf("of another user: %v", err)
		}
	}
}

func TestSettingsThatAreNone(t *testing.T) {
	dir := t.TempDir()
	if _, err := service.ReadSettings(dir); err == nil || !strings.Contains(err.Error(), "entente signer split") {
		t.Errorf("none: %v", err)
	}
	for name, x := range map[string]struct{ text, want string }{
		"an unknown key":    {"bureau: BEL\nfederation: demo.entente\nreplicas: [\"1\"]\nkeys: x\n", "keys"},
		"no replica":        {"bureau: BEL\nfederation: demo.entente\n", "replicas"},
		"no bureau":         {"federation: demo.entente\nreplicas: [\"1\"]\n", "bureau"},
		"a wrong replica":   {"bureau: BEL\nfederation: demo.entente\nreplicas: [\"../1\"]\n", "replica"},
		"a wrong user":      {"bureau: BEL\nfederation: demo.entente\nreplicas: [\"1\"]\nallow_uids: [-1]\n", "uint32"},
		"a user by name":    {"bureau: BEL\nfederation: demo.entente\nreplicas: [\"1\"]\nallow_uids: [entente]\n", "uint32"},
		"nothing":           {"", "EOF"},
		"a huge file":       {strings.Repeat("#", 70000), "no settings"},
		"a wrong fed. name": {"bureau: BEL\nfederation: Demo\nreplicas: [\"1\"]\n", "federation"},
	} {
		if err := os.WriteFile(filepath.Join(dir, service.SettingsFile), []byte(x.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := service.ReadSettings(dir); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v, want %q", name, err, x.want)
		}
	}
}

// TestSignersOfOthers: a node does not take another's signer for its own.
func TestSignersOfOthers(t *testing.T) {
	s := newShelf(t)
	s.start(t, nil)
	good := remote.Config{Socket: s.socket, Federation: fed, Bureau: "BEL"}
	another := must[ed25519.PrivateKey](t)(signing.GenerateKey(nil)).Public().(ed25519.PublicKey)
	for name, x := range map[string]struct {
		change func(*remote.Config)
		want   string
	}{
		"another bureau's":     {func(c *remote.Config) { c.Bureau = "ESP" }, "this node is ESP"},
		"another federation's": {func(c *remote.Config) { c.Federation = "exercise.entente" }, "this node is BEL in exercise.entente"},
		"another message key":  {func(c *remote.Config) { c.MessageKey = another }, "message.pub"},
		"another log key":      {func(c *remote.Config) { c.LogKey = another }, "log.pub"},
		"no bureau":            {func(c *remote.Config) { c.Bureau = "" }, "needed"},
	} {
		c := good
		x.change(&c)
		if r, err := remote.Dial(t.Context(), c); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v, %v; want %q", name, r, err, x.want)
		}
	}
	r := s.dial(t)
	c := good
	c.MessageKey, c.LogKey = r.PublicKey().Key, r.LogKey().Key
	known := must[*remote.Signer](t)(remote.Dial(t.Context(), c))
	if err := known.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestChangedKeys: a signer that was started with other keys is noticed.
func TestChangedKeys(t *testing.T) {
	s := newShelf(t)
	stop := s.start(t, nil)
	r := s.dial(t)
	stop()
	other := newShelf(t)
	other.socket = s.socket
	other.start(t, nil)
	h := grown(t, "true", 1)
	eventually(t, func() bool { _, err := r.Offer(anOffer()); return !errors.Is(err, remote.ErrUnavailable) })
	for name, f := range map[string]func() error{
		"ask":        func() error { _, err := r.Ask(anAsk()); return err },
		"answer":     func() error { _, err := r.Answer(anAnswer()); return err },
		"offer":      func() error { _, err := r.Offer(anOffer()); return err },
		"meta":       func() error { _, err := r.MemberMeta(aMeta()); return err },
		"checkpoint": func() error { _, err := r.Checkpoint(t.Context(), "1", 1, h.root(t, 1), nil); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), "another key") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

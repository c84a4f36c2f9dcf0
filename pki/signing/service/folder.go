package service

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
)

// The files of a signer's folder.
const (
	SettingsFile   = "signer.yaml"
	MessageKeyFile = "message.key"
	LogKeyFile     = "log.key"
	LogStateFile   = "log.state"
)

// The public halves that stay with a node whose keys went to its signer.
const (
	MessagePublicFile = "message.pub"
	LogPublicFile     = "log.pub"
)

// Settings are what a signer is told about its keys, one YAML file in its folder. Unknown keys
// are errors.
type Settings struct {
	// Bureau and Federation are whose keys they are. Required.
	Bureau     identity.Bureau     `yaml:"bureau"`
	Federation identity.Federation `yaml:"federation"`
	// Replicas are the bureau's nodes for which is signed: "1". Required.
	Replicas []string `yaml:"replicas"`
	// Socket is where the signer listens. May be given at the start instead.
	Socket string `yaml:"socket"`
	// AllowUIDs are the users, by number, that may connect beside the signer's own. May be given
	// at the start instead.
	AllowUIDs []uint32 `yaml:"allow_uids"`
}

// maxSettings is far more than settings have.
const maxSettings = 64 << 10

// ReadSettings reads the settings in a signer's folder.
func ReadSettings(dir string) (Settings, error) {
	path := filepath.Join(dir, SettingsFile)
	var s Settings
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("%s: there is no signer in this folder: make one with entente signer split", path)
	}
	if err != nil {
		return s, err
	}
	if len(b) > maxSettings {
		return s, fmt.Errorf("%s: over %d bytes, no settings", path, maxSettings)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	if err := s.validate(); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *Settings) validate() error {
	if len(s.Replicas) == 0 {
		return errors.New("replicas is missing: name the bureau's nodes for which is signed, for example [\"1\"]")
	}
	for _, r := range s.Replicas {
		if err := identity.Node(s.Federation, s.Bureau, r).Validate(); err != nil {
			return err
		}
	}
	return nil
}

const settingsText = `# Settings of a signer. Unknown keys are errors.

# Whose keys these are.
bureau: %s
federation: %s
# The bureau's nodes for which is signed.
replicas: [%s]
# Where the signer listens, and which users may connect beside its own, by number. Also:
# --socket and --allow-uid.
socket: %q
allow_uids: [%s]
`

func (s *Settings) text() []byte {
	var replicas, users []string
	for _, r := range s.Replicas {
		replicas = append(replicas, fmt.Sprintf("%q", r))
	}
	for _, u := range s.AllowUIDs {
		users = append(users, fmt.Sprint(u))
	}
	return fmt.Appendf(nil, settingsText, s.Bureau, s.Federation, strings.Join(replicas, ", "), s.Socket, strings.Join(users, ", "))
}

// OpenKeys opens the keys in a signer's folder. It refuses a folder that others may read, one
// that holds a governance or root key, and a node's own. The log signer must be closed.
func OpenKeys(dir string, s Settings) (*signing.Signer, *signing.LogSigner, error) {
	if err := checkKeyFolder(dir); err != nil {
		return nil, nil, err
	}
	message, err := signing.ReadKey(filepath.Join(dir, MessageKeyFile))
	if err != nil {
		return nil, nil, fmt.Errorf("message key: %w", err)
	}
	c, err := logConfig(dir, s)
	if err != nil {
		return nil, nil, err
	}
	logs, err := signing.OpenLogSigner(c)
	if err != nil {
		return nil, nil, err
	}
	return signing.NewSigner(s.Federation, s.Bureau, message).Batched(), logs, nil
}

func logConfig(dir string, s Settings) (signing.LogConfig, error) {
	private, err := signing.ReadKey(filepath.Join(dir, LogKeyFile))
	if err != nil {
		return signing.LogConfig{}, fmt.Errorf("log key: %w", err)
	}
	return signing.LogConfig{
		Federation: s.Federation, Bureau: s.Bureau, Private: private, Replicas: s.Replicas,
		State: filepath.Join(dir, LogStateFile),
	}, nil
}

// Restore makes the log signer's memory in a signer's folder from a checkpoint that was signed
// with the log key there, see signing.RestoreLogState.
func Restore(dir string, s Settings, checkpoint []byte) error {
	if err := checkKeyFolder(dir); err != nil {
		return err
	}
	c, err := logConfig(dir, s)
	if err != nil {
		return err
	}
	return signing.RestoreLogState(c, checkpoint)
}

// foreign are names that must not lie beside a signer's keys: init gives them to the governance
// and root keys, their passphrase, and a node.
var foreign = []string{"governance.key", "governance", "root.key", "passphrase", "entente.yaml", "ca"}

func checkKeyFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("the signer's folder: %w", err)
	}
	if uid, known := owner(info); known {
		if int(uid) != os.Getuid() {
			return fmt.Errorf("the signer's folder %s belongs to user %d, and the signer runs as user %d: chown it, or start the signer as its owner", dir, uid, os.Getuid())
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			return fmt.Errorf("the signer's folder %s has mode %04o, others may enter it: chmod 0700", dir, mode)
		}
	}
	for _, name := range foreign {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the signer's folder %s holds %s: a signer has a folder to itself, and governance and root keys belong off the machine: take it away", dir, name)
		}
	}
	return checkKeyFiles(dir)
}

// checkKeyFiles refuses keys under a passphrase, whatever their names: only governance and root
// keys have one.
func checkKeyFiles(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("the signer's folder: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxSettings {
			continue // no key file
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return fmt.Errorf("the signer's folder: %w", err)
		}
		if block, _ := pem.Decode(b); block != nil && strings.HasPrefix(block.Type, "ENCRYPTED") {
			return fmt.Errorf("the signer's folder %s holds %s, a key under a passphrase: governance and root keys belong off the machine: take it away", dir, e.Name())
		}
	}
	return nil
}

// Split moves a node's message and log keys, and the log signer's memory if there is one, from
// its keys folder into a new folder for its signer, with the settings. The public halves stay.
// The keys are on disk in their new place before they go from the old one, and a Split that was
// cut off can be called again.
//
// The blocks of the old files may survive on the medium: where that matters, make new keys in
// the signer's folder and have the next roster list them.
func Split(keys, to string, s Settings) error {
	if err := s.validate(); err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	if err := checkKeyFolder(to); err != nil {
		return err
	}
	pairs := []struct{ private, public string }{{MessageKeyFile, MessagePublicFile}, {LogKeyFile, LogPublicFile}}
	for _, p := range pairs {
		if err := moveKey(keys, to, p.private, p.public); err != nil {
			return err
		}
	}
	if err := moveState(keys, to); err != nil {
		return err
	}
	if err := writeOnce(filepath.Join(to, SettingsFile), s.text()); err != nil {
		return err
	}
	// All is in its new place: prove it by opening it, then let go of the old.
	_, logs, err := OpenKeys(to, s)
	if err != nil {
		return err
	}
	if err := logs.Close(); err != nil {
		return err
	}
	for _, name := range []string{MessageKeyFile, LogKeyFile, LogStateFile} {
		if err := os.Remove(filepath.Join(keys, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncFolder(keys)
}

func moveKey(from, to, private, public string) error {
	old, moved := filepath.Join(from, private), filepath.Join(to, private)
	key, err := signing.ReadKey(old)
	if errors.Is(err, fs.ErrNotExist) { // a Split that was cut off had come this far
		_, err := signing.ReadKey(moved)
		return err
	}
	if err != nil {
		return err
	}
	if err := signing.WriteKey(moved, key); errors.Is(err, fs.ErrExist) {
		there, err := signing.ReadKey(moved)
		if err != nil {
			return err
		}
		if !there.Equal(key) {
			return fmt.Errorf("%s is another key than %s: name a new folder", moved, old)
		}
	} else if err != nil {
		return err
	}
	half, _ := key.Public().(ed25519.PublicKey)
	return keepPublic(filepath.Join(from, public), half)
}

func keepPublic(path string, half ed25519.PublicKey) error {
	err := signing.WritePublicKey(path, half)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, err := signing.ReadPublicKey(path)
	if err == nil && !there.Equal(half) {
		err = fmt.Errorf("%s is of another key: remove it", path)
	}
	return err
}

// moveState copies the memory. A node that has none has signed no checkpoint yet: its log's first
// one will be signed by the signer.
func moveState(from, to string) error {
	b, err := os.ReadFile(filepath.Join(from, LogStateFile))
	moved := filepath.Join(to, LogStateFile)
	if errors.Is(err, fs.ErrNotExist) {
		if err := signing.NewLogState(moved); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil // a Split that was cut off had come this far
	}
	if err != nil {
		return err
	}
	return writeOnce(moved, b)
}

// writeOnce writes a new file, or finds that it is there already, just so.
func writeOnce(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		there, err := os.ReadFile(path)
		if err == nil && !bytes.Equal(there, b) {
			err = fmt.Errorf("%s is there and says something else: name a new folder", path)
		}
		return err
	}
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // read only
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrPermission) {
		return err // Windows does not sync folders, and says that it may not
	}
	return nil
}

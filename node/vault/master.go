package vault

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/entente-mesh/entente/node/disk"
)

// masterPrefix begins the file of a node key, so that another file is not taken for one.
const masterPrefix = "entente-node-key-v1 "

// maxMaster bounds what is read of a file that may be no node key.
const maxMaster = 256

// WriteMaster makes a node key in a file of its own. The file must not exist.
func WriteMaster(path string) error {
	key := make([]byte, KeySize)
	rand.Read(key) // never fails (crypto/rand, since Go 1.24)
	text := masterPrefix + base64.StdEncoding.EncodeToString(key) + "\n"
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("node key: %w", err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("node key: %w", errors.Join(err, os.Remove(path)))
	}
	return disk.OS().SyncDir(filepath.Dir(path))
}

// ReadMaster reads a node key. It refuses a file that others than its owner can read.
func ReadMaster(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("node key %s: there is no such file: bring back the medium that holds it, or say where it is (node_key_file)", path)
	}
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	defer f.Close() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("node key %s: others than its owner may read it (mode %#o): chmod 600, and think about who has read it", path, info.Mode().Perm())
	}
	text := make([]byte, maxMaster)
	n, err := f.Read(text)
	if err != nil {
		return nil, fmt.Errorf("node key %s: %w", path, err)
	}
	encoded, ok := strings.CutPrefix(strings.TrimSuffix(string(text[:n]), "\n"), masterPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(key) != KeySize {
		return nil, fmt.Errorf("node key %s: not a node key: one line %q and 32 bytes in base64; restore it from its backup", path, masterPrefix)
	}
	return key, nil
}

package signing

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/entente-mesh/entente/pki/identity"
)

// ErrLogState is returned for a log signer's memory that is missing, is not what was written, or
// cannot be written. Without it nothing is signed: a signer that has forgotten would sign a
// second history.
var ErrLogState = errors.New("the log signer's memory cannot be used")

// head is the size and the root of a log at its newest signed checkpoint.
type head struct {
	size uint64
	root [sha256.Size]byte
}

const (
	stateTitle   = "entente log state v1"
	stateDigest  = "sha256 "
	maxStateFile = 64 << 10
	maxStateLogs = 64
	pendingState = ".new" // beside the state: what is being written
)

// NewLogState makes the memory of a log signer whose logs have never been signed, and refuses to
// take the place of anything. It is on disk when NewLogState returns.
func NewLogState(path string) error {
	if err := writeNew(path, encodeState(nil)); err != nil {
		return fmt.Errorf("log state: %w", err)
	}
	return nil
}

// encodeState writes a memory as text, so that a person can compare it with a checkpoint: a
// title, a line "origin size root" for each log, and the digest of all before it.
func encodeState(heads map[string]head) []byte {
	var b bytes.Buffer
	b.WriteString(stateTitle + "\n")
	for _, origin := range slices.Sorted(maps.Keys(heads)) {
		h := heads[origin]
		fmt.Fprintf(&b, "%s %d %s\n", origin, h.size, base64.StdEncoding.EncodeToString(h.root[:]))
	}
	sum := sha256.Sum256(b.Bytes())
	b.WriteString(stateDigest + hex.EncodeToString(sum[:]) + "\n")
	return b.Bytes()
}

// parseState reads what encodeState wrote, and nothing else: no other spelling, no line twice.
func parseState(b []byte) (map[string]head, error) {
	text, ok := strings.CutSuffix(string(b), "\n")
	if !ok {
		return nil, fmt.Errorf("%w: it is cut off", ErrLogState)
	}
	lines := strings.Split(text, "\n")
	if len(lines) < 2 || len(lines) > maxStateLogs+2 || lines[0] != stateTitle {
		return nil, fmt.Errorf("%w: it does not begin with %q, or has over %d logs", ErrLogState, stateTitle, maxStateLogs)
	}
	heads := map[string]head{}
	for i, line := range lines[1 : len(lines)-1] {
		origin, h, err := parseHead(line)
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrLogState, i+2, err)
		}
		heads[origin] = h
	}
	if !bytes.Equal(encodeState(heads), b) {
		return nil, fmt.Errorf("%w: its digest does not fit its lines", ErrLogState)
	}
	return heads, nil
}

func parseHead(line string) (origin string, h head, err error) {
	fields := strings.Split(line, " ")
	if len(fields) != 3 || fields[0] == "" {
		return "", h, errors.New("expected origin, size and root")
	}
	if h.size, err = strconv.ParseUint(fields[1], 10, 64); err != nil || h.size == 0 {
		return "", h, errors.New("the size is no number above zero")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(fields[2])
	if err != nil || len(root) != sha256.Size {
		return "", h, fmt.Errorf("the root is not %d bytes in base64", sha256.Size)
	}
	copy(h.root[:], root)
	return fields[0], h, nil
}

// readState reads the file of a memory.
func readState(path string) (map[string]head, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing: restore it from the newest checkpoint that was signed (entente signer restore)", ErrLogState, path)
	}
	if err != nil {
		return nil, fmt.Errorf("log state: %w", err)
	}
	defer func() { _ = f.Close() }() // read only: nothing to lose
	b, err := io.ReadAll(io.LimitReader(f, maxStateFile+1))
	if err != nil {
		return nil, fmt.Errorf("log state: %w", err)
	}
	if len(b) > maxStateFile {
		return nil, fmt.Errorf("%w: %s has over %d bytes", ErrLogState, path, maxStateFile)
	}
	heads, err := parseState(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: put it aside and restore it from the newest checkpoint that was signed (entente signer restore)", path, err)
	}
	return heads, nil
}

// writeState replaces the file of a memory: afterwards it is the old or the new one, whole, and
// when writeState returns nil the new one is on disk.
func writeState(path string, heads map[string]head) error {
	pending := path + pendingState
	f, err := os.OpenFile(pending, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLogState, err)
	}
	_, err = f.Write(encodeState(heads))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(pending, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLogState, err)
	}
	return nil
}

// LogOrigin is the name under which the log of a bureau's replica stands in its checkpoints (C2SP
// tlog-checkpoint, "origin"): "bel.demo.entente/log/1".
func LogOrigin(f identity.Federation, b identity.Bureau, replica string) string {
	return identity.TrustDomain(b, f) + "/log/" + replica
}

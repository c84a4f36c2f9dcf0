package signing

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/entente-mesh/entente/pki/identity"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
)

// LogConfig is what a LogSigner is made of. All fields are required.
type LogConfig struct {
	Federation identity.Federation
	Bureau     identity.Bureau
	// Private is the bureau's log key.
	Private ed25519.PrivateKey
	// Replicas are those whose logs are signed, and no others: a log of a made-up replica would be
	// a second history under another name.
	Replicas []string
	// State is the file of the signer's memory, see NewLogState.
	State string
}

// LogSigner signs the checkpoints of a bureau's logs, with its log key, and remembers what it has
// signed: so that whoever has taken over the node cannot have it tell two histories. It is safe
// for concurrent use.
//
// A log that falls behind what was signed, because a node was restored from an older backup, is
// refused until it holds the lost leaves again: append them once more from the journal (the tree
// is a function of it). Leaves that are gone from the journal too are a loss that the outside
// will see and is meant to see: the log is closed, and a new replica begins another.
type LogSigner struct {
	federation identity.Federation
	bureau     identity.Bureau
	private    ed25519.PrivateKey
	replicas   []string
	state      string
	lock       *os.File

	mu    sync.Mutex // guards what follows, and the file
	heads map[string]head
	ended bool
}

// OpenLogSigner opens a log signer with its memory. It fails with ErrLogState if the memory is
// missing, damaged, or in use by another signer. Close must be called.
func OpenLogSigner(c LogConfig) (*LogSigner, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	lock, err := lockState(c.State)
	if err != nil {
		return nil, err
	}
	heads, err := readState(c.State)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &LogSigner{
		federation: c.Federation, bureau: c.Bureau, private: c.Private, replicas: slices.Clone(c.Replicas),
		state: c.State, lock: lock, heads: heads,
	}, nil
}

func (c *LogConfig) validate() error {
	if len(c.Private) != ed25519.PrivateKeySize {
		return errors.New("log signer: the log key is missing")
	}
	if len(c.Replicas) == 0 || len(c.Replicas) > maxStateLogs {
		return fmt.Errorf("log signer: %d replicas: name 1 to %d whose logs are signed", len(c.Replicas), maxStateLogs)
	}
	for _, r := range c.Replicas {
		if err := identity.Node(c.Federation, c.Bureau, r).Validate(); err != nil {
			return fmt.Errorf("log signer: %w", err)
		}
	}
	return nil
}

// Close lets the memory go. Nothing is signed afterwards.
func (l *LogSigner) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil
	}
	l.ended = true
	return l.lock.Close()
}

// LogKey is the public half, as a roster lists it.
func (l *LogSigner) LogKey() PublicKey {
	return newPen(l.federation, l.bureau, l.private).public(rosterv1.KeyUsage_KEY_USAGE_LOG)
}

// Refusal is why a checkpoint does not follow those that were signed before.
type Refusal string

// The refusals.
const (
	LogShrunk   Refusal = "LOG_SHRUNK"   // it has fewer leaves
	LogForked   Refusal = "LOG_FORKED"   // it has as many, and others
	LogUnproven Refusal = "LOG_UNPROVEN" // no proof that what was signed is its beginning
)

// NotFollowingError is returned for a checkpoint that does not follow the one signed last. Its
// Last tells from which size a proof has to begin.
type NotFollowingError struct {
	Refusal Refusal
	Origin  string
	Size    uint64 // that was to be signed
	Last    uint64 // that was signed last
}

// Error says what is wrong, and what to do.
func (e *NotFollowingError) Error() string {
	switch e.Refusal {
	case LogShrunk:
		return fmt.Sprintf("sign checkpoint: %s has %d leaves and was signed with %d: it may not lose any; if it was restored from a backup, append it again from the journal until past %[3]d", e.Origin, e.Size, e.Last)
	case LogForked:
		return fmt.Sprintf("sign checkpoint: %s was signed with another root at %d leaves: this is another history, and one is enough; append the log again from the journal", e.Origin, e.Last)
	default:
		return fmt.Sprintf("sign checkpoint: no proof that the %d leaves of %s begin with the %d that were signed: give the consistency proof from %[3]d", e.Size, e.Origin, e.Last)
	}
}

// The keys of a refusal's numbers.
const (
	metaOrigin = "origin"
	metaSize   = "size"
	metaLast   = "last"
)

// Metadata is the refusal's numbers as words, for where it crosses to another process.
func (e *NotFollowingError) Metadata() map[string]string {
	return map[string]string{
		metaOrigin: e.Origin, metaSize: strconv.FormatUint(e.Size, 10), metaLast: strconv.FormatUint(e.Last, 10),
	}
}

// ParseNotFollowing is the inverse of Metadata, for the refusal of that name. ok is false for
// what is none.
func ParseNotFollowing(refusal string, metadata map[string]string) (e *NotFollowingError, ok bool) {
	size, badSize := strconv.ParseUint(metadata[metaSize], 10, 64)
	last, badLast := strconv.ParseUint(metadata[metaLast], 10, 64)
	why := Refusal(refusal)
	if badSize != nil || badLast != nil || why != LogShrunk && why != LogForked && why != LogUnproven {
		return nil, false
	}
	return &NotFollowingError{Refusal: why, Origin: metadata[metaOrigin], Size: size, Last: last}, true
}

// Checkpoint signs the state of a replica's log: its size in leaves, at least 1, and its root of
// 32 bytes. The log must follow what was signed before: consistency is the RFC 6962 proof from
// the size that was signed last, empty for the first checkpoint and for the same again. It
// returns a C2SP checkpoint, a signed note of the log's origin, which always is the same for the
// same log; or NotFollowingError.
//
// The signer has remembered, durably, before it signs.
func (l *LogSigner) Checkpoint(ctx context.Context, replica string, size uint64, root []byte, consistency [][]byte) ([]byte, error) {
	if !slices.Contains(l.replicas, replica) {
		return nil, fmt.Errorf("sign checkpoint: replica %.64q is none whose log is signed here: add it to the signer's replicas", replica)
	}
	if size == 0 || len(root) != sha256.Size {
		return nil, fmt.Errorf("sign checkpoint: size %d and a root of %d bytes: give at least 1 leaf and %d bytes", size, len(root), sha256.Size)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, errors.New("sign checkpoint: the signer is closed")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	origin := LogOrigin(l.federation, l.bureau, replica)
	next := head{size: size, root: [sha256.Size]byte(root)}
	if err := l.follows(origin, next, consistency); err != nil {
		return nil, err
	}
	if err := l.remember(origin, next); err != nil {
		return nil, err
	}
	text := origin + "\n" + strconv.FormatUint(size, 10) + "\n" + base64.StdEncoding.EncodeToString(root) + "\n"
	signed, err := note.Sign(&note.Note{Text: text}, noteSigner{origin, l.private})
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return signed, nil
}

func (l *LogSigner) follows(origin string, next head, consistency [][]byte) error {
	last, signed := l.heads[origin]
	refuse := func(why Refusal) error {
		return &NotFollowingError{Refusal: why, Origin: origin, Size: next.size, Last: last.size}
	}
	switch {
	case next.size < last.size:
		return refuse(LogShrunk)
	case !signed && len(consistency) > 0:
		return refuse(LogUnproven) // from a checkpoint of which this signer knows nothing
	case !signed:
		return nil
	case next.size == last.size && next.root != last.root:
		return refuse(LogForked)
	case next.size == last.size:
		return nil
	case proof.VerifyConsistency(rfc6962.DefaultHasher, last.size, next.size, consistency, last.root[:], next.root[:]) != nil:
		return refuse(LogUnproven)
	default:
		return nil
	}
}

func (l *LogSigner) remember(origin string, next head) error {
	if l.heads[origin] == next {
		return nil
	}
	heads := maps.Clone(l.heads)
	heads[origin] = next
	if err := writeState(l.state, heads); err != nil {
		return err
	}
	l.heads = heads
	return nil
}

// RestoreLogState makes a log signer's memory from a checkpoint that its key has signed, where
// the memory was lost or is older: from the node's log, or from a bureau that keeps the newest it
// has seen. It never goes back, and fails for a checkpoint that the key has not signed.
func RestoreLogState(c LogConfig, checkpoint []byte) error {
	if err := c.validate(); err != nil {
		return err
	}
	origin, found, err := c.openCheckpoint(checkpoint)
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.State); errors.Is(err, os.ErrNotExist) {
		if err := NewLogState(c.State); err != nil {
			return err
		}
	}
	l, err := OpenLogSigner(c)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }() // what it remembers is on disk
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.heads[origin]
	if found.size < last.size || found.size == last.size && found.root != last.root {
		return fmt.Errorf("restore log state: the checkpoint has %d leaves, and %s is remembered with %d: give the newest that was signed", found.size, origin, last.size)
	}
	return l.remember(origin, found)
}

// openCheckpoint reads a checkpoint of one of the own logs.
func (c *LogConfig) openCheckpoint(checkpoint []byte) (string, head, error) {
	public, _ := c.Private.Public().(ed25519.PublicKey)
	var known []note.Verifier
	for _, r := range c.Replicas {
		key, err := note.NewEd25519VerifierKey(LogOrigin(c.Federation, c.Bureau, r), public)
		if err != nil {
			return "", head{}, fmt.Errorf("restore log state: %w", err)
		}
		v, err := note.NewVerifier(key)
		if err != nil {
			return "", head{}, fmt.Errorf("restore log state: %w", err)
		}
		known = append(known, v)
	}
	n, err := note.Open(checkpoint, note.VerifierList(known...))
	if err != nil {
		return "", head{}, fmt.Errorf("restore log state: the log key has not signed this as a checkpoint of %v: %w", c.Replicas, err)
	}
	// The three lines of a checkpoint are the three words of a line of the memory.
	origin, h, err := parseHead(strings.ReplaceAll(strings.TrimSuffix(n.Text, "\n"), "\n", " "))
	if err != nil || origin != n.Sigs[0].Name {
		return "", head{}, errors.New("restore log state: the note is no checkpoint of its signer: expected its origin, its size and its root, a line each")
	}
	return origin, h, nil
}

// noteSigner signs notes of one origin. It stays inside the package, as the pen does: what a note
// says is composed here.
type noteSigner struct {
	origin  string
	private ed25519.PrivateKey
}

// ed25519Note is the algorithm's number in a note's key (C2SP signed-note, "Signature types").
const ed25519Note = 1

func (s noteSigner) Name() string { return s.origin }

// KeyHash is the key's id in a note (C2SP signed-note, "Format").
func (s noteSigner) KeyHash() uint32 {
	public, _ := s.private.Public().(ed25519.PublicKey)
	sum := sha256.Sum256(append([]byte(s.origin+"\n"+string(rune(ed25519Note))), public...))
	return binary.BigEndian.Uint32(sum[:])
}

func (s noteSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.private, msg), nil }

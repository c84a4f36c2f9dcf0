package evidence

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
)

// MaxCheckpoint is the size in bytes that no checkpoint exceeds.
const MaxCheckpoint = 8192

// maxPath bounds a proof: a tree of 2^63 leaves has paths of 63, and a consistency proof is up to
// two of them.
const maxPath = 128

const originMiddle = "/log/"

var replicaPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)

// The errors of checkpoints and proofs.
var (
	// ErrCheckpoint: the bytes are no checkpoint.
	ErrCheckpoint = errors.New("not a checkpoint")
	// ErrCheckpointSignature: it is not shown that the bureau signed it.
	ErrCheckpointSignature = errors.New("the checkpoint is not signed by a log key of the bureau")
	// ErrProof: the proof does not lead to the root.
	ErrProof = errors.New("the proof does not hold")
)

// Checkpoint is what a bureau says of its log: that many leaves, with that root. It is a C2SP
// tlog-checkpoint (c2sp.org/tlog-checkpoint), without extension lines.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   [DigestSize]byte
}

// Text is what is signed of a checkpoint: three lines, each with its newline.
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// Origin names the log of one replica of a bureau: "bel.demo.entente/log/1".
func Origin(f identity.Federation, b identity.Bureau, replica string) string {
	return identity.TrustDomain(b, f) + originMiddle + replica
}

// ParseOrigin reads whose log an origin names. It accepts only what Origin writes.
func ParseOrigin(origin string) (identity.Federation, identity.Bureau, string, error) {
	domain, replica, ok := strings.Cut(origin, originMiddle)
	label, federation, dotted := strings.Cut(domain, ".")
	if !ok || !dotted || !replicaPattern.MatchString(replica) || label != strings.ToLower(label) {
		return "", "", "", fmt.Errorf("%w: origin %.80q: expected \"bel.<federation>/log/<replica>\"", ErrCheckpoint, origin)
	}
	b, errBureau := identity.ParseBureau(strings.ToUpper(label))
	f, errFederation := identity.ParseFederation(federation)
	if err := errors.Join(errBureau, errFederation); err != nil {
		return "", "", "", fmt.Errorf("%w: origin: %w", ErrCheckpoint, err)
	}
	return f, b, replica, nil
}

// ParseCheckpoint reads a checkpoint without asking who signed it: for looking up whose it claims
// to be. Nothing in it is to be believed before VerifyCheckpoint. It fails with ErrCheckpoint.
func ParseCheckpoint(signed []byte) (Checkpoint, error) {
	_, c, err := open(signed, note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if err != nil && !errors.As(err, &unverified) {
		return Checkpoint{}, err
	}
	return c, nil
}

// VerifyCheckpoint reads a checkpoint that a bureau of a federation signed with one of its log
// keys. Keys of another bureau, usage or algorithm count for nothing, and so do signatures of
// others beside the bureau's. It fails with ErrCheckpoint or ErrCheckpointSignature.
func VerifyCheckpoint(signed []byte, f identity.Federation, b identity.Bureau, keys []signing.PublicKey) (Checkpoint, error) {
	claimed, err := ParseCheckpoint(signed)
	if err != nil {
		return Checkpoint{}, err
	}
	of, by, _, err := ParseOrigin(claimed.Origin)
	if err != nil {
		return Checkpoint{}, err
	}
	if of != f || by != b {
		return Checkpoint{}, fmt.Errorf("%w: it is of the log %.80q, expected one of %s in %s", ErrCheckpointSignature, claimed.Origin, b, f)
	}
	var verifiers []note.Verifier
	given := map[string]bool{}
	for _, k := range keys {
		if k.Bureau != b || k.Usage != rosterv1.KeyUsage_KEY_USAGE_LOG || k.Algorithm != signing.AlgorithmEd25519 {
			continue
		}
		v, err := verifier(claimed.Origin, k.Key)
		if err != nil {
			return Checkpoint{}, fmt.Errorf("%w: key %.16s: %w", ErrCheckpointSignature, k.ID(), err)
		}
		// A key that is named twice is one key: note would call it ambiguous.
		if given[string(k.Key)] {
			continue
		}
		given[string(k.Key)] = true
		verifiers = append(verifiers, v)
	}
	if len(verifiers) == 0 {
		return Checkpoint{}, fmt.Errorf("%w: the roster lists none for %s at that time", ErrCheckpointSignature, b)
	}
	n, c, err := open(signed, note.VerifierList(verifiers...))
	if err != nil {
		if errors.Is(err, ErrCheckpoint) {
			return Checkpoint{}, err
		}
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpointSignature, err)
	}
	if len(n.Sigs) == 0 {
		return Checkpoint{}, ErrCheckpointSignature
	}
	return c, nil
}

func verifier(origin string, public []byte) (note.Verifier, error) {
	text, err := note.NewEd25519VerifierKey(origin, ed25519.PublicKey(public))
	if err != nil {
		return nil, err
	}
	return note.NewVerifier(text)
}

// open reads a note and the checkpoint in it. On an UnverifiedNoteError the checkpoint is read all
// the same.
func open(signed []byte, known note.Verifiers) (*note.Note, Checkpoint, error) {
	if len(signed) > MaxCheckpoint {
		return nil, Checkpoint{}, fmt.Errorf("%w: %d bytes, at most %d are read", ErrCheckpoint, len(signed), MaxCheckpoint)
	}
	n, err := note.Open(signed, known)
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified):
		n = unverified.Note
	case errors.As(err, &invalid):
		return nil, Checkpoint{}, err
	case err != nil:
		return nil, Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	c, errText := parseText(n.Text)
	if errText != nil {
		return nil, Checkpoint{}, errText
	}
	return n, c, err
}

func parseText(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, fmt.Errorf("%w: %d lines, expected origin, size and root", ErrCheckpoint, len(lines)-1)
	}
	c := Checkpoint{Origin: lines[0]}
	if c.Origin == "" {
		return Checkpoint{}, fmt.Errorf("%w: origin is empty", ErrCheckpoint)
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("%w: size %.24q is not a number in its shortest form", ErrCheckpoint, lines[1])
	}
	c.Size = size
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != DigestSize {
		return Checkpoint{}, fmt.Errorf("%w: root is not %d bytes in base64", ErrCheckpoint, DigestSize)
	}
	c.Root = [DigestSize]byte(root)
	return c, nil
}

// VerifyInclusion checks that a leaf stands at an index of the log that a checkpoint speaks of. It
// fails with ErrProof.
func VerifyInclusion(c Checkpoint, index uint64, leaf []byte, path [][]byte) error {
	if err := wellFormed(path); err != nil {
		return err
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, c.Size, rfc6962.DefaultHasher.HashLeaf(leaf), path, c.Root[:]); err != nil {
		return fmt.Errorf("%w: leaf %d of %d: %w", ErrProof, index, c.Size, err)
	}
	return nil
}

// VerifyConsistency checks that the log of the older checkpoint is the beginning of the log of the
// newer one. It fails with ErrProof, also for checkpoints of two origins.
func VerifyConsistency(older, newer Checkpoint, path [][]byte) error {
	if older.Origin != newer.Origin {
		return fmt.Errorf("%w: checkpoints of two logs, %.80q and %.80q", ErrProof, older.Origin, newer.Origin)
	}
	if err := wellFormed(path); err != nil {
		return err
	}
	if older.Size == 0 && older.Root != [DigestSize]byte(rfc6962.DefaultHasher.EmptyRoot()) {
		return fmt.Errorf("%w: the root of size 0 is not that of the empty tree", ErrProof)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, older.Size, newer.Size, path, older.Root[:], newer.Root[:]); err != nil {
		return fmt.Errorf("%w: from %d to %d: %w", ErrProof, older.Size, newer.Size, err)
	}
	return nil
}

// wellFormed checks what the proof library takes for granted.
func wellFormed(path [][]byte) error {
	if len(path) > maxPath {
		return fmt.Errorf("%w: %d hashes, at most %d", ErrProof, len(path), maxPath)
	}
	for i, h := range path {
		if len(h) != DigestSize {
			return fmt.Errorf("%w: hash %d has %d bytes, expected %d", ErrProof, i, len(h), DigestSize)
		}
	}
	return nil
}

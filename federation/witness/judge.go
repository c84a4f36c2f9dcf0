package witness

import (
	"errors"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/entente-mesh/entente/pki/evidence"
)

// ruling is what a proof between two checkpoints of one log shows.
type ruling int

const (
	// holds: the older log is the beginning of the newer one.
	holds ruling = iota
	// contradicts: the newer log begins with other leaves than the older one had. Nobody can make
	// such a proof against an honest log: every hash in it is one of the newer log's own tree,
	// whose root was signed, or SHA-256 is broken.
	contradicts
	// shows nothing: it leads to neither root. Whoever sent it may have made it up.
	showsNothing
)

// judge verifies a consistency proof, and finds what one that fails proves. It leads from hashes
// of the newer tree to both roots. If the newer root comes out and the older one does not, what
// came out is the root of the newer log's own beginning, and the log has forked. (Of an older size
// that is a power of two the proof does not name the beginning's root: there it can only fail.)
func judge(older, newer evidence.Checkpoint, path [][]byte) ruling {
	err := evidence.VerifyConsistency(older, newer, path)
	if err == nil {
		return holds
	}
	var mismatch proof.RootMismatchError
	if !errors.As(err, &mismatch) || len(mismatch.CalculatedRoot) != len(older.Root) || older.Size == 0 {
		return showsNothing
	}
	beginning := older
	beginning.Root = [evidence.DigestSize]byte(mismatch.CalculatedRoot)
	if beginning.Root != older.Root && evidence.VerifyConsistency(beginning, newer, path) == nil {
		return contradicts
	}
	return showsNothing
}

// emptyRoot is the root of no leaves (RFC 6962, section 2.1).
func emptyRoot() [evidence.DigestSize]byte {
	return [evidence.DigestSize]byte(rfc6962.DefaultHasher.EmptyRoot())
}

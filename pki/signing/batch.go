package signing

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/entente-mesh/entente/pki/identity"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Under load one signature can stand for a batch of answers: it covers the root of a Merkle tree
// (RFC 6962, section 2.1) over what each single signature would have covered, and every answer
// carries the path from itself to that root (Signature.batch_proof). A receiver who gets several
// answers of one batch checks the one signature once. Every answer still proves itself alone, and
// a path holds nothing of the other answers: each has the digest of its ask in it, and with that
// 128 random bits. What a path's length tells is how many answers were signed in that moment.
//
// Asks, offers, statements and rosters have no batches: a proof beside one of them counts for
// nothing.

// The proof's encoding: a version, the place in the batch, the batch's size, both big-endian, and
// the hashes of the path from the leaf up.
const (
	batchVersion = 1
	batchHeader  = 5
	maxBatch     = 64 // six hashes: 197 bytes
	maxPath      = 6
)

// batchType is the payload type of a batch's root: it says what kind is in it, so that a batch of
// answers can never pass for anything else.
func batchType(k Kind, f identity.Federation) string {
	return "application/vnd.entente." + string(k) + "+batch; federation=" + string(f)
}

// batchHead is what the signature of a batch covers, behind its type: the root and the size. The
// size is in it because the same path means another place in a tree of another size.
func batchHead(root []byte, size uint16) []byte {
	return binary.BigEndian.AppendUint16(append(make([]byte, 0, len(root)+2), root...), size)
}

// batcher gathers answers that are to be signed at the same time.
type batcher struct {
	pen pen

	mu      sync.Mutex // guards what follows
	waiting []*place
	busy    bool // somebody is signing
}

// place is an answer that waits for its signature.
type place struct {
	leaf   []byte
	signed *signedv1.Signature
	turn   chan bool // true: signed; false: it is your turn to sign for those who wait
}

// sign signs an answer, with whatever else is to be signed now. Nobody waits for company: who
// comes while nobody signs, signs at once; who comes while somebody does, waits for him, and then
// one of those who waited signs for all of them.
func (b *batcher) sign(payloadType string, payload []byte) *signedv1.Signature {
	p := &place{leaf: rfc6962.DefaultHasher.HashLeaf(PAE(payloadType, payload)), turn: make(chan bool, 1)}
	b.mu.Lock()
	b.waiting = append(b.waiting, p)
	first := !b.busy
	b.busy = true
	b.mu.Unlock()
	if !first && <-p.turn {
		return p.signed
	}
	runtime.Gosched() // let those come who are about to
	b.mu.Lock()
	n := min(len(b.waiting), maxBatch)
	batch := b.waiting[:n:n]
	b.waiting = b.waiting[n:]
	b.mu.Unlock()
	b.signAll(payloadType, payload, batch)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) > 0 {
		b.waiting[0].turn <- false
	} else {
		b.busy, b.waiting = false, nil
	}
	return p.signed
}

// signAll signs a batch. The first place is that of whoever signs, with its payload.
func (b *batcher) signAll(payloadType string, payload []byte, batch []*place) {
	if len(batch) == 1 {
		batch[0].signed = b.pen.signature(payloadType, payload)
		return
	}
	paths, root := batchTree(batch)
	size := uint16(len(batch))
	value := ed25519.Sign(b.pen.private, PAE(batchType(KindAnswer, b.pen.federation), batchHead(root, size)))
	for i, p := range batch {
		p.signed = &signedv1.Signature{
			KeyId: b.pen.keyID, Algorithm: AlgorithmEd25519, Value: value, BatchProof: encodeBatchProof(uint16(i), size, paths[i]),
		}
		if i > 0 {
			p.turn <- true
		}
	}
}

func encodeBatchProof(index, size uint16, path [][]byte) []byte {
	b := append(make([]byte, 0, batchHeader+len(path)*sha256.Size), batchVersion)
	b = binary.BigEndian.AppendUint16(b, index)
	b = binary.BigEndian.AppendUint16(b, size)
	for _, hash := range path {
		b = append(b, hash...)
	}
	return b
}

// batchTree returns the path of every leaf and the root.
func batchTree(batch []*place) (paths [][][]byte, root []byte) {
	paths = make([][][]byte, len(batch))
	level := make([][]byte, len(batch))
	at := make([]int, len(batch)) // where the subtree of each leaf stands in the level
	for i, p := range batch {
		level[i], at[i] = p.leaf, i
	}
	for len(level) > 1 {
		next := make([][]byte, 0, (len(level)+1)/2)
		for i := 0; i+1 < len(level); i += 2 {
			next = append(next, rfc6962.DefaultHasher.HashChildren(level[i], level[i+1]))
		}
		if len(level)%2 == 1 {
			next = append(next, level[len(level)-1]) // goes up as it is (RFC 6962, section 2.1)
		}
		for i := range batch {
			if beside := at[i] ^ 1; beside < len(level) {
				paths[i] = append(paths[i], level[beside])
			}
			at[i] /= 2
		}
		level = next
	}
	return paths, level[0]
}

var errBatch = errors.New("batch proof is malformed")

// batchRoot returns the root to which a batch proof leads from a payload, and the batch's size.
func batchRoot(payloadType string, payload, batchProof []byte) (root []byte, size uint16, err error) {
	if len(batchProof) < batchHeader || batchProof[0] != batchVersion || (len(batchProof)-batchHeader)%sha256.Size != 0 {
		return nil, 0, errBatch
	}
	index := binary.BigEndian.Uint16(batchProof[1:])
	size = binary.BigEndian.Uint16(batchProof[3:])
	hashes := batchProof[batchHeader:]
	if size < 2 || size > maxBatch || index >= size || len(hashes) > maxPath*sha256.Size {
		return nil, 0, errBatch
	}
	path := make([][]byte, 0, maxPath)
	for ; len(hashes) > 0; hashes = hashes[sha256.Size:] {
		path = append(path, hashes[:sha256.Size])
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(PAE(payloadType, payload))
	root, err = proof.RootFromInclusionProof(rfc6962.DefaultHasher, uint64(index), uint64(size), leaf, path)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errBatch, err)
	}
	return root, size, nil
}

// batchHeld is a batch's signature that held.
type batchHeld struct {
	keyID string
	root  [sha256.Size]byte
	size  uint16
	value [ed25519.SignatureSize]byte
}

// batches remembers signatures of batches that held. That they did depends on nothing but
// themselves: whether the key is good now is asked each time.
type batches struct {
	mu       sync.Mutex
	now, old map[batchHeld]struct{}
}

// maxHeld is how many batches are remembered in each of two generations.
const maxHeld = 256

func (b *batches) held(h batchHeld) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.now[h]; ok {
		return true
	}
	_, ok := b.old[h]
	return ok
}

func (b *batches) keep(h batchHeld) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.now) >= maxHeld || b.now == nil {
		b.old, b.now = b.now, map[batchHeld]struct{}{}
	}
	b.now[h] = struct{}{}
}

// verify checks a signature with a batch proof over a payload of a kind.
func (b *batches) verify(key PublicKey, k Kind, f identity.Federation, payload []byte, s *signedv1.Signature) error {
	root, size, err := batchRoot(PayloadType(k, f), payload, s.GetBatchProof())
	if err != nil || len(s.GetValue()) != ed25519.SignatureSize {
		return fmt.Errorf("%w: %w", ErrSignature, errBatch)
	}
	h := batchHeld{keyID: s.GetKeyId(), root: [sha256.Size]byte(root), size: size, value: [ed25519.SignatureSize]byte(s.GetValue())}
	if b.held(h) {
		return nil
	}
	if err := key.Verify(batchType(k, f), batchHead(root, size), s.GetValue()); err != nil {
		return err
	}
	b.keep(h)
	return nil
}

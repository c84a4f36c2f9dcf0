// Package audit is the Merkle log of a node: the tree over the leaves of its journal, its signed
// checkpoints, and the proofs that outsiders check.
//
// The journal is the truth; the tree follows it. Leaf i of the tree is leaf i of the journal, one
// appender puts them there in their order, and whatever is lost or damaged of the tree is built
// again from the journal, the same to the last byte of its root. Nobody waits for the tree: who
// passes the gate waits for the journal alone. What is never made up for is the other loss: a tree,
// or a signed checkpoint, of more leaves than the journal has is ErrJournalLost, and the node does
// not start.
//
// It holds no entry and no evidence (node/journal does), no key (pki/signing signs), and asks no
// peer (federation/witness does). One process works on a folder: the journal's lock sees to it.
//
// One flow: the gate's commit is durable, and the journal says that it has grown. Within a quarter
// of a second the follower reads the new leaves, adds them to the tree, and compares the root of
// the tiles on disk with the one that it has computed from the journal itself. It has the signer
// sign size and root, with the proof that the last signed checkpoint is their beginning, keeps the
// note, and gives it out (Newest) with every ask and answer.
package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/merkle/compact"

	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// The errors of a log.
var (
	// ErrJournalLost: the journal has fewer leaves than were in the tree, or than were signed.
	// What is missing was in the books. Restore the journal whole; an older copy of it cannot go
	// on.
	ErrJournalLost = errors.New("the journal lost leaves that the log has")
	// ErrDiverged: the journal's leaves do not lead to a root that was signed. The journal was
	// changed.
	ErrDiverged = errors.New("the journal is not the one whose log was signed")
	// ErrDamaged: the tree's files are not what was written. The tree is being built again.
	ErrDamaged = errors.New("the log's tree is damaged")
	// ErrUnknown: the books have no such message, or none that concerns who asks.
	ErrUnknown = errors.New("no such message in the books")
	// ErrErased: the message's evidence was erased.
	ErrErased = errors.New("the evidence was erased")
	// ErrNotYet: what was asked for is in no signed checkpoint yet.
	ErrNotYet = errors.New("not in a signed checkpoint yet")
)

// Journal is what the tree is built over, see node/journal.
type Journal interface {
	// Leaves is how many leaves are durable. It never falls.
	Leaves() uint64
	// ReadLeaves returns leaves from an index on, at least one if there is one, at most max.
	ReadLeaves(from uint64, max int) ([][evidence.LeafSize]byte, error)
	// Grown returns a channel that is readable once leaves were added after the call.
	Grown() <-chan struct{}
	// Find returns the passages of a message that have a leaf of their own, in the log's order.
	Find(ctx context.Context, messageID string) ([]Passage, error)
	// Border calls do with each passage between the own bureau and a peer that is dated since or
	// later and before until, in the log's order, without evidence.
	Border(ctx context.Context, peer identity.Bureau, since, until time.Time, do func(Passage) error) error
	// Check reads the whole journal. Flaws are findings, not errors.
	Check(ctx context.Context, progress func(leaves uint64)) (Check, error)
}

// Passage is a passage across the border as the journal has it.
type Passage struct {
	Index uint64
	Leaf  [evidence.LeafSize]byte
	// Opening is nil if the entry was erased.
	Opening *auditv1.Opening
	// Evidence reads what was signed; it returns nil if that was erased. It is nil itself if there
	// never was any, and in Border. Whoever looks a message up reads what it needs: a peer can have
	// sent any number under one id.
	Evidence func(ctx context.Context) (*signedv1.Signed, error)
}

// Check is what a check of the journal found.
type Check struct {
	Leaves, Entries, Erased uint64
	Flaws                   []*auditv1.Flaw
}

// Checkpointer signs checkpoints, see pki/signing.
type Checkpointer interface {
	// Checkpoint signs the state of a replica's log. consistency is the proof from the size that
	// was signed last, empty for the first and for the same again. It fails with
	// *signing.NotFollowingError for a state that does not follow.
	Checkpoint(ctx context.Context, replica string, size uint64, root []byte, consistency [][]byte) ([]byte, error)
}

// Config is what a log needs. What is not said to be optional is required.
type Config struct {
	// Dir is the log's folder. It is made if there is none.
	Dir string
	// Federation, Bureau and Replica say whose log it is.
	Federation identity.Federation
	Bureau     identity.Bureau
	Replica    string
	Journal    Journal
	Signer     Checkpointer
	// LogKeys returns the own bureau's log keys, those in use and those before: under them the
	// checkpoint kept from the last run is believed.
	LogKeys func() []signing.PublicKey
	// Rosters returns the signed rosters from the first to the newest, for bundles and exports.
	Rosters func() []*signedv1.Signed
	// Interval is the least time between two rounds of adding and signing. Optional: 200 ms. Each
	// round costs about ten fsyncs beside those of the journal.
	Interval time.Duration
	// Wait is how long Prove, ProofsFor, Export and Verify wait for what was written before them
	// to be signed. Optional: 10 s.
	Wait time.Duration
	// Files is the file system of the kept checkpoint. Optional: the operating system's. The tree
	// itself is written by tessera, which knows no other.
	Files disk.Files
	// Now is the clock. Optional: time.Now.
	Now func() time.Time
	// Logger is optional: silence.
	Logger *slog.Logger
	// Fail is called at named points, and what it returns ends Run there, as a crash would.
	// Optional, for tests.
	Fail func(point string) error
}

const (
	defaultInterval = 200 * time.Millisecond
	defaultWait     = 10 * time.Second

	treeFolder       = "tree"
	damagedFolder    = "tree.damaged" // the last damaged tree, for who looks into it
	checkpointFile   = "checkpoint"
	maxKeptFile      = evidence.MaxCheckpoint
	privateFile      = 0o600
	privateDirectory = 0o700
)

func (c *Config) complete() error {
	id := identity.Node(c.Federation, c.Bureau, c.Replica)
	if err := id.Validate(); err != nil {
		return fmt.Errorf("audit: config: %w", err)
	}
	for name, missing := range map[string]bool{
		"Dir": c.Dir == "", "Journal": c.Journal == nil, "Signer": c.Signer == nil, "LogKeys": c.LogKeys == nil, "Rosters": c.Rosters == nil,
	} {
		if missing {
			return fmt.Errorf("audit: config: %s is missing", name)
		}
	}
	if c.Interval <= 0 {
		c.Interval = defaultInterval
	}
	if c.Wait <= 0 {
		c.Wait = defaultWait
	}
	if c.Files == nil {
		c.Files = disk.OS()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Fail == nil {
		c.Fail = func(string) error { return nil }
	}
	return nil
}

// Log is the Merkle log of one replica. It is safe for concurrent use; Run is called once.
type Log struct {
	config Config
	origin string

	published atomic.Pointer[published] // nil before the first checkpoint

	mu      sync.RWMutex // guards tree: readers of tiles share it, who replaces the tree has it alone
	tree    *tree        // nil after Close
	damaged atomic.Bool  // somebody found that tiles are damaged; Run builds the tree again

	work   sync.Mutex     // held by whoever adds to the tree: Run, and Verify for a moment
	ranges *compact.Range // the tree as computed from the journal; guarded by work
	size   atomic.Uint64  // leaves in the tree

	nudge chan struct{} // wakes Run, where the journal does not

	notes   sync.Mutex // guards what follows
	moved   chan struct{}
	trouble string
	since   time.Time // of the trouble
	rebuilt string    // why the tree was built again, if it was
}

// published is a checkpoint that was signed and kept.
type published struct {
	note []byte
	evidence.Checkpoint
	at time.Time
}

// Status is how a log stands.
type Status struct {
	// Leaves is how many the journal has, Integrated how many of them are in the tree, Signed how
	// many of those are in the newest checkpoint.
	Leaves, Integrated, Signed uint64
	// SignedAt is when the newest checkpoint was signed, by the own clock. Zero: not in this run.
	SignedAt time.Time
	// Lag is the age of the oldest leaf that is in no signed checkpoint. Zero: all are.
	Lag time.Duration
	// Trouble is why the log does not get on, since when. Empty: it does.
	Trouble      string
	TroubleSince time.Time
	// Rebuilt is why the tree was built again in this run. Empty: it was not.
	Rebuilt string
}

// Open opens a log. What it finds of the tree it compares with the journal and with the checkpoint
// signed last; a tree that does not fit is put aside and built again from the journal by Run. It
// fails with ErrJournalLost or ErrDiverged for a journal that is not the one whose log was signed.
// Close must be called.
func Open(ctx context.Context, c Config) (*Log, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	l := &Log{config: c, origin: evidence.Origin(c.Federation, c.Bureau, c.Replica), nudge: make(chan struct{}, 1), moved: make(chan struct{})}
	if err := c.Files.MkdirAll(c.Dir, privateDirectory); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if err := l.load(ctx); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return l, nil
}

// Close lets the log go. Run must have ended.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tree != nil {
		l.tree.close()
		l.tree = nil
	}
	return nil
}

// Newest returns the newest signed checkpoint, a C2SP signed note: nil before the first. It takes
// no lock. The bytes are shared: do not change them.
func (l *Log) Newest() []byte {
	p := l.published.Load()
	if p == nil {
		return nil
	}
	return p.note
}

// Origin is the log's name in its checkpoints.
func (l *Log) Origin() string { return l.origin }

// Status returns how the log stands.
func (l *Log) Status() Status {
	s := Status{Integrated: l.size.Load(), Leaves: l.config.Journal.Leaves()}
	if p := l.published.Load(); p != nil {
		s.Signed, s.SignedAt = p.Size, p.at
	}
	if s.Signed < s.Leaves {
		if leaves, err := l.config.Journal.ReadLeaves(s.Signed, 1); err == nil && len(leaves) > 0 {
			if leaf, err := evidence.ParseLeaf(leaves[0][:]); err == nil {
				s.Lag = max(0, l.config.Now().Sub(leaf.At))
			}
		}
	}
	l.notes.Lock()
	defer l.notes.Unlock()
	s.Trouble, s.TroubleSince, s.Rebuilt = l.trouble, l.since, l.rebuilt
	return s
}

// note keeps why the log does not get on, and logs a change. nil: it does.
func (l *Log) note(ctx context.Context, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	l.notes.Lock()
	defer l.notes.Unlock()
	if text == l.trouble {
		return
	}
	was := l.trouble
	l.trouble = text
	switch {
	case text == "":
		l.since = time.Time{}
		l.config.Logger.InfoContext(ctx, "audit log gets on again")
	case was == "":
		l.since = l.config.Now()
		l.config.Logger.ErrorContext(ctx, "audit log does not get on", slog.String("error", text))
	}
}

// await waits until a checkpoint of at least size leaves is signed, and its tree there.
func (l *Log) await(ctx context.Context, size uint64) (*published, error) {
	ctx, cancel := context.WithTimeout(ctx, l.config.Wait)
	defer cancel()
	for {
		l.notes.Lock()
		moved := l.moved
		l.notes.Unlock()
		p := l.published.Load()
		if p != nil && p.Size >= size && l.size.Load() >= p.Size {
			return p, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			have := uint64(0)
			if p != nil {
				have = p.Size
			}
			return nil, fmt.Errorf("%w: signed are %d leaves, needed are %d: %w", ErrNotYet, have, size, ctx.Err())
		}
	}
}

func (l *Log) path(name string) string { return filepath.Join(l.config.Dir, name) }

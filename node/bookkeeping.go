package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/witness"
	"github.com/entente-mesh/entente/node/alarms"
	"github.com/entente-mesh/entente/node/audit"
	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/limits"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	"github.com/entente-mesh/entente/pki/signing"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// openAlarms opens what somebody must look into, and the limits, which raise alarms.
func (n *Node) openAlarms(ctx context.Context) (err error) {
	n.alarms, err = alarms.New(ctx, alarms.Config{
		Self: n.cfg.Bureau, State: n.rest.store, Book: n.bookEntry, Now: n.now, Logger: n.log,
	})
	if err != nil {
		return fmt.Errorf("alarms: %w", err)
	}
	n.limits, err = limits.New(ctx, limits.Config{
		Self: n.cfg.Bureau, State: n.rest.store, Book: n.bookEntry, Count: n.countTurnedAway, Now: n.now, Logger: n.log,
		Raise: func(ctx context.Context, kind adminv1.AlarmKind, subject, text string) {
			n.raise(ctx, kind, subject, text, "")
		},
	})
	if err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	return nil
}

func (n *Node) raise(ctx context.Context, kind adminv1.AlarmKind, subject, text, evidence string) {
	n.alarms.Raise(ctx, alarms.Alarm{Kind: kind, Subject: subject, Text: text, Evidence: evidence})
}

// witnessAlarms lets the witness raise alarms.
type witnessAlarms struct{ n *Node }

// Raise implements witness.Alarms.
func (w witnessAlarms) Raise(ctx context.Context, a witness.Alarm) error {
	w.n.raise(ctx, a.Kind, a.Subject, a.Text, a.Evidence)
	return nil
}

// unbooked are books of a node that keeps none: for measurements.
type unbooked struct{}

// Record implements gate.Books.
func (unbooked) Record(context.Context, ...journal.Passage) error { return nil }

// RecordAnswered implements gate.Books.
func (unbooked) RecordAnswered(context.Context, journal.Memory, ...journal.Passage) error { return nil }

func (n *Node) newGate(context.Context) error {
	var books gate.Books = n.rest.journal
	if n.opts.Unbooked {
		books = unbooked{}
	}
	n.gate = gate.New(gate.Config{
		Self: n.cfg.Bureau, Federation: n.cfg.Federation, Policy: n.policy.Set, Books: timedBooks{books, n},
		Limits: n.limits, Marker: limits.NewMarker(n.rest.secrets.subjects), Budget: n.opts.Budget, Now: n.now, Logger: n.log,
	})
	return nil
}

// openTree opens the Merkle log over the journal, and the witness of the other bureaus' logs.
func (n *Node) openTree(ctx context.Context) (err error) {
	rosters := func() []*signedv1.Signed { return n.book.History(0) }
	n.tree, err = audit.Open(ctx, audit.Config{
		Dir: n.layout.log(), Federation: n.cfg.Federation, Bureau: n.cfg.Bureau, Replica: n.cfg.Replica,
		Journal: trunk{n.rest.journal}, Signer: n.signer, LogKeys: n.ownLogKeys, Rosters: rosters, Now: n.now, Logger: n.log, Fail: n.opts.Fail,
	})
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	n.witness, err = witness.New(ctx, witness.Config{
		Self: n.cfg.Bureau, Federation: n.cfg.Federation, Keys: n.book, Peers: n.pool, Bureaus: n.answering,
		State: n.rest.store, Alarms: witnessAlarms{n}, Log: n.tree, WriteEvidence: n.writeEvidence, Rosters: rosters,
		Caller:   func(ctx context.Context) (identity.Identity, bool) { return mtls.FromContext(ctx) },
		Exchange: n.opts.Exchange, Now: n.now, Logger: n.log,
	})
	if err != nil {
		return fmt.Errorf("witness: %w", err)
	}
	return nil
}

// ownLogKeys are the log keys under which the own checkpoints are believed: the one that signs, and
// those that the roster names.
func (n *Node) ownLogKeys() []signing.PublicKey {
	keys := []signing.PublicKey{n.signer.LogKey()}
	if named, err := n.book.KeysOf(n.cfg.Bureau, rosterv1.KeyUsage_KEY_USAGE_LOG, n.now()); err == nil {
		for _, k := range named {
			if k.ID() != keys[0].ID() { // twice the same would be ambiguous
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// answering are the other bureaus that are connected now.
func (n *Node) answering() []identity.Bureau {
	var all []identity.Bureau
	for _, p := range n.pool.Peers() {
		if p.GetState() == adminv1.PeerState_PEER_STATE_CONNECTED {
			all = append(all, identity.Bureau(p.GetBureau()))
		}
	}
	return all
}

// writeEvidence writes a file that an alarm names.
func (n *Node) writeEvidence(name string, data []byte) (string, error) {
	path := filepath.Join(n.layout.evidence(), name)
	if err := disk.Replace(disk.OS(), path, data, 0o600); err != nil {
		return "", err
	}
	return filepath.Rel(n.layout.dir, path)
}

// booksInterval is how often the books are looked after: asks past their time are forgotten, what
// is too old is erased, and what is wrong is told.
const booksInterval = time.Minute

// lagAlarm is how far the tree may be behind the journal before somebody must look into it. It
// follows within a second; a minute says that something is wrong.
const lagAlarm = time.Minute

// nodeStarts is the operation of a start, as the books name it.
const nodeStarts = "start-node"

// beginBooks books the start, and has the signer confirm that these are the books whose log it has
// signed, before anything is served.
func (n *Node) beginBooks(ctx context.Context) error {
	if err := n.gate.Began(ctx, nodeStarts, ""); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, confirmPatience)
	defer cancel()
	if err := n.tree.Confirm(ctx); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

// confirmPatience is how long a start waits for the tree: one that is built anew from years of books
// takes minutes, and goes on while the node serves. What the signer refuses it has refused by then.
const confirmPatience = 10 * time.Second

// runBooks runs what follows the journal.
func (n *Node) runBooks(ctx context.Context) {
	n.run(func() {
		if err := n.tree.Run(ctx); err != nil && ctx.Err() == nil {
			// The journal is not the one whose log was signed: nothing may be answered any more.
			n.failed <- fmt.Errorf("log: %w", err)
		}
	})
	n.run(func() { n.witness.Run(ctx) })
	n.run(func() { _ = n.limits.Run(ctx) })
	n.run(func() { n.lookAfterBooks(ctx) })
	n.run(func() { n.checkStore(ctx) })
}

func (n *Node) lookAfterBooks(ctx context.Context) {
	tick, often := time.NewTicker(booksInterval), time.NewTicker(diskInterval)
	defer tick.Stop()
	defer often.Stop()
	disks, old := n.newDiskWatch(), n.newRetention()
	for {
		disks.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-often.C:
			continue
		case <-tick.C:
		}
		n.rest.journal.ForgetAsks(n.now())
		if s := n.tree.Status(); s.Lag > lagAlarm {
			text := fmt.Sprintf("the tree is %s behind the journal", s.Lag.Round(time.Second))
			if s.Trouble != "" {
				text += ": " + s.Trouble
			}
			n.raise(ctx, adminv1.AlarmKind_ALARM_KIND_LOG_LAG, "", text, "")
		}
		n.watchClocks(ctx)
		old.look(ctx)
	}
}

// clockAlarm is by how much another bureau's clock may differ before somebody must look into it:
// half of what its asks may be wrong by default.
const clockAlarm = 15 * time.Second

// watchClocks raises an alarm for each bureau whose clock is far from the own one; for the own
// clock, if most are.
func (n *Node) watchClocks(ctx context.Context) {
	var off []string
	peers := 0
	for _, p := range n.pool.Peers() {
		if p.GetClockSkew() == nil {
			continue
		}
		peers++
		if skew := p.GetClockSkew().AsDuration(); skew > clockAlarm || skew < -clockAlarm {
			off = append(off, p.GetBureau())
		}
	}
	if len(off) > 1 && 2*len(off) > peers {
		n.raise(ctx, adminv1.AlarmKind_ALARM_KIND_CLOCK, "",
			fmt.Sprintf("the clocks of %d of %d bureaus differ from this node's by more than %s: set the own clock (NTP)", len(off), peers, clockAlarm), "")
		return
	}
	for _, b := range off {
		n.raise(ctx, adminv1.AlarmKind_ALARM_KIND_CLOCK, b, fmt.Sprintf("its clock differs from this node's by more than %s: tell it", clockAlarm), "")
	}
}

// smallStore is up to how many records a store is compared with what was written before the node
// serves: about a second's work. A larger one is compared while it serves already.
const smallStore = 50_000

// checkSmallStore refuses to start over a small store that is damaged.
func (n *Node) checkSmallStore(ctx context.Context) error {
	held, err := n.collections(ctx)
	if err != nil {
		return err
	}
	for _, c := range held {
		if n.records += c.GetRecords(); n.records > smallStore {
			return nil
		}
	}
	if err := n.rest.store.Check(ctx, nil); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// checkStore compares what lies in a large store with what was written, once after each start. A
// node whose store is damaged must not go on answering from it.
func (n *Node) checkStore(ctx context.Context) {
	if n.records <= smallStore {
		return // done before the start
	}
	err := n.rest.store.Check(ctx, nil)
	if err == nil || ctx.Err() != nil {
		return
	}
	n.raise(ctx, adminv1.AlarmKind_ALARM_KIND_DAMAGE, "", "the store is damaged, the node has stopped: restore it from a backup", "")
	n.failed <- fmt.Errorf("store: %w", err)
}

// booksStatus is how the books stand.
func (n *Node) booksStatus() *adminv1.BooksStatus {
	s := n.tree.Status()
	b := &adminv1.BooksStatus{Leaves: s.Leaves, Integrated: s.Integrated, Lag: durationpb.New(s.Lag)}
	if !s.SignedAt.IsZero() {
		b.CheckpointAt = timestamppb.New(s.SignedAt)
	}
	return b
}

// closeBooks closes what newGate and those before it have opened, last first.
func (n *Node) closeBooks() error {
	ctx := context.Background()
	var errs []error
	if n.limits != nil {
		errs = append(errs, n.limits.Close(ctx))
	}
	if n.alarms != nil {
		n.alarms.Close(ctx)
	}
	if n.tree != nil {
		errs = append(errs, n.tree.Close())
	}
	if n.signer != nil {
		errs = append(errs, n.signer.Close())
	}
	if n.rest != nil {
		errs = append(errs, n.rest.close())
	}
	return errors.Join(errs...)
}

package witness

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
)

// keptFormat is the format of what is kept. Another one is not read.
const keptFormat = 1

// kept is one log as State has it.
type kept struct {
	Format   int        `json:"format"`
	Origin   string     `json:"origin"`
	Known    *keptNote  `json:"known,omitempty"`
	Top      *keptNote  `json:"top,omitempty"` // the largest, if it is not proven
	Latest   *keptNote  `json:"latest,omitempty"`
	Findings []*finding `json:"findings,omitempty"`
	Last     time.Time  `json:"last"`
}

// keptNote is a checkpoint whose signature held when it was kept.
type keptNote struct {
	Note     []byte    `json:"note"`
	Received time.Time `json:"received"`
	At       time.Time `json:"at,omitzero"`
	By       carriage  `json:"by,omitzero"`
}

func keptOf(s *seen) *keptNote {
	if s == nil {
		return nil
	}
	return &keptNote{Note: s.note, Received: s.received, At: s.at, By: s.by}
}

// seen is the checkpoint again. Its signature is not asked for: its key may be gone since.
func (k *keptNote) seen() (*seen, error) {
	if k == nil {
		return nil, nil
	}
	c, err := evidence.ParseCheckpoint(k.Note)
	if err != nil {
		return nil, err
	}
	return &seen{Checkpoint: c, note: k.Note, received: k.Received, at: k.At, by: k.By}, nil
}

// keep makes what is known of a log durable.
func (w *Witness) keep(ctx context.Context, b *watched, l *log) error {
	k := kept{Format: keptFormat, Origin: l.origin, Known: keptOf(l.known), Latest: keptOf(l.latest), Findings: l.findings, Last: l.last}
	if l.top != l.known {
		k.Top = keptOf(l.top)
	}
	value, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("witness: %w", err)
	}
	return w.cfg.State.PutState(ctx, Room, string(b.bureau)+"/"+l.replica, value)
}

// load reads what is known of all logs.
func (w *Witness) load(ctx context.Context) error {
	all, err := w.cfg.State.ListState(ctx, Room)
	if err != nil {
		return fmt.Errorf("witness: what was known of other logs: %w", err)
	}
	for key, value := range all {
		if err := w.loadOne(key, value); err != nil {
			return fmt.Errorf("witness: what was known of the log %q cannot be read: restore the node's store from its backup: %w", key, err)
		}
	}
	for _, b := range w.all() {
		b.publish()
	}
	return nil
}

func (w *Witness) loadOne(key string, value []byte) error {
	var k kept
	if err := json.Unmarshal(value, &k); err != nil {
		return err
	}
	if k.Format != keptFormat {
		return fmt.Errorf("its format is %d, this program reads %d", k.Format, keptFormat)
	}
	f, bureau, replica, err := evidence.ParseOrigin(k.Origin)
	if err != nil {
		return err
	}
	if f != w.cfg.Federation || key != string(bureau)+"/"+replica {
		return fmt.Errorf("it is about the log %s", k.Origin)
	}
	l := newLog(k.Origin, replica)
	for _, part := range []struct {
		from *keptNote
		to   **seen
	}{{k.Known, &l.known}, {k.Top, &l.top}, {k.Latest, &l.latest}} {
		if *part.to, err = part.from.seen(); err != nil {
			return err
		}
	}
	switch {
	case l.top == nil:
		l.top = l.known
	case !slices.ContainsFunc(k.Findings, func(f *finding) bool { return f.Kind == fork }):
		l.unproven = []*seen{l.top}
	}
	l.findings, l.last = k.Findings, k.Last
	b := w.watch(bureau)
	if b == nil {
		return fmt.Errorf("%s is the own bureau, or one too many", bureau)
	}
	b.logs[k.Origin] = l
	b.rouse()
	return nil
}

// Known is what is known of one log.
type Known struct {
	Bureau  identity.Bureau
	Replica string
	// Checkpoint is the newest that was proven, Note the same as it was signed.
	Checkpoint evidence.Checkpoint
	Note       []byte
	// Since is when it was first seen here, Last when the log was last shown at all.
	Since, Last time.Time
	// Signed is the largest size that was signed. What is between it and the checkpoint is not
	// proven yet.
	Signed uint64
	// Findings are what is wrong: "fork", "shrink", "unproven".
	Findings []string
	// Latest is, of a log that forked, the newest checkpoint of those that were collected since,
	// as it was signed.
	Latest []byte
	// carriers are the messages that carried Note and Latest, as far as they are kept.
	carriers [][]byte
}

// Known returns what is known of every other log, by bureau and replica.
func (w *Witness) Known() []Known {
	var all []Known
	for _, b := range w.all() {
		b.mu.Lock()
		all = append(all, b.snapshot...)
		b.mu.Unlock()
	}
	slices.SortFunc(all, func(x, y Known) int { return strings.Compare(x.Checkpoint.Origin, y.Checkpoint.Origin) })
	return all
}

// publish makes what is known now what Known returns. The caller has the turn, or is alone.
func (b *watched) publish() {
	var all []Known
	var tells [][]byte
	waiting := 0
	for _, l := range b.logs {
		waiting += len(l.unproven)
		tells = append(tells, l.tells()...)
		if l.known == nil {
			continue
		}
		k := Known{Bureau: b.bureau, Replica: l.replica, Checkpoint: l.known.Checkpoint, Note: l.known.note,
			Since: l.known.received, Last: l.last, Signed: l.top.Size}
		k.carriers = appendSome(k.carriers, l.known.by.Signed)
		for _, f := range l.findings {
			if !slices.Contains(k.Findings, f.Kind) {
				k.Findings = append(k.Findings, f.Kind)
			}
		}
		if l.latest != nil {
			k.Latest = l.latest.note
			k.carriers = appendSome(k.carriers, l.latest.by.Signed)
		}
		all = append(all, k)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.snapshot, b.tells, b.known, b.stats.Unproven = all, tells, len(all) > 0, uint64(waiting)
}

func appendSome(list [][]byte, raw []byte) [][]byte {
	if len(raw) > 0 {
		list = append(list, raw)
	}
	return list
}

// Stats counts since the start, for one bureau.
type Stats struct {
	Seen     uint64 // checkpoints that were new when they came
	Dropped  uint64 // of them, those that a flood pushed out before they were looked at
	Invalid  uint64 // those that no log key of the bureau signed, or that cannot be read
	Asked    uint64 // proofs that were asked for
	Proven   uint64 // proofs that held
	Fetched  uint64 // checkpoints that were fetched
	Alarms   uint64 // alarms that were raised, again and again counted each time
	Unproven uint64 // checkpoints that wait for a proof now
	Told     uint64 // checkpoints of others' logs that it told and that were new here
	// Worthless counts what it told of others that no log key of theirs signed, that cannot be
	// read, or that was too much. It says nothing of those others.
	Worthless uint64
}

// Stats returns the counts of every bureau that was heard of.
func (w *Witness) Stats() map[identity.Bureau]Stats {
	all := make(map[identity.Bureau]Stats)
	for _, b := range w.all() {
		b.mu.Lock()
		all[b.bureau] = b.stats
		b.mu.Unlock()
	}
	return all
}

func (b *watched) count(do func(*Stats)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	do(&b.stats)
}

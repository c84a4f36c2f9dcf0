package witness

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
)

// A log that shows two bureaus two histories is consistent towards each of them: it is found where
// they tell each other what they were shown. They do so as long as they run, whoever asks whom.

const (
	// defaultExchange is how often one other bureau, the next in turn, is asked for what it was
	// shown: of 64 bureaus any two have compared within the hour, from either side. A log is asked
	// for one proof at most by each witness in that time, and an answer of 200 logs is 40 KiB.
	defaultExchange = time.Minute
	// maxWitnessed is how many checkpoints one bureau tells another, by the schema. Of more logs, a
	// random choice.
	maxWitnessed = 1024
	// maxWitnessedBytes bounds the same in bytes: a checkpoint of one signature has some 200.
	maxWitnessedBytes = 256 << 10
	// maxCheckpointReply is more than that and the own checkpoint. It bounds what a peer can have
	// unpacked here.
	maxCheckpointReply = 512 << 10
	// maxOfLog is what is told of one log: its newest checkpoint, and the two that contradict each
	// other.
	maxOfLog = 3
	// maxOfOne is what is believed to be told of one bureau at one time. It fits its inbox.
	maxOfOne = maxOfLog * maxLogs
	// retell is for how long the list that is told is not made anew.
	retell = time.Second
	// catchUp is how long the own log may be behind what it has signed before: after a crash its
	// tree is built again from the journal.
	catchUp = 10 * time.Minute
)

// rounds is whose turn it is to be asked.
type rounds struct {
	last identity.Bureau
	n    uint64
}

// pause is the time to the next exchange: Exchange, give or take a quarter. It depends on the
// bureau and on nothing else, so that those who were started together do not ask together.
func (r *rounds) pause(self identity.Bureau, every time.Duration) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(self))
	h.Write(binary.BigEndian.AppendUint64(nil, r.n))
	r.n++
	const parts = 1 << 10
	return every - every/4 + every/(2*parts)*time.Duration(h.Sum64()%parts)
}

// next returns the one of all whose turn it is, by name; "" if there is nobody but self.
func (r *rounds) next(all []identity.Bureau, self identity.Bureau) identity.Bureau {
	var first, after identity.Bureau
	for _, b := range all {
		if b == self {
			continue
		}
		if first == "" || b < first {
			first = b
		}
		if b > r.last && (after == "" || b < after) {
			after = b
		}
	}
	if after == "" {
		after = first
	}
	r.last = after
	return after
}

// exchange has the bureau whose turn it is asked for its checkpoint and for what it was shown.
func (w *Witness) exchange(r *rounds) {
	next := r.next(w.cfg.Bureaus(), w.cfg.Self)
	if next == "" {
		return
	}
	if b := w.watch(next); b != nil {
		b.mu.Lock()
		b.wanted = true
		b.mu.Unlock()
		b.rouse()
	}
}

// shared is what is told to everybody who asks.
type shared struct {
	mu   sync.Mutex
	list []*auditv1.Witnessed // never changed, only replaced
	made time.Time
}

// witnessed returns the checkpoints that other logs have shown here. Everybody is told the same,
// the caller also of its own log: it signed it, and learns so if somebody else signs with its key.
// The list is shared: it is not to be changed.
func (w *Witness) witnessed() []*auditv1.Witnessed {
	s := &w.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	now := w.cfg.Now()
	if age := now.Sub(s.made); !s.made.IsZero() && age >= 0 && age < retell {
		return s.list
	}
	s.list, s.made = nil, now
	size := 0
	for _, b := range w.all() { // in no order, so that what does not fit is another each time
		for _, note := range b.told() {
			const frame = 16 // more than the fields' tags and lengths, and the bureau
			if size += len(note) + frame; size > maxWitnessedBytes || len(s.list) == maxWitnessed {
				return s.list
			}
			s.list = append(s.list, &auditv1.Witnessed{Bureau: string(b.bureau), Checkpoint: note})
		}
	}
	return s.list
}

// tells are the checkpoints of a log that others are told: the largest that was shown here, proven
// or not, and where something is wrong the two that show it, a fork's before a suspicion's: who has
// seen others may be able to prove more.
func (l *log) tells() [][]byte {
	notes := make([][]byte, 0, maxOfLog)
	add := func(note []byte) {
		if len(note) > 0 && len(notes) < maxOfLog && !contains(notes, note) {
			notes = append(notes, note)
		}
	}
	if l.top != nil && l.top.Size > 0 {
		add(l.top.note)
	}
	for _, forks := range []bool{true, false} {
		for _, f := range l.findings {
			if forks == (f.Kind == fork) {
				add(f.Known)
				add(f.Presented)
			}
		}
	}
	return notes
}

func contains(notes [][]byte, note []byte) bool {
	for _, n := range notes {
		if bytes.Equal(n, note) {
			return true
		}
	}
	return false
}

// told returns what others are told of the bureau.
func (b *watched) told() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tells
}

// heed looks at what another bureau was shown. The teller answers for what it tells, and for
// nothing else: what no log key of the subject's has signed is counted against the teller and
// never reaches the subject, whose own checkpoints wait to be looked at there.
func (w *Witness) heed(ctx context.Context, teller *watched, all []*auditv1.Witnessed) {
	fresh, worthless := 0, max(len(all)-maxWitnessed, 0)
	count := make(map[identity.Bureau]int)
	for _, one := range all[:min(len(all), maxWitnessed)] {
		if ctx.Err() != nil {
			break
		}
		subject, err := identity.ParseBureau(one.GetBureau())
		if err != nil {
			worthless++
			continue
		}
		if count[subject]++; count[subject] > maxOfOne {
			worthless++
			continue
		}
		if subject == teller.bureau {
			continue // its own log it shows itself
		}
		note := one.GetCheckpoint()
		if w.heard(subject, note) {
			continue
		}
		now := w.cfg.Now()
		keys, err := w.cfg.Keys.KeysOf(subject, rosterv1.KeyUsage_KEY_USAGE_LOG, now)
		if err != nil {
			continue // it is nobody's fault that two rosters are not of one day
		}
		c, err := evidence.VerifyCheckpoint(note, w.cfg.Federation, subject, keys)
		switch {
		case err != nil:
			worthless++
		case subject == w.cfg.Self:
			w.compareOwn(ctx, teller.bureau, c, note)
		default:
			fresh++
			w.toldBy(teller.bureau, subject, note)
		}
	}
	teller.count(func(st *Stats) {
		st.Told += uint64(fresh)
		st.Worthless += uint64(worthless)
	})
}

// heard says whether a checkpoint is one of those that are told from here: it needs no look.
func (w *Witness) heard(of identity.Bureau, note []byte) bool {
	w.mu.RLock()
	b := w.bureaus[of]
	w.mu.RUnlock()
	return b != nil && contains(b.told(), note)
}

// own is what others tell of the own log.
type own struct {
	mu      sync.Mutex
	subject *watched            // the own bureau, for alarms
	holds   evidence.Checkpoint // the last that was found in the own log
	ahead   uint64              // a size that the own log did not have
	since   time.Time           // and since when
	alarmed time.Time
}

// compareOwn looks whether a checkpoint under the own bureau's key is one of the own log. If not,
// somebody else signs with the key, or the own log is not what it was. The log of another replica
// is that one's to compare.
func (w *Witness) compareOwn(ctx context.Context, teller identity.Bureau, c evidence.Checkpoint, note []byte) {
	o := &w.own
	o.mu.Lock()
	defer o.mu.Unlock()
	// The own newest is read after the other came: whatever was shown to somebody is in it.
	newest := w.cfg.Log.Newest()
	mine, err := evidence.ParseCheckpoint(newest)
	if err != nil || mine.Origin != c.Origin || c.Size == 0 || c == o.holds {
		return
	}
	now := w.cfg.Now()
	f := finding{Kind: fork, FoundAt: now, Known: note, Presented: newest}
	switch {
	case c.Size > mine.Size:
		if o.since.IsZero() || mine.Size >= o.ahead {
			o.ahead, o.since = c.Size, now
		}
		if now.Sub(o.since) < catchUp {
			return
		}
		f.Known, f.Presented = newest, note
	case c.Size == mine.Size:
		if c.Root == mine.Root {
			o.holds = c
			return
		}
	default:
		proof, err := w.cfg.Log.Consistency(ctx, c.Size, mine.Size)
		if err != nil {
			w.cfg.Logger.ErrorContext(ctx, "the own log gave no proof: what another bureau was shown of it is compared next time", "peer", string(teller), "error", err.Error())
			return
		}
		if judge(c, mine, proof.GetProof()) == holds {
			o.holds = c
			return
		}
		f.Given = givenOf(proof)
	}
	if !o.alarmed.IsZero() && now.Sub(o.alarmed) < tellAgain {
		return
	}
	_, _, replica, err := evidence.ParseOrigin(c.Origin)
	if err != nil {
		return
	}
	path, err := w.write(evidenceName(o.subject.bureau, replica, fork, now), w.evidenceOf(o.subject, &f))
	if err != nil {
		w.cfg.Logger.ErrorContext(ctx, "the evidence about the own log could not be written: it is tried again", "error", err.Error())
	}
	text := fmt.Sprintf("%s, log %s: %s tells of %d leaves that a log key of this bureau signed and that are not in its log, which has %d. "+
		"Somebody else signs with the key, or the log was restored from a backup that is older.", o.subject.bureau, replica, teller, c.Size, mine.Size)
	if w.raise(ctx, o.subject, fork, text, path) == nil && path != "" {
		o.alarmed = now
	}
}

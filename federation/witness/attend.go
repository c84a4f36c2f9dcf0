package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// attend looks at one bureau's checkpoints until ctx ends.
func (w *Witness) attend(ctx context.Context, b *watched) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-b.wake:
		}
		due := w.look(ctx, b)
		// Rest, so that a flood is looked at in handfuls, and no bureau's goroutine runs hot.
		timer.Reset(gather)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if due > 0 {
			timer.Reset(max(due-gather, 0))
		}
	}
}

// look is one look at one bureau: at what has come, and then at one thing that is due. It returns
// after how long the next thing is; 0 if there is none. A fault of ours on a stranger's bytes
// costs this look alone.
func (w *Witness) look(ctx context.Context, b *watched) (due time.Duration) {
	b.turn.Lock()
	defer b.turn.Unlock()
	defer func() {
		if v := recover(); v != nil {
			w.cfg.Logger.ErrorContext(ctx, "looking at a log's checkpoint panicked", "peer", string(b.bureau), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			due = lookEvery
		}
		b.publish()
	}()
	for _, s := range b.drain() {
		w.take(ctx, b, s)
	}
	w.tellAll(ctx, b)
	if now := w.cfg.Now(); !now.Before(b.next) {
		if w.ask(ctx, b) {
			b.next = w.cfg.Now().Add(w.cfg.Every)
		}
	}
	return b.due(w.cfg.Now())
}

// ask puts at most one question to the bureau, and says whether it did. Its checkpoint and the
// proofs that are due take turns: an exchange that comes more often than a question may be put
// would leave everything unproven.
func (w *Witness) ask(ctx context.Context, b *watched) bool {
	l, s := b.target(w.cfg.Now())
	b.mu.Lock()
	fetch := b.wanted && (s == nil || !b.fetched)
	if fetch {
		b.wanted = false
	}
	b.mu.Unlock()
	b.fetched = fetch
	switch {
	case fetch:
		w.fetch(ctx, b)
	case s != nil:
		w.prove(ctx, b, l, s)
	}
	return fetch || s != nil
}

// target returns a checkpoint that is to be proven now, and its log; nil if there is none.
func (b *watched) target(now time.Time) (*log, *seen) {
	for _, l := range b.ordered() {
		if s := l.target(now); s != nil {
			return l, s
		}
	}
	return nil, nil
}

// due is after how long something is to be done.
func (b *watched) due(now time.Time) time.Duration {
	var at time.Time
	some := false
	sooner := func(t time.Time) {
		if !some || t.Before(at) {
			at, some = t, true
		}
	}
	for _, l := range b.logs {
		if t, ok := l.due(); ok {
			sooner(t)
		}
	}
	b.mu.Lock()
	if b.wanted {
		sooner(now)
	}
	b.mu.Unlock()
	if !some {
		return 0
	}
	if at.Before(b.next) {
		at = b.next
	}
	return max(at.Sub(now), time.Millisecond)
}

// ordered returns the logs, the one that was asked about longest ago first.
func (b *watched) ordered() []*log {
	all := make([]*log, 0, len(b.logs))
	for _, l := range b.logs {
		all = append(all, l)
	}
	slices.SortFunc(all, func(x, y *log) int {
		if c := x.asked.Compare(y.asked); c != 0 {
			return c
		}
		if x.replica < y.replica {
			return -1
		}
		return 1
	})
	return all
}

// saveLatest is how often what a forked log goes on to show is made durable.
const saveLatest = time.Minute

// maxLogs is how many replicas of one bureau are watched, as many as gossip knows.
const maxLogs = 8

// take believes of a sighting what its signature shows, and finds its place.
func (w *Witness) take(ctx context.Context, b *watched, s sighting) {
	if len(s.note) == 0 {
		w.strange(ctx, b, s, errors.New("it has a log and shows no checkpoint of it any more"), s.way == carried)
		return
	}
	by := w.carriageOf(s)
	// What is known already under this size and root needs no signature: nothing is learned of it.
	if claimed, err := evidence.ParseCheckpoint(s.note); err == nil {
		if l := b.logs[claimed.Origin]; l != nil {
			if known := l.find(claimed.Size); known != nil && known.Root == claimed.Root && l.orderOf(claimed.Size, s, by) == inOrder {
				if s.way != told {
					l.last = s.received
					if known.told && bytes.Equal(known.note, s.note) {
						l.show(known, s, by)
					}
				}
				return
			}
		}
	}
	c, replica, err := w.open(s.note, b.bureau, s.received)
	if err != nil {
		w.strange(ctx, b, s, err, false)
		return
	}
	if c.Size == 0 && c.Root != emptyRoot() {
		w.strange(ctx, b, s, errors.New("its root of no leaves is not that of the empty tree"), false)
		return
	}
	l := b.logs[c.Origin]
	switch {
	case l == nil && c.Size == 0:
		return // it has none yet
	case l == nil && len(b.logs) >= maxLogs:
		w.strange(ctx, b, s, fmt.Errorf("it shows more than %d logs", maxLogs), false)
		return
	case l == nil:
		l = newLog(c.Origin, replica)
		b.logs[c.Origin] = l
	}
	o := l.orderOf(c.Size, s, by)
	if o == dated {
		w.strange(ctx, b, s, errors.New("it is smaller than one before, and its message is dated back"), false)
		return
	}
	if s.way != told {
		l.last = s.received
		b.odd = oddities{told: b.odd.told}
	}
	w.place(ctx, b, l, &seen{Checkpoint: c, note: s.note, received: s.received, at: s.at, by: by, told: s.way == told}, o)
}

// place compares a checkpoint, whose signature holds, with the others of its log.
func (w *Witness) place(ctx context.Context, b *watched, l *log, n *seen, o order) {
	if known := l.find(n.Size); known != nil && known.Root != n.Root {
		if l.known == nil {
			l.known = known // what came first stays what is known
		}
		w.found(ctx, b, l, finding{Kind: fork, Why: fmt.Sprintf("it signed two different logs of %d leaves", n.Size)}, known, n)
		l.collect(n)
		return
	}
	if o == backwards {
		w.found(ctx, b, l, finding{Kind: shrink,
			Why: fmt.Sprintf("it signed %d leaves, and clearly later %d", l.top.Size, n.Size)}, l.top, n)
	}
	if l.forked() {
		l.collect(n)
		if now := w.cfg.Now(); now.Sub(l.saved) >= saveLatest {
			l.saved = now
			if err := w.keep(ctx, b, l); err != nil {
				w.cfg.Logger.ErrorContext(ctx, "what a forked log shows could not be kept", "peer", string(b.bureau), "error", err.Error())
			}
		}
		return
	}
	if n.Size > 0 && l.find(n.Size) == nil {
		l.add(n)
	}
}

// open verifies a note as a checkpoint of a bureau's log.
func (w *Witness) open(note []byte, of identity.Bureau, at time.Time) (evidence.Checkpoint, string, error) {
	keys, err := w.cfg.Keys.KeysOf(of, rosterv1.KeyUsage_KEY_USAGE_LOG, at)
	if err != nil {
		return evidence.Checkpoint{}, "", err
	}
	c, err := evidence.VerifyCheckpoint(note, w.cfg.Federation, of, keys)
	if err != nil {
		return evidence.Checkpoint{}, "", err
	}
	_, _, replica, err := evidence.ParseOrigin(c.Origin)
	return c, replica, err
}

// clock is by which clock a message is dated.
type clock int

const (
	noClock  clock = iota
	ourClock       // an ask is dated in the answerer's time
	itsClock       // an answer in its signer's
)

// carriage is what is kept of the message that carried a checkpoint.
type carriage struct {
	Clock     clock  `json:"clock,omitempty"`
	MessageID string `json:"message_id,omitempty"`
	// Teller is, if none carried it here, the bureau that told it.
	Teller string `json:"teller,omitempty"`
	// Signed is the message, if it is one that tells of nobody: what is kept here is not erased
	// with a record.
	Signed []byte `json:"signed,omitempty"`
}

// maxCarrier bounds a message that is kept for its time: an answer of no hit is a few lines, and
// its padding.
const maxCarrier = 8 << 10

// carriageOf reads what is kept of a carrier. What cannot be read is not kept.
func (w *Witness) carriageOf(s sighting) carriage {
	switch s.carrier.GetPayloadType() {
	case signing.PayloadType(signing.KindAsk, w.cfg.Federation):
		// An ask tells whom it is about: its id alone is kept.
		var ask queryv1.Ask
		if proto.Unmarshal(s.carrier.GetPayload(), &ask) == nil {
			return carriage{Clock: ourClock, MessageID: idOf(ask.GetAskId())}
		}
	case signing.PayloadType(signing.KindAnswer, w.cfg.Federation):
		var answer queryv1.Answer
		if proto.Unmarshal(s.carrier.GetPayload(), &answer) == nil {
			return carriage{Clock: itsClock, MessageID: idOf(answer.GetAskId()), Signed: silent(s.carrier, &answer)}
		}
	}
	return carriage{Teller: string(s.teller)}
}

// silent returns an answer's container if the answer tells of nobody.
func silent(s *signedv1.Signed, answer *queryv1.Answer) []byte {
	for _, r := range answer.GetResults() {
		if r.GetStatus() != queryv1.Status_STATUS_NO_HIT && r.GetStatus() != queryv1.Status_STATUS_REFUSED || len(r.GetHits()) > 0 {
			return nil
		}
	}
	if proto.Size(s) > maxCarrier || len(answer.ProtoReflect().GetUnknown()) > 0 {
		return nil
	}
	raw, err := proto.Marshal(s)
	if err != nil {
		return nil
	}
	return raw
}

// idOf returns a message's id if it is one: it stands in alarms.
func idOf(id string) string {
	if uuid.Validate(id) != nil {
		return ""
	}
	return id
}

// oddities counts what a bureau showed, in a row, that is no checkpoint of it.
type oddities struct {
	count int
	since time.Time
	told  time.Time // when an alarm was last raised
}

// plainly says why in own words: what the bureau sent is not repeated in logs and alarms.
func plainly(why error) string {
	switch {
	case errors.Is(why, evidence.ErrCheckpointSignature):
		return "no log key of it signed what it shows"
	case errors.Is(why, evidence.ErrCheckpoint):
		return "what it shows is not a checkpoint"
	default:
		return why.Error()
	}
}

// oddEvery is how often an alarm is raised again over what goes on.
const oddEvery = time.Hour

// strange counts what cannot be believed: a key that is not in the roster yet and the passing
// fault of a program are nothing; what goes on is an alarm. enough says that it went on already.
func (w *Witness) strange(ctx context.Context, b *watched, s sighting, why error, enough bool) {
	b.mu.Lock()
	b.stats.Invalid++
	b.mu.Unlock()
	if s.way == told {
		return // whoever told it may have made it up
	}
	w.cfg.Logger.DebugContext(ctx, "a checkpoint is not believed", "peer", string(b.bureau), "error", plainly(why))
	if b.odd.count++; b.odd.count == 1 {
		b.odd.since = s.received
	}
	if !enough && (b.odd.count < w.cfg.Tries || s.received.Sub(b.odd.since) < w.cfg.Patience) {
		return
	}
	if !b.odd.told.IsZero() && s.received.Sub(b.odd.told) < oddEvery {
		return
	}
	b.odd.told = s.received
	w.raiseOdd(ctx, b, s, why)
}

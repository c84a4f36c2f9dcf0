package witness

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/evidence"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

const (
	// callTime bounds one call: a proof is a few hashes, and a log that computes it reads a few
	// files.
	callTime = 10 * time.Second
	// maxReply is more than a proof of the greatest depth.
	maxReply = 16 << 10
	// firstDelay and lastDelay bound the rest after a question that failed, doubled each time.
	firstDelay = time.Second
	lastDelay  = 5 * time.Minute
	// maxWrong is how often in a row a proof must not hold: one may come from a program that was
	// stopped in the middle of its work.
	maxWrong = 2
)

var (
	errWrongProof = errors.New("the proof that it gave does not hold")
	errOtherLog   = errors.New("another replica of it answered, with another log")
)

// prove asks for the proof between a checkpoint and the one that is known, and goes by it.
func (w *Witness) prove(ctx context.Context, b *watched, l *log, s *seen) {
	if l.known == nil {
		// The first that is seen of a log is believed: from here on it can only grow.
		w.advance(ctx, b, l, s)
		return
	}
	l.asked = w.cfg.Now()
	older, newer := l.known, s
	if s.Size < l.known.Size {
		older, newer = s, l.known
	}
	l.back = s == newer // an older one has its turn next, if one waits
	given, err := w.consistency(ctx, b, older.Checkpoint, newer.Checkpoint)
	b.count(func(st *Stats) { st.Asked++ })
	if err == nil {
		switch judge(older.Checkpoint, newer.Checkpoint, given.GetProof()) {
		case holds:
			b.count(func(st *Stats) { st.Proven++ })
			if s == newer {
				w.advance(ctx, b, l, s)
			} else {
				l.drop(s)
				l.remember(s)
			}
			return
		case contradicts:
			w.found(ctx, b, l, finding{Kind: fork, Given: givenOf(given),
				Why: fmt.Sprintf("by its own proof, its log of %d leaves does not begin with the %d leaves that it signed", newer.Size, older.Size)}, older, newer)
			l.collect(newer)
			return
		case showsNothing:
			err = errWrongProof
		}
	}
	w.unanswered(ctx, b, l, s, err, given)
}

// advance makes a checkpoint the one that is known: durable first, so that after a crash nothing
// that was relied on is forgotten. What is compared and what is kept cannot change between the
// two: both are this bureau's turn.
func (w *Witness) advance(ctx context.Context, b *watched, l *log, s *seen) {
	before, findings := l.known, l.findings
	l.known = s
	l.settle()
	top := l.top
	if s.Size > top.Size { // it was told, and is proven now
		l.top = s
	}
	if err := w.keep(ctx, b, l); err != nil {
		l.known, l.findings, l.top = before, findings, top
		w.cfg.Logger.ErrorContext(ctx, "a log's checkpoint could not be kept: it is tried again", "peer", string(b.bureau), "error", err.Error())
		s.effort.next = w.cfg.Now().Add(lookEvery)
		return
	}
	l.drop(s)
	if before != nil {
		l.remember(before)
	}
}

// unanswered counts a question whose answer did not serve, and says when it has been enough.
func (w *Witness) unanswered(ctx context.Context, b *watched, l *log, s *seen, err error, given *auditv1.Consistency) {
	now := w.cfg.Now()
	b.mu.Lock()
	heard := b.heard
	b.mu.Unlock()
	e := &s.effort
	wrong := errors.Is(err, errWrongProof)
	// A bureau that is down owes no proof. One that speaks to us and cannot be asked does.
	if wrong || errors.Is(err, errOtherLog) || refused(err) || heard.After(e.last) {
		if e.tries++; e.since.IsZero() {
			e.since = now
		}
	}
	if wrong {
		e.wrong++
	} else {
		e.wrong = 0
	}
	e.last = now
	e.delay = min(max(2*e.delay, firstDelay), lastDelay)
	e.next = now.Add(e.delay)
	w.cfg.Logger.InfoContext(ctx, "a log did not prove that it grows", "peer", string(b.bureau), "replica", l.replica,
		"known", l.known.Size, "shown", s.Size, "try", e.tries, "error", err.Error())
	f := finding{Kind: unproven}
	switch {
	case e.wrong >= maxWrong:
		f.Given = givenOf(given)
		f.Why = fmt.Sprintf("the proofs that it gives between %d and %d leaves do not hold: its log may have forked", min(l.known.Size, s.Size), max(l.known.Size, s.Size))
	case e.tries >= w.cfg.Tries && now.Sub(e.since) >= w.cfg.Patience:
		f.Why = fmt.Sprintf("in %d tries it gave no proof between %d and %d leaves", e.tries, min(l.known.Size, s.Size), max(l.known.Size, s.Size))
	default:
		if !e.kept && s == l.top {
			// What was signed and is not proven must outlive this process too.
			e.kept = w.keep(ctx, b, l) == nil
		}
		return
	}
	w.found(ctx, b, l, f, l.known, s)
	if s != l.top && s.Size < l.known.Size {
		l.drop(s)
	}
}

// refused says whether the bureau's node itself turned the question down, as against a line that
// does not work.
func refused(err error) bool {
	if _, spoke := fault.ReasonOf(err); spoke {
		return true
	}
	switch status.Code(err) {
	case codes.OK, codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unknown:
		return false
	default:
		return true
	}
}

// call makes one call to a bureau, within its time. The bound is no deadline: a deadline that
// passes tells federation/peers that the bureau is down, for everybody, and a slow proof is not
// worth an ask.
func (w *Witness) call(ctx context.Context, b *watched, do func(context.Context, auditv1.WitnessServiceClient) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := time.AfterFunc(callTime, cancel)
	defer stop.Stop()
	select {
	case w.calls <- struct{}{}:
		defer func() { <-w.calls }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return w.cfg.Peers.Do(ctx, b.bureau, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		return do(ctx, auditv1.NewWitnessServiceClient(conn))
	})
}

// consistency asks for the proof between two checkpoints. What it returns has the right shape.
func (w *Witness) consistency(ctx context.Context, b *watched, older, newer evidence.Checkpoint) (*auditv1.Consistency, error) {
	var given *auditv1.Consistency
	err := w.call(ctx, b, func(ctx context.Context, log auditv1.WitnessServiceClient) error {
		given = nil
		r, err := log.GetConsistency(ctx, &auditv1.GetConsistencyRequest{From: older.Size, To: newer.Size}, grpc.MaxCallRecvMsgSize(maxReply))
		if err != nil {
			return err
		}
		if given, err = shaped(r.GetConsistency(), older.Size, newer.Size); err != nil {
			return err
		}
		if judge(older, newer, given.GetProof()) != showsNothing {
			return nil
		}
		// The question does not name a log, so that another replica may have answered it for its
		// own: then it would answer this on the same line too.
		c, err := log.GetCheckpoint(ctx, &auditv1.GetCheckpointRequest{}, grpc.MaxCallRecvMsgSize(maxCheckpointReply))
		if err != nil {
			return err
		}
		if now, _, err := w.open(c.GetCheckpoint(), b.bureau, w.cfg.Now()); err == nil && now.Origin != older.Origin {
			return errOtherLog
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return given, nil
}

// shaped holds an answer to its schema: what comes from a peer was checked by nobody.
func shaped(c *auditv1.Consistency, from, to uint64) (*auditv1.Consistency, error) {
	const maxHashes = 128
	if c == nil || c.GetFrom() != from || c.GetTo() != to || len(c.GetProof()) > maxHashes {
		return nil, status.Error(codes.DataLoss, "the answer is no proof between the two sizes")
	}
	for _, hash := range c.GetProof() {
		if len(hash) != evidence.DigestSize {
			return nil, status.Error(codes.DataLoss, "the answer's proof is not made of hashes")
		}
	}
	return &auditv1.Consistency{From: from, To: to, Proof: c.GetProof()}, nil
}

// fetch asks a bureau for its newest checkpoint and for what it was shown, and looks at both.
func (w *Witness) fetch(ctx context.Context, b *watched) {
	asked := w.cfg.Now()
	var note []byte
	var others []*auditv1.Witnessed
	err := w.call(ctx, b, func(ctx context.Context, log auditv1.WitnessServiceClient) error {
		r, err := log.GetCheckpoint(ctx, &auditv1.GetCheckpointRequest{}, grpc.MaxCallRecvMsgSize(maxCheckpointReply))
		note, others = r.GetCheckpoint(), r.GetWitnessed()
		return err
	})
	if err != nil {
		// The next look at who is quiet asks again.
		w.cfg.Logger.InfoContext(ctx, "a bureau did not show its log's checkpoint", "peer", string(b.bureau), "error", err.Error())
		return
	}
	b.count(func(st *Stats) { st.Fetched++ })
	b.mu.Lock()
	known := b.known
	if len(note) > 0 {
		b.shown = asked
	}
	b.mu.Unlock()
	if len(note) > 0 || known {
		w.take(ctx, b, sighting{note: note, received: asked, way: fetched})
	}
	w.heed(ctx, b, others)
}

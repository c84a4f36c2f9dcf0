package witness

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Views returns every other log as it is seen from here, each as evidence without a finding, so
// that two bureaus can compare what a third has shown them: a log that is consistent towards each
// of them may still be two logs. One of them writes its views into a file, the other gives them to
// Examine, or an auditor gives both to Compare.
func (w *Witness) Views() []*auditv1.LogEvidence {
	rosters := w.cfg.Rosters()
	var all []*auditv1.LogEvidence
	for _, k := range w.Known() {
		e := &auditv1.LogEvidence{
			Federation: string(w.cfg.Federation),
			Bureau:     string(k.Bureau),
			Known:      k.Note,
			Presented:  k.Latest,
			FoundAt:    timestamppb.New(k.Last),
			FoundBy:    string(w.cfg.Self),
			Rosters:    rosters,
		}
		for _, raw := range k.carriers {
			var s signedv1.Signed
			if proto.Unmarshal(raw, &s) == nil {
				e.Carriers = append(e.Carriers, &s)
			}
		}
		all = append(all, e)
	}
	return all
}

// Verdict is what two views of one log come to.
type Verdict string

// The verdicts.
const (
	// Same: both saw the same checkpoint.
	Same Verdict = "same"
	// Unsettled: they saw different sizes. A proof between the two, which the log owes to anybody,
	// settles it.
	Unsettled Verdict = "unsettled"
	// Consistent: a proof shows that they saw one log that grew.
	Consistent Verdict = "consistent"
	// Forked: they saw two logs. Evidence proves it to anybody.
	Forked Verdict = "forked"
	// Unproven: the log gave no proof that holds. Evidence has what it gave.
	Unproven Verdict = "unproven"
)

// Comparison is what comparing two checkpoints of one log came to.
type Comparison struct {
	Bureau  identity.Bureau
	Origin  string
	Verdict Verdict
	// Older and Newer are the two, by size.
	Older, Newer evidence.Checkpoint
	// Evidence is there if the log forked or is unproven.
	Evidence *auditv1.LogEvidence
	// Reason says why there is no proof.
	Reason string

	olderNote, newerNote []byte
}

// ErrOtherLog says that two views are not of one log and say nothing about each other.
var ErrOtherLog = errors.New("the views are of two logs")

// Open returns the checkpoint in a signed note if a log key of the bureau signed it.
// evidence.VerifyCheckpoint with the keys of the rosters that are trusted is one.
type Open func(note []byte, of identity.Bureau) (evidence.Checkpoint, error)

// Compare compares two bureaus' views of one log, offline, each checkpoint of one with each of the
// other. It fails with ErrOtherLog for views of two logs, and for one whose checkpoint cannot be
// opened: then its maker shows something that the log has not signed.
func Compare(a, b *auditv1.LogEvidence, open Open) ([]Comparison, error) {
	if a.GetFederation() != b.GetFederation() || a.GetBureau() != b.GetBureau() {
		return nil, fmt.Errorf("%w: of %.3s in %.80q and of %.3s in %.80q", ErrOtherLog, a.GetBureau(), a.GetFederation(), b.GetBureau(), b.GetFederation())
	}
	of, err := identity.ParseBureau(a.GetBureau())
	if err != nil {
		return nil, err
	}
	var all []Comparison
	for _, noteA := range notesOf(a) {
		x, err := open(noteA, of)
		if err != nil {
			return nil, fmt.Errorf("the view of %.3s: %w", a.GetFoundBy(), err)
		}
		for _, noteB := range notesOf(b) {
			y, err := open(noteB, of)
			if err != nil {
				return nil, fmt.Errorf("the view of %.3s: %w", b.GetFoundBy(), err)
			}
			if x.Origin != y.Origin {
				return nil, fmt.Errorf("%w: %q and %q", ErrOtherLog, x.Origin, y.Origin)
			}
			c := compare(of, x, y, noteA, noteB)
			if c.Verdict == Forked {
				c.Evidence = c.evidence(a, fork, nil)
				c.Evidence.Carriers = append(c.Evidence.Carriers, b.GetCarriers()...)
				c.Evidence.Carriers = c.Evidence.Carriers[:min(len(c.Evidence.Carriers), maxCarriers)]
			}
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("a view holds no checkpoint")
	}
	return all, nil
}

const maxCarriers = 4 // of evidence, by its schema

// notesOf returns a view's checkpoints.
func notesOf(view *auditv1.LogEvidence) [][]byte {
	var notes [][]byte
	return appendSome(appendSome(notes, view.GetKnown()), view.GetPresented())
}

// compare says what two checkpoints of one log show by themselves.
func compare(of identity.Bureau, x, y evidence.Checkpoint, noteX, noteY []byte) Comparison {
	c := Comparison{Bureau: of, Origin: x.Origin, Verdict: Unsettled, Older: x, Newer: y, olderNote: noteX, newerNote: noteY}
	switch {
	case x.Size > y.Size:
		c.Older, c.Newer, c.olderNote, c.newerNote = y, x, noteY, noteX
	case x.Size == y.Size && x.Root == y.Root:
		c.Verdict = Same
	case x.Size == y.Size:
		c.Verdict = Forked
	}
	return c
}

// Settle decides an unsettled comparison by a proof that the log gave. a is one of its two views.
func (c *Comparison) Settle(a *auditv1.LogEvidence, given *auditv1.Consistency) {
	if c.Verdict != Unsettled {
		return
	}
	r := showsNothing
	if given.GetFrom() == c.Older.Size && given.GetTo() == c.Newer.Size {
		r = judge(c.Older, c.Newer, given.GetProof())
	}
	switch r {
	case holds:
		c.Verdict = Consistent
	case contradicts:
		c.Verdict, c.Evidence = Forked, c.evidence(a, fork, given)
	case showsNothing:
		c.Verdict, c.Evidence = Unproven, c.evidence(a, unproven, given)
		c.Reason = errWrongProof.Error()
	}
}

// evidence is the comparison as outsiders read it, on behalf of who made the view.
func (c *Comparison) evidence(view *auditv1.LogEvidence, kind string, given *auditv1.Consistency) *auditv1.LogEvidence {
	return &auditv1.LogEvidence{
		Federation: view.GetFederation(), Bureau: string(c.Bureau), Finding: kind,
		Known: c.olderNote, Presented: c.newerNote, Given: given,
		Carriers: view.GetCarriers(), FoundAt: view.GetFoundAt(), FoundBy: view.GetFoundBy(), Rosters: view.GetRosters(),
	}
}

// Examine compares another bureau's view of a log with the own one, and asks the log for the proof
// where the sizes differ. What it finds is kept and alarmed like everything else. It waits for the
// log; an error says that the view is not one of a log that is known here.
func (w *Witness) Examine(ctx context.Context, view *auditv1.LogEvidence) ([]Comparison, error) {
	of, err := identity.ParseBureau(view.GetBureau())
	if err != nil {
		return nil, err
	}
	if view.GetFederation() != string(w.cfg.Federation) {
		return nil, fmt.Errorf("%w: the view is of the federation %.80q, this is %s", ErrOtherLog, view.GetFederation(), w.cfg.Federation)
	}
	if of == w.cfg.Self {
		return nil, fmt.Errorf("%w: the view is of the own log", ErrOtherLog)
	}
	b := w.watch(of)
	if b == nil {
		return nil, fmt.Errorf("%w: nothing is known of %s", ErrOtherLog, of)
	}
	b.turn.Lock()
	defer b.turn.Unlock()
	defer b.publish()
	var all []Comparison
	for _, note := range notesOf(view) {
		c, err := w.examine(ctx, b, note)
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("the view holds no checkpoint")
	}
	return all, nil
}

// examine is Examine of one checkpoint. The caller has the turn.
func (w *Witness) examine(ctx context.Context, b *watched, note []byte) (Comparison, error) {
	now := w.cfg.Now()
	theirs, _, err := w.open(note, b.bureau, now)
	if err != nil {
		return Comparison{}, fmt.Errorf("the view's checkpoint: %w", err)
	}
	l := b.logs[theirs.Origin]
	if l == nil || l.known == nil {
		w.Told(b.bureau, note) // from now on it is known
		return Comparison{}, fmt.Errorf("%w: the log %s was not seen here before: compare again in a while", ErrOtherLog, theirs.Origin)
	}
	n := &seen{Checkpoint: theirs, note: note, received: now}
	own := l.known
	if same := l.find(n.Size); same != nil {
		own = same
	}
	c := compare(b.bureau, own.Checkpoint, theirs, own.note, note)
	given, why := (*auditv1.Consistency)(nil), "they signed one size"
	if c.Verdict == Unsettled {
		given, err = w.settle(ctx, b, &c)
		if err != nil {
			c.Reason = err.Error()
		}
		why = "asked for the proof, it gave one of another log"
	}
	if c.Verdict == Forked {
		older, newer := own, n
		if n.Size < own.Size {
			older, newer = n, own
		}
		f := finding{Kind: fork, Why: "it shows another bureau another log than this one: " + why}
		if given != nil {
			f.Given = givenOf(given)
		}
		w.found(ctx, b, l, f, older, newer)
		l.collect(n)
	}
	if c.Verdict == Unproven || c.Verdict == Unsettled {
		w.Told(b.bureau, note) // it is asked for again, and that it stays so is an alarm
	}
	if c.Verdict == Forked || c.Verdict == Unproven {
		kind := fork
		if c.Verdict == Unproven {
			kind = unproven
		}
		c.Evidence = c.evidence(&auditv1.LogEvidence{
			Federation: string(w.cfg.Federation), FoundAt: timestamppb.New(now), FoundBy: string(w.cfg.Self), Rosters: w.cfg.Rosters(),
		}, kind, given)
	}
	return c, nil
}

// settle asks the log for the proof. Without an answer the comparison stays unsettled.
func (w *Witness) settle(ctx context.Context, b *watched, c *Comparison) (*auditv1.Consistency, error) {
	given, err := w.consistency(ctx, b, c.Older, c.Newer)
	b.next = w.cfg.Now().Add(w.cfg.Every)
	if err != nil {
		return nil, err
	}
	c.Settle(&auditv1.LogEvidence{}, given)
	return given, nil
}

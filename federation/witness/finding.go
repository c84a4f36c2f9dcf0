package witness

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// The findings. A fork is proven to anybody: by two checkpoints of one size with two roots, or by
// a proof of the log's own that its newer tree does not begin with its older one. A shrink, fewer
// leaves clearly later, is proven by the times of the messages that carried both, as far as they
// are in the evidence; the books hold them under their ids. Unproven is a suspicion: no proof that
// the log grows, for long, or one that does not hold.
const (
	fork     = evidence.Fork
	shrink   = evidence.Shrink
	unproven = evidence.Unproven
)

// finding is something wrong with a log, with all that shows it but the rosters. It is durable
// before it is told, and told again after a crash between the two.
type finding struct {
	Kind      string    `json:"kind"`
	Why       string    `json:"why"`
	FoundAt   time.Time `json:"found_at"`
	Known     []byte    `json:"known,omitempty"`
	Presented []byte    `json:"presented,omitempty"`
	Given     *given    `json:"given,omitempty"`
	Carriers  [][]byte  `json:"carriers,omitempty"`
	Messages  []string  `json:"messages,omitempty"` // the carriers' ids
	Tellers   []string  `json:"tellers,omitempty"`  // the bureaus that told what was not carried here
	Path      string    `json:"path,omitempty"`     // of the evidence, once it is written
	Told      bool      `json:"told,omitempty"`     // with the evidence

	retry time.Time // not before
	again time.Time // when what goes on is told again
}

// given is the proof that a log gave.
type given struct {
	From  uint64   `json:"from"`
	To    uint64   `json:"to"`
	Proof [][]byte `json:"proof"`
}

func givenOf(c *auditv1.Consistency) *given {
	return &given{From: c.GetFrom(), To: c.GetTo(), Proof: c.GetProof()}
}

const (
	// tellAgain is how often an alarm over something that goes on is raised again.
	tellAgain = time.Hour
	// retryTelling is after how long a file that could not be written is tried again.
	retryTelling = time.Minute
	maxText      = 512 // of an alarm, by its schema
)

// found keeps a finding, writes its evidence and raises the alarm. A second one of the same kind
// in one log adds nothing to the first; that it goes on is told.
func (w *Witness) found(ctx context.Context, b *watched, l *log, f finding, known, presented *seen) {
	now := w.cfg.Now()
	for _, old := range l.findings {
		// A proof that fails says more than none: it takes the place of a mere silence.
		if old.Kind != f.Kind || old.Given == nil && f.Given != nil && f.Kind == unproven {
			continue
		}
		if old.Told && !now.Before(old.again) {
			old.Told, old.retry = false, now
			w.tell(ctx, b, l, old)
		}
		return
	}
	f.FoundAt, f.Known, f.Presented = now, known.note, presented.note
	for _, s := range []*seen{known, presented} {
		if s.by.MessageID != "" {
			f.Messages = append(f.Messages, s.by.MessageID)
		}
		if s.by.Teller != "" {
			f.Tellers = append(f.Tellers, s.by.Teller)
		}
		if len(s.by.Signed) > 0 {
			f.Carriers = append(f.Carriers, s.by.Signed)
		}
	}
	l.findings = append(l.findings, &f)
	if err := w.keep(ctx, b, l); err != nil {
		// It is told all the same: of a disk that is full the operator hears too.
		w.cfg.Logger.ErrorContext(ctx, "what was found of a log could not be kept", "peer", string(b.bureau), "finding", f.Kind, "error", err.Error())
	}
	w.tell(ctx, b, l, &f)
}

// settle drops what a proof that came after all has answered. The alarm stays for a person. No
// proof of what is shown here answers for what was told and is still ahead of it.
func (l *log) settle() {
	var rest []*finding
	for _, f := range l.findings {
		if f.Kind != unproven || l.ahead(f.Presented) {
			rest = append(rest, f)
		}
	}
	l.findings = rest
}

// ahead says whether a checkpoint was told, is not proven and is newer than what is known.
func (l *log) ahead(note []byte) bool {
	for _, s := range l.unproven {
		if s.told && s.Size > l.known.Size && bytes.Equal(s.note, note) {
			return true
		}
	}
	return false
}

// tellAll tells what was found and not told yet.
func (w *Witness) tellAll(ctx context.Context, b *watched) {
	now := w.cfg.Now()
	for _, l := range b.logs {
		for _, f := range l.findings {
			if !f.Told && !now.Before(f.retry) {
				w.tell(ctx, b, l, f)
			}
		}
	}
}

// tell writes the evidence and raises the alarm. What fails is done again, file and alarm alike:
// it is better told twice than not.
func (w *Witness) tell(ctx context.Context, b *watched, l *log, f *finding) {
	now := w.cfg.Now()
	f.retry = now.Add(retryTelling)
	if f.Path == "" {
		e := w.evidenceOf(b, f)
		path, err := w.write(evidenceName(b.bureau, l.replica, f.Kind, f.FoundAt), e)
		if err != nil {
			w.cfg.Logger.ErrorContext(ctx, "the evidence about a log could not be written: it is tried again", "peer", string(b.bureau), "finding", f.Kind, "error", err.Error())
		}
		f.Path = path
	}
	text := fmt.Sprintf("%s, log %s: %s.", b.bureau, l.replica, f.Why)
	if len(f.Messages) > 0 {
		text += fmt.Sprintf(" Carried by the messages %s.", join(f.Messages))
	}
	if len(f.Tellers) > 0 {
		text += fmt.Sprintf(" Told by %s.", join(f.Tellers))
	}
	if err := w.raise(ctx, b, f.Kind, text, f.Path); err != nil || f.Path == "" {
		return
	}
	f.Told, f.again = true, now.Add(tellAgain)
	if err := w.keep(ctx, b, l); err != nil {
		w.cfg.Logger.ErrorContext(ctx, "that an alarm was raised could not be kept: it will be raised again", "peer", string(b.bureau), "error", err.Error())
	}
}

func evidenceName(of identity.Bureau, replica, kind string, at time.Time) string {
	return fmt.Sprintf("log-%s-%s-%s-%s.pem", of, replica, kind, at.UTC().Format("20060102T150405.000"))
}

func join(ids []string) string {
	text := ids[0]
	for _, id := range ids[1:] {
		text += " and " + id
	}
	return text
}

// raise raises an alarm over a bureau's log.
func (w *Witness) raise(ctx context.Context, b *watched, kind, text, path string) error {
	alarm := Alarm{Subject: string(b.bureau), Text: text[:min(len(text), maxText)], Evidence: path}
	switch kind {
	case fork:
		alarm.Kind = adminv1.AlarmKind_ALARM_KIND_LOG_FORK
	case shrink:
		alarm.Kind = adminv1.AlarmKind_ALARM_KIND_LOG_SHRINK
	default:
		alarm.Kind = adminv1.AlarmKind_ALARM_KIND_LOG_UNPROVEN
	}
	b.count(func(st *Stats) { st.Alarms++ })
	w.cfg.Logger.WarnContext(ctx, "a log is not what it must be", "peer", string(b.bureau), "finding", kind, "evidence", path)
	if err := w.cfg.Alarms.Raise(ctx, alarm); err != nil {
		w.cfg.Logger.ErrorContext(ctx, "an alarm could not be raised", "peer", string(b.bureau), "finding", kind, "error", err.Error())
		return err
	}
	return nil
}

// raiseOdd raises the alarm over what is no checkpoint of the bureau at all. It is not kept: if it
// goes on, it is found again.
func (w *Witness) raiseOdd(ctx context.Context, b *watched, s sighting, why error) {
	f := finding{Kind: unproven, FoundAt: w.cfg.Now()}
	if len(s.note) <= evidence.MaxCheckpoint {
		f.Presented = s.note
	}
	if all := b.ordered(); len(all) > 0 && all[len(all)-1].known != nil {
		f.Known = all[len(all)-1].known.note
	}
	if by := w.carriageOf(s); len(by.Signed) > 0 {
		f.Carriers = [][]byte{by.Signed}
	}
	name := fmt.Sprintf("log-%s-unbelieved-%s.pem", b.bureau, f.FoundAt.UTC().Format("20060102T150405.000"))
	path, err := w.write(name, w.evidenceOf(b, &f))
	if err != nil {
		w.cfg.Logger.ErrorContext(ctx, "the evidence about a log could not be written", "peer", string(b.bureau), "error", err.Error())
	}
	if w.raise(ctx, b, unproven, fmt.Sprintf("%s shows no checkpoint that can be believed: %s.", b.bureau, plainly(why)), path) != nil {
		b.odd.told = time.Time{}
	}
}

// evidenceOf is a finding as outsiders read it.
func (w *Witness) evidenceOf(b *watched, f *finding) *auditv1.LogEvidence {
	e := &auditv1.LogEvidence{
		Federation: string(w.cfg.Federation),
		Bureau:     string(b.bureau),
		Finding:    f.Kind,
		Known:      f.Known,
		Presented:  f.Presented,
		FoundAt:    timestamppb.New(f.FoundAt),
		FoundBy:    string(w.cfg.Self),
		Rosters:    w.cfg.Rosters(),
	}
	if f.Given != nil {
		e.Given = &auditv1.Consistency{From: f.Given.From, To: f.Given.To, Proof: f.Given.Proof}
	}
	for _, raw := range f.Carriers {
		var s signedv1.Signed
		if proto.Unmarshal(raw, &s) == nil {
			e.Carriers = append(e.Carriers, &s)
		}
	}
	return e
}

func (w *Witness) write(name string, e *auditv1.LogEvidence) (string, error) {
	text, err := evidence.EncodeLogEvidence(e)
	if err != nil {
		return "", err
	}
	return w.cfg.WriteEvidence(name, text)
}

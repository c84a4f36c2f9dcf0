// Package alarms keeps what a person must look into until somebody has: another bureau's log that
// forked, an asker who empties a collection, damage of the own node.
//
// It finds nothing itself and reacts to nothing: whoever finds something raises it. An alarm holds
// no personal data; what shows it is a file of its own, which it names.
//
// One flow: the witness finds that a checkpoint of ESP does not belong to the log that it knew. It
// writes the evidence into a file and calls Raise. The alarm is saved, booked as an entry of kind
// ALARM, logged, and stands in the node's status; when the same is found again, it counts up. An
// operator looks into it and calls Clear with a note, which is booked.
package alarms

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// The bounds of an alarm (admin_service.proto).
const (
	maxSubject  = 128
	maxText     = 512
	maxEvidence = 512
	maxNote     = 512
	// maxOpen bounds how many are open; GetStatusResponse holds 1,000. Beyond, the one that was seen
	// last longest ago gives way: it stands in the books.
	maxOpen = 1000
	// saveEvery is how often an alarm that counts up is saved: what is new is saved at once.
	saveEvery = time.Second
)

const room = "alarms"

// State keeps small values durably.
type State interface {
	PutState(ctx context.Context, room, key string, value []byte) error
	ListState(ctx context.Context, room string) (map[string][]byte, error)
	DeleteState(ctx context.Context, room, key string) error
}

// Alarm is what is raised.
type Alarm struct {
	Kind adminv1.AlarmKind
	// Subject is whom it is about: a bureau's id, an agency, or nothing for the own node. The same
	// kind and subject is the same alarm.
	Subject string
	// Text says what was found and what to do, without personal data.
	Text string
	// Evidence is the file that shows it, in the node's folder. Optional.
	Evidence string
}

// Config is what alarms are made of.
type Config struct {
	Self  identity.Bureau
	State State
	// Book writes an entry of kind ALARM into the books, when an alarm is raised first and when it is
	// cleared ("cleared:log-fork", with the note).
	Book   func(ctx context.Context, e *auditv1.Entry) error
	Now    func() time.Time // Optional.
	Logger *slog.Logger     // Optional.
}

// Alarms are the alarms that are open. They are safe for concurrent use.
type Alarms struct {
	cfg Config

	mu          sync.Mutex
	open        map[key]*kept
	subscribers map[int]func()
	next        int
}

// key is what makes two alarms the same.
type key struct {
	kind    adminv1.AlarmKind
	subject string
}

// kept is an open alarm. Alarms.mu owns it.
type kept struct {
	alarm  *adminv1.Alarm
	saved  time.Time
	stale  bool // it is not saved as it is
	booked bool
}

// New returns the alarms with those that State has kept.
func New(ctx context.Context, cfg Config) (*Alarms, error) {
	switch {
	case cfg.State == nil:
		return nil, errors.New("alarms: config: State is needed")
	case cfg.Book == nil:
		return nil, errors.New("alarms: config: Book is needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Alarms{cfg: cfg, open: map[key]*kept{}, subscribers: map[int]func(){}}
	values, err := cfg.State.ListState(ctx, room)
	if err != nil {
		return nil, fmt.Errorf("alarms: read what was saved: %w", err)
	}
	for id, value := range values {
		alarm := &adminv1.Alarm{}
		if err := proto.Unmarshal(value, alarm); err != nil || alarm.GetAlarmId() != id {
			return nil, fmt.Errorf("alarms: the saved alarm %s is damaged (%w): restore the node's store from a backup; if there is none, delete its state \"alarms\": every alarm stands in the books", id, cmp.Or(err, errors.New("it has another id")))
		}
		a.open[key{alarm.GetKind(), alarm.GetSubject()}] = &kept{alarm: alarm, booked: true}
	}
	return a, nil
}

// Raise raises an alarm, or counts it up if the same is open. It never fails: an alarm that
// cannot be saved or booked stands in the status and in the log all the same, and is saved and
// booked when it is raised again.
func (a *Alarms) Raise(ctx context.Context, what Alarm) {
	ctx = context.WithoutCancel(ctx) // what was found does not vanish with the call that found it
	now := a.cfg.Now()
	what.Subject, what.Text, what.Evidence = atMost(what.Subject, maxSubject), atMost(what.Text, maxText), atMost(what.Evidence, maxEvidence)
	k := key{what.Kind, what.Subject}

	a.mu.Lock()
	o := a.open[k]
	first := o == nil
	if first {
		o = &kept{alarm: &adminv1.Alarm{AlarmId: uuid.NewString(), Kind: what.Kind, Subject: what.Subject, RaisedAt: timestamppb.New(now)}}
		a.makeRoom(ctx)
		a.open[k] = o
	}
	o.alarm.Text, o.alarm.LastAt = what.Text, timestamppb.New(now)
	if what.Evidence != "" {
		o.alarm.Evidence = what.Evidence
	}
	o.alarm.Count++
	o.stale = true
	book := !o.booked
	o.booked = true // by this call; another that comes meanwhile must not book it too
	save := first || now.Sub(o.saved) >= saveEvery || now.Before(o.saved)
	told := proto.CloneOf(o.alarm)
	a.mu.Unlock()

	if book {
		a.cfg.Logger.WarnContext(ctx, "alarm", slog.String("alarm", Word(what.Kind)), slog.String("subject", what.Subject),
			slog.String("text", what.Text), slog.String("evidence", what.Evidence), slog.String("id", told.GetAlarmId()))
		if err := a.cfg.Book(ctx, a.entry(told, now)); err != nil {
			a.cfg.Logger.ErrorContext(ctx, "an alarm could not be booked; tried again when it is raised again", slog.String("id", told.GetAlarmId()), slog.Any("error", err))
			a.mu.Lock()
			o.booked = false
			a.mu.Unlock()
		}
	}
	if save {
		a.save(ctx, k, o)
	}
	if first {
		a.tellAll()
	}
}

// save saves an alarm if it is still open.
func (a *Alarms) save(ctx context.Context, k key, o *kept) {
	a.mu.Lock()
	defer a.mu.Unlock() // so that an alarm that is cleared meanwhile is not saved again after it
	if a.open[k] != o || !o.stale {
		return
	}
	value, err := proto.Marshal(o.alarm)
	if err == nil {
		err = a.cfg.State.PutState(ctx, room, o.alarm.GetAlarmId(), value)
	}
	if err != nil {
		a.cfg.Logger.ErrorContext(ctx, "an alarm could not be saved", slog.String("id", o.alarm.GetAlarmId()), slog.Any("error", err))
		return
	}
	o.saved, o.stale = a.cfg.Now(), false
}

// makeRoom drops the alarm that was seen last longest ago if there are as many as there may be.
// The caller holds the lock.
func (a *Alarms) makeRoom(ctx context.Context) {
	if len(a.open) < maxOpen {
		return
	}
	var oldest key
	for k, o := range a.open {
		if old := a.open[oldest]; old == nil || o.alarm.GetLastAt().AsTime().Before(old.alarm.GetLastAt().AsTime()) {
			oldest = k
		}
	}
	gone := a.open[oldest].alarm
	delete(a.open, oldest)
	a.cfg.Logger.WarnContext(ctx, "too many alarms are open: the oldest gave way; it stands in the books", slog.String("id", gone.GetAlarmId()))
	if err := a.cfg.State.DeleteState(ctx, room, gone.GetAlarmId()); err != nil {
		a.cfg.Logger.ErrorContext(ctx, "an alarm could not be deleted", slog.String("id", gone.GetAlarmId()), slog.Any("error", err))
	}
}

// Open returns the alarms that nobody has cleared, newest first.
func (a *Alarms) Open() []*adminv1.Alarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]*adminv1.Alarm, 0, len(a.open))
	for _, o := range a.open {
		all = append(all, proto.CloneOf(o.alarm))
	}
	slices.SortFunc(all, func(x, y *adminv1.Alarm) int {
		return cmp.Or(y.GetRaisedAt().AsTime().Compare(x.GetRaisedAt().AsTime()), cmp.Compare(x.GetAlarmId(), y.GetAlarmId()))
	})
	return all
}

// Count returns how many alarms of each kind are open, with a row for every kind.
func (a *Alarms) Count() map[adminv1.AlarmKind]int {
	counts := map[adminv1.AlarmKind]int{}
	for n := range adminv1.AlarmKind_name {
		if n != 0 {
			counts[adminv1.AlarmKind(n)] = 0
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range a.open {
		counts[k.kind]++
	}
	return counts
}

// Clear closes an alarm that somebody has looked into; note says what was found. It is booked and
// durably closed when Clear returns. If the same is found again, that is a new alarm. It fails with
// ALARM_NOT_FOUND, and with MALFORMED_REQUEST for a note that is missing or too long.
func (a *Alarms) Clear(ctx context.Context, id, note string) error {
	if strings.TrimSpace(note) == "" || utf8.RuneCountInString(note) > maxNote {
		return fault.New(codes.InvalidArgument, fault.MalformedRequest, "note", fmt.Sprintf("say in 1 to %d characters what was found: it stands in the books", maxNote))
	}
	a.mu.Lock()
	var k key
	var o *kept
	for each, open := range a.open {
		if open.alarm.GetAlarmId() == id {
			k, o = each, open
		}
	}
	a.mu.Unlock()
	if o == nil {
		return fault.New(codes.NotFound, fault.AlarmNotFound, "alarm_id", "there is no such alarm, or it was cleared before: entente status lists those that are open")
	}
	if err := a.cfg.Book(ctx, a.cleared(o.alarm, note)); err != nil {
		return fmt.Errorf("alarms: book that %s is cleared: %w", id, err)
	}
	a.mu.Lock()
	err := a.cfg.State.DeleteState(ctx, room, id)
	if err == nil && a.open[k] == o {
		delete(a.open, k)
	}
	a.mu.Unlock()
	if err != nil {
		return fmt.Errorf("alarms: clear %s: %w", id, err)
	}
	a.cfg.Logger.InfoContext(ctx, "an alarm was cleared", slog.String("id", id), slog.String("alarm", Word(k.kind)), slog.String("subject", k.subject))
	a.tellAll()
	return nil
}

// Close saves what has counted up since it was saved last.
func (a *Alarms) Close(ctx context.Context) {
	a.mu.Lock()
	stale := map[key]*kept{}
	for k, o := range a.open {
		stale[k] = o
	}
	a.mu.Unlock()
	for k, o := range stale {
		a.save(ctx, k, o)
	}
}

// Subscribe has a function called whenever an alarm is opened or closed, until unsubscribe is. It
// must not block.
func (a *Alarms) Subscribe(changed func()) (unsubscribe func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.next
	a.next++
	a.subscribers[n] = changed
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.subscribers, n)
	}
}

func (a *Alarms) tellAll() {
	a.mu.Lock()
	all := make([]func(), 0, len(a.subscribers))
	for _, s := range a.subscribers {
		all = append(all, s)
	}
	a.mu.Unlock()
	for _, changed := range all {
		changed()
	}
}

// entry is how an alarm stands in the books. Its object is the subject and the file, which hold no
// personal data.
func (a *Alarms) entry(alarm *adminv1.Alarm, at time.Time) *auditv1.Entry {
	e := &auditv1.Entry{
		Salt:      make([]byte, 16),
		MessageId: alarm.GetAlarmId(),
		Kind:      auditv1.EntryKind_ENTRY_KIND_ALARM,
		Direction: auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL,
		Bureau:    string(a.cfg.Self),
		At:        timestamppb.New(at),
		Operation: Word(alarm.GetKind()),
		Object:    object(alarm.GetSubject(), alarm.GetEvidence()),
		Count:     alarm.GetCount(),
	}
	_, _ = rand.Read(e.Salt) // never fails (crypto/rand)
	return e
}

func (a *Alarms) cleared(alarm *adminv1.Alarm, note string) *auditv1.Entry {
	a.mu.Lock()
	alarm = proto.CloneOf(alarm)
	a.mu.Unlock()
	e := a.entry(alarm, a.cfg.Now())
	e.Operation = "cleared:" + e.GetOperation()
	e.Object = object(alarm.GetSubject(), note)
	return e
}

// object puts two texts into the field of the books that holds them.
func object(subject, rest string) string {
	const maxObject = 512
	if rest != "" {
		subject = strings.TrimSpace(subject + " " + rest)
	}
	return atMost(subject, maxObject)
}

// Word is a kind as it stands in the books, in logs and in metrics: "log-fork".
func Word(kind adminv1.AlarmKind) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(kind.String(), "ALARM_KIND_")), "_", "-")
}

// atMost cuts a text to a number of bytes, between two characters; what is no text becomes one.
func atMost(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= limit {
		return s
	}
	for !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

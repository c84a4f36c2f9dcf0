package alarms_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/alarms"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// drawer is a state that survives the alarms that use it.
type drawer struct {
	mu     sync.Mutex
	values map[string][]byte
	puts   int
	broken bool
}

func (d *drawer) PutState(_ context.Context, room, key string, value []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken || room != "alarms" {
		return errors.New("no space left")
	}
	d.values[key] = slices.Clone(value)
	d.puts++
	return nil
}

func (d *drawer) ListState(context.Context, string) (map[string][]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.values), nil
}

func (d *drawer) DeleteState(_ context.Context, _, key string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken {
		return errors.New("no space left")
	}
	delete(d.values, key)
	return nil
}

// books keep what was booked.
type books struct {
	mu      sync.Mutex
	entries []*auditv1.Entry
	broken  atomic.Bool
}

func (b *books) book(_ context.Context, e *auditv1.Entry) error {
	if b.broken.Load() {
		return errors.New("no space left")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries = append(b.entries, e)
	return nil
}

func open(t *testing.T, d *drawer, b *books) *alarms.Alarms {
	t.Helper()
	a, err := alarms.New(t.Context(), alarms.Config{Self: "BEL", State: d, Book: b.book})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var fork = alarms.Alarm{
	Kind: adminv1.AlarmKind_ALARM_KIND_LOG_FORK, Subject: "ESP",
	Text: "the log of ESP forked: compare the two checkpoints", Evidence: "evidence/ESP-fork.log-evidence",
}

func TestAlarmFromRaisedToCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := &drawer{values: map[string][]byte{}}, &books{}
		a := open(t, d, b)
		var told atomic.Int64
		unsubscribe := a.Subscribe(func() { told.Add(1) })
		a.Raise(t.Context(), fork)
		first := time.Now()
		for range 9 {
			time.Sleep(time.Minute)
			a.Raise(t.Context(), fork)
		}
		a.Raise(t.Context(), alarms.Alarm{Kind: fork.Kind, Subject: "FRA", Text: "another"})
		got := a.Open()
		if len(got) != 2 || got[0].GetSubject() != "FRA" {
			t.Fatalf("open %v", got)
		}
		esp := got[1]
		if esp.GetCount() != 10 || !esp.GetRaisedAt().AsTime().Equal(first) || !esp.GetLastAt().AsTime().Equal(first.Add(9*time.Minute)) || esp.GetEvidence() != fork.Evidence {
			t.Errorf("alarm %v", esp)
		}
		if len(b.entries) != 2 || told.Load() != 2 {
			t.Errorf("%d entries, told %d times: only what is new is booked and told", len(b.entries), told.Load())
		}
		e := b.entries[0]
		if e.GetKind() != auditv1.EntryKind_ENTRY_KIND_ALARM || e.GetOperation() != "log-fork" || e.GetMessageId() != esp.GetAlarmId() || e.GetBureau() != "BEL" || !strings.Contains(e.GetObject(), "ESP") || len(e.GetSalt()) != 16 {
			t.Errorf("entry %v", e)
		}

		// A node that is started again knows them; after a crash too, for they are saved at once.
		again := open(t, d, b)
		if diff := cmp.Diff(got, again.Open(), protocmp.Transform()); diff != "" {
			t.Errorf("after a restart: %s", diff)
		}
		again.Raise(t.Context(), fork)
		if len(b.entries) != 2 || again.Open()[1].GetCount() != 11 {
			t.Errorf("%d entries, %v", len(b.entries), again.Open())
		}

		for name, c := range map[string]struct {
			id, note string
			reason   fault.Reason
		}{
			"no note":     {esp.GetAlarmId(), " ", fault.MalformedRequest},
			"a long note": {esp.GetAlarmId(), strings.Repeat("x", 513), fault.MalformedRequest},
			"no alarm":    {"11111111-2222-3333-4444-555555555555", "x", fault.AlarmNotFound},
		} {
			if reason, _ := fault.ReasonOf(again.Clear(t.Context(), c.id, c.note)); reason != c.reason {
				t.Errorf("%s: %v", name, reason)
			}
		}
		b.broken.Store(true)
		if err := again.Clear(t.Context(), esp.GetAlarmId(), "spoke with Madrid"); err == nil || len(again.Open()) != 2 {
			t.Errorf("cleared without being booked: %v", err)
		}
		b.broken.Store(false)
		if err := again.Clear(t.Context(), esp.GetAlarmId(), "spoke with Madrid"); err != nil {
			t.Fatal(err)
		}
		if last := b.entries[len(b.entries)-1]; last.GetOperation() != "cleared:log-fork" || last.GetObject() != "ESP spoke with Madrid" || last.GetCount() != 11 {
			t.Errorf("entry %v", last)
		}
		if len(again.Open()) != 1 || len(open(t, d, b).Open()) != 1 {
			t.Error("a cleared alarm is open")
		}
		again.Raise(t.Context(), fork) // the same again is new
		if got := again.Open(); len(got) != 2 || got[0].GetCount() != 1 || got[0].GetAlarmId() == esp.GetAlarmId() {
			t.Errorf("open %v", got)
		}
		unsubscribe()
	})
}

// TestAlarmStorm holds that counting up is saved at most once a second, and the last count at Close.
func TestAlarmStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := &drawer{values: map[string][]byte{}}, &books{}
		a := open(t, d, b)
		for range 1000 {
			a.Raise(t.Context(), fork)
			time.Sleep(10 * time.Millisecond)
		}
		if d.puts > 11 || len(b.entries) != 1 {
			t.Errorf("%d saves and %d entries in ten seconds", d.puts, len(b.entries))
		}
		a.Close(t.Context())
		if got := open(t, d, b).Open(); got[0].GetCount() != 1000 {
			t.Errorf("count %d", got[0].GetCount())
		}
	})
}

func TestNoMoreThanAResponseHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := &drawer{values: map[string][]byte{}}, &books{}
		a := open(t, d, b)
		for i := range 1500 {
			a.Raise(t.Context(), alarms.Alarm{Kind: fork.Kind, Subject: fmt.Sprint(i), Text: strings.Repeat("ü", 600)})
			time.Sleep(time.Millisecond)
		}
		got := a.Open()
		if len(got) != 1000 || len(d.values) != 1000 || got[0].GetSubject() != "1499" || len(b.entries) != 1500 {
			t.Errorf("%d open, %d saved, newest %s, %d booked", len(got), len(d.values), got[0].GetSubject(), len(b.entries))
		}
		if text := got[0].GetText(); len(text) > 512 || !strings.HasSuffix(text, "ü") {
			t.Errorf("a text of %d bytes", len(text))
		}
		if c := a.Count(); c[fork.Kind] != 1000 || len(c) != len(adminv1.AlarmKind_name)-1 {
			t.Errorf("counts %v", c)
		}
	})
}

// An alarm is never lost to a full disk: it stands in the status, and is written when that works.
func TestAlarmWhileNothingCanBeWritten(t *testing.T) {
	d, b := &drawer{values: map[string][]byte{}, broken: true}, &books{}
	b.broken.Store(true)
	a := open(t, d, b)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the call that found it is over
	a.Raise(ctx, fork)
	if len(a.Open()) != 1 || len(d.values) != 0 || len(b.entries) != 0 {
		t.Errorf("open %v", a.Open())
	}
	d.mu.Lock()
	d.broken = false
	d.mu.Unlock()
	b.broken.Store(false)
	a.Raise(ctx, fork)
	if len(d.values) != 1 || len(b.entries) != 1 || b.entries[0].GetCount() != 2 {
		t.Errorf("%d saved, booked %v", len(d.values), b.entries)
	}
}

func TestDamagedAlarms(t *testing.T) {
	for name, value := range map[string]string{"no message": "\xff", "another's": "\x0a\x03abc"} {
		d := &drawer{values: map[string][]byte{"11111111-2222-3333-4444-555555555555": []byte(value)}}
		_, err := alarms.New(t.Context(), alarms.Config{Self: "BEL", State: d, Book: (&books{}).book})
		if err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAlarmsFromManySides(t *testing.T) {
	d, b := &drawer{values: map[string][]byte{}}, &books{}
	a := open(t, d, b)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				a.Raise(t.Context(), alarms.Alarm{Kind: fork.Kind, Subject: fmt.Sprint(j % 5)})
				if j%50 == 49 && i == 0 {
					_ = a.Clear(t.Context(), a.Open()[0].GetAlarmId(), "seen")
				}
				a.Count()
			}
		})
	}
	all.Wait()
	a.Close(t.Context())
	if diff := cmp.Diff(a.Open(), open(t, d, b).Open(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

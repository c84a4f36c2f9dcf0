package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/disk"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// desk notes the alarms that are raised.
type desk struct{ open []*adminv1.Alarm }

func (d *desk) raise(_ context.Context, kind adminv1.AlarmKind, subject, text, _ string) {
	d.open = append(d.open, &adminv1.Alarm{Kind: kind, Subject: subject, Text: text})
}

func (d *desk) alarms() []*adminv1.Alarm { return d.open }

// The mesh is turned away while a disk is almost full, and no longer.
func TestDiskReserve(t *testing.T) {
	const gib = 1 << 30
	rooms := map[string]disk.Room{"a": {Free: 500 * gib, Total: 1000 * gib}, "b": {}}
	var holds []bool
	var d desk
	w := &diskWatch{
		dirs: []string{"missing", "a", "b"},
		free: func(path string) (disk.Room, error) {
			room, ok := rooms[path]
			if !ok {
				return room, errors.New("no such folder")
			}
			return room, nil
		},
		hold: func(h bool) { holds = append(holds, h) }, raise: d.raise, log: slog.New(slog.DiscardHandler),
	}
	for _, step := range []struct {
		dir         string
		free, total uint64
		want        []bool
		alarms      int
	}{
		{"a", gib, 1000 * gib, nil, 0},
		{"a", gib - 1, 1000 * gib, []bool{true}, 1},
		{"a", gib + gib/8, 1000 * gib, []bool{true}, 1}, // not yet
		{"a", 2 * gib, 1000 * gib, []bool{true, false}, 1},
		{"b", gib / 2, 10 * gib, []bool{true, false}, 1}, // of a small one less is kept
		{"b", gib / 8, 10 * gib, []bool{true, false, true}, 2},
		{"b", 0, 0, []bool{true, false, true, false}, 2}, // not known
	} {
		rooms[step.dir] = disk.Room{Free: step.free, Total: step.total}
		w.look(t.Context())
		w.look(t.Context())
		if !slices.Equal(holds, step.want) || len(d.open) != step.alarms {
			t.Errorf("%d of %d free: held %v, want %v; %d alarms, want %d", step.free, step.total, holds, step.want, len(d.open), step.alarms)
		}
	}
	if a := d.open[0]; a.GetKind() != adminv1.AlarmKind_ALARM_KIND_DAMAGE || a.GetSubject() != "disk" {
		t.Errorf("alarm %v", a)
	}
}

// drawer is a state in memory.
type drawer map[string][]byte

func (d drawer) GetState(_ context.Context, room, key string) ([]byte, bool, error) {
	v, ok := d[room+"/"+key]
	return v, ok, nil
}

func (d drawer) PutState(_ context.Context, room, key string, value []byte) error {
	d[room+"/"+key] = value
	return nil
}

// Nothing is erased by age after the clock has jumped, until somebody has looked into it; a restart
// does not change that.
func TestRetentionBelievesNoJump(t *testing.T) {
	start := time.Date(2026, 6, 1, 8, 0, 0, 0, time.UTC)
	now := start
	state, d := drawer{}, &desk{}
	var before []time.Time
	started := func() *retention {
		return &retention{
			days: 1095, state: state, alarms: d.alarms, raise: d.raise, now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler),
			retain: func(_ context.Context, b time.Time) (int, error) { before = append(before, b); return 0, nil },
		}
	}
	r := started()
	for range 3 * 24 {
		r.look(t.Context())
		now = now.Add(time.Hour)
	}
	d.raise(t.Context(), adminv1.AlarmKind_ALARM_KIND_CLOCK, "ESP", "its clock differs", "")
	now = now.Add(24 * time.Hour)
	if r.look(t.Context()); len(before) != 4 {
		t.Error("nothing is erased by age because another bureau's clock is wrong")
	}
	before, d.open = before[:3], nil
	if len(before) != 3 || !before[2].Equal(start.AddDate(0, 0, 2-1095)) || len(d.open) > 0 {
		t.Fatalf("in three days: %v, %v", before, d.open)
	}
	for _, jump := range []time.Duration{3 * 365 * 24 * time.Hour, -2 * 365 * 24 * time.Hour} {
		before, d.open = nil, nil
		now = now.Add(jump)
		for _, restarted := range []bool{false, true, true} {
			if restarted {
				r = started()
			}
			for range 3 * 24 {
				r.look(t.Context())
				now = now.Add(time.Hour)
			}
			if len(before) > 0 || len(d.open) != 1 || d.open[0].GetKind() != adminv1.AlarmKind_ALARM_KIND_CLOCK {
				t.Fatalf("after a jump of %s: %v, %v", jump, before, d.open)
			}
		}
		d.open = nil // somebody has
		now = now.Add(24 * time.Hour)
		if r.look(t.Context()); len(before) != 1 {
			t.Errorf("once the alarm is cleared: %v", before)
		}
	}
	state[clockRoom+"/"+clockKey] = []byte("x")
	before = nil
	now = now.Add(48 * time.Hour)
	if r.look(t.Context()); len(before) > 0 {
		t.Error("what was noted is damaged, and something was erased")
	}
}

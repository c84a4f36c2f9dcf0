package dualcontrol

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// MassRoom is the room of the durable state in which it is counted who brought and took how many
// records.
const MassRoom = "masses"

// tallyVersion is the form in which a count is kept.
const tallyVersion = 1

// tallyHours is over how many hours rows are added up, besides the hour under way.
const tallyHours = 24

// Tally adds up how many records each person has brought and taken within a day, so that a mass is
// one also when it comes in small parts. It is not safe for concurrent use.
type Tally struct {
	state State
	now   func() time.Time
	kept  map[string]count // by tallyKey
}

// count is what one person did of one operation, by the hour.
type count struct {
	Version int              `json:"version"`
	Hours   map[int64]uint64 `json:"hours"` // rows, by the hour since 1970
}

// OpenTally returns the tally as it was kept. One that cannot be read is an error: to begin anew
// would forgive what was done.
func OpenTally(ctx context.Context, s State, now func() time.Time) (*Tally, error) {
	t := &Tally{state: s, now: now, kept: map[string]count{}}
	rows, err := s.ListState(ctx, MassRoom)
	if err != nil {
		return nil, fmt.Errorf("tally of masses: %w", err)
	}
	for key, value := range rows {
		c, err := decodeCount(value)
		if err != nil {
			return nil, fmt.Errorf("tally of masses: %w: restore the store from a backup", err)
		}
		t.kept[key] = c
		if t.sum(key) == 0 {
			if err := s.DeleteState(ctx, MassRoom, key); err != nil {
				return nil, fmt.Errorf("tally of masses: %w", err)
			}
			delete(t.kept, key)
		}
	}
	return t, nil
}

func decodeCount(value []byte) (count, error) {
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	var c count
	if err := d.Decode(&c); err != nil {
		return count{}, fmt.Errorf("unreadable: %w", err)
	}
	if d.More() || c.Version != tallyVersion || c.Hours == nil {
		return count{}, errors.New("unreadable: not a count that this program knows")
	}
	return c, nil
}

func tallyKey(who, operation string) string { return operation + " " + who }

func (t *Tally) hour() int64 { return t.now().Unix() / 3600 }

// Rows is how many rows of an operation a person has brought or taken within the last 24 hours, by
// full hours.
func (t *Tally) Rows(who, operation string) uint64 { return t.sum(tallyKey(who, operation)) }

func (t *Tally) sum(key string) uint64 {
	hour, sum := t.hour(), uint64(0)
	for h, rows := range t.kept[key].Hours {
		if h >= hour-tallyHours { // also what a clock that was ahead has written
			sum = plus(sum, rows)
		}
	}
	return sum
}

// Add counts rows, durably.
func (t *Tally) Add(ctx context.Context, who, operation string, rows uint64) error {
	if rows == 0 {
		return nil
	}
	key, hour := tallyKey(who, operation), t.hour()
	next := count{Version: tallyVersion, Hours: map[int64]uint64{}}
	for h, n := range t.kept[key].Hours {
		if h >= hour-tallyHours {
			h = min(h, hour) // what a clock that was ahead has written ends a day from now
			next.Hours[h] = plus(next.Hours[h], n)
		}
	}
	next.Hours[hour] = plus(next.Hours[hour], rows)
	value, err := json.Marshal(next)
	if err == nil {
		err = t.state.PutState(ctx, MassRoom, key, value)
	}
	if err != nil {
		return fmt.Errorf("tally of masses: %w", err)
	}
	t.kept[key] = next
	return nil
}

// plus adds, and stays at the largest number instead of beginning again at zero.
func plus(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

package screening

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/vault"
)

// State keeps small things where the records are. *store.Store is one.
type State interface {
	GetState(ctx context.Context, room, key string) ([]byte, bool, error)
	PutState(ctx context.Context, room, key string, value []byte) error
}

// The room and the keys of what is kept of an index.
const (
	stateRoom       = "index"
	stateSaving     = "saved"
	stateThresholds = "thresholds"
)

// SaveIn says where the index is saved, and what belongs to it is kept. It is called before the first
// Load.
func (h *Holdings) SaveIn(saved *Saved, state State) { h.saved, h.state = saved, state }

const (
	upkeepInterval = time.Minute
	// saveRest is the least time between two savings: a list of a million persons is a gigabyte.
	saveRest = 10 * time.Minute
	// leastChanges and changesShare are how many changes a saved index lacks at the most before it is
	// saved again: as many as are read in a moment, or one in so many of all.
	leastChanges = 1000
	changesShare = 10
)

// Upkeep saves the index where it is due, and beside that measures its thresholds, until ctx ends.
func (h *Holdings) Upkeep(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { h.upkeepMeasured(ctx) })
	defer both.Wait()
	tick := time.NewTicker(upkeepInterval)
	defer tick.Stop()
	for {
		if h.saveDue() {
			if err := h.Save(ctx); err != nil && ctx.Err() == nil {
				h.logger.WarnContext(ctx, "the index of persons is not saved: the next start reads all records", slog.Any("error", err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// upkeepMeasured measures the thresholds where that is due, not before a node that starts has had
// time for other things.
func (h *Holdings) upkeepMeasured(ctx context.Context) {
	tick := time.NewTicker(upkeepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := h.measure(ctx); err != nil && ctx.Err() == nil {
			h.logger.WarnContext(ctx, "the thresholds of the index of persons are not measured", slog.Any("error", err))
		}
	}
}

func (h *Holdings) saveDue() bool {
	if h.saved == nil || h.held().Len() == 0 {
		return false
	}
	h.saving.Lock()
	defer h.saving.Unlock()
	if since := h.now().Sub(h.savedAt); since >= 0 && since < saveRest {
		return false
	}
	return !h.saved.Whole() || h.changed.Load() >= max(leastChanges, int64(h.held().Len()/changesShare))
}

// Save saves the index, if it is not saved as it is. Those who search, and those who change records,
// do not wait for it. Somebody who is erased or withdrawn meanwhile ends it without a saved index, and
// without an error: it is saved another time.
func (h *Holdings) Save(ctx context.Context) error {
	if h.saved == nil {
		return nil
	}
	h.saving.Lock()
	defer h.saving.Unlock()
	if err := h.Load(ctx); err != nil {
		return err
	}
	if h.held().Len() == 0 || h.saved.Whole() && h.changed.Load() == 0 {
		return nil
	}
	h.savedAt = h.now()
	// The key before the snapshot: whoever is erased from now on destroys it, and whoever was erased
	// before is not in what is read of the store from now on.
	w, err := h.saved.begin()
	if err != nil {
		return err
	}
	h.loading.Lock()
	err = h.load(ctx)
	seq, snapshot, changed := h.seq, h.held().Snapshot(), h.changed.Load()
	h.loading.Unlock()
	if err == nil {
		err = h.write(w, seq, snapshot)
	}
	if err != nil {
		return errors.Join(err, w.abandon())
	}
	if err := w.end(); err != nil {
		if errors.Is(err, errForgotten) {
			return nil
		}
		return err
	}
	h.changed.Add(-changed)
	if err := h.state.PutState(ctx, stateRoom, stateSaving, w.id()); err != nil {
		return errors.Join(err, h.saved.Forget()) // it would not be believed
	}
	return nil
}

// write writes what the index stands for, and the index.
func (h *Holdings) write(w io.Writer, seq int64, snapshot *match.Snapshot) error {
	head := binary.BigEndian.AppendUint64(nil, uint64(seq))
	for _, text := range []string{string(h.self), h.saved.c.Version} {
		head = append(binary.BigEndian.AppendUint32(head, uint32(len(text))), text...)
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	return snapshot.Save(w)
}

// fromSaved reads the index from where it was saved, and tells whether it could. It is all of it or
// nothing; what cannot be read is forgotten.
func (h *Holdings) fromSaved(ctx context.Context) bool {
	if h.saved == nil {
		return false
	}
	persons, seq, err := h.readSaved(ctx)
	switch {
	case err == nil:
		h.hold(persons, seq)
		return true
	case errors.Is(err, fs.ErrNotExist), ctx.Err() != nil:
		return false
	case errors.Is(err, vault.ErrDestroyed):
		// Somebody was erased since.
	case errors.Is(err, errSavedForeign), errors.Is(err, match.ErrStale):
		h.logger.InfoContext(ctx, "the saved index of persons is another version's: it is built from the records")
	default:
		h.logger.WarnContext(ctx, "the saved index of persons cannot be used: it is built from the records",
			slog.String("file", h.saved.c.Path), slog.Any("error", err))
	}
	if err := h.saved.discard(); err != nil {
		h.logger.WarnContext(ctx, "the saved index of persons is not removed", slog.Any("error", err))
	}
	return false
}

// errNotOurs says that the saved index was not made of the store that is open.
var errNotOurs = errors.New("it is not the one that was saved last from this database: one of them comes from a backup, or from another node")

func (h *Holdings) readSaved(ctx context.Context) (persons *match.Persons, seq int64, err error) {
	r, err := h.saved.read()
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, r.file.Close()) }()
	last, found, err := h.state.GetState(ctx, stateRoom, stateSaving)
	if err != nil {
		return nil, 0, err
	}
	if !found || !bytes.Equal(last, r.id()) {
		return nil, 0, errNotOurs
	}
	var number [8]byte
	if _, err := io.ReadFull(r, number[:]); err != nil {
		return nil, 0, err
	}
	seq = int64(binary.BigEndian.Uint64(number[:]))
	for i, want := range []string{string(h.self), h.saved.c.Version} {
		if _, err := io.ReadFull(r, number[:4]); err != nil {
			return nil, 0, err
		}
		text := make([]byte, min(savedFrame, binary.BigEndian.Uint32(number[:4])))
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, 0, err
		}
		if string(text) != want {
			return nil, 0, []error{errNotOurs, errSavedForeign}[i]
		}
	}
	if persons, err = match.LoadPersons(match.Options{Point: h.held().Point()}, r); err != nil {
		return nil, 0, err
	}
	if err := r.end(); err != nil {
		return nil, 0, err
	}
	h.saved.opened(r)
	return persons, seq, nil
}

// measurement is of what the thresholds were measured last.
type measurement struct {
	Point      match.OperatingPoint `json:"point"`
	Names      int                  `json:"names"`
	Version    string               `json:"version"`
	Thresholds *match.Calibration   `json:"thresholds"`
}

const (
	// measuredShare is by what share of itself a list has grown or shrunk when it is measured again.
	measuredShare = 5
	measuredSeed  = 13
)

// holds tells whether what was measured then says how it is now.
func (m *measurement) holds(point match.OperatingPoint, names int, version string) bool {
	moved := names - m.Names
	return m.Thresholds != nil && m.Point == point && m.Version == version && max(moved, -moved) <= max(leastGrown, m.Names/measuredShare)
}

// measure measures the thresholds of the list, where it has changed since.
func (h *Holdings) measure(ctx context.Context) error { return h.calibrate(ctx, false) }

// calibrate is measure that, with again, measures a list that has not changed as well.
func (h *Holdings) calibrate(ctx context.Context, again bool) error {
	h.measuring.Lock()
	defer h.measuring.Unlock()
	point, names := h.held().Point(), h.held().Names()
	if names < match.LeastMeasured {
		h.held().Recall(nil)
		return nil
	}
	if last := h.measured.Load(); last != nil && last.holds(point, names, h.version()) && h.held().Calibration() != nil && !again {
		return nil
	}
	if err := h.held().Calibrate(ctx, match.Measure{Seed: measuredSeed, Each: h.each, Pace: h.pace()}); err != nil {
		return err
	}
	m := &measurement{point, names, h.version(), h.held().Calibration()}
	if h.held().Point() != point {
		return nil // set anew meanwhile: those may be of either
	}
	h.measured.Store(m)
	if h.state == nil || m.Thresholds == nil {
		return nil
	}
	value, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return h.state.PutState(ctx, stateRoom, stateThresholds, value)
}

// recall takes up what was measured before the node was started, if it still holds.
func (h *Holdings) recall(ctx context.Context) {
	if h.state == nil {
		return
	}
	value, found, err := h.state.GetState(ctx, stateRoom, stateThresholds)
	m := &measurement{}
	if err == nil && found {
		err = json.Unmarshal(value, m)
	}
	if err != nil {
		h.logger.WarnContext(ctx, "the thresholds of the index of persons are measured anew", slog.Any("error", fmt.Errorf("what was measured before: %w", err)))
		return
	}
	if found && m.holds(h.held().Point(), h.held().Names(), h.version()) && h.held().Names() >= match.LeastMeasured {
		h.held().Recall(m.Thresholds)
		h.measured.Store(m)
	}
}

// pace has a measurement work a quarter of the time, in moments, unless somebody waits for it.
func (h *Holdings) pace() func(context.Context) error {
	const moment, rests = 5 * time.Millisecond, 3
	began := time.Now()
	return func(ctx context.Context) error {
		worked := time.Since(began)
		if worked < moment || h.hurry.Load() {
			return nil
		}
		rest := time.NewTimer(rests * min(worked, 10*moment))
		defer rest.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rest.C:
		}
		began = time.Now()
		return nil
	}
}

func (h *Holdings) version() string {
	if h.saved == nil {
		return ""
	}
	return h.saved.c.Version
}

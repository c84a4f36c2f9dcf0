package limits

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/entente-mesh/entente/federation/fault"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// What is saved: under "accounts" what is everybody's; under "account/<scope>/<name>" one account
// with the marks of the hour that runs, at most once a second and if it changed; under
// "hours/<number>/<part>" some accounts' marks of an hour that has ended, once. No value grows with
// the number of accounts: the state takes small ones only.
//
// What a crash gives to who can cause one: the last second's questions are not counted against
// the day, at most its burst and one second of its rate; its bucket starts empty, and a
// neighbourhood, of the busiest ones, forgets less than eight questions beside that second's. So a
// crash never gives more than it costs, unless it comes for free more than once a second.
const (
	room          = "limits"
	keyAll        = "accounts"
	accountPrefix = "account/"
	hoursPrefix   = "hours/"
	stateVersion  = 2
	firstVersion  = 1 // which had the accounts in one value with the rest
)

// hourParts is among how many values the marks of an hour are divided. With maxAccounts a value has
// 160 accounts, of 3 KiB at most.
const hourParts = 64

// savers is how many values are saved at once: those that come together share a write to the disk.
const savers = 64

// savedAll is the value of keyAll.
type savedAll struct {
	Version  int               `json:"version"`
	Clean    bool              `json:"clean"` // the node stopped by itself
	Defaults map[string]quota  `json:"defaults,omitempty"`
	Accounts []json.RawMessage `json:"accounts,omitempty"` // savedAccount, in the first version
}

type savedBucket struct {
	Tokens float64   `json:"tokens"`
	At     time.Time `json:"at"`
}

type savedAccount struct {
	Scope   int32         `json:"scope"`
	Name    string        `json:"name"`
	Own     quota         `json:"own,omitzero"`
	Ask     savedBucket   `json:"ask"`
	Other   savedBucket   `json:"other"`
	Hours   []savedHour   `json:"hours,omitempty"`
	Seen    []byte        `json:"seen,omitempty"` // of the newest hour
	Near    []byte        `json:"near,omitempty"`
	Since   time.Time     `json:"throttled_since,omitzero"`
	Until   time.Time     `json:"throttled_until,omitzero"`
	Level   int           `json:"throttled_level,omitempty"`
	Usual   usual         `json:"usual"`
	Excused [2]uint64     `json:"excused,omitzero"`
	Pending []savedTurned `json:"pending,omitempty"`
	Hour    int64         `json:"hour"`
}

type savedHour struct {
	Number    int64  `json:"hour"`
	Questions uint64 `json:"questions,omitempty"`
	Positives uint64 `json:"positives,omitempty"`
	Turned    uint64 `json:"turned,omitempty"`
}

type savedTurned struct {
	Operation string       `json:"operation"`
	Reason    fault.Reason `json:"reason"`
	Count     uint64       `json:"count"`
	Since     time.Time    `json:"since"`
	Booked    time.Time    `json:"booked"`
}

func (k accountKey) String() string { return strconv.Itoa(int(k.scope)) + "/" + k.name }

// save saves what changed. clean says that nothing will change any more.
func (l *Limits) save(ctx context.Context, clean bool) error {
	l.saving.mu.Lock()
	defer l.saving.mu.Unlock()
	now := l.cfg.Now()
	l.changed.Store(false)
	l.urgent.Store(false)
	err := l.saveHours(ctx, now)
	if err == nil {
		err = l.saveAccounts(ctx, clean)
	}
	l.saving.at = now
	if err != nil {
		l.changed.Store(true)
	}
	return err
}

// saveHours saves the hours that have ended since the last save, before the accounts that no
// longer have them are.
func (l *Limits) saveHours(ctx context.Context, now time.Time) error {
	n := now.Unix() / 3600
	if n == l.saving.hour {
		return nil
	}
	type part struct {
		number int64
		index  uint32
	}
	ended := map[part]map[string][]byte{}
	due := map[part]bool{}
	var accounts []*account
	for _, a := range l.all() {
		accounts = append(accounts, a)
		index := partOf(a.key)
		a.mu.Lock()
		a.roll(now)
		for back := int64(1); back < slots; back++ {
			number := a.number - back
			h := &a.hours[((number%slots)+slots)%slots]
			if number <= 0 || h.seen == nil {
				continue
			}
			p := part{number, index}
			if ended[p] == nil {
				ended[p] = map[string][]byte{}
			}
			ended[p][a.key.String()] = h.seen.encode()
			due[p] = due[p] || !h.saved
		}
		a.mu.Unlock()
	}
	var parts []part
	for p := range due {
		if due[p] { // whole: it replaces what may be there
			parts = append(parts, p)
		}
	}
	err := together(parts, func(p part) error {
		value, err := json.Marshal(ended[p])
		if err == nil {
			err = l.cfg.State.PutState(ctx, room, fmt.Sprintf("%s%d/%d", hoursPrefix, p.number, p.index), value)
		}
		if err != nil {
			return fmt.Errorf("limits: save the hour %d: %w", p.number, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, a := range accounts {
		a.mu.Lock()
		for number := max(1, a.number-slots+1); number < a.number; number++ {
			if _, ok := ended[part{number, partOf(a.key)}][a.key.String()]; ok {
				a.hours[number%slots].saved = true
			}
		}
		a.mu.Unlock()
	}
	all, err := l.cfg.State.ListState(ctx, room)
	if err != nil {
		return fmt.Errorf("limits: list the saved hours: %w", err)
	}
	var old []string
	for key := range all {
		if number, ok := hourOf(key); ok && (number <= n-slots || number > n+1) {
			old = append(old, key)
		}
	}
	err = together(old, func(key string) error {
		if err := l.cfg.State.DeleteState(ctx, room, key); err != nil {
			return fmt.Errorf("limits: delete the saved %s: %w", key, err)
		}
		return nil
	})
	if err == nil {
		l.saving.hour = n
	}
	return err
}

// partOf is in which part of an hour an account stands.
func partOf(k accountKey) uint32 {
	h := fnv.New32a()
	h.Write([]byte(k.String()))
	return h.Sum32() % hourParts
}

// together does something with each of a list, several at once, and returns an error of one.
func together[T any](list []T, do func(T) error) error {
	var mu sync.Mutex
	var first error
	var wg sync.WaitGroup
	next := make(chan T)
	for range min(savers, len(list)) {
		wg.Go(func() {
			for each := range next {
				if err := do(each); err != nil {
					mu.Lock()
					first = cmp.Or(first, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, each := range list {
		next <- each
	}
	close(next)
	wg.Wait()
	return first
}

func hourOf(key string) (int64, bool) {
	text, ok := strings.CutPrefix(key, hoursPrefix)
	if !ok {
		return 0, false
	}
	text, _, _ = strings.Cut(text, "/")
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// saveAccounts saves the accounts that changed, and then what is everybody's.
func (l *Limits) saveAccounts(ctx context.Context, clean bool) error {
	err := together(l.all(), func(a *account) error {
		value, err := a.saved(clean)
		if value != nil && err == nil {
			err = l.cfg.State.PutState(ctx, room, accountPrefix+a.key.String(), value)
		}
		if err == nil {
			return nil
		}
		a.mu.Lock()
		a.dirty = true
		a.mu.Unlock()
		return fmt.Errorf("limits: save %s: %w", a.key.name, err)
	})
	if err != nil {
		return err // it did not stop cleanly either
	}
	all := savedAll{Version: stateVersion, Clean: clean, Defaults: map[string]quota{}}
	l.mu.RLock()
	for scope, q := range l.defaults {
		all.Defaults[strconv.Itoa(int(scope))] = q
	}
	l.mu.RUnlock()
	value, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("limits: save: %w", err)
	}
	if bytes.Equal(value, l.saving.all) {
		return nil
	}
	if err := l.cfg.State.PutState(ctx, room, keyAll, value); err != nil {
		l.saving.all = nil // nobody knows which is there
		return fmt.Errorf("limits: save: %w", err)
	}
	l.saving.all = value
	return nil
}

// saved is the account as it is saved, or nil if it has not changed. While the node runs no more than
// nearSaved cells of its neighbourhoods are; when it stops, all.
func (a *account) saved(clean bool) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.dirty && (!clean || a.near == nil) {
		return nil, nil
	}
	cells := nearSaved
	if clean {
		cells = nearRows * nearCells
	}
	s := savedAccount{
		Scope: int32(a.key.scope), Name: a.key.name, Own: a.own, Hour: a.number,
		Ask: savedBucket{a.ask.tokens, a.ask.at}, Other: savedBucket{a.other.tokens, a.other.at},
		Since: a.throttle.since, Until: a.throttle.until, Level: a.throttle.level, Usual: a.usual, Excused: a.excused,
	}
	for back := int64(0); back < slots; back++ {
		number := a.number - back
		if h := &a.hours[((number%slots)+slots)%slots]; h.questions+h.positives+h.turned > 0 {
			s.Hours = append(s.Hours, savedHour{number, h.questions, h.positives, h.turned})
		}
	}
	if seen := a.hour().seen; seen != nil {
		s.Seen = seen.encode()
	}
	s.Near = a.near.encode(cells)
	for k, t := range a.pending {
		s.Pending = append(s.Pending, savedTurned{k.operation, k.reason, t.count, t.since, t.booked})
	}
	value, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	a.dirty = false
	return value, nil
}

// load reads what was saved, and saves that this node runs.
func (l *Limits) load(ctx context.Context) error {
	values, err := l.cfg.State.ListState(ctx, room)
	if err != nil {
		return fmt.Errorf("limits: read what was saved: %w", err)
	}
	now := l.cfg.Now()
	l.started = now
	var all savedAll
	if value, ok := values[keyAll]; ok {
		if err := json.Unmarshal(value, &all); err != nil {
			return damaged(err)
		}
		if all.Version != stateVersion && all.Version != firstVersion {
			return fmt.Errorf("limits: what was saved has version %d and this program reads %d: start the program that wrote it", all.Version, stateVersion)
		}
	}
	for scope, q := range all.Defaults {
		n, err := strconv.Atoi(scope)
		if err != nil {
			return damaged(err)
		}
		l.defaults[adminv1.QuotaScope(n)] = q
	}
	l.crashed = !all.Clean && len(values) > 0
	for _, value := range all.Accounts {
		if _, err := l.loadAccount(value, now); err != nil {
			return err
		}
	}
	for key, value := range values { // over those of the first version, if there are both
		if strings.HasPrefix(key, accountPrefix) {
			a, err := l.loadAccount(value, now)
			if err != nil {
				return err
			}
			a.dirty = l.crashed // its buckets are not as they were saved
		}
	}
	if err := l.loadHours(values); err != nil {
		return err
	}
	for _, a := range l.accounts {
		a.unite()
		a.roll(now)
	}
	return l.save(ctx, false)
}

func (l *Limits) loadAccount(value []byte, now time.Time) (*account, error) {
	var s savedAccount
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, damaged(err)
	}
	a, err := restore(s, now, l.crashed)
	if err != nil {
		return nil, damaged(err)
	}
	l.accounts[a.key] = a
	return a, nil
}

func damaged(err error) error {
	return fmt.Errorf("limits: what was saved is damaged (%w): restore the node's store from a backup; if there is none, delete its state \"limits\", and everybody's day begins anew", err)
}

func (l *Limits) loadHours(values map[string][]byte) error {
	byName := map[string]*account{}
	for k, a := range l.accounts {
		byName[k.String()] = a
	}
	for key, value := range values {
		number, ok := hourOf(key)
		if !ok {
			continue
		}
		var seen map[string][]byte
		if err := json.Unmarshal(value, &seen); err != nil {
			return damaged(err)
		}
		for name, encoded := range seen {
			a := byName[name]
			if a == nil || number <= a.number-slots || number > a.number {
				continue
			}
			d, err := decodeDistinct(encoded)
			if err != nil {
				return damaged(err)
			}
			h := &a.hours[number%slots]
			if h.seen != nil {
				d.merge(h.seen) // of an hour that was saved as the running one, too
			}
			h.seen, h.saved = d, number < a.number
		}
	}
	return nil
}

// restore makes an account of what was saved. After a crash nobody knows what was taken from the
// buckets since: they start empty.
func restore(s savedAccount, now time.Time, crashed bool) (*account, error) {
	a := newAccount(accountKey{adminv1.QuotaScope(s.Scope), s.Name}, now, false)
	if s.Name == "" || s.Hour < slots {
		return nil, errors.New("an account without a name or a time")
	}
	if !crashed {
		a.ask, a.other = bucket{s.Ask.Tokens, s.Ask.At}, bucket{s.Other.Tokens, s.Other.At}
	}
	a.own, a.number, a.usual, a.excused = s.Own, s.Hour, s.Usual, s.Excused
	a.throttle = throttle{since: s.Since, until: s.Until, level: s.Level}
	for _, h := range s.Hours {
		if h.Number <= a.number-slots || h.Number > a.number {
			return nil, fmt.Errorf("the hour %d among those up to %d", h.Number, a.number)
		}
		a.hours[h.Number%slots] = hour{questions: h.Questions, positives: h.Positives, turned: h.Turned}
	}
	if len(s.Seen) > 0 {
		d, err := decodeDistinct(s.Seen)
		if err != nil {
			return nil, err
		}
		a.hour().seen = d
	}
	var err error
	if a.near, err = decodeNear(s.Near); err != nil {
		return nil, err
	}
	for _, t := range s.Pending {
		a.pending[turnedKey{t.Operation, t.Reason}] = &turned{t.Count, t.Since, t.Booked}
	}
	return a, nil
}

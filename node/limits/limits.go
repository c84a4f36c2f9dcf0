// Package limits bounds what one may ask: how fast, how much a day, and whether it looks like
// somebody who empties a collection question by question. It holds back another bureau and an own
// agency alike, and keeps one's storm from costing the others more than their turn.
//
// It does not decide who may ask what (policy does), reads no question (it is given keyed hashes)
// and never looks at a record: what it reacts to is what the asker asked and what it was told,
// both of which the asker knows. A reaction to what was withheld would be an oracle.
//
// One flow, an ask from abroad: before its signatures are looked at, Enter takes a token from the
// bureau's bucket and a worker from the mesh pool, waiting in a queue that serves the bureaus in
// turn. The gate gives Asked the subjects of the question, as marks; some 128th question within
// the hour that differs from the others only in the last digits raises an alarm and throttles the
// bureau for an hour. The gate tells Told how many records the answer tells. leave gives the
// worker back. Who is turned away gets RESOURCE_EXHAUSTED with a RetryInfo, and stands in the books
// with a count.
package limits

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// Budget bounds the work for one question. It is here so that all limits stand in one place; the
// gate enforces it.
type Budget struct {
	Candidates int           // how many records are looked at for one question
	Time       time.Duration // how long
}

// DefaultBudget is the budget of every question. Reasons says why.
func DefaultBudget() Budget { return Budget{Candidates: 1000, Time: 500 * time.Millisecond} }

const (
	// Calls that are no questions have a bucket of their own.
	otherRate, otherBurst           = 50, 500
	otherRateLocal, otherBurstLocal = 500, 5000
	// Streams that one may hold open; they hold no worker while nothing happens on them.
	streamsMesh, streamsLocal = 16, 256
	// How many of one's calls may wait for a worker, and how long.
	queueMesh, queueLocal       = 64, 256
	patienceMesh, patienceLocal = time.Second, 2 * time.Second
	// ownBorder is for how long after a check of the own people the mesh has the fewer workers.
	ownBorder = 2 * time.Second
	// longestRest bounds how long a worker of the mesh rests after a call: one that took long because
	// the disk did need not be made up for.
	longestRest = 5 * time.Millisecond
	// maxAccounts bounds how many are remembered (ListQuotasResponse). Who comes later shares an
	// account with all who do; only the own authority can make so many agencies.
	maxAccounts = 9990
	others      = "(others)"
)

// State keeps small values durably: PutState returns when the value is.
type State interface {
	PutState(ctx context.Context, room, key string, value []byte) error
	ListState(ctx context.Context, room string) (map[string][]byte, error)
	DeleteState(ctx context.Context, room, key string) error
}

// Config is what limits are made of.
type Config struct {
	// Self is the own bureau, for the books.
	Self identity.Bureau
	// State keeps what is counted, in the room "limits".
	State State
	// Book writes an entry of kind LIMITED into the books: who was turned away, why, how often.
	Book func(ctx context.Context, e *auditv1.Entry) error
	// Raise raises an alarm. The subject is a bureau's id or an agency.
	Raise func(ctx context.Context, kind adminv1.AlarmKind, subject, text string)
	// Count counts a call that is turned away, for the metrics. It must not block. Optional.
	Count func(scope adminv1.QuotaScope, name string, reason fault.Reason)
	// Bureau and Agency replace the defaults that Reasons lists, as far as they are not 0. Scope and
	// Name are not read. Optional.
	Bureau, Agency *adminv1.Quota
	// MeshWorkers and LocalWorkers are how many questions are worked on at once: of other bureaus,
	// and of the own agencies. Optional: 4 and 16 for each processor that the program may use.
	MeshWorkers, LocalWorkers int
	// RefusalDelay is how long a call that is turned away is held before it is told so, half as long
	// to half as long again, so that who tries again at once does not keep the node busy with
	// refusals. Optional: 100ms.
	RefusalDelay time.Duration
	Now          func() time.Time // Optional.
	Logger       *slog.Logger     // Optional.
}

// Limits is all of it. It is safe for concurrent use. Run must run for anything to be saved,
// booked and raised.
type Limits struct {
	cfg        Config
	configured map[adminv1.QuotaScope]quota // the configuration's over the shipped; never changes

	mesh, meshOther, local *pool
	checked                atomic.Int64 // when the own border was last at work, unix nanoseconds
	held                   atomic.Int64 // refusals that are being held
	noRoom                 atomic.Bool  // the disk is almost full

	mu       sync.RWMutex
	accounts map[accountKey]*account
	defaults map[adminv1.QuotaScope]quota // what the operator set over the configured

	crashed bool      // the node before this one did not stop by itself
	started time.Time // since when buckets fill after a crash

	wake    chan struct{} // capacity 1: there is something to do for Run
	urgent  atomic.Bool   // and it must not wait for the next second
	changed atomic.Bool   // something is not saved
	booking sync.Mutex    // one books at a time
	alarms  alarmQueue
	saving  savings
}

// New returns limits with what State has kept. It fails if that cannot be read: to begin anew
// would give everybody full buckets.
func New(ctx context.Context, cfg Config) (*Limits, error) {
	switch {
	case cfg.State == nil:
		return nil, errors.New("limits: config: State is needed")
	case cfg.Book == nil:
		return nil, errors.New("limits: config: Book is needed: nobody is turned away unrecorded")
	case cfg.Raise == nil:
		return nil, errors.New("limits: config: Raise is needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.RefusalDelay == 0 {
		cfg.RefusalDelay = 100 * time.Millisecond
	}
	if cfg.Count == nil {
		cfg.Count = func(adminv1.QuotaScope, string, fault.Reason) {}
	}
	processors := runtime.GOMAXPROCS(0)
	if cfg.MeshWorkers <= 0 {
		cfg.MeshWorkers = 4 * processors
	}
	if cfg.LocalWorkers <= 0 {
		cfg.LocalWorkers = 16 * processors
	}
	l := &Limits{
		cfg:        cfg,
		configured: map[adminv1.QuotaScope]quota{},
		accounts:   map[accountKey]*account{},
		defaults:   map[adminv1.QuotaScope]quota{},
		wake:       make(chan struct{}, 1),
	}
	for scope, q := range map[adminv1.QuotaScope]*adminv1.Quota{
		adminv1.QuotaScope_QUOTA_SCOPE_BUREAU: cfg.Bureau,
		adminv1.QuotaScope_QUOTA_SCOPE_AGENCY: cfg.Agency,
	} {
		if q != nil {
			q = quotaOf(q).proto(accountKey{scope, ""})
			if err := fit(q); err != nil {
				return nil, fmt.Errorf("limits: config: %w", err)
			}
		}
		l.configured[scope] = quotaOf(q).over(shipped(scope))
	}
	l.mesh = newPool(l.yielding(cfg.MeshWorkers, max(1, processors/2)), queueMesh, patienceMesh)
	l.meshOther = newPool(l.yielding(max(2, processors), 1), queueMesh, patienceMesh)
	l.local = newPool(func() int { return cfg.LocalWorkers }, queueLocal, patienceLocal)
	if err := l.load(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// yielding is the capacity of a pool of the mesh: few workers while the own border is at work, so
// that what other bureaus ask does not take the processors from it, and all of them while it is
// not. A pool of one size would be too small for the one or too large for the other.
func (l *Limits) yielding(all, few int) func() int {
	few = min(few, all)
	return func() int {
		if l.borderAtWork() {
			return few
		}
		return all
	}
}

// borderAtWork tells whether the own people check, or did a moment ago.
func (l *Limits) borderAtWork() bool {
	return l.cfg.Now().UnixNano()-l.checked.Load() < int64(ownBorder)
}

// rest is how long a worker of the mesh rests after a call that began at a time: while the own border
// is at work, as long as the call took. One worker alone would be busy without a pause in a storm,
// and every check would meet it, on the processor and at the disk; so every other does not.
func (l *Limits) rest(began time.Time) time.Duration {
	if !l.borderAtWork() {
		return 0
	}
	return max(0, min(l.cfg.Now().Sub(began), longestRest))
}

// Load is how busy a pool of workers is.
type Load struct {
	Pool                    string // "mesh", "mesh-other", "local"
	Capacity, Busy, Waiting int
}

// Loads returns how busy the pools are.
func (l *Limits) Loads() []Load {
	var loads []Load
	for _, p := range []struct {
		name string
		*pool
	}{{"mesh", l.mesh}, {"mesh-other", l.meshOther}, {"local", l.local}} {
		busy, waiting := p.load()
		loads = append(loads, Load{p.name, p.capacity(), busy, waiting})
	}
	return loads
}

// account returns the account of a name, a new one if there is none.
func (l *Limits) account(scope adminv1.QuotaScope, name string) *account {
	k := accountKey{scope, name}
	l.mu.RLock()
	a := l.accounts[k]
	l.mu.RUnlock()
	if a != nil {
		return a
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if a = l.accounts[k]; a != nil {
		return a
	}
	if len(l.accounts) >= maxAccounts {
		k.name = others
		if a = l.accounts[k]; a != nil {
			return a
		}
	}
	now := l.cfg.Now()
	a = newAccount(k, now, !l.crashed)
	if l.crashed {
		// Who was not saved before the crash was not there a second before it; its bucket fills since
		// the start like everybody's.
		a.ask.at, a.other.at = l.started, l.started
	}
	l.accounts[k] = a
	return a
}

func (l *Limits) all() []*account {
	l.mu.RLock()
	defer l.mu.RUnlock()
	all := make([]*account, 0, len(l.accounts))
	for _, a := range l.accounts {
		all = append(all, a)
	}
	return all
}

// fallback is the quota of those of a scope who have none of their own.
func (l *Limits) fallback(scope adminv1.QuotaScope) quota {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.defaults[scope].over(l.configured[scope])
}

// note says that an account changed. urgent: that it must be dealt with at once.
func (l *Limits) note(urgent bool) {
	first := !l.changed.Swap(true)
	if urgent {
		l.urgent.Store(true)
	}
	if first || urgent {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

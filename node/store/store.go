package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/entente-mesh/entente/node/vault"
)

// readers is how many connections read at the same time. SQLite through database/sql gets slower
// with many, not faster.
const readers = 4

// Config says where the store is.
type Config struct {
	// Path is the database file. Its folder must exist; the file is made if it does not.
	Path string
	// Vault keeps the keys of bodies. It must be open as long as the store is, and serve no other.
	Vault Vault
	// LookupKey makes the keyed hashes by which records are found, 32 bytes. Another one finds
	// nothing: it belongs to the database as long as that lives.
	LookupKey []byte
	// StateKey seals what has no key in the vault: state and the ids of withdrawn records, 32 bytes.
	StateKey []byte
	// DocumentKey makes the normal form of a document number: the function that made the
	// records' number_key. The store needs it for range_end alone, which travels as written.
	// Optional: without it, letters and digits are kept, in capitals.
	DocumentKey func(number string) string
	// Now is the clock. Optional: time.Now.
	Now func() time.Time
	// Logger is told of migrations. Optional: silent.
	Logger *slog.Logger
}

// Store is an open store. Its methods may be called by many goroutines.
type Store struct {
	path        string
	vault       Vault
	hash        *hasher
	sealer      vault.Key
	throwaway   [vault.KeySize]byte // the key of what a rehearsal writes and nobody keeps
	documentKey func(string) string
	now         func() time.Time
	log         *slog.Logger
	work        counters

	lock   *os.File // the .lock file, locked while the store is open
	writer *pool    // one connection: SQLite has one writer anyway, and here it never has to wait for a lock
	reader *pool
	marks  [2]*mark // beside the database, and beside the vault
	older  bool     // the marks were removed to go on with an older copy

	entries chan entry    // to the group commit's goroutine
	stopped chan struct{} // closed when that goroutine has ended

	doomedMu sync.Mutex
	doomed   []uint64 // keys to be destroyed, guarded by doomedMu

	erased erasedIDs

	long longReads

	// life is held for reading by every call and for writing by Close, which so waits for them.
	life   sync.RWMutex
	closed bool // guarded by life
}

// Open opens the database, makes it if the file does not exist, and brings its schema up to date.
// A second Open of the same file, by whomever, fails with ErrLocked until the first is closed.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Path == "" {
		return nil, fmt.Errorf("store: path: %w", invalid("give the database file"))
	}
	if c.Vault == nil {
		return nil, fmt.Errorf("store: vault: %w", invalid("give the vault for the keys of bodies"))
	}
	if len(c.LookupKey) != vault.KeySize {
		return nil, fmt.Errorf("store: lookup key: %w", invalid("%d bytes: give %d", len(c.LookupKey), vault.KeySize))
	}
	sealer, err := vault.NewSealer(c.StateKey)
	if err != nil {
		return nil, fmt.Errorf("store: state key: %w", invalid("%d bytes: give %d", len(c.StateKey), vault.KeySize))
	}
	if c.DocumentKey == nil {
		c.DocumentKey = capitalsAndDigits
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		path:        c.Path,
		vault:       c.Vault,
		hash:        newHasher(bytes.Clone(c.LookupKey)),
		sealer:      sealer,
		documentKey: c.DocumentKey,
		now:         c.Now,
		log:         c.Logger,
		entries:     make(chan entry, groupLimit),
		stopped:     make(chan struct{}),
	}
	rand.Read(s.throwaway[:]) // never fails (crypto/rand, since Go 1.24)
	if err := s.open(ctx, c); err != nil {
		return nil, fmt.Errorf("store: open %s: %w", c.Path, errors.Join(err, s.release()))
	}
	go s.commitGroups()
	return s, nil
}

func (s *Store) open(ctx context.Context, c Config) error {
	var err error
	if s.lock, err = lockBeside(c.Path); err != nil {
		return err
	}
	if err = claimFile(c.Path); err != nil {
		return err
	}
	if err = recognise(ctx, c.Path); err != nil {
		return err
	}
	if s.writer, err = openPool(c.Path, forWriting, 1); err != nil {
		return err
	}
	if err = s.wholeFile(ctx); err != nil {
		return err
	}
	if err = migrate(ctx, s.writer.db, c.Logger); err != nil {
		return err
	}
	if err = s.openMarks(); err != nil {
		return err
	}
	if err = s.compareMarks(ctx); err != nil {
		return err
	}
	if s.reader, err = openPool(c.Path, forReading, readers); err != nil {
		return err
	}
	if err = s.writer.prepare(ctx, writerSQL()); err != nil {
		return err
	}
	if err = s.reader.prepare(ctx, readerSQL()); err != nil {
		return err
	}
	// What is small is compared with what was written before anybody relies on it; the rest is
	// when it is read, and by Check.
	if err = s.checkSources(ctx); err != nil {
		return err
	}
	if err = s.checkState(ctx, func(err error) error { return err }); err != nil {
		return err
	}
	if err = s.reconcile(ctx); err != nil {
		return err
	}
	_, err = s.foldWAL(ctx)
	return err
}

// Close waits for the calls under way, finishes what was accepted, and closes the database. Later
// calls, Close excepted, fail with ErrClosed.
func (s *Store) Close() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.entries) // nobody is about to send: senders hold life
	<-s.stopped
	if err := s.release(); err != nil {
		return fmt.Errorf("store: close: %w", err)
	}
	return nil
}

// release closes what is open, the writer last among the connections: the last one folds the WAL
// into the file. The lock goes after them, when nobody here touches the file any more.
func (s *Store) release() error {
	var errs []error
	if s.reader != nil {
		errs = append(errs, s.reader.close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	for _, m := range s.marks {
		if m != nil {
			errs = append(errs, m.close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// enter keeps the store open until leave is called.
func (s *Store) enter() (leave func(), err error) {
	s.life.RLock()
	if s.closed {
		s.life.RUnlock()
		return nil, fmt.Errorf("store: %w", ErrClosed)
	}
	return s.life.RUnlock, nil
}

// transaction is one write transaction. It belongs to one goroutine.
type transaction struct {
	s         *Store
	tx        *sql.Tx
	pool      *pool
	ready     map[string]*sql.Stmt
	sequences map[string]*sequence
	counts    map[countKey]int64
	uses      map[int64]int64     // by how much more (or fewer) live records a key has
	fresh     map[int64]vault.Key // keys that were made for it
	doomed    []int64             // keys that nothing is sealed under any more
	bodies    *opener
	rehearsal bool
	commits   int64
	changed   bool // false: nothing to commit, and no disk to wait for
}

type sequence struct{ start, value int64 }

// write runs do in one transaction, which is durable when write returns nil. If do or the commit
// fails, nothing of it is kept. ctx ends the waiting for the writer; what has begun is finished,
// or abandoned by do between two rows.
func (s *Store) write(ctx context.Context, do func(ctx context.Context, t *transaction) error) error {
	tx, err := s.writer.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	t := &transaction{
		s:         s,
		tx:        tx,
		pool:      s.writer,
		ready:     map[string]*sql.Stmt{},
		sequences: map[string]*sequence{},
		counts:    map[countKey]int64{},
		uses:      map[int64]int64{},
		fresh:     map[int64]vault.Key{},
		bodies:    s.opener(),
	}
	t.bodies.fresh = t.fresh
	// A context that can end costs a goroutine with every statement.
	steady := context.WithoutCancel(ctx)
	err = do(steady, t)
	if err == nil && t.changed {
		err = t.settle(steady)
	}
	if err != nil {
		if errors.Is(err, errVanished) {
			// No record goes while this transaction is open, so its key was destroyed without it.
			err = fmt.Errorf("%w: a live record's key was destroyed: restore a backup", ErrDamaged)
		}
		return errors.Join(err, s.discard(t))
	}
	if !t.changed {
		return nil
	}
	if err := tx.Commit(); err != nil {
		// Whether it is durable all the same is not known: its keys stay until the next start.
		return fmt.Errorf("commit: %w", err)
	}
	s.note(steady, t.commits)
	if err := s.destroy(t.doomed); err != nil {
		s.log.ErrorContext(ctx, "keys of what was withdrawn are not destroyed yet", slog.Any("error", err))
	}
	return nil
}

// discard destroys the keys that were made for a transaction that is not kept.
func (s *Store) discard(t *transaction) error {
	if t.rehearsal || len(t.fresh) == 0 {
		return nil
	}
	ids := make([]int64, 0, len(t.fresh))
	for id := range t.fresh {
		ids = append(ids, id)
	}
	return s.destroy(ids)
}

// settle writes what the transaction has added up.
func (t *transaction) settle(ctx context.Context) error {
	if err := t.settleCounts(ctx); err != nil {
		return err
	}
	if err := t.settleKeys(ctx); err != nil {
		return err
	}
	if err := t.row(ctx, countCommit).Scan(&t.commits); err != nil {
		return err
	}
	for name, q := range t.sequences {
		if q.value == q.start {
			continue
		}
		if _, err := t.exec(ctx, saveSequence, q.value, name); err != nil {
			return err
		}
	}
	return nil
}

const (
	// An update that changes nothing: on an engine with many writers it locks the row.
	lockSequence = `UPDATE sequences SET value = value WHERE name = $1 RETURNING value`
	saveSequence = `UPDATE sequences SET value = $1 WHERE name = $2`
)

// next draws the next number of a sequence. Numbers that are drawn in a transaction that is not
// committed are drawn again.
func (t *transaction) next(ctx context.Context, name string) (int64, error) {
	q := t.sequences[name]
	if q == nil {
		q = &sequence{}
		if err := t.row(ctx, lockSequence, name).Scan(&q.start); err != nil {
			return 0, fmt.Errorf("sequence %s: %w", name, err)
		}
		q.value = q.start
		t.sequences[name] = q
	}
	q.value++
	return q.value, nil
}

func (t *transaction) stmt(ctx context.Context, query string) *sql.Stmt {
	st := t.ready[query]
	if st == nil {
		st = t.tx.StmtContext(ctx, t.pool.stmt(query))
		t.ready[query] = st
	}
	return st
}

func (t *transaction) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.stmt(ctx, query).ExecContext(ctx, args...)
}

func (t *transaction) row(ctx context.Context, query string, args ...any) *sql.Row {
	return t.stmt(ctx, query).QueryRowContext(ctx, args...)
}

func (t *transaction) rows(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.stmt(ctx, query).QueryContext(ctx, args...)
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// readers is how many connections read at the same time. SQLite through database/sql gets slower
// with many, not faster.
const readers = 4

// Config says where the store is.
type Config struct {
	// Path is the database file. Its folder must exist; the file is made if it does not.
	Path string
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
	documentKey func(string) string
	now         func() time.Time

	lock   *os.File // the .lock file, locked while the store is open
	writer *pool    // one connection: SQLite has one writer anyway, and here it never has to wait for a lock
	reader *pool

	journal chan entry    // to the group commit's goroutine
	stopped chan struct{} // closed when that goroutine has ended

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
		documentKey: c.DocumentKey,
		now:         c.Now,
		journal:     make(chan entry, groupLimit),
		stopped:     make(chan struct{}),
	}
	if err := s.open(ctx, c); err != nil {
		return nil, fmt.Errorf("store: open %s: %w", c.Path, errors.Join(err, s.release()))
	}
	go s.keepJournal()
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
	if err = migrate(ctx, s.writer.db, c.Logger); err != nil {
		return err
	}
	if s.reader, err = openPool(c.Path, forReading, readers); err != nil {
		return err
	}
	if err = s.writer.prepare(ctx, writerSQL()); err != nil {
		return err
	}
	return s.reader.prepare(ctx, readerSQL())
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
	close(s.journal) // nobody is about to send: senders hold life
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
	tx        *sql.Tx
	pool      *pool
	ready     map[string]*sql.Stmt
	sequences map[string]*sequence
	counts    map[countKey]int64
	levels    map[levelKey]int64
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
		tx:        tx,
		pool:      s.writer,
		ready:     map[string]*sql.Stmt{},
		sequences: map[string]*sequence{},
		counts:    map[countKey]int64{},
		levels:    map[levelKey]int64{},
	}
	// A context that can end costs a goroutine with every statement.
	steady := context.WithoutCancel(ctx)
	if err := do(steady, t); err != nil {
		return err
	}
	if !t.changed {
		return nil
	}
	if err := t.settle(steady); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// settle writes what the transaction has added up.
func (t *transaction) settle(ctx context.Context) error {
	if err := t.settleCounts(ctx); err != nil {
		return err
	}
	if err := t.settleLevels(ctx); err != nil {
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

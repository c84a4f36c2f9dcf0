package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// applicationID marks the file as ours: "ENTE" in the header's field for it.
const applicationID = 0x454E5445

type use int

const (
	forLooking use = iota // changes nothing about the file, whose ever it is
	forWriting
	forReading
)

// pool is some connections of one kind, with their statements, prepared once.
type pool struct {
	db    *sql.DB
	stmts map[string]*sql.Stmt // written by prepare alone, before the store is used
}

func openPool(path string, u use, size int) (*pool, error) {
	name, err := dataSource(path, u)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return &pool{db: db, stmts: map[string]*sql.Stmt{}}, nil
}

// dataSource is the name of the database with what every connection must be told.
func dataSource(path string, u use) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	slashed := filepath.ToSlash(abs)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // C:/... is /C:/... in a file URI
	}
	pragmas := []string{
		"busy_timeout(10000)", // first: the others may have to wait for a checkpoint
		"trusted_schema(0)",   // a schema that somebody tampered with calls no functions
		"foreign_keys(1)",
		// What SQLite puts aside while it works stays out of files that nobody protects. It is
		// also a sixth of an import's time.
		"temp_store(MEMORY)",
	}
	q := url.Values{"mode": {"rw"}} // the file is made before, with its permissions
	switch u {
	case forWriting:
		q.Set("_txlock", "immediate") // a transaction that began as a reader cannot always become a writer
		pragmas = append(pragmas,
			"journal_mode(WAL)",
			"synchronous(FULL)", // in WAL mode this is what makes every commit durable
			"secure_delete(1)",
			"cell_size_check(1)",
			// Imports touch the same index pages again and again: a larger cache, and a longer WAL
			// before it is folded back, write each of them less often.
			"cache_size(-65536)",
			"wal_autocheckpoint(16384)",
			"journal_size_limit(67108864)",
		)
	case forReading:
		pragmas = append(pragmas, "query_only(1)", "cache_size(-16384)")
	}
	q["_pragma"] = pragmas
	return (&url.URL{Scheme: "file", Path: slashed, RawQuery: q.Encode()}).String(), nil
}

func (p *pool) prepare(ctx context.Context, queries []string) error {
	for _, q := range queries {
		st, err := p.db.PrepareContext(ctx, q)
		if err != nil {
			return fmt.Errorf("prepare %q: %w", q, err)
		}
		p.stmts[q] = st
	}
	return nil
}

// stmt returns a statement that was prepared. Preparing at leave would wait for a connection,
// which the caller may be holding; a query that is missing in the lists is a fault of this
// package that every test of it meets.
func (p *pool) stmt(query string) *sql.Stmt {
	st := p.stmts[query]
	if st == nil {
		panic("store: not prepared: " + query)
	}
	return st
}

func (p *pool) close() error {
	errs := make([]error, 0, len(p.stmts)+1)
	for _, st := range p.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, p.db.Close())...)
}

// claimFile makes the database file if there is none, and sees to it that only its owner can
// read it. SQLite gives its other files the same permissions.
func claimFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return explainPath(err)
	}
	// SQLite's locks belong to the process: closing f later would drop them. It is closed before
	// SQLite opens the file.
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is no regular file", ErrNotDatabase)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return fmt.Errorf("others than the owner can read the file, and that cannot be changed: %w", err)
		}
	}
	return nil
}

func explainPath(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the folder does not exist, make it first: %w", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the node must be able to write the file and its folder: %w", err)
	default:
		return err
	}
}

// recognise refuses a file that is no SQLite database, or one of another program's, before
// anything is written to it. An empty file is a new store.
func recognise(ctx context.Context, path string) (err error) {
	p, err := openPool(path, forLooking, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	db := p.db
	var tables, id int64
	err = db.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_master`).Scan(&tables)
	if err == nil {
		err = db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id)
	}
	if err != nil {
		return explainSQLite(err)
	}
	if tables == 0 && id == 0 {
		if _, err := db.ExecContext(ctx, `PRAGMA application_id = `+strconv.Itoa(applicationID)); err != nil {
			return explainSQLite(err)
		}
		return nil
	}
	if id != applicationID {
		return fmt.Errorf("%w: it is a database of another program", ErrNotDatabase)
	}
	return nil
}

func explainSQLite(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff { // the lower byte is the class of an extended code
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: it is no SQLite database, or it is damaged at its beginning: give another path, or restore a backup", ErrNotDatabase)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%w, restore a backup: %w", ErrDamaged, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("the node must be able to write the file and its folder: %w", err)
	default:
		return err
	}
}

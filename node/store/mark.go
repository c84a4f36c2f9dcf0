package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"

	"github.com/entente-mesh/entente/node/disk"
)

// mark is a small file that says how many transactions were kept. One lies beside the database: the
// engine takes a damaged or cut WAL for one that ends earlier, and goes on as if the rest had never
// been acknowledged; with the mark that is noticed. Another lies beside the vault: who puts back an
// older folder of the database puts back that one's mark too, and the keys that it does not know
// yet would be destroyed as nobody's.
//
// It is written after each commit and not synced: what a killed process wrote is there for the
// next one, and after a power cut the mark may be behind the database, never before it.
type mark struct {
	file  *os.File
	hash  *hasher
	fresh bool // there was none when it was opened

	mu      sync.Mutex // guards what follows
	commits int64
	failed  bool
}

// The file is two slots that are written in turn, so that one is whole whatever happens to the
// other: commits, MAC.
const markSlot = 8 + hashSize

func openMark(path string, h *hasher) (*mark, error) {
	_, err := os.Stat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	if fresh {
		// Whole or not at all: half a mark would be a damaged one.
		first := append(slot(h, 0), slot(h, -1)...)
		if err := disk.Replace(disk.OS(), path, first, 0o600); err != nil {
			return nil, explainPath(err)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return nil, explainPath(err)
	}
	m := &mark{file: f, hash: h, fresh: fresh}
	var b [2 * markSlot]byte
	if _, err := f.ReadAt(b[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return m, err
	}
	intact := 0
	for i := range int64(2) {
		slot := b[i*markSlot : (i+1)*markSlot]
		n := int64(binary.BigEndian.Uint64(slot))
		if string(slot[8:]) != string(h.commitsMAC(n)) || n&1 != i {
			continue
		}
		intact++
		m.commits = max(m.commits, n)
	}
	if intact < 2 {
		// One slot alone could be the older one.
		return m, fmt.Errorf("%w: %s: it is not what was written, or belongs to another node key: restore database, vault and their marks from one backup; if they are as they should be, remove this file", ErrDamaged, path)
	}
	return m, nil
}

func slot(h *hasher, commits int64) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(commits)), h.commitsMAC(commits)...)
}

// put writes a slot.
func (m *mark) put(commits int64) error {
	_, err := m.file.WriteAt(slot(m.hash, commits), commits&1*markSlot)
	return err
}

// set notes that so many transactions are durable. A mark that cannot be written is behind, which
// harms nothing as long as the database is sound: it is logged once.
func (m *mark) set(ctx context.Context, commits int64, log *slog.Logger) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if commits <= m.commits {
		return
	}
	m.commits = commits
	if err := m.put(commits); err != nil && !m.failed {
		m.failed = true
		log.WarnContext(ctx, "a mark of the store cannot be written", slog.String("file", m.file.Name()), slog.Any("error", err))
	}
}

func (m *mark) close() error { return errors.Join(m.file.Sync(), m.file.Close()) }

const (
	countCommit  = `UPDATE sequences SET value = value + 1 WHERE name = 'commits' RETURNING value`
	readCommits  = `SELECT value FROM sequences WHERE name = 'commits'`
	truncateWAL  = `PRAGMA wal_checkpoint(TRUNCATE)`
	pageCount    = `PRAGMA page_count`
	pageSize     = `PRAGMA page_size`
	newStoreHint = "give the database that belongs to it, or, if there is none any more, remove the vault, its mark, and what lies beside the database"
)

// openMarks opens both marks.
func (s *Store) openMarks() error {
	for i, path := range []string{s.path, s.vault.Path()} {
		var err error
		if s.marks[i], err = openMark(path+".mark", s.hash); err != nil {
			return err
		}
	}
	return nil
}

// note notes in both marks that so many transactions are durable.
func (s *Store) note(ctx context.Context, commits int64) {
	for _, m := range s.marks {
		m.set(ctx, commits, s.log)
	}
}

// compareMarks refuses a database that has lost what it had acknowledged, or that is older than the
// vault. Who means to go on with an older copy removes both marks: then the vault is brought down to
// what the copy knows, however much that is.
func (s *Store) compareMarks(ctx context.Context) error {
	var commits int64
	if err := s.writer.db.QueryRowContext(ctx, readCommits).Scan(&commits); err != nil {
		return explainSQLite(err)
	}
	beside, vaults := s.marks[0], s.marks[1]
	marked := max(beside.commits, vaults.commits) // nobody else has them yet
	switch {
	case commits < marked:
		return fmt.Errorf("%w: the database has lost the last %d of %d transactions that were acknowledged (its -wal is damaged or cut, or it is an older copy, or the disk with the newer one is not mounted): restore the folders of database and vault from one backup; if an older copy is meant to be used for good, remove %s.mark and %s.mark, and the keys of all that came after it are destroyed",
			ErrDamaged, marked-commits, marked, s.path, s.vault.Path())
	case commits == 0 && beside.fresh:
		for _, err := range s.vault.Live() {
			if err != nil {
				return err
			}
			return fmt.Errorf("%w: the database is new, and the vault has keys of an older one: "+newStoreHint, ErrDamaged)
		}
	case beside.fresh && vaults.fresh:
		s.older = true
		s.log.WarnContext(ctx, "the store's marks were removed: the database is taken as it is")
	case beside.fresh || vaults.fresh:
		s.log.WarnContext(ctx, "a mark of the store was missing: the other one was compared")
	}
	s.note(ctx, commits)
	return nil
}

// foldWAL writes the WAL into the database and empties it.
func (s *Store) foldWAL(ctx context.Context) (busy bool, err error) {
	var b, frames, folded int64
	if err := s.writer.db.QueryRowContext(ctx, truncateWAL).Scan(&b, &frames, &folded); err != nil {
		return false, explainSQLite(err)
	}
	return b != 0, nil
}

// wholeFile refuses a database file that is shorter or longer than its header says. It is called
// when nobody else has the database open.
func (s *Store) wholeFile(ctx context.Context) error {
	if busy, err := s.foldWAL(ctx); err != nil {
		return err
	} else if busy {
		return errors.New("another program reads the database: stop it first")
	}
	var pages, size int64
	if err := s.writer.db.QueryRowContext(ctx, pageCount).Scan(&pages); err != nil {
		return explainSQLite(err)
	}
	if err := s.writer.db.QueryRowContext(ctx, pageSize).Scan(&size); err != nil {
		return explainSQLite(err)
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	if info.Size() != pages*size {
		return fmt.Errorf("%w: the database has %d bytes, its header says %d: restore a backup", ErrDamaged, info.Size(), pages*size)
	}
	return nil
}

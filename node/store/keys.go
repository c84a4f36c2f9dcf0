package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"

	"github.com/entente-mesh/entente/node/vault"
)

// Vault keeps the keys of bodies. *vault.Vault is one. It is the store's alone: keys that no
// record is sealed under are destroyed when the store is opened.
type Vault interface {
	// New makes n keys, which are durable when it returns.
	New(n int) ([]vault.Key, error)
	// Key returns a key; vault.ErrDestroyed says that it was destroyed.
	Key(id uint64) (vault.Key, error)
	// Destroy destroys keys, durably. One that is destroyed already stays so.
	Destroy(ids ...uint64) error
	// Path is the vault's file. A mark lies beside it.
	Path() string
	// Live yields the ids of the keys that are not destroyed.
	Live() iter.Seq2[uint64, error]
}

var addKeyRows = newBulk(`INSERT INTO record_keys (key_id, live, mac) VALUES `, `(%s, %s, %s)`, ``, 0)

const (
	getKeyRow    = `SELECT live, mac FROM record_keys WHERE key_id = $1`
	changeKeyRow = `UPDATE record_keys SET live = $1, mac = $2 WHERE key_id = $3`
	removeKeyRow = `DELETE FROM record_keys WHERE key_id = $1`
	listKeyRows  = `SELECT key_id, live, mac FROM record_keys WHERE key_id > $1 ORDER BY key_id LIMIT 10000`
	countLive    = `SELECT COALESCE(SUM(live), 0) FROM record_counts`
	keysIntact   = `PRAGMA integrity_check(record_keys)`
)

// settleKeys writes how many live records each key has now. A key without any is destroyed once
// the transaction is durable.
func (t *transaction) settleKeys(ctx context.Context) error {
	var added []any
	for _, id := range slices.Sorted(mapKeys(t.uses)) { // in their order: neighbours in one page
		n := t.uses[id]
		_, fresh := t.fresh[id]
		switch {
		case n == 0 && !fresh:
			continue
		case n == 0:
			t.doomed = append(t.doomed, id) // made, and used by nothing that stayed
			continue
		case fresh:
			added = append(added, id, n, t.s.hash.keyMAC(id, n))
			continue
		}
		var live int64
		var mac []byte
		if err := t.row(ctx, getKeyRow, id).Scan(&live, &mac); err != nil {
			return fmt.Errorf("key %d: %w", id, err)
		}
		if string(mac) != string(t.s.hash.keyMAC(id, live)) {
			return damagedKeyRow(id)
		}
		var err error
		if live += n; live > 0 {
			_, err = t.exec(ctx, changeKeyRow, live, t.s.hash.keyMAC(id, live), id)
		} else {
			_, err = t.exec(ctx, removeKeyRow, id)
			t.doomed = append(t.doomed, id)
		}
		if err != nil {
			return err
		}
	}
	return t.execAll(ctx, addKeyRows, added)
}

func mapKeys(m map[int64]int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func damagedKeyRow(id int64) error {
	return fmt.Errorf("%w: row %d of record_keys: restore a backup", ErrDamaged, id)
}

// newKeys makes keys in the vault before anything is sealed under them. A rehearsal makes keys
// that nobody keeps.
func (t *transaction) newKeys(n int) ([]vault.Key, []int64, error) {
	if n == 0 {
		return nil, nil, nil
	}
	ids := make([]int64, n)
	var keys []vault.Key
	if t.rehearsal {
		for i := range n {
			k, err := vault.NewSealer(t.s.throwaway[:])
			if err != nil {
				return nil, nil, err
			}
			keys = append(keys, k)
			ids[i] = rehearsedKeys + int64(len(t.fresh)+i)
		}
	} else {
		var err error
		if keys, err = t.s.vault.New(n); err != nil {
			return nil, nil, err
		}
		for i, k := range keys {
			ids[i] = int64(k.ID())
		}
	}
	for i, id := range ids {
		t.fresh[id] = keys[i]
	}
	return keys, ids, nil
}

// rehearsedKeys is where the ids of a rehearsal's keys begin: no vault has as many.
const rehearsedKeys = 1 << 62

// destroy destroys keys that no row names any more, together with those that could not be
// destroyed before. What fails now is tried again with the next ones, and when the store is opened.
func (s *Store) destroy(ids []int64) error {
	s.doomedMu.Lock()
	defer s.doomedMu.Unlock()
	for _, id := range ids {
		s.doomed = append(s.doomed, uint64(id))
	}
	if len(s.doomed) == 0 {
		return nil
	}
	if err := s.vault.Destroy(s.doomed...); err != nil {
		return fmt.Errorf("destroy %d keys: %w", len(s.doomed), err)
	}
	s.doomed = nil
	return nil
}

// reconcile brings the vault and the rows together after whatever happened since they were last
// used: keys that no row names are destroyed (a crash between key and body, or between the end of
// a body and of its key), and rows whose key is destroyed are erased (the database came from a
// backup that is older than the erasure).
//
// Nothing is destroyed on the word of one table: each of its rows is authenticated, it must count
// as many live records as the other one does, and its pages must be sound. And no more is destroyed
// or erased than a crash can leave: more than that says that database and vault are of two days.
func (s *Store) reconcile(ctx context.Context) error {
	used, err := s.usedKeys(ctx)
	if err != nil {
		return err
	}
	var orphans []int64
	for id, err := range s.vault.Live() {
		if err != nil {
			return err
		}
		if _, ok := used[int64(id)]; ok {
			delete(used, int64(id))
		} else {
			orphans = append(orphans, int64(id))
		}
	}
	var erased []int64
	for id := range used { // what the vault does not have
		switch _, err := s.vault.Key(uint64(id)); {
		case errors.Is(err, vault.ErrDestroyed):
			erased = append(erased, id)
		case err != nil:
			return fmt.Errorf("%w: records are sealed under a key that the vault does not have: give the vault that belongs to this database, or restore both from backups of one day: %w", ErrDamaged, err)
		}
	}
	if len(orphans) > maxOrphans && !s.older {
		return s.twoDays("the vault has %d keys that nothing in the database is sealed under", len(orphans))
	}
	if len(erased) > maxVanished && !s.older {
		return s.twoDays("%d keys were destroyed under which the database has live records", len(erased))
	}
	if len(orphans) > 0 {
		if err := s.keysSound(ctx); err != nil {
			return err
		}
		s.log.InfoContext(ctx, "keys without a record are destroyed", slog.Int("keys", len(orphans)))
		if err := s.destroy(orphans); err != nil {
			return err
		}
	}
	if len(erased) == 0 {
		return nil
	}
	s.log.WarnContext(ctx, "records whose keys were destroyed are erased from the database", slog.Int("keys", len(erased)))
	return s.eraseUnder(ctx, erased)
}

// What a crash can leave. A transaction of an import makes a thousand keys and ends as many; a few of
// them may have failed on a full disk. A key is destroyed after the transaction that ended its last
// record is durable, so that one with live records is a disk's lie, and hardly more than one.
const (
	maxOrphans  = 4000
	maxVanished = 16
)

func (s *Store) twoDays(format string, n int) error {
	return fmt.Errorf("%w: "+format+", more than a crash leaves: they are not of one day, and nothing was destroyed: restore the folders of database and vault from one backup; if this database is meant to be used for good, remove %s.mark and %s.mark, and what the two do not have in common is destroyed",
		ErrDamaged, n, s.path, s.vault.Path())
}

// usedKeys are the keys that live records are sealed under, at one moment: others may write meanwhile.
func (s *Store) usedKeys(ctx context.Context) (map[int64]struct{}, error) {
	tx, err := s.reader.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, explainSQLite(err)
	}
	defer tx.Rollback() // it changes nothing
	used := map[int64]struct{}{}
	var total, last int64
	for {
		before := len(used)
		err := eachOf(ctx, tx.StmtContext(ctx, s.reader.stmt(listKeyRows)), []any{last}, func(scan scanner) error {
			var live int64
			var mac []byte
			if err := scan(&last, &live, &mac); err != nil {
				return err
			}
			if string(mac) != string(s.hash.keyMAC(last, live)) {
				return damagedKeyRow(last)
			}
			used[last] = struct{}{}
			total += live
			return nil
		})
		if err != nil {
			return nil, explainSQLite(err)
		}
		if len(used) == before {
			break
		}
	}
	var counted int64
	if err := tx.StmtContext(ctx, s.reader.stmt(countLive)).QueryRowContext(ctx).Scan(&counted); err != nil {
		return nil, explainSQLite(err)
	}
	if counted != total {
		return nil, fmt.Errorf("%w: record_keys has %d live records, record_counts %d: restore a backup", ErrDamaged, total, counted)
	}
	return used, nil
}

func (s *Store) keysSound(ctx context.Context) error {
	err := s.each(ctx, keysIntact, nil, func(scan scanner) error {
		var line string
		if err := scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			return fmt.Errorf("%w: record_keys: %s: restore a backup", ErrDamaged, line)
		}
		return nil
	})
	return explainSQLite(err)
}

const (
	rowsUnder     = `SELECT ` + rowColumns + ` FROM records r WHERE r.key_id = $1`
	removeKeysOf  = `DELETE FROM document_keys WHERE seq = $1`
	removeBlocks  = `DELETE FROM document_ranges WHERE seq = $1`
	changeLiveID  = `UPDATE record_ids SET live = 0, seq = $1 WHERE collection_no = $2 AND id_hash = $3`
	eraseInPlace  = `UPDATE records SET erased_at = $1, body = $2 WHERE seq = $3`
	changeErasure = `UPDATE records SET seq = $1, withdrawn_at = $2, erased_at = $3, key_id = NULL, digest = NULL, body = $4, changed_at = $5
WHERE seq = $6`
)

// eraseUnder erases the records that were sealed under destroyed keys. Their bodies cannot be
// opened, so their look-up rows are found by walking along the tables: it is rare, and may take
// its time.
func (s *Store) eraseUnder(ctx context.Context, keys []int64) error {
	return s.write(ctx, func(ctx context.Context, t *transaction) error {
		now := s.now().UnixNano()
		for _, key := range keys {
			rows, err := t.tx.QueryContext(ctx, rowsUnder, key)
			if err != nil {
				return err
			}
			list, err := scanRows(rows)
			if err != nil {
				return err
			}
			for _, old := range list {
				next := *old
				if next.seq, err = t.next(ctx, "records"); err != nil {
					return err
				}
				next.changedAt, next.withdrawnAt, next.erasedAt, next.vaultKey, next.digest = now, now, now, 0, nil
				s.sealRemains(&next, remains{})
				for _, step := range []struct {
					query string
					args  []any
				}{
					{removeKeysOf, []any{old.seq}},
					{removeBlocks, []any{old.seq}},
					{changeErasure, []any{next.seq, now, now, next.body, now, old.seq}},
					{changeLiveID, []any{next.seq, old.collection, old.key[:]}},
				} {
					if _, err := t.tx.ExecContext(ctx, step.query, step.args...); err != nil {
						return err
					}
				}
				t.counts[countKey{old.collection, old.source}]--
				t.uses[key]--
				t.changed = true
			}
			if len(list) == 0 {
				return fmt.Errorf("%w: record_keys names key %d, and no record is sealed under it: restore a backup", ErrDamaged, key)
			}
		}
		return nil
	})
}

func scanRows(rows *sql.Rows) (list []*kept, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		k, err := scanKept(rows.Scan)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, rows.Err()
}

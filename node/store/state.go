package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
)

const (
	putState = `INSERT INTO state (room, key_hash, value) VALUES ($1, $2, $3)
ON CONFLICT (room, key_hash) DO UPDATE SET value = excluded.value`
	deleteState = `DELETE FROM state WHERE room = $1 AND key_hash = $2`
	getState    = `SELECT value FROM state WHERE room = $1 AND key_hash = $2`
	listState   = `SELECT key_hash, value FROM state WHERE room = $1`
	allState    = `SELECT room, key_hash, value FROM state`
)

// The bounds of state: it is small.
const (
	maxStateKey   = 512
	maxStateValue = 1 << 20
)

var roomPattern = regexp.MustCompile(`^[a-z]{1,32}$`)

func checkStateName(room, key string) error {
	if !roomPattern.MatchString(room) {
		return invalid("room: give 1 to 32 lower-case letters")
	}
	if key == "" || len(key) > maxStateKey {
		return invalid("key of %d bytes: give 1 to %d", len(key), maxStateKey)
	}
	return nil
}

// aboutState is what a value is bound to. Its key is sealed with it.
func aboutState(room string, key [hashSize]byte) []byte {
	return append([]byte("entente store state v1\x00"+room+"\x00"), key[:]...)
}

// PutState keeps a small value of one room of the node under a key, durably, and replaces what was
// there. Key and value are sealed; the room's name is not. Callers at one moment share a commit.
func (s *Store) PutState(ctx context.Context, room, key string, value []byte) error {
	err := checkStateName(room, key)
	if err == nil && len(value) > maxStateValue {
		err = invalid("value of %d bytes: give at most %d", len(value), maxStateValue)
	}
	if err != nil {
		return fmt.Errorf("store: put state: %w", err)
	}
	name := s.hash.state(room, key)
	plain := binary.AppendUvarint(make([]byte, 0, len(key)+len(value)+4), uint64(len(key)))
	plain = append(append(plain, key...), value...)
	sealed := s.sealer.Seal(plain, aboutState(room, name))
	err = s.commit(ctx, func(ctx context.Context, t *transaction) (refusal, err error) {
		t.changed = true
		_, err = t.exec(ctx, putState, room, name[:], sealed)
		return nil, err
	})
	if err != nil {
		return fmt.Errorf("store: put state: %w", err)
	}
	return nil
}

// DeleteState removes a value, durably. One that is not there is no error.
func (s *Store) DeleteState(ctx context.Context, room, key string) error {
	if err := checkStateName(room, key); err != nil {
		return fmt.Errorf("store: delete state: %w", err)
	}
	name := s.hash.state(room, key)
	err := s.commit(ctx, func(ctx context.Context, t *transaction) (refusal, err error) {
		res, err := t.exec(ctx, deleteState, room, name[:])
		if err != nil {
			return nil, err
		}
		n, err := res.RowsAffected()
		t.changed = t.changed || n > 0
		return nil, err
	})
	if err != nil {
		return fmt.Errorf("store: delete state: %w", err)
	}
	return nil
}

// GetState returns a value, and whether there is one.
func (s *Store) GetState(ctx context.Context, room, key string) (value []byte, found bool, err error) {
	leave, err := s.enter()
	if err != nil {
		return nil, false, err
	}
	defer leave()
	if err := checkStateName(room, key); err != nil {
		return nil, false, fmt.Errorf("store: get state: %w", err)
	}
	name := s.hash.state(room, key)
	var sealed []byte
	err = s.reader.stmt(getState).QueryRowContext(ctx, room, name[:]).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("store: get state: %w", explainSQLite(err))
	}
	_, value, err = s.openState(room, name, sealed)
	if err != nil {
		return nil, false, fmt.Errorf("store: get state: %w", err)
	}
	return value, true, nil
}

// ListState returns a room's values by their keys.
func (s *Store) ListState(ctx context.Context, room string) (map[string][]byte, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := checkStateName(room, "any"); err != nil {
		return nil, fmt.Errorf("store: list state: %w", err)
	}
	list := map[string][]byte{}
	err = s.each(ctx, listState, []any{room}, func(scan scanner) error {
		var name, sealed []byte
		if err := scan(&name, &sealed); err != nil {
			return err
		}
		key, value, err := s.openStateRow(room, name, sealed)
		if err == nil {
			list[key] = value
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: list state: %w", explainSQLite(err))
	}
	return list, nil
}

func (s *Store) openStateRow(room string, name, sealed []byte) (string, []byte, error) {
	if len(name) != hashSize {
		return "", nil, damagedState(room)
	}
	return s.openState(room, [hashSize]byte(name), sealed)
}

func (s *Store) openState(room string, name [hashSize]byte, sealed []byte) (key string, value []byte, err error) {
	plain, err := s.sealer.Open(sealed, aboutState(room, name))
	if err != nil {
		return "", nil, damagedState(room)
	}
	n, size := binary.Uvarint(plain)
	if size <= 0 || n > uint64(len(plain)-size) {
		return "", nil, damagedState(room)
	}
	key, value = string(plain[size:size+int(n)]), plain[size+int(n):]
	if s.hash.state(room, key) != name {
		return "", nil, damagedState(room)
	}
	return key, value, nil
}

func damagedState(room string) error {
	if !roomPattern.MatchString(room) {
		room = "?"
	}
	return fmt.Errorf("%w: a value of the room %s: restore a backup", ErrDamaged, room)
}

// checkState opens all values; found decides whether to go on after a damaged one.
func (s *Store) checkState(ctx context.Context, found func(error) error) error {
	return explainSQLite(s.each(ctx, allState, nil, func(scan scanner) error {
		var room string
		var name, sealed []byte
		if err := scan(&room, &name, &sealed); err != nil {
			return err
		}
		if _, _, err := s.openStateRow(room, name, sealed); err != nil {
			return found(err)
		}
		return nil
	}))
}

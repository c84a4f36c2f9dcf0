package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
)

const (
	walkRecords = `SELECT ` + rowColumns + ` FROM records r WHERE r.seq > $1 ORDER BY r.seq LIMIT 512`
	walkKeys    = `SELECT key_hash, seq FROM document_keys WHERE (key_hash, seq) > ($1, $2) ORDER BY key_hash, seq LIMIT 512`
	walkBlocks  = `SELECT block_hash, seq FROM document_ranges WHERE (block_hash, seq) > ($1, $2) ORDER BY block_hash, seq LIMIT 512`
	countRows   = `SELECT (SELECT COUNT(*) FROM records) + (SELECT COUNT(*) FROM document_keys) + (SELECT COUNT(*) FROM document_ranges)`
)

// snapshot sees one state of the database.
type snapshot struct {
	s  *Store
	tx *sql.Tx
}

func (s *Store) snapshot(ctx context.Context) (*snapshot, func(), error) {
	tx, err := s.reader.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	return &snapshot{s, tx}, func() { tx.Rollback() }, nil // nothing was written
}

// all runs a statement over many rows. The statements' sizes follow from the number of rows alone.
func (sn *snapshot) all(ctx context.Context, b bulk, args []any, do func(scan scanner) error) error {
	return b.chunks(args, func(query string, args []any) error {
		return eachOf(ctx, sn.tx.StmtContext(ctx, sn.s.reader.stmt(query)), args, do)
	})
}

// padded are hashes as arguments, filled up to a size in which fewer statements do.
func padded(hashes [][hashSize]byte) []any {
	n := len(hashes)
	switch largest := bulkSizes[0]; {
	case n > largest/4:
		n = (n + largest - 1) / largest * largest
	case n > 1:
		n = largest / 4
	}
	args := make([]any, n)
	for i := range args {
		args[i] = hashes[min(i, len(hashes)-1)][:]
	}
	return args
}

// lookupTable is one of the two tables by which documents are found.
type lookupTable struct {
	name string
	walk string
	find bulk
	of   func(lookupHashes) [][hashSize]byte
}

var lookupTables = []lookupTable{
	{"document_keys", walkKeys, findKeys, func(h lookupHashes) [][hashSize]byte { return h.keys }},
	{"document_ranges", walkBlocks, findBlocks, func(h lookupHashes) [][hashSize]byte { return h.blocks }},
}

// walk goes along the tables in steps, each of which sees one state of the database and keeps no
// other waiting for longer than it takes.
type walk struct {
	s           *Store
	found       *flaws
	done, total uint64
	progress    func(done, total uint64)
	gone        []*vanished // rows of the step whose keys are destroyed
}

func (w *walk) step(ctx context.Context, rows int) error {
	for _, v := range w.gone {
		if err := w.s.trulyGone(ctx, v); errors.Is(err, ErrDamaged) {
			w.found.add(err)
		} else if err != nil {
			return err
		}
	}
	w.gone = nil
	w.done += uint64(rows)
	if w.progress != nil {
		w.progress(min(w.done, w.total), w.total)
	}
	return w.found.enough()
}

// records opens every body, and looks for the look-up rows that must be there for it.
func (w *walk) records(ctx context.Context) error {
	var after int64
	for {
		rows, err := w.someRecords(ctx, &after)
		if err != nil {
			return explainSQLite(err)
		}
		if err := w.step(ctx, rows); err != nil {
			return err
		}
		if rows == 0 {
			return nil
		}
	}
}

func (w *walk) someRecords(ctx context.Context, after *int64) (int, error) {
	sn, end, err := w.s.snapshot(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	var wanted [2]hashRows
	rows := 0
	o := w.s.opener()
	err = eachOf(ctx, sn.tx.StmtContext(ctx, w.s.reader.stmt(walkRecords)), []any{*after}, func(scan scanner) error {
		rows++
		k, err := scanKept(scan)
		if k != nil {
			*after = k.seq
		}
		if errors.Is(err, ErrDamaged) {
			w.found.add(err)
			return w.found.enough()
		}
		if err != nil {
			return err
		}
		hashes, err := w.openRow(o, k)
		if err != nil {
			return err
		}
		for i, t := range lookupTables {
			wanted[i].add(t.of(hashes), k.seq)
		}
		return nil
	})
	if err != nil {
		return rows, err
	}
	for i, t := range lookupTables {
		if err := w.haveRows(ctx, sn, t, wanted[i]); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// openRow opens a row and returns the look-up rows that belong to it.
func (w *walk) openRow(o *opener, k *kept) (lookupHashes, error) {
	var c *content
	var err error
	if k.live() {
		c, err = o.open(k)
	} else {
		_, err = w.s.openRemains(k)
	}
	var gone *vanished
	switch {
	case errors.As(err, &gone): // withdrawn since the step began; its new row comes later
		w.gone = append(w.gone, gone)
		return lookupHashes{}, nil
	case errors.Is(err, ErrDamaged):
		w.found.add(err)
		return lookupHashes{}, w.found.enough()
	case err != nil || c == nil:
		return lookupHashes{}, err
	}
	l, err := c.lookup()
	if err != nil {
		w.found.add(damagedRow(k, err))
	} else if !bytes.Equal(w.s.hash.mark(k.collection, c.digest, l), k.digest) {
		w.found.add(damagedRow(k, errors.New("its digest is another's")))
	}
	return l.hashes(w.s.hash), w.found.enough()
}

// haveRows looks for look-up rows that must be there.
func (w *walk) haveRows(ctx context.Context, sn *snapshot, t lookupTable, wanted hashRows) error {
	slices.SortFunc(wanted, func(a, b hashRow) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	for chunk := range slices.Chunk(wanted, bulkSizes[0]) {
		hashes := make([][hashSize]byte, len(chunk))
		for i := range chunk {
			hashes[i] = chunk[i].hash
		}
		have := map[hashRow]bool{}
		err := sn.all(ctx, t.find, padded(hashes), func(scan scanner) error {
			var hash []byte
			var row hashRow
			if err := scan(&hash, &row.seq); err != nil {
				return err
			}
			copy(row.hash[:], hash)
			have[row] = true
			return nil
		})
		if err != nil {
			return err
		}
		for _, row := range chunk {
			if !have[row] {
				w.found.add(fmt.Errorf("%s: the row of the document in row %d is missing", t.name, row.seq))
			}
		}
	}
	return w.found.enough()
}

// lookups opens for every look-up row the document that it leads to.
func (w *walk) lookups(ctx context.Context, t lookupTable) error {
	last := hashRow{}
	for first := true; ; first = false {
		rows, err := w.someLookups(ctx, t, &last, first)
		if err != nil {
			return explainSQLite(err)
		}
		if err := w.step(ctx, rows); err != nil {
			return err
		}
		if rows == 0 {
			return nil
		}
	}
}

func (w *walk) someLookups(ctx context.Context, t lookupTable, last *hashRow, first bool) (int, error) {
	sn, end, err := w.s.snapshot(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	var after any = math.Inf(-1) // before all, of whatever type
	if !first {
		after = last.hash[:]
	}
	var list hashRows
	rows := 0
	err = eachOf(ctx, sn.tx.StmtContext(ctx, w.s.reader.stmt(t.walk)), []any{after, last.seq}, func(scan scanner) error {
		rows++
		var hash []byte
		var row hashRow
		if err := scan(&hash, &row.seq); err != nil {
			return err
		}
		if copy(row.hash[:], hash); len(hash) != hashSize {
			w.found.add(fmt.Errorf("%s: a row of another form", t.name))
			return w.found.enough()
		}
		list = append(list, row)
		return nil
	})
	if err != nil || rows == 0 {
		return rows, err
	}
	if len(list) == 0 { // none of them has a form from which to go on
		return rows, errEnough
	}
	*last = list[len(list)-1]
	return rows, w.leadSomewhere(ctx, sn, t, list)
}

// leadSomewhere opens the documents to which look-up rows lead, and compares.
func (w *walk) leadSomewhere(ctx context.Context, sn *snapshot, t lookupTable, list hashRows) error {
	seqs := make([]any, len(list))
	for i, row := range list {
		seqs[i] = row.seq
	}
	good := map[hashRow]bool{}
	o := w.s.opener()
	err := sn.all(ctx, findBodies, seqs, func(scan scanner) error {
		k, err := scanKept(scan)
		if errors.Is(err, ErrDamaged) || err == nil && !k.live() {
			return nil // the rows that lead there are named below
		}
		if err != nil {
			return err
		}
		c, err := o.open(k)
		var gone *vanished
		if errors.As(err, &gone) {
			w.gone = append(w.gone, gone)
			for _, row := range list {
				if row.seq == k.seq {
					good[row] = true
				}
			}
			return nil
		}
		var l lookup
		if err == nil {
			l, err = c.lookup()
		}
		if errors.Is(err, ErrDamaged) || errors.Is(err, errContent) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, h := range t.of(l.hashes(w.s.hash)) {
			good[hashRow{h, k.seq}] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, row := range list {
		if !good[row] {
			w.found.add(fmt.Errorf("%s: a row leads to row %d, which does not have it", t.name, row.seq))
		}
	}
	return w.found.enough()
}

package store

import "sync/atomic"

// Work is what the store has done since it was opened. Two look-ups that did the same work cannot
// be told apart by it.
type Work struct {
	// Hashes are those that were looked for to find documents.
	Hashes uint64
	// Rows are the rows of records that were read.
	Rows uint64
	// Opened are the bodies that were opened.
	Opened uint64
}

type counters struct{ hashes, rows, opened atomic.Uint64 }

// Work returns what the store has done so far.
func (s *Store) Work() Work {
	return Work{Hashes: s.work.hashes.Load(), Rows: s.work.rows.Load(), Opened: s.work.opened.Load()}
}

package store

import (
	"errors"
	"fmt"
	"strings"
)

// What callers branch on.
var (
	// ErrNotFound says that there is no such record, or that it was withdrawn or erased.
	ErrNotFound = errors.New("no such record")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrLocked says that another process (or another Store of this one) has the database open.
	ErrLocked = errors.New("the store is in use by another process")
	// ErrNotDatabase says that the file is something else than a store of Entente.
	ErrNotDatabase = errors.New("not a store of Entente")
	// ErrNewerSchema says that a newer Entente wrote the database.
	ErrNewerSchema = errors.New("the store was written by a newer Entente")
	// ErrDamaged says that the database, or what belongs to it, is not what was written.
	ErrDamaged = errors.New("the store is damaged")
	// ErrTooMany says that more was found than can be answered completely.
	ErrTooMany = errors.New("too many records found")
	// ErrInvalid says that an argument or a record cannot be stored or looked up as it is.
	ErrInvalid = errors.New("invalid")
	// ErrExists says that a record that must be new is there already.
	ErrExists = errors.New("the record exists")
	// ErrOtherSource says that another source holds the record's id.
	ErrOtherSource = errors.New("the record belongs to another source")
	// ErrDeletionHold says that a record may not be withdrawn or erased as long as its deletion_hold stands.
	ErrDeletionHold = errors.New("the record is under a deletion hold")
)

// RowError says why one record of a batch was refused. It names the record and the field, never
// the record's content.
type RowError struct {
	// Index is the record's place in the batch, from 0.
	Index int
	// RecordID is the record's id, as given.
	RecordID string
	// Field is the field at fault. Empty: the record as a whole.
	Field string
	// Err is one of ErrInvalid, ErrExists, ErrOtherSource, ErrDeletionHold, with what to do.
	Err error
}

// Error says which record was refused and why.
func (e RowError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("record %q: %v", e.RecordID, e.Err)
	}
	return fmt.Sprintf("record %q: %s: %v", e.RecordID, e.Field, e.Err)
}

// Unwrap returns the reason.
func (e RowError) Unwrap() error { return e.Err }

// BatchError says which records of a batch were refused. Nothing of the batch was kept: the
// caller may drop these records and try again with the others.
type BatchError struct {
	// Rows are the refused records, in the order of the batch.
	Rows []RowError
}

// shownRows is how many refused records an error text lists: the caller has them all in Rows.
const shownRows = 3

// Error lists the first refused records.
func (e *BatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "store: nothing kept, %d refused", len(e.Rows))
	for i, r := range e.Rows {
		if i == shownRows {
			fmt.Fprintf(&b, "; and %d more", len(e.Rows)-i)
			break
		}
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString("; ")
		}
		b.WriteString(r.Error())
	}
	return b.String()
}

// Unwrap returns the refusals, so that errors.Is finds their reasons.
func (e *BatchError) Unwrap() []error {
	errs := make([]error, len(e.Rows))
	for i, r := range e.Rows {
		errs[i] = r
	}
	return errs
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// Package store keeps what a node must not lose: the bureau's records, which asks were answered,
// and what passed through the gate. It is the only package that knows SQL.
//
// It is not the place for judgement. It finds documents by exact normal forms and by ranges, and
// returns whatever is there: who may see it is the gate's to say, what matches is match's. It
// makes no normal forms either: number_key and more_keys come with the record.
//
// One flow: an importer calls Put with a few thousand records. They are digested, compared with
// what is there, and written with their look-up rows in one transaction, which is on the disk
// before Put returns. Each change took the next number of one sequence; whoever holds an index
// in memory asks for the Changes after the last number it has seen. Later an officer's check
// calls FindDocuments with the normal forms of a number, and the gate calls RecordPassage, which
// shares its transaction with whoever else waits for the disk at that moment.
//
// # One engine
//
// The engine is SQLite, in one file, used by one process: WAL, synchronous=FULL, one connection
// that writes and a few that read. Statements use $1 placeholders and what PostgreSQL says too,
// so that a second engine needs migrations of its own and little else; package storetest holds
// what both must do.
//
// # Files
//
// Beside the database lie SQLite's own -wal and -shm, and a .lock file that is held as long as
// the store is open. All are readable by their owner alone. Deleted content is overwritten in
// the file (secure_delete); in the -wal it lasts until that is written over, and in backups as
// long as these are kept.
package store

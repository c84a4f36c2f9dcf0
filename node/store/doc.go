// Package store keeps what a node must not lose: the bureau's records, and small state of its
// other parts. It is the only package that knows SQL.
//
// It is not the place for judgement. It finds documents by exact normal forms and by ranges, and
// returns whatever is there: who may see it is the gate's to say, what matches is match's. It
// makes no normal forms either: number_key and more_keys come with the record.
//
// One flow: an importer calls Put with a few thousand records. They are digested, compared with
// what is there, given keys by the vault, sealed, and written with their look-up rows in one
// transaction, which is on the disk before Put returns. Each change took the next number of one
// sequence; whoever holds an index in memory asks for the Changes after the last number it has
// seen. Later an officer's check calls FindDocuments with the normal forms of a number; and one
// day Erase destroys the record's key, and nobody reads it any more.
//
// # At rest
//
// A body is sealed with AES-256-GCM under a key of the vault: each record that says something of a
// person has its own, the other documents of one Put share one. The key is durable before the body.
// It is destroyed with the last record that is sealed under it, when a record is withdrawn as well
// as when it is erased; a withdrawn one leaves its id and owner, sealed under the store's own
// key, an erased one nothing but a keyed hash. When the store is opened, keys that no record is
// sealed under are destroyed, and records whose key is gone (the database came from a backup) are
// erased.
//
// Records and documents are found by keyed hashes of ids, normal forms and blocks of ranges. So
// nothing in the files tells a name, a number or an id to who does not have the node's keys.
// Plain are: collections, names of sources and rooms, versions, times, sizes and counts.
//
// # Damage
//
// A body is bound to all columns of its row; sources, uses of keys and state are authenticated and
// compared when the store is opened, with the size of the file. A .mark file beside the database
// counts commits, so that a WAL of which the end is lost does not pass for a whole one, and another
// beside the vault does, so that an older copy of the database does not pass for the newest: the
// keys that it does not know would be destroyed. What is
// left (a look-up row of which a bit is flipped finds nothing) is seen by Check, which compares
// everything with everything.
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
// Beside the database lie SQLite's own -wal and -shm, the .mark, and a .lock file that is held as
// long as the store is open. All are readable by their owner alone. Deleted content is
// overwritten in the file (secure_delete); in the -wal it lasts until that is folded in, which
// Erase sees to before it returns, and in backups as long as these are kept.
package store

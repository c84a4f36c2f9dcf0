-- What the node keeps: records and small state. Nothing here names a person or a number: bodies are
-- sealed, and what is looked for is a keyed hash of 16 bytes. Times are nanoseconds since 1970 in UTC.

-- +goose Up

-- A sequence's last number. A row of its own, not max(seq): a number is never given twice.
-- Whoever draws from it keeps the row locked until the transaction ends, which makes what is
-- visible gap-free (see Changes). "commits" counts the transactions that were kept.
CREATE TABLE sequences (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
);
INSERT INTO sequences (name, value) VALUES ('records', 0), ('commits', 0);

-- The kinds of record. The numbers stand in the program too.
CREATE TABLE collections (
    collection_no INTEGER NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE
);
INSERT INTO collections (collection_no, name) VALUES (1, 'persons'), (2, 'documents');

-- Where records come from. A number here instead of a name in ten million rows.
CREATE TABLE sources (
    source_no INTEGER NOT NULL PRIMARY KEY,
    name      TEXT    NOT NULL UNIQUE,
    mac       BLOB    NOT NULL
);

-- A record by the hash of its id: where its row is, whose it is, and whether it is live. What is
-- asked of ids alone (a source's, a page's) is answered here, without touching the rows.
CREATE TABLE record_ids (
    collection_no INTEGER NOT NULL,
    id_hash       BLOB    NOT NULL,
    source_no     INTEGER NOT NULL,
    live          INTEGER NOT NULL CHECK (live IN (0, 1)),
    seq           INTEGER NOT NULL,
    PRIMARY KEY (collection_no, id_hash)
) WITHOUT ROWID;

-- One row a record. seq is the place of its newest change and the row's key: a change moves
-- the row to the end, so that following the store is one walk along the table, and new rows are
-- added at its end, whatever the order of their ids. body is sealed and bound to the other
-- columns: under the record's key (key_id) as long as it is live. Of a withdrawn record its id
-- remains there, under the key of the store; of an erased one nothing.
CREATE TABLE records (
    seq           INTEGER NOT NULL PRIMARY KEY,
    collection_no INTEGER NOT NULL,
    id_hash       BLOB    NOT NULL,
    source_no     INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    changed_at    INTEGER NOT NULL,
    withdrawn_at  INTEGER,
    erased_at     INTEGER,
    key_id        INTEGER,
    digest        BLOB,
    body          BLOB    NOT NULL,
    CHECK ((withdrawn_at IS NULL) = (key_id IS NOT NULL)),
    CHECK ((withdrawn_at IS NULL) = (digest IS NOT NULL)),
    CHECK (erased_at IS NULL OR withdrawn_at IS NOT NULL)
);
-- For followers of one collection. SQLite keeps the entries of one collection in the order of
-- seq by itself, and adds them at the end.
CREATE INDEX records_by_collection ON records (collection_no);

-- How many live records there are: counting ten million rows takes seconds.
CREATE TABLE record_counts (
    collection_no INTEGER NOT NULL,
    source_no     INTEGER NOT NULL,
    live          INTEGER NOT NULL CHECK (live >= 0),
    PRIMARY KEY (collection_no, source_no)
) WITHOUT ROWID;

-- The keys of the vault that are in use, and how many live records are sealed under each. A key
-- that stands here no more is destroyed, so each row is authenticated by itself.
CREATE TABLE record_keys (
    key_id INTEGER NOT NULL PRIMARY KEY,
    live   INTEGER NOT NULL CHECK (live > 0),
    mac    BLOB    NOT NULL
);

-- The hashes of the normal forms by which a document is found.
CREATE TABLE document_keys (
    key_hash BLOB    NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (key_hash, seq)
) WITHOUT ROWID;

-- Ranges of stolen blanks: the hashes of the blocks of 10^level numbers, level by level, that
-- cover a range exactly. The ranges that contain a number are found with one exact look-up for
-- each level, however many ranges there are.
CREATE TABLE document_ranges (
    block_hash BLOB    NOT NULL,
    seq        INTEGER NOT NULL,
    PRIMARY KEY (block_hash, seq)
) WITHOUT ROWID;

-- Small state of other parts of the node. With rowids: a value of some kilobytes in the key's
-- own tree would make every look-up read it.
CREATE TABLE state (
    room     TEXT NOT NULL,
    key_hash BLOB NOT NULL,
    value    BLOB NOT NULL,
    PRIMARY KEY (room, key_hash)
);

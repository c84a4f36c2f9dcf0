-- Records: what the bureau holds. Times are nanoseconds since 1970 in UTC.

-- +goose Up

-- A sequence's last number. A row of its own, not max(seq): a number is never given twice,
-- even when the rows that had it are purged one day. Whoever draws from it keeps the row
-- locked until the transaction ends, which makes what is visible gap-free (see Changes).
CREATE TABLE sequences (
    name  TEXT   NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
);
INSERT INTO sequences (name, value) VALUES ('records', 0), ('passages', 0);

-- The kinds of record. The numbers stand in the program too.
CREATE TABLE collections (
    collection_no INTEGER NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE
);
INSERT INTO collections (collection_no, name) VALUES (1, 'persons'), (2, 'documents');

-- Where records come from. A number here instead of a name in ten million rows.
CREATE TABLE sources (
    source_no INTEGER NOT NULL PRIMARY KEY,
    name      TEXT    NOT NULL UNIQUE
);

-- A record by its id: where its row is, whose it is, and whether it is live. What is asked of
-- ids alone (a source's, a page's) is answered here, without touching the rows.
CREATE TABLE record_ids (
    collection_no INTEGER NOT NULL,
    record_id     TEXT    NOT NULL,
    source_no     INTEGER NOT NULL,
    live          INTEGER NOT NULL CHECK (live IN (0, 1)),
    seq           INTEGER NOT NULL,
    PRIMARY KEY (collection_no, record_id)
) WITHOUT ROWID;

-- One row a record. seq is the place of its newest change and the row's key: a change moves
-- the row to the end, so that following the store is one walk along the table, and new rows are
-- added at its end, whatever the order of their ids. A withdrawn record keeps its row, without
-- digest and body.
CREATE TABLE records (
    seq           INTEGER NOT NULL PRIMARY KEY,
    collection_no INTEGER NOT NULL,
    record_id     TEXT    NOT NULL,
    version       INTEGER NOT NULL,
    changed_at    INTEGER NOT NULL,
    withdrawn_at  INTEGER,
    digest        BLOB,
    body          BLOB,
    CHECK ((withdrawn_at IS NULL) = (body IS NOT NULL)),
    CHECK ((withdrawn_at IS NULL) = (digest IS NOT NULL))
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

-- The normal forms by which a document is found.
CREATE TABLE document_keys (
    document_key TEXT    NOT NULL,
    seq          INTEGER NOT NULL,
    PRIMARY KEY (document_key, seq)
) WITHOUT ROWID;

-- Ranges of stolen blanks. A range lies in one or two aligned blocks of 10^level numbers, at
-- the lowest level where two are enough, and has a row for each: the ranges that contain a
-- number are found with one exact look-up a level, however many ranges there are.
CREATE TABLE document_ranges (
    range_prefix TEXT    NOT NULL,
    width        INTEGER NOT NULL,
    level        INTEGER NOT NULL,
    block        INTEGER NOT NULL,
    from_num     INTEGER NOT NULL,
    to_num       INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    PRIMARY KEY (range_prefix, width, level, block, from_num, seq)
) WITHOUT ROWID;

CREATE INDEX document_ranges_by_record ON document_ranges (seq);

-- Which levels hold ranges of a prefix and width, and their block's size: most numbers meet no
-- range at all, and are done with one look-up here.
CREATE TABLE document_range_levels (
    range_prefix TEXT    NOT NULL,
    width        INTEGER NOT NULL,
    level        INTEGER NOT NULL,
    block_size   INTEGER NOT NULL,
    live         INTEGER NOT NULL CHECK (live >= 0),
    PRIMARY KEY (range_prefix, width, level)
) WITHOUT ROWID;

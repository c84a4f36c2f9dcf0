-- What the gate keeps: which asks were answered, and what passed.

-- +goose Up

-- An ask is good once: (asker, ask_id) is remembered until it could not be valid any more. With
-- rowids: an answer of some kilobytes in the key's own tree would make every look-up read it.
CREATE TABLE asks (
    asker        TEXT    NOT NULL,
    ask_id       TEXT    NOT NULL,
    digest       BLOB    NOT NULL,
    answer       BLOB    NOT NULL,
    forget_after INTEGER NOT NULL,
    PRIMARY KEY (asker, ask_id)
);
CREATE INDEX asks_by_age ON asks (forget_after);

-- Every passage through the gate, in the order in which it became durable.
CREATE TABLE passages (
    seq            INTEGER NOT NULL PRIMARY KEY,
    message_id     TEXT    NOT NULL,
    kind           TEXT    NOT NULL,
    direction      TEXT    NOT NULL,
    bureau         TEXT    NOT NULL,
    agency         TEXT    NOT NULL,
    purpose        TEXT    NOT NULL,
    decision       TEXT    NOT NULL,
    rules          TEXT    NOT NULL,
    policy_version TEXT    NOT NULL,
    passed_at      INTEGER NOT NULL,
    detail         BLOB
);

-- A journal is written at its end and nowhere else. This holds against our own mistakes; against
-- who holds the file, only the witnesses of the audit log do.
-- +goose StatementBegin
CREATE TRIGGER passages_keep BEFORE UPDATE ON passages
BEGIN
    SELECT RAISE(ABORT, 'passages are not changed');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER passages_stay BEFORE DELETE ON passages
BEGIN
    SELECT RAISE(ABORT, 'passages are not deleted');
END;
-- +goose StatementEnd

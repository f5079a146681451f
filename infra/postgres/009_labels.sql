-- What became known of transactions: each label is a decision as well, and the newest of a transaction counts. Nothing
-- here takes long.
CREATE TABLE labels (
    seq      bigint      PRIMARY KEY REFERENCES decisions,
    id       uuid        NOT NULL,
    txn_date timestamptz NOT NULL,
    user_id  uuid        NOT NULL,
    label    text        NOT NULL CHECK (label IN ('fraud', 'legitimate')),
    at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- Serves a transaction's newest label.
CREATE INDEX labels_newest ON labels (id, seq DESC);
CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE OR TRUNCATE ON labels EXECUTE FUNCTION keep_decisions();

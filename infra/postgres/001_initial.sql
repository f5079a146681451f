-- Scored transactions, one row each. Partitioned by month of txn_date; the default
-- partition takes every month that has none of its own yet.
CREATE TABLE transactions (
    id        uuid           NOT NULL,
    user_id   uuid           NOT NULL,
    amount    numeric(20, 2) NOT NULL CHECK (amount >= 0),
    currency  varchar(3)     NOT NULL,
    txn_date  timestamptz    NOT NULL,
    status    varchar(32)    NOT NULL,
    meta_data jsonb          NOT NULL,
    PRIMARY KEY (id, txn_date)
) PARTITION BY RANGE (txn_date);

CREATE TABLE transactions_default PARTITION OF transactions DEFAULT;

-- Serves a user's newest-first pages without a sort: ties on txn_date are ordered by id.
CREATE INDEX transactions_user_newest ON transactions (user_id, txn_date DESC, id);

-- Serves GET /anomalies: the flagged rows of all users, newest first.
CREATE INDEX transactions_flagged_newest ON transactions (txn_date DESC, id)
    WHERE (meta_data ->> 'is_anomaly') = 'true';

-- Every user seen, so that listing users scans no transactions.
CREATE TABLE users (
    user_id    uuid        PRIMARY KEY,
    first_seen timestamptz NOT NULL DEFAULT now()
);

-- One row a source partition. epoch is raised by each new owner and checked before its
-- writes; next_offset is the first source offset whose row is not here yet.
CREATE TABLE sink_offsets (
    topic       text    NOT NULL,
    partition   integer NOT NULL,
    epoch       bigint  NOT NULL,
    next_offset bigint  NOT NULL,
    PRIMARY KEY (topic, partition)
);

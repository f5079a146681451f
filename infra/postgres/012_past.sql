-- What a replay has to know of the past beside rows and decisions. Nothing here takes long.

-- From which offset of a partition on verdicts depended on these settings of the worker. Rows before rows_to may be by
-- the settings before: Postgres may be a batch ahead of Kafka when a worker starts.
CREATE TABLE settings_held (
    app_id      text        NOT NULL,
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    from_offset bigint      NOT NULL,
    rows_to     bigint      NOT NULL,
    settings    jsonb       NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (app_id, topic, partition, from_offset)
);

-- How a topic got more partitions: up to which offset each was scored, and from which on it, or a new one, goes on;
-- and by which partitioner users' windows were moved. Done once that is so.
CREATE TABLE repartitions (
    app_id      text        NOT NULL,
    topic       text        NOT NULL,
    partitions  integer     NOT NULL,
    partitioner text        NOT NULL,
    finished    bigint[]    NOT NULL,
    begins      bigint[]    NOT NULL,
    done        boolean     NOT NULL DEFAULT false,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (app_id, topic, partitions)
);

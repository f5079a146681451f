-- Everything that people decide and that may change a verdict later, numbered without a gap and in the order of the
-- commits; and from which offset of the source on each held. Nothing here takes long.
CREATE TABLE decisions (
    seq  bigint      PRIMARY KEY,
    kind text        NOT NULL,
    body jsonb       NOT NULL,
    who  text        NOT NULL,
    why  text        NOT NULL,
    at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- Serves the history of one kind, newest first.
CREATE INDEX decisions_kind ON decisions (kind, seq DESC);

-- It is the audit trail, and workers have applied what it says.
CREATE FUNCTION keep_decisions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE object_not_in_prerequisite_state USING
        MESSAGE = 'decisions stay as they were made', HINT = 'A later decision takes the place of one.';
END
$$;
CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE OR TRUNCATE ON decisions EXECUTE FUNCTION keep_decisions();

CREATE TABLE decisions_applied (
    app_id      text        NOT NULL,
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    seq         bigint      NOT NULL,
    from_offset bigint      NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (app_id, topic, partition, seq)
);

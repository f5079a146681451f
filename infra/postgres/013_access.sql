-- Who may ask the API for what. Secrets are kept as digests alone. Nothing here takes long.
CREATE TABLE access_accounts (
    name     text        PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9._@-]{1,100}$'),
    password text        NOT NULL,
    scopes   text[]      NOT NULL,
    made_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Of programs. `users` are the only ones that they may know of; null: all.
CREATE TABLE access_tokens (
    name       text        PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9._@-]{1,100}$'),
    digest     bytea       NOT NULL UNIQUE,
    scopes     text[]      NOT NULL,
    users      uuid[],
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz
);

-- Of people who are logged in.
CREATE TABLE access_sessions (
    digest     bytea       PRIMARY KEY,
    account    text        NOT NULL REFERENCES access_accounts ON DELETE CASCADE,
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX access_sessions_account ON access_sessions (account);

-- The audit trail of all that is above: decisions have their own.
CREATE TABLE access_log (
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    who    text        NOT NULL,
    what   text        NOT NULL,
    whom   text        NOT NULL
);
CREATE INDEX access_log_at ON access_log (at);
CREATE FUNCTION keep_access_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE object_not_in_prerequisite_state USING MESSAGE = 'what was done about access stays as it was noted';
END
$$;
CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE OR TRUNCATE ON access_log EXECUTE FUNCTION keep_access_log();

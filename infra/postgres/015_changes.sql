-- When a row changed, for those who follow the table: the transaction that wrote it last. Unlike a time or a sequence's
-- number, it can be told of transactions which ones may still commit. Nothing is rewritten and nothing is read.

-- Waits for a draining.
SELECT pg_advisory_xact_lock(hashtext('transactions_months'));

-- The lock is asked for again and again, as in 007.
DO $$
BEGIN
    SET LOCAL lock_timeout = '200ms';
    FOR attempt IN 1 .. 300 LOOP
        BEGIN
            LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 300 THEN
                RAISE lock_not_available USING
                    MESSAGE = 'others have had the table transactions open for five minutes',
                    HINT = 'pg_stat_activity has who. Run `txnwatch migrate` again once they have ended.';
            END IF;
            PERFORM pg_sleep(1);
        END;
    END LOOP;
END
$$;
-- Removes the copies of a draining that was cut short: they lack the column.
SELECT clear_transactions_draining();
ALTER TABLE transactions ADD COLUMN changed xid8;  -- null in rows of before
ALTER TABLE transactions ALTER COLUMN changed SET DEFAULT pg_current_xact_id();

CREATE FUNCTION number_changed_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed := pg_current_xact_id();
    RETURN NEW;
END
$$;
CREATE TRIGGER number_change BEFORE UPDATE ON transactions
    FOR EACH ROW EXECUTE FUNCTION number_changed_transaction();

-- Keys that rows have left, by a revision with another date or by somebody's hand; not those of months that are dropped.
CREATE TABLE transactions_gone (
    id       uuid        NOT NULL,
    txn_date timestamptz NOT NULL,
    user_id  uuid        NOT NULL,
    changed  xid8        NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX transactions_gone_changed ON transactions_gone (changed);
CREATE FUNCTION keep_gone_transactions() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO transactions_gone SELECT id, txn_date, user_id FROM former;
    ELSE
        INSERT INTO transactions_gone
        SELECT id, txn_date, user_id FROM former EXCEPT SELECT id, txn_date, user_id FROM present;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_gone AFTER DELETE ON transactions REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION keep_gone_transactions();
CREATE TRIGGER keep_left AFTER UPDATE ON transactions REFERENCING OLD TABLE AS former NEW TABLE AS present
    FOR EACH STATEMENT EXECUTE FUNCTION keep_gone_transactions();

-- A label is a change of its row. Who labels needs no right to change rows.
CREATE FUNCTION change_labelled_transactions() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    -- In the order in which the worker revises rows, so that they wait for each other instead of a deadlock.
    PERFORM FROM transactions AS t JOIN given AS l USING (id, txn_date, user_id)
    ORDER BY id, txn_date, user_id FOR NO KEY UPDATE OF t;
    UPDATE transactions AS t SET changed = DEFAULT FROM given AS l
    WHERE (t.id, t.txn_date, t.user_id) = (l.id, l.txn_date, l.user_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER change_rows AFTER INSERT ON labels REFERENCING NEW TABLE AS given
    FOR EACH STATEMENT EXECUTE FUNCTION change_labelled_transactions();

-- Every minute in which rows are written: what is seen later than `at` was written by `below` or a later transaction.
CREATE TABLE change_times (
    at    timestamptz NOT NULL,
    below xid8        NOT NULL
);
CREATE INDEX change_times_at ON change_times (at DESC);
INSERT INTO change_times VALUES (clock_timestamp(), pg_snapshot_xmin(pg_current_snapshot()));

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['keep_gone_transactions', 'change_labelled_transactions'] LOOP
        EXECUTE format(
            'ALTER FUNCTION %I() SET search_path = pg_catalog, %I, pg_temp', name, current_schema()
        );
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION keep_gone_transactions(), change_labelled_transactions() FROM PUBLIC;

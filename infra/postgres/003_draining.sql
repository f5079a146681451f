-- Months without a long lock: none is made while that would read a large default partition, and rows
-- move out of it into copies of months that take its place at once.

-- Serves the flagged rows of one user, newest first.
CREATE INDEX transactions_user_flagged ON transactions (user_id, txn_date DESC, id)
    WHERE (meta_data ->> 'is_anomaly') = 'true';

-- As before, but Postgres reads all of the default partition for each month made, under a lock that stops
-- writers: so it has to be small. And whoever finds another at it leaves it to that one.
CREATE OR REPLACE FUNCTION make_transactions_months(ahead integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz;
    next  timestamptz;
    name  text;
    large CONSTANT bigint := 64 * 1024 * 1024;
    size  bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('transactions_months')) THEN
        RETURN;
    END IF;
    IF to_regclass('transactions_draining') IS NOT NULL THEN  -- nobody drains: it was cut short
        PERFORM clear_transactions_draining();
    END IF;
    FOR number IN 0 .. ahead LOOP
        first := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => number))
            AT TIME ZONE 'UTC';
        next := ((first AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
        name := 'transactions_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN EXISTS (SELECT FROM transactions_months AS m WHERE m.starts < next AND m.ends > first);
        size := pg_relation_size('transactions_default');
        IF size > large AND EXISTS (SELECT FROM transactions_default) THEN
            RAISE object_not_in_prerequisite_state
                USING MESSAGE = format('the default partition holds %s', pg_size_pretty(size)),
                      HINT = 'Run `txnwatch partitions drain`.';
        END IF;
        CONTINUE WHEN EXISTS (
            SELECT FROM transactions_default AS t WHERE t.txn_date >= first AND t.txn_date < next
        );
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF transactions FOR VALUES FROM (%L) TO (%L)', name, first, next
        );
        RETURN NEXT name;
    END LOOP;
END
$$;

-- While the default partition is drained, what happens to its rows happens to their copies as well. With
-- the rights of the table's owner: those who write need none on the copies.
CREATE FUNCTION follow_transactions_default() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE transactions_draining;
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        IF current_setting('transaction_isolation') <> 'read committed' THEN  -- it may not see the copy
            RAISE serialization_failure USING MESSAGE = 'the default partition is being drained';
        END IF;
        DELETE FROM transactions_draining WHERE id = OLD.id AND txn_date = OLD.txn_date;
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        INSERT INTO transactions_draining SELECT NEW.*;
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION follow_transactions_default() FROM PUBLIC;
DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION follow_transactions_default() SET search_path = pg_catalog, %I, pg_temp', current_schema()
    );
END
$$;

-- Gives up the copies of a draining.
CREATE FUNCTION clear_transactions_draining() RETURNS void LANGUAGE sql AS $$
    DROP TRIGGER IF EXISTS follow_rows ON transactions_default;
    DROP TRIGGER IF EXISTS follow_truncate ON transactions_default;
    DROP TABLE IF EXISTS transactions_draining;
$$;

-- A transaction is known by id, date and user: a debit and its credit may share id and date.
--
-- Writers wait while the new keys are built; readers only for the moment of the swap at the end. What it
-- takes, and how to build the keys beforehand while writers go on, is in docs/using.md.

-- Waits for a draining, and removes the copies of one that was cut short: they have the former key.
SELECT pg_advisory_xact_lock(hashtext('transactions_months'));
SELECT clear_transactions_draining();
-- First the table, then its months, as writers do: the other way round ends in a deadlock with them.
LOCK TABLE transactions IN SHARE MODE;

DO $$
DECLARE
    partition record;
BEGIN
    FOR partition IN SELECT oid, relname FROM pg_class JOIN pg_inherits ON inhrelid = oid
        WHERE inhparent = 'transactions'::regclass
    LOOP
        EXECUTE format('CREATE UNIQUE INDEX IF NOT EXISTS %I ON %s (id, txn_date, user_id)',
            partition.relname || '_id_date_user', partition.oid::regclass);
    END LOOP;
    -- Serves GET /anomalies, in its order.
    CREATE INDEX transactions_flagged_newest_by_user ON transactions (txn_date DESC, id, user_id)
        WHERE (meta_data ->> 'is_anomaly') = 'true';
    DROP INDEX transactions_flagged_newest;  -- from here on readers wait
    ALTER INDEX transactions_flagged_newest_by_user RENAME TO transactions_flagged_newest;
    ALTER TABLE transactions DROP CONSTRAINT transactions_pkey;
    FOR partition IN SELECT oid, relname FROM pg_class JOIN pg_inherits ON inhrelid = oid
        WHERE inhparent = 'transactions'::regclass
    LOOP
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I PRIMARY KEY USING INDEX %I',
            partition.oid::regclass, partition.relname || '_pkey', partition.relname || '_id_date_user');
    END LOOP;
    ALTER TABLE transactions ADD CONSTRAINT transactions_pkey PRIMARY KEY (id, txn_date, user_id);
END
$$;

-- As before, but by the whole key.
CREATE OR REPLACE FUNCTION follow_transactions_default() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE transactions_draining;
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        IF current_setting('transaction_isolation') <> 'read committed' THEN  -- it may not see the copy
            RAISE serialization_failure USING MESSAGE = 'the default partition is being drained';
        END IF;
        DELETE FROM transactions_draining
        WHERE id = OLD.id AND txn_date = OLD.txn_date AND user_id = OLD.user_id;
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        INSERT INTO transactions_draining SELECT NEW.*;
    END IF;
    RETURN NULL;
END
$$;
DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION follow_transactions_default() SET search_path = pg_catalog, %I, pg_temp', current_schema()
    );
END
$$;

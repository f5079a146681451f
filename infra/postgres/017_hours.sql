-- How many transactions, how much and how many flagged, by the hour of their date (UTC) and currency: a table of few rows,
-- in place of an index over all. Filling it reads the table once, 1 s for each million rows; writers wait meanwhile, and
-- readers do not.
SELECT pg_advisory_xact_lock(hashtext('transactions_months'));
LOCK TABLE transactions IN SHARE ROW EXCLUSIVE MODE;

-- Each session adds to rows of its own: with one an hour, partitions would wait for each other, and could lock each other
-- out. Hours that are over have one row (session 0): fold_transaction_hours().
CREATE TABLE transaction_hours (
    hour     timestamptz NOT NULL,
    currency varchar(3)  NOT NULL,
    session  integer     NOT NULL,
    count    bigint      NOT NULL,
    sum      numeric     NOT NULL,
    flagged  bigint      NOT NULL,
    PRIMARY KEY (hour, currency, session)
) WITH (fillfactor = 50);  -- a row is changed with each batch, and stays in its page

INSERT INTO transaction_hours
SELECT date_bin('1 hour', txn_date, '2000-01-01Z'), currency, 0, count(*), sum(amount),
       count(*) FILTER (WHERE meta_data @> '{"is_anomaly": true}')
FROM transactions GROUP BY 1, 2;

-- Whoever writes rows has them added when the transaction ends, all at once, by a row here that never outlives it. A
-- trigger that is given the rows would have COPY insert them one by one.
CREATE TABLE transaction_hours_due (writer xid8 PRIMARY KEY);

CREATE FUNCTION owe_transaction_hours() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE transaction_hours;
        RETURN NULL;
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN  -- but for what this transaction has written itself: that is not added yet
        INSERT INTO transaction_hours AS known
        SELECT date_bin('1 hour', txn_date, '2000-01-01Z'), currency, pg_backend_pid(), -count(*), -sum(amount),
               -count(*) FILTER (WHERE meta_data @> '{"is_anomaly": true}')
        FROM former WHERE changed IS DISTINCT FROM pg_current_xact_id() GROUP BY 1, 2
        ON CONFLICT (hour, currency, session) DO UPDATE SET count = known.count + excluded.count,
            sum = known.sum + excluded.sum, flagged = known.flagged + excluded.flagged;
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        INSERT INTO transaction_hours_due VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER owe_hours AFTER INSERT ON transactions FOR EACH STATEMENT EXECUTE FUNCTION owe_transaction_hours();
CREATE TRIGGER change_hours AFTER UPDATE ON transactions REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION owe_transaction_hours();
CREATE TRIGGER leave_hours AFTER DELETE ON transactions REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION owe_transaction_hours();
CREATE TRIGGER clear_hours AFTER TRUNCATE ON transactions FOR EACH STATEMENT EXECUTE FUNCTION owe_transaction_hours();

CREATE FUNCTION add_transaction_hours() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO transaction_hours AS known
    SELECT date_bin('1 hour', txn_date, '2000-01-01Z'), currency, pg_backend_pid(), count(*), sum(amount),
           count(*) FILTER (WHERE meta_data @> '{"is_anomaly": true}')
    FROM transactions WHERE changed = NEW.writer GROUP BY 1, 2
    ON CONFLICT (hour, currency, session) DO UPDATE SET count = known.count + excluded.count,
        sum = known.sum + excluded.sum, flagged = known.flagged + excluded.flagged;
    DELETE FROM transaction_hours_due WHERE writer = NEW.writer;
    INSERT INTO change_times SELECT clock_timestamp(), pg_snapshot_xmin(pg_current_snapshot())
    WHERE NOT EXISTS (SELECT FROM change_times WHERE at > now() - interval '1 minute');
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER add_hours AFTER INSERT ON transaction_hours_due DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION add_transaction_hours();

-- Makes one row of each hour that is over, and waits for nobody.
CREATE FUNCTION fold_transaction_hours() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('transactions_months')) THEN  -- somebody drops, drains or makes months
        RETURN;
    END IF;
    WITH own AS (
        SELECT hour, currency, session FROM transaction_hours
        WHERE session <> 0 AND hour < now() - interval '2 hours' FOR UPDATE SKIP LOCKED
    ), taken AS (
        DELETE FROM transaction_hours AS row USING own
        WHERE (row.hour, row.currency, row.session) = (own.hour, own.currency, own.session) RETURNING row.*
    )
    INSERT INTO transaction_hours AS known
    SELECT hour, currency, 0, sum(count), sum(sum), sum(flagged) FROM taken GROUP BY 1, 2
    ON CONFLICT (hour, currency, session) DO UPDATE SET count = known.count + excluded.count,
        sum = known.sum + excluded.sum, flagged = known.flagged + excluded.flagged;
END
$$;

-- Those who write rows need no right on the hours.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['fold_transaction_hours', 'owe_transaction_hours', 'add_transaction_hours'] LOOP
        EXECUTE format(
            'ALTER FUNCTION %I() SET search_path = pg_catalog, %I, pg_temp', name, current_schema()
        );
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION owe_transaction_hours(), add_transaction_hours() FROM PUBLIC;

-- As before, with their hours and the keys that rows have left.
CREATE OR REPLACE FUNCTION drop_transactions_months(keep integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    month record;
    oldest timestamptz;
BEGIN
    IF keep < 1 THEN
        RAISE EXCEPTION 'keep at least 1 month, not %', keep;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('transactions_months'));
    oldest := (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => keep)) AT TIME ZONE 'UTC';
    FOR month IN SELECT m.* FROM transactions_months AS m WHERE m.ends <= oldest ORDER BY m.starts LOOP
        EXECUTE format('DROP TABLE %I', month.name);
        DELETE FROM transaction_hours WHERE hour >= month.starts AND hour < month.ends;
        RETURN NEXT month.name;
    END LOOP;
    IF FOUND THEN
        DELETE FROM transactions_replaced WHERE txn_date < oldest;
        DELETE FROM transactions_gone WHERE txn_date < oldest;
        UPDATE sink_offsets SET kept_from = next_offset;
    END IF;
END
$$;

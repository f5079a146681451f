-- Months of their own: made ahead, dropped when they are old. The default partition keeps what has
-- none, and is drained by `txnwatch partitions drain`.

-- A month starts and ends at a moment, and pages and cursors go by moments: no row is outside time.
ALTER TABLE transactions ADD CONSTRAINT transactions_txn_date_is_finite CHECK (isfinite(txn_date));

-- Says within a few pages whether the default partition has rows of a month. Rows arrive roughly in
-- the order of their dates, and a BRIN index costs an insert next to nothing.
CREATE INDEX transactions_default_txn_date ON transactions_default USING brin (txn_date);

-- What there is: each partition but the default one, and its bounds.
CREATE VIEW transactions_months AS
SELECT child.relname::text AS name,
       (regexp_match(pg_get_expr(child.relpartbound, child.oid), 'FROM \(''([^'']+)''\)'))[1]::timestamptz AS starts,
       (regexp_match(pg_get_expr(child.relpartbound, child.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz AS ends
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'transactions'::regclass AND pg_get_expr(child.relpartbound, child.oid) <> 'DEFAULT';

-- Makes this month (UTC) and so many after it; the names made. A month that the default partition
-- already has rows of is left to be drained.
CREATE FUNCTION make_transactions_months(ahead integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz;
    next  timestamptz;
    name  text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('transactions_months'));
    FOR number IN 0 .. ahead LOOP
        first := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => number))
            AT TIME ZONE 'UTC';
        next := ((first AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
        name := 'transactions_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN EXISTS (SELECT FROM transactions_months AS m WHERE m.starts < next AND m.ends > first);
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

-- Drops the months that ended so many months ago or earlier, with their rows; the names dropped.
CREATE FUNCTION drop_transactions_months(keep integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    month record;
    oldest timestamptz;
BEGIN
    IF keep < 1 THEN
        RAISE EXCEPTION 'keep at least 1 month, not %', keep;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('transactions_months'));
    oldest := (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => keep)) AT TIME ZONE 'UTC';
    FOR month IN SELECT m.name FROM transactions_months AS m WHERE m.ends <= oldest ORDER BY m.starts LOOP
        EXECUTE format('DROP TABLE %I', month.name);
        RETURN NEXT month.name;
    END LOOP;
END
$$;

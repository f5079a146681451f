-- What a transaction may say beside what all do. Nothing is rewritten and nothing is read: each column is a line in
-- the catalogue.

-- Waits for a draining.
SELECT pg_advisory_xact_lock(hashtext('transactions_months'));

-- The lock is asked for again and again, a fifth of a second each time: all writers and readers would wait behind one
-- that waits for somebody's long query.
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
-- Removes the copies of a draining that was cut short: they lack the columns.
SELECT clear_transactions_draining();
ALTER TABLE transactions
    ADD COLUMN merchant_id varchar(64),
    ADD COLUMN card_id     varchar(64),
    ADD COLUMN country     varchar(2),
    ADD COLUMN channel     varchar(32);

-- For few rows, or when some are stored already: one statement; the row that came first stays, and the others go to
-- those that were replaced. Sorted by key, so that two partitions with the same ids wait for each other instead of a
-- deadlock.
--
-- With an epoch ($6) it is a transaction of its own: NULL and nothing done where the epoch is another, or rows before $7
-- are gone; rows below the next offset are left out. Both as they are once the row is locked, whoever had it.
WITH owned AS MATERIALIZED (
    SELECT source, CASE WHEN $6::bigint IS NOT NULL THEN next_offset END AS first FROM sink_offsets
    WHERE app_id = $1 AND topic = $2 AND partition = $3 AND ($6 IS NULL OR (epoch = $6 AND next_offset >= $7))
    FOR UPDATE
), given AS MATERIALIZED (
    SELECT one.*, owned.source FROM ROWS FROM (json_to_recordset($5::json) AS (
        id uuid, user_id uuid, amount numeric, currency text, txn_date timestamptz, status text,
        meta_data jsonb, merchant_id text, card_id text, country text, channel text, source_offset bigint
    )) AS one JOIN owned ON first IS NULL OR source_offset >= first
), listed AS (
    INSERT INTO users (user_id) SELECT DISTINCT user_id FROM given ORDER BY 1 ON CONFLICT DO NOTHING
), stored AS (
    INSERT INTO transactions (
        id, user_id, amount, currency, txn_date, status, meta_data, merchant_id, card_id, country, channel,
        source_offset, source
    )
    SELECT * FROM given
    ORDER BY id, txn_date, user_id, source_offset ON CONFLICT DO NOTHING RETURNING source_offset
), again AS (
    INSERT INTO transactions_replaced (
        id, user_id, amount, currency, txn_date, status, meta_data, merchant_id, card_id, country, channel,
        source_offset, source
    )
    SELECT * FROM given WHERE NOT EXISTS (SELECT FROM stored WHERE stored.source_offset = given.source_offset)
), advanced AS (
    UPDATE sink_offsets SET next_offset = greatest(next_offset, $4)
    FROM owned WHERE app_id = $1 AND topic = $2 AND partition = $3
)
SELECT (SELECT count(*) FROM stored) FROM owned

-- Rows that revisions replace ($4), whether they are there or not; those that they move are gone from their former
-- keys ($5), which are none of the new ones. What was there stays among those that were replaced, as does what came
-- and went within the batch ($6).
WITH given AS MATERIALIZED (
    SELECT one.*, sink_offsets.source FROM json_to_recordset($4::json) AS one (
        id uuid, user_id uuid, amount numeric, currency text, txn_date timestamptz, status text,
        meta_data jsonb, merchant_id text, card_id text, country text, channel text, source_offset bigint
    ), sink_offsets
    WHERE app_id = $1 AND topic = $2 AND partition = $3
), passed AS (
    SELECT one.*, sink_offsets.source FROM json_to_recordset($6::json) AS one (
        id uuid, user_id uuid, amount numeric, currency text, txn_date timestamptz, status text,
        meta_data jsonb, merchant_id text, card_id text, country text, channel text, source_offset bigint
    ), sink_offsets
    WHERE app_id = $1 AND topic = $2 AND partition = $3
), moved AS MATERIALIZED (
    SELECT * FROM json_to_recordset($5::json) AS one (id uuid, user_id uuid, txn_date timestamptz)
), replaced AS (
    INSERT INTO transactions_replaced (
        id, user_id, amount, currency, txn_date, status, meta_data, merchant_id, card_id, country, channel,
        source_offset, source
    )
    SELECT id, user_id, amount, currency, txn_date, status, meta_data, merchant_id, card_id, country, channel,
        source_offset, source
    FROM transactions JOIN (
        SELECT id, user_id, txn_date FROM given UNION SELECT id, user_id, txn_date FROM moved
    ) AS key USING (id, txn_date, user_id)
    UNION ALL SELECT * FROM passed
), gone AS (
    DELETE FROM transactions AS row USING moved AS one
    WHERE (row.id, row.txn_date, row.user_id) = (one.id, one.txn_date, one.user_id)
)
INSERT INTO transactions (
    id, user_id, amount, currency, txn_date, status, meta_data, merchant_id, card_id, country, channel,
    source_offset, source
)
SELECT * FROM given ORDER BY id, txn_date, user_id
ON CONFLICT (id, txn_date, user_id) DO UPDATE SET
    amount = excluded.amount, currency = excluded.currency, status = excluded.status,
    meta_data = excluded.meta_data, merchant_id = excluded.merchant_id, card_id = excluded.card_id,
    country = excluded.country, channel = excluded.channel,
    source_offset = excluded.source_offset, source = excluded.source

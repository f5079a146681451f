-- Rows that revisions replace, whether they are there or not; those that they move are gone from their former
-- keys ($2), which are none of the new ones.
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset($1::json) AS one (
        id uuid, user_id uuid, amount numeric, currency text, txn_date timestamptz, status text,
        meta_data jsonb, merchant_id text, card_id text, country text, channel text
    )
), gone AS (
    DELETE FROM transactions AS row
    USING json_to_recordset($2::json) AS one (id uuid, user_id uuid, txn_date timestamptz)
    WHERE (row.id, row.txn_date, row.user_id) = (one.id, one.txn_date, one.user_id)
)
INSERT INTO transactions (
    id, user_id, amount, currency, txn_date, status, meta_data, merchant_id, card_id, country, channel
)
SELECT * FROM given ORDER BY id, txn_date, user_id
ON CONFLICT (id, txn_date, user_id) DO UPDATE SET
    amount = excluded.amount, currency = excluded.currency, status = excluded.status,
    meta_data = excluded.meta_data, merchant_id = excluded.merchant_id, card_id = excluded.card_id,
    country = excluded.country, channel = excluded.channel

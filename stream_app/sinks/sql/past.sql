-- What is known of some users since a date, in an order that does not depend on when it was stored.
SELECT id::text, user_id::text, trunc(amount * 100)::text, currency, txn_date, status,
    merchant_id, card_id, country, channel
FROM transactions WHERE user_id = ANY($1::uuid[]) AND txn_date >= $2
ORDER BY user_id, txn_date, id

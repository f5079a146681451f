-- What is known of some users since a date, of each in an order that does not depend on when it was stored. User by
-- user, so that none waits for the sorting of all, and one who has very many does not make it read the whole table.
SELECT id::text, user_id::text, trunc(amount * 100)::text, currency, txn_date, status,
    merchant_id, card_id, country, channel
FROM unnest($1::uuid[]) AS wanted (of_user), LATERAL (
    SELECT * FROM transactions WHERE user_id = of_user AND txn_date >= $2 ORDER BY txn_date, id
) AS its

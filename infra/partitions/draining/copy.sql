-- The rows between two places of the default partition; how many went to each month.
WITH copied AS (
    INSERT INTO transactions_draining SELECT * FROM transactions_default
    WHERE ctid >= $1::text::tid AND ctid < $2::text::tid
    ON CONFLICT DO NOTHING RETURNING tableoid
)
SELECT tableoid::regclass::text, count(*) FROM copied
WHERE tableoid <> 'transactions_rest'::regclass GROUP BY 1;

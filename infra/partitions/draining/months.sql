-- The months to be made. Where other partitions cover a part of a month, partitions are made for the rest.
-- Dates are text in Python, which does not have the year 10000, where the last month ends. The limit is there
-- because each month takes about ten locks.
SELECT 'transactions_' || to_char(lower(free),
           CASE starts WHEN lower(free) THEN 'YYYY_MM' ELSE 'YYYY_MM_DD' END) AS name,
       (lower(free) AT TIME ZONE 'UTC')::text AS starts, (upper(free) AT TIME ZONE 'UTC')::text AS ends
FROM (
    SELECT date_trunc('month', txn_date AT TIME ZONE 'UTC') AS starts FROM transactions_default
    GROUP BY 1 ORDER BY count(*) DESC LIMIT 60
) AS months,
    unnest(tsmultirange(tsrange(starts, starts + interval '1 month')) - (
        SELECT coalesce(range_agg(tsrange(m.starts AT TIME ZONE 'UTC', m.ends AT TIME ZONE 'UTC')), '{}')
        FROM transactions_months AS m
    )) AS free
ORDER BY free;

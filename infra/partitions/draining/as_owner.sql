-- Months and trigger belong to the table's owner.
SELECT set_config('role', pg_get_userbyid(relowner), false) FROM pg_class
WHERE oid = 'transactions'::regclass;

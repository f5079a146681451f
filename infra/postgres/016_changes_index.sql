-- Serves the changes in their order. A batch is one transaction: the index has a few bytes for each row, which come last.
-- Writers wait while the table is read once, 0.2 s for each million rows; readers do not.
SELECT pg_advisory_xact_lock(hashtext('transactions_months'));
LOCK TABLE transactions IN SHARE MODE;
CREATE INDEX transactions_changed ON transactions (changed) WHERE changed IS NOT NULL;

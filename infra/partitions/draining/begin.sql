-- The copies, not attached to the table yet, and the triggers that repeat in them what happens to the rows.
CREATE TABLE transactions_draining (LIKE transactions INCLUDING ALL) PARTITION BY RANGE (txn_date);
CREATE TABLE transactions_rest PARTITION OF transactions_draining DEFAULT;
CREATE INDEX transactions_rest_txn_date ON transactions_rest USING brin (txn_date);
CREATE TRIGGER follow_rows AFTER INSERT OR UPDATE OR DELETE ON transactions_default
    FOR EACH ROW EXECUTE FUNCTION follow_transactions_default();
CREATE TRIGGER follow_truncate AFTER TRUNCATE ON transactions_default
    FOR EACH STATEMENT EXECUTE FUNCTION follow_transactions_default();
ALTER TABLE transactions_default ENABLE ALWAYS TRIGGER follow_rows, ENABLE ALWAYS TRIGGER follow_truncate;

-- What is left takes the default partition's place.
ALTER TABLE transactions_draining DETACH PARTITION transactions_rest;
DROP TABLE transactions_draining;
ALTER TABLE transactions_rest RENAME TO transactions_default;
ALTER TABLE transactions ATTACH PARTITION transactions_default DEFAULT;
ALTER INDEX transactions_rest_txn_date RENAME TO transactions_default_txn_date;

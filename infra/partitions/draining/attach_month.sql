ALTER TABLE transactions_draining DETACH PARTITION {name};
ALTER TABLE transactions ATTACH PARTITION {name} FOR VALUES FROM ('{starts}') TO ('{ends}');
ALTER TABLE {name} DROP CONSTRAINT bounds;

-- With the constraint Postgres need not scan the month when it is attached to the table.
CREATE TABLE {name} PARTITION OF transactions_draining (
    CONSTRAINT bounds CHECK (txn_date >= '{starts}' AND txn_date < '{ends}')
) FOR VALUES FROM ('{starts}') TO ('{ends}');

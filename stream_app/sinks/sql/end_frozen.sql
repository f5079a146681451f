-- None of the session's timeouts ends a COPY whose worker is frozen in the middle of it.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'txnwatch-worker' AND datname = current_database() AND usename = current_user
    AND state = 'active' AND wait_event = 'ClientRead' AND xact_start < clock_timestamp() - interval '15 s'

"""What people decide: checked as files, numbered in Postgres, written to Kafka, where workers apply it."""

"""What txnwatch runs on: topics, migrations, embedded services, container files."""

"""What every process stands on (runtime), and producing, topics, migrations, embedded services, images."""

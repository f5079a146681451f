"""The loop of confluent-kafka's documentation."""

import sys

from confluent_kafka import Producer

bootstrap, topic, keys = sys.argv[1:]
producer = Producer({"bootstrap.servers": bootstrap})
for line in sys.stdin:
    key, value = line.rstrip("\n").split("\t")
    producer.poll(0)
    producer.produce(topic, value, key=None if keys == "null" else key)
sys.exit(producer.flush())

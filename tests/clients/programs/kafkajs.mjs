import { createInterface } from "node:readline";
import { Kafka } from "kafkajs";

const [bootstrap, topic, keys] = process.argv.slice(2);
const producer = new Kafka({ brokers: [bootstrap] }).producer();
await producer.connect();
for await (const line of createInterface({ input: process.stdin })) {
  const [key, value] = line.split("\t");
  await producer.send({ topic, messages: [{ key: keys === "null" ? null : key, value }] });
}
await producer.disconnect();

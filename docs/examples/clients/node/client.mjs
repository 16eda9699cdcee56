// A jobstatus client in Node, with kafkajs and avsc.
//
//   node client.mjs encode     events as JSON lines in, Kafka values as hex lines out
//   node client.mjs send       events as JSON lines in, records on the topic out
//   node client.mjs read 10    ten events of the topic, as JSON lines

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import avro from "avsc";
import kafkajs from "kafkajs";

const { CompressionTypes, Kafka, logLevel, Partitioners } = kafkajs;
const { JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS, JOBSTATUS_TOPIC, SCHEMA_FILE } = process.env;
const COMPRESSION = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP };

// avsc has no CRC-64-AVRO, so the header of version 1 stands here: C3 01, then the fingerprint
const HEADER = Buffer.from("c301c562b5179833b641", "hex");
// wrapUnions: false makes a value of a union a plain value
const type = avro.Type.forSchema(JSON.parse(readFileSync(SCHEMA_FILE, "utf8")), { wrapUnions: false });

function encode(event) {
  return Buffer.concat([HEADER, type.toBuffer(event)]);
}

function decode(value) {
  if (!value.subarray(0, HEADER.length).equals(HEADER)) throw new Error("not version 1 of the event");
  return type.fromBuffer(value.subarray(HEADER.length));
}

// Reads JSON lines; an event without an id or a time gets one now.
function events() {
  return readFileSync(0, "utf8")
    .split("\n")
    .filter((line) => line)
    .map((line) => ({
      event_id: randomUUID(),
      error_message: null,
      attempt: null,
      worker_id: null,
      occurred_at: Date.now() * 1000,
      ...JSON.parse(line),
    }));
}

function connect() {
  return new Kafka({
    clientId: "jobstatus-example",
    brokers: JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS.split(","),
    logLevel: logLevel.WARN,
  });
}

async function send() {
  const transactionalId = process.env.TRANSACTIONAL_ID;
  const producer = connect().producer({
    idempotent: true,
    // murmur2, as in Java; kafkajs' LegacyPartitioner puts a key into another partition
    createPartitioner: Partitioners.DefaultPartitioner,
    ...(transactionalId ? { transactionalId, maxInFlightRequests: 1 } : {}),
  });
  await producer.connect();
  const sender = transactionalId ? await producer.transaction() : producer;
  await sender.send({
    topic: JOBSTATUS_TOPIC,
    acks: -1,
    compression: COMPRESSION[process.env.COMPRESSION ?? "none"],
    messages: events().map((event) => ({ key: event.job_id, value: encode(event) })),
  });
  if (transactionalId) await sender.commit();
  await producer.disconnect();
}

async function read(count) {
  const consumer = connect().consumer({ groupId: `jobstatus-example-${randomUUID()}` });
  await consumer.connect();
  await consumer.subscribe({ topic: JOBSTATUS_TOPIC, fromBeginning: true });
  const found = [];
  await new Promise((done) =>
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ message }) => {
        found.push(JSON.stringify(decode(message.value)));
        if (found.length === count) done();
      },
    }),
  );
  console.log(found.join("\n"));
  await consumer.disconnect();
}

const [, , mode, count] = process.argv;
if (mode === "encode") for (const event of events()) console.log(encode(event).toString("hex"));
else if (mode === "send") await send();
else if (mode === "read") await read(Number(count));

//! A jobstatus client in Rust, with rdkafka and apache-avro.
//!
//!     jobstatus-example encode     events as JSON lines in, Kafka values as hex lines out
//!     jobstatus-example send       events as JSON lines in, records on the topic out
//!     jobstatus-example read 10    ten events of the topic, as JSON lines

use std::env::{args, var};
use std::error::Error;
use std::io::stdin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use apache_avro::reader::single_object::GenericSingleObjectReader;
use apache_avro::types::Value;
use apache_avro::writer::single_object::GenericSingleObjectWriter;
use apache_avro::Schema;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const WAIT: Duration = Duration::from_secs(30);

/// The Avro record `jobstatus.JobStatusEvent`; `None` is null.
#[derive(Serialize, Deserialize)]
#[serde(rename = "JobStatusEvent")]
struct Event {
    #[serde(default = "new_id")]
    event_id: String,
    job_id: String,
    status: String,
    error_message: Option<String>,
    attempt: Option<i32>,
    worker_id: Option<String>,
    #[serde(default = "now")]
    occurred_at: i64,
}

fn new_id() -> String {
    Uuid::new_v4().to_string()
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |passed| passed.as_micros() as i64)
}

fn main() -> Result<()> {
    let schema = Schema::parse_str(&std::fs::read_to_string(var("SCHEMA_FILE")?)?)?;
    match args().nth(1).as_deref() {
        Some("encode") => encode_all(&schema),
        Some("send") => send(&schema),
        Some("read") => read(schema, args().nth(2).unwrap_or_default().parse()?),
        _ => Err("encode, send or read COUNT".into()),
    }
}

fn encode_all(schema: &Schema) -> Result<()> {
    let mut writer = GenericSingleObjectWriter::new_with_capacity(schema, 256)?;
    for event in events() {
        for byte in encode(&mut writer, &event?)? {
            print!("{byte:02x}");
        }
        println!();
    }
    Ok(())
}

fn encode(writer: &mut GenericSingleObjectWriter, event: &Event) -> Result<Vec<u8>> {
    let text = |text: &String| Value::String(text.clone());
    let record = Value::Record(vec![
        ("event_id".into(), text(&event.event_id)),
        ("job_id".into(), text(&event.job_id)),
        ("status".into(), text(&event.status)),
        (
            "error_message".into(),
            or_null(event.error_message.as_ref().map(text)),
        ),
        ("attempt".into(), or_null(event.attempt.map(Value::Int))),
        (
            "worker_id".into(),
            or_null(event.worker_id.as_ref().map(text)),
        ),
        ("occurred_at".into(), Value::Long(event.occurred_at)),
    ]);
    let mut value = Vec::new();
    writer.write_value(record, &mut value)?;
    Ok(value)
}

fn or_null(value: Option<Value>) -> Value {
    match value {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(value) => Value::Union(1, Box::new(value)),
    }
}

struct EndOnRefusal;

impl ClientContext for EndOnRefusal {}

impl ProducerContext for EndOnRefusal {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((error, _)) = result {
            eprintln!("an event was not delivered: {error}");
            std::process::exit(1);
        }
    }
}

fn send(schema: &Schema) -> Result<()> {
    let mut config = ClientConfig::new();
    config
        .set(
            "bootstrap.servers",
            var("JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS")?,
        )
        .set("enable.idempotence", "true")
        // librdkafka's default puts a key into another partition than the other clients do
        .set("partitioner", "murmur2_random")
        .set(
            "compression.type",
            var("COMPRESSION").unwrap_or("none".into()),
        );
    let id = var("TRANSACTIONAL_ID").ok();
    if let Some(id) = &id {
        config.set("transactional.id", id);
    }
    let producer: ThreadedProducer<_> = config.create_with_context(EndOnRefusal)?;
    if id.is_some() {
        producer.init_transactions(WAIT)?;
        producer.begin_transaction()?;
    }
    let topic = var("JOBSTATUS_TOPIC")?;
    let mut writer = GenericSingleObjectWriter::new_with_capacity(schema, 256)?;
    for event in events() {
        let event = event?;
        let value = encode(&mut writer, &event)?;
        let mut record = BaseRecord::to(&topic).key(&event.job_id).payload(&value);
        while let Err((error, unsent)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            std::thread::sleep(Duration::from_millis(10));
            record = unsent;
        }
    }
    producer.flush(WAIT)?;
    if id.is_some() {
        producer.commit_transaction(WAIT)?;
    }
    Ok(())
}

fn read(schema: Schema, count: usize) -> Result<()> {
    let reader = GenericSingleObjectReader::builder()
        .schema(schema)
        .build()?;
    let consumer: BaseConsumer = ClientConfig::new()
        .set(
            "bootstrap.servers",
            var("JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS")?,
        )
        .set("group.id", format!("jobstatus-example-{}", Uuid::new_v4()))
        .set("enable.auto.commit", "false")
        .create()?;
    let topic = var("JOBSTATUS_TOPIC")?;
    let metadata = consumer.fetch_metadata(Some(&topic), WAIT)?;
    let mut all = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        all.add_partition_offset(&topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    for _ in 0..count {
        let message = consumer.poll(WAIT).ok_or("no event came")??;
        let event: Event = reader.read_deser(&mut message.payload().unwrap_or_default())?;
        println!("{}", serde_json::to_string(&event)?);
    }
    Ok(())
}

/// Reads JSON lines; an event without an id or a time gets one now.
fn events() -> impl Iterator<Item = Result<Event>> {
    stdin()
        .lines()
        .map(|line| Ok(serde_json::from_str(&line?)?))
}

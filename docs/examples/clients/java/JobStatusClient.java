// A jobstatus client in Java, with Kafka's own client and Apache Avro (which needs Jackson).
//
//   java -cp <jars> JobStatusClient.java encode     events as JSON lines in, Kafka values as hex lines out
//   java -cp <jars> JobStatusClient.java send       events as JSON lines in, records on the topic out
//   java -cp <jars> JobStatusClient.java read 10    ten events of the topic, as JSON lines

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class JobStatusClient {
    static final ObjectMapper JSON = new ObjectMapper();
    static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    static final String SERVERS = System.getenv("JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS");
    static final String TOPIC = System.getenv("JOBSTATUS_TOPIC");

    static Schema schema;
    static BinaryMessageEncoder<GenericRecord> encoder;

    public static void main(String[] args) throws Exception {
        schema = new Schema.Parser().parse(Path.of(System.getenv("SCHEMA_FILE")).toFile());
        // it writes the single-object encoding: C3 01, the fingerprint, the body
        encoder = new BinaryMessageEncoder<>(GenericData.get(), schema);
        switch (args[0]) {
            case "encode" -> {
                for (GenericRecord event : events()) {
                    OUT.println(HexFormat.of().formatHex(encode(event)));
                }
            }
            case "send" -> send();
            case "read" -> read(Integer.parseInt(args[1]));
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    static byte[] encode(GenericRecord event) throws IOException {
        ByteBuffer value = encoder.encode(event);
        byte[] bytes = new byte[value.remaining()];
        value.get(bytes);
        return bytes;
    }

    static void send() throws IOException, InterruptedException, ExecutionException {
        // Kafka's own client is idempotent, waits for all replicas, and places a key by murmur2, unless told otherwise
        Map<String, Object> properties = new java.util.HashMap<>();
        properties.put("bootstrap.servers", SERVERS);
        properties.put("compression.type", System.getenv().getOrDefault("COMPRESSION", "none"));
        String id = System.getenv("TRANSACTIONAL_ID");
        if (id != null) {
            properties.put("transactional.id", id);
        }
        try (var producer = new KafkaProducer<>(properties, new StringSerializer(), new ByteArraySerializer())) {
            if (id != null) {
                producer.initTransactions();
                producer.beginTransaction();
            }
            List<Future<?>> sent = new ArrayList<>();
            for (GenericRecord event : events()) {
                sent.add(producer.send(new ProducerRecord<>(TOPIC, event.get("job_id").toString(), encode(event))));
            }
            producer.flush();
            for (Future<?> one : sent) {
                one.get(); // throws if the broker refused the record
            }
            if (id != null) {
                producer.commitTransaction();
            }
        }
    }

    static void read(int count) throws IOException {
        var decoder = new BinaryMessageDecoder<GenericRecord>(GenericData.get(), schema);
        Map<String, Object> properties = Map.of(
                "bootstrap.servers", SERVERS,
                "isolation.level", "read_committed",
                "auto.offset.reset", "earliest",
                "enable.auto.commit", false);
        try (var consumer = new KafkaConsumer<>(properties, new StringDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(consumer.partitionsFor(TOPIC).stream()
                    .map(one -> new org.apache.kafka.common.TopicPartition(TOPIC, one.partition())).toList());
            for (int found = 0; found < count; ) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    OUT.println(asJson(decoder.decode(record.value())));
                    found++;
                }
            }
        }
    }

    static ObjectNode asJson(GenericRecord event) {
        ObjectNode found = JSON.createObjectNode();
        for (Schema.Field field : schema.getFields()) {
            Object value = event.get(field.pos());
            found.set(field.name(), JSON.valueToTree(value instanceof CharSequence ? value.toString() : value));
        }
        return found;
    }

    /** Reads JSON lines; an event without an id or a time gets one now. */
    static List<GenericRecord> events() throws IOException {
        List<GenericRecord> found = new ArrayList<>();
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = lines.readLine()) != null; ) {
            JsonNode given = JSON.readTree(line);
            GenericRecord event = new GenericData.Record(schema);
            event.put("event_id", given.path("event_id").asText(UUID.randomUUID().toString()));
            event.put("job_id", given.get("job_id").asText());
            event.put("status", given.get("status").asText());
            event.put("error_message", given.hasNonNull("error_message") ? given.get("error_message").asText() : null);
            event.put("attempt", given.hasNonNull("attempt") ? given.get("attempt").asInt() : null);
            event.put("worker_id", given.hasNonNull("worker_id") ? given.get("worker_id").asText() : null);
            event.put("occurred_at", given.path("occurred_at").asLong(ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now())));
            found.add(event);
        }
        return found;
    }
}

// A jobstatus client in Go, with franz-go and hamba/avro.
//
//	jobstatus-example encode     events as JSON lines in, Kafka values as hex lines out
//	jobstatus-example send       events as JSON lines in, records on the topic out
//	jobstatus-example read 10    ten events of the topic, as JSON lines
//
// Give hamba/avro the schema without logical types: with them it computes another fingerprint.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/hamba/avro/v2"
	"github.com/hamba/avro/v2/soe"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Event is the Avro record jobstatus.JobStatusEvent. A nil pointer is null.
type Event struct {
	EventID      string  `avro:"event_id" json:"event_id"`
	JobID        string  `avro:"job_id" json:"job_id"`
	Status       string  `avro:"status" json:"status"`
	ErrorMessage *string `avro:"error_message" json:"error_message"`
	Attempt      *int    `avro:"attempt" json:"attempt"`
	WorkerID     *string `avro:"worker_id" json:"worker_id"`
	OccurredAt   int64   `avro:"occurred_at" json:"occurred_at"`
}

func main() {
	text, err := os.ReadFile(os.Getenv("SCHEMA_FILE"))
	check(err)
	schema, err := avro.Parse(string(text))
	check(err)
	codec, err := soe.NewCodec(schema)
	check(err)
	switch os.Args[1] {
	case "encode":
		for _, event := range events() {
			fmt.Println(hex.EncodeToString(encode(codec, event)))
		}
	case "send":
		send(codec)
	case "read":
		count, err := strconv.Atoi(os.Args[2])
		check(err)
		read(codec, count)
	}
}

func encode(codec *soe.Codec, event Event) []byte {
	value, err := codec.Encode(event)
	check(err)
	return value
}

func send(codec *soe.Codec) {
	// franz-go is idempotent, waits for all replicas, and places a key by murmur2, without further options
	options := []kgo.Opt{kgo.ProducerBatchCompression(compression())}
	id := os.Getenv("TRANSACTIONAL_ID")
	if id != "" {
		options = append(options, kgo.TransactionalID(id))
	}
	client := connect(options...)
	defer client.Close()
	background := context.Background()
	if id != "" {
		check(client.BeginTransaction())
	}
	for _, event := range events() {
		record := &kgo.Record{Key: []byte(event.JobID), Value: encode(codec, event)}
		client.Produce(background, record, func(_ *kgo.Record, err error) { check(err) })
	}
	check(client.Flush(background))
	if id != "" {
		check(client.EndTransaction(background, kgo.TryCommit))
	}
}

func read(codec *soe.Codec, count int) {
	client := connect(
		kgo.ConsumeTopics(os.Getenv("JOBSTATUS_TOPIC")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	defer client.Close()
	out := json.NewEncoder(os.Stdout)
	for found := 0; found < count; {
		fetches := client.PollFetches(context.Background())
		check(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			var event Event
			check(codec.Decode(record.Value, &event))
			check(out.Encode(event))
			found++
		})
	}
}

func connect(options ...kgo.Opt) *kgo.Client {
	options = append(options,
		kgo.SeedBrokers(os.Getenv("JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS")),
		kgo.DefaultProduceTopic(os.Getenv("JOBSTATUS_TOPIC")))
	client, err := kgo.NewClient(options...)
	check(err)
	return client
}

func compression() kgo.CompressionCodec {
	return map[string]kgo.CompressionCodec{
		"": kgo.NoCompression(), "none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[os.Getenv("COMPRESSION")]
}

// events reads JSON lines; an event without an id or a time gets one now.
func events() []Event {
	var found []Event
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		event := Event{OccurredAt: -1}
		check(json.Unmarshal(lines.Bytes(), &event))
		if event.EventID == "" {
			event.EventID = uuid.NewString()
		}
		if event.OccurredAt < 0 {
			event.OccurredAt = time.Now().UnixMicro()
		}
		found = append(found, event)
	}
	check(lines.Err())
	return found
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

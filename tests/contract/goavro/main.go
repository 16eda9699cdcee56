// Events as JSON lines in, single-object encoded values of linkedin/goavro as hex lines out.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/linkedin/goavro/v2"
)

var branches = map[string]string{"error_message": "string", "attempt": "int", "worker_id": "string"}

func main() {
	text, err := os.ReadFile(os.Getenv("SCHEMA_FILE"))
	check(err)
	codec, err := goavro.NewCodec(string(text))
	check(err)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event map[string]any
		check(json.Unmarshal(lines.Bytes(), &event))
		event["occurred_at"] = int64(event["occurred_at"].(float64))
		for name, branch := range branches {
			if value, ok := event[name].(float64); ok {
				event[name] = int32(value)
			}
			if event[name] != nil {
				event[name] = goavro.Union(branch, event[name])
			}
		}
		value, err := codec.SingleFromNative(nil, event)
		check(err)
		fmt.Println(hex.EncodeToString(value))
	}
	check(lines.Err())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

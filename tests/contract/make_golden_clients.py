"""Makes `golden_clients.json`: the events of `golden.json` as clients in other languages write them, as whole values.

    python -m contract.make_golden_clients        (in the folder tests; needs go, javac, npm, cargo and cmake)

Each client writes them with the schema without logical types. The Go libraries also write them with the other file.
"""

from __future__ import annotations

import json
from pathlib import Path

from contract.make_golden import EVENTS
from support.clients import PLAIN, SCHEMAS, Client, as_line, go, goavro, java, node, rust

GOLDEN = Path(__file__).with_name("golden_clients.json")
LOGICAL = SCHEMAS / "job_status_event.v1.avsc"
WRITERS = {
    "avro (Java)": (java, PLAIN),
    "avsc (Node)": (node, PLAIN),
    "apache-avro (Rust)": (rust, PLAIN),
    "hamba/avro (Go)": (go, PLAIN),
    "goavro (Go)": (goavro, PLAIN),
    "avro (Java), logical types": (java, LOGICAL),
    "hamba/avro (Go), logical types": (go, LOGICAL),
    "goavro (Go), logical types": (goavro, LOGICAL),
}


def values_of(client: Client, schema: Path) -> list[str]:
    """What a client that is built writes for each golden event, in hex."""
    return client.run(["encode"], map(as_line, EVENTS), SCHEMA_FILE=str(schema))


def main() -> None:
    """Write the golden file."""
    golden = {}
    for name, (make, schema) in WRITERS.items():
        client = make()
        client.built()
        golden[name] = values_of(client, schema)
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()

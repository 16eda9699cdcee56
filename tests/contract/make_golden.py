"""Makes `golden.json`: events, and their Avro bytes as Java's avro-tools 1.12.0 writes them.

    python -m contract.make_golden        (in the folder tests)

The file is committed: it is never made again for a published version of the schema, only added to.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from contract import avro_tools
from jobstatus_schemas import JobStatusEvent

GOLDEN = Path(__file__).with_name("golden.json")
ID = "00000000-0000-4000-8000-00000000000{}"
EVENTS = (
    JobStatusEvent(ID.format(0), "job-17", "processing", None, None, None, 1_700_000_000_000_000),
    JobStatusEvent(ID.format(1), "job-17", "success", None, 0, "worker-1", 1_700_000_000_000_001),
    JobStatusEvent(ID.format(2), "1", "error", "", 2**31 - 1, "w", 0),
    JobStatusEvent(ID.format(3), "j" * 512, "s" * 64, "m" * 63, 63, "w" * 256, 7_258_118_399_999_999),
    JobStatusEvent(ID.format(4), "größe/日本語/🙂", "überprüft", 'line\nbreak\t\u2028 "quoted" \\x00', 64, "é", 1),
    JobStatusEvent(ID.format(5), "job", "error", "m" * 16_384, 1, None, 63),
    JobStatusEvent(ID.format(6), "k" * 64, "e", "e" * 64, 8191, None, 64),
    JobStatusEvent(ID.format(7), "k" * 63, "e", None, 8192, "x" * 128, 8192),
)


def main() -> None:
    """Write the golden file."""
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for event in EVENTS:
            body = avro_tools.encode([event], "v1", Path(folder))
            cases.append({"event": event._asdict(), "body": body.hex()})
    golden = {"v1": {"fingerprint": avro_tools.fingerprint("v1"), "cases": cases}}
    GOLDEN.write_text(json.dumps(golden, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()

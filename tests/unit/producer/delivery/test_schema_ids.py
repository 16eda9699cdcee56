"""The thread that asks for an id, where it cannot start, or a server answers with something that holds no id."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from jobstatus_producer import ProducerSettings
from jobstatus_producer.delivery import schema_ids
from jobstatus_producer.delivery.schema_ids import SchemaIds
from jobstatus_schemas.schema import newest_schema
from support.waiting import until


class Server(ThreadingHTTPServer):
    """Has no schema, and answers `answer` to one that is registered."""

    answer: dict[str, Any]
    registered = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        registers = self.path.split("?")[0].endswith("/versions")
        if registers:
            self.server.registered += 1
        body = json.dumps(self.server.answer if registers else {"error_code": 40403, "message": "none"}).encode()
        self.send_response(200 if registers else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as found:
        found.answer = {"id": 7}
        thread = threading.Thread(target=found.serve_forever, args=(0.05,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def ids(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[SchemaIds]:
    monkeypatch.setattr(schema_ids, "_KNOWN", {})
    environ = {
        "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "JOBSTATUS_FORMAT": "confluent",
        "JOBSTATUS_SCHEMA_REGISTRY_URL": f"http://127.0.0.1:{server.server_port}",
        "JOBSTATUS_SCHEMA_AUTO_REGISTER": "1",
    }
    found = SchemaIds(ProducerSettings.from_env(environ))
    yield found
    found.close()
    if found._thread is not None:
        found._thread.join()


def test_a_thread_that_cannot_start_is_started_by_the_next_question(
    ids: SchemaIds, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", refused)
        assert ids.find(newest_schema()) is None
    assert "can't start new thread" in ids.trouble
    assert ids.wait(newest_schema(), 30) == 7
    assert ids.trouble == ""


def test_an_answer_without_an_id_does_not_end_the_thread(server: Server, ids: SchemaIds) -> None:
    server.answer = {}
    assert ids.find(newest_schema()) is None
    until(lambda: server.registered >= 2 and "schema registry" in ids.trouble, "it is asked again")
    server.answer = {"id": 8}
    assert ids.wait(newest_schema(), 30) == 8

"""Tokens that Kafka's unsecured validator takes, from a function that a test can have fail: `support.tokens:make`."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any, Final

FOLDER: Final = "TOKENS_FOLDER"
"""The variable with a folder: a line for each call in `calls`; while `fails` is there, calls do what it says."""
BROKER: Final = {
    "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "listener.name.client.sasl.enabled.mechanisms": "OAUTHBEARER",
    "listener.name.client.oauthbearer.sasl.jaas.config": (
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
        'unsecuredLoginStringClaim_sub="broker";'
    ),
    # a connection ends with its token, unless the client shows a new one before
    "listener.name.client.oauthbearer.connections.max.reauth.ms": "3600000",
}
"""What a broker needs to ask clients for tokens. Its own listener INTERNAL asks for nothing."""
HANGS: Final = "hangs"
"""In `fails`: calls hang until the file is gone."""


def make(config: str) -> Any:
    """A token that is valid for `config` seconds."""
    folder = Path(os.environ[FOLDER])
    with (folder / "calls").open("a") as calls:
        calls.write(f"{os.getpid()}\n")
    fails = folder / "fails"
    if fails.exists() and (what := fails.read_text()):
        while what == HANGS and fails.exists():
            time.sleep(0.05)
        return {"nothing": None, "empty": ("", time.time() + 60), "expired": token(-60.0)}.get(what, token(3600.0))
    if fails.exists():
        raise ConnectionError("the identity provider does not answer")
    return token(float(config))


def token(seconds: float) -> tuple[str, float]:
    """A token that is valid for so many seconds."""
    now = time.time()
    claims = {"sub": "worker", "iat": now - 1, "exp": now + seconds}
    return f"{_part({'alg': 'none'})}.{_part(claims)}.", now + seconds


def _part(content: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

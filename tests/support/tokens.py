"""Tokens that Kafka's unsecured validator takes, from a function that a test can have fail: `support.tokens:make`."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Final

FOLDER: Final = "TOKENS_FOLDER"
"""The variable with a folder: a line for each call in `calls`; while `fails` is there, calls raise."""
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


def make(config: str) -> tuple[str, float]:
    """A token that is valid for `config` seconds."""
    folder = Path(os.environ[FOLDER])
    with (folder / "calls").open("a") as calls:
        calls.write(f"{os.getpid()}\n")
    if (folder / "fails").exists():
        raise ConnectionError("the identity provider does not answer")
    now = time.time()
    expires = now + float(config)
    return f"{_part({'alg': 'none'})}.{_part({'sub': 'worker', 'iat': now - 1, 'exp': expires})}.", expires


def _part(content: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

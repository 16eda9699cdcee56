"""The consumer's settings: one frozen value, read once at the edge from flags and the environment.

Each field is a flag (`--batch-max-events`) and a variable (`JOBSTATUS_BATCH_MAX_EVENTS`); a flag wins.
docs/settings.md is made from this file.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

from jobstatus_schemas.protocol import (
    ALL_ENV,
    DEFAULT_TOPIC,
    ENV_PREFIX,
    KAFKA_ENV_PREFIX,
    TOPIC_WORDS,
    check_topic,
    kafka_properties,
    unknown_settings,
)
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from jobstatus_consumer.errors import SettingsError

MIB: Final = 1024 * 1024

TopicName = Annotated[str, AfterValidator(check_topic)]

FIXED_KAFKA: Final[Mapping[str, str]] = {
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "auto.offset.reset": "error",
    "enable.partition.eof": "true",
    "acks": "all",
    "enable.idempotence": "true",
}
"""librdkafka's properties on which the guarantees rest: another value is refused."""


TABLE_NAME: Final = r"[A-Za-z_][A-Za-z0-9_$]{0,50}(\.[A-Za-z_][A-Za-z0-9_$]{0,50})?"
TABLE_WORDS: Final = "name or schema.name, each of at most 51 letters, digits, underscores and $, no digit first"


class Settings(BaseModel):
    """Everything a command may need to know. Times are in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    topic: TopicName = Field(DEFAULT_TOPIC, description="the topic that workers report to")
    group_id: str = Field("jobstatus", min_length=1, max_length=249, description="the consumer group")
    database_url: SecretStr = Field(
        SecretStr(""), description="PostgreSQL, as postgresql://user:password@host:port/database"
    )
    table: str = Field(
        "jobs",
        pattern=f"^{TABLE_NAME}$",
        description="the managed table, its schema before it if wanted; <table>_progress stands beside it",
    )
    statuses: frozenset[str] | None = Field(None, description="the allowed words, separated by commas; all if not set")
    batch_max_events: int = Field(50, ge=1, le=10_000, description="a batch is full with so many events")
    batch_max_bytes: int = Field(10 * MIB, ge=1024, le=256 * MIB, description="or with so many bytes of values")
    batch_linger_seconds: float = Field(
        2.0, ge=0, le=60, allow_inf_nan=False, description="or when its first event has waited so long"
    )
    dlq_topic: TopicName | None = Field(None, description="the topic of the dead letters; <topic>.dlq if not set")
    dlq_budget_in_a_row: int = Field(1000, ge=1, description="stop after so many dead letters without a good event")
    dlq_budget_percent: float = Field(
        5.0, gt=0, le=100, description="stop when more of the last 100,000 events were dead letters, once 1,000 were"
    )
    wait_for_database: float = Field(
        30.0, ge=0, le=86_400, description="how long the first connection may take; later ones are awaited for ever"
    )
    on_lost_offsets: Literal["stop", "earliest"] = Field(
        "stop", description="what to do where the log no longer has what comes next: stop, or accept and say so"
    )
    log_format: Literal["text", "json"] = Field("text", description="lines for people, or JSON lines for programs")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="what is logged, at least")
    http_address: str = Field(
        "127.0.0.1:9464",
        pattern=r"^(off|(\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):\d{1,5})$",
        description="where /metrics, /livez and /readyz answer; off for none",
    )
    kafka: dict[str, str] = Field(default_factory=dict, description="librdkafka's own properties")

    @field_validator("statuses", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        words = frozenset(word.strip() for word in value.split(",") if word.strip())
        if not words:
            raise ValueError("holds no word, so every event would be refused; leave it out to allow every word")
        return words

    @field_validator("http_address")
    @classmethod
    def _port_exists(cls, value: str) -> str:
        if value != "off" and int(value.rpartition(":")[2]) > 65_535:
            raise ValueError("a port is 65535 at most")
        return value

    @field_validator("kafka")
    @classmethod
    def _keep_the_guarantees(cls, value: dict[str, str]) -> dict[str, str]:
        for name, fixed in FIXED_KAFKA.items():
            given = value.get(name)
            if given is not None and given.lower() not in _same(fixed):
                raise ValueError(
                    f"{variable_of(name)} (--kafka {name}={given}) would break what jobstatus promises; "
                    f"allowed: {fixed}"
                )
        if "group.id" in value:
            raise ValueError(f"{variable_of('group.id')} (--kafka group.id): set JOBSTATUS_GROUP_ID or --group-id")
        return value

    @model_validator(mode="after")
    def _relations(self) -> Settings:
        if self.dead_letter_topic == self.topic:
            raise ValueError(
                "JOBSTATUS_DLQ_TOPIC (--dlq-topic) is the topic itself; dead letters would be read again as events"
            )
        interval = self.kafka.get("max.poll.interval.ms")
        if interval is not None and interval.isdigit() and int(interval) <= 2000:
            raise ValueError("JOBSTATUS_KAFKA_MAX_POLL_INTERVAL_MS must be over 2000: the loop may give a write 1 s")
        return self

    @property
    def dead_letter_topic(self) -> str:
        """The topic of the dead letters."""
        return self.dlq_topic or f"{self.topic}.dlq"

    @property
    def bootstrap_servers(self) -> str:
        """The brokers, or a `SettingsError` that says how to set them."""
        servers = self.kafka.get("bootstrap.servers", "")
        if not servers:
            raise SettingsError(
                "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS is not set; give the brokers as host:port[,host:port]"
            )
        return servers

    @property
    def database(self) -> str:
        """The database's URL with its password, or a `SettingsError` that says how to set it."""
        url = self.database_url.get_secret_value()
        if not url:
            raise SettingsError("JOBSTATUS_DATABASE_URL is not set; give postgresql://user:password@host:port/database")
        return url


WANTED: Final[Mapping[str, str]] = {
    "topic": TOPIC_WORDS,
    "group_id": "1 to 249 characters of UTF-8",
    "dlq_topic": TOPIC_WORDS,
    "table": TABLE_WORDS,
    "http_address": "host:port, such as 127.0.0.1:9464, or off",
}
"""Where the rule is a regular expression: what a person is told instead."""


def allowed(field: str) -> str:
    """The values that a setting may have, in words; empty where every text will do."""
    info = Settings.model_fields[field]
    choices = [word for word in get_args(info.annotation) if isinstance(word, str)]
    if choices:
        return " or ".join(choices)
    bounds = {
        word: getattr(item, word)
        for item in info.metadata
        for word in ("ge", "gt", "le")
        if getattr(item, word, None) is not None
    }
    if not bounds:
        return WANTED.get(field, "")
    kind = "a whole number" if info.annotation is int else "a number"
    low = f"from {bounds['ge']}" if "ge" in bounds else f"over {bounds['gt']}"
    return f"{kind} {low} to {bounds['le']}" if "le" in bounds else f"{kind} {low} up"


def variable_of(name: str) -> str:
    """The environment variable of librdkafka's property `name`."""
    return KAFKA_ENV_PREFIX + name.upper().replace(".", "_")


def env_name(field: str) -> str:
    """The environment variable of a field."""
    return ENV_PREFIX + field.upper()


def load_settings(environ: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Settings:
    """The settings out of the environment, with `flags` (field name to value; None = not given) before it.

    Raises `SettingsError`, which names every wrong setting at once, with what is allowed, and never a secret.
    """
    _refuse_unknown(environ)
    given: dict[str, Any] = {
        field: environ[env_name(field)]
        for field in Settings.model_fields
        if field != "kafka" and environ.get(env_name(field), "") != ""
    }
    given["kafka"] = kafka_properties(environ)
    for name, value in (flags or {}).items():
        if value is None:
            continue
        given[name] = {**given["kafka"], **value} if name == "kafka" else value
    _refuse_bytes(given)
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(problem) for problem in error.errors())) from None


def is_utf8(text: str) -> bool:
    """Whether a word of the command line or the environment is text: Python makes lone surrogates of other bytes."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _refuse_bytes(given: Mapping[str, Any]) -> None:
    named = {f"{env_name(field)} (--{field.replace('_', '-')})": value for field, value in given.items()}
    named |= {f"{variable_of(name)} (--kafka)": value for name, value in given["kafka"].items()}
    wrong = [name for name, value in named.items() if isinstance(value, str) and not is_utf8(value)]
    if wrong:
        raise SettingsError("\n".join(f"{name}: holds bytes that are not UTF-8; wanted UTF-8" for name in wrong))


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    unknown = unknown_settings(environ)
    if not unknown:
        return
    lines = []
    for name in unknown:
        close = difflib.get_close_matches(name, ALL_ENV, n=1)
        lines.append(f"{name} is no setting of jobstatus" + (f"; did you mean {close[0]}?" if close else ""))
    known = ", ".join(sorted(ALL_ENV))
    raise SettingsError("\n".join(lines) + f"\nknown: {known}, and JOBSTATUS_KAFKA_<librdkafka's property>")


def _explain(problem: Any) -> str:
    field = str(problem["loc"][0]) if problem["loc"] else ""
    message = str(problem["msg"]).removeprefix("Value error, ")
    if field in ("", "kafka"):
        return message  # these name the settings they are about
    if problem["type"] != "value_error" and allowed(field):
        message = f"wanted {allowed(field)}"
    return f"{env_name(field)} (--{field.replace('_', '-')}): {message}"


def _same(value: str) -> tuple[str, ...]:
    return {"true": ("true", "1"), "false": ("false", "0"), "all": ("all", "-1")}.get(value, (value,))

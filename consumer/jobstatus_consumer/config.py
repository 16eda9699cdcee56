"""The consumer's settings: one frozen value, read once at the start from flags and environment variables.

Each field is a flag (`--batch-max-events`) and a variable (`JOBSTATUS_BATCH_MAX_EVENTS`); a flag wins. Its description
is the text in `--help` and in docs/settings.md, which is made from this file.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Final, Literal, get_args

from jobstatus_schemas.database_url import FILE_SCHEME, POOLED_SCHEME, TABLE_NAME, TABLE_WORDS
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
from jobstatus_schemas.registry.settings import RegistrySettings
from jobstatus_schemas.secret_files import kafka_files, missing_certificates, read_secret
from jobstatus_schemas.token_login import PROPERTY as LOGIN
from jobstatus_schemas.token_login import token_function
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

from jobstatus_consumer.durations import parse_duration
from jobstatus_consumer.errors import SettingsError

MIB: Final = 1024 * 1024
USUAL_PARTITIONS: Final = 6
"""What `topics create` makes, and the least that `plan` answers."""

TopicName = Annotated[str, AfterValidator(check_topic)]
Flush = Literal["linger", "adaptive"]

FIXED_KAFKA: Final[Mapping[str, str]] = {
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "auto.offset.reset": "error",
    "enable.partition.eof": "true",
    "acks": "all",
    "enable.idempotence": "true",
}
"""Properties of librdkafka that the guarantees need: another value is refused."""

ADDRESS: Final = r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):\d{1,5}"
OTHER_FIELDS: Final = ("kafka", "kafka_files", "registry")
"""The fields that are no flag of their own."""
WITHOUT_FLAG: Final = ("console_token",)
"""Secrets that only a variable gives: every user of the machine can read a flag."""


class Settings(BaseModel):
    """Every setting of the consumer and its commands. Times are in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    topic: TopicName = Field(DEFAULT_TOPIC, description="the topic to which the workers send their events")
    group_id: str = Field(
        "jobstatus",
        min_length=1,
        max_length=249,
        description="the consumer group; consumers with the same one share the topic's partitions",
    )
    database_url: SecretStr = Field(
        SecretStr(""), description="the PostgreSQL database, as postgresql://user:password@host:port/database"
    )
    database_url_file: str = Field(
        "", description="a file with the database's URL, read again for each connection; instead of the URL itself"
    )
    prepared_statements: Literal["on", "off"] = Field(
        "on",
        description="off for a pooler in transaction mode, such as PgBouncer's: nothing is prepared, and each "
        "transaction sets what it needs",
    )
    table: str = Field(
        "jobs",
        pattern=f"^{TABLE_NAME}$",
        description="the table with one row for each job, as name or schema.name; <table>_progress is beside it",
    )
    target: str = Field(
        "",
        description="a TOML file that maps each state to a row of a table of yours, which is written in the same "
        "statement; <table>_waiting holds the jobs whose row cannot be written yet",
    )
    waiting_budget: int = Field(
        100_000,
        ge=1,
        description="stop when this many jobs wait for their row in the target",
    )
    statuses: frozenset[str] | None = Field(
        None,
        description="the allowed statuses, separated by commas; an event with another one becomes a dead letter; all "
        "are allowed if not set",
    )
    deadlines: Mapping[str, int] | None = Field(
        None,
        description="how long a job may be silent in a status, as status=length[,status=length...], such as "
        "processing=15m,pending=2h; for jobstatus stuck and the metric of overdue jobs",
    )
    batch_max_events: int = Field(
        50, ge=1, le=10_000, description="write a batch when it has this many events; the first limit reached counts"
    )
    batch_max_bytes: int = Field(
        10 * MIB, ge=1024, le=256 * MIB, description="write a batch when its events have this many bytes"
    )
    batch_linger_seconds: float = Field(
        2.0,
        ge=0,
        le=60,
        allow_inf_nan=False,
        description="write a batch when its first event has waited this many seconds",
    )
    batch_flush: Flush = Field(
        "linger",
        description="when to write a batch that is not full: linger writes it when its first event has waited for the "
        "linger; adaptive writes it at once while no batch is on its way to the database, and fills it meanwhile",
    )
    batches_in_flight: int = Field(
        1,
        ge=1,
        le=4,
        description="how many batches may be on their way to the database at once, each as its own transaction; more "
        "than 1 helps where the database is some milliseconds from the consumer",
    )
    dlq_topic: TopicName | None = Field(
        None, description="the topic for dead letters, which are events that cannot be written; <topic>.dlq if not set"
    )
    dlq_budget_in_a_row: int = Field(
        1000, ge=1, description="stop after this many dead letters without a good event between them"
    )
    dlq_budget_percent: float = Field(
        5.0,
        gt=0,
        le=100,
        description="stop when more than this percentage of the last 100,000 events were dead letters, once 1,000 were "
        "sent",
    )
    wait_for_database: float = Field(
        30.0,
        ge=0,
        le=86_400,
        description="how many seconds to try to reach the database and a broker at the start; later there is no limit",
    )
    on_lost_offsets: Literal["stop", "earliest"] = Field(
        "stop",
        description="what to do when the log no longer has the next offset: stop, or go on at the earliest one and log "
        "the loss",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="write log lines as text for people, or as JSON for programs"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="the lowest level to log")
    http_address: str = Field(
        "127.0.0.1:9464",
        pattern=f"^(off|{ADDRESS})$",
        description="the host:port that serves /metrics, /livez and /readyz over HTTP, or off",
    )
    console_address: str = Field(
        "127.0.0.1:9465",
        pattern=f"^{ADDRESS}$",
        description="the host:port of the console; one that other machines reach needs a token or a user header",
    )
    console_token: SecretStr = Field(
        SecretStr(""), description="the console's token: a user types it, and a program sends it as Bearer token"
    )
    console_token_file: str = Field(
        "", description="a file that holds the console's token, read at the start; instead of JOBSTATUS_CONSOLE_TOKEN"
    )
    console_user_header: str = Field(
        "",
        pattern=r"^([A-Za-z0-9-]{1,100})?$",
        description="the header in which a proxy in front of the console names the user who has logged in there",
    )
    console_hosts: str = Field(
        "", description="further host names that requests to the console may name, separated by commas"
    )
    kafka: dict[str, str] = Field(default_factory=dict, repr=False, description="properties of librdkafka")
    kafka_files: dict[str, str] = Field(
        default_factory=dict, description="files with values of librdkafka's properties, read again for each client"
    )
    registry: RegistrySettings | None = Field(None, description="the schema registry")

    @field_validator("statuses", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        words = frozenset(word.strip() for word in value.split(",") if word.strip())
        if not words:
            raise ValueError(
                "names no status, so every event would be a dead letter; leave it out to allow every status"
            )
        return words

    @field_validator("deadlines", mode="before")
    @classmethod
    def _parse_deadlines(cls, value: object) -> object:
        return parse_deadlines(value) if isinstance(value, str) else value

    @field_validator("http_address", "console_address")
    @classmethod
    def _port_exists(cls, value: str) -> str:
        if value != "off" and int(value.rpartition(":")[2]) > 65_535:
            raise ValueError("a port is at most 65535")
        return value

    @field_validator("kafka")
    @classmethod
    def _keep_the_guarantees(cls, value: dict[str, str]) -> dict[str, str]:
        for name, fixed in FIXED_KAFKA.items():
            given = value.get(name)
            if given is not None and given.lower() not in _spellings(fixed):
                raise ValueError(
                    f"{variable_of(name)} (--kafka {name}={given}) would break what jobstatus promises; "
                    f"allowed: {fixed}"
                )
        for name, path in missing_certificates(value):
            raise ValueError(f"{variable_of(name)} (--kafka {name}): there is no file {path}")
        if LOGIN in value:
            try:
                token_function(value[LOGIN])
            except ValueError as error:
                raise ValueError(f"{variable_of(LOGIN)} (--kafka {LOGIN}): {error}") from None
        if "group.id" in value:
            raise ValueError(f"{variable_of('group.id')} (--kafka group.id): set JOBSTATUS_GROUP_ID or --group-id")
        return value

    @model_validator(mode="after")
    def _relations(self) -> Settings:
        if self.dead_letter_topic == self.topic:
            raise ValueError(
                "JOBSTATUS_DLQ_TOPIC (--dlq-topic) is the topic itself, so dead letters would be read as events; give "
                "another topic"
            )
        unknown = sorted(set(self.deadlines or ()) - (self.statuses or set(self.deadlines or ())))
        if unknown:
            raise ValueError(
                f"JOBSTATUS_DEADLINES (--deadlines): {unknown[0]!r} is not one of JOBSTATUS_STATUSES, so no job has it"
            )
        interval = self.kafka.get("max.poll.interval.ms")
        if interval is not None and interval.isdigit() and int(interval) <= 2000:
            raise ValueError(
                "JOBSTATUS_KAFKA_MAX_POLL_INTERVAL_MS must be over 2000 ms: a write may delay the next poll by 1 s"
            )
        return self

    @property
    def dead_letter_topic(self) -> str:
        """The topic for dead letters."""
        return self.dlq_topic or f"{self.topic}.dlq"

    @property
    def bootstrap_servers(self) -> str:
        """The brokers, as host:port[,host:port]; raises `SettingsError` if they are not set."""
        servers = self.kafka.get("bootstrap.servers", "")
        if not servers:
            raise SettingsError(
                "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS is not set; give the brokers as host:port[,host:port]"
            )
        return servers

    @property
    def has_database(self) -> bool:
        """Whether a URL of a database is set."""
        return bool(self.database_url_file or self.database_url.get_secret_value())

    @property
    def database(self) -> str:
        """The database's URL with its password, or `file:` with the file that has it, as `read_url` takes it.

        Behind a pooler in transaction mode it begins with `pooled:`. Raises `SettingsError` if no URL is set.
        """
        pooled = POOLED_SCHEME if self.prepared_statements == "off" else ""
        if self.database_url_file:
            return pooled + FILE_SCHEME + self.database_url_file
        url = self.database_url.get_secret_value()
        if not url:
            raise SettingsError("JOBSTATUS_DATABASE_URL is not set; give postgresql://user:password@host:port/database")
        return pooled + url


def parse_deadlines(text: str) -> dict[str, int]:
    """Return the seconds by status of `processing=15m,pending=2h`; raises `ValueError`, which says what is allowed."""
    found: dict[str, int] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        status, sign, length = (part.strip() for part in pair.partition("="))
        if not status or not sign or status in found:
            raise ValueError(f"{pair!r} is not status=length, or names a status twice; such as processing=15m")
        found[status] = parse_duration(length)
    if not found:
        raise ValueError("names no status; wanted status=length[,status=length...], such as processing=15m")
    return found


PATTERNS_IN_WORDS: Final[Mapping[str, str]] = {
    "topic": TOPIC_WORDS,
    "group_id": "1 to 249 characters of UTF-8",
    "dlq_topic": TOPIC_WORDS,
    "table": TABLE_WORDS,
    "http_address": "host:port, such as 127.0.0.1:9464 or [::1]:9464, or off",
    "console_address": "host:port, such as 127.0.0.1:9465 or [::1]:9465",
    "console_user_header": "the name of a header, such as X-Forwarded-User",
}
"""The values of settings that a pattern or a length limits, as a person reads them."""


def allowed_values(field: str) -> str:
    """Return the values that a setting may have, in words; empty if every text is allowed."""
    info = Settings.model_fields[field]
    choices = [word for word in get_args(info.annotation) if isinstance(word, str)]
    if choices:
        return " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))
    limits = {
        name: getattr(item, name)
        for item in info.metadata
        for name in ("ge", "gt", "le")
        if getattr(item, name, None) is not None
    }
    if not limits:
        return PATTERNS_IN_WORDS.get(field, "")
    kind = "a whole number" if info.annotation is int else "a number"
    low = f"from {limits['ge']}" if "ge" in limits else f"over {limits['gt']}"
    return f"{kind} {low} to {limits['le']}" if "le" in limits else f"{kind} {low} up"


def variable_of(name: str) -> str:
    """Return the environment variable of a property of librdkafka."""
    return KAFKA_ENV_PREFIX + name.upper().replace(".", "_")


def env_name(field: str) -> str:
    """Return the environment variable of a setting."""
    return ENV_PREFIX + field.upper()


def load_settings(environ: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings of the environment and of `flags` (setting to value, None if not given); a flag wins.

    Raises `SettingsError`, which names every wrong setting and what is allowed, but never a secret.
    """
    _refuse_unknown(environ)
    given: dict[str, Any] = {
        field: environ[env_name(field)]
        for field in Settings.model_fields
        if field not in OTHER_FIELDS and environ.get(env_name(field), "") != ""
    }
    _use_files(given, environ, flags or {})
    for name, value in (flags or {}).items():
        if value is not None:
            given[name] = {**given["kafka"], **value} if name == "kafka" else value
    _refuse_bytes(given)
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError("\n".join(_message(problem) for problem in error.errors())) from None


def current_kafka(settings: Settings) -> dict[str, str]:
    """Return librdkafka's properties with what their files have now; a file that is unreadable keeps its old value."""
    found = dict(settings.kafka)
    for name, path in settings.kafka_files.items():
        with suppress(ValueError):
            found[name] = read_secret(path)
    return found


def _use_files(given: dict[str, Any], environ: Mapping[str, str], flags: Mapping[str, Any]) -> None:
    """Add librdkafka's properties and the registry, and see that the database's file can be read."""
    url, file = "database_url", "database_url_file"
    if flags.get(url) is not None:
        given.pop(file, None)
    if flags.get(file) is not None:
        given.pop(url, None)
    if url in given and file in given:
        raise SettingsError(f"{env_name(url)} and {env_name(file)} are both set; set one of them")
    try:
        path = flags.get(file) or given.get(file)
        if path:
            read_secret(path)
        by_flag = flags.get("kafka") or {}
        files = {name: path for name, path in kafka_files(environ).items() if name not in by_flag}
        given["kafka_files"] = files
        given["kafka"] = {**kafka_properties(environ), **{name: read_secret(path) for name, path in files.items()}}
        given["registry"] = RegistrySettings.from_env(environ)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def is_utf8(text: str) -> bool:
    """Return whether a text of the command line or the environment was UTF-8: other bytes become surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _refuse_bytes(given: Mapping[str, Any]) -> None:
    texts = {_names(field): value for field, value in given.items()}
    texts |= {f"{variable_of(name)} (--kafka)": value for name, value in given["kafka"].items()}
    wrong = [names for names, value in texts.items() if isinstance(value, str) and not is_utf8(value)]
    if wrong:
        raise SettingsError("\n".join(f"{names}: holds bytes that are not UTF-8; wanted UTF-8" for names in wrong))


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


def _message(problem: Any) -> str:
    """Return one problem that pydantic found as a line for a person."""
    field = str(problem["loc"][0]) if problem["loc"] else ""
    message = str(problem["msg"]).removeprefix("Value error, ")
    if field in ("", "kafka"):
        return message  # our own validators name the settings
    if problem["type"] != "value_error" and allowed_values(field):
        message = f"wanted {allowed_values(field)}"
    return f"{_names(field)}: {message}"


def _names(field: str) -> str:
    return env_name(field) + ("" if field in WITHOUT_FLAG else f" (--{field.replace('_', '-')})")


def _spellings(value: str) -> tuple[str, ...]:
    """Return how librdkafka lets one write a value."""
    return {"true": ("true", "1"), "false": ("false", "0"), "all": ("all", "-1")}.get(value, (value,))

"""What a person reads of dead letters: counts by cause, and one letter with everything that is known of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from jobstatus_consumer.cli.show.screen import narrow, plain_console
from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import CutBytes, Letter
from jobstatus_consumer.operations import JudgedLetter, LetterOverview, brief, shown_ms
from jobstatus_consumer.records import Rejected
from jobstatus_consumer.words import counted


def whose(letter: Letter, settings: Settings) -> str:
    """Whose dead letter it is, as `dlq list --each` says it."""
    if letter.original.topic != settings.topic:
        return f"of {letter.original.topic}"
    return f"of group {letter.group}, table {letter.table or '?'}"


def overview(settings: Settings, found: LetterOverview) -> None:
    """Print the counts by cause as a table, and a line for each kind of record that is not judged here."""
    # 80 columns hold a line a row
    consumer_groups = sorted({group.consumer_group for group in found.groups.values()})
    mixed = consumer_groups not in ([], [settings.group_id])
    table = narrow("stage", "cause", *["group"] * mixed, title=settings.dead_letter_topic)
    elsewhere = bool(found.topics or found.others)
    counts = [name for name in ("open", "settled", "elsewhere") if name != "elsewhere" or elsewhere]
    for name in counts:
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("first (UTC)", "last (UTC)"):
        table.add_column(name, no_wrap=True)
    now = datetime.now(UTC)
    for _, group in sorted(found.groups.items()):
        seen = (brief(text, now, seconds=False) for text in (group.first_seen, group.last_seen))
        table.add_row(
            group.stage,
            f"{group.reason} {group.where}".rstrip(),
            *[group.consumer_group] * mixed,
            *(f"{getattr(group, name):,}" for name in counts),
            *seen,
        )
    console = plain_console(wide=True)
    if found.groups:
        console.print(table)
    total = sum(group.count for group in found.groups.values())
    console.print(f"{counted(total, 'dead letter')}, {found.open:,} open")
    if consumer_groups and not mixed:
        console.print(f"all are of the group {settings.group_id}")
    for topic, count in sorted(found.topics.items()):
        console.print(f"{count:,} are of the topic {topic}, not judged here: give --topic {topic} and its table")
    for (other, name), count in sorted(found.others.items()):
        flags = " ".join(filter(None, (f"--group-id {other}", name and f"--table {name}")))
        console.print(f"{count:,} are of the group {other}, not judged here: give {flags}")
    if found.duplicates:
        console.print(f"{found.duplicates:,} more are second copies of the same records")
    if found.foreign:
        console.print(f"{found.foreign:,} records in the topic are no dead letters of jobstatus")


def described(item: JudgedLetter, *, show_values: bool = False) -> dict[str, Any]:
    """One dead letter, as `--json` prints it."""
    letter, original = item.letter, item.letter.original
    fields: dict[str, Any] = {
        "topic": original.topic,
        "position": letter.position,
        "log_id": original.log_id,
        "appended": shown_ms(original.timestamp),
        "job_id": letter.job_id,
        "stage": letter.stage,
        "reason": letter.reason,
        "detail": letter.detail,
        "error_class": letter.error_class,
        "sqlstate": letter.sqlstate,
        "where": letter.where,
        "first_seen": letter.first_seen,
        "group": letter.group,
        "consumer_group": letter.group,
        "table": letter.table,
        "version": letter.version,
        "state": item.state,
        "settled": item.is_settled,
        "dead_letter_at": f"{letter.partition}:{letter.offset}",
        "cut": letter.cut,
    }
    if isinstance(original.value, CutBytes):
        fields |= {"size": original.value.size, "sha256": original.value.sha256}
    if isinstance(item.found, Rejected):
        fields["decodes"] = f"no: {item.found.reason}"
    else:
        fields["decodes"] = "yes"
        if show_values:
            fields["event"] = item.found.as_dict()
    if show_values:
        fields["key"] = repr(original.key)
        fields["value"] = (original.value or b"").hex()
        fields["headers"] = {name: repr(text) for name, text in original.headers}
    return fields

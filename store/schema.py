"""The tables. All names and texts are plain; every moment is in seconds since 1970, UTC.

A table that a later version adds needs no migration, only a higher `VERSION`; a changed one needs an `ALTER` in
`store.database`. Older code refuses a newer store, so never change the meaning of a column under the same version.
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

VERSION = 1
"""What this code can read and write."""

METADATA = MetaData()


def _text(name: str, *, key: bool = False, unique: bool = False) -> Column[str]:
    return Column(name, String, primary_key=key, unique=unique or None, nullable=False, default="", server_default="")


def _moment(name: str) -> Column[float]:
    return Column(name, Double, nullable=False, default=0.0, server_default="0")


def _number(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, Integer, primary_key=key, autoincrement=False, nullable=False, default=0, server_default="0")


VERSIONS = Table("store_version", METADATA, _number("version", key=True))

JOURNAL = Table(
    "journal",
    METADATA,
    _number("seq", key=True),
    _moment("at"),
    _text("run"),
    _text("target"),
    _number("fence"),
    _text("event"),
    Column("data", Text, nullable=False),
    _text("previous"),
    _text("hash"),
    Index("journal_of_run", "run"),
)
"""Append-only: nothing in this code updates or deletes a row of it."""

JOURNAL_HEAD = Table(
    "journal_head", METADATA, _number("one", key=True), _number("seq"), _text("hash"), CheckConstraint("one = 1")
)
"""One row: the newest row of the journal, so that a cut tail is noticed."""

TARGETS = Table(
    "targets",
    METADATA,
    _text("target", key=True),
    _number("fence"),
    _text("state"),  # free or held; the rest tells of the newest holder
    _text("run"),
    _text("run_name"),
    _text("runbook"),
    _text("door"),
    _text("person"),
    _text("link"),
    _moment("since"),
    _moment("heartbeat_at"),
    _moment("stale_s"),  # the holder's own promise: silent for longer, it is dead
    _text("process"),  # JSON of store.holder.Process
    _text("interrupted"),  # JSON of store.targets.Interrupted, or empty
)

PLANS = Table(
    "plans",
    METADATA,
    _text("digest", key=True),
    Column("sheet", Text, nullable=False),  # JSON of PlanSheet.document
    _text("requester"),
    _text("door"),
    _text("parameters"),  # JSON object: what the run that showed it was asked with
    _moment("requested_at"),
    _moment("shown_at"),
)

VOTES = Table(
    "votes",
    METADATA,
    Column("digest", String, ForeignKey("plans.digest"), primary_key=True),
    _text("person", key=True),
    _text("door"),
    Column("agrees", Boolean, nullable=False),
    _moment("at"),
)

OUTCOMES = Table(
    "outcomes",
    METADATA,
    Column("seq", Integer, primary_key=True),
    _text("id", unique=True),
    _text("dedup", unique=True),
    _text("run"),
    _moment("at"),
    Column("outcome", Text, nullable=False),  # JSON of Outcome.document
)

DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("outcome", String, ForeignKey("outcomes.id"), primary_key=True),
    _text("channel", key=True),
    _number("seq"),
    _text("run"),
    _text("status"),  # queued, sent, dead or skipped
    _number("attempt"),
    _number("claims"),  # how often it was taken up: the fence between a worker and its successor
    _moment("next_at"),
    _moment("lease_until"),
    _moment("done_at"),
    _text("why"),
    Index("deliveries_in_line", "channel", "status", "run", "seq"),
)

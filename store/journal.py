"""What happened, in order, for good: every row holds the hash of the row before it.

Whoever changes, removes, inserts or swaps a row breaks the chain there; whoever cuts the tail contradicts the head;
whoever rewrites all of it contradicts the first digits of the head that every message to people carries.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from store.database import Database
from store.replay import HEAD_DIGITS, Replay
from store.schema import JOURNAL, JOURNAL_HEAD

START = "0" * 64
"""What stands as the previous hash in the first row."""


_ALL = select(JOURNAL).order_by(JOURNAL.c.seq).execution_options(yield_per=1_000)


def canonical(data: Any) -> str:
    """The one way in which `data` is written down as JSON: sorted, without blanks, ASCII."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def append(
    conn: Connection, *, event: str, run: str = "", target: str = "", fence: int = 0, data: Mapping[str, Any]
) -> str:
    """Add a row within the transaction of `conn`, which must be one of `Database.write`. Returns its hash."""
    seq, previous = _head(conn)
    row = {"seq": seq + 1, "at": Database.now(conn), "run": run, "target": target, "fence": fence, "event": event}
    row |= {"data": canonical(data), "previous": previous}
    row["hash"] = _hash(row)
    conn.execute(insert(JOURNAL).values(row))
    newest = {"seq": row["seq"], "hash": row["hash"]}
    if conn.execute(update(JOURNAL_HEAD).values(newest)).rowcount == 0:
        conn.execute(insert(JOURNAL_HEAD).values(one=1, **newest))
    return str(row["hash"])


def head(conn: Connection) -> str:
    """The hash of the newest row; `START` in an empty journal."""
    return _head(conn)[1]


def _head(conn: Connection) -> tuple[int, str]:
    row = conn.execute(select(JOURNAL_HEAD.c.seq, JOURNAL_HEAD.c.hash)).one_or_none()
    return (row.seq, row.hash) if row else (0, START)


def _hash(row: Mapping[str, Any]) -> str:
    covered = [row[name] for name in ("previous", "seq", "at", "run", "target", "fence", "event", "data")]
    return hashlib.sha256(canonical(covered).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Audit:
    """What looking through the whole journal found. Without `faults` it is as it was written."""

    rows: int
    head: str
    faults: tuple[str, ...]


def verify(db: Database, *, known_head: str = "") -> Audit:
    """Check every row, the head, and that plans, votes and outcomes are what the journal says they are.

    `known_head` is the first digits of a head that somebody kept, from a message: it must be in the chain.
    """
    faults: list[str] = []
    replay = Replay()
    rows, number, last, known = 0, 0, START, not known_head
    with db.read() as conn:
        seq, newest = _head(conn)
        for row in conn.execute(_ALL).mappings():
            faults += _faults_of(dict(row), number, last)
            rows, number, last = rows + 1, row["seq"], row["hash"]
            known = known or last.startswith(known_head)
            replay.take(row)
        if (number, last) != (seq, newest):
            faults.append(f"the head names row {seq} ({newest[:HEAD_DIGITS]}), but the last row is {number}")
        if not known:
            faults.append(f"no row has the hash {known_head}: the journal from which it was told is not this one")
        faults += replay.compare(conn)
    return Audit(rows, last, tuple(faults))


def _faults_of(row: Mapping[str, Any], number: int, last: str) -> Iterator[str]:
    if row["seq"] != number + 1:
        yield f"row {row['seq']} follows row {number}: rows were removed, inserted or swapped"
    if row["previous"] != last:
        yield f"row {row['seq']} does not continue the row before it"
    if row["hash"] != _hash(row):
        yield f"row {row['seq']} ({row['event']}) was changed after it was written"
